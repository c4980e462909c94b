"""Errors of Bedrock, of HTTP or inside a stream → `ModelError`.

https://docs.aws.amazon.com/bedrock/latest/APIReference/CommonErrors.html

The message decides where one kind stands for several faults: `ValidationException` (see
`agent.llm.option_repair`), and throttling by a daily quota.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from agent.call.events import ReplyFault
from agent.errors import ModelError, provider_kind
from agent.llm.option_repair import FAULTS_BY_STATUS, Refusal, fault_of

_KINDS_BY_FAULT = {
    ReplyFault.THROTTLED: ("throttling", "toomanyrequests", "servicequotaexceeded"),
    ReplyFault.UNAVAILABLE: (
        "serviceunavailable", "internalserver", "internalfailure", "modelerror", "modelstreamerror",
        "modelnotready",
    ),
    ReplyFault.TIMEOUT: ("modeltimeout",),
    ReplyFault.DENIED: (
        "accessdenied", "resourcenotfound", "unrecognizedclient", "expiredtoken",
        "invalidsignature", "incompletesignature", "invalidclienttokenid",
        "missingauthenticationtoken",
    ),
}  # fmt: skip
"""Names in lower case, without `Exception` or `Error`."""
_KINDS = {kind: fault for fault, kinds in _KINDS_BY_FAULT.items() for kind in kinds}
_REFUSING_KINDS = frozenset({"validation", "modelerror", "modelstreamerror"})
"""A model's own refusal may come as an error of the model."""
_VALIDATION_STATUSES = (400, 422)


class _Body(msgspec.Struct):
    type: str = msgspec.field(default="", name="__type")
    code: str = ""
    message: str = ""
    Message: str = ""


@dataclass(frozen=True, slots=True)
class BedrockError:
    """An error as Bedrock reported it."""

    kind: str
    """As `ThrottlingException`; may be empty."""
    message: str
    status: int = 0
    """Of HTTP; 0 = inside a stream."""

    @property
    def fault(self) -> ReplyFault:
        kind = _short(self.kind)
        if kind == "validation" or (not kind and self.status in _VALIDATION_STATUSES):
            return fault_of(self.message)
        if kind in _KINDS:
            return _KINDS[kind]
        default = ReplyFault.REFUSED if 400 <= self.status < 500 else ReplyFault.UNAVAILABLE
        return FAULTS_BY_STATUS.get(self.status, default)

    @property
    def refusal(self) -> Refusal | None:
        """The refusal of the request; None = it failed for another reason.

        Models without prompt caching answer `AccessDeniedException` to a cache point.
        """
        is_untyped = not self.kind and self.status in _VALIDATION_STATUSES
        is_of_request = is_untyped or _short(self.kind) in _REFUSING_KINDS
        is_of_caching = "prompt caching" in self.message.lower()
        return Refusal(self.message) if is_of_request or is_of_caching else None

    def model_error(self) -> ModelError:
        """The error to raise; without the message, which may be personal."""
        place = f"HTTP {self.status}" if self.status else "in the stream"
        is_daily = self.fault is ReplyFault.THROTTLED and "per day" in self.message.lower()
        daily = ", daily quota" if is_daily else ""
        return ModelError(self.fault, f"{self.kind or 'no kind given'} ({place}{daily})")


def parse_error(kind_header: str, body: bytes, status: int = 0) -> BedrockError:
    """Read an error; its kind is `x-amzn-errortype` of HTTP or `:exception-type` of a stream."""
    try:
        read = msgspec.json.decode(body, type=_Body)
    except (msgspec.MsgspecError, RecursionError):
        read = _Body(message=body.decode(errors="replace"))
    kind = kind_header or read.type or read.code
    without_namespace = kind.partition(":")[0].rpartition("#")[2].strip()
    return BedrockError(provider_kind(without_namespace), read.message or read.Message, status)


def _short(kind: str) -> str:
    lower = kind.lower()
    return lower.removesuffix("exception" if lower.endswith("exception") else "error")
