"""Models behind chat completions: OpenAI, and servers with its API (vLLM, llama.cpp, Ollama).

https://platform.openai.com/docs/api-reference/chat

The official client is used without its retries and time limits (two retries, ten minutes):
`agent.llm.failover` repeats requests and limits the waits for a stream. Here a request is repeated
only without an option that the model refuses, and while the server loads the model.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any, Self

import httpx2
import openai
import structlog

from agent.call.events import ReplyFault
from agent.call.messages import ForcedTool, ReplyPiece, ReplyRequest
from agent.errors import ModelError
from agent.llm.openai.chat_request import Json, body_of, forcing, options_of
from agent.llm.openai.chat_stream import ChatDecoder, ReportedError, client_errors
from agent.llm.option_repair import MOST_REPAIRS, LearnedOptions
from agent.llm.provider_faults import HTML_PAGE, together
from agent.llm.timeouts import KEEP_ALIVE_SECONDS, WARM_SECONDS
from agent.ports import Count, Pause, no_pause, uncounted
from agent.usecases.model_times import TimeLimits

log = structlog.get_logger(__name__)

_LOADING_SECONDS = 0.25  # between requests to a server that is loading the model
_DEFAULT_LIMITS = TimeLimits()
_NO_KEY = "none"  # local servers want no key, but the client does
_OPENAI_HOST = "api.openai.com"


class OpenAIModel:
    """`ports.LanguageModel` over chat completions; the identifier is `openai:NAME`."""

    def __init__(self, identifier: str, client: OpenAIClient) -> None:
        self.name = identifier
        self._model = identifier.removeprefix("openai:")
        self._client = client

    async def warm(self) -> None:
        await self._client.warm()

    async def reply(
        self, request: ReplyRequest, pause: Pause = no_pause
    ) -> AsyncGenerator[Sequence[ReplyPiece], None]:
        decoder, is_read_out = ChatDecoder([tool.name for tool in request.tools]), False
        body: Json | None = None
        try:
            async with AsyncExitStack() as stack:
                chunks, body = await self._accepted(stack, request)
                async for data, was_waited_for in _Chunks(chunks):
                    for pieces in together(decoder.feed(data)):
                        self._note_choice(request, body, decoder)
                        yield pieces
                    may_pause = was_waited_for and not decoder.has_stopped
                    if may_pause and (seconds := pause()):
                        await asyncio.sleep(seconds)
                is_read_out = True
                for pieces in together(decoder.finish()):
                    yield pieces
        except ModelError as error:
            error.provider = self._client.place
            if not decoder.has_stopped:
                if body is not None and isinstance(
                    error, ReportedError
                ):  # for the request that `agent.llm.failover` makes next
                    self._learn(error, body)
                raise
        finally:
            self._client.note_connection(is_kept=is_read_out)
        if decoder.usage is not None:
            yield [decoder.usage]

    async def _accepted(
        self, stack: AsyncExitStack, request: ReplyRequest
    ) -> tuple[AsyncIterator[bytes], Json]:
        client, repairs, loop = self._client, 0, asyncio.get_running_loop()
        loads_until = loop.time() + client.limits.load
        while True:
            refused = client.learned.of(self.name)
            body = body_of(request, self._model, client.limit_field, refused)
            completions = client.sdk.chat.completions.with_streaming_response
            try:
                with client_errors():
                    opened = completions.create(**body, stream=True)
                    response = await stack.enter_async_context(opened)
            except ReportedError as error:
                if error.status == 401 and client.sdk.api_key == _NO_KEY:
                    error.remedy = "Set OPENAI_API_KEY."
                if error.is_loading and loop.time() < loads_until:
                    await asyncio.sleep(_LOADING_SECONDS)
                    continue
                repairs += 1
                if repairs > MOST_REPAIRS or not self._learn(error, body):
                    raise
            else:
                if "html" in response.headers.get("Content-Type", ""):
                    cause, remedy = HTML_PAGE
                    raise ModelError(ReplyFault.UNAVAILABLE, cause, remedy=remedy)
                chunks = response.iter_bytes()
                stack.enter_context(client_errors())
                stack.push_async_callback(_close, response, chunks)
                return chunks, body

    def _note_choice(self, request: ReplyRequest, body: Json, decoder: ChatDecoder) -> None:
        """Learn that the server does not enforce a tool, before the next request can be made."""
        if decoder.called is not None and isinstance(request.choice, ForcedTool):
            is_ignored = request.choice.name not in decoder.called
            self._client.learned.note_ignored(self.name, forcing(body) if is_ignored else ())

    def _learn(self, error: ReportedError, body: Json) -> bool:
        return self._client.learned.learn(self.name, error.refusal, options_of(body))


class _Chunks:
    """Chunks of a response, and whether the loop ran before one came.

    Those of one read follow at once. No generator, whose end would need a task.
    """

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks = chunks

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> tuple[bytes, bool]:
        ran = list[None]()
        mark = asyncio.get_running_loop().call_soon(ran.append, None)
        try:
            return await anext(self._chunks), bool(ran)
        finally:
            mark.cancel()


async def _close(response: openai.AsyncAPIResponse[Any], chunks: AsyncIterator[bytes]) -> None:
    """Close the connection, and end its iterators, each of which would need a task for that."""
    await response.close()
    with suppress(httpx2.HTTPError, httpx2.StreamError):
        async for _ in chunks:
            pass


class OpenAIClient:
    """The connections of this process to one server; made by `open`."""

    def __init__(
        self,
        sdk: openai.AsyncOpenAI,
        http: httpx2.AsyncClient,
        limits: TimeLimits,
        learned: LearnedOptions,
    ) -> None:
        self.sdk = sdk
        self.limits = limits
        self.learned = learned
        self.place = f"openai at {sdk.base_url.netloc.decode()}"
        # Newer models of OpenAI refuse the old name; older servers do not know the new one.
        is_openai = sdk.base_url.host == _OPENAI_HOST
        self.limit_field = "max_completion_tokens" if is_openai else "max_tokens"
        self._http = http
        self._warm_until = 0.0

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        *,
        api_key: str = "",
        base_url: str = "",
        max_calls: int = 100,
        limits: TimeLimits = _DEFAULT_LIMITS,
        count: Count = uncounted,
    ) -> AsyncIterator[OpenAIClient]:
        """A client; its connections, twice `max_calls`, are closed on exit."""
        pool = httpx2.Limits(
            max_connections=2 * max_calls,
            max_keepalive_connections=2 * max_calls,
            keepalive_expiry=KEEP_ALIVE_SECONDS,
        )
        timeout = httpx2.Timeout(None, connect=limits.connect)
        async with httpx2.AsyncClient(limits=pool, timeout=timeout) as http:
            sdk = openai.AsyncOpenAI(
                api_key=api_key or _NO_KEY,
                base_url=base_url or f"https://{_OPENAI_HOST}/v1",
                timeout=timeout,
                max_retries=0,
                http_client=http,
            )
            yield cls(sdk, http, limits, LearnedOptions(count))

    def note_connection(self, *, is_kept: bool) -> None:
        """A stream has ended; its connection was returned to the pool or closed."""
        now = asyncio.get_running_loop().time()
        self._warm_until = now + WARM_SECONDS if is_kept else 0.0

    async def warm(self) -> None:
        """Open a connection if none was used lately, with a request that is free. Never raises."""
        if asyncio.get_running_loop().time() < self._warm_until:
            return
        try:
            async with asyncio.timeout(self.limits.connect + self.limits.first_event):
                await self._http.head(self.sdk.base_url)
        except (httpx2.HTTPError, OSError) as error:
            log.info("llm.prewarm_failed", provider="openai", cause=type(error).__name__)
        else:
            self.note_connection(is_kept=True)
