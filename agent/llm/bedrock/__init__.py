"""Models of Amazon Bedrock over ConverseStream.

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStream.html

- A refusal of an option inside the stream is remembered (`agent.llm.option_repair`) and raised as
  `UNAVAILABLE`, so that `agent.llm.failover` asks again.
- The reply is complete at `Stopped`. The rest of the stream is read for the usage and so that the
  connection can be reused; errors in it are ignored.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager

import structlog

from agent.call.events import ReplyFault
from agent.call.messages import ReplyPiece, ReplyRequest
from agent.errors import ModelError
from agent.http_client import HttpAnswer
from agent.llm.bedrock.bedrock_client import BedrockClient, network_errors
from agent.llm.bedrock.converse_request import body_of, family_of, options_of
from agent.llm.bedrock.converse_stream import BedrockError, ConverseDecoder, parse_error
from agent.llm.option_repair import MOST_REPAIRS
from agent.llm.provider_faults import together
from agent.ports import Pause, no_pause
from agent.usecases import ModelSettings

__all__ = ["BedrockClient", "BedrockModel"]

log = structlog.get_logger(__name__)

_OK = 200


class BedrockModel:
    """`ports.LanguageModel` over ConverseStream; the identifier is an id, a profile or an ARN."""

    def __init__(self, identifier: str, settings: ModelSettings, client: BedrockClient) -> None:
        self.name = identifier
        self._settings = settings
        self._client = client
        self._family = family_of(identifier)

    async def warm(self) -> None:
        await self._client.warm()

    async def reply(
        self, request: ReplyRequest, pause: Pause = no_pause
    ) -> AsyncGenerator[Sequence[ReplyPiece], None]:
        decoder = ConverseDecoder()
        try:
            async with self._accepted(request) as answer:
                with network_errors():
                    while data := await answer.read_some():
                        for pieces in together(decoder.feed(data)):
                            yield pieces
                        if not decoder.is_complete and (seconds := pause()):
                            answer.pause(seconds)
            decoder.finish()
        except ModelError as error:
            error.provider = self._client.place
            if not decoder.is_complete:
                raise
        if decoder.unusable:
            log.warning("bedrock.calls_dropped", model=self.name, parts=decoder.unusable)

    @asynccontextmanager
    async def _accepted(self, request: ReplyRequest) -> AsyncIterator[HttpAnswer]:
        for repair in range(MOST_REPAIRS + 1):
            refused = self._client.learned.of(self.name)
            body = body_of(request, self._family, self._settings, refused)
            async with self._client.converse(self.name, body) as answer:
                if answer.status == _OK:
                    try:
                        yield answer
                    except BedrockError as error:
                        if not self._learn(error, body):
                            raise
                        raise ModelError(ReplyFault.UNAVAILABLE, "an option was refused") from error
                    return
                with network_errors():
                    content = await answer.read()
            kind = answer.headers.get("x-amzn-errortype", "")
            refusal = parse_error(kind, content, answer.status)
            if not self._learn(refusal, body) or repair == MOST_REPAIRS:
                raise refusal

    def _learn(self, error: BedrockError, body: bytes) -> bool:
        return self._client.learned.learn(self.name, error.refusal, options_of(body))
