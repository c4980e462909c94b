"""Facts of a call are loaded, and whatever was stored, a model accepts them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.call.actions import StartReply
from agent.call.history import (
    AgentSaid,
    CallerBegan,
    CallerSaid,
    Fact,
    History,
    InputMode,
    Note,
    Recorded,
    SpeechSource,
    Summary,
    ToolUsed,
)
from agent.call.messages import ToolCall, ToolResult
from agent.ports import Item
from agent.store.call_state.history_loader import (
    HistoryRepair,
    LoadedHistory,
    load_history,
    read_items,
)
from agent.store.call_state.journal import fact_item, open_journals
from agent.store.memory import MemoryStore
from agent.store.sqlite import SqliteStore
from tests.call.providers import assert_no_provider_refuses

STARTED = 1_772_733_600_000
CALL = ToolCall("abcdefghi", "PlaceOrderFunction", '{"order_total": 25}')
SILENCE = AgentSaid("", SpeechSource.SERVICE)
GENERATION = 1_000_000_000

texts = st.text(min_size=1, max_size=20).filter(str.strip)
objects = st.dictionaries(
    st.text(max_size=5), st.none() | st.booleans() | st.integers(-9, 9) | texts, max_size=3
).map(json.dumps)
names = st.from_regex(r"[A-Za-z0-9_]{1,64}", fullmatch=True)
results = st.builds(ToolResult, st.just(""), objects | texts, st.booleans())
sound_facts = st.one_of(
    st.builds(CallerSaid, texts, st.sampled_from(InputMode)),
    st.builds(AgentSaid, st.text(max_size=20), st.sampled_from(SpeechSource), st.booleans()),
    st.builds(Note, texts),
    st.builds(
        ToolUsed,
        st.integers(0, 1000),
        st.builds(ToolCall, st.just(""), names, objects),
        st.none() | results,
    ),
)


def numbered(kept: Iterable[Fact]) -> list[Fact]:
    """The same, each tool call with an identifier as the conversation mints it."""
    facts: list[Fact] = []
    for position, fact in enumerate(kept):
        if isinstance(fact, ToolUsed):
            call_id = f"tool{position:05d}"
            answer = fact.result and ToolResult(call_id, fact.result.content, fact.result.is_error)
            call = ToolCall(call_id, fact.call.name, fact.call.arguments)
            facts.append(ToolUsed(fact.reply, call, answer))
        else:
            facts.append(fact)
    return facts


def item_of(position: int, fact: Recorded, sequence: int = 0) -> Item:
    return fact_item("CA1", STARTED, position, fact, sequence, 9)


def read(*items: Item) -> tuple[list[Fact], list[tuple[str, int]]]:
    """Facts and repairs of these items."""
    found = read_items(items)
    return found.facts, [(repair.kind, repair.position) for repair in found.repairs]


def with_summaries(kept: list[Fact]) -> list[Fact]:
    """The same, with a summary of what is before each third turn border."""
    history = History()
    for fact in kept:
        history.append(fact)
        if len(history.turns) > 2:
            history.append(Summary(f"Up to {len(history)}.", history.turns[-1]))
    return list(history)


@settings(max_examples=60)
@given(kept=st.lists(sound_facts, max_size=12).map(numbered).map(with_summaries))
def test_every_fact_comes_back_exactly(
    tmp_path_factory: pytest.TempPathFactory, kept: list[Fact]
) -> None:
    """Through the journal and a real table, in the order of positions."""

    async def through(path: Path) -> LoadedHistory:
        store = await SqliteStore.open(path)
        async with open_journals(store, lambda: 99_999_999_999.5) as journals:
            journal = journals.open("CA1", STARTED)
            for position, fact in reversed(list(enumerate(kept))):
                journal.record(position, fact)
            assert await journal.flush(5.0) == 0
        found = await load_history(store, "CA1")
        await store.close()
        return found

    found = asyncio.run(through(tmp_path_factory.mktemp("chat") / "agent.db"))

    assert (found.facts, found.repairs) == (kept, [])


def test_a_lost_fact_leaves_the_others_in_their_places() -> None:
    """A position is an identity: what follows a gap is not moved up."""
    items: list[Item] = [
        item_of(0, CallerSaid("Hello")),
        item_of(3, CallerSaid("Are you there?")),
        {"position": 4, "fact": {"kind": "note"}},
        {"position": 5, "fact": {"kind": "?"}},
        {"position": 6, "fact": {"kind": "note", "text": 7}},
        item_of(7, Note("x")),
    ]

    assert read(*items) == (
        [
            CallerSaid("Hello"), SILENCE, SILENCE, CallerSaid("Are you there?"),
            SILENCE, SILENCE, SILENCE, Note("x"),
        ],
        [("missing", 1), ("unreadable", 4), ("unreadable", 5), ("unreadable", 6)],
    )  # fmt: skip


@given(kept=st.lists(sound_facts, min_size=3, max_size=16).map(numbered).map(with_summaries))
def test_a_call_is_read_as_it_was_before_it_was_resumed(kept: list[Fact]) -> None:
    live = History()
    for fact in kept:
        live.append(fact)
        live.forget()

    found = read_items([item_of(position, fact) for position, fact in enumerate(kept)])

    assert found.repairs == []
    assert History(found.facts).messages(10_000) == live.messages(10_000)


def test_invalid_summary_becomes_silence() -> None:
    said: list[Fact] = [
        CallerSaid("Hi."),
        AgentSaid("Hello."),
        CallerSaid("Two."),
        CallerSaid("Large."),
    ]
    last: list[Fact] = [AgentSaid("Fine."), CallerSaid("Bye.")]
    sound = Summary("Hi.", 2)
    bad: list[Fact] = [
        Summary("Not before the caller's words.", 1),
        Summary("In the midst of them.", 3),
        Summary("Of itself.", 6),
        Summary("Of what comes later.", 99),
        Summary("Of less than nothing.", -1),
        Summary(" ", 2),
    ]
    late = Summary("Less far than the one before it.", 0)
    kept: list[Fact] = [*said, *bad, sound, late, *last]

    facts, repairs = read(*(item_of(position, fact) for position, fact in enumerate(kept)))

    assert facts == [*said, *[SILENCE] * 6, sound, SILENCE, *last]
    assert repairs == [
        *[("summary", position) for position in range(4, 9)],
        ("blank", 9),
        ("summary", 11),
    ]
    assert list(History(facts)) == facts


def test_a_summary_whose_turn_was_lost_is_silence() -> None:
    items = [item_of(0, CallerSaid("Hi.")), item_of(2, Summary("Hi.", 1)), item_of(3, Note("x"))]

    assert read(*items) == (
        [CallerSaid("Hi."), SILENCE, SILENCE, Note("x")],
        [("missing", 1), ("summary", 2)],
    )


def test_impossible_position_is_unreadable() -> None:
    items = [item_of(0, Note("x")), {**item_of(1, Note("y")), "position": 999_999}]

    assert read(*items) == ([Note("x")], [("unreadable", 1)])


def test_of_two_items_with_one_position_the_later_stands() -> None:
    items = [item_of(0, Note("x")), item_of(0, Note("y"))]

    assert read(*items) == ([Note("y")], [("taken", 0)])


def used(call_id: str, name: str, result: str = "", arguments: str = "{}") -> ToolUsed:
    """A tool call with this result, which may name another call before a `|`."""
    call = ToolCall(call_id, name, arguments)
    other, _, content = result.rpartition("|")
    return ToolUsed(1, call, ToolResult(other or call_id, content) if result else None)


GOOD = "abcdefghi"


@pytest.mark.parametrize(
    ("kept", "good", "kinds"),
    [
        (CallerSaid(" "), SILENCE, ["blank"]),
        (CallerSaid("", InputMode.KEYPAD), SILENCE, ["blank"]),
        (AgentSaid("", is_cut=True), AgentSaid("", is_cut=True), []),
        (used(GOOD, "no-such tool"), used(GOOD, "no_such_tool"), ["tool_name"]),
        (used(GOOD, ""), used(GOOD, "unknown"), ["tool_name"]),
        (used("tooluse_ab12", "F", "1"), used("old000000", "F", "1"), ["call_id"]),
        (used(GOOD, "F", arguments='{"n": NaN}'), used(GOOD, "F"), ["arguments"]),
        (used(GOOD, "F", "\n"), used(GOOD, "F", "{}"), ["blank"]),
        (used(GOOD, "F", "\ud800"), used(GOOD, "F", "{}"), ["blank"]),
        (used(GOOD, "F", "another12|1"), used(GOOD, "F", "1"), ["orphan"]),
    ],
)
def test_fact_that_a_provider_would_refuse_is_repaired(
    kept: Fact, good: Fact, kinds: list[str]
) -> None:
    assert read(item_of(0, kept)) == ([good], [(kind, 0) for kind in kinds])


def test_an_identifier_that_comes_again_is_replaced() -> None:
    used = [ToolUsed(n, ToolCall(call_id, "F", "{}")) for n, call_id in enumerate(
        ("abcdefghi", "abcdefghi", "old000001")
    )]  # fmt: skip

    facts, repairs = read(*(item_of(position, fact) for position, fact in enumerate(used)))

    ids = [fact.call.id for fact in facts if isinstance(fact, ToolUsed)]
    assert ids == ["abcdefghi", "old000001", "old000002"]
    assert repairs == [("call_id", 1), ("call_id", 2)]


def test_numbers_of_dynamodb_are_numbers() -> None:
    item = item_of(0, ToolUsed(7, CALL))
    fact = {"kind": "toolUsed", "reply": Decimal(7), "call": dict(item["fact"]["call"])}  # type: ignore[index] # the shape is what is tested
    numbers = {"position": Decimal(0), "sequence": Decimal(3 * GENERATION + 5)}

    found = read_items([{**item, **numbers, "fact": fact}])

    assert found.facts == [ToolUsed(7, CALL)]
    assert found.next_sequence == 4 * GENERATION


def test_the_next_process_counts_above_everything_written_before() -> None:
    assert read_items([]).next_sequence == GENERATION
    assert read_items([item_of(0, Note("x"), 7)]).next_sequence == GENERATION
    assert read_items([item_of(0, Note("x"), GENERATION)]).next_sequence == 2 * GENERATION


def test_a_caller_who_began_to_speak_is_known_unless_the_words_came() -> None:
    """The mark has the position of the next fact, and is not a fact itself."""
    said = item_of(0, CallerSaid("Two pizzas."))
    began = item_of(1, CallerBegan())

    cut_off = read_items([said, began])
    answered = read_items([said, began, item_of(2, Note("x"))])

    assert (cut_off.facts, cut_off.is_caller_cut_off) == ([CallerSaid("Two pizzas.")], True)
    assert (cut_off.repairs, answered.is_caller_cut_off) == ([], False)
    assert not read_items([said]).is_caller_cut_off


def test_tool_calls_that_ran_when_the_process_died_are_open() -> None:
    done = ToolUsed(0, CALL, ToolResult("abcdefghi", "{}"))
    running = ToolUsed(1, ToolCall("tool00002", "F", "{}"))

    found = read_items([item_of(0, done), item_of(1, running), item_of(2, Note("x"))])

    assert (found.facts, found.repairs) == ([done, running, Note("x")], [])


async def test_each_repair_is_logged_without_words() -> None:
    store = MemoryStore()
    await store.put(item_of(1, CallerSaid("My name is Ada.")))
    await store.put(item_of(2, ToolUsed(1, ToolCall("+15550100001", "F", "{}"))))

    with structlog.testing.capture_logs() as logs:
        found = await load_history(store, "CA1")

    assert found.repairs == [
        HistoryRepair("missing", 0),
        HistoryRepair("call_id", 2),
    ]
    level = {"event": "history.repaired", "log_level": "warning"}
    assert logs == [
        {"kind": "missing", "position": 0, **level},
        {"kind": "call_id", "position": 2, **level},
    ]


def chat(role: str, *blocks: object) -> Item:
    return {"pk": "CA1", "chat": {"role": role, "content": list(blocks)}}


def use(call_id: str, **rest: object) -> Item:
    return {"toolUse": {"toolUseId": call_id, "name": "F", **rest}}


def result(call_id: str, **rest: object) -> Item:
    return {"toolResult": {"toolUseId": call_id, **rest}}


def test_items_of_the_predecessor_are_read() -> None:
    items = [
        chat("user", {"text": "A pizza and the time."}),
        chat("assistant", {"text": "Sure."}, use("call00001", input={"n": Decimal("1.5")})),
        chat("assistant", use("call00002")),
        chat("user", result("call00001", content=[{"json": {"message": "ok"}}])),
        chat("user", result("call00002", content=[{"text": "no"}], status="error")),
        chat("assistant", use("call00003", input={})),
        chat("user", result("call00003")),
        chat("assistant", {"text": "Done."}),
    ]

    one, two, three = "call00001", "call00002", "call00003"
    assert read(*items) == (
        [
            CallerSaid("A pizza and the time."),
            AgentSaid("Sure."),
            ToolUsed(0, ToolCall(one, "F", '{"n": 1.5}'), ToolResult(one, '{"message": "ok"}')),
            ToolUsed(0, ToolCall(two, "F", "{}"), ToolResult(two, '"no"', is_error=True)),
            ToolUsed(1, ToolCall(three, "F", "{}"), ToolResult(three, "{}")),
            AgentSaid("Done."),
        ],
        [],
    )


def test_a_call_id_that_comes_again_is_another_call() -> None:
    items = [
        chat("assistant", use("call00001")),
        chat("user", result("call00001", content=[{"text": "first"}])),
        chat("assistant", use("call00001")),
        chat("user", result("call00001", content=[{"text": "second"}])),
        chat("user", result("call00001", content=[{"text": "third"}])),
    ]

    assert read(*items) == (
        [
            ToolUsed(0, ToolCall("call00001", "F", "{}"), ToolResult("call00001", '"first"')),
            ToolUsed(1, ToolCall("old000001", "F", "{}"), ToolResult("old000001", '"second"')),
        ],
        [("call_id", 1), ("orphan", 2)],
    )


@pytest.mark.parametrize(
    ("item", "kinds"),
    [
        ({}, ["unreadable"]),
        ({"chat": "text"}, ["unreadable"]),
        (chat("system", {"text": "x"}), ["unreadable"]),
        (chat("user", 1, {"image": {}}), ["unknown_block", "unknown_block"]),
        (chat("user", {"text": " "}), ["blank"]),
        (chat("user", result("call00001")), ["orphan"]),
        (chat("assistant", {"toolUse": {"name": "F"}}), ["unknown_block"]),
        ({"position": Decimal("Infinity")}, ["unreadable"]),
    ],
)
def test_unreadable_item_costs_only_itself(item: Item, kinds: list[str]) -> None:
    hello = chat("user", {"text": "Hello"})

    assert read(item, hello) == ([CallerSaid("Hello")], [(kind, 0) for kind in kinds])


def test_a_value_that_has_no_json_is_an_empty_object() -> None:
    items = [chat("assistant", use("call00001", input={"sizes": {"small"}}))]

    assert read(*items) == ([ToolUsed(0, ToolCall("call00001", "F", "{}"))], [("unreadable", 0)])


odd_texts = st.sampled_from(
    [
        *("", " ", "\n", "Hello.", "Two pizzas", "\ud800", "a" * 70, "x-y z", "tooluse_ab12"),
        *("tool00001", "tool00002", "old000001", "old000002"),
        *("{}", '{"n": NaN}', "[1]", '{"a": 1}', "not JSON"),
    ]
)
odd_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from([Decimal("NaN"), Decimal("Infinity"), Decimal("1.5"), Decimal(3), b"x", {1}])
    | odd_texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(odd_texts, inner, max_size=3),
    max_leaves=6,
)


@st.composite
def odd(draw: st.DrawFn, /, **shape: st.SearchStrategy[Any]) -> dict[str, Any]:
    """A map of these; of one in ten a value is missing, of another one it is anything."""
    whole = {name: draw(value) for name, value in shape.items()}
    fault, name = draw(st.integers(0, 9)), draw(st.sampled_from([*shape]))
    if fault == 8:
        del whole[name]
    elif fault == 9:
        whole[name] = draw(odd_values)
    return whole


ids = st.sampled_from(["tool00001", "tool00001", "tool00002", "old000001", "tooluse_ab12", ""])
small = st.integers(0, 9)
odd_facts = st.one_of(
    odd(kind=st.sampled_from(["callerSaid", "note"]), text=odd_texts),
    odd(kind=st.just("callerSaid"), text=odd_texts, means=st.sampled_from(["speech", "keypad"])),
    odd(kind=st.just("agentSaid"), text=odd_texts, is_cut=st.booleans()),
    odd(kind=st.just("summary"), text=odd_texts, until=st.integers(-1, 9)),
    odd(
        kind=st.just("toolUsed"),
        reply=small,
        call=odd(id=ids, name=odd_texts, arguments=odd_texts),
        result=st.none() | odd(call_id=ids, content=odd_texts, is_error=st.booleans()),
    ),
)
odd_blocks = st.one_of(
    odd(text=odd_texts),
    odd(toolUse=odd(toolUseId=ids, name=odd_texts, input=odd_values)),
    odd(
        toolResult=odd(
            toolUseId=ids,
            content=st.lists(odd(json=odd_values) | odd(text=odd_texts), max_size=2),
            status=st.sampled_from(["success", "error"]),
        )
    ),
    odd_values,
)
messages_of_old = odd(
    chat=odd(role=st.sampled_from(["user", "assistant"]), content=st.lists(odd_blocks, max_size=4))
)
our_items = odd(position=small, fact=odd_facts, sequence=st.integers(0, 99))
our_calls = st.lists(odd_facts, max_size=8).map(
    lambda facts: [{"position": position, "fact": fact} for position, fact in enumerate(facts)]
)
any_item = our_items | messages_of_old | st.dictionaries(odd_texts, odd_values, max_size=2)


def test_half_a_character_costs_its_fact_only() -> None:
    call = {"id": "tool00001", "name": "look", "arguments": "{}", "\ud800": 1}
    broken = {"kind": "toolUsed", "reply": 0, "call": call, "result": None}
    items: list[Item] = [
        {"position": 0, "fact": broken},
        {"position": 1, "fact": {"kind": "callerSaid", "text": "Hello."}},
    ]

    assert read_items(items).facts == [SILENCE, CallerSaid("Hello.")]


@settings(max_examples=300)
@given(
    items=our_calls | st.lists(messages_of_old, max_size=8) | st.lists(any_item, max_size=8),
    limit=st.sampled_from([0, 10, 40, 10_000]),
)
def test_no_provider_refuses_the_messages_of_any_items(items: list[Item], limit: int) -> None:
    """Our items spoiled, the predecessor's in any order, and unknown items."""
    facts = read_items(items).facts

    messages = History(facts).messages(limit)

    for reply in (1, 2):  # with a guardrail and without
        assert_no_provider_refuses(StartReply(reply, messages))
    assert msgspec.json.encode(messages), "all characters can be sent"
    assert read_items([item_of(n, fact) for n, fact in enumerate(facts)]).repairs == []
