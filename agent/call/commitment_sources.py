"""What supports a commitment of a model: the prompt, and the call so far.

A number is known if the prompt, a result of a tool, or the caller has it; a price also if known
prices add up to it, because the model reads back a total before the tool computes one. A claim is
supported by a tool with side effects that succeeded in this call, or a result that says the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from math import gcd

from agent.call.history import AgentSaid, CallerSaid, History, Note, SpeechSource
from agent.call.languages.commitment_words import CommitmentWords
from agent.call.messages import WHISPERED, SideEffect, ToolSpec
from agent.call.spoken_values import PRICE, KnownNumbers, all_numbers, words_of
from agent.call.text import json_object

_MOST_LINES = 12
"""Prices that are added up to a total, each one or as many times as the caller has said."""
_MOST_OF_ONE = 100
_LARGEST_TOTAL = 20_000
"""In the largest unit that all prices are multiples of."""


class Sources:
    """What supports a commitment: the prompt, and the call so far."""

    def __init__(
        self, prompt: KnownNumbers, history: History, before: Sources | None = None
    ) -> None:
        """`before`: of an earlier reply in this call, whose texts are not read again."""
        self._prompt = prompt
        self._history = history
        self.read: dict[tuple[str, str], frozenset[float]] = before.read if before else {}
        """The numbers of the texts of the call, by text and language."""

    def supports_number(self, number: float, language: str) -> bool:
        return number in self._prompt.numbers or number in self._of_call(language)

    def supports_price(self, price: float, language: str) -> bool:
        if self.supports_number(price, language):
            return True
        found = PRICE.findall(" ".join(self._results))
        told = {float(each.replace(",", "")) for each in found} | set(_json_numbers(self._results))
        said = self._numbers(self._said, language)
        counts = (count for count in said if 1 < count <= _MOST_OF_ONE and count.is_integer())
        return _is_sum(price, self._prompt.prices | told, [1, *map(int, counts)])

    def supports_claim(self, table: CommitmentWords, specs: Iterable[ToolSpec]) -> bool:
        """Also after a summary, because what it stands for is not known in detail."""
        effects = {spec.name for spec in specs if spec.side_effect is not SideEffect.NONE}
        done = (
            used.call.name in effects and not _says_no(used.result.content)
            for _, used in self._history.tool_runs()
            if used.result is not None and not used.result.is_error
        )
        told = (table.claims.search(words_of(one)) for one in self._results)
        return self._history.first > 0 or any(done) or any(told)

    @property
    def _said(self) -> list[str]:
        """Of the caller, and of a person who told the model, or the caller in its place."""
        return [
            fact.text
            for fact in self._history
            if isinstance(fact, CallerSaid)
            or (isinstance(fact, AgentSaid) and fact.voice is SpeechSource.OPERATOR)
            or (isinstance(fact, Note) and fact.text.startswith(WHISPERED))
        ]

    @property
    def _results(self) -> list[str]:
        runs = (used.result for _, used in self._history.tool_runs())
        return [result.content for result in runs if result is not None and not result.is_error]

    def _of_call(self, language: str) -> frozenset[float]:
        summary = self._history.summary.text
        told = (*self._results, *self._said, summary)
        return self._numbers(told, language)

    def _numbers(self, texts: Iterable[str], language: str) -> frozenset[float]:
        found = list[frozenset[float]]()
        for text in texts:
            if (numbers := self.read.get((text, language))) is None:
                numbers = self.read[text, language] = all_numbers(text, language)
            found.append(numbers)
        return frozenset[float]().union(*found)


def _json_numbers(results: Iterable[str]) -> Iterator[float]:
    for result in results:
        yield from (
            float(each) for each in re.findall(r":\s?(\d{1,5}(?:\.\d{1,2})?)[,}\]]", result)
        )


def _is_sum(price: float, prices: Iterable[float], counts: Iterable[int]) -> bool:
    """Whether at most `_MOST_LINES` prices, each one of these numbers of times, add up to it."""
    cents = round(price * 100)
    lines = {round(each * 100) * count for each in prices for count in counts if each > 0}
    unit = gcd(cents, *lines)
    if not lines or not 0 < cents <= _LARGEST_TOTAL * unit:
        return False
    target = cents // unit
    reached, mask = 1, (1 << (target + 1)) - 1
    for _ in range(_MOST_LINES):
        before = reached
        for line in lines:
            reached |= (before << line // unit) & mask if line <= cents else 0
        if reached >> target & 1:
            return True
    return False


def _says_no(result: str) -> bool:
    """Whether a result says itself that nothing was done, as `"saved": false`."""
    return any(each is False for each in (json_object(result) or {}).values())
