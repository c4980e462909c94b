"""How a function becomes a tool, and what is refused when the module is imported."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

import msgspec
import pytest
from msgspec import Meta

from agent.call.messages import SideEffect, ToolSpec
from agent.tools import CallContext, Collector, tool


class Topping(msgspec.Struct):
    """One topping."""

    name: Annotated[str, Meta(description="Its name.")]


class Nameless(msgspec.Struct):
    """Something undescribed."""

    name: str


async def described(
    call: CallContext,
    how_many: Annotated[int, Meta(description="How many.", ge=1, le=9)],
    toppings: Annotated[list[Topping], Meta(description="All toppings.")],
    size: Annotated[Literal["small", "large"] | None, Meta(description="Size.")] = None,
    note: Annotated[str, Meta(description="A note.")] = "none",
) -> None:
    """Bake a pizza.

    Only when
    asked.
    """


def test_a_signature_and_a_docstring_are_the_whole_declaration() -> None:
    made = tool(
        "BakeFunction",
        side_effect=SideEffect.ONCE,
        filler="Baking.",
        expects={"how many": "2 digits"},
        rename={"how_many": "count"},
    )(described)

    assert made.spec == ToolSpec(
        "BakeFunction",
        "Bake a pizza. Only when asked.",
        made.spec.parameters,
        SideEffect.ONCE,
        "Baking.",
        expects=(("how many", "2 digits"),),
    )
    assert made.timeout == 8.0
    assert json.loads(made.spec.parameters) == {
        "type": "object",
        "properties": {
            "count": {"type": "integer", "minimum": 1, "maximum": 9, "description": "How many."},
            "toppings": {
                "type": "array",
                "description": "All toppings.",
                "items": {
                    "type": "object",
                    "description": "One topping.",
                    "properties": {"name": {"type": "string", "description": "Its name."}},
                    "required": ["name"],
                },
            },
            "size": {"type": "string", "enum": ["large", "small"], "description": "Size."},
            "note": {"type": "string", "description": "A note.", "default": "none"},
        },
        "required": ["count", "toppings"],
        "additionalProperties": False,
    }


def test_an_answer_of_no_known_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="'six digits' is not a valid AnswerKind"):
        tool("BakeFunction", expects={"order number": "six digits"})


@pytest.mark.parametrize("name", ["", "has-hyphen", "has space", "ü", "x" * 65, "Name\n"])
def test_a_name_that_some_family_refuses_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="is not a tool name"):
        tool(name)


def _blocking(call: CallContext) -> None:
    """Block."""


async def _silent(call: CallContext) -> None: ...


async def _lost(caller: str) -> None:
    """Be lost."""


async def _vague(call: CallContext, what: str) -> None:
    """Be vague."""


async def _deep(
    call: CallContext, what: Annotated[list[Nameless], Meta(description="Things.")]
) -> None:
    """Be vague further down."""


@pytest.mark.parametrize(
    ("function", "fault"),
    [
        (_blocking, "async function"),
        (_silent, "docstring"),
        (_lost, "CallContext"),
        (_vague, "parameter what"),
        (_deep, "parameter name"),
    ],
)
def test_a_function_that_cannot_be_a_tool_is_refused(function: Any, fault: str) -> None:
    with pytest.raises(TypeError, match=fault):
        tool("SomeFunction")(function)


def test_a_tool_says_what_the_caller_enters_for_it() -> None:
    rules = Collector(min_digits=4, max_digits=4, is_sensitive=True)

    made = tool("PinFunction", collects=rules)(described)

    assert made.spec.collects == rules
    assert "digits" not in json.loads(made.spec.parameters)["properties"]
