"""What completed an entry of the keypad, told by an event and what it led to.

A complete entry (`agent.conversation.keypad`) is recorded as said with keys. So is a key that means
something by itself; it is the only one whose record is just the key that was pressed.
"""

from __future__ import annotations

from agent.conversation.actions import Record, Timer
from agent.conversation.events import CallerPressed, CallerSpoke, Event, TimerFired
from agent.conversation.history import CallerSaid, Means
from agent.ports import Moment

_TERMINATOR = "#"


def entry_reason(moment: Moment) -> str:
    """The reason by its name; empty text if no entry was completed.

    `terminator`, `length`, `pause`; `speech` or `key` (one that means something by itself) came
    between; `ended`: the call, or our part of it.
    """
    typed = [
        action.fact.text
        for action, _ in moment.deeds
        if isinstance(action, Record)
        and isinstance(action.fact, CallerSaid)
        and action.fact.means is Means.KEYPAD
    ]
    if isinstance(moment.event, CallerPressed) and typed[-1:] == [moment.event.digit]:
        return "key" if len(typed) > 1 else ""
    return _reason(moment.event) if typed else ""


def _reason(event: Event) -> str:
    match event:
        case CallerPressed(digit):
            return "terminator" if digit == _TERMINATOR else "length"
        case TimerFired(Timer.DIGITS):
            return "pause"
        case CallerSpoke():
            return "speech"
        case _:
            return "ended"
