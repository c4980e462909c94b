"""Chat completions on a loopback port, as OpenAI and the servers that imitate it stream them.

    async with OpenAIEmulator(say("Hello there")) as server:
        client = AsyncOpenAI(base_url=server.base_url, api_key="any")

Not documented, and different between servers: reasoning comes as `reasoning_content` (vLLM,
DeepSeek); an error inside the stream is a chunk with an `error` object and ends it. Stop reasons of
`replies` are translated; one without a translation is `stop`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from aiohttp import web

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
from tests.emulators.server import Dialect, Emulator, Refused, Send
from tests.emulators.validate_chat import faults

STATUS = {
    "authentication_error": 401,
    "context_length_exceeded": 400,
    "insufficient_quota": 429,
    "invalid_api_key": 401,
    "invalid_request_error": 400,
    "model_not_found": 404,
    "not_found": 404,
    "overloaded": 503,
    "permission_denied": 403,
    "rate_limit_exceeded": 429,
    "server_error": 500,
}
"""The HTTP status of each error code."""

_STOP = {
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "content_filtered": "content_filter",
    "guardrail_intervened": "content_filter",
}
_TORN = b'data: {"id":"chatcmpl-emulated","choices":[{"index":0,"delta":{"content":"unrea'


class OpenAIEmulator(Emulator):
    """`POST /v1/chat/completions`, answered by a script.

    Args:
        script: What to answer (see `replies`).
        api_key: When given, the only one accepted; without it any is, but one must come.
    """

    invalid = "invalid_request_error"
    content_type = "text/event-stream"

    def __init__(
        self,
        script: Script = say("Hello there."),  # noqa: B008 - a frozen value
        *,
        api_key: str = "",
    ) -> None:
        super().__init__(script, faults)
        self._api_key = api_key

    @property
    def base_url(self) -> str:
        return f"{self.url}/v1"

    def _model(self, incoming: web.Request, body: Json) -> str:
        if (incoming.method, incoming.path) != ("POST", "/v1/chat/completions"):
            raise Refused("not_found", f"Invalid URL ({incoming.method} {incoming.path})")
        return str(body.get("model", ""))

    def _authorize(self, incoming: web.Request, raw: bytes) -> None:
        scheme, _, key = incoming.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer" or not key:
            raise Refused("authentication_error", "You didn't provide an API key.")
        if self._api_key not in ("", key):
            raise Refused("invalid_api_key", "Incorrect API key provided.")

    def _error(self, fault: Fault) -> web.Response:
        status = fault.status or STATUS[fault.kind]
        return web.json_response(_explained(fault), status=status)

    def _dialect(self, request: Request) -> Dialect:
        return _Message(request)


class _Message:
    """One answer as chunks; counts its tool calls."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._calls = 0
        self._counts = bool((request.body.get("stream_options") or {}).get("include_usage"))

    def start(self) -> bytes:
        return self._delta({"role": "assistant", "content": ""})

    def part(self, part: Words | Thought | Call) -> Iterator[Send]:
        match part:
            case Words(text, after):
                yield Send(self._delta({"content": text}), after)
            case Thought(text):
                yield Send(self._delta({"reasoning_content": text}))
            case Call():
                yield from self._call(part)

    def broken(self, part: Broken) -> bytes:
        match part:
            case Fault():
                return _event(_explained(part))
            case BadFrame():
                return _TORN + b"\n\n"
            case HalfFrame():
                return _TORN

    def finish(self, reply: Reply) -> Iterator[Send]:
        yield Send(self._delta({}, _STOP.get(reply.stop_reason, "stop")))
        if self._counts:
            yield Send(self._chunk([], usage=_usage(reply)))
        yield Send(b"data: [DONE]\n\n")

    def _call(self, call: Call) -> Iterator[Send]:
        number = self._calls
        self._calls += 1
        begun = {
            "index": number,
            "id": call.id or f"call_emulated{self._request.index}x{number}",
            "type": "function",
            "function": {"name": call.name, "arguments": ""},
        }
        yield Send(self._delta({"tool_calls": [begun]}), call.after)
        for piece in call.pieces:
            more = {"index": number, "function": {"arguments": piece}}
            yield Send(self._delta({"tool_calls": [more]}), call.gap)

    def _delta(self, delta: Json, finish_reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return self._chunk([choice])

    def _chunk(self, choices: list[Json], **more: Any) -> bytes:
        chunk = {
            "id": f"chatcmpl-emulated{self._request.index}",
            "object": "chat.completion.chunk",
            "created": 1_700_000_000,
            "model": self._request.model,
            "choices": choices,
        }
        return _event(chunk | ({"usage": None} if self._counts else {}) | more)


def _event(payload: Json) -> bytes:
    return b"data: " + json.dumps(payload, separators=(",", ":")).encode() + b"\n\n"


def _explained(fault: Fault) -> Json:
    kind = "server_error" if STATUS.get(fault.kind, 500) >= 500 else "invalid_request_error"
    return {"error": {"message": fault.message, "type": kind, "param": None, "code": fault.kind}}


def _usage(reply: Reply) -> Json:
    tokens = reply.tokens
    prompt = tokens.input + tokens.cache_read + tokens.cache_write
    return {
        "prompt_tokens": prompt,
        "completion_tokens": tokens.output,
        "total_tokens": prompt + tokens.output,
        "prompt_tokens_details": {"cached_tokens": tokens.cache_read},
    }
