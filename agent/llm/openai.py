"""Models behind chat completions: OpenAI itself, and the servers that imitate it.

The official client is used with its retries off and limits of our own: its defaults are ten
minutes and two retries, and connections it forgets after five idle seconds. What is sent keeps to
what OpenAI, vLLM, llama.cpp and Ollama all accept; one field has two names, see `_LIMIT_FIELD`.

A chunk without words becomes a `TextPiece` without text: it tells `agent.llm.resilient` that the
model is at work. Tool calls come in fragments that belong together by `index`; they are given
out when the model says why it stopped, because only then are they known to be complete.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import httpx2
import openai
import structlog
from openai.types import CompletionUsage
from openai.types.chat import ChatCompletionChunk
from openai.types.chat.chat_completion_chunk import ChoiceDeltaToolCall

from agent.conversation.events import ReplyFault
from agent.conversation.messages import (
    ForcedTool,
    Message,
    ReplyPiece,
    ReplyRequest,
    Role,
    Stopped,
    StopReason,
    Text,
    TextPiece,
    ToolCall,
    ToolResult,
    ToolSpec,
    Usage,
)
from agent.ports import ModelError

log = structlog.get_logger(__name__)

Json = dict[str, Any]

CONNECT_SECONDS = 1.5
READ_SECONDS = 4.0
"""Between two events; also the longest wait for the first one."""
KEEP_ALIVE_SECONDS = 120.0
_WARM_SECONDS = 60.0
"""A connection used or made so recently is there."""
_NO_KEY = "none"
"""Servers on one's own machine want no key, the client does."""
_OPENAI_HOST = "api.openai.com"
_LIMIT_FIELD = {True: "max_completion_tokens", False: "max_tokens"}
"""At OpenAI, newer models refuse the old name; elsewhere older servers do not know the new one."""

_STOPS = {
    "stop": StopReason.END,
    "tool_calls": StopReason.TOOLS,
    "function_call": StopReason.TOOLS,
    "length": StopReason.LENGTH,
    "content_filter": StopReason.BLOCKED,
}
_FAULTS_BY_CODE = {
    "context_length_exceeded": ReplyFault.TOO_LONG,
    "insufficient_quota": ReplyFault.DENIED,
    "invalid_api_key": ReplyFault.DENIED,
    "model_not_found": ReplyFault.DENIED,
    "rate_limit_exceeded": ReplyFault.THROTTLED,
}
_FAULTS_BY_STATUS = {
    401: ReplyFault.DENIED,
    403: ReplyFault.DENIED,
    404: ReplyFault.DENIED,
    408: ReplyFault.TIMEOUT,
    409: ReplyFault.UNAVAILABLE,
    413: ReplyFault.TOO_LONG,
    424: ReplyFault.UNAVAILABLE,
    429: ReplyFault.THROTTLED,
}
_TOO_LONG = ("context length", "context size", "context window", "prompt is too long")
"""How servers without error codes put it, in lower case."""


class OpenAIRuntime:
    """The connections of this process to one server; made by `open`."""

    def __init__(self, client: openai.AsyncOpenAI, http: httpx2.AsyncClient) -> None:
        self.client = client
        self._http = http
        self._warm_until = 0.0

    @classmethod
    @asynccontextmanager
    async def open(
        cls, *, api_key: str = "", base_url: str = "", max_calls: int = 100
    ) -> AsyncIterator[OpenAIRuntime]:
        """A runtime; on leaving, all its connections are closed.

        Args:
            api_key: Empty = the server wants none.
            base_url: Empty = OpenAI's own.
            max_calls: Twice as many connections are the most there may be.
        """
        size = 2 * max_calls
        limits = httpx2.Limits(
            max_connections=size,
            max_keepalive_connections=size,
            keepalive_expiry=KEEP_ALIVE_SECONDS,
        )
        timeout = httpx2.Timeout(READ_SECONDS, connect=CONNECT_SECONDS)
        async with httpx2.AsyncClient(limits=limits, timeout=timeout) as http:
            client = openai.AsyncOpenAI(
                api_key=api_key or _NO_KEY,
                base_url=base_url or f"https://{_OPENAI_HOST}/v1",
                timeout=timeout,
                max_retries=0,
                http_client=http,
            )
            yield cls(client, http)

    @property
    def limit_field(self) -> str:
        """What this server calls the limit of tokens."""
        return _LIMIT_FIELD[self.client.base_url.host == _OPENAI_HOST]

    def note_connection(self, *, is_kept: bool) -> None:
        """A stream has ended, and its connection can be used again or not."""
        now = asyncio.get_running_loop().time()
        self._warm_until = now + _WARM_SECONDS if is_kept else 0.0

    async def warm(self) -> None:
        """Have a connection; asks for nothing that costs. Never raises."""
        if asyncio.get_running_loop().time() < self._warm_until:
            return
        try:
            await self._http.head(self.client.base_url)
        except (httpx2.HTTPError, OSError) as error:
            log.info("openai.not_warm", cause=type(error).__name__)
        else:
            self.note_connection(is_kept=True)


class OpenAIModel:
    """`ports.LanguageModel` over chat completions.

    Args:
        identifier: `openai:NAME`.
        runtime: Shared by all models; outlives them.
    """

    def __init__(self, identifier: str, runtime: OpenAIRuntime) -> None:
        self._identifier = identifier
        self._model = identifier.removeprefix("openai:")
        self._runtime = runtime

    @property
    def name(self) -> str:
        """The identifier as it was given."""
        return self._identifier

    async def warm(self) -> None:
        """Have one connection ready."""
        await self._runtime.warm()

    async def reply(self, request: ReplyRequest) -> AsyncGenerator[ReplyPiece, None]:
        """One request and its answer; the connection is closed if this is closed before the end."""
        reading, is_read_out = Reading(), False
        body = body_of(request, self._model, self._runtime.limit_field)
        try:
            async with await self._started(body) as stream:
                while (chunk := await _next(stream, reading)) is not None:
                    for piece in reading.feed(chunk):
                        yield piece
                is_read_out = True
        finally:
            self._runtime.note_connection(is_kept=is_read_out)
        if not reading.has_stopped:
            raise ModelError(ReplyFault.UNAVAILABLE, "the stream ended before the message")
        if reading.usage is not None:
            yield reading.usage

    async def _started(self, body: Json) -> openai.AsyncStream[ChatCompletionChunk]:
        with _our_faults():
            return await self._runtime.client.chat.completions.create(**body, stream=True)


def body_of(request: ReplyRequest, model: str, limit_field: str = "max_tokens") -> Json:
    """What is sent, without `stream`."""
    system = "\n\n".join(text for text in (request.system, request.context) if text.strip())
    head = [{"role": "system", "content": system}] if system else []
    options = {
        limit_field: request.max_tokens,
        "temperature": request.temperature,
        "top_p": request.top_p,
        "tools": [_tool(spec) for spec in request.tools] or None,
        "tool_choice": _choice(request) if request.tools else None,
    }
    return {
        "model": model,
        "messages": [*head, *(one for each in request.messages for one in _messages(each))],
        "stream_options": {"include_usage": True},
        **{name: value for name, value in options.items() if value is not None},
    }


def _messages(message: Message) -> Iterator[Json]:
    """One of ours is several of theirs: each result of a tool stands alone, before any words."""
    for part in message.parts:
        if isinstance(part, ToolResult):
            yield {"role": "tool", "tool_call_id": part.call_id, "content": part.content}
    words = "\n".join(part.text for part in message.parts if isinstance(part, Text)) or None
    calls = [_call(part) for part in message.parts if isinstance(part, ToolCall)]
    if message.role is Role.CALLER:
        if words:
            yield {"role": "user", "content": words}
    elif calls:
        yield {"role": "assistant", "content": words, "tool_calls": calls}
    else:
        yield {"role": "assistant", "content": words}


def _call(call: ToolCall) -> Json:
    arguments = call.arguments if _is_object(call.arguments) else "{}"
    function = {"name": call.name, "arguments": arguments}
    return {"id": call.id, "type": "function", "function": function}


def _tool(spec: ToolSpec) -> Json:
    parameters = json.loads(spec.parameters)
    function = {"name": spec.name, "description": spec.description, "parameters": parameters}
    return {"type": "function", "function": function}


def _choice(request: ReplyRequest) -> object:
    if isinstance(request.choice, ForcedTool):
        return {"type": "function", "function": {"name": request.choice.name}}
    return request.choice.value


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


@dataclass(slots=True)
class _Fragments:
    """What has come of one tool call."""

    id: str = ""
    name: str = ""
    arguments: str = ""

    def add(self, delta: ChoiceDeltaToolCall) -> None:
        self.id = self.id or delta.id or ""
        if delta.function is not None:
            self.name = self.name or delta.function.name or ""
            self.arguments += delta.function.arguments or ""


class Reading:
    """The chunks of one stream, to the pieces of a reply. Does no IO."""

    def __init__(self) -> None:
        self._calls: dict[int, _Fragments] = {}
        self.has_stopped = False
        """The reply is complete."""
        self.usage: Usage | None = None

    def feed(self, chunk: ChatCompletionChunk) -> Iterator[ReplyPiece]:
        """Take the next chunk; its choices may be missing or null, as the client checks nothing."""
        if chunk.usage is not None:
            self.usage = _usage(chunk.usage)
        if self.has_stopped:
            return
        choices: Sequence[Any] = chunk.choices or ()
        for choice in choices[:1]:
            delta = choice.delta
            words = (delta.content or delta.refusal or "") if delta else ""
            yield TextPiece(words)
            for each in (delta.tool_calls or ()) if delta else ():
                self._calls.setdefault(each.index or 0, _Fragments()).add(each)
            if choice.finish_reason:
                self.has_stopped = True
                yield from self._end(choice.finish_reason)
        if not choices:
            yield TextPiece("")

    def _end(self, finish_reason: str) -> Iterator[ReplyPiece]:
        reason = _STOPS.get(finish_reason, StopReason.UNKNOWN)
        calls = self._complete_calls(is_cut=reason is StopReason.LENGTH)
        if reason is StopReason.BLOCKED:
            calls = []
        yield from calls
        if calls and reason in {StopReason.END, StopReason.UNKNOWN}:
            reason = StopReason.TOOLS
        if not calls and reason is StopReason.TOOLS:
            reason = StopReason.MALFORMED
        yield Stopped(reason)

    def _complete_calls(self, *, is_cut: bool) -> list[ToolCall]:
        return [
            ToolCall(call.id or f"call-{index}", call.name, call.arguments.strip() or "{}")
            for index, call in sorted(self._calls.items())
            if call.name and not (is_cut and not _is_object(call.arguments))
        ]


def _usage(usage: CompletionUsage) -> Usage:
    details = usage.prompt_tokens_details
    cached = (details.cached_tokens or 0) if details else 0
    return Usage((usage.prompt_tokens or 0) - cached, usage.completion_tokens or 0, cached)


async def _next(
    stream: openai.AsyncStream[ChatCompletionChunk], reading: Reading
) -> ChatCompletionChunk | None:
    """The next chunk; None at the end. What goes wrong after the reply's own end is its end."""
    try:
        with _our_faults():
            return await anext(stream, None)
    except ModelError:
        if reading.has_stopped:
            return None
        raise


@contextmanager
def _our_faults() -> Iterator[None]:
    try:
        yield
    except openai.APITimeoutError as error:
        raise ModelError(ReplyFault.TIMEOUT, type(error.__cause__).__name__) from error
    except openai.APIConnectionError as error:
        raise ModelError(ReplyFault.UNAVAILABLE, type(error.__cause__).__name__) from error
    except openai.APIError as error:
        raise ModelError(_fault(error), error.message) from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ModelError(ReplyFault.UNAVAILABLE, "an event that is no JSON") from error


def _fault(error: openai.APIError) -> ReplyFault:
    """Of an answer that is an error, or of an error inside a stream, which has no status."""
    status = error.status_code if isinstance(error, openai.APIStatusError) else 500
    if fault := _known(_FAULTS_BY_CODE, error.code) or _known(_FAULTS_BY_CODE, error.type):
        return fault
    if any(words in error.message.lower() for words in _TOO_LONG):
        return ReplyFault.TOO_LONG
    if status >= 500:
        return ReplyFault.UNAVAILABLE
    return _FAULTS_BY_STATUS.get(status, ReplyFault.REFUSED)


def _known(faults: Mapping[str, ReplyFault], code: object) -> ReplyFault | None:
    return faults.get(code) if isinstance(code, str) else None
