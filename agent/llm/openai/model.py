"""`ports.LanguageModel` over chat completions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import openai
from openai.types.chat import ChatCompletionChunk

from agent.conversation.events import ReplyFault
from agent.conversation.messages import ReplyPiece, ReplyRequest
from agent.llm.openai.faults import is_loading, our_faults, refusal_in
from agent.llm.openai.request import Json, body_of, options_of
from agent.llm.openai.runtime import OpenAIRuntime
from agent.llm.openai.stream import Reading
from agent.llm.refusals import MOST_REPAIRS
from agent.ports import ModelError

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
        """One request and its answer; the connection is closed if this is closed before the end."""
        reading, is_read_out = Reading(), False
        try:
            opened, body = await self._started(request)
            async with opened as stream:
                while (chunk := await self._next(stream, reading, body)) is not None:
                    for piece in reading.feed(chunk):
                        yield piece
                is_read_out = True
        finally:
            self._runtime.note_connection(is_kept=is_read_out)
        if not reading.has_stopped:
            raise ModelError(ReplyFault.UNAVAILABLE, "the stream ended before the message")
        if reading.usage is not None:
            yield reading.usage

    async def _started(
        self, request: ReplyRequest
    ) -> tuple[openai.AsyncStream[ChatCompletionChunk], Json]:
        """The answer to a request and its body.

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
                    create = runtime.client.chat.completions.create
                    return await create(**body, stream=True), body
            except ModelError as error:
                if is_loading(error.__cause__) and loop.time() < deadline:
                    await asyncio.sleep(_LOADING_SECONDS)
                    continue
                repairs += 1
                if repairs > MOST_REPAIRS or not self._learns(error, body):
                    raise

    def _learns(self, error: ModelError, body: Json) -> bool:
        """Whether a refusal names an option, which is not sent to this model any more."""
        refusal = refusal_in(error.__cause__)
        return refusal is not None and self._runtime.learned.learn(
            self._identifier, refusal, lambda: options_of(body)
        )

    async def _next(
        self, stream: openai.AsyncStream[ChatCompletionChunk], reading: Reading, body: Json
    ) -> ChatCompletionChunk | None:
        """The next chunk; None at the end. What goes wrong after the reply's own end is its end.

        An option that is refused here is left out when `agent.llm.resilient` asks again.
        """
        try:
            with our_faults():
                return await anext(stream, None)
        except ModelError as error:
            if reading.has_stopped:
                return None
            self._learns(error, body)
            raise
