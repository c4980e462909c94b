"""The errors of this service, by whose fault they are and whether a retry helps.

    AgentError
    ├── RelayProtocolError        Twilio sent a frame that cannot be read; the call goes on
    ├── ModelError                a reply was not made, or not finished; `fault` says why
    ├── ToolError                 a tool cannot do what it was asked; its text is for the model
    ├── StoreError                the table cannot be reached; a retry may help
    │   └── StoreRefusedError     the table refuses this item or key; a retry does not help
    ├── MessageError              whether a message was sent is not known; no retry
    │   └── MessageRefusedError   the message was not sent; `refusal` says why
    ├── DialError                 a call was not made, or is not known to be; `fault` says why
    └── UseCaseError              a use-case record is wrong; `field: error`, one line

An error that does not leave its room is a subclass there. Adapters translate the exceptions of
libraries with `raise … from error`; none of these crosses a port.
"""

from __future__ import annotations

import re
from enum import StrEnum

from agent.call.events import ReplyFault

_PROVIDER_KIND = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


def provider_kind(reported: object) -> str:
    """The name or number of a provider's error, safe for logs, metrics and error texts.

    Nothing is an empty text; what is not a short token, as a proxy may send it, is `unreadable`.
    """
    if reported is None or reported == "":
        return ""
    is_short = isinstance(reported, int) and abs(reported) < 10**9
    text = str(reported) if is_short or isinstance(reported, str) else " "
    return text if _PROVIDER_KIND.fullmatch(text.removeprefix("-")) else "unreadable"


class AgentError(Exception):
    """The base of every error of this service."""


class RelayProtocolError(AgentError):
    """A frame that cannot be read; `kind` is from a closed list, for counting."""

    def __init__(self, kind: str, detail: str = "") -> None:
        super().__init__(f"{kind}: {detail}" if detail else kind)
        self.kind = kind


REMEDIES = {
    ReplyFault.DENIED: "Check the key or credentials, the region, and MODEL_IDENTIFIER.",
    ReplyFault.THROTTLED: "Wait, ask the provider for more, or set FALLBACK_MODEL_IDENTIFIERS.",
    ReplyFault.TIMEOUT: "For a slow model raise MODEL_FIRST_EVENT_SECONDS and the others.",
    ReplyFault.UNAVAILABLE: "Wait, or set FALLBACK_MODEL_IDENTIFIERS.",
    ReplyFault.REFUSED: "The model does not accept this request: check [model] of the use case.",
    ReplyFault.TOO_LONG: "The conversation is too long for this model.",
    ReplyFault.INTERNAL: "This is a fault of the service: the log has it.",
}
"""What helps against each fault that a model can have."""
"""What an operator can do about a fault of a model of which no more is known."""


class ModelError(AgentError):
    """A reply could not be made, or not be finished. Its text is safe for logs.

    Args:
        fault: What kind of fault it is.
        cause: Code, status and what happened; no personal data.
        remedy: What an operator can do; by default that of the fault.
        detail: What the provider said; it may be personal.
    """

    def __init__(
        self, fault: ReplyFault, cause: str = "", *, remedy: str = "", detail: str = ""
    ) -> None:
        super().__init__(fault, cause)
        self.fault = fault
        self.cause = cause or fault.value
        self.remedy = remedy or REMEDIES[fault]
        self.detail = detail
        self.provider = ""
        """Name and place of the provider; set by its adapter."""

    def __str__(self) -> str:
        return ": ".join(filter(None, (self.provider, self.cause))) + f". {self.remedy}"


class ToolError(AgentError):
    """A tool cannot do what it was asked; the model reads the text."""


class StoreError(AgentError):
    """The table failed; whether a write was made is not known. The text has nothing of the item."""


class StoreRefusedError(StoreError):
    """The table does not accept this item or key; nothing was written.

    Rejected: a class for a table that cannot be reached; every unknown error would then drop data.
    """


class MessageRefusal(StrEnum):
    """Why a message was not sent."""

    OPTED_OUT = "opted out"
    RECIPIENT = "recipient"  # no message can ever be sent to this one
    OTHER = "other"  # not because of the recipient; it may succeed another time


class MessageError(AgentError):
    """Whether a message was sent is not known; a retry could repeat it. No personal data."""


class MessageRefusedError(MessageError):
    """The message was certainly not sent."""

    def __init__(self, refusal: MessageRefusal, detail: str = "") -> None:
        super().__init__(f"{refusal}: {detail}" if detail else refusal)
        self.refusal = refusal


class DialFault(StrEnum):
    """Why a call was not made."""

    UNCONFIGURED = "unconfigured"
    NUMBER = "number"
    CALLER_ID = "caller_id"
    USE_CASE = "use_case"
    VARIABLE = "variable"
    LIMITED = "limited"
    REFUSED = "refused"  # by Twilio; no telephone rings
    UNREACHABLE = "unreachable"  # Twilio; whether the telephone rings is not known


class DialError(AgentError):
    """A call was not made; `detail` is one line for the operator, without telephone numbers."""

    def __init__(self, fault: DialFault, detail: str) -> None:
        super().__init__(f"{fault}: {detail}")
        self.fault = fault
        self.detail = detail


class RecordingError(AgentError):
    """The carrier has not begun or deleted a recording, or it is not known; no personal data.

    `status` is that of an HTTP answer, 0 without one.
    """

    def __init__(self, detail: str, status: int = 0) -> None:
        super().__init__(detail)
        self.status = status

    @property
    def is_refusal(self) -> bool:
        """Whether the carrier has certainly done nothing, and would not do it again."""
        return 400 <= self.status < 500 and self.status not in {408, 429}


class UseCaseError(AgentError):
    """A use-case record is wrong: `field: error`, one line."""
