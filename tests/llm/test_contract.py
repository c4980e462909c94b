"""The contract of `ports.LanguageModel`, for every implementation."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from agent.conversation.messages import Choice, ForcedTool, Stopped, StopReason
from agent.llm import OfflineModel
from agent.ports import LanguageModel
from tests.llm import contract
from tests.llm.scripts import SHIPPED, script


def _offline(name: str) -> LanguageModel:
    return OfflineModel(script(name))


MODELS: dict[str, Callable[[], LanguageModel]] = {
    f"offline:{name}": partial(_offline, name) for name in SHIPPED
}


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest) -> LanguageModel:
    return MODELS[request.param]()


@pytest.mark.parametrize("text", [contract.SMALL_TALK, contract.ASKS_FOR_A_PERSON])
async def test_reply_is_pieces_then_one_stop_then_at_most_usage(
    model: LanguageModel, text: str
) -> None:
    """A reply ends with exactly one `Stopped`; only usage follows."""
    asked = contract.request(text)

    pieces = await contract.pieces_of(model, asked)

    contract.assert_well_formed(pieces, asked)


async def test_reply_with_a_call_says_that_it_stopped_for_tools(model: LanguageModel) -> None:
    """The stop reason tells whether tools are to be run."""
    pieces = await contract.pieces_of(model, contract.request(contract.ASKS_FOR_A_PERSON))

    assert [name for name, _ in contract.calls(pieces)] == ["LiveAgentHandoffFunction"]
    assert Stopped(StopReason.TOOLS) in pieces


async def test_tool_that_was_not_offered_is_never_called(model: LanguageModel) -> None:
    """Without the tool the caller hears words."""
    asked = contract.request(contract.ASKS_FOR_A_PERSON, tools=())

    pieces = await contract.pieces_of(model, asked)

    contract.assert_well_formed(pieces, asked)
    assert Stopped(StopReason.END) in pieces


async def test_forced_tool_is_called(model: LanguageModel) -> None:
    """`ForcedTool` decides, whatever the caller said."""
    asked = contract.request(contract.SMALL_TALK, choice=ForcedTool("EndCallFunction"))

    pieces = await contract.pieces_of(model, asked)

    contract.assert_well_formed(pieces, asked)
    assert contract.calls(pieces) == [("EndCallFunction", {})]


async def test_choice_none_gives_words_only(model: LanguageModel) -> None:
    """Offered tools stay unused."""
    asked = contract.request(contract.ASKS_FOR_A_PERSON, choice=Choice.NONE)

    pieces = await contract.pieces_of(model, asked)

    contract.assert_well_formed(pieces, asked)
    assert contract.calls(pieces) == []


async def test_closing_early_leaves_nothing_running(model: LanguageModel) -> None:
    """An interrupt closes the generator after any piece."""
    asked = contract.request(contract.SMALL_TALK)

    assert await contract.tasks_left_after_closing(model, asked) == 0


async def test_name_is_the_identifier(model: LanguageModel) -> None:
    """Metrics have a bounded set of names."""
    assert model.name == "offline:"
