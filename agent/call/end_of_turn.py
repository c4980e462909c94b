"""Whether the caller has finished: how long to wait for more words before the answer.

`answer_after_ms` judges from all words since the agent's last ones, and from those: what the agent
has asked for sets what a complete answer is.

| the caller's words | wait |
|---|---|
| a number with all its digits, a question, any complete sentence | none |
| too few digits, a number of unknown length, "sure, it's" when asked for one | `end_of_number_ms` |
| spelled letters, an address without its end | `end_of_turn_ms` |
| "um", "no wait", "I would like", "two pizzas and": more is needed | `end_of_turn_ms` |
| "Hello.", "Sure." after an open question, "This is Ann Lee.", "If it rains" | half of it |

In doubt a sentence is complete: a reply that was not heard yet gives way to the caller's voice
(`agent.call.conversation`), so a wrong guess is heard only after a longer pause. Rejected: a wait
after each sentence, which all callers would pay for; and marks of speech recognition as a sign of
completeness, because it ends fragments with a full stop, too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from agent.call.config import Limits
from agent.call.languages import turn_words
from agent.call.languages.turn_words import TurnWords
from agent.call.utterance_analysis import asks

_LONGEST = 600
"""Characters at the end of the caller's words, and of the agent's, that are judged."""
_NANP_WITH_PREFIX = 11
_LONGEST_UNKNOWN = 16
"""Digits of the longest number of unknown length, a card's."""
_APOLOGISING = frozenset({"i'm", "am", "so", "really", "very"})
_SHORT_ANSWER = 4
_SHORT_CLAUSE = 3
_SHORT_PHRASE = 5
_FEW_WORDS = 8
_SPELLED = 2
_TOKEN = re.compile(r"\d+[.,:]\d+(?![\d.,:])|[^\W_]+(?:['\u2019][^\W_]+)*['\u2019]?")
_SENTENCES = re.compile(r"[.!?](?:\s|$)")
_DANGLING = re.compile(r"(?:,|-|\u2013|\u2014)\s*$")
_EMAIL_END = frozenset({"com", "net", "org", "edu", "de", "fr", "es", "uk", "io"})
_ROUND_OR_YEAR = re.compile(r"\d+00|(?:19|20)\d\d")
_ZIP = re.compile(r"\d{5}(?:\d{4})?")


def answer_after_ms(said: str, question: str, language: str, limits: Limits) -> int:
    """How long to wait for more words of the caller, in ms; 0 = the answer is due now.

    Args:
        said: All words of the caller since the agent's last ones.
        question: The agent's last words.
        language: Of the call, BCP 47. Of an unknown language nothing is judged.
        limits: The waits, and how long numbers are.
    """
    words = turn_words(language)
    if words is None:
        return 0
    judged = _Utterance(said[-_LONGEST:], question[-_LONGEST:], words, limits.number_digits)
    if judged.is_part_of_number:
        return limits.end_of_number_ms
    if judged.is_part_of_spelling or judged.is_part_of_address or judged.needs_more:
        return limits.end_of_turn_ms
    return limits.end_of_turn_ms // 2 if judged.leads_in else 0


class _Utterance:
    """The caller's words so far, beside the agent's."""

    def __init__(
        self, said: str, question: str, words: TurnWords, lengths: Mapping[str, int]
    ) -> None:
        self._text = said.strip()
        plain = said.casefold().replace("\u2019", "'").replace("-", " ")
        self._said: Sequence[str] = _TOKEN.findall(plain)
        self._line = " ".join(self._said)
        self._question = question.casefold().replace("\u2019", "'")
        self._last_sentence = _SENTENCES.split(self._question.rstrip(" .!?\u2026"))[-1]
        self._is_asked = asks(question)
        self._words = words
        self._lengths = {**words.lengths, **lengths}
        digits = list(_digits_at_end(self._said, words))
        self._digits = "".join(reversed(digits))
        self._groups = digits

    @property
    def _is_question(self) -> bool:
        return self._text.endswith(("?", "\uff1f"))

    @property
    def is_part_of_number(self) -> bool:
        wanted = self._is_asked and self._words.asks_number.search(self._question) is not None
        wanted = wanted or self._asked_length is not None
        own = self._words.names_number.search(self._line) is not None and not self._is_question
        if self._digits:
            has_zip = len(self._said) > _SHORT_ANSWER and _ZIP.fullmatch(self._groups[0])
            is_other = self._asks_address or (has_zip and not wanted)
            if is_other or not (wanted or own or self._is_dictated):
                return False
            return not self._is_whole_number
        if not wanted or self._is_question or not self._said:
            return False
        has_number = any(map(str.isdigit, self._numbers))
        is_consent = self._line in self._words.consents and self._is_asked_openly
        return not has_number and (is_consent or self.needs_more)

    @property
    def _asked_length(self) -> int | None:
        """Digits of the number that the agent has asked for, or the caller has named."""
        for phrase, length in self._lengths.items():
            if phrase in self._question and self._is_asked:
                return length
        return next((self._lengths[each] for each in self._lengths if each in self._line), None)

    @property
    def _is_whole_number(self) -> bool:
        length = self._asked_length
        if length is None and self._words.phone_digits:
            has_prefix = self._digits.startswith("1") and self._words is turn_words("en")
            if self._is_phone_number:
                length = _NANP_WITH_PREFIX if has_prefix else self._words.phone_digits
        return len(self._digits) >= (length or _LONGEST_UNKNOWN)

    @property
    def _is_phone_number(self) -> bool:
        """A number of which nothing else is known is one, too."""
        named = f"{self._question if self._is_asked else ''} {self._line}"
        is_phone = self._words.asks_phone.search(named) is not None
        return is_phone or self._words.asks_number.search(named) is None

    @property
    def _is_dictated(self) -> bool:
        """Whether the digits are of a number that is dictated in groups, unasked; no quantity."""
        if len(self._groups) > 2:
            return True
        is_spelled = len(self._groups) == 2 and all(len(each) == 1 for each in self._groups)
        longer = (each for each in self._groups if len(each) > 2)
        return is_spelled or any(not _ROUND_OR_YEAR.fullmatch(each) for each in longer)

    @property
    def is_part_of_spelling(self) -> bool:
        if self._is_question or not self._said or self._said[-1] in _EMAIL_END:
            return False
        letters = 0
        if self._said[-1] == "m" and self._said[-2:-1] in (["a"], ["p"]):  # half past five p m
            return False
        for word in reversed(self._said):
            if len(word) > 1 or word.isdigit():
                break
            letters += 1
        is_asked = self._is_asked and self._words.asks_spelling.search(self._question) is not None
        return letters >= (1 if is_asked else _SPELLED)

    @property
    def _asks_address(self) -> bool:
        return self._is_asked and self._words.asks_address.search(self._question) is not None

    @property
    def is_part_of_address(self) -> bool:
        has_number = any(map(str.isdigit, self._numbers))
        if not (self._asks_address and has_number) or self._is_question:
            return False
        return _ZIP.fullmatch(self._digits) is None

    @property
    def _numbers(self) -> Iterator[str]:
        return (self._words.digits.get(word, word) for word in self._said)

    @property
    def needs_more(self) -> bool:
        """Whether the last words cannot be the end of a sentence."""
        if not self._said or self._is_question:
            return False
        words, last = self._words, self._said[-1]
        if self._line in words.openers:
            return False
        if last in words.hesitations:
            return True
        if correction := self._ending_of(words.corrections):
            before = self._said[: len(self._said) - len(correction.split())]
            if before and before[-1] not in _APOLOGISING:
                return True
        if lead_in := self._ending_of(words.lead_ins):
            return not (self._begins_short_answer or self._is_relative(lead_in))
        has_gap = self._is_question_clause or "to" in self._said[-4:-1]
        if last in words.open_words:
            is_end = has_gap or self._begins_short_answer
            return not (last in words.stranded and is_end)
        ends_clause = len(self._said) > _SHORT_CLAUSE and self._said[-2] in words.subjects
        if last in words.transitive:
            return not (self._is_question_clause or ends_clause)
        if last in words.auxiliaries:
            return not (has_gap or ends_clause or self._is_short_answer)
        return _DANGLING.search(self._text) is not None

    @property
    def leads_in(self) -> bool:
        """Whether what the caller wants probably comes next."""
        if self._is_question or not self._said:
            return False
        words, line = self._words, self._line
        if line in words.openers or words.announces.fullmatch(line):
            return True
        if self._is_asked_openly and line in words.consents:
            return True
        is_named = words.asks_name.search(self._question) is not None
        if words.introduces.fullmatch(line) and not is_named:
            return True
        if self._is_phrase:
            return True
        is_condition = any(line.startswith(f"{each} ") for each in words.conditions)
        return is_condition and len(self._said) <= _FEW_WORDS and "," not in self._text

    @property
    def _is_phrase(self) -> bool:
        """As in "for Tuesday", where nothing of the kind was asked."""
        is_free = not self._is_asked or self._words.offers_help.search(self._question) is not None
        words, passed = self._words, self._words.hesitations | self._words.before_phrases
        first = next((word for word in self._said if word not in passed), "")
        is_short = len(self._said) <= _SHORT_PHRASE and self._said[-1] not in words.courtesies
        return is_free and is_short and first in words.phrase_starts

    @property
    def _is_asked_openly(self) -> bool:
        return self._is_asked and self._words.asks_openly.search(self._last_sentence) is not None

    @property
    def _is_short_answer(self) -> bool:
        """As in "Yes, it is." or "I do.", not "It is", which a name or a number may follow."""
        stands_alone = len(self._said) == 2 and self._said[0] in self._words.subjects
        return stands_alone or self._begins_short_answer

    @property
    def _begins_short_answer(self) -> bool:
        return 1 < len(self._said) <= _SHORT_ANSWER and self._said[0] in self._words.answers

    @property
    def _is_question_clause(self) -> bool:
        """As in "who is it for" or "is that what you have"."""
        words, said = self._words, self._said
        begins = said[0] in words.auxiliaries
        return begins or any(word in words.questions for word in said[:-2])

    def _is_relative(self, lead_in: str) -> bool:
        """As in "that is all I need": the phrase ends a clause, and begins none."""
        said, words = self._said, self._words
        length = len(lead_in.split())
        if any(word in words.questions for word in said[:-length]):
            return True
        before = said[-length - 1 : -length]
        is_clause = said[-length] in words.subjects
        return (
            bool(is_clause and words.before_clauses and before)
            and before[0] not in words.before_clauses
        )

    def _ending_of(self, phrases: Sequence[str]) -> str:
        """The longest of these phrases that the words end with."""
        line = self._line
        return next((one for one in phrases if line == one or line.endswith(f" {one}")), "")


def _digits_at_end(said: Sequence[str], words: TurnWords) -> Iterator[str]:
    """The groups of digits at the end, the last one first."""
    found: list[str] = []
    for word in reversed(said):
        digits = words.digits.get(word, word)
        if digits.isascii() and digits.isdecimal():
            found.append(digits)
        elif word in words.repeated:
            again = found[-1][0] if found else "0"
            found += [again] * (words.repeated[word] - 1 if found else 1)
        elif found and word in words.joints:
            continue
        elif len(found) == 1 and said[-1] in words.articles:
            return
        else:
            break
    yield from _joined(found)


def _joined(groups: list[str]) -> Iterator[str]:
    """The same with "twenty" and "three" as 23: two digits, not three."""
    skip = False
    for index, group in enumerate(groups):
        if skip:
            skip = False
            continue
        before = groups[index + 1] if index + 1 < len(groups) else ""
        is_ten = len(before) == len("20") and before >= "20" and before.endswith("0")
        if is_ten and len(group) == 1 and group != "0":
            yield before[0] + group
            skip = True
        else:
            yield group
