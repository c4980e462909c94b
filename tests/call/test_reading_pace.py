"""The stream of a reply is left unread only while the caller has enough to listen to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.call.reading_pace import LONGEST_BEAT, ReadingPace, flush_after_ms

CLAUSE = "We are open until nine, "  # 24 characters, more than a second of speech


def test_a_beat_is_a_quarter_of_the_speech_ahead_and_ends_with_it() -> None:
    pace = ReadingPace()
    before = pace.pause(10.0)
    pace.note_speech("Yes, well, ", 10.0)
    first = pace.pause(10.0)
    pace.note_speech(CLAUSE, 10.0)

    assert (before, first) == pytest.approx((0.0, 0.1375))
    ahead = [pace.pause(at) for at in (10.0, 10.75, 11.25, 11.5, 11.7, 30.0)]
    assert ahead == pytest.approx([LONGEST_BEAT, 0.25, 0.125, 0.0625, 0.0, 0.0])


def test_what_was_heard_long_ago_is_not_ahead() -> None:
    pace = ReadingPace()
    pace.note_speech(CLAUSE * 10, 10.0)
    pace.note_speech("a", 60.0)

    assert pace.pause(60.0) == 0.0


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 80)), max_size=20))
def test_the_caller_listens_to_four_beats_in_each(steps: list[tuple[int, int]]) -> None:
    """Even to a voice of 20 characters a second."""
    pace, now, ends = ReadingPace(), 0.0, 0.0
    for tenths, characters in steps:
        now += tenths / 10
        pace.note_speech("a" * characters, now)
        ends = max(ends, now) + characters / 20
        assert pace.pause(now) <= min(LONGEST_BEAT, (ends - now) / 4 + 1e-9)


def test_words_wait_longer_for_their_clause_once_they_come_in_beats() -> None:
    assert [flush_after_ms(300, given) for given in (0, 6, 19, 20, 500)] == [300] * 3 + [600] * 2
