"""The floor: the agent's, the caller's, or nobody's."""

from __future__ import annotations

import pytest

from agent.call.actions import Record, StartTimer, StopTimer, Timer
from agent.call.agent_output import AgentOutput
from agent.call.caller_input import CallerInput
from agent.call.config import Limits, Phrases
from agent.call.history import CallerBegan, History
from agent.call.timers import TimerSet
from agent.call.turn_taking import FillerPolicy, TurnTaking

LIMITS = Limits(idle_ms=(8_000,), hold_ms=700, goodbye_ms=9_000)


class Room:
    """A floor and those who may have it; ten characters take a second."""

    def __init__(self) -> None:
        history = History()
        self.clocks = TimerSet()
        self.mouth = AgentOutput(history, characters_per_second=10)
        ear, patience = CallerInput(history, self.clocks), FillerPolicy(Phrases(), LIMITS)
        self.floor = TurnTaking(ear, self.mouth, patience, self.clocks)


def test_the_agent_keeps_the_floor_until_its_words_are_played() -> None:
    """With a second for a slow voice, and never longer than the limit."""
    room = Room()
    room.floor.listen()
    room.mouth.say_whole("0123456789")

    assert room.floor.keep(60_000) == [
        StopTimer(Timer.IDLE),
        StartTimer(Timer.PLAYBACK, 2, 2_000),
    ]
    assert room.floor.keep(1_500) == [StartTimer(Timer.PLAYBACK, 3, 1_500)]


def test_it_is_quiet_while_nobody_has_the_floor() -> None:
    """Neither before the silence begins nor when the caller is about to speak."""
    room = Room()
    before = room.floor.is_quiet
    room.floor.listen()
    silent = room.floor.is_quiet
    room.floor.give()
    given = room.floor.is_quiet

    room.floor.take()

    assert (before, silent, given, room.floor.is_quiet) == (False, True, False, True)


def test_the_caller_begins_once() -> None:
    """Until the words are there."""
    floor = Room().floor

    given = [floor.give(), floor.give()]
    floor.take()

    assert given == [[Record(0, CallerBegan())], []]
    assert floor.give() == [Record(0, CallerBegan())]


@pytest.mark.parametrize(
    ("is_revocable", "waits"),
    [
        (False, [(Timer.HOLD, 700), (Timer.IDLE, 8_000)]),
        (True, [(Timer.PLAYBACK, 9_000), (Timer.HOLD, 700), (Timer.IDLE, 8_000)]),
    ],
)
def test_a_caller_who_is_speaking_is_waited_for(
    waits: list[tuple[Timer, int]], *, is_revocable: bool
) -> None:
    """The last words of the call too, if the caller can take the end back."""
    room = Room()
    room.floor.hold("I want a", "I want a", LIMITS)
    room.floor.keep(60_000)
    room.floor.listen()

    began, *noticed = room.floor.notice_caller(LIMITS, is_revocable=is_revocable)

    started = [(one.timer, one.after_ms) for one in noticed if isinstance(one, StartTimer)]
    assert began == Record(0, CallerBegan())
    assert started == waits


def test_noise_begins_the_silence_anew() -> None:
    """Only a silence that is watched."""
    room = Room()
    before = room.floor.notice_noise()
    room.floor.listen()

    assert (before, room.floor.notice_noise()) == ([], [StartTimer(Timer.IDLE, 2, 8_000)])


def test_a_voice_that_is_late_ends_the_silence() -> None:
    """The relay has begun to play what we took for played."""
    room = Room()
    room.mouth.say_whole("0123456789")
    expected = room.floor.note_playing()
    room.floor.listen()

    assert expected == []
    assert room.floor.note_playing() == [
        StopTimer(Timer.IDLE),
        StartTimer(Timer.PLAYBACK, 2, 2_000),
    ]


def test_the_end_of_the_playback_frees_the_floor() -> None:
    """Not that of an utterance before the last one (practice section 3)."""
    room = Room()
    room.mouth.say_whole("One.")
    room.floor.note_playing()
    room.mouth.say_whole("Two.")
    room.floor.keep(60_000)

    first = room.floor.note_played_out(is_ending=False)
    last = room.floor.note_played_out(is_ending=False)

    assert (first, last) == ([], [StopTimer(Timer.PLAYBACK)])
    assert room.floor.note_played_out(is_ending=False) == []


def test_a_call_does_not_end_while_the_caller_begins_to_speak() -> None:
    """The words may take the end back."""
    room = Room()
    room.mouth.say_whole("Goodbye.")
    room.floor.keep(60_000)
    room.floor.give()

    assert room.floor.note_played_out(is_ending=True) == []
    assert room.floor.note_played_out(is_ending=False) == [StopTimer(Timer.PLAYBACK)]


@pytest.mark.parametrize(
    ("said", "is_played", "is_promised", "text", "expected"),
    [
        ("We have pizza.", True, False, "Okay.", True),
        ("We have pizza.", False, False, "Okay.", False),
        ("One moment.", False, True, "Okay.", True),
        ("Which size?", False, True, "Okay.", False),
        ("Shall I order it?", True, False, "Yes.", False),
        ("We have pizza.", True, False, "Two pizzas.", False),
        ("One moment.", False, True, "Two pizzas.", False),
    ],
)
def test_a_nod_is_for_an_agent_who_speaks_or_will_and_has_not_asked(
    said: str, text: str, *, is_played: bool, is_promised: bool, expected: bool
) -> None:
    """Practice section 4.2."""
    room = Room()
    room.mouth.say_whole(said)
    if is_played:
        room.floor.note_playing()

    assert room.floor.is_nod(text, is_promised=is_promised) is expected
