"""The stream of a reply is read in beats only while the caller has enough to listen to."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent.call.reading_pace import BEAT_SECONDS, ENOUGH_SECONDS, ReadingPace

LONG = "We are open until nine in the evening, "  # 39 characters, at most two seconds of speech


def test_every_piece_counts_until_a_second_of_speech_is_ahead() -> None:
    pace = ReadingPace()
    before = pace.pause(10.0)
    pace.note_speech("Yes, ", 10.0)
    first_word = pace.pause(10.0)
    pace.note_speech(LONG, 10.2)

    assert (before, first_word, pace.pause(10.2)) == (0.0, 0.0, BEAT_SECONDS)


def test_every_piece_counts_again_when_the_caller_has_heard_most() -> None:
    pace = ReadingPace()
    pace.note_speech(LONG, 10.0)

    assert [pace.pause(at) for at in (10.9, 11.0, 11.9, 30.0)] == [BEAT_SECONDS, 0.0, 0.0, 0.0]

    pace.note_speech("too. ", 30.0)  # what was heard long ago is not ahead
    assert pace.pause(30.0) == 0.0


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 80)), max_size=20))
def test_a_beat_never_outlasts_the_speech(steps: list[tuple[int, int]]) -> None:
    """Even a voice of 20 characters a second has words left when a pause ends."""
    pace, now, ends = ReadingPace(), 0.0, 0.0
    for tenths, characters in steps:
        now += tenths / 10
        pace.note_speech("a" * characters, now)
        ends = max(ends, now) + characters / 20
        assert not pace.pause(now) or now + BEAT_SECONDS < ends
        assert pace.pause(now) or ends - now < ENOUGH_SECONDS
