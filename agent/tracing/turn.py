"""What is known of a turn before its span is closed, and the steps of a call that matter to it."""

from __future__ import annotations

from dataclasses import dataclass, field

from agent.conversation.actions import Timer
from agent.conversation.events import (
    CallerPressed,
    CallerSpoke,
    Event,
    TimerFired,
)
from agent.tracing.spans import Open

_ANSWERS_CALLER = frozenset({Timer.HOLD, Timer.DIGITS, Timer.RETRY})
"""When these run out, what the caller said or pressed is taken as complete."""


@dataclass(slots=True)
class Turn:
    """One turn of the caller."""

    began: float
    words: list[str] = field(default_factory=list)
    open: Open | None = None
    """None = nothing was done about it yet."""
    is_answered: bool = False
    is_failed: bool = False
    interrupted: str = ""
    over: float = 0.0

    @property
    def outcome(self) -> str:
        """As of the log line `turn.finished`."""
        if self.interrupted:
            return "interrupted"
        if self.is_failed:
            return "failed"
        return "answered" if self.is_answered else "silent"


def answers_caller(event: Event) -> bool:
    """What is said in this step is said because of the caller's words or keys."""
    if isinstance(event, TimerFired):
        return event.timer in _ANSWERS_CALLER
    return isinstance(event, CallerSpoke | CallerPressed)
