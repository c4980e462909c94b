"""How much of what was sent has the caller heard?

When a caller breaks in, the relay reports the words it had played (`utteranceUntilInterrupt`).
They come back from a speech engine: numbers spelled out, marks gone, the last word cut in half.
Whether the report covers everything said since the caller's last words or only the current message
is not documented (relay reference section 8, item 7). That guess lives here and nowhere else: the
report is first read as the beginning of all that was sent; if it does not fit there, as a passage
that begins later, the latest that fits. A report that fits nowhere is replaced by the playing time.

The answer is a position in the *sent* text, at the end of a word, so that history keeps the
agent's own words (practice section 5).
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import pairwise

from agent.conversation.pace import letters

GOOD_FIT = 0.6
"""Share of the reported words that must be found again for the report to be believed."""
_MOST_STARTS = 16
"""Passages a report is laid along: the latest ones."""
_SLACK = 3
"""Words by which what was sent may be longer than the report of it."""
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao, Burmese, Khmer
    "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # kana, Han
)
"""Writing without spaces between words: each character stands for itself."""
_LETTER = rf"[^\W_{_UNSPACED}]"
_WORD = re.compile(rf"[{_UNSPACED}]|{_LETTER}+(?:['’.,:]{_LETTER}+)*")  # noqa: RUF001 (typography)


@dataclass(frozen=True, slots=True)
class _Word:
    form: str
    end: int


@dataclass(frozen=True, slots=True)
class _Fit:
    share: float
    end: int


def heard_until(
    sent: str,
    reported: str,
    *,
    after_ms: int | None = None,
    characters_per_second: int = 15,
) -> int:
    """The position in `sent` up to which it was heard.

    Args:
        sent: All that was said since the caller's last words.
        reported: What the relay says it had played; empty = nothing was heard.
        after_ms: Playing time until the cut, used only when the words do not fit.
        characters_per_second: Speaking rate for that estimate.

    Returns:
        0 to `len(sent)`, at the end of a word.
    """
    words = _words(sent)
    report = [word.form for word in _words(reported[: 2 * len(sent) + 100])]
    if not words or not report:
        return 0
    later = [at for at, word in enumerate(words) if at and word.form == report[0]]
    for start in [0, *reversed(later[-_MOST_STARTS:])]:
        fit = _fit(words, report, start)
        if fit.share >= GOOD_FIT:
            return len(sent) if fit.end == words[-1].end else fit.end
    return _by_time(sent, words, (after_ms or 0) * characters_per_second // 1000)


def _words(text: str) -> list[_Word]:
    return [
        _Word(re.sub(r"[^\w]", "", match.group()).casefold(), match.end())
        for match in _WORD.finditer(text)
    ]


def _fit(words: list[_Word], report: list[str], start: int) -> _Fit:
    """Lay the report along the words from `start` on; the end is where its last word falls."""
    reach = start + len(report) + max(_SLACK, len(report) // 3)
    sent = [word.form for word in words[start:reach]]
    if not _may_fit(sent, report):
        return _Fit(0.0, 0)
    blocks = SequenceMatcher(None, sent, report, autojunk=False).get_matching_blocks()[:-1]
    if not blocks:
        return _Fit(0.0, 0)
    found = sum(block.size for block in blocks)
    spelled_out = sum(
        after.b - (before.b + before.size)
        for before, after in pairwise(blocks)
        if _has_number(sent[before.a + before.size : after.a])
    )
    at = blocks[-1].a + blocks[-1].size
    unmatched = report[blocks[-1].b + blocks[-1].size :]
    if unmatched and _has_number(sent[at : at + 1]):
        at += 1
        spelled_out += len(unmatched)
    elif len(unmatched) == 1 and at < len(sent) and sent[at].startswith(unmatched[0]):
        found += 1  # the cut fell inside this word: it was not heard to its end
    return _Fit((found + spelled_out) / len(report), words[start + at - 1].end)


def _may_fit(sent: list[str], report: list[str]) -> bool:
    """A quick look, as to lay them along each other takes long: enough words are in both."""
    common = sum((Counter(sent) & Counter(report)).values())
    return _has_number(sent) or common + 1 >= GOOD_FIT * len(report)


def _has_number(forms: list[str]) -> bool:
    """A number was sent, so what was spoken there are other words."""
    return any(character.isdigit() for form in forms for character in form)


def _by_time(sent: str, words: list[_Word], reach: int) -> int:
    """The last word that ends within so many letters."""
    end = passed = 0
    for word in words:
        passed += letters(sent[end : word.end])
        if passed > reach:
            break
        end = word.end
    return end
