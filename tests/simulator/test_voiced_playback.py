"""A voice elsewhere speaks what is played, and says how far it is."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from agent.simulator.speech_playback import SpeechPlayback
from tests.simulator.test_speech_overlap import ANSWER, session


def voiced(*tokens: str, pace: float = 15.0) -> SpeechPlayback:
    playback = SpeechPlayback(pace, is_voiced=True)
    for token in tokens:
        playback.queue(token, opens_cycle=False)
    return playback


def test_time_alone_plays_no_word() -> None:
    playback = voiced("Hello there.")

    playback.advance(60.0)

    assert (playback.heard_text, playback.next_end) == ("", None)


def test_words_are_heard_as_far_as_the_voice_has_come() -> None:
    playback = voiced("Hello ", "there.")

    playback.voice_at(8)

    assert playback.heard_text == "Hello th"
    assert playback.is_playing


def test_sound_between_words_takes_its_time() -> None:
    playback = voiced("Hold on.")
    playback.queue_sound(1)
    playback.queue("Here I am.", opens_cycle=False)
    playback.advance(1.0)

    playback.voice_at(18)
    heard = playback.heard_text
    playback.advance(2.0)
    is_sound_over = playback.current is not None and playback.current.text == "Here I am."
    playback.advance(3.0)
    after = playback.current

    assert heard == "Hold on."
    assert not is_sound_over
    assert after is not None
    assert after.text == "Here I am."


def test_barge_in_reports_what_the_voice_has_said() -> None:
    call = session()
    call.playback.is_voiced = True
    call.receive(ANSWER, 0.0)
    call.playback.voice_at(4)

    call.begin_to_speak("wait", 30.0)

    frame = json.loads(call.outbox[-1])
    assert (frame["type"], frame["utteranceUntilInterrupt"]) == ("interrupt", "One ")


@given(
    st.lists(st.text("ab ", min_size=1, max_size=8), min_size=1, max_size=5),
    st.lists(st.one_of(st.integers(0, 60), st.floats(0.0, 5.0)), max_size=12),
)
def test_never_more_is_heard_than_the_voice_has_said(
    tokens: list[str], steps: list[int | float]
) -> None:
    """An integer is a report of the voice, a fraction is time that passes."""
    playback, at, furthest = voiced(*tokens), 0.0, 0

    for step in steps:
        if isinstance(step, int):
            furthest = max(furthest, step)
            playback.voice_at(step)
        else:
            at += step
            playback.advance(at)

        assert playback.heard_text == "".join(tokens)[:furthest]
