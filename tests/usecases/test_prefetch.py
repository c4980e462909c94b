"""One round trip for all that a call needs."""

from __future__ import annotations

import asyncio

import pytest

from agent.errors import StoreError
from agent.ports import Item
from agent.usecases.prefetch import Prefetch
from tests.fakes import Clock, MemoryStore
from tests.stores import CountingStore
from tests.virtual_time import run_virtually

ADA = "+15550100001"
PROFILE: Item = {"pk": ADA, "sk": "profile", "firstName": "Ada"}
PIZZA: Item = {"pk": "pizza", "sk": "configuration", "pk1": "use-case", "sk1": "pizza"}
ORDER: Item = {"pk": ADA, "sk": "restaurantOrder::1234::1", "pk1": "restaurantOrder", "sk1": "+1"}
TOURS: Item = {"pk": "tours", "sk": "configuration", "pk1": "use-case", "sk1": "tours"}


async def prefetch(clock: Clock) -> tuple[Prefetch, CountingStore]:
    store = MemoryStore()
    for item in (PROFILE, PIZZA, TOURS, ORDER):
        await store.put(item)
    counting = CountingStore(store)
    return Prefetch(counting, clock, always=[("pizza", "configuration")]), counting


async def test_what_every_call_needs_comes_with_the_profile() -> None:
    """In one request."""
    ahead, store = await prefetch(Clock(0))

    reading = await ahead.read(ADA)

    assert reading.profile == PROFILE
    assert await reading.get(("pizza", "configuration")) == PIZZA
    assert store.asked == ["get_many"]


async def test_what_one_call_had_to_ask_for_is_read_ahead_for_the_next() -> None:
    """Also that it is not there."""
    ahead, store = await prefetch(Clock(0))
    first = await ahead.read(ADA)
    await first.get(("tours", "configuration"))
    await first.get(("tours", "version::000002"))
    store.asked.clear()

    second = await ahead.read("")

    assert second.profile is None
    assert await second.get(("tours", "configuration")) == TOURS
    assert await second.get(("tours", "version::000002")) is None
    assert store.asked == ["get_many"]


async def test_a_change_is_seen_by_the_next_call() -> None:
    """Only keys are remembered."""
    ahead, store = await prefetch(Clock(0))
    await (await ahead.read(ADA)).get(("tours", "configuration"))
    await store.put({**TOURS, "title": "New"})

    reading = await ahead.read(ADA)

    assert await reading.get(("tours", "configuration")) == {**TOURS, "title": "New"}


async def test_the_list_of_use_cases_is_read_ahead_once_a_call_has_needed_it() -> None:
    """Beside the rest, and once for each call."""
    ahead, store = await prefetch(Clock(0))
    first = await ahead.read(ADA)
    assert [name for name, _, _ in await first.use_cases()] == ["pizza", "tours"]
    store.asked.clear()

    second = await ahead.read(ADA)

    assert await second.use_cases() == await first.use_cases()
    assert sorted(store.asked) == ["get_many", "query_index"]


async def test_what_was_not_needed_for_long_is_not_read_ahead() -> None:
    """A use case of last week costs nothing today."""
    clock = Clock(0)
    ahead, store = await prefetch(clock)
    first = await ahead.read(ADA)
    await first.get(("tours", "configuration"))
    await first.use_cases()
    clock.seconds = 601.0
    store.asked.clear()

    later = await ahead.read(ADA)
    await later.get(("tours", "configuration"))

    assert store.asked == ["get_many", "get"]


async def test_no_more_is_read_ahead_than_fits_one_request() -> None:
    """Those needed last are kept."""
    ahead, store = await prefetch(Clock(0))
    first = await ahead.read(ADA)
    for number in range(200):
        await first.get((f"case{number}", "configuration"))
    store.asked.clear()

    second = await ahead.read(ADA)
    await second.get(("case199", "configuration"))
    await second.get(("case0", "configuration"))

    assert store.asked == ["get_many", "get"]


async def test_what_a_caller_did_is_read_ahead_once_a_call_has_needed_it() -> None:
    """For each caller their own, beside the rest."""
    ahead, store = await prefetch(Clock(0))
    assert await (await ahead.read("+15550100002")).past("restaurantOrder::") == []
    store.asked.clear()

    reading = await ahead.read(ADA)

    assert await reading.past("restaurantOrder::") == [ORDER]
    assert sorted(store.asked) == ["get_many", "query"]


async def test_what_was_not_needed_lately_is_not_asked_of_a_caller() -> None:
    """Nor of one who cannot be recognised, who has no partition."""
    clock = Clock(0)
    ahead, store = await prefetch(clock)
    await (await ahead.read(ADA)).past("restaurantOrder::")
    store.asked.clear()

    unknown = await (await ahead.read("")).past("restaurantOrder::")
    clock.seconds = 601.0
    await ahead.read(ADA)

    assert unknown == []
    assert store.asked == ["get_many", "get_many"]


@pytest.mark.parametrize("is_ahead", [True, False])
async def test_a_call_goes_on_when_the_past_cannot_be_read(*, is_ahead: bool) -> None:
    """It is as if there were none."""

    class Refusing(MemoryStore):
        async def query(self, pk: str, sk_prefix: str = "") -> list[Item]:
            raise StoreError("throttled")

    store = Refusing()
    await store.put(PROFILE)
    ahead = Prefetch(store, Clock(0), always=[])
    if is_ahead:
        await (await ahead.read(ADA)).past("restaurantOrder::")

    reading = await ahead.read(ADA)

    assert reading.profile == PROFILE
    assert await reading.past("restaurantOrder::") == []


def test_a_call_does_not_wait_long_for_the_past() -> None:
    """Seconds are virtual."""

    class Slow(MemoryStore):
        async def query(self, pk: str, sk_prefix: str = "") -> list[Item]:
            await asyncio.sleep(60)
            return [ORDER]

    async def main() -> tuple[float, list[Item]]:
        ahead = Prefetch(Slow(), Clock(0), always=[])
        await (await ahead.read(ADA)).past("restaurantOrder::")
        began = asyncio.get_running_loop().time()
        found = await (await ahead.read(ADA)).past("restaurantOrder::")
        return asyncio.get_running_loop().time() - began, found

    assert run_virtually(main()) == (1.5, [])
