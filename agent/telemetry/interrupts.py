"""How a caller broke in, told by the event and what it led to."""

from __future__ import annotations

from collections.abc import Sequence

from agent.conversation.actions import Action, CancelReply, Record
from agent.conversation.events import CallerInterrupted, CallerPressed, CallerSpoke, Event


def interrupt_kind(event: Event, actions: Sequence[Action]) -> str:
    """`speech`, `new_words`, `keypad`, `empty` (it stopped nothing); empty text if nobody did."""
    match event:
        case CallerInterrupted():
            is_real = any(isinstance(action, CancelReply | Record) for action in actions)
            return "speech" if is_real else "empty"
        case CallerSpoke() if _cuts(actions):
            return "new_words"
        case CallerPressed() if _cuts(actions):
            return "keypad"
        case _:
            return ""


def _cuts(actions: Sequence[Action]) -> bool:
    return any(isinstance(action, CancelReply) for action in actions)
