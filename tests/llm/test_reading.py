"""Responses are read when the reader of a reply wants them, and no later."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager

import pytest
from aiohttp import web

from agent.call.events import ReplyFault
from agent.call.messages import ReplyPiece, Stopped, StopReason, TextPiece, Usage
from agent.errors import ModelError
from agent.llm.bedrock import BedrockClient, BedrockModel
from agent.llm.provider_faults import together
from agent.usecases import ModelSettings
from tests.llm import contract
from tests.llm.accounts import set_account
from tests.llm.bench import ASKED
from tests.llm.eventstream import HELLO, START, USAGE, Answer, Bedrock, bedrock, delta, stop
from tests.waiting import no_longer

NOVA = "amazon.nova-lite-v1:0"


@asynccontextmanager
async def model_of(server: Bedrock, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[BedrockModel]:
    set_account(monkeypatch, server.url)
    async with BedrockClient.open() as client:
        yield BedrockModel(NOVA, ModelSettings(NOVA), client)


async def test_what_arrives_in_a_pause_is_given_out_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    is_pausing = asyncio.Event()

    async def until_pausing(_: web.Request) -> None:
        await is_pausing.wait()

    def pause() -> float:
        """After the first piece."""
        if is_pausing.is_set():
            return 0.0
        is_pausing.set()
        return 0.1

    rest = (delta(" two"), delta(" three"), stop("end_turn"), USAGE)
    answer = Answer((START + delta("One"), until_pausing, *rest))
    async with (
        bedrock(answer) as server,
        model_of(server, monkeypatch) as model,
        aclosing(model.reply(ASKED, pause)) as reply,
    ):
        batches = [contract.without_signs_of_life(pieces) async for pieces in reply]

    assert batches == [
        [TextPiece("One")],
        [TextPiece(" two"), TextPiece(" three"), Stopped(StopReason.END), Usage(7, 2)],
    ]


async def test_leaving_in_a_pause_closes_the_stream_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    is_pausing = asyncio.Event()

    def pause() -> float:
        is_pausing.set()
        return 3_600.0

    async def read(model: BedrockModel) -> None:
        async with aclosing(model.reply(ASKED, pause)) as reply:
            async for _ in reply:
                pass

    async with bedrock() as server, model_of(server, monkeypatch) as model:
        server.answers = [Answer((START + delta("One"), server.until_left))]
        reading = asyncio.create_task(read(model))
        await is_pausing.wait()
        reading.cancel()

        assert await server.left.get() == "left"


async def test_a_pause_after_the_last_byte_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection may be back in the pool by then."""
    async with bedrock(Answer((HELLO,))) as server, model_of(server, monkeypatch) as model:
        for _ in range(2):
            async with aclosing(model.reply(ASKED, lambda: 0.01)) as reply:
                pieces = [piece async for pieces in reply for piece in pieces]
            assert pieces[-2:] == [Stopped(StopReason.END), Usage(7, 2)]

        assert server.opened == 1


async def test_usage_is_read_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A caller may hang up after the last word, and the call counts what it has read by then."""
    has_stopped = asyncio.Event()

    async def until_stopped(_: web.Request) -> None:
        await has_stopped.wait()

    answer = Answer((START + delta("One") + stop("end_turn"), until_stopped, USAGE))
    async with (
        bedrock(answer) as server,
        model_of(server, monkeypatch) as model,
        aclosing(model.reply(ASKED, lambda: 3_600.0)) as reply,
    ):
        assert Stopped(StopReason.END) in await anext(reply)
        has_stopped.set()
        async with no_longer():
            assert await anext(reply) == [Usage(7, 2)]


def test_pieces_before_an_error_are_given_out_first() -> None:
    fault = ModelError(ReplyFault.UNAVAILABLE)

    def broken() -> Iterator[ReplyPiece]:
        yield TextPiece("Well")
        raise fault

    batches = together(broken())

    assert next(batches) == [TextPiece("Well")]
    with pytest.raises(ModelError):
        next(batches)
    assert list(together(iter(()))) == []
