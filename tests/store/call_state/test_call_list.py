"""The list of calls, in either table."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from agent.ports import Item
from agent.store.call_state.call_list import (
    LONGEST_CALL,
    ListedCall,
    latest_calls,
    listing,
    live_calls,
)
from tests.fakes import Clock
from tests.stores import Stores

ADA, GRACE = "+15550100001", "+15550100002"
DAY = timedelta(days=1)


def _began(call_sid: str, caller: str, at: float) -> Item:
    return {"pk": call_sid, "From": caller, "useCase": "shop", "startedMs": int(at * 1000)}


async def _call(stores: Stores, call_sid: str, caller: str, at: float, seconds: int) -> None:
    """A call, whose end is written by another process before its beginning."""
    item = _began(call_sid, caller, at)
    first, second = stores
    await second.put_newer(listing(item, at + seconds, "agent_end"))
    await first.put_newer(listing(item, at))


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ((DAY, 20, ""), ["CA4", "CA3", "CA2", "CA1"]),
        ((DAY, 2, ""), ["CA4", "CA3"]),
        ((timedelta(minutes=90), 20, ""), ["CA4", "CA3"]),
        ((DAY, 20, ADA), ["CA3", "CA1"]),
        ((DAY, 20, "+15550100009"), []),
    ],
)
async def test_latest_calls_come_first(
    stores: Stores, stores_clock: Clock, asked: tuple[timedelta, int, str], found: list[str]
) -> None:
    """Over hours without calls, also those that began in one millisecond."""
    now = stores_clock()
    for call_sid, caller, minutes in (
        ("CA1", ADA, 600), ("CA2", GRACE, 100), ("CA3", ADA, 5), ("CA4", "anonymous", 5),
    ):  # fmt: skip
        await _call(stores, call_sid, caller, now - minutes * 60, 70)

    calls = await latest_calls(stores[0], datetime.fromtimestamp(now, UTC), *asked)

    assert [call.call_sid for call in calls] == found


async def test_a_call_has_its_length_and_reason_when_it_has_ended(
    stores: Stores, stores_clock: Clock
) -> None:
    now = stores_clock()
    await stores[0].put_newer(listing(_began("CA1", "anonymous", now - 30), now - 30))
    began = datetime.fromtimestamp(now - 30, UTC)

    async def the_call() -> ListedCall:
        [call] = await latest_calls(stores[1], datetime.fromtimestamp(now, UTC), DAY, 20)
        return call

    assert await the_call() == ListedCall("CA1", began, "", "shop")
    await stores[0].put_newer(listing(_began("CA1", "anonymous", now - 30), now, "idle"))
    assert await the_call() == ListedCall("CA1", began, "", "shop", 30, "idle")


async def test_live_calls_name_their_process_until_they_end(
    stores: Stores, stores_clock: Clock
) -> None:
    """Not one whose process must have died."""
    now, here = stores_clock(), "http://10.0.0.7:9090"
    old = now - LONGEST_CALL.total_seconds() - 1
    for call_sid, began in (("CA1", old), ("CA2", now - 60), ("CA3", now - 30)):
        await stores[0].put_newer(listing(_began(call_sid, ADA, began), began, "", here))
    await stores[0].put_newer(listing(_began("CA2", ADA, now - 60), now, "idle", here))

    live = await live_calls(stores[1], datetime.fromtimestamp(now, UTC))

    assert live == [
        ListedCall("CA3", datetime.fromtimestamp(now - 30, UTC), ADA, "shop", process=here)
    ]
