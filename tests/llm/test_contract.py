"""The contract of `ports.LanguageModel`, for every implementation."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial

import pytest

from agent.call.messages import Choice, ForcedTool, Stopped, StopReason
from agent.llm import OfflineModel
from agent.llm.bedrock import BedrockClient, BedrockModel
from agent.llm.openai import OpenAIClient, OpenAIModel
from agent.ports import LanguageModel
from agent.usecases import ModelSettings
from tests.emulators.bedrock import BedrockEmulator
from tests.emulators.openai import OpenAIEmulator
from tests.llm import contract
from tests.llm.accounts import set_account
from tests.llm.obliging import oblige
from tests.llm.scripts import SHIPPED, script

OpenModel = Callable[[pytest.MonkeyPatch], AbstractAsyncContextManager[LanguageModel]]


@asynccontextmanager
async def _offline(name: str, _: pytest.MonkeyPatch) -> AsyncIterator[LanguageModel]:
    yield OfflineModel(script(name))


@asynccontextmanager
async def _bedrock(identifier: str, patch: pytest.MonkeyPatch) -> AsyncIterator[LanguageModel]:
    async with BedrockEmulator(oblige) as emulator:
        set_account(patch, emulator.url)
        async with BedrockClient.open() as client:
            yield BedrockModel(identifier, ModelSettings(), client)
    assert emulator.refused == []


@asynccontextmanager
async def _openai(identifier: str, _: pytest.MonkeyPatch) -> AsyncIterator[LanguageModel]:
    async with (
        OpenAIEmulator(oblige) as emulator,
        OpenAIClient.open(base_url=emulator.base_url) as client,
    ):
        yield OpenAIModel(identifier, client)
    assert emulator.refused == []


BEDROCK = (
    "us.anthropic.claude-haiku-4-5-20251001-v1:0",
    "us.amazon.nova-lite-v1:0",
    "us.meta.llama3-3-70b-instruct-v1:0",
    "mistral.mistral-large-2407-v1:0",
)
"""One of each family."""
MODELS: dict[str, tuple[str, OpenModel]] = {
    **{f"offline:{name}": ("offline:", partial(_offline, name)) for name in SHIPPED},
    **{f"bedrock:{name}": (name, partial(_bedrock, name)) for name in BEDROCK},
    "openai:small": ("openai:small", partial(_openai, "openai:small")),
}


@pytest.fixture(params=MODELS)
async def model(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[LanguageModel]:
    name, opened = MODELS[request.param]
    async with opened(monkeypatch) as one:
        assert one.name == name
        yield one


@pytest.mark.parametrize("text", [contract.SMALL_TALK, contract.ASKS_FOR_A_PERSON])
async def test_reply_is_pieces_then_one_stop_then_at_most_usage(
    model: LanguageModel, text: str
) -> None:
    asked = contract.request(text)

    pieces = await contract.pieces_of(model, asked)

    contract.assert_well_formed(pieces, asked)


async def test_reply_with_a_call_says_that_it_stopped_for_tools(model: LanguageModel) -> None:
    pieces = await contract.pieces_of(model, contract.request(contract.ASKS_FOR_A_PERSON))

    assert [name for name, _ in contract.calls(pieces)] == ["LiveAgentHandoffFunction"]
    assert Stopped(StopReason.TOOLS) in pieces


async def test_tool_that_was_not_offered_is_never_called(model: LanguageModel) -> None:
    asked = contract.request(contract.ASKS_FOR_A_PERSON, tools=())

    pieces = await contract.pieces_of(model, asked)

    contract.assert_well_formed(pieces, asked)
    assert Stopped(StopReason.END) in pieces


async def test_forced_tool_is_called(model: LanguageModel) -> None:
    asked = contract.request(contract.SMALL_TALK, choice=ForcedTool("EndCallFunction"))

    pieces = await contract.pieces_of(model, asked)

    contract.assert_well_formed(pieces, asked)
    assert contract.calls(pieces) == [("EndCallFunction", {})]


async def test_choice_none_gives_words_only(model: LanguageModel) -> None:
    asked = contract.request(contract.ASKS_FOR_A_PERSON, choice=Choice.NONE)

    pieces = await contract.pieces_of(model, asked)

    contract.assert_well_formed(pieces, asked)
    assert contract.calls(pieces) == []


async def test_closing_early_leaves_nothing_running(model: LanguageModel) -> None:
    """A barge-in closes the generator after any piece."""
    asked = contract.request(contract.SMALL_TALK)

    assert await contract.tasks_left_after_closing(model, asked) == 0
