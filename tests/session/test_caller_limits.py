"""Limits of a caller in every table, for processes that count at the same time."""

from __future__ import annotations

import asyncio

import pytest

from agent.ports import Store
from agent.session.caller_limits import CallerAllowance, read_tokens, take_place
from tests.fakes import Clock
from tests.stores import Stores

ADA, GRACE = "+15550100001", "+15550100002"


async def rung(
    stores: Stores, stores_clock: Clock, calls: int, most: int, caller: str = ADA
) -> int:
    """How many of so many calls that ring at once, at both processes, are let through."""
    asked = [
        take_place(stores[number % 2], caller, f"CA{number:032}", most, stores_clock())
        for number in range(calls)
    ]
    return sum(await asyncio.gather(*asked))


@pytest.mark.parametrize(
    ("calls", "most", "let"), [(24, 3, 3), (4, 5, 4), (12, 1, 1), (20, 19, 19)]
)
async def test_calls_that_ring_at_once_share_the_places(
    stores: Stores, stores_clock: Clock, calls: int, most: int, let: int
) -> None:
    assert await rung(stores, stores_clock, calls, most) == let
    assert not await take_place(stores[0], ADA, "CAlater", most, stores_clock()) or let < most
    assert await rung(stores, stores_clock, 1, most, GRACE) == 1


async def test_a_repeated_webhook_takes_one_place(stores: Stores, stores_clock: Clock) -> None:
    """At once or later, also when all places are taken; it is accepted each time."""
    asked = [take_place(stores[n % 2], ADA, "CA1", 2, stores_clock()) for n in range(10)]

    assert await asyncio.gather(*asked) == [True] * 10
    assert await take_place(stores[0], ADA, "CA2", 2, stores_clock()) is True
    assert await take_place(stores[1], ADA, "CA3", 2, stores_clock()) is False
    assert await take_place(stores[1], ADA, "CA1", 2, stores_clock()) is True


async def test_a_place_is_free_again_after_an_hour(stores: Stores, stores_clock: Clock) -> None:
    await take_place(stores[0], ADA, "CA1", 2, stores_clock())
    stores_clock.seconds += 1_800.0
    await take_place(stores[0], ADA, "CA2", 2, stores_clock())
    stores_clock.seconds += 1_799.0
    before = await take_place(stores[0], ADA, "CA3", 2, stores_clock())
    stores_clock.seconds += 2.0

    assert before is False
    assert await rung(stores, stores_clock, 5, 2) == 1


async def test_calls_that_an_earlier_version_counted_count(
    stores: Stores, stores_clock: Clock
) -> None:
    for number in range(2):
        key = {"pk": f"usage::{ADA}", "sk": f"call::CA{number}"}
        await stores[0].put({**key, "expireAt": 2_000_000_000})

    let = [await take_place(stores[0], ADA, f"CA{n}x", 3, stores_clock()) for n in range(6)]

    assert sum(let) == 1


async def test_tokens_of_a_line_only_grow(stores: Stores, stores_clock: Clock) -> None:
    line, other = "CA1::1000000", "CA1::1001500"

    async def use(store: Store, connection: str, tokens: int) -> None:
        await CallerAllowance(store, stores_clock, 500, ADA, connection, lambda: tokens).write()

    for tokens in (100, 400, 300):
        await use(stores[0], line, tokens)
    await use(stores[1], other, 7)
    await take_place(stores[0], ADA, "CA1", 3, stores_clock())

    assert await read_tokens(stores[1], ADA) == 407
    assert await read_tokens(stores[1], ADA, without=line) == 7
    stores_clock.seconds += 24 * 3600.0 + 1.0
    assert await read_tokens(stores[1], ADA) == 0
