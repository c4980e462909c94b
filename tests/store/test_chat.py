"""The facts of a call as items."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.conversation.history import AgentSaid, CallerSaid, Fact, Means, Note, ToolUsed, Voice
from agent.conversation.messages import ToolCall, ToolResult
from agent.store.chat import StoreJournal, fact_from_item, fact_item, facts, facts_from_items
from agent.store.sqlite import SqliteStore
from tests.fakes import MemoryStore

CALL = ToolCall("abcdefghi", "PlaceOrderFunction", '{"order_total": 25}')

texts = st.text(max_size=20)
json_texts = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
).map(json.dumps)
arguments = json_texts | texts | st.just('{"rate": 1e999}') | st.just('"\\ud800"')
every_fact = st.one_of(
    st.builds(CallerSaid, texts, st.sampled_from(Means)),
    st.builds(AgentSaid, texts, st.sampled_from(Voice), st.booleans()),
    st.builds(Note, texts),
    st.builds(
        ToolUsed,
        st.integers(0, 1000),
        st.builds(ToolCall, texts, texts, arguments),
        st.none() | st.builds(ToolResult, texts, arguments, st.booleans()),
    ),
)


@pytest.mark.parametrize(
    ("fact", "chat"),
    [
        (
            CallerSaid("Two small pizzas please"),
            {"role": "user", "content": [{"text": "Two small pizzas please"}]},
        ),
        (
            CallerSaid("42", Means.KEYPAD),
            {"role": "user", "content": [{"text": "[The caller pressed on the keypad: 42]"}]},
        ),
        (Note("The order is in."), {"role": "user", "content": [{"text": "[The order is in.]"}]}),
        (AgentSaid("Gladly."), {"role": "assistant", "content": [{"text": "Gladly."}]}),
        (AgentSaid("", is_cut=True), {"role": "assistant", "content": []}),
        (
            ToolUsed(1, CALL),
            {
                "role": "assistant",
                "content": [
                    {
                        "toolUse": {
                            "toolUseId": "abcdefghi",
                            "name": "PlaceOrderFunction",
                            "input": {"order_total": 25},
                        }
                    }
                ],
            },
        ),
        (
            ToolUsed(1, ToolCall("abcdefghi", "F", "not JSON")),
            {
                "role": "assistant",
                "content": [{"toolUse": {"toolUseId": "abcdefghi", "name": "F", "input": {}}}],
            },
        ),
    ],
)
def test_a_fact_is_a_converse_message(fact: Fact, chat: object) -> None:
    """As the predecessor's items are (A7.4)."""
    assert fact_item("CA1", 1_772_733_600_000, 0, fact, 9)["chat"] == chat


@pytest.mark.parametrize(
    ("result", "content", "status"),
    [
        (
            ToolResult("abcdefghi", '{"message":"ok"}'),
            [{"json": {"message": "ok"}}],
            {},
        ),
        (ToolResult("abcdefghi", '"ok"', is_error=True), [{"text": '"ok"'}], {"status": "error"}),
    ],
)
def test_the_result_of_a_tool_is_a_message_of_its_own(
    result: ToolResult, content: object, status: dict[str, str]
) -> None:
    """Beside that of the call, in one item: a fact is completed in its place."""
    item = fact_item("CA1", 1_772_733_600_000, 3, ToolUsed(1, CALL, result), 9)

    assert item["chatResult"] == {
        "role": "user",
        "content": [{"toolResult": {"toolUseId": "abcdefghi", "content": content, **status}}],
    }


def test_the_key_of_a_fact_is_its_position() -> None:
    """After the start of the call; no clock is asked for the order (D12)."""
    item = fact_item("CA1", 1_772_733_600_000, 12, Note("x"), 1_772_820_000)

    assert item["pk"] == "CA1"
    assert item["sk"] == "chat::1772733600000000012"
    assert item["expireAt"] == 1_772_820_000


@settings(max_examples=60, deadline=None)
@given(kept=st.lists(every_fact, max_size=12))
def test_every_fact_comes_back_exactly(
    tmp_path_factory: pytest.TempPathFactory, kept: list[Fact]
) -> None:
    """Through a real table, in the order of their positions, written in any order."""

    async def through(path: Path) -> list[Fact]:
        store = await SqliteStore.open(path)
        journal = StoreJournal(store, "CA1", 1_772_733_600_000, lambda: 99_999_999_999.5)
        for position, fact in reversed(list(enumerate(kept))):
            await journal.write(position, fact)
        found = await facts(store, "CA1")
        await store.close()
        return found

    assert asyncio.run(through(tmp_path_factory.mktemp("chat") / "agent.db")) == kept


async def test_writing_a_fact_again_replaces_it() -> None:
    """A cut, a result and a retry are one operation; items go after a day."""
    store = MemoryStore()
    journal = StoreJournal(store, "CA1", 1_772_733_600_000, lambda: 1_772_733_600.9)
    await journal.write(0, AgentSaid("One two three."))
    await journal.write(0, AgentSaid("One two", is_cut=True))

    items = await store.query("CA1", "chat::")

    assert [fact_from_item(item) for item in items] == [AgentSaid("One two", is_cut=True)]
    assert items[0]["expireAt"] == 1_772_820_000


async def test_a_lost_fact_leaves_the_others_in_their_places() -> None:
    """A position is an identity: what follows a gap is not moved up."""
    store = MemoryStore()
    journal = StoreJournal(store, "CA1", 1_772_733_600_000, lambda: 0.0)
    await journal.write(0, CallerSaid("Hello"))
    await journal.write(2, CallerSaid("Are you there?"))
    await store.merge("CA1", "chat::1772733600000000003", {"position": 3, "fact": {"kind": "note"}})
    await store.merge("CA1", "chat::1772733600000000004", {"position": 4, "fact": {"kind": "?"}})
    await journal.write(5, Note("x"))

    silence = AgentSaid("", Voice.SERVICE)
    assert await facts(store, "CA1") == [
        CallerSaid("Hello"), silence, CallerSaid("Are you there?"), silence, silence, Note("x"),
    ]  # fmt: skip


def test_numbers_of_dynamodb_are_numbers() -> None:
    """Which come as `Decimal`."""
    item = fact_item("CA1", 1_772_733_600_000, 0, ToolUsed(7, CALL), 9)
    fact = {"kind": "toolUsed", "reply": Decimal("7"), "call": dict(item["fact"]["call"])}  # type: ignore[index] # the shape is what is tested

    assert facts_from_items([{**item, "position": Decimal("0"), "fact": fact}]) == [
        ToolUsed(7, CALL)
    ]


def chat(role: str, *blocks: object) -> dict[str, object]:
    return {"pk": "CA1", "chat": {"role": role, "content": list(blocks)}}


def use(call_id: str, **rest: object) -> dict[str, object]:
    return {"toolUse": {"toolUseId": call_id, "name": "F", **rest}}


def result(call_id: str, **rest: object) -> dict[str, object]:
    return {"toolResult": {"toolUseId": call_id, **rest}}


def test_items_of_the_predecessor_are_read() -> None:
    """Words, tool calls of one message, and the results that complete them (A7.4)."""
    items = [
        chat("user", {"text": "A pizza and the time."}),
        chat("assistant", {"text": "Sure."}, use("t1", input={"n": Decimal("1.5")}), use("t2")),
        chat("user", result("t1", content=[{"json": {"message": "ok"}}])),
        chat("user", result("t2", content=[{"text": "no"}], status="error")),
        chat("assistant", use("t3", input={})),
        chat("user", result("t3"), result("t9", content=[])),
        chat("assistant", {"text": "Done."}),
    ]

    assert facts_from_items(items) == [
        CallerSaid("A pizza and the time."),
        AgentSaid("Sure."),
        ToolUsed(0, ToolCall("t1", "F", '{"n": 1.5}'), ToolResult("t1", '{"message": "ok"}')),
        ToolUsed(0, ToolCall("t2", "F", "{}"), ToolResult("t2", '"no"', is_error=True)),
        ToolUsed(1, ToolCall("t3", "F", "{}"), ToolResult("t3", "{}")),
        AgentSaid("Done."),
    ]


def test_a_call_id_that_comes_again_is_another_call() -> None:
    """Some models repeat their identifiers; a result is given once."""
    items = [
        chat("assistant", use("t1")),
        chat("user", result("t1", content=[{"text": "first"}])),
        chat("assistant", use("t1")),
        chat("user", result("t1", content=[{"text": "second"}])),
    ]

    assert facts_from_items(items) == [
        ToolUsed(0, ToolCall("t1", "F", "{}"), ToolResult("t1", '"first"')),
        ToolUsed(1, ToolCall("t1", "F", "{}"), ToolResult("t1", '"second"')),
    ]


@pytest.mark.parametrize(
    "item",
    [{}, {"chat": "text"}, chat("system", {"text": "x"}), chat("user", 1, {"image": {}})],
)
def test_an_item_that_says_nothing_is_passed_over(item: dict[str, object]) -> None:
    """One strange item does not cost the history of a call."""
    assert facts_from_items([item, chat("user", {"text": "Hello"})]) == [CallerSaid("Hello")]
