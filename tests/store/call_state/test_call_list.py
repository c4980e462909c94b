"""The list of calls and the search in it, in either table."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from agent.call.history import AgentSaid, CallerSaid, Recorded, ToolUsed
from agent.call.messages import ToolCall, ToolResult
from agent.ports import Item
from agent.store.call_state.call_list import (
    LONGEST_CALL,
    CallList,
    CallQuery,
    ListedCall,
    call_of_number,
    day_of,
    listed,
    listing,
    live_listings,
    period_of,
    search_calls,
    search_time,
)
from agent.store.call_state.journal import fact_item
from tests.fakes import Clock
from tests.stores import Stores

ADA, GRACE = "+15550100001", "+15550100002"
DAY = timedelta(days=1)


def _began(call_sid: str, caller: str, at: float, use_case: str = "shop") -> Item:
    return {"pk": call_sid, "From": caller, "useCase": use_case, "startedMs": int(at * 1000)}


async def _call(stores: Stores, item: Item, at: float, reason: str = "agent_end") -> None:
    """A call, whose end is written by another process before its beginning."""
    first, second = stores
    if number := call_of_number(item, at, 7 * 86_400):
        await first.put(number)
    tools = ["Order"] if reason == "agent_end" else []
    ended = listing(item, at + 70, reason, tools=tools, kept_seconds=7 * 86_400)
    outcome = {"outcome": "ordered"} if item["pk"] == "CA2" else {}
    await second.put_newer({**ended, **outcome})
    await first.put_newer(listing(item, at))


async def _five_calls(stores: Stores, now: float) -> None:
    """Over hours without calls, also some that began in one millisecond."""
    for call_sid, caller, minutes, use_case, reason in (
        ("CA1", ADA, 600, "shop", "agent_end"),
        ("CA2", GRACE, 100, "shop", "agent_end"),
        ("CA3", ADA, 5, "tours", "caller_hangup"),
        ("CA4", "anonymous", 5, "tours", "agent_end"),
        ("CA5", ADA, 3_000, "shop", "agent_end"),
    ):
        began = now - minutes * 60
        await _call(stores, _began(call_sid, caller, began, use_case), began, reason)
    said = ToolUsed(2, ToolCall("t", "Order", '{"street": "Gr\\u00fcner Weg 5"}'))
    result = replace(said, result=ToolResult("t", '{"code": "QX-9"}'))
    facts: tuple[Recorded, ...] = (
        CallerSaid("a large Pepperoni pizza"),
        AgentSaid("Certainly."),
        result,
        CallerSaid('"near(A b)" or *, 披萨 and garlic knots'),
    )
    for position, fact in enumerate(facts):
        await stores[0].put(fact_item("CA2", 0, position, fact, 1, int(now) + 9_000))


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({}, ["CA4", "CA3", "CA2", "CA1"]),
        ({"last": 2}, ["CA4", "CA3"]),
        ({"minutes": 90}, ["CA4", "CA3"]),
        ({"minutes": 9_000}, ["CA4", "CA3", "CA2", "CA1", "CA5"]),
        ({"minutes": 9_000, "before": 1_000}, ["CA5"]),
        ({"before": 6}, ["CA2", "CA1"]),
        ({"caller": ADA}, ["CA3", "CA1"]),
        ({"caller": ADA, "before": 6}, ["CA1"]),
        ({"caller": ADA, "minutes": 9_000, "last": 2}, ["CA3", "CA1"]),
        ({"caller": "+15550100009"}, []),
        ({"use_case": "tours"}, ["CA4", "CA3"]),
        ({"tool": "Order", "use_case": "shop"}, ["CA2", "CA1"]),
        ({"reason": "caller_hangup"}, ["CA3"]),
        ({"outcome": "ordered"}, ["CA2"]),
        ({"text": "pepperoni PIZZA"}, ["CA2"]),
        ({"text": "GRÜNER WEG"}, ["CA2"]),
        ({"text": "qx-9"}, ["CA2"]),
        ({"text": "pizza pepperoni"}, []),
        ({"text": "pizza", "caller": ADA}, []),
        ({"text": '"NEAR(a b)" OR *'}, ["CA2"]),
        ({"text": "萨"}, ["CA2"]),
        ({"text": "garlic\0knots"}, ["CA2"]),
        ({"text": "xy" * 5_000}, []),
    ],
)
async def test_calls_are_found_by_all_that_is_asked_the_latest_first(
    stores: Stores, stores_clock: Clock, asked: dict[str, Any], found: list[str]
) -> None:
    now = datetime.fromtimestamp(stores_clock(), UTC)
    await _five_calls(stores, stores_clock())
    times = (asked.get("minutes", 1_440), asked.get("before", 0))
    since, until = (now - timedelta(minutes=each) for each in times)
    wanted = {name: asked[name] for name in asked.keys() - {"minutes", "before"}}

    calls = await search_calls(stores[0], CallQuery(since, until, **wanted))

    assert [call.call_sid for call in calls] == found


@pytest.mark.parametrize("caller", ["", ADA])
async def test_the_latest_of_many_calls_with_a_text_are_found(
    stores: Stores, stores_clock: Clock, caller: str
) -> None:
    """More than a table reads in one request."""
    now = stores_clock()
    for number in range(120):
        item = _began(f"CA{number}", ADA, now - 60 * number)
        await _call(stores, item, now - 60 * number)
        fact = fact_item(f"CA{number}", 0, 0, CallerSaid("Pizza"), 1, int(now) + 9_000)
        await stores[0].put(fact)
    until = datetime.fromtimestamp(now + 1, UTC)

    calls = await search_calls(stores[1], CallQuery(until - DAY, until, 3, caller, text="pizza"))

    assert [call.call_sid for call in calls] == ["CA0", "CA1", "CA2"]


async def test_a_call_has_its_length_and_reason_when_it_has_ended(
    stores: Stores, stores_clock: Clock
) -> None:
    now = stores_clock()
    listed = CallList(stores[0], stores_clock, 1, 7)
    item = _began("CA1", "anonymous", now - 30)
    began, until = (datetime.fromtimestamp(each, UTC) for each in (now - 30, now + 1))

    async def the_call() -> ListedCall:
        [call] = await search_calls(stores[1], CallQuery(until - DAY, until))
        return call

    await listed.note(item)
    assert await the_call() == ListedCall("CA1", began, "", "shop")
    stores_clock.seconds += 1
    await listed.note(item, "idle", {"Order", "EndCall"})
    tools = ("EndCall", "Order")
    assert await the_call() == ListedCall("CA1", began, "", "shop", 31, "idle", tools)


async def test_a_number_leads_to_its_call_for_longer_than_the_call_is_kept(
    stores: Stores, stores_clock: Clock
) -> None:
    """Also one that may be forged, for its deletion; a withheld number leads nowhere."""
    listed = CallList(stores[0], stores_clock, 1, 7)
    forged = {**_began("CA1", ADA, stores_clock()), "callerUntrusted": True}

    await asyncio.gather(
        listed.note_number(forged), listed.note_number(_began("CA2", "anonymous", stores_clock()))
    )

    [lead] = await stores[1].query(f"calls::{ADA}")
    assert (lead["callSid"], lead["expireAt"]) == ("CA1", int(stores_clock()) + 8 * 86_400)
    assert await stores[1].query("calls::") == []


async def test_live_calls_name_their_process_until_they_end(
    stores: Stores, stores_clock: Clock
) -> None:
    """Not one whose process must have died."""
    now, here = stores_clock(), "http://10.0.0.7:9090"
    old = now - LONGEST_CALL.total_seconds() - 1
    for call_sid, began in (("CA1", old), ("CA2", now - 60), ("CA3", now - 30)):
        await stores[0].put_newer(listing(_began(call_sid, ADA, began), began, process=here))
    await stores[0].put_newer(listing(_began("CA2", ADA, now - 60), now, "idle", process=here))

    live = list(map(listed, await live_listings(stores[1], datetime.fromtimestamp(now, UTC))))

    assert live == [
        ListedCall("CA3", datetime.fromtimestamp(now - 30, UTC), ADA, "shop", process=here)
    ]


def test_a_day_is_searched_from_midnight_to_midnight_of_the_zone() -> None:
    """Also a day that clocks make an hour longer."""
    zone = ZoneInfo("Europe/Berlin")
    now = datetime(2026, 10, 26, 9, tzinfo=zone)

    since, until = search_time(now, timedelta(hours=2), date(2026, 10, 25))

    assert (since.isoformat(), until.isoformat()) == (
        "2026-10-25T00:00:00+02:00",
        "2026-10-26T00:00:00+01:00",
    )
    assert search_time(now, timedelta(hours=2), None) == (now - timedelta(hours=2), now)


def test_periods_and_days_are_read_or_refused() -> None:
    assert (period_of("30m"), period_of("7d")) == (timedelta(minutes=30), timedelta(days=7))
    assert day_of("2026-11-28") == date(2026, 11, 28)
    for read, wrong in (
        *((period_of, text) for text in ("", "2", "h", "2w", "-2h", "99999d")),
        *((day_of, text) for text in ("", "today", "0001-01-01", "9999-12-31", "2026-02-30")),
    ):
        with pytest.raises(ValueError, match="must be a"):
            read(wrong)
