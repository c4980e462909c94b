"""`ports.LanguageModel` over chat completions.

The client of one server, and its connections.

The official client is used with its retries off and limits of our own: its defaults are ten
minutes and two retries, and connections it forgets after five idle seconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress

import httpx2
import openai
import structlog
from openai.types.chat import ChatCompletionChunk

from agent.call.messages import ReplyPiece, ReplyRequest
from agent.errors import ModelError
from agent.llm.openai.chat_errors import is_loading, our_faults, refusal_in
from agent.llm.openai.chat_request import Json, body_of, options_of
from agent.llm.openai.chat_stream import ChatDecoder
from agent.llm.option_repair import MOST_REPAIRS, LearnedOptions
from agent.llm.timeouts import TimeLimits
from agent.ports import Count, uncounted

Streamed = openai.AsyncAPIResponse[openai.AsyncStream[ChatCompletionChunk]]

_LOADING_SECONDS = 0.25
"""Until a server that is loading the model is asked again."""


class OpenAIModel:
    """`ports.LanguageModel` over chat completions.

    Args:
        identifier: `openai:NAME`.
        runtime: Shared by all models; outlives them.
    """

    def __init__(self, identifier: str, runtime: OpenAIClient) -> None:
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
        """One request and its answer; the connection is closed if this is closed before the end.

        What goes wrong after the reply's own end is its end.
        """
        reading, is_read_out = ChatDecoder([tool.name for tool in request.tools]), False
        try:
            async with self._answer(request) as (answer, body):
                with self._learning(reading, body):
                    async for data in answer:
                        for piece in reading.feed(data):
                            yield piece
                    is_read_out = True
                    for piece in reading.finish():
                        yield piece
        except ModelError:
            if not reading.has_stopped:
                raise
        finally:
            self._runtime.note_connection(is_kept=is_read_out)
        if reading.usage is not None:
            yield reading.usage

    @asynccontextmanager
    async def _answer(
        self, request: ReplyRequest
    ) -> AsyncIterator[tuple[AsyncIterator[bytes], Json]]:
        """The bytes of an answer, and the body it answers. Faults inside are a `ModelError`."""
        async with AsyncExitStack() as stack:
            response, body = await self._started(stack, request)
            data = response.iter_bytes()
            with our_faults():
                try:
                    yield data, body
                finally:
                    await response.close()
                    await _end(data)

    async def _started(self, stack: AsyncExitStack, request: ReplyRequest) -> tuple[Streamed, Json]:
        """The answer to a request, closed with the stack, and the body of the request.

        It is made again for each option that the model refuses, and while the server says that it
        is loading the model, which counts as silence.
        """
        runtime, repairs, loop = self._runtime, 0, asyncio.get_running_loop()
        deadline = loop.time() + runtime.patience.load
        while True:
            refused = runtime.learned.of(self._identifier)
            body = body_of(request, self._model, runtime.limit_field, refused)
            try:
                with our_faults():
                    completions = runtime.client.chat.completions.with_streaming_response
                    opened = completions.create(**body, stream=True)
                    return await stack.enter_async_context(opened), body
            except ModelError as error:
                if is_loading(error) and loop.time() < deadline:
                    await asyncio.sleep(_LOADING_SECONDS)
                    continue
                repairs += 1
                if repairs > MOST_REPAIRS or not self._learns(error, body):
                    raise

    @contextmanager
    def _learning(self, reading: ChatDecoder, body: Json) -> Iterator[None]:
        """Remember an option that is refused inside the stream.

        It is left out when `agent.llm.failover` asks again.
        """
        try:
            yield
        except ModelError as error:
            if not reading.has_stopped:
                self._learns(error, body)
            raise

    def _learns(self, error: ModelError, body: Json) -> bool:
        """Whether a refusal names an option, which is not sent to this model any more."""
        refusal = refusal_in(error)
        return refusal is not None and self._runtime.learned.learn(
            self._identifier, refusal, lambda: options_of(body)
        )


async def _end(data: AsyncIterator[bytes]) -> None:
    """Have the iterators of a closed connection end; else each needs a task to be closed in."""
    with suppress(httpx2.HTTPError, httpx2.StreamError):
        async for _ in data:
            pass


log = structlog.get_logger(__name__)

KEEP_ALIVE_SECONDS = 120.0
_PATIENCE = TimeLimits()
_WARM_SECONDS = 60.0
"""A connection used or made so recently is there."""
_NO_KEY = "none"
"""Servers on one's own machine want no key, the client does."""
_OPENAI_HOST = "api.openai.com"
_LIMIT_FIELD = {True: "max_completion_tokens", False: "max_tokens"}
"""At OpenAI, newer models refuse the old name; elsewhere older servers do not know the new one."""


class OpenAIClient:
    """The connections of this process to one server; made by `open`."""

    def __init__(
        self,
        client: openai.AsyncOpenAI,
        http: httpx2.AsyncClient,
        patience: TimeLimits,
        learned: LearnedOptions,
    ) -> None:
        self.client = client
        self.patience = patience
        self.learned = learned
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
        patience: TimeLimits = _PATIENCE,
        count: Count = uncounted,
    ) -> AsyncIterator[OpenAIClient]:
        """A runtime; on leaving, all its connections are closed.

        Args:
            api_key: Empty = the server wants none.
            base_url: Empty = OpenAI's own.
            max_calls: Twice as many connections are the most there may be.
            patience: The time limits of each request; a server of one's own may load a model.
            count: For options that models refuse.
        """
        size = 2 * max_calls
        limits = httpx2.Limits(
            max_connections=size,
            max_keepalive_connections=size,
            keepalive_expiry=KEEP_ALIVE_SECONDS,
        )
        read = max(patience.first_event, patience.gap, patience.load if base_url else 0.0)
        timeout = httpx2.Timeout(read, connect=patience.connect)
        async with httpx2.AsyncClient(limits=limits, timeout=timeout) as http:
            client = openai.AsyncOpenAI(
                api_key=api_key or _NO_KEY,
                base_url=base_url or f"https://{_OPENAI_HOST}/v1",
                timeout=timeout,
                max_retries=0,
                http_client=http,
            )
            yield cls(client, http, patience, LearnedOptions(count))

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
