"""`ports.LanguageModel` over chat completions."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import openai
from openai.types.chat import ChatCompletionChunk

from agent.conversation.events import ReplyFault
from agent.conversation.messages import ReplyPiece, ReplyRequest
from agent.llm.openai.faults import our_faults
from agent.llm.openai.request import Json, body_of
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
        with our_faults():
            return await self._runtime.client.chat.completions.create(**body, stream=True)


async def _next(
    stream: openai.AsyncStream[ChatCompletionChunk], reading: Reading
) -> ChatCompletionChunk | None:
    """The next chunk; None at the end. What goes wrong after the reply's own end is its end."""
    try:
        with our_faults():
            return await anext(stream, None)
    except ModelError:
        if reading.has_stopped:
            return None
        raise
