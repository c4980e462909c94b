"""Everything that can happen to a call.

The transport, the model, tools, timers and the process report events; they decide nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from agent.call.actions import ToolOutcome
from agent.call.config import CallConfig
from agent.call.messages import StopReason, ToolCall, Usage
from agent.call.timers import Timer


class EndReason(StrEnum):
    """Why a call ended; every call has exactly one."""

    CALLER_HANGUP = "caller_hangup"
    AGENT_END = "agent_end"
    TRANSFER = "transfer"
    IDLE = "idle"
    MAX_DURATION = "max_duration"
    ERROR_MODEL = "error_model"
    ERROR_RELAY = "error_relay"
    DRAIN = "drain"
    CALLER_SPEND = "caller_spend"
    CALL_SPEND = "call_spend"
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class CallStarted:
    """The relay is connected. It plays the greeting, if there is one."""


@dataclass(frozen=True, slots=True)
class CallerSpoke:
    """A transcript of speech-to-text."""

    text: str
    is_final: bool = True
    """False = partial: cumulative, may still change."""
    language: str = ""
    """BCP 47; empty = not reported."""
    after_ms: int | None = None
    """Since the agent began to be heard; None = it is silent, or not reported."""


@dataclass(frozen=True, slots=True)
class CallerInterrupted:
    """Barge-in: the relay has stopped the playback; what it reports as heard may be empty."""

    heard: str
    after_ms: int | None = None


@dataclass(frozen=True, slots=True)
class CallerPressed:
    """One key of the keypad: `0`-`9`, `*` or `#`."""

    digit: str


class Playback(StrEnum):
    """What a playback report says; see docs/reference/relay.md."""

    AGENT_ON = "agent_on"
    AGENT_OFF = "agent_off"
    CALLER_ON = "caller_on"
    CALLER_OFF = "caller_off"
    PLAYED = "played"


@dataclass(frozen=True, slots=True)
class PlaybackReported:
    """The relay reports which side makes a sound, or which text it has played."""

    report: Playback
    text: str = ""


@dataclass(frozen=True, slots=True)
class ReplyDelta:
    """A piece of the text of a reply."""

    reply: int
    text: str


@dataclass(frozen=True, slots=True)
class ReplyFinished:
    """A reply is complete; it calls these tools, in this order."""

    reply: int
    calls: tuple[ToolCall, ...] = ()
    stop: StopReason = StopReason.END
    text: str = ""
    """Its last piece, if that came together with the end."""


class ReplyFault(StrEnum):
    """Why a reply failed."""

    TIMEOUT = "timeout"
    THROTTLED = "throttled"
    UNAVAILABLE = "unavailable"
    REFUSED = "refused"
    """The provider refuses this request; a retry does not help."""
    TOO_LONG = "too_long"
    DENIED = "denied"
    """No access to this model, no such model, or no valid credentials."""
    INTERNAL = "internal"
    NOT_ASKED = "not_asked"
    """A request ahead that the process cannot spare (`agent.call.speculation`)."""


@dataclass(frozen=True, slots=True)
class ReplyFailed:
    """A reply ended early; no further event of it follows."""

    reply: int
    fault: ReplyFault
    reason: str = ""
    """Provider, code, status and remedy, for operators; no personal data."""


@dataclass(frozen=True, slots=True)
class TokensCounted:
    """Token usage of a request; may come after the reply was finished or cancelled."""

    reply: int | None
    """`None` = a summary."""
    usage: Usage


@dataclass(frozen=True, slots=True)
class Summarized:
    """A requested summary is complete."""

    summary: int
    text: str


@dataclass(frozen=True, slots=True)
class SummaryFailed:
    """A requested summary failed."""

    summary: int


@dataclass(frozen=True, slots=True)
class ToolFinished:
    """A tool has run or failed; comes once for each `RunTool` that is not cancelled."""

    call_id: str
    outcome: ToolOutcome


@dataclass(frozen=True, slots=True)
class TimerFired:
    """A timer that was started with this serial has run out."""

    timer: Timer
    serial: int


@dataclass(frozen=True, slots=True)
class CallConfigChanged:
    """The use case was edited; what begins from now on uses the new configuration."""

    config: CallConfig


@dataclass(frozen=True, slots=True)
class AllowanceSpent:
    """A spending limit is reached; no further turn begins."""

    of_call: bool = False
    """The limit of this call; else that of all calls of the caller."""


class OperatorAct(StrEnum):
    """What a person who watches the call does; see `agent.call.operator_acts`."""

    WHISPER = "whisper"
    """A note to the model, which the caller does not hear."""
    SAY = "say"
    """The caller hears these words in place of what the agent is about to say."""
    TAKE_OVER = "take_over"
    GIVE_BACK = "give_back"
    TRANSFER = "transfer"
    END = "end"


@dataclass(frozen=True, slots=True)
class OperatorActed:
    """A person who watches the call acts on it."""

    act: OperatorAct
    text: str = ""
    """Of a whisper, or what is said; without it these two do nothing."""
    operator: str = ""
    """The name of the person's key, for the audit."""


class ShutdownMode(StrEnum):
    """What a stopping process does with its calls; the first two hand them over."""

    WHEN_QUIET = "when_quiet"
    AT_ONCE = "at_once"
    GOODBYE = "goodbye"


@dataclass(frozen=True, slots=True)
class ServiceStopping:
    """The process is about to stop."""

    mode: ShutdownMode = ShutdownMode.WHEN_QUIET


@dataclass(frozen=True, slots=True)
class CallEnded:
    """The connection is gone; nothing can be said any more."""

    reason: EndReason = EndReason.CALLER_HANGUP


ReplyEvent = ReplyDelta | ReplyFinished | ReplyFailed
CallerEvent = CallerSpoke | CallerInterrupted | CallerPressed | PlaybackReported
ModelEvent = ReplyEvent | TokensCounted | Summarized | SummaryFailed
ProcessEvent = (
    CallStarted | CallConfigChanged | AllowanceSpent | OperatorActed | ServiceStopping | CallEnded
)
Event = CallerEvent | ModelEvent | ToolFinished | TimerFired | ProcessEvent
