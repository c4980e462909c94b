"""Entries of the keypad are counted by what completed them, told by a real conversation."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from agent.call.caller_input import LONGEST_ENTRY
from agent.call.conversation import Conversation
from agent.call.events import (
    CallEnded,
    CallerPressed,
    CallerSpoke,
    CallStarted,
    EndReason,
    Event,
    TimerFired,
)
from agent.call.timers import StartTimer, Timer
from agent.observability import Telemetry
from tests.call.world import CONFIG
from tests.fakes import Clock, moment

REASONS = ("terminator", "length", "pause", "speech", "key", "ended")
PAUSE = "pause"
BOUND = "3"
"""A key with a meaning of its own."""


def counted(*happened: str | Event) -> dict[str, float]:
    """Entries by reason, after these keys, pauses or other events."""
    telemetry, conversation = Telemetry(Clock()), Conversation(CONFIG)
    observer = telemetry.call("pizza", lambda: "scripted:")
    serial = 0
    for each in (CallStarted(), *happened):
        event: Event = each if not isinstance(each, str) else CallerPressed(each)
        if each == PAUSE:
            event = TimerFired(Timer.DIGITS, serial)
        actions = conversation.receive(event)
        for action in actions:
            if isinstance(action, StartTimer) and action.timer is Timer.DIGITS:
                serial = action.serial
        observer.observe(moment(event, actions, 0.0))
    observer.ended(EndReason.CALLER_HANGUP)
    values = {why: telemetry.value("agent_keypad_entries_total", reason=why) for why in REASONS}
    return {why: value for why, value in values.items() if value}


@pytest.mark.parametrize(
    ("happened", "reason"),
    [
        (["5", "5", "#"], "terminator"),
        (["5", "#"], "terminator"),
        (["5"] * LONGEST_ENTRY, "length"),
        (["5", "5", PAUSE], "pause"),
        (["5", CallerSpoke("Two pizzas, please.")], "speech"),
        (["5", BOUND], "key"),
        (["5", CallEnded()], "ended"),
    ],
)
def test_entry_is_counted_by_what_completed_it(
    happened: Sequence[str | Event], reason: str
) -> None:
    """Once, however many keys it has."""
    assert counted(*happened) == {reason: 1.0}


@pytest.mark.parametrize(
    "happened",
    [[BOUND], ["#"], ["5", "*", PAUSE], ["5"], [CallerSpoke("Two pizzas.")]],
    ids=["a key that means something", "nothing in it", "taken back", "not complete", "words"],
)
def test_keys_that_are_no_entry_are_not_counted(happened: Sequence[str | Event]) -> None:
    """Nor is anything that is not typed."""
    assert counted(*happened) == {}


def test_each_entry_is_counted() -> None:
    """Also where the next one follows at once."""
    assert counted("5", "#", "6", "#", "7", PAUSE) == {"terminator": 2.0, "pause": 1.0}
