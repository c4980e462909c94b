"""How much of the sent text the caller has heard.

On a barge-in the relay reports the words it had played (`utteranceUntilInterrupt`), as a speech
engine gives them: numbers spelled out, marks gone, the last word cut in half. Twilio does not
document what the report covers, so it is read as the beginning of all that was sent, or else as the
latest passage that fits; if it fits nowhere, the playing time is used. The result is a position in
the *sent* text, at the end of a word.

The work is bounded, because it runs on the event loop: alignment takes cubic time on words that
repeat, so its steps are counted. When they are used up, the report is compared word by word, and
each place that differs is aligned within a window of a few words.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import Match, SequenceMatcher
from itertools import accumulate, islice, pairwise, takewhile

GOOD_FIT = 0.6
"""Share of the reported words that must be in the sent text."""
LONGEST_TEXT = 16_000
"""Characters of each text that are compared: more than 15 minutes of speech."""
MOST_WORDS = 4_000  # without spaces each character counts as one
MOST_STEPS = 25_000
"""Pairs of equal words that are compared for one report, and as many again in windows."""
_MOST_STARTS = 16  # passages a report is compared with: the latest ones
_SLACK = 3
_WINDOW = 32  # words of a long report that are aligned at a time
_WIDE = frozenset("WF")
_LETTERS_OF_A_WIDE_CHARACTER = 3
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao, Burmese, Khmer
    "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # kana, Han
)
_LETTER = rf"[^\W_{_UNSPACED}]"
_WORD = re.compile(rf"[{_UNSPACED}]|{_LETTER}+(?:['’.,:]{_LETTER}+)*")  # noqa: RUF001 (typography)
_MARK = re.compile(r"\W")

_Fit = tuple[float, int]
"""The share of the report that the sent words explain, and how many of them were heard."""
_NO_FIT = (0.0, 0)


class _TooMuchWorkError(Exception):
    """The steps of one report are used up."""


@dataclass(slots=True)
class _Steps:
    left: int = MOST_STEPS

    def take(self, count: int) -> None:
        self.left -= count
        if self.left < 0:
            raise _TooMuchWorkError


class _Alignment(SequenceMatcher[str]):
    """Blocks of equal words; each search is counted before it is made."""

    def __init__(self, sent: Sequence[str], report: Sequence[str], steps: _Steps) -> None:
        super().__init__(None, sent, report, autojunk=False)
        counts = Counter(report)
        self._steps = steps
        self._pairs = list(accumulate((1 + counts[word] for word in sent), initial=0))

    def find_longest_match(
        self, alo: int = 0, ahi: int | None = None, blo: int = 0, bhi: int | None = None
    ) -> Match:
        end = len(self._pairs) - 1 if ahi is None else ahi
        self._steps.take(self._pairs[end] - self._pairs[alo])
        return super().find_longest_match(alo, ahi, blo, bhi)


def heard_until(
    sent: str, reported: str, *, after_ms: int | None = None, characters_per_second: int = 15
) -> int:
    """The end of the last word that was heard; `after_ms` counts if the report does not fit."""
    words = _forms(sent[:LONGEST_TEXT])
    report = _forms(reported[: min(2 * len(sent) + 100, LONGEST_TEXT)])
    if not words or not report:
        return 0
    heard = _heard_words(words, report)
    if not heard:
        return _by_time(sent, (after_ms or 0) * characters_per_second // 1000)
    end = next(islice(_WORD.finditer(sent), heard - 1, None)).end()
    return end if _WORD.search(sent, end) else len(sent)


def _forms(text: str) -> list[str]:
    return [
        (word if word.isalnum() else _MARK.sub("", word)).casefold()
        for word in islice(_WORD.findall(text), MOST_WORDS)
    ]


def _heard_words(words: Sequence[str], report: Sequence[str]) -> int:
    same = _same(words, report, 0, 0)
    if same == len(report) or (same and _is_half(words, report, same)):
        return same
    steps = _Steps()
    later = [at for at, word in enumerate(words) if at and word == report[0]]
    for start in [0, *reversed(later[-_MOST_STARTS:])]:
        try:
            share, heard = _fit(words, report, start, steps)
        except _TooMuchWorkError:
            blocks = [] if start else [*_blocks_in_windows(words, report, _Steps())]
            share, heard = _judged(words, report, blocks)
        if share >= GOOD_FIT:
            return heard
    return 0


def _is_half(words: Sequence[str], report: Sequence[str], at: int) -> bool:
    """Whether the report ends in the beginning of the word at this place, such as 2 of 24."""
    is_last = at == len(report) - 1 and at < len(words)
    return is_last and words[at].startswith(report[at])


def _same(words: Sequence[str], report: Sequence[str], at: int, reported: int) -> int:
    pairs = zip(islice(words, at, None), islice(report, reported, None), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _fit(words: Sequence[str], report: Sequence[str], start: int, steps: _Steps) -> _Fit:
    steps.take(len(report))
    reach = start + len(report) + max(_SLACK, len(report) // 3)
    sent = words[start:reach]
    common = (Counter(sent) & Counter(report)).total()
    if not _has_number(sent) and common + 1 < GOOD_FIT * len(report):
        return _NO_FIT
    blocks = _Alignment(sent, report, steps).get_matching_blocks()[:-1]
    return _judged(words[:reach], report, [Match(start + a, b, size) for a, b, size in blocks])


def _judged(words: Sequence[str], report: Sequence[str], blocks: Sequence[Match]) -> _Fit:
    if not blocks:
        return _NO_FIT
    found = sum(block.size for block in blocks)
    spelled_out = sum(
        after.b - (before.b + before.size)
        for before, after in pairwise(blocks)
        if _has_number(words[before.a + before.size : after.a])
    )
    at = blocks[-1].a + blocks[-1].size
    unmatched = report[blocks[-1].b + blocks[-1].size :]
    if unmatched and _has_number(words[at : at + 1]):
        at += 1
        spelled_out += len(unmatched)
    elif len(unmatched) == 1 and at < len(words) and words[at].startswith(unmatched[0]):
        found += 1  # the cut fell inside this word: it was not heard to its end
    return (found + spelled_out) / len(report), at


def _blocks_in_windows(
    words: Sequence[str], report: Sequence[str], steps: _Steps
) -> Iterator[Match]:
    at = done = 0
    while done < len(report):
        if same := _same(words, report, at, done):
            yield Match(at, done, same)
            at, done = at + same, done + same
        reach = at + _WINDOW + _WINDOW // 3
        window = _Alignment(words[at:reach], report[done : done + _WINDOW], steps)
        try:
            blocks = window.get_matching_blocks()[:-1]
        except _TooMuchWorkError:
            return
        if not blocks:
            return
        yield from (Match(at + a, done + b, size) for a, b, size in blocks)
        at, done = at + blocks[-1].a + blocks[-1].size, done + blocks[-1].b + blocks[-1].size


def _has_number(forms: Sequence[str]) -> bool:
    return any(map(str.isdigit, "".join(forms)))


def _by_time(sent: str, reach: int) -> int:
    end = passed = 0
    for word in _WORD.finditer(sent):
        passed += letters(sent[end : word.end()])
        if passed > min(reach, LONGEST_TEXT):
            break
        end = word.end()
    return end


def letters(text: str) -> int:
    """The length of a text in letters; a wide character (CJK) counts as several."""
    if text.isascii():
        return len(text)
    wide = sum(unicodedata.east_asian_width(character) in _WIDE for character in text)
    return len(text) + wide * (_LETTERS_OF_A_WIDE_CHARACTER - 1)
