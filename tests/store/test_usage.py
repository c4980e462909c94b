"""What callers have used, in every table, by whichever of its processes at whatever moment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from agent.ports import Item, Store
from agent.store.dynamodb import DynamoDBStore
from agent.store.overflow import OverflowStore
from agent.store.sqlite import SqliteStore
from agent.store.usage import line_of, note_tokens, read_tokens, take_place
from tests.dynamodb import REGION
from tests.fakes import Clock, MemoryStore

ADA, GRACE = "+15550100001", "+15550100002"
Stores = tuple[Store, Store]


@pytest.fixture
def clock() -> Clock:
    return Clock(1_000.0)


@pytest.fixture(params=["memory", "sqlite", "dynamodb"])
async def stores(
    request: pytest.FixtureRequest, tmp_path: Path, clock: Clock
) -> AsyncIterator[Stores]:
    """One table, as two processes have it open."""
    async with AsyncExitStack() as opened:

        async def one() -> Store:
            store: Store
            match request.param:
                case "sqlite":
                    store = await SqliteStore.open(tmp_path / "agent.db", now=clock)
                case _:
                    name = request.getfixturevalue("table_name")
                    table = await DynamoDBStore.open(name, region=REGION, now=clock)
                    store = OverflowStore(table)
            opened.push_async_callback(store.close)
            return store

        memory = MemoryStore(clock)
        yield (memory, memory) if request.param == "memory" else (await one(), await one())


async def rung(stores: Stores, clock: Clock, calls: int, most: int, caller: str = ADA) -> int:
    """How many of so many calls that ring at once, at both processes, are let through."""
    asked = [
        take_place(stores[number % 2], caller, f"CA{number:032}", most, clock())
        for number in range(calls)
    ]
    return sum(await asyncio.gather(*asked))


@pytest.mark.parametrize(
    ("calls", "most", "let"), [(60, 3, 3), (4, 5, 4), (12, 1, 1), (20, 19, 19)]
)
async def test_calls_that_ring_at_once_share_the_places(
    stores: Stores, clock: Clock, calls: int, most: int, let: int
) -> None:
    """Counted before they are let through; not one too many, and not one too few."""
    assert await rung(stores, clock, calls, most) == let
    assert not await take_place(stores[0], ADA, "CAlater", most, clock()) or let < most
    assert await rung(stores, clock, 1, most, GRACE) == 1


async def test_a_repeated_webhook_takes_one_place(stores: Stores, clock: Clock) -> None:
    """At once or later, also when all places are taken; and it is let through each time."""
    asked = [take_place(stores[n % 2], ADA, "CA1", 2, clock()) for n in range(10)]

    assert await asyncio.gather(*asked) == [True] * 10
    assert await take_place(stores[0], ADA, "CA2", 2, clock()) is True
    assert await take_place(stores[1], ADA, "CA3", 2, clock()) is False
    assert await take_place(stores[1], ADA, "CA1", 2, clock()) is True


async def test_a_place_is_free_again_after_an_hour(stores: Stores, clock: Clock) -> None:
    """Of the call that took it."""
    await take_place(stores[0], ADA, "CA1", 2, clock())
    clock.seconds += 1_800.0
    await take_place(stores[0], ADA, "CA2", 2, clock())
    clock.seconds += 1_799.0
    before = await take_place(stores[0], ADA, "CA3", 2, clock())
    clock.seconds += 2.0

    assert before is False
    assert await rung(stores, clock, 5, 2) == 1


async def test_calls_that_an_earlier_version_counted_count(stores: Stores, clock: Clock) -> None:
    """While processes of both are there."""
    for number in range(2):
        earlier: Item = {"pk": f"usage::{ADA}", "sk": f"call::CA{number}", "expireAt": 2_000}
        await stores[0].put(earlier)

    let = [await take_place(stores[0], ADA, f"CA{n}x", 3, clock()) for n in range(6)]

    assert sum(let) == 1


async def test_tokens_of_a_line_only_grow(stores: Stores, clock: Clock) -> None:
    """Writings that overtake each other leave the most; each line has its own."""
    line, other = line_of("CA1", 1_000.0), line_of("CA1", 1_001.5)

    for tokens in (100, 400, 300):
        await note_tokens(stores[0], ADA, line, tokens, clock())
    await note_tokens(stores[1], ADA, other, 7, clock())
    await take_place(stores[0], ADA, "CA1", 3, clock())

    assert await read_tokens(stores[1], ADA) == 407
    assert await read_tokens(stores[1], ADA, without=line) == 7
    clock.seconds += 24 * 3600.0 + 1.0
    assert await read_tokens(stores[1], ADA) == 0
