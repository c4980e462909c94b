"""What the caller says and types, as facts."""

from __future__ import annotations

from agent.call.actions import Record, StartTimer, StopTimer, Timer
from agent.call.caller_input import REPEAT_MS, CallerInput
from agent.call.history import AgentSaid, CallerBegan, CallerSaid, History, InputMode
from agent.call.timers import TimerSet


def ear_with(history: History) -> CallerInput:
    return CallerInput(history, TimerSet())


def test_a_beginning_takes_no_place() -> None:
    """The fact that follows is kept at its position."""
    ear = ear_with(History([AgentSaid("Hello.")]))

    assert ear.notice() == Record(1, CallerBegan())
    assert ear.hear("Two pizzas.") == [
        Record(1, CallerSaid("Two pizzas.")),
        StartTimer(Timer.REPEAT, 1, REPEAT_MS),
    ]


def test_keys_are_one_entry() -> None:
    """The beginning is noted once, and each key may be the last (practice section 16)."""
    ear = ear_with(History())

    typed = [ear.collect("4", 3_000), ear.collect("2", 3_000), ear.collect("#", 3_000)]

    assert typed == [
        [Record(0, CallerBegan()), StartTimer(Timer.DIGITS, 1, 3_000)],
        [StartTimer(Timer.DIGITS, 2, 3_000)],
        [StopTimer(Timer.DIGITS), Record(0, CallerSaid("4 2", InputMode.KEYPAD))],
    ]
    assert not ear.is_typing


def test_an_entry_without_keys_is_no_fact() -> None:
    """All was taken back, or nothing was typed."""
    ear = ear_with(History())
    nothing = ear.complete_entry()
    ear.collect("4", 3_000)
    ear.collect("*", 3_000)
    was_typing = ear.is_typing

    taken_back = ear.complete_entry()

    assert (nothing, was_typing, taken_back) == ([], True, [StopTimer(Timer.DIGITS)])


def test_words_and_other_keys_complete_an_entry() -> None:
    """It was typed before."""
    ear = ear_with(History())
    ear.collect("4", 3_000)
    heard = ear.hear("Two pizzas.")
    ear.collect("2", 3_000)
    pressed = ear.press("0")

    assert heard == [
        StopTimer(Timer.DIGITS),
        Record(0, CallerSaid("4", InputMode.KEYPAD)),
        Record(1, CallerSaid("Two pizzas.")),
        StartTimer(Timer.REPEAT, 2, REPEAT_MS),
    ]
    assert pressed == [
        StopTimer(Timer.DIGITS),
        Record(2, CallerSaid("2", InputMode.KEYPAD)),
        Record(3, CallerSaid("0", InputMode.KEYPAD)),
    ]
