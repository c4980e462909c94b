"""A model of Bedrock as `ports.LanguageModel`.

A reply is one request, which is made again only without an option that the model refuses
(`agent.llm.option_repair`). A refusal inside the stream is remembered and given out as
`UNAVAILABLE`, so
that `agent.llm.failover` asks again. The caller of `reply` has the whole of it when `Stopped`
comes; the rest of the stream is read for the usage and so that the connection can serve again. If
that rest fails, the reply is not the worse for it, and nothing is raised.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager

import aiohttp
import structlog

from agent.call.events import ReplyFault
from agent.call.messages import ReplyPiece, ReplyRequest
from agent.errors import ModelError
from agent.llm.bedrock.bedrock_client import BedrockClient, network_faults
from agent.llm.bedrock.bedrock_errors import BedrockError, complaint
from agent.llm.bedrock.converse_request import Block, body_of, family_of, options_of
from agent.llm.bedrock.converse_stream import ConverseDecoder, UpstreamError
from agent.llm.option_repair import MOST_REPAIRS
from agent.llm.timeouts import StreamDeadline
from agent.usecases.use_case import ModelSettings

log = structlog.get_logger(__name__)

_OK = 200


class BedrockModel:
    """`ports.LanguageModel` over ConverseStream.

    Args:
        identifier: Model id, inference profile, or ARN of one.
        settings: Bedrock's own options of the use case, validated.
        runtime: Shared by all models; outlives them.
    """

    def __init__(self, identifier: str, settings: ModelSettings, runtime: BedrockClient) -> None:
        self._identifier = identifier
        self._settings = settings
        self._runtime = runtime
        self._family = family_of(identifier)

    @property
    def name(self) -> str:
        """The identifier as it was given."""
        return self._identifier

    async def warm(self) -> None:
        """Have one connection ready."""
        await self._runtime.warm()

    async def reply(self, request: ReplyRequest) -> AsyncGenerator[ReplyPiece, None]:
        """One answer; the connection is closed if this is closed before the end."""
        loop, patience, reading = (
            asyncio.get_running_loop(),
            self._runtime.patience,
            ConverseDecoder(),
        )
        async with self._accepted(request) as (response, body, until):
            deadline, events, timeouts = until, 0, StreamDeadline()
            with closing(timeouts), self._faults_until_complete(reading, body):
                while data := await _read(response, timeouts.at(deadline)):
                    for piece in reading.feed(data):
                        yield piece
                    if reading.events > events:
                        deadline, events = loop.time() + patience.gap, reading.events
        if reading.unusable:
            log.warning("bedrock.calls_unusable", model=self._identifier, parts=reading.unusable)
        if not reading.is_complete:
            raise ModelError(ReplyFault.UNAVAILABLE, "the stream ended before the message")

    @asynccontextmanager
    async def _accepted(
        self, request: ReplyRequest
    ) -> AsyncIterator[tuple[aiohttp.ClientResponse, Block, float]]:
        """The answer to a request, made again for each option that the model refuses.

        With it the body that was sent, and until when the first event has to be there.
        """
        for repair in range(MOST_REPAIRS + 1):
            refused = self._runtime.learned.of(self._identifier)
            body = body_of(request, self._family, self._settings, refused)
            written = json.dumps(body).encode()
            deadline = asyncio.get_running_loop().time() + self._runtime.patience.first_event
            async with self._runtime.converse(self._identifier, written, deadline) as response:
                if response.status == _OK:
                    yield response, body, deadline
                    return
                said = await _complaint(response, deadline)
            if repair == MOST_REPAIRS or not self._learns(said, body):
                raise self._told(said)

    def _learns(self, said: BedrockError, body: Block) -> bool:
        """Whether a refusal names an option, which is not sent to this model any more."""
        refusal = said.refusal
        return refusal is not None and self._runtime.learned.learn(
            self._identifier, refusal, lambda: options_of(body)
        )

    @contextmanager
    def _faults_until_complete(self, reading: ConverseDecoder, body: Block) -> Iterator[None]:
        try:
            yield
        except UpstreamError as error:
            if reading.is_complete:
                return
            if self._learns(error.complaint, body):
                raise ModelError(ReplyFault.UNAVAILABLE, "an option was refused") from error
            raise self._told(error.complaint) from error
        except ModelError:
            if not reading.is_complete:
                raise

    def _told(self, said: BedrockError) -> ModelError:
        log.warning(
            "bedrock.refused",
            model=self._identifier,
            fault=said.fault.value,
            kind=said.kind,
            status=said.status,
            pii_detail=said.message,
        )
        return said.error()


async def _read(response: aiohttp.ClientResponse, limit: StreamDeadline) -> bytes:
    with network_faults(), limit:
        return await response.content.readany()


async def _complaint(response: aiohttp.ClientResponse, deadline: float) -> BedrockError:
    with network_faults():
        async with asyncio.timeout_at(deadline):
            body = await response.read()
    return complaint(response.headers.get("x-amzn-errortype", ""), body, response.status)
