"""What follows a relay session: the decision behind `POST /twiml/action`.

Twilio requests the action URL when a session has ended or failed, and again when a transfer is
over (https://www.twilio.com/docs/voice/twiml/connect/conversationrelay). A completed session means
that the caller hung up. A call that cannot be reconnected is transferred, or hears an apology.
While the table cannot be read, Twilio is asked to repeat the request `MOST_ATTEMPTS` times.
"""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from enum import Enum, StrEnum, auto

from agent.call.lifecycle import QUIET, HandoffData, ReasonCode
from agent.call.resumption import ResumeCause

MOST_ATTEMPTS = 15
"""Repeated requests while the table cannot be read: about 30 seconds."""
_NORMAL_CLOSURE, _GOING_AWAY = 1000, 1001  # close codes of RFC 6455, section 7.4.1


class SessionStatus(StrEnum):
    """`SessionStatus` of the action request; an unknown or missing value reads as `FAILED`."""

    COMPLETED = "completed"
    ENDED = "ended"
    FAILED = "failed"


class SessionFault(StrEnum):
    """Why a session failed, as far as it decides what follows."""

    CONNECTION = "connection"
    """The socket, the process or a provider failed: a new session may work."""
    SPEECH_SETTINGS = "speech_settings"
    """Twilio refused the attributes of voice or transcription: use its defaults."""
    UNAVAILABLE = "unavailable"
    """A new session would fail as well."""
    CALLER_GONE = "caller_gone"


class TransferOutcome(Enum):
    """How a transfer ended."""

    COMPLETED = auto()
    UNANSWERED = auto()
    CALLER_GONE = auto()


@dataclass(frozen=True, slots=True)
class ActionReport:
    """A request to the action URL, parsed."""

    status: SessionStatus = SessionStatus.FAILED
    _: KW_ONLY
    is_call_completed: bool = False
    handoff: HandoffData | None = None
    """Of our `end` frame; None if there is none, or it is not ours."""
    transfer: TransferOutcome | None = None
    repeated: ResumeCause | None = None
    """Cause in an `AskAgain` of ours that this request follows."""


@dataclass(frozen=True, slots=True)
class CallOver:
    """Nothing follows."""


@dataclass(frozen=True, slots=True)
class HangUpCall:
    """End the call."""


@dataclass(frozen=True, slots=True)
class Apologize:
    """Say that the connection was lost, then end the call."""


@dataclass(frozen=True, slots=True)
class Reconnect:
    """Connect the call to a new relay session, perhaps with Twilio's own voice settings."""

    cause: ResumeCause
    with_default_speech: bool = False


@dataclass(frozen=True, slots=True)
class Transfer:
    """Transfer the call to the target of its use case, if there is one that can be reached."""

    handoff: HandoffData
    without_target: Reconnect | Apologize


@dataclass(frozen=True, slots=True)
class AskAgain:
    """Have Twilio repeat the request after a pause."""

    cause: ResumeCause
    attempt: int
    """From 1. The caller is asked for patience at the first one only."""


NextStep = CallOver | HangUpCall | Apologize | Reconnect | Transfer | AskAgain

GIVE_UP = Transfer(HandoffData(ReasonCode.LIVE_AGENT, "technical trouble"), Apologize())

_AFTER_TRANSFER: dict[TransferOutcome, NextStep] = {
    TransferOutcome.COMPLETED: HangUpCall(),
    TransferOutcome.UNANSWERED: Reconnect(ResumeCause.NOBODY),
    TransferOutcome.CALLER_GONE: CallOver(),
}
AFTER_FAILURE: dict[SessionFault, NextStep] = {
    SessionFault.CONNECTION: Reconnect(ResumeCause.LOST),
    SessionFault.SPEECH_SETTINGS: Reconnect(ResumeCause.LOST, with_default_speech=True),
    SessionFault.UNAVAILABLE: GIVE_UP,
    SessionFault.CALLER_GONE: HangUpCall(),
}
"""What follows a session that failed."""


def after_session(report: ActionReport) -> NextStep | None:
    """What follows; None if the session failed: see `AFTER_FAILURE`."""
    if report.is_call_completed or report.status is SessionStatus.COMPLETED:
        return CallOver()
    if report.transfer is not None:
        return _AFTER_TRANSFER[report.transfer]
    if report.repeated is not None:
        return Reconnect(report.repeated)
    if report.status is not SessionStatus.ENDED or report.handoff is None:
        return None
    match report.handoff.code:
        case ReasonCode.GOODBYE:
            return HangUpCall()
        case ReasonCode.SERVER_DRAIN:
            was_quiet = report.handoff.reason == QUIET
            return Reconnect(ResumeCause.HANDED_OVER if was_quiet else ResumeCause.LOST)
        case _:  # LIVE_AGENT
            return Transfer(report.handoff, Reconnect(ResumeCause.NOBODY))


def after_store_error(cause: ResumeCause, attempts: int) -> AskAgain | Apologize:
    """What follows a `Reconnect` that failed because the table could not be read."""
    if attempts >= MOST_ATTEMPTS:
        return Apologize()
    return AskAgain(cause, attempts + 1)


def is_lost_connection(close_code: int | None, *, sent_end: bool) -> bool:
    """Whether Twilio asks for what follows; `sent_end`: we sent `end`, or gave the socket up."""
    return not sent_end and close_code not in {_NORMAL_CLOSURE, _GOING_AWAY}
