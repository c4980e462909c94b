"""Bedrock's ConverseStream on a loopback port, as strict as the service or stricter.

    async with BedrockEmulator(say("Hello there")) as bedrock:
        ...  # any client with endpoint_url=bedrock.url and any static credentials
        assert bedrock.requests[0].body["messages"] == [...]

Not documented by the service: the start of the message comes together with the first part; an error
type has a namespace after a colon, which AWS protocols allow and clients must strip; all text up to
another kind of part is one block; a text block has no start event.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from urllib.parse import unquote

from aiohttp import web

from tests.emulators.eventstream import event, exception, with_bad_checksum
from tests.emulators.replies import (
    BadFrame,
    Broken,
    Call,
    Fault,
    HalfFrame,
    Json,
    Reply,
    Thought,
    Words,
    say,
)
from tests.emulators.scripts import Request, Script
from tests.emulators.server import Dialect, Emulator, Refused, Send, Validator
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

_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=[^/,\s]+/\d{8}/(?P<region>[a-z0-9-]+)/(?P<service>[a-z0-9-]+)"
    r"/aws4_request,\s*SignedHeaders=(?P<signed>[a-z0-9;-]+),\s*Signature=[0-9a-f]{64}"
)
"""The form of a signature; `tests/llm/test_bedrock_client.py` compares it with the SDK's."""
_NAMESPACE = ":http://internal.amazon.com/coral/com.amazon.bedrock/"


class BedrockEmulator(Emulator):
    """`POST /model/{modelId}/converse-stream`, answered by a script.

    Args:
        script: What to answer (see `replies`).
        region: When given, the only region accepted in a signature.
        validator: What is wrong with a request; strict Bedrock by default.
    """

    invalid = "ValidationException"
    content_type = "application/vnd.amazon.eventstream"

    def __init__(
        self,
        script: Script = say("Hello there."),  # noqa: B008 - a frozen value
        *,
        region: str = "",
        validator: Validator = faults,
    ) -> None:
        super().__init__(script, validator)
        self._region = region

    def _model(self, incoming: web.Request, body: Json) -> str:
        match incoming.raw_path.split("/"):
            case ["", "model", model, "converse-stream"] if incoming.method == "POST" and model:
                return unquote(model)
        raise Refused("UnknownOperationException", "Unknown operation.")

    def _authorize(self, incoming: web.Request, raw: bytes) -> None:
        if "Authorization" not in incoming.headers:
            raise Refused("MissingAuthenticationTokenException", "Missing Authentication Token")
        found = _AUTHORIZATION.fullmatch(incoming.headers["Authorization"])
        if found is None or not {"host", "x-amz-date"} <= set(found["signed"].split(";")):
            raise Refused(
                "IncompleteSignatureException",
                "Authorization header requires 'Credential', 'Signature' and 'SignedHeaders'.",
            )
        if found["service"] != "bedrock" or self._region not in ("", found["region"]):
            raise Refused(
                "InvalidSignatureException",
                "Credential should be scoped to a valid region and to service 'bedrock', "
                f"not '{found['region']}/{found['service']}'.",
            )

    def _error(self, fault: Fault) -> web.Response:
        status = fault.status or STATUS[fault.kind]
        headers = {"x-amzn-errortype": fault.kind + _NAMESPACE}
        return web.json_response(_explained(fault, status), status=status, headers=headers)

    def _headers(self, request: Request) -> Mapping[str, str]:
        return {"x-amzn-requestid": f"emulated-{request.index}"}

    def _dialect(self, request: Request) -> Dialect:
        return _Message(request.index)


class _Message:
    """One answer as events: numbers the content blocks and keeps at most one open."""

    def __init__(self, index: int) -> None:
        self._request = index
        self._number = -1
        self._kind = ""

    def start(self) -> bytes:
        return event("messageStart", {"role": "assistant"})

    def part(self, part: Words | Thought | Call) -> Iterator[Send]:
        match part:
            case Words(text, after):
                yield self._delta("text", {"text": text}, after)
            case Thought(text, signature):
                yield self._delta("reasoning", {"reasoningContent": {"text": text}})
                yield self._delta("reasoning", {"reasoningContent": {"signature": signature}})
            case Call():
                yield from self._call(part)

    def broken(self, part: Broken) -> bytes:
        sample = event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "unread"}})
        match part:
            case Fault(kind, _, status):
                explained = _explained(part, status or STATUS.get(kind, 500))
                return exception(kind[0].lower() + kind[1:], explained)
            case BadFrame():
                return with_bad_checksum(sample)
            case HalfFrame():
                return sample[: len(sample) // 2]

    def finish(self, reply: Reply) -> Iterator[Send]:
        yield Send(self._close() + event("messageStop", {"stopReason": reply.stop_reason}))
        yield Send(event("metadata", _metadata(reply)))

    def _call(self, call: Call) -> Iterator[Send]:
        before = self._enter("call")
        key = call.id or f"tooluse_emulated{self._request}-{self._number}"
        start = {"toolUse": {"toolUseId": key, "name": call.name}}
        payload = {"contentBlockIndex": self._number, "start": start}
        yield Send(before + event("contentBlockStart", payload), call.after)
        for piece in call.pieces:
            yield self._delta("call", {"toolUse": {"input": piece}}, call.gap)
        yield Send(self._close())

    def _delta(self, kind: str, delta: Json, after: float = 0.0) -> Send:
        """A delta in the open block, or in a new one when that is of another kind."""
        before = b"" if self._kind == kind else self._enter(kind)
        payload = {"contentBlockIndex": self._number, "delta": delta}
        return Send(before + event("contentBlockDelta", payload), after)

    def _enter(self, kind: str) -> bytes:
        closing = self._close()
        self._kind = kind
        self._number += 1
        return closing

    def _close(self) -> bytes:
        is_open, self._kind = bool(self._kind), ""
        return event("contentBlockStop", {"contentBlockIndex": self._number}) if is_open else b""


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
        "metrics": {"latencyMs": 120},
    }


def _explained(fault: Fault, status: int) -> Json:
    body: Json = {"message": fault.message}
    if fault.kind.lower() == "modelstreamerrorexception":
        body |= {"originalStatusCode": status, "originalMessage": fault.message}
    return body
