"""When edits are read, and what waits for them."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from agent.call.events import (
    CallerInterrupted,
    CallerPressed,
    CallerSpoke,
    Event,
    Playback,
    PlaybackReported,
)
from agent.call.turn_preparation import PlaybackClock, Preparation, TurnPreparation

WORDS, PARTIAL, KEY = CallerSpoke("Two."), CallerSpoke("Tw", is_final=False), CallerPressed("1")
VOICE, NOISE = PlaybackReported(Playback.CALLER_ON), CallerInterrupted("")
EVENTS = st.lists(st.sampled_from([WORDS, PARTIAL, KEY, VOICE, NOISE]), min_size=1)
ASK, WAIT, BOTH = Preparation(asks=True), Preparation(waits=True), Preparation(True, True)


def prepared(*events: Event) -> list[Preparation]:
    turns = TurnPreparation()
    return [turns.before(event) for event in events]


def test_reading_begins_with_the_voice_and_the_words_wait_for_it() -> None:
    """Words that nothing announced ask and wait; so does every key; an interrupt does neither."""
    assert prepared(VOICE, PARTIAL, PARTIAL, WORDS, WORDS, PARTIAL, KEY, WORDS, NOISE) == [
        ASK, Preparation(), Preparation(), WAIT, BOTH, ASK, BOTH, WAIT, Preparation(),
    ]  # fmt: skip


@given(EVENTS)
def test_only_a_complete_turn_waits_and_never_without_having_asked(events: list[Event]) -> None:
    steps = prepared(*events)

    assert [step.waits for step in steps] == [event in (WORDS, KEY) for event in events]
    asked = False
    for event, step in zip(events, steps, strict=True):
        asked |= step.asks
        assert asked or not step.waits
        asked &= event is not WORDS


@given(EVENTS)
def test_partial_words_ask_at_most_once_in_a_turn(events: list[Event]) -> None:
    steps = list(zip(events, prepared(*events), strict=True))

    for (before, _), (event, step) in pairwise(steps):
        assert not (step.asks and event is PARTIAL and before in (PARTIAL, VOICE))


def test_final_words_carry_how_long_the_agent_had_been_heard() -> None:
    clock = PlaybackClock()

    timed = [
        clock.timed(WORDS, 1.0),
        clock.timed(PlaybackReported(Playback.AGENT_ON), 2.0),
        clock.timed(PARTIAL, 2.5),
        clock.timed(WORDS, 3.25),
        clock.timed(PlaybackReported(Playback.AGENT_OFF), 4.0),
        clock.timed(WORDS, 5.0),
    ]

    assert timed[0] == timed[5] == WORDS
    assert timed[2] == PARTIAL
    assert timed[3] == CallerSpoke("Two.", after_ms=1250)
