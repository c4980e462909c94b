"""Models of Amazon Bedrock over ConverseStream.

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStream.html

- A refusal of an option inside the stream is remembered (`agent.llm.option_repair`) and raised as
  `UNAVAILABLE`, so that `agent.llm.failover` asks again.
- The reply is complete at `Stopped`. The rest of the stream is read for the usage and so that the
  connection can be reused; errors in it are ignored.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import aiohttp
import structlog

from agent.call.events import ReplyFault
from agent.call.messages import ReplyPiece, ReplyRequest
from agent.errors import ModelError
from agent.llm.bedrock.bedrock_client import BedrockClient, network_errors
from agent.llm.bedrock.bedrock_errors import BedrockError, parse_error
from agent.llm.bedrock.converse_request import Json, body_of, family_of, options_of
from agent.llm.bedrock.converse_stream import ConverseDecoder, StreamedError
from agent.llm.option_repair import MOST_REPAIRS
from agent.usecases import ModelSettings

__all__ = ["BedrockClient", "BedrockModel"]

log = structlog.get_logger(__name__)

_OK = 200


class BedrockModel:
    """`ports.LanguageModel` over ConverseStream; the identifier is an id, a profile or an ARN."""

    def __init__(self, identifier: str, settings: ModelSettings, client: BedrockClient) -> None:
        self._identifier = identifier
        self._settings = settings
        self._client = client
        self._learned = client.learned
        self._family = family_of(identifier)

    @property
    def name(self) -> str:
        return self._identifier

    async def warm(self) -> None:
        await self._client.warm()

    async def reply(self, request: ReplyRequest) -> AsyncGenerator[ReplyPiece, None]:
        decoder = ConverseDecoder()
        async with self._accepted(request) as (response, body):
            with self._errors_until_complete(decoder, body):
                while data := await response.content.readany():
                    for piece in decoder.feed(data):
                        yield piece
        if decoder.unusable:
            log.warning("bedrock.calls_dropped", model=self._identifier, parts=decoder.unusable)
        if not decoder.is_complete:
            raise ModelError(ReplyFault.UNAVAILABLE, "the stream ended before the message")

    @asynccontextmanager
    async def _accepted(
        self, request: ReplyRequest
    ) -> AsyncIterator[tuple[aiohttp.ClientResponse, Json]]:
        for repair in range(MOST_REPAIRS + 1):
            refused = self._learned.of(self._identifier)
            body = body_of(request, self._family, self._settings, refused)
            async with self._client.converse(self._identifier, body) as response:
                if response.status == _OK:
                    yield response, body
                    return
                with network_errors():
                    content = await response.read()
            kind = response.headers.get("x-amzn-errortype", "")
            error = parse_error(kind, content, response.status)
            is_learned = self._learned.learn(self._identifier, error.refusal, options_of(body))
            if repair == MOST_REPAIRS or not is_learned:
                raise self._logged(error)

    @contextmanager
    def _errors_until_complete(self, decoder: ConverseDecoder, body: Json) -> Iterator[None]:
        try:
            with network_errors():
                yield
        except StreamedError as event:
            if self._learned.learn(self._identifier, event.error.refusal, options_of(body)):
                raise ModelError(ReplyFault.UNAVAILABLE, "an option was refused") from event
            raise self._logged(event.error) from event
        except ModelError:
            if not decoder.is_complete:
                raise

    def _logged(self, error: BedrockError) -> ModelError:
        log.warning(
            "bedrock.request_refused",
            model=self._identifier,
            fault=error.fault.value,
            kind=error.kind,
            status=error.status,
            pii_detail=error.message,
        )
        return error.model_error()
