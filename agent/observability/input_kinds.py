"""What completed an entry of the keypad, told by an event and what it led to.

A complete entry (`agent.call.caller_input`) is recorded as said with keys. So is a key that means
something by itself; it is the only one whose record is just the key that was pressed.

How a caller broke in, told by the event and what it led to.

Whether Twilio reports the silence of the agent before the interrupt that made it or after it, is
not documented (relay reference section 8). So what was being played counts as interrupted also when
the interrupt comes just after that report.
"""

from __future__ import annotations

from agent.call.actions import CancelReply, Record
from agent.call.events import CallerInterrupted, CallerPressed, CallerSpoke, Event, TimerFired
from agent.call.history import CallerSaid, InputMode
from agent.call.timers import Timer
from agent.ports import ObservedStep

_TERMINATOR = "#"


def entry_reason(moment: ObservedStep) -> str:
    """The reason by its name; empty text if no entry was completed.

    `terminator`, `length`, `pause`; `speech` or `key` (one that means something by itself) came
    between; `ended`: the call, or our part of it.
    """
    typed = [
        action.fact.text
        for action, _ in moment.deeds
        if isinstance(action, Record)
        and isinstance(action.fact, CallerSaid)
        and action.fact.means is InputMode.KEYPAD
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


ORDER_SECONDS = 0.5
"""Later than this an interrupt is of something else than what has just been played."""


def interrupt_kind(moment: ObservedStep) -> str:
    """`speech`, `new_words`, `keypad`, `empty` (it stopped nothing); empty text if nobody did."""
    match moment.event:
        case CallerInterrupted():
            is_real = any(isinstance(action, CancelReply | Record) for action, _ in moment.deeds)
            return "speech" if is_real else "empty"
        case CallerSpoke() if _cuts(moment):
            return "new_words"
        case CallerPressed() if _cuts(moment):
            return "keypad"
        case _:
            return ""


def _cuts(moment: ObservedStep) -> bool:
    return any(isinstance(action, CancelReply) for action, _ in moment.deeds)
