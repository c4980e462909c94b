"""The facts block of a summary: what must stay word for word in a call of any length.

A model that summarizes a summary loses numbers. The block is taken from the facts without a model,
one line each, and carried from summary to summary unchanged:

| line | what it has |
|---|---|
| Name | how the caller has introduced himself, or answered when asked for a name |
| Done | a tool with side effects that succeeded, with its result: an order, a booking |
| Caller | a number, name or date, or the answer when a number, an address or a spelling was asked |
| Agreed | the agent's question that the caller has said yes to |
| Promised | what the agent has said that it did or will do, as far as it was heard |
| Mentioned, Said | other sentences with a number, of the caller and of the agent |
| Looked up | the result of any other tool that succeeded |

Lines are in the order of the call, so that a later one corrects an earlier one. When the block is
full, the kinds further down are left out first, and of one kind the oldest. Number words and
questions are read by the table of the language that is spoken most, else by the English one.

Rejected: to ask a model for the facts as JSON (it forgets the same facts); numbers without their
sentence (it says which number it is).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from textwrap import wrap

from agent.call.answer_kind import AnswerKind
from agent.call.history import (
    AgentSaid,
    CallerSaid,
    Fact,
    InputMode,
    SpeechSource,
    ToolUsed,
)
from agent.call.languages import languages_of, turn_words
from agent.call.languages.english import ENGLISH
from agent.call.languages.german import GERMAN
from agent.call.languages.turn_words import TurnWords
from agent.call.messages import ToolResult
from agent.call.spoken_values import words_of
from agent.call.text import bounded_line
from agent.call.utterance_analysis import asks

_KINDS = ("Name", "Done", "Caller", "Agreed", "Promised", "Mentioned", "Said", "Looked up")
"""The most important first."""
LONGEST_LINE = 300
"""Characters of a line."""
_LONGEST_QUESTION = 120
_LONGEST_READ = 2_000  # characters of one utterance
_PIECE = 270  # characters of a sentence
_NUMBER = 3  # digits; fewer are a quantity
_BRACKETS = str.maketrans("[]", "()")
_SENTENCE_END = re.compile(r"(?<=[.!?\u2026\u3002])\s+")
_WORD = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)*")
_NOT_A_NAME = re.compile(r"I(?:['\u2019]\w+)?|OK")

_Item = tuple[str, str]  # kind and words of a line


def facts_block(earlier: str, lines: Iterable[str], limit: int) -> str:
    """The earlier block and new lines, one below the other, in `limit` characters."""
    latest = [*dict.fromkeys([*reversed([*earlier.splitlines(), *lines])])][::-1]
    order = sorted(range(len(latest)), key=lambda at: (_rank(latest[at]), -at))
    kept: set[int] = set()
    for at in order:
        size = len(latest[at]) + 1
        if size <= limit + 1:
            kept.add(at)
            limit -= size
    return "\n".join(line for at, line in enumerate(latest) if at in kept)


def lines_of(facts: Sequence[Fact], is_effect: Callable[[ToolUsed], bool]) -> Iterator[str]:
    """The lines of these facts; `is_effect` tells whether a tool run may have changed something.

    Words of the caller at the beginning are read without the question before them.
    """
    spoken = (fact.text[-_PIECE:] for fact in facts if isinstance(fact, CallerSaid | AgentSaid))
    languages = languages_of(words_of(" ".join(spoken)).split(), fewest=1)
    reader = _Reader(turn_words(languages[0] if languages else "") or ENGLISH)
    for means, run in groupby(facts, lambda fact: getattr(fact, "means", None)):
        if means is InputMode.SPEECH:
            said = " ".join(fact.text for fact in run if isinstance(fact, CallerSaid))
            yield from map(_line, reader.of_caller(said[-_LONGEST_READ:]))
            continue
        if means is None:
            reader.question = ""
        for fact in run:
            yield from map(_line, reader.of_other(fact, is_effect))


class _Reader:
    """Reads the facts of a call in their order."""

    def __init__(self, words: TurnWords) -> None:
        self._words = words
        self.question = ""  # that the caller answers

    def of_caller(self, said: str) -> Iterator[_Item]:
        words, question = self._words, self.question
        if asked := question.casefold():
            is_name = words.asks[AnswerKind.NAME].search(asked) is not None
            if any(each.search(asked) for each in words.asks.values()):
                first, *rest = _wrapped(said, _PIECE - len(question)) or [""]
                yield "Name" if is_name else "Caller", f'asked "{question}": {first}'
                said = " ".join(rest)
            elif _plain(said) in words.consents | words.nods and not words.offers_help.search(
                asked
            ):
                yield "Agreed", question
        for sentence in _sentences(said):
            if words.introduces.match(_plain(sentence)):
                yield "Name", sentence
            elif self._digits(sentence) >= _NUMBER or "@" in sentence or self._has_name(sentence):
                yield "Caller", sentence
            elif self._digits(sentence):
                yield "Mentioned", sentence

    def of_other(self, fact: Fact, is_effect: Callable[[ToolUsed], bool]) -> Iterator[_Item]:
        match fact:
            case CallerSaid(keys):  # of the keypad
                yield "Caller", f"pressed {keys}"
            case ToolUsed(_, call, ToolResult(_, content, False)):
                used = f"{call.name} {bounded_line(call.arguments, LONGEST_LINE // 2)}"
                yield "Done" if is_effect(fact) else "Looked up", f"{used} -> {content}"
            case AgentSaid(text, voice) if fact.is_answer:
                sentences = _sentences(text[-_LONGEST_READ:])
                asked = (each for each in reversed(sentences) if asks(each))
                self.question = bounded_line(next(asked, self.question), _LONGEST_QUESTION)
                for sentence in () if voice is SpeechSource.GREETING else sentences:
                    if self._words.promises.search(_plain(sentence)):
                        yield "Promised", sentence
                    elif self._digits(sentence) and not asks(sentence):
                        yield "Said", sentence
            case _:
                pass

    def _digits(self, sentence: str) -> int:
        """How many digits its numbers have, written or spoken."""
        words = self._words
        said = (one for one in _WORD.findall(sentence.casefold()) if one not in words.articles)
        numbers = (words.digits.get(one, one) for one in said)
        return sum(sum(map(str.isdecimal, one)) for one in numbers if not one.isalpha())

    def _has_name(self, sentence: str) -> bool:
        """By its capitals after the first word; of no use where all nouns have one."""
        later = _WORD.findall(sentence)[1:] if self._words is not GERMAN else []
        return any(one[0].isupper() and not _NOT_A_NAME.fullmatch(one) for one in later)


def _rank(line: str) -> int:
    kind = line.partition(":")[0]
    return _KINDS.index(kind) if kind in _KINDS else len(_KINDS)


def _line(item: _Item) -> str:
    return bounded_line(": ".join(item).translate(_BRACKETS), LONGEST_LINE)


def _plain(text: str) -> str:
    return " ".join(_WORD.findall(text.casefold().replace("\u2019", "'")))


def _sentences(text: str) -> list[str]:
    """Each in pieces that fit into a line, so that no number is beyond its end."""
    return [piece for each in _SENTENCE_END.split(text) for piece in _wrapped(each, _PIECE)]


def _wrapped(text: str, width: int) -> list[str]:
    if 0 < len(text) <= width:
        return [text]
    return wrap(text, width, break_on_hyphens=False)
