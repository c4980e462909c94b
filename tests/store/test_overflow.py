"""Items in parts: nothing of them is lost, and nothing is ever given that is not all of them."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import StoreError
from agent.ports import Item, Key
from agent.store.overflow import LIMIT_BYTES, OverflowStore, content, join, references, split
from tests.fakes import Clock, MemoryStore

LIMIT = 1_000
HISTORY = ["Grüezi 🍕"] * 500
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.sampled_from(["overflow::sha256", "parts", "a"]), inner, max_size=3),
    max_leaves=12,
)  # fmt: skip
_NAMES = st.sampled_from(["expireAt", "sequence", "text", "a"]) | st.text(max_size=3)


@given(
    attributes=st.dictionaries(_NAMES, _VALUES, max_size=8),
    limit=st.integers(min_value=1, max_value=400),
)
def test_joining_what_was_split_gives_the_item(attributes: Item, limit: int) -> None:
    """Any item, any limit, also values that look like what splitting leaves behind."""
    item = {**attributes, "pk": "a", "sk": "one"}
    item = {name: value for name, value in item.items() if name not in {"pk1", "sk1"}}

    head, parts = split(item, limit)

    stored = {(str(part["pk"]), str(part["sk"])): part for part in parts}
    contents = {reference: content(reference, stored) for _, reference in references(head)}
    joined = join(head, contents)
    assert json.dumps(joined) == json.dumps(item)
    assert list(joined) == list(item)


@given(st.dictionaries(st.text(max_size=5), st.text(max_size=900), max_size=12))
def test_heads_and_parts_keep_to_the_limit(attributes: dict[str, str]) -> None:
    """Unless the keys alone go beyond it."""
    item: Item = {"pk": "a", "sk": "one", "texts": attributes, "more": list(attributes.values())}

    head, parts = split(item, LIMIT)

    assert len(json.dumps(head, ensure_ascii=False, separators=(",", ":")).encode()) <= LIMIT
    assert all(len(str(part["text"]).encode()) <= LIMIT for part in parts)


def test_an_item_of_ordinary_size_is_left_alone() -> None:
    """Nothing is copied, nothing is added."""
    item: Item = {"pk": "a", "sk": "one", "text": "x" * (LIMIT_BYTES - 100)}

    assert split(item, LIMIT_BYTES) == (item, [])


def test_only_the_largest_attributes_leave() -> None:
    """What conditions, queries and expiry need stays, as does what is small."""
    item: Item = {
        "pk": "a", "sk": "one", "pk1": "i", "sk1": "x", "expireAt": 1_010, "sequence": 3,
        "role": "caller", "history": HISTORY,
    }  # fmt: skip

    head, parts = split(item, LIMIT)

    ((name, reference),) = references(head)
    assert (name, reference.parts) == ("history", len(parts))
    assert head == {**item, "history": {"overflow::sha256": reference.digest, "parts": len(parts)}}
    assert [(part["pk"], part["sk"]) for part in parts] == reference.places()
    assert {part["expireAt"] for part in parts} == {1_070}


@pytest.mark.parametrize(
    "item",
    [
        {"pk": "a", "sk": "one", "value": float("inf"), "history": HISTORY},
        {"pk": "a", "sk": "one", "value": b"bytes", "history": HISTORY},
        {"pk": "a", "sk": "one", "value": "\ud83c", "history": HISTORY},
        {"pk": "a", "history": HISTORY},
    ],
    ids=["infinity", "bytes", "half a character", "no key"],
)
async def test_what_is_not_json_is_refused_in_a_large_item_too(item: Item) -> None:
    """And no part of it is written."""
    table = CountedStore()

    with pytest.raises(StoreError, match="item"):
        await OverflowStore(table, LIMIT).put(item)

    assert table.keys == []


class CountedStore(MemoryStore):
    """Knows what was put, and reads no more at once than is promised."""

    def __init__(self, clock: Clock | None = None) -> None:
        super().__init__(clock or Clock(0))
        self.keys: list[tuple[object, object]] = []

    async def put(self, item: Item, *, only_if_absent: bool = False) -> bool:
        self.keys.append((item.get("pk"), item.get("sk")))
        return await super().put(item, only_if_absent=only_if_absent)

    async def put_newer(self, item: Item) -> bool:
        self.keys.append((item.get("pk"), item.get("sk")))
        return await super().put_newer(item)

    async def get_many(self, keys: Sequence[Key]) -> list[Item | None]:
        assert len(keys) <= 100
        return await super().get_many(keys)


async def test_writing_an_item_again_adds_nothing() -> None:
    """Parts are found by what they say, so repeating a write is harmless."""
    table = CountedStore()
    store = OverflowStore(table, LIMIT)
    item: Item = {"pk": "a", "sk": "one", "sequence": 1, "history": HISTORY}

    assert await store.put_newer(item) is True
    first = table.keys.copy()
    assert await store.put_newer(item) is False

    *parts, head = first
    assert head == ("a", "one")
    assert parts
    assert table.keys == [*first, *first]


@pytest.mark.parametrize("harm", ["missing", "altered", "swapped"])
async def test_an_item_that_does_not_add_up_is_an_error(harm: str) -> None:
    """Never a shorter item, whichever way it is read."""
    table = MemoryStore()
    store = OverflowStore(table, LIMIT)
    item: Item = {"pk": "a", "sk": "one", "pk1": "i", "sk1": "x", "history": HISTORY}
    _, parts = split(item, LIMIT)
    await store.put(item)

    match harm:
        case "missing":
            await table.move(str(parts[1]["pk"]), str(parts[1]["sk"]), {"pk": "x", "sk": "x"})
        case "altered":
            await table.merge(str(parts[1]["pk"]), str(parts[1]["sk"]), {"text": "other"})
        case _:
            await table.put({**parts[0], "sk": parts[1]["sk"]})
            await table.put({**parts[1], "sk": parts[0]["sk"]})

    for read in (
        store.get("a", "one"),
        store.get_many([("b", "one"), ("a", "one")]),
        store.query("a"),
        store.query_index("i"),
    ):
        with pytest.raises(StoreError, match=r"^an item in parts does not add up$"):
            await read


async def test_a_small_attribute_that_is_merged_replaces_a_large_one() -> None:
    """The other attributes stay where they are."""
    store = OverflowStore(MemoryStore(), LIMIT)
    await store.put({"pk": "a", "sk": "one", "history": HISTORY, "notes": HISTORY})

    await store.merge("a", "one", {"notes": "none"})

    assert await store.get("a", "one") == {
        "pk": "a", "sk": "one", "history": HISTORY, "notes": "none",
    }  # fmt: skip


async def test_a_large_attribute_that_is_merged_lives_as_long_as_its_item() -> None:
    """It takes the place of whatever there was."""
    clock = Clock(1_000)
    table = CountedStore(clock)
    store = OverflowStore(table, LIMIT)
    await store.put({"pk": "a", "sk": "one", "history": "none", "role": "x", "expireAt": 1_100})

    await store.merge("a", "one", {"history": HISTORY})
    clock.seconds = 1_099.0

    assert await store.get("a", "one") == {
        "pk": "a", "sk": "one", "history": HISTORY, "role": "x", "expireAt": 1_100,
    }  # fmt: skip
    clock.seconds = 1_100.0
    assert await store.get("a", "one") is None
    clock.seconds = 1_160.0
    assert [await table.get(str(pk), str(sk)) for pk, sk in set(table.keys)] == [None] * len(
        set(table.keys)
    )
    await store.merge("a", "one", {"history": HISTORY})
    assert await store.get("a", "one") == {"pk": "a", "sk": "one", "history": HISTORY}


async def test_a_longer_life_is_that_of_the_parts_too() -> None:
    """Merging `expireAt` alone leaves no head without its parts."""
    clock = Clock(1_000)
    store = OverflowStore(MemoryStore(clock), LIMIT)
    await store.put({"pk": "a", "sk": "one", "history": HISTORY, "expireAt": 1_010})

    await store.merge("a", "one", {"expireAt": 9_000})
    clock.seconds = 8_999.0

    assert await store.get("a", "one") == {
        "pk": "a", "sk": "one", "history": HISTORY, "expireAt": 9_000,
    }  # fmt: skip


async def test_an_older_writing_does_not_shorten_the_life_of_a_newer_one() -> None:
    """Though both say the same, but for their expiry."""
    clock = Clock(1_000)
    store = OverflowStore(MemoryStore(clock), LIMIT)
    item: Item = {"pk": "a", "sk": "one", "history": HISTORY}
    newer = {**item, "sequence": 2, "expireAt": 9_000}
    await store.put_newer(newer)

    assert await store.put_newer({**item, "sequence": 1, "expireAt": 1_010}) is False
    clock.seconds = 8_999.0

    assert await store.get("a", "one") == newer


async def test_an_item_of_more_parts_than_one_reading_has_is_whole() -> None:
    """A hundred keys are read at once; this has several hundred."""
    store = OverflowStore(CountedStore(), 100)
    item: Item = {"pk": "a", "sk": "one", "history": HISTORY}

    await store.put(item)

    assert await store.get("a", "one") == item
    assert len(split(item, 100)[1]) > 200
