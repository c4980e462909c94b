"""The contract of `ports.Store`: what every table promises, the stand-in included."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.errors import StoreRefusedError
from agent.ports import Item, Store
from agent.store.memory import MemoryStore
from tests.fakes import Clock
from tests.stores import open_table


@pytest.fixture
def clock() -> Clock:
    return Clock(1_000.0)


@pytest.fixture(params=["memory", "sqlite", "dynamodb"])
async def store(
    request: pytest.FixtureRequest, tmp_path: Path, clock: Clock
) -> AsyncIterator[Store]:
    opened: Store = MemoryStore(clock)
    if request.param == "sqlite":
        opened = await open_table(tmp_path / "agent.db", clock)
    if request.param == "dynamodb":
        opened = await open_table(request.getfixturevalue("table_name"), clock)
    yield opened
    await opened.close()


async def test_what_was_put_is_what_is_read(store: Store) -> None:
    item: dict[str, object] = {
        "pk": "+15550100001",
        "sk": "restaurantOrder::ab12::1772820000",
        "order": {
            "order_items": [{"line_item": "Große Pizza 🍕", "line_amount": 12.5}, {}],
            "order_total": 25,
            "paid": False,
            "note": None,
            "empty": [],
        },
    }

    written = await store.put(item)

    assert written is True
    assert await store.get("+15550100001", "restaurantOrder::ab12::1772820000") == item


async def test_an_item_that_is_not_there_is_none(store: Store) -> None:
    await store.put({"pk": "a", "sk": "one"})

    assert await store.get("a", "two") is None
    assert await store.get("b", "one") is None
    assert await store.query("b") == []
    assert await store.query_index("b") == []


async def test_put_replaces_the_whole_item(store: Store) -> None:
    await store.put({"pk": "a", "sk": "one", "old": 1, "pk1": "kind", "sk1": "x"})

    await store.put({"pk": "a", "sk": "one", "new": 2})

    assert await store.get("a", "one") == {"pk": "a", "sk": "one", "new": 2}
    assert await store.query_index("kind") == []


async def test_a_read_item_is_the_readers_own(store: Store) -> None:
    item: dict[str, object] = {"pk": "a", "sk": "one", "list": [1]}
    await store.put(item)
    item["list"] = "changed after put"
    read = await store.get("a", "one")
    assert read is not None
    read["list"] = "changed after get"

    assert await store.get("a", "one") == {"pk": "a", "sk": "one", "list": [1]}


@pytest.mark.parametrize("how", ["put", "put_newer", "move"])
async def test_of_many_conditional_writes_exactly_one_wins(store: Store, how: str) -> None:
    await store.put({"pk": "slots", "sk": "monday"})

    async def write(by: int) -> bool:
        item: Item = {"pk": "a", "sk": "one", "sequence": 1, "by": by}
        if how == "put":
            return await store.put(item, only_if_absent=True)
        if how == "put_newer":
            return await store.put_newer(item)
        return await store.move("slots", "monday", {**item, "sk": str(by)})

    written = await asyncio.gather(*map(write, range(20)))

    assert sum(written) == 1
    assert [item["by"] for item in await store.query("a")] == [written.index(True)]
    assert await write(20) is False
    assert len(await store.query("slots")) == (how != "move")


@pytest.mark.parametrize("how", ["put", "put_newer", "move"])
async def test_what_is_written_beside_an_item_is_written_if_and_only_if_it_is(
    store: Store, how: str
) -> None:
    """Of many conditional writes at once, also the same item of two of them."""
    await store.put({"pk": "slots", "sk": "monday"})

    async def write(by: int) -> bool:
        item: Item = {"pk": "a", "sk": "one", "sequence": 1, "by": by}
        beside: list[Item] = [
            {"pk": "told", "sk": "all", "by": by},
            {"pk": "told", "sk": f"by {by}", "pk1": "waiting", "sk1": str(by)},
        ]
        if how == "put":
            return await store.put(item, only_if_absent=True, beside=beside)
        if how == "put_newer":
            return await store.put_newer(item, beside=beside)
        return await store.move("slots", "monday", {**item, "sk": str(by)}, beside=beside)

    written = await asyncio.gather(*map(write, range(5)))

    winner = written.index(True)
    assert sum(written) == 1
    assert await store.query("told") == [
        {"pk": "told", "sk": "all", "by": winner},
        {"pk": "told", "sk": f"by {winner}", "pk1": "waiting", "sk1": str(winner)},
    ]
    assert [item["sk"] for item in await store.query_index("waiting")] == [f"by {winner}"]


async def test_an_item_that_cannot_be_written_beside_another_leaves_both_unwritten(
    store: Store,
) -> None:
    await store.put({"pk": "slots", "sk": "monday"})
    first: Item = {"pk": "a", "sk": "one", "sequence": 1}
    wrong: list[Item] = [{"pk": "a", "sk": "two"}, {"pk": "a", "sk": ""}]

    for write in (
        store.put(first, beside=wrong),
        store.put_newer(first, beside=wrong),
        store.move("slots", "monday", first, beside=wrong),
    ):
        with pytest.raises(StoreRefusedError):
            await write

    assert await store.query("a") == []
    assert await store.query("slots") == [{"pk": "slots", "sk": "monday"}]


async def test_merge_never_erases_other_attributes(store: Store) -> None:
    await store.put({"pk": "+1", "sk": "profile", "email": "ada@example.com", "firstName": "A"})

    await store.merge("+1", "profile", {"firstName": "Ada", "lastName": "Example"})

    names = {"firstName": "Ada", "lastName": "Example"}
    kept = {"pk": "+1", "sk": "profile", "email": "ada@example.com"}
    assert await store.get("+1", "profile") == {**kept, **names}


async def test_many_merges_at_once_are_all_kept(store: Store) -> None:
    async with asyncio.TaskGroup() as group:
        for number in range(20):
            group.create_task(store.merge("a", "one", {f"n{number}": number}))

    numbers = {f"n{number}": number for number in range(20)}
    assert await store.get("a", "one") == {"pk": "a", "sk": "one", **numbers}


async def test_merge_creates_the_item_and_its_place_in_the_index(store: Store) -> None:
    await store.merge("+1", "profile", {"pk1": "profile", "sk1": "+1", "firstName": "Ada"})

    item = {"pk": "+1", "sk": "profile", "pk1": "profile", "sk1": "+1", "firstName": "Ada"}
    assert await store.get("+1", "profile") == item
    assert await store.query_index("profile") == [item]


async def test_a_query_gives_a_partition_in_the_order_of_the_sort_key(store: Store) -> None:
    """By the bytes in UTF-8."""
    for sk in ["b", "ä", "a", "Z", "a::2", "a::10", "😀", "\uffee", "a:"]:
        await store.put({"pk": "p", "sk": sk})
    await store.put({"pk": "other", "sk": "a"})

    found = await store.query("p")

    assert [item["sk"] for item in found] == [
        "Z", "a", "a:", "a::10", "a::2", "b", "ä", "\uffee", "😀",
    ]  # fmt: skip


@pytest.mark.parametrize("prefix", ["%", "_", "a%b", "*", "[ab]", "'", '"', "\\", "ä", "😀", "a_"])
async def test_a_prefix_is_taken_literally(store: Store, prefix: str) -> None:
    await store.put({"pk": "p", "sk": f"{prefix}::1", "pk1": "i", "sk1": f"{prefix}::1"})
    await store.put({"pk": "p", "sk": "axb::1", "pk1": "i", "sk1": "axb::1"})
    await store.put({"pk": "p", "sk": "zz", "pk1": "i", "sk1": "zz"})

    assert [item["sk"] for item in await store.query("p", prefix)] == [f"{prefix}::1"]
    assert [item["sk"] for item in await store.query_index("i", prefix)] == [f"{prefix}::1"]


@settings(max_examples=50, deadline=None)
@given(
    keys=st.lists(st.text(min_size=1, max_size=3, alphabet="a:%_\U0010ffff\ue000é"), max_size=8),
    prefix=st.text(max_size=2, alphabet="a:%_\U0010ffff\ue000é"),
)
def test_a_prefix_query_is_a_filter_and_a_sort(
    tmp_path_factory: pytest.TempPathFactory, keys: list[str], prefix: str
) -> None:
    async def ask(*, in_memory: bool) -> list[object]:
        path = tmp_path_factory.mktemp("store") / "agent.db"
        store = MemoryStore() if in_memory else await open_table(path, Clock(0))
        for key in keys:
            await store.put({"pk": "p", "sk": key})
        found = await store.query("p", prefix)
        await store.close()
        return [item["sk"] for item in found]

    expected = sorted({key for key in keys if key.startswith(prefix)}, key=lambda key: key.encode())
    assert [asyncio.run(ask(in_memory=it)) for it in (True, False)] == [expected] * 2


async def test_the_index_holds_items_of_all_partitions_in_its_own_order(store: Store) -> None:
    await store.put({"pk": "+2", "sk": "x", "pk1": "restaurantOrder", "sk1": "+15550100099"})
    await store.put({"pk": "+1", "sk": "y", "pk1": "restaurantOrder", "sk1": "+15550100098"})
    await store.put({"pk": "+3", "sk": "z", "pk1": "restaurantOrder"})
    await store.put({"pk": "+4", "sk": "z", "sk1": "+15550100097"})

    found = await store.query_index("restaurantOrder")

    assert [(item["pk"], item["sk1"]) for item in found] == [
        ("+1", "+15550100098"),
        ("+2", "+15550100099"),
    ]


async def test_the_first_items_of_the_index_are_read_alone(store: Store, clock: Clock) -> None:
    """An expired item takes no place of theirs."""
    for number in range(5):
        expiry = {"expireAt": 1_001} if number == 0 else {}
        await store.put({"pk": "a", "sk": str(number), "pk1": "i", "sk1": f"{number}", **expiry})
    clock.seconds = 1_002.0

    found = await store.query_index("i", first=2)

    assert [item["sk"] for item in found] == ["1", "2"]
    assert len(await store.query_index("i", first=9)) == 4


async def test_move_takes_one_item_and_leaves_another(store: Store) -> None:
    """It does nothing if the first item is gone."""
    await store.put({"pk": "slots", "sk": "monday"})

    moved = [
        await store.move("slots", "monday", {"pk": "+1", "sk": "booking::monday", "by": by})
        for by in range(2)
    ]

    assert moved == [True, False]
    assert await store.query("slots") == []
    assert await store.query("+1") == [{"pk": "+1", "sk": "booking::monday", "by": 0}]


async def test_many_items_are_read_in_the_order_of_their_keys(store: Store) -> None:
    for pk in ("a", "b"):
        await store.put({"pk": pk, "sk": "one"})

    found = await store.get_many([("b", "one"), ("c", "one"), ("a", "one"), ("b", "one")])

    there: list[Item | None] = [{"pk": "b", "sk": "one"}, None, {"pk": "a", "sk": "one"}]
    assert found == [*there, {"pk": "b", "sk": "one"}]
    assert await store.get_many([]) == []


async def test_an_older_writing_never_replaces_a_newer_one(store: Store) -> None:
    """An item without a sequence is older than any; the order of writes does not matter."""
    await store.put({"pk": "a", "sk": "one", "old": True})
    versions: list[Item] = [
        {"pk": "a", "sk": "one", "sequence": number, "text": f"version {number}"}
        for number in (0, 3, 1, 7, 7, 5)
    ]

    written = [await store.put_newer(version) for version in versions]

    assert written == [True, True, False, True, False, False]
    assert await store.get("a", "one") == versions[3]


@pytest.mark.parametrize(
    "item",
    [
        {"pk": "a"},
        {"sk": "one"},
        {"pk": "", "sk": "one"},
        {"pk": "a", "sk": ""},
        {"pk": "a", "sk": 1},
        {"pk": "a", "sk": "one", "pk1": ""},
        {"pk": "a", "sk": "one", "pk1": "i", "sk1": ""},
        {"pk": "a", "sk": "one", "sk1": 5},
        {"pk": "a", "sk": "one", "value": float("inf")},
        {"pk": "a", "sk": "one", "value": b"bytes"},
    ],
    ids=str,
)
async def test_what_no_table_can_hold_is_refused(store: Store, item: Item) -> None:
    with pytest.raises(StoreRefusedError):
        await store.put(item)
    with pytest.raises(StoreRefusedError):
        await store.put_newer(item)

    assert await store.query("a") == []


async def test_an_item_above_400_kb_is_refused(store: Store) -> None:
    large: Item = {"pk": "a", "sk": "one", "sequence": 1, "text": "é" * 205_000}
    small: Item = {"pk": "a", "sk": "two", "text": "é" * 150_000}

    for write in (store.put(large), store.put_newer(large), store.merge("a", "one", large)):
        with pytest.raises(StoreRefusedError):
            await write
    await store.put(small)

    assert await store.query("a") == [small]


async def test_an_expired_item_is_invisible_to_every_read(store: Store, clock: Clock) -> None:
    item: Item = {"pk": "a", "sk": "one", "pk1": "i", "sk1": "x", "expireAt": 1_010}
    await store.put(item)
    assert (await store.get("a", "one"), await store.query("a")) == (item, [item])
    clock.seconds = 1_010.0

    assert await store.get("a", "one") is None
    assert await store.get_many([("a", "one")]) == [None]
    assert await store.query("a") == []
    assert await store.query_index("i") == []


async def test_an_expired_item_is_absent_for_every_condition(store: Store, clock: Clock) -> None:
    """It can be put again, cannot be moved, and adds nothing to a merge."""
    for sk in ("put", "newer", "move", "merge"):
        await store.put({"pk": "a", "sk": sk, "old": True, "sequence": 9, "expireAt": 1_010})
    clock.seconds = 1_011.0

    put = await store.put({"pk": "a", "sk": "put", "new": True}, only_if_absent=True)
    newer = await store.put_newer({"pk": "a", "sk": "newer", "sequence": 1})
    moved = await store.move("a", "move", {"pk": "b", "sk": "moved"})
    await store.merge("a", "merge", {"new": True})

    assert (put, newer, moved) == (True, True, False)
    assert await store.query("a") == [
        {"pk": "a", "sk": "merge", "new": True},
        {"pk": "a", "sk": "newer", "sequence": 1},
        {"pk": "a", "sk": "put", "new": True},
    ]


async def test_a_deleted_item_is_gone_and_no_other(store: Store) -> None:
    for sk in ("one", "one::1", "two"):
        await store.put({"pk": "a", "sk": sk, "pk1": "i", "sk1": sk})

    await store.delete("a", "one")
    await store.delete("a", "absent")

    left = [{"pk": "a", "sk": sk, "pk1": "i", "sk1": sk} for sk in ("one::1", "two")]
    assert (await store.query("a"), await store.query_index("i")) == (left, left)
    assert await store.put({"pk": "a", "sk": "one"}, only_if_absent=True) is True


async def test_an_item_that_has_expired_can_be_deleted(store: Store, clock: Clock) -> None:
    """A table may hold it for days."""
    await store.put({"pk": "a", "sk": "one", "expireAt": 1_010})
    clock.seconds = 1_011.0

    await store.delete("a", "one")
    clock.seconds = 1_000.0

    assert await store.get("a", "one") is None
