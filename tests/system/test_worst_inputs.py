"""No input holds the event loop: the work is counted, not timed.

`benchmarks/worst_inputs.py` has the milliseconds.
"""

from __future__ import annotations

import sys
import time
from types import FrameType
from typing import Any

import pytest

from agent.call.sentence_chunker import LONGEST_WORD, clean_word
from tests.worst_inputs import Row, Work, rows

MOST_LINES = 400_000
"""Of Python that one input may cost; most are one character of a loop, and take 50 ns."""
SMALLER = 8
MOST_GROWTH = 2 * SMALLER
"""Eight times the input: linear work grows eight times, quadratic work 64 times."""
FEW_LINES = 2_000
"""Below this it does not matter how the work grows."""
ROWS = list(rows())


def lines_of(work: Work) -> int:
    """How many lines of Python are run."""
    count = 0

    def trace(_frame: FrameType, event: str, _argument: Any) -> Any:
        nonlocal count
        count += event == "line"
        if count > 4 * MOST_LINES:
            raise AssertionError(f"more than {count} lines")
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


@pytest.mark.usefixtures("uncovered")
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_the_largest_input_costs_a_bounded_number_of_steps(row: Row) -> None:
    """At the limit of the wire, and growing no faster than the input."""
    small, large = (lines_of(row.prepare(size)) for size in (row.size // SMALLER, row.size))

    assert large <= MOST_LINES
    assert large <= max(FEW_LINES, MOST_GROWTH * small)


@pytest.mark.parametrize(
    ("begin", "piece"),
    [
        ("https://", "."), ("https://a/", "."), ("http://www.", ","), ("1", "*"), ("a", "_"),
        ("", "]("), ("", "](a"), ("", "http://"), ("", "A."), ("", ".'"), ("", "1*"), ("&", "<"),
        ("<", "@"), ("<", "www."), ("<tel:", "a"), ("](a", ' "'),
    ],
)  # fmt: skip
def test_no_pattern_goes_back_over_what_it_has_read(begin: str, piece: str) -> None:
    """Processor time of a word eight times as long: quadratic patterns need 64 times as much."""
    small, large = (_seconds(begin + size * piece + "!") for size in (4_000, 32_000))

    assert large < 5 * SMALLER * max(small, 0.000_2)


def _seconds(word: str) -> float:
    taken = []
    for _ in range(3):
        begin = time.thread_time()
        clean_word(word)
        taken.append(time.thread_time() - begin)
    return min(taken)


def test_longest_word_is_longer_than_what_people_write() -> None:
    """Links have up to 2,000 characters or so: they stay whole."""
    assert LONGEST_WORD >= 2_000
