"""`ports.LanguageModel` over chat completions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress

import httpx2
import openai
from openai.types.chat import ChatCompletionChunk

from agent.conversation.messages import ReplyPiece, ReplyRequest
from agent.llm.openai.faults import is_loading, our_faults, refusal_in
from agent.llm.openai.request import Json, body_of, options_of
from agent.llm.openai.runtime import OpenAIRuntime
from agent.llm.openai.stream import Reading
from agent.llm.refusals import MOST_REPAIRS
from agent.ports import ModelError

Streamed = openai.AsyncAPIResponse[openai.AsyncStream[ChatCompletionChunk]]

_LOADING_SECONDS = 0.25
"""Until a server that is loading the model is asked again."""


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
        """One request and its answer; the connection is closed if this is closed before the end.

        What goes wrong after the reply's own end is its end.
        """
        reading, is_read_out = Reading([tool.name for tool in request.tools]), False
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
    def _learning(self, reading: Reading, body: Json) -> Iterator[None]:
        """Remember an option that is refused inside the stream.

        It is left out when `agent.llm.resilient` asks again.
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
