"""What Bedrock answers instead of a reply → `ModelError` (practice section 10).

Its texts may quote what the caller said, so none goes into the error: that names Bedrock's kind of
exception and the status, and is safe to log. The wording still decides in two cases, where one
exception stands for different faults: what a ValidationException means is in
`agent.llm.option_repair`; throttling may be for the day.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from agent.call.events import ReplyFault
from agent.errors import ModelError, provider_kind
from agent.llm.option_repair import RefusedOption, fault_of

_KINDS = {
    "throttling": ReplyFault.THROTTLED,
    "toomanyrequests": ReplyFault.THROTTLED,
    "servicequotaexceeded": ReplyFault.THROTTLED,
    "serviceunavailable": ReplyFault.UNAVAILABLE,
    "internalserver": ReplyFault.UNAVAILABLE,
    "internalfailure": ReplyFault.UNAVAILABLE,
    "modelerror": ReplyFault.UNAVAILABLE,
    "modelstreamerror": ReplyFault.UNAVAILABLE,
    "modelnotready": ReplyFault.UNAVAILABLE,
    "modeltimeout": ReplyFault.TIMEOUT,
    "accessdenied": ReplyFault.DENIED,
    "resourcenotfound": ReplyFault.DENIED,
    "unrecognizedclient": ReplyFault.DENIED,
    "expiredtoken": ReplyFault.DENIED,
    "invalidsignature": ReplyFault.DENIED,
    "incompletesignature": ReplyFault.DENIED,
    "invalidclienttokenid": ReplyFault.DENIED,
    "missingauthenticationtoken": ReplyFault.DENIED,
}
"""By the name without `Exception` or `Error`, in lower case: in streams it begins so."""

_OF_THE_REQUEST = frozenset({"validation", "modelerror", "modelstreamerror"})
"""A model's own refusal may come as an error of the model."""

_STATUSES = {
    401: ReplyFault.DENIED,
    403: ReplyFault.DENIED,
    404: ReplyFault.DENIED,
    408: ReplyFault.TIMEOUT,
    413: ReplyFault.TOO_LONG,
    424: ReplyFault.UNAVAILABLE,
    429: ReplyFault.THROTTLED,
}


class _Body(msgspec.Struct):
    type: str = msgspec.field(default="", name="__type")
    code: str = ""
    message: str = ""
    Message: str = ""


@dataclass(frozen=True, slots=True)
class BedrockError:
    """An error as Bedrock put it."""

    kind: str
    """`ThrottlingException` and the like; empty if it did not say."""
    message: str
    """May be personal."""
    status: int = 0
    """Of HTTP; 0 = inside a stream."""

    @property
    def fault(self) -> ReplyFault:
        """What it means for a call."""
        plain = _plain(self.kind)
        if plain == "validation":
            return fault_of(self.message)
        if plain in _KINDS:
            return _KINDS[plain]
        if not plain and self.status in (400, 422):
            return fault_of(self.message)
        if self.status in _STATUSES:
            return _STATUSES[self.status]
        is_ours = 400 <= self.status < 500
        return ReplyFault.REFUSED if is_ours else ReplyFault.UNAVAILABLE

    @property
    def refusal(self) -> RefusedOption | None:
        """What was refused, if the request as such was; None = it failed for another reason.

        Models without prompt caching answer `AccessDeniedException` to a cache point.
        """
        is_bare = not self.kind and self.status in (400, 422)
        is_request = is_bare or _plain(self.kind) in _OF_THE_REQUEST
        is_caching = "prompt caching" in self.message.lower()
        return RefusedOption(self.message) if is_request or is_caching else None

    def error(self) -> ModelError:
        """To be raised."""
        place = f"HTTP {self.status}" if self.status else "in the stream"
        daily = ", daily quota" if _is_daily(self.fault, self.message) else ""
        return ModelError(self.fault, f"{self.kind or 'no kind given'} ({place}{daily})")


def complaint(kind_header: str, body: bytes, status: int = 0) -> BedrockError:
    """Read an error.

    Args:
        kind_header: `x-amzn-errortype` of HTTP or `:exception-type` of a stream; may be empty.
        body: JSON, or whatever a proxy in between wrote.
        status: Of HTTP.
    """
    try:
        read = msgspec.json.decode(body, type=_Body)
    except (msgspec.MsgspecError, RecursionError):
        read = _Body(message=body.decode(errors="replace"))
    kind = kind_header or read.type or read.code
    return BedrockError(_bare(kind), read.message or read.Message, status)


def _bare(kind: str) -> str:
    """Without name space before `#` and address after `:`."""
    return provider_kind(kind.partition(":")[0].rpartition("#")[2].strip())


def _plain(kind: str) -> str:
    lower = kind.lower()
    return lower.removesuffix("exception" if lower.endswith("exception") else "error")


def _is_daily(fault: ReplyFault, message: str) -> bool:
    return fault is ReplyFault.THROTTLED and "per day" in message.lower()
