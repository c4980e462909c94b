"""Everything that can happen to a call.

One call has one inbox of these, and one `Conversation` that receives them in the order they were
put in. Whoever learns of something (the line, a reply, a tool, a timer, the process) says so with
an event and decides nothing itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from agent.call.actions import Timer, ToolOutcome
from agent.call.config import CallConfig
from agent.call.messages import StopReason, ToolCall, Usage


class EndReason(StrEnum):
    """Why a call ended; every call has exactly one (practice section 15)."""

    CALLER_HANGUP = "caller_hangup"
    AGENT_END = "agent_end"
    TRANSFER = "transfer"
    IDLE = "idle"
    MAX_DURATION = "max_duration"
    ERROR_MODEL = "error_model"
    ERROR_RELAY = "error_relay"
    DRAIN = "drain"
    CALLER_SPEND = "caller_spend"


@dataclass(frozen=True, slots=True)
class CallStarted:
    """The line is open. The greeting, if there is one, is being played by the relay."""


@dataclass(frozen=True, slots=True)
class CallerSpoke:
    """The caller's words as heard by speech-to-text."""

    text: str
    is_final: bool = True
    """False for a partial transcript: cumulative, may still change."""
    language: str = ""


@dataclass(frozen=True, slots=True)
class CallerInterrupted:
    """The caller broke in; the playback has already stopped."""

    heard: str
    """What was played before the cut, as the relay reports it; may be empty."""
    after_ms: int | None = None
    """Playback time until the cut, if it was given."""


@dataclass(frozen=True, slots=True)
class CallerPressed:
    """One key of the keypad: `0`-`9`, `*` or `#`."""

    digit: str


class Playback(StrEnum):
    """What a playback report tells (relay reference section 2.7)."""

    AGENT_ON = "agent_on"
    AGENT_OFF = "agent_off"
    CALLER_ON = "caller_on"
    CALLER_OFF = "caller_off"
    PLAYED = "played"


@dataclass(frozen=True, slots=True)
class PlaybackReported:
    """The relay tells who makes a sound, or which text it has just played."""

    report: Playback
    text: str = ""
    """Only with `PLAYED`."""


@dataclass(frozen=True, slots=True)
class ReplyDelta:
    """Some more text of a reply."""

    reply: int
    text: str


@dataclass(frozen=True, slots=True)
class ReplyFinished:
    """A reply is complete; it asks for `calls`, in this order."""

    reply: int
    calls: tuple[ToolCall, ...] = ()
    stop: StopReason = StopReason.END


class ReplyFault(StrEnum):
    """Why a reply could not be finished."""

    TIMEOUT = "timeout"
    THROTTLED = "throttled"
    UNAVAILABLE = "unavailable"
    REFUSED = "refused"
    """The provider will not accept this request, however often it is made."""
    TOO_LONG = "too_long"
    """The request is larger than the model reads."""
    DENIED = "denied"
    """This model is not to be had: no access, no such model, no valid credentials."""
    INTERNAL = "internal"


@dataclass(frozen=True, slots=True)
class ReplyFailed:
    """A reply ended early; nothing more of it will come."""

    reply: int
    fault: ReplyFault


@dataclass(frozen=True, slots=True)
class TokensCounted:
    """What a reply has cost; may come after it was finished or left behind."""

    reply: int | None
    """`None` = it was a summary."""
    usage: Usage


@dataclass(frozen=True, slots=True)
class Summarized:
    """A summary that was asked for is there."""

    summary: int
    text: str
    """As the model wrote it; may be blank."""


@dataclass(frozen=True, slots=True)
class SummaryFailed:
    """There will be no summary of this number."""

    summary: int


@dataclass(frozen=True, slots=True)
class ToolFinished:
    """A tool has run or failed; comes once for each `RunTool` that is not cancelled."""

    call_id: str
    outcome: ToolOutcome


@dataclass(frozen=True, slots=True)
class TimerFired:
    """A timer started with this serial has run out."""

    timer: Timer
    serial: int


@dataclass(frozen=True, slots=True)
class CallConfigChanged:
    """The use case was edited; what is begun from now on follows the new brief."""

    brief: CallConfig


@dataclass(frozen=True, slots=True)
class AllowanceSpent:
    """The caller's calls have cost as much as they may; no further turn is to be begun."""


class ShutdownMode(StrEnum):
    """How a process leaves its calls."""

    WHEN_QUIET = "when_quiet"
    """Another process takes the call over at the next quiet moment."""
    AT_ONCE = "at_once"
    """The same, whatever is going on: there is no more time."""
    GOODBYE = "goodbye"
    """Nobody takes it over: the caller is told that the call ends."""


@dataclass(frozen=True, slots=True)
class ServiceStopping:
    """The process will go away."""

    departure: ShutdownMode = ShutdownMode.WHEN_QUIET


@dataclass(frozen=True, slots=True)
class CallEnded:
    """The line is gone; nothing can be said any more."""

    reason: EndReason = EndReason.CALLER_HANGUP


Event = (
    CallStarted
    | CallerSpoke
    | CallerInterrupted
    | CallerPressed
    | PlaybackReported
    | ReplyDelta
    | ReplyFinished
    | ReplyFailed
    | TokensCounted
    | Summarized
    | SummaryFailed
    | ToolFinished
    | TimerFired
    | CallConfigChanged
    | AllowanceSpent
    | ServiceStopping
    | CallEnded
)
