"""Tool calls: taken up, run once, answered once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.call.actions import Action, CancelTool, Record, RunTool, ToolOutcome
from agent.call.history import History, ToolUsed
from agent.call.messages import ToolCall, ToolSpec
from agent.call.tool_calls import (
    CANCELLED,
    NOT_HEARD,
    FinishedToolCall,
    ToolCalls,
    canonical,
    error_content,
)
from tests.call.builders import result, use, wants
from tests.call.world import LOOK, MARK, ORDER, SPECS

DONE = ToolOutcome('{"ok":true}')


def take_up(runs: ToolCalls, *calls: ToolCall, is_confirmed: bool = True) -> list[Action]:
    return runs.accept(1, calls, is_confirmed=is_confirmed)


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
    """None for what is no JSON object."""
    assert canonical(arguments) == expected


@given(text=st.text())
def test_any_text_of_a_model_can_be_looked_at(text: str) -> None:
    """Never an error: what a model writes is anything."""
    canonical(text)


def test_all_calls_are_recorded_before_any_is_run() -> None:
    """A process that dies in between knows what it was about to do."""
    runs = ToolCalls(History(), SPECS)

    actions = take_up(runs, wants("look_up"), wants("mark"))

    assert actions == [
        Record(0, ToolUsed(1, use(1, "look_up"))),
        Record(1, ToolUsed(1, use(2, "mark"))),
        RunTool(use(1, "look_up")),
        RunTool(use(2, "mark"), is_lasting=True),
    ]


def test_a_result_completes_its_fact() -> None:
    """And says whether the turn waited for it."""
    runs = ToolCalls(History(), SPECS)
    take_up(runs, wants("mark"))
    awaited = runs.is_awaited

    finished = runs.finish("tool00001", DONE)

    record = Record(0, ToolUsed(1, use(1, "mark"), result(1)))
    assert finished == FinishedToolCall([record], "mark", was_awaited=True)
    assert (awaited, runs.is_awaited, runs.is_unfinished) == (True, False, False)
    assert not runs.is_known("tool00001")


def test_leaving_cancels_what_has_no_side_effect_and_lets_the_rest_run() -> None:
    """Practice section 7."""
    runs = ToolCalls(History(), SPECS)
    take_up(runs, wants("look_up"), wants("mark"), wants("order"))

    actions = runs.leave()

    cancelled = result(1, error_content(CANCELLED), is_error=True)
    assert actions == [
        CancelTool("tool00001"),
        Record(0, ToolUsed(1, use(1, "look_up"), cancelled)),
    ]
    assert (runs.is_awaited, runs.is_unfinished) == (False, True)
    assert not runs.is_known("tool00001")
    assert not runs.finish("tool00002", DONE).was_awaited
    assert runs.leave() == []


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ('{"a":1,"b":2}', '{"b": 2, "a": 1}'),
        ('{"b": 2, "a": 1}', '{"a":1,"b":2}'),
        ('{"b": 2, "a": 1}', '{"b":2,"a":1}'),
    ],
)
def test_the_same_call_twice_in_one_reply_runs_once(first: str, second: str) -> None:
    """However it is spelled, and both are answered."""
    runs = ToolCalls(History(), SPECS)

    actions = take_up(runs, wants("order", first), wants("order", second))
    finished = runs.finish("tool00001", DONE)

    assert [one for one in actions if isinstance(one, RunTool)] == [
        RunTool(use(1, "order", first), is_lasting=True)
    ]
    assert finished.records == [
        Record(0, ToolUsed(1, use(1, "order", first), result(1))),
        Record(1, ToolUsed(1, use(2, "order", second), result(2))),
    ]


def test_what_can_be_repeated_is_not_repeated_either() -> None:
    """Idempotent calls take over a result as well."""
    runs = ToolCalls(History(), SPECS)
    take_up(runs, wants("mark"))
    runs.finish("tool00001", DONE)

    assert take_up(runs, wants("mark")) == [Record(1, ToolUsed(1, use(2, "mark"), result(2)))]


def test_joining_makes_a_left_run_awaited_again() -> None:
    """The new turn waits for it."""
    runs = ToolCalls(History(), SPECS)
    take_up(runs, wants("order"))
    runs.leave()

    take_up(runs, wants("order"), is_confirmed=False)

    assert runs.is_awaited
    assert runs.finish("tool00001", DONE).was_awaited


def test_only_what_cannot_be_repeated_waits_for_a_confirmation() -> None:
    """Practice section 5, rule 11."""
    runs = ToolCalls(History(), SPECS)

    actions = take_up(runs, wants("look_up"), wants("mark"), wants("order"), is_confirmed=False)

    refused = result(3, error_content(NOT_HEARD), is_error=True)
    assert actions == [
        Record(0, ToolUsed(1, use(1, "look_up"))),
        Record(1, ToolUsed(1, use(2, "mark"))),
        Record(2, ToolUsed(1, use(3, "order"), refused)),
        RunTool(use(1, "look_up")),
        RunTool(use(2, "mark"), is_lasting=True),
    ]


def test_without_tools_the_model_is_told_so() -> None:
    """A model that makes tools up."""
    runs = ToolCalls(History(), {})

    actions = take_up(runs, wants("look_up"))

    told = error_content("There is no tool look_up. Tools: none.")
    assert actions == [Record(0, ToolUsed(1, use(1, "look_up"), result(1, told, is_error=True)))]


def test_the_filler_is_that_of_a_tool_the_turn_waits_for() -> None:
    """A tool that was left has nothing to say."""
    specs = {
        one.name: ToolSpec(one.name, "Works.", "{}", one.side_effect, f"{one.name} works.")
        for one in (LOOK, MARK, ORDER)
    }
    runs = ToolCalls(History(), specs)
    none = runs.filler
    take_up(runs, wants("order"))
    runs.leave()
    left = runs.filler
    take_up(runs, wants("mark"), wants("look_up"))

    assert (none, left, runs.filler) == ("", "", "mark works.")


def test_a_result_that_nobody_waited_for_is_news_until_it_is_told() -> None:
    """One that was waited for is the turn's own."""
    runs = ToolCalls(History(), SPECS)
    take_up(runs, wants("mark"), wants("order"))
    runs.finish("tool00001", DONE)
    awaited = runs.has_news
    runs.leave()
    runs.finish("tool00002", DONE)
    left = runs.has_news

    runs.mark_news_read()

    assert (awaited, left, runs.has_news) == (False, True, False)
