"""Bedrock's ConverseStream on a loopback port, as strict as the service or stricter.

    async with BedrockEmulator(say("Hello there")) as bedrock:
        ...  # any client with endpoint_url=bedrock.url and any static credentials
        assert bedrock.requests[0].body["messages"] == [...]

Guessed, because the service does not document it: the message's start comes together with the
first part (`Reply.starts_early` changes that); an error type carries a namespace after a colon, as
AWS protocols allow and clients must strip; all text of a reply up to another kind of part is one
block, and a text block has no start event.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import unquote

from aiohttp import web

from tests.emulators.eventstream import event, exception, with_bad_checksum
from tests.emulators.replies import (
    BadFrame,
    Call,
    Citation,
    Fault,
    HalfFrame,
    HangUp,
    Json,
    Part,
    Reply,
    Request,
    Script,
    Stall,
    Thought,
    Unknown,
    Words,
    say,
)
from tests.emulators.server import Emulator, Refused, Send, Step
from tests.emulators.sigv4 import Keys, Signed, is_fresh, read_claim, signature
from tests.emulators.validate import faults

STATUS = {
    "AccessDeniedException": 403,
    "ExpiredTokenException": 403,
    "IncompleteSignatureException": 403,
    "InternalServerException": 500,
    "InvalidSignatureException": 403,
    "MissingAuthenticationTokenException": 403,
    "ModelErrorException": 424,
    "ModelNotReadyException": 429,
    "ModelStreamErrorException": 424,
    "ModelTimeoutException": 408,
    "ResourceNotFoundException": 404,
    "ServiceQuotaExceededException": 400,
    "ServiceUnavailableException": 503,
    "ThrottlingException": 429,
    "UnknownOperationException": 404,
    "UnrecognizedClientException": 403,
    "ValidationException": 400,
}
"""The HTTP status of each error Bedrock documents or its front door gives."""

_NAMESPACE = ":http://internal.amazon.com/coral/com.amazon.bedrock/"
_CITED = "citation"

Validator = Callable[[Mapping[str, Any], str], list[str]]


class BedrockEmulator(Emulator):
    """`POST /model/{modelId}/converse-stream`, answered by a script.

    Args:
        script: What to answer (see `replies`).
        keys: When given, the only credentials accepted, and signatures are verified.
        region: When given, the only region accepted in a signature.
        validator: What is wrong with a request; strict Bedrock by default.
    """

    content_type = "application/vnd.amazon.eventstream"

    def __init__(
        self,
        script: Script = say("Hello there."),  # noqa: B008 - a frozen value
        *,
        keys: Keys | None = None,
        region: str = "",
        validator: Validator = faults,
    ) -> None:
        super().__init__(script)
        self.expired_tokens: set[str] = set()
        """Session tokens answered with `ExpiredTokenException`; tests add to it."""
        self._keys = keys
        self._region = region
        self._validator = validator

    def _model(self, incoming: web.Request, body: Json) -> str:
        match incoming.raw_path.split("/"):
            case ["", "model", model, "converse-stream"] if incoming.method == "POST" and model:
                return unquote(model)
        raise Refused("UnknownOperationException", "Unknown operation.")

    def _authorize(self, incoming: web.Request, raw: bytes) -> None:
        headers = {name.lower(): value for name, value in incoming.headers.items()}
        if "authorization" not in headers:
            raise Refused("MissingAuthenticationTokenException", "Missing Authentication Token")
        claim = read_claim(headers["authorization"])
        if claim is None or not {"host", "x-amz-date"} <= set(claim.signed):
            raise Refused(
                "IncompleteSignatureException",
                "Authorization header requires 'Credential', 'Signature' and 'SignedHeaders'.",
            )
        if headers.get("x-amz-security-token", "") in self.expired_tokens:
            raise Refused(
                "ExpiredTokenException", "The security token included in the request is expired"
            )
        if claim.service != "bedrock" or self._region not in ("", claim.region):
            raise Refused(
                "InvalidSignatureException",
                f"Credential should be scoped to a valid region and to service 'bedrock', "
                f"not '{claim.region}/{claim.service}'.",
            )
        if self._keys is None:
            return
        if claim.key != self._keys.access_key:
            raise Refused(
                "UnrecognizedClientException",
                "The security token included in the request is invalid.",
            )
        request = Signed(incoming.method, incoming.raw_path, headers, raw)
        if not is_fresh(request, claim):
            raise Refused("InvalidSignatureException", "Signature expired or not yet current.")
        if claim.signature != signature(request, claim, self._keys.secret_key):
            raise Refused(
                "InvalidSignatureException",
                "The request signature we calculated does not match the signature you provided. "
                "Check your AWS Secret Access Key and signing method.",
            )

    def _faults(self, body: Json, model: str) -> list[str]:
        return self._validator(body, model)

    def _invalid(self, faults: list[str]) -> Refused:
        return Refused("ValidationException", faults[0])

    def _error(self, fault: Fault) -> web.Response:
        status = fault.status or STATUS[fault.kind]
        headers = {"x-amzn-errortype": fault.kind + _NAMESPACE, **dict(fault.headers)}
        return web.json_response(_explained(fault, status), status=status, headers=headers)

    def _headers(self, request: Request) -> Mapping[str, str]:
        return {"x-amzn-requestid": f"emulated-{request.index}"}

    def _steps(self, reply: Reply, request: Request) -> Iterator[Step]:
        return _steps(reply, request.index)


def _steps(reply: Reply, index: int) -> Iterator[Step]:
    start = event("messageStart", {"role": "assistant"})
    is_started = reply.starts_early
    if is_started:
        yield Send(start)
    blocks = _Blocks(index)
    for part in reply.parts:
        if not is_started and _hides_start(part):
            yield from _part(part, blocks)
            return
        if not is_started:
            yield Send(start, part.after)
            part = replace(part, after=0.0)  # noqa: PLW2901 - its pause is over
            is_started = True
        yield from _part(part, blocks)
        if isinstance(part, Stall | HangUp | HalfFrame | Fault):
            return
    if not is_started:
        yield Send(start)
    yield from blocks.close()
    yield Send(event("messageStop", {"stopReason": reply.stop_reason}))
    yield Send(event("metadata", _metadata(reply)), reply.metadata_after)


def _hides_start(part: Part) -> bool:
    """Whether a part that comes first also takes the message's start away."""
    return isinstance(part, HangUp) or (isinstance(part, Stall) and part.reach != "started")


def _part(part: Part, blocks: _Blocks) -> Iterator[Step]:
    match part:
        case Words(text, after):
            yield from blocks.delta("text", {"text": text}, after)
        case Thought():
            yield from _thought(part, blocks)
        case Citation(title, source, after):
            cited = {_CITED: {"title": title, "sourceContent": [{"text": source}]}}
            yield from blocks.delta("text", cited, after)
        case Unknown(kind, payload, is_delta, after):
            if is_delta:
                yield from blocks.delta("text", {kind: payload}, after)
            else:
                yield Send(event(kind, payload), after)
        case Call():
            yield from _call(part, blocks)
        case Fault() | BadFrame() | HalfFrame() | Stall() | HangUp():
            yield _broken(part)


def _broken(part: Fault | BadFrame | HalfFrame | Stall | HangUp) -> Step:
    match part:
        case Fault():
            kind = part.kind[0].lower() + part.kind[1:]
            status = part.status or STATUS.get(part.kind, 500)
            return Send(exception(kind, _explained(part, status)), part.after)
        case BadFrame(after):
            return Send(with_bad_checksum(_sample()), after)
        case HalfFrame(after):
            return Send(_sample()[: len(_sample()) // 2], after)
        case Stall() | HangUp():
            return part


def _sample() -> bytes:
    payload = {"contentBlockIndex": 0, "delta": {"text": "unreadable"}}
    return event("contentBlockDelta", payload)


class _Blocks:
    """Numbers the content blocks of one message and keeps at most one open."""

    def __init__(self, index: int) -> None:
        self._request = index
        self._number = -1
        self._kind = ""

    def delta(self, kind: str, delta: Mapping[str, Any], after: float) -> Iterator[Step]:
        """Send a delta in the open block, or in a new one when that is of another kind."""
        yield from self._enter(kind)
        payload = {"contentBlockIndex": self._number, "delta": delta}
        yield Send(event("contentBlockDelta", payload), after)

    def tool(self, call: Call) -> Iterator[Step]:
        """Open the block of a tool call."""
        yield from self.close()
        yield from self._enter("tool")
        tool = {
            "toolUseId": call.id or f"tooluse_emulated{self._request}-{self._number}",
            "name": call.name,
        }
        payload = {"contentBlockIndex": self._number, "start": {"toolUse": tool}}
        yield Send(event("contentBlockStart", payload), call.after)

    def close(self) -> Iterator[Step]:
        """Stop the open block, if any."""
        if self._kind:
            yield Send(event("contentBlockStop", {"contentBlockIndex": self._number}))
        self._kind = ""

    def abandon(self) -> None:
        """Leave the open block without its stop."""
        self._kind = ""

    def _enter(self, kind: str) -> Iterator[Step]:
        if self._kind != kind:
            yield from self.close()
            self._kind = kind
            self._number += 1


def _call(call: Call, blocks: _Blocks) -> Iterator[Step]:
    yield from blocks.tool(call)
    for piece in call.pieces:
        yield from blocks.delta("tool", {"toolUse": {"input": piece}}, call.gap)
    if call.is_closed:
        yield from blocks.close()
    else:
        blocks.abandon()


def _thought(thought: Thought, blocks: _Blocks) -> Iterator[Step]:
    after = thought.after
    for member in ("text", "redactedContent", "signature"):
        value = {
            "text": thought.text,
            "redactedContent": thought.redacted and _base64(thought.redacted),
            "signature": thought.signature,
        }[member]
        if value:
            yield from blocks.delta("reasoning", {"reasoningContent": {member: value}}, after)
            after = 0.0


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _metadata(reply: Reply) -> Json:
    tokens = reply.tokens
    return {
        "usage": {
            "inputTokens": tokens.input,
            "outputTokens": tokens.output,
            "totalTokens": tokens.input + tokens.output + tokens.cache_read + tokens.cache_write,
            "cacheReadInputTokens": tokens.cache_read,
            "cacheWriteInputTokens": tokens.cache_write,
        },
        "metrics": {"latencyMs": reply.latency_ms},
    }


def _explained(fault: Fault, status: int) -> Json:
    body: Json = {"message": fault.message}
    if fault.kind.lower() == "modelstreamerrorexception":
        body |= {"originalStatusCode": status, "originalMessage": fault.message}
    return body
