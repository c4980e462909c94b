"""The facts of a call as items."""

from __future__ import annotations

import pytest

from agent.call.history import AgentSaid, CallerSaid, Fact, InputMode, Note, Summary, ToolUsed
from agent.call.messages import ToolCall, ToolResult
from agent.store.call_state.journal import fact_from_item, fact_item

CALL = ToolCall("abcdefghi", "PlaceOrderFunction", '{"order_total": 25}')


def used(name: str, arguments: object) -> dict[str, object]:
    return {"toolUse": {"toolUseId": "abcdefghi", "name": name, "input": arguments}}


@pytest.mark.parametrize(
    ("fact", "role", "content"),
    [
        (CallerSaid("Two pizzas please"), "user", [{"text": "Two pizzas please"}]),
        (
            CallerSaid("42", InputMode.KEYPAD),
            "user",
            [{"text": "[The caller pressed on the keypad: 42]"}],
        ),
        (
            Summary("Ada is calling.", 3),
            "user",
            [{"text": "[Summary of the call so far: Ada is calling.]"}],
        ),
        (
            Summary("Ada is calling.", 3, "Caller: 4711"),
            "user",
            [
                {
                    "text": "[Summary of the call so far: Ada is calling.] [Noted word for word,"
                    " later lines correct earlier ones:\nCaller: 4711]"
                }
            ],
        ),
        (Note("The order is in."), "user", [{"text": "[The order is in.]"}]),
        (AgentSaid("Gladly."), "assistant", [{"text": "Gladly."}]),
        (AgentSaid("", is_cut=True), "assistant", []),
        (ToolUsed(1, CALL), "assistant", [used("PlaceOrderFunction", {"order_total": 25})]),
        (ToolUsed(1, ToolCall("abcdefghi", "F", "not JSON")), "assistant", [used("F", {})]),
    ],
)
def test_a_fact_is_a_converse_message(fact: Fact, role: str, content: object) -> None:
    item = fact_item("CA1", 1_772_733_600_000, 0, fact, 1, 9)

    assert item["chat"] == {"role": role, "content": content}


def test_a_summary_of_an_older_version_is_read_without_facts() -> None:
    stored = {"fact": {"kind": "summary", "text": "Ada is calling.", "until": 3}}

    assert fact_from_item(stored) == Summary("Ada is calling.", 3)


@pytest.mark.parametrize(
    ("result", "content", "status"),
    [
        (ToolResult("abcdefghi", '{"message":"ok"}'), [{"json": {"message": "ok"}}], {}),
        (ToolResult("abcdefghi", '"ok"', is_error=True), [{"text": '"ok"'}], {"status": "error"}),
    ],
)
def test_the_result_of_a_tool_is_a_message_of_its_own(
    result: ToolResult, content: object, status: dict[str, str]
) -> None:
    item = fact_item("CA1", 1_772_733_600_000, 3, ToolUsed(1, CALL, result), 1, 9)

    assert item["chatResult"] == {
        "role": "user",
        "content": [{"toolResult": {"toolUseId": "abcdefghi", "content": content, **status}}],
    }


def test_the_key_of_a_fact_is_its_position() -> None:
    item = fact_item("CA1", 1_772_733_600_000, 12, Note("x"), 40, 1_772_820_000)

    assert item["pk"] == "CA1"
    assert item["sk"] == "chat::1772733600000000012"
    assert (item["sequence"], item["expireAt"]) == (40, 1_772_820_000)


@pytest.mark.parametrize(
    "hostile",
    [
        '{"a":' * 30 + "1" + "}" * 30,
        '{"n": 1e200}',
        '{"n": 1e-200}',
        f'{{"n": {10**50}}}',
        '{"": 1}',
    ],
    ids=["deep", "large", "small", "long", "nameless"],
)
def test_what_no_table_keeps_as_a_map_is_kept_as_text(hostile: str) -> None:
    """A model or a tool may write anything; the fact is not lost for it."""
    fact = ToolUsed(1, ToolCall("abcdefghi", "F", hostile), ToolResult("abcdefghi", hostile))

    item = fact_item("CA01", 0, 0, fact, 0, 1)

    result = {"toolResult": {"toolUseId": "abcdefghi", "content": [{"text": hostile}]}}
    assert item["chat"] == {"role": "assistant", "content": [used("F", {})]}
    assert item["chatResult"] == {"role": "user", "content": [result]}
    assert fact_from_item(item) == fact
