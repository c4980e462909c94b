"""Whole conversations with the shipped use cases; they are data, `data/offline/conversations.json`.

A turn is what the caller says, what is in the agent's words, and the tool calls: all of them with
their arguments, or the name of one and a value of its arguments. Then, if there are any, the
results of tools that are different from this turn on.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import pytest

from agent.call.history import AgentSaid, InputMode
from agent.call.resumption import BROKEN_OFF
from agent.llm import OfflineModel
from tests.llm.scripts import USE_CASES, Call, script

DATA = json.loads(
    (Path(__file__).parents[1] / "data" / "offline" / "conversations.json").read_text("utf-8")
)


def call_to(use_case: str, results: dict[str, Any]) -> Call:
    return Call(OfflineModel(script(use_case)), {**DATA["tools"][use_case], **results})


@pytest.mark.parametrize(
    "conversation", DATA["conversations"], ids=[each["name"] for each in DATA["conversations"]]
)
async def test_conversation_goes_as_written(conversation: dict[str, Any]) -> None:
    """Each turn is answered with these words, and calls these tools."""
    call = call_to(conversation["use_case"], conversation.get("results", {}))

    for said, *expected in conversation["turns"]:
        words, calls, results = cast(
            tuple[list[str], Any, dict[str, Any]], (*expected, *([], [], {})[len(expected) :])
        )
        call.results = {**call.results, **results}
        if said.startswith("[agent]"):
            call.history.append(AgentSaid(said.removeprefix("[agent]").strip()))
            continue
        keys = said.removeprefix("[keys] ")
        heard = await call.says(keys, means=InputMode.KEYPAD if keys != said else InputMode.SPEECH)

        assert [each for each in words if each not in heard] == [], f"{said!r}: {heard!r}"
        if isinstance(calls, str):
            name, _, value = calls.partition(" ")
            ((called, arguments),) = call.called
            assert (called, not value or value in arguments.values()) == (name, True)
        else:
            assert [list(each) for each in call.called] == calls, said


@pytest.mark.parametrize(("cut", "then"), [("So that is 1 House", "yes"), ("", f"[{BROKEN_OFF}]")])
async def test_read_back_that_was_not_answered_places_nothing(cut: str, then: str) -> None:
    """The caller did not hear its end, or the line broke before an answer."""
    call = call_to("restaurantOrderingUseCase", {})
    await call.says("a house salad for pickup")
    if cut:
        call.history.cut_speech(len(call.history) - 1, cut)

    heard = await call.says(then)

    assert call.called == []
    assert "The total is $10" in heard


def test_prices_of_the_script_are_those_of_the_menu() -> None:
    """The total that is read back is the one that the tool computes."""
    menu_file = USE_CASES / "restaurantOrderingUseCase" / "items.json"
    (menu,) = json.loads(menu_file.read_text(encoding="utf-8"))
    offline = json.loads(script("restaurantOrderingUseCase"))["menu"]

    dishes = {dish["name"]: dish["price"] for dish in offline["items"]}
    toppings = {topping["name"]: topping["price"] for topping in offline["toppings"]}

    assert toppings == {name: float(price) for name, price in menu["toppings"].items()}
    assert dishes == {
        item["name"]: float(item["price"])
        if "price" in item
        else {size: float(price) for size, price in item["sizes"].items()}
        for item in menu["items"]
    }
