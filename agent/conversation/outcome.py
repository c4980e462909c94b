"""What a finished tool leaves behind: a result for the model and perhaps an effect on the call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from agent.conversation.actions import Play, SendDigits, SwitchLanguage


@dataclass(frozen=True, slots=True)
class HangUp:
    """End the call once the goodbye was heard; a caller who speaks before that takes it back."""


@dataclass(frozen=True, slots=True)
class Handoff:
    """Pass the call to a person once the sentence about it was heard; cannot be taken back."""

    reason: str
    summary: str = ""
    slots: Mapping[str, str] = field(default_factory=dict)
    """What was found out so far, by name."""


Ending = HangUp | Handoff
Effect = Ending | Play | SendDigits | SwitchLanguage


@dataclass(frozen=True, slots=True)
class ToolOutcome:
    """The one outcome of a tool run."""

    content: str
    """JSON text for the model, never blank, bounded by the tool framework."""
    is_error: bool = False
    effect: Effect | None = None
