"""Arguments and fillers of tool calls; `test_tools_stories.py` has the rest."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.call.actions import Record
from agent.call.heard_confirmation import Exchange
from agent.call.history import History, ToolUsed
from agent.call.messages import ToolSpec
from agent.call.tool_calls import ToolCalls, canonical, error_content
from tests.call import builders as it
from tests.call.world import LOOK, MARK, ORDER


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ('{"b": [1, 2], "a": "ü"}', '{"a":"ü","b":[1,2]}'),
        ("{}", "{}"),
        ("[]", None),
        ("null", None),
        ("", None),
        ("{", None),
        ('{"a":' * 100_000, None),
        ('{"a":' + "1" * 5_000 + "}", None),
        ('{"a": NaN}', None),
        ('{"a": [-Infinity]}', None),
        ('{"a": 1e400}', None),
        ('{"a":' + "[" * 31 + "]" * 31 + "}", '{"a":' + "[" * 31 + "]" * 31 + "}"),
        ('{"a":' + "[" * 32 + "]" * 32 + "}", None),
    ],
)
def test_equal_arguments_have_one_spelling(arguments: str, expected: str | None) -> None:
    assert canonical(arguments) == expected


@given(text=st.text())
def test_any_text_of_a_model_can_be_looked_at(text: str) -> None:
    canonical(text)


def test_without_tools_the_error_says_so() -> None:
    runs = ToolCalls(History(), {})

    actions = runs.accept(1, [it.wants("look_up")], Exchange())

    told = error_content("There is no tool look_up. Tools: none.")
    assert actions == [
        Record(0, ToolUsed(1, it.use(1, "look_up"), it.result(1, told, is_error=True)))
    ]


def test_the_filler_is_that_of_a_tool_the_turn_waits_for() -> None:
    specs = {
        one.name: ToolSpec(one.name, "Works.", "{}", one.side_effect, f"{one.name} works.")
        for one in (LOOK, MARK, ORDER)
    }
    runs = ToolCalls(History(), specs)
    none = runs.filler
    runs.accept(1, [it.wants("order")], Exchange())
    runs.leave()
    left = runs.filler
    runs.accept(1, [it.wants("mark"), it.wants("look_up")], Exchange())

    assert (none, left, runs.filler) == ("", "", "mark works.")
