"""The errors of this service."""

from __future__ import annotations

import re
from enum import StrEnum

from agent.call.events import ReplyFault

_PROVIDER_KIND = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


def provider_kind(told: object) -> str:
    """What a provider calls its error, for logs, metrics and texts of errors.

    A provider, or what stands between, may send anything there. Returns a short token as it is, an
    empty text for nothing, and `unreadable` for all else.
    """
    if told is None or told == "":
        return ""
    is_short = isinstance(told, int) and abs(told) < 10**9
    text = str(told) if is_short or isinstance(told, str) else " "
    return text if _PROVIDER_KIND.fullmatch(text.removeprefix("-")) else "unreadable"


class AgentError(Exception):
    """The root of every error of this service."""


class RelayProtocolError(AgentError):
    """A frame that cannot be read; the call goes on. `kind` is from a closed list, for counting."""

    def __init__(self, kind: str, detail: str = "") -> None:
        super().__init__(f"{kind}: {detail}" if detail else kind)
        self.kind = kind


class ModelError(AgentError):
    """A reply could not be made or not be finished."""

    def __init__(self, fault: ReplyFault, detail: str = "") -> None:
        super().__init__(f"{fault}: {detail}" if detail else fault)
        self.fault = fault


class ToolError(AgentError):
    """A tool cannot do what it was asked; the text is told to the model in clear."""


class StoreError(AgentError):
    """The table cannot be reached, or refused the request. The text has nothing of the item.

    Whether a writing was made is then unknown. Asking again may help.
    """


class StoreRefusedError(StoreError):
    """The table takes no such item or key, and nothing was written: asking again is useless.

    The narrow class is the one that gives up: an adapter that does not know why a request failed
    raises `StoreError`, and nothing is thrown away for that. Rejected: a class for a table that
    cannot be reached, beside which every fault nobody thought of would cost what was to be written.
    """


class MessageRefusal(StrEnum):
    """Why a message was not sent."""

    OPTED_OUT = "opted out"
    """The recipient wants none."""
    RECIPIENT = "recipient"
    """It cannot be sent there, now or ever."""
    OTHER = "other"
    """Nothing about the recipient; it may go another time."""


class MessageError(AgentError):
    """A message was handed over, and whether it was taken is not known.

    To send it again may send it twice, so nobody does. The text has no personal data.
    """


class MessageRefusedError(MessageError):
    """Nothing was sent. As with `StoreError`, the narrow class is the one that is sure."""

    def __init__(self, refusal: MessageRefusal, detail: str = "") -> None:
        super().__init__(f"{refusal}: {detail}" if detail else refusal)
        self.refusal = refusal


class DialFault(StrEnum):
    """Why somebody is not called."""

    UNCONFIGURED = "unconfigured"
    NUMBER = "number"
    CALLER_ID = "caller_id"
    USE_CASE = "use_case"
    LIMITED = "limited"
    REFUSED = "refused"
    """By the carrier; nobody's telephone rings."""
    UNREACHABLE = "unreachable"
    """The carrier; whether it rings is not known."""


class DialError(AgentError):
    """Somebody is not called; `detail` is one line for the operator, without numbers."""

    def __init__(self, fault: DialFault, detail: str) -> None:
        super().__init__(f"{fault}: {detail}")
        self.fault = fault
        self.detail = detail


class UseCaseError(AgentError):
    """A use-case record is broken: `field: fault`, one line."""
