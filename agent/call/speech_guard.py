"""What a model must not say: commitments that nothing supports, loops, rambling, another language.

`SpeechGuard` stands between the chunker and the output. It passes pieces as they come. A sentence
that begins to commit (a price, a time, "is booked") or to repeat an earlier one is held until its
end, then said or not; after the first sentence that is not said, nothing more of the reply is.

| verdict | what is not said | what follows (`agent.call.turn`) |
|---|---|---|
| commitment | what no tool has done; an unknown price or time | asked again, then a phrase |
| language | words that are surely of another language | the same |
| repetition | a sentence of the same reply again | a question, if none was asked |
| repetition | the last answer again (`agent.call.last_answer`) | asked again, then a phrase |
| length | all after the sentence in which the limit is reached | "Shall I go on?" |

What supports a commitment: `agent.call.commitment_sources`. Rejected: a second model as a judge,
which callers would wait for.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from agent.call.commitment_sources import Sources
from agent.call.config import CallConfig
from agent.call.history import History, Note
from agent.call.languages import languages_of, primary
from agent.call.languages.commitment_words import (
    CommitmentWords,
    commitment_words,
)
from agent.call.last_answer import content_of, last_answer
from agent.call.messages import ToolSpec
from agent.call.spoken_values import (
    in_digits,
    numbers_in,
    squeezed,
    words_of,
)

_SENTENCE = re.compile(r".*?(?:[.!?\u2026\u3002\uff01\uff1f][\"')\]\u201d\u2019]*\s+|$)", re.DOTALL)
_ABBREVIATED = re.compile(r"(?:\b[A-Za-z]|\b(?:Mr|Mrs|Ms|Dr|St|No|Nr|vs|approx))\.\s+$")
_ENDS = frozenset(".!?\u2026\u3002\uff01\uff1f")
_NUMBER = re.compile(r"\d")
_LONE_ONE = re.compile(r"\b1(?:st)?\b")
_PART = r"\d[\d.,:]*\d|\d"
_CENTS = r"(?:cents?|centavos?|c\u00e9ntimos?|centimes?)"
_FEWEST_WORDS = 4
"""Of a sentence that is not said twice; shorter ones may be."""


class Verdict(StrEnum):
    """Why a reply was stopped."""

    COMMITMENT = "commitment"
    LANGUAGE = "language"
    REPETITION = "repetition"
    LENGTH = "length"


NOTES = {
    Verdict.COMMITMENT: (
        "Not said, because no tool result and nothing you were told says so: {}. Say only what is"
        " known, call the tool, or say that you do not know."
    ),
    Verdict.LANGUAGE: "Not said, because it is not in the language of the call: {}. Use that one.",
    Verdict.REPETITION: "Not said, because you had just said it: {}. Do not repeat yourself.",
    Verdict.LENGTH: "You were stopped after {}: too long. Say less, and ask.",
}
"""What the model reads about a reply that was stopped."""
SAID_BEFORE = (
    "Not said, because it is your last answer once more: {}. The caller has gone on since: answer"
    " that, or ask about it in other words."
)
_BEGINNINGS = {note.partition("{}")[0]: verdict for verdict, note in NOTES.items()}
_BEGINNINGS[SAID_BEFORE.partition("{}")[0]] = Verdict.REPETITION
_SHOWN = 160


def verdict_of(note: Note) -> Verdict | None:
    """The verdict that a note tells of; None for any other note."""
    found = (verdict for text, verdict in _BEGINNINGS.items() if note.text.startswith(text))
    return next(found, None)


@dataclass(frozen=True, slots=True)
class GuardRules:
    """What holds for one reply."""

    language: str
    """Of the caller's words or else of the call, BCP 47."""
    caller: str = ""
    """The caller's last words: a reply in their language is none in a wrong one."""
    longest: int = 0
    """Characters after which a reply ends with its sentence; 0 = no limit."""
    sources: Sources | None = None
    """None: commitments are not judged."""
    specs: tuple[ToolSpec, ...] = ()
    session: str = ""
    """The language in which the session listens and speaks, BCP 47: never a wrong one."""
    is_strict: bool = False
    """Each sentence is held until its end: the reply before this one was stopped."""
    last_answer: str = ""
    """What must not be said again as a whole (`agent.call.last_answer`)."""

    @property
    def tables(self) -> list[tuple[str, CommitmentWords]]:
        """Those of the caller and the session, by BCP 47 tag: a model may answer in either."""
        tags = {primary(each) or "en": each for each in (self.session, self.language)}
        found = ((tag, commitment_words(tag)) for tag in tags.values())
        return [(tag, table) for tag, table in found if table is not None]


@dataclass(slots=True)
class SpeechGuard:
    """The words of one reply; not reusable."""

    rules: GuardRules
    verdict: Verdict | None = None
    unsaid: str = ""
    """The words that led to the verdict; what the reply held after them is not kept."""
    given: int = 0  # characters
    _sentence: str = ""
    _held: str = ""
    _said: list[str] = field(default_factory=list)  # whole sentences, squeezed
    _words: frozenset[str] = frozenset()
    _kept: str = ""
    """All of the reply, while it may be the last answer again."""
    _is_new: bool = False
    _is_last_answer: bool = False

    @property
    def has_begun(self) -> bool:
        return self.given > 0

    def feed(self, piece: str) -> str:
        """What of this piece, and of what was held, is said now."""
        return self._give("".join(self._take(part) for part in _parts(piece)))

    def finish(self, rest: str) -> str:
        """The same for the last piece."""
        said = "".join(self._take(part) for part in _parts(rest))
        return self._give((said + self._end()).rstrip(), is_all=True)

    def _give(self, text: str, *, is_all: bool = False) -> str:
        if self.rules.last_answer and not self._is_new:
            text, self._kept = self._kept + text, ""
            last, again = (
                content_of(each, self.rules.language) for each in (self.rules.last_answer, text)
            )
            may_be_last = self.verdict is None and last[: len(again)] == again
            if not again:
                may_be_last &= words_of(self.rules.last_answer).startswith(words_of(text))
            if may_be_last and not is_all:
                self._kept = text
                return ""
            if may_be_last and again == last:
                self._is_last_answer = True
                return self._stop(Verdict.REPETITION, text)
            self._is_new = again != ()
        self.given += len(text)
        return text

    def _take(self, part: str) -> str:
        if self.verdict is not None or not part:
            return ""
        if self._is_full and part.strip():
            return self._stop(Verdict.LENGTH, self._said[-1] if self._said else "")
        self._sentence += part
        self._words |= frozenset(words_of(part).split())
        if self._is_foreign:
            return self._stop(Verdict.LANGUAGE, self._sentence)
        if self._held or self.rules.is_strict or self._may_be_stopped:
            self._held += part
            part = ""
        return part + (self._end() if _ends_sentence(self._sentence) else "")

    def _end(self) -> str:
        """The sentence is complete: what was held of it, if it may be said."""
        sentence, held = self._sentence, self._held
        self._sentence = self._held = ""
        if held and squeezed(sentence) in self._said and _is_long(sentence):
            return self._stop(Verdict.REPETITION, sentence)
        if held and self._is_unsupported(sentence):
            return self._stop(Verdict.COMMITMENT, sentence)
        if sentence.strip():
            self._said.append(squeezed(sentence))
        return held

    def _stop(self, verdict: Verdict, unsaid: str) -> str:
        self.verdict, self.unsaid = verdict, unsaid.strip()[:_SHOWN]
        self._held = ""
        return ""

    @property
    def is_end(self) -> bool:
        """Whether what was said is an answer, so that the model is not asked again."""
        is_again = self.verdict is Verdict.REPETITION and not self._is_last_answer
        return is_again or self.verdict is Verdict.LENGTH

    @property
    def note(self) -> str:
        """What the model reads about the verdict."""
        shown = json.dumps(self.unsaid, ensure_ascii=False)
        if self._is_last_answer:
            return SAID_BEFORE.format(shown)
        return NOTES[self.verdict].format(shown) if self.verdict else ""

    @property
    def _is_full(self) -> bool:
        return not self._sentence and 0 < self.rules.longest <= self.given

    @property
    def _is_foreign(self) -> bool:
        found = languages_of(self._words)
        if not found or commitment_words(self.rules.language) is None:
            return False
        rules = self.rules
        if any((primary(each) or "en") in found for each in (rules.language, rules.session)):
            return False
        return set(found).isdisjoint(languages_of(words_of(rules.caller).split()))

    @property
    def _may_be_stopped(self) -> bool:
        begun = squeezed(self._sentence)
        if _is_long(self._sentence) and any(each.startswith(begun) for each in self._said):
            return True
        if self.rules.sources is None:
            return False
        line = words_of(self._sentence)
        return any(
            table.claims.search(line) or _has_number(self._sentence, language)
            for language, table in self.rules.tables
        )

    def _is_unsupported(self, sentence: str) -> bool:
        sources, tables, line = self.rules.sources, self.rules.tables, words_of(sentence)
        if sources is None:
            return False
        claims = [
            table
            for _, table in tables
            if table.claims.search(line) and not table.no_claim.search(line)
        ]
        known = (sources.supports_claim(table, self.rules.specs) for table in claims)
        if "?" not in sentence and not all(known):
            return True
        read = [(in_digits(sentence, tag), table) for tag, table in tables]
        prices = (each for digits, table in read for each in _prices(digits, table))
        times = (each for digits, table in read for each in _times(digits, table))
        tags = [tag for tag, _ in tables]
        return not (
            all(any(sources.supports_price(each, tag) for tag in tags) for each in prices)
            and all(any(sources.supports_number(each, tag) for tag in tags) for each in times)
        )


def rules_for(
    config: CallConfig,
    history: History,
    languages: tuple[str, str],
    before: GuardRules,
    *,
    is_stopped: bool,
) -> GuardRules:
    """What holds for the reply to this history; languages of the caller and the session, BCP 47.

    `before`: the rules of the reply before this one, which perhaps was stopped.
    """
    limits, tools, sources = config.limits, tuple(config.tools.values()), None
    if limits.guards_commitments:
        sources = Sources(config.known, history, before.sources)
    language, session = languages
    last = before.last_answer if is_stopped else last_answer(history, language)
    common = (language, history.unanswered(0), limits.longest_reply, sources, tools, session)
    return GuardRules(*common, is_strict=is_stopped, last_answer=last)


def _parts(text: str) -> Iterator[str]:
    """The text, split after the ends of sentences."""
    part = ""
    for found in _SENTENCE.findall(text):
        part += found
        if _ends_sentence(part):
            yield part
            part = ""
    if part:
        yield part


def _ends_sentence(text: str) -> bool:
    is_end = text[-1:].isspace() and text.rstrip(" \n\"')]\u201d\u2019")[-1:] in _ENDS
    return is_end and _ABBREVIATED.search(text) is None


def _is_long(sentence: str) -> bool:
    return len(sentence.split()) >= _FEWEST_WORDS


def _has_number(sentence: str, language: str) -> bool:
    return _NUMBER.search(_LONE_ONE.sub(" ", in_digits(sentence, language))) is not None


def _prices(digits: str, table: CommitmentWords) -> list[float]:
    """Amounts of money in a sentence whose numbers are digits."""
    amount = re.compile(
        rf"[$\u20ac\u00a3]\s?({_PART})()|({_PART})\s?([$\u20ac\u00a3]|(?:{table.money})\b)"
        rf"(?:(?: (?:and|y|con|und|et))? (\d\d?)(?!\d)(?:\s?{_CENTS}\b)?)?",
        re.IGNORECASE,
    )
    found: list[float] = []
    for signed, _, named, unit, rest in amount.findall(digits):
        share = 100 if re.fullmatch(_CENTS, unit, re.IGNORECASE) else 1
        found += [each / share + int(rest or 0) / 100 for each in numbers_in(signed or named)]
    return found


def _times(digits: str, table: CommitmentWords) -> list[float]:
    """Hours and minutes of times of day in a sentence whose numbers are digits."""
    clock = re.compile(
        rf"\b(\d{{1,2}})[:.h]?(\d\d)?\s?(?:{table.clock})(?!\w)|\b(\d{{1,2}}):(\d\d)\b",
        re.IGNORECASE,
    )
    parts = (part for found in clock.findall(digits) for part in found if part)
    return [float(part) for part in parts if int(part)]
