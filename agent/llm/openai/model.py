"""`ports.LanguageModel` over chat completions."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress

import httpx2

from agent.conversation.messages import ReplyPiece, ReplyRequest
from agent.llm.openai.faults import our_faults
from agent.llm.openai.request import body_of
from agent.llm.openai.runtime import OpenAIRuntime
from agent.llm.openai.stream import Reading
from agent.ports import ModelError


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
            async with self._answer(request) as answer:
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
    async def _answer(self, request: ReplyRequest) -> AsyncIterator[AsyncIterator[bytes]]:
        """The bytes of an answer. What goes wrong inside is a `ModelError`."""
        body = body_of(request, self._model, self._runtime.limit_field)
        completions = self._runtime.client.chat.completions.with_streaming_response
        with our_faults():
            async with completions.create(**body, stream=True) as response:
                data = response.iter_bytes()
                try:
                    yield data
                finally:
                    await response.close()
                    await _end(data)


async def _end(data: AsyncIterator[bytes]) -> None:
    """Have the iterators of a closed connection end; else each needs a task to be closed in."""
    with suppress(httpx2.HTTPError, httpx2.StreamError):
        async for _ in data:
            pass
