"""Calls that we make, in the table: whose a token is, and how often one may call."""

from __future__ import annotations

import asyncio

import pytest

from agent.ports import Store
from agent.store.call_state import outbound_records as dials
from agent.store.call_state.outbound_records import OutboundCallRecord
from tests.fakes import Clock, MemoryStore

ADA, GRACE = "+15550100001", "+15550100002"
DIAL = OutboundCallRecord(ADA, "+15550100000", "restaurantOrderingUseCase")
NOW = 1_900_000_000


async def claim(
    store: Store, token: str, call_sid: str = "CA1", to: str = ADA
) -> OutboundCallRecord | None:
    return await dials.claim(store, token, call_sid, to, NOW)


async def test_first_call_that_comes_with_the_token_owns_it() -> None:
    """Also when Twilio repeats the webhook; another call never gets it."""
    store = MemoryStore()
    token = await dials.remember(store, DIAL, NOW)

    claims = [await claim(store, token, call) for call in ("CA1", "CA1", "CA2", "CA1")]

    assert claims == [DIAL, DIAL, None, DIAL]


@pytest.mark.parametrize("token", ["", "x", "\ud800", "dial", "T" * 5_000])
async def test_token_of_nobody_is_for_nothing(token: str) -> None:
    """Whatever stands in a URL."""
    store = MemoryStore()
    await dials.remember(store, DIAL, NOW)

    assert await claim(store, token) is None


async def test_token_is_for_one_number_and_an_hour() -> None:
    """A call to somebody else does not get it, and does not use it up."""
    clock = Clock(NOW)
    store = MemoryStore(clock)
    token = await dials.remember(store, DIAL, clock())

    other = await claim(store, token, to=GRACE)
    in_time = await claim(store, token)
    clock.seconds += 3_600
    late = await claim(store, token)

    assert (other, in_time, late) == (None, DIAL, None)


async def test_token_itself_is_not_in_the_table() -> None:
    """Who reads the table cannot make a call of theirs ours."""
    store = MemoryStore()

    token = await dials.remember(store, DIAL, NOW)

    assert await store.query(f"dial::{token}") == []
    assert await claim(store, token) == DIAL


async def test_turns_come_back_with_time_and_are_each_ones_own() -> None:
    """Two in a minute: the third waits until the first is a minute old."""
    clock = Clock(NOW)
    store = MemoryStore(clock)

    async def turn(whom: str) -> bool:
        return await dials.take_turn(store, whom, 2, 60, clock())

    first = await turn("ada")
    clock.seconds += 30
    at_once = [await turn("ada"), await turn("ada"), await turn("adaX")]
    clock.seconds += 31
    later = [await turn("ada"), await turn("ada")]

    assert (first, at_once, later) == (True, [True, False, True], [True, False])


async def test_turns_taken_at_once_are_not_more_than_there_are() -> None:
    """Two commands in the same moment."""
    store = MemoryStore()

    turns = await asyncio.gather(*(dials.take_turn(store, "ada", 3, 60, NOW) for _ in range(10)))

    assert turns.count(True) == 3
