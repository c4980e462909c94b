"""How a caller broke in, told by the event and what it led to.

Whether Twilio reports the silence of the agent before the interrupt that made it or after it, is
not documented (relay reference section 8). So what was being played counts as interrupted also when
the interrupt comes just after that report.
"""

from __future__ import annotations

from agent.conversation.actions import CancelReply, Record
from agent.conversation.events import CallerInterrupted, CallerPressed, CallerSpoke
from agent.ports import Moment

ORDER_SECONDS = 0.5
"""Later than this an interrupt is of something else than what has just been played."""


def interrupt_kind(moment: Moment) -> str:
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


def _cuts(moment: Moment) -> bool:
    return any(isinstance(action, CancelReply) for action, _ in moment.deeds)
