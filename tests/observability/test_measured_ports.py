"""Ports that are measured behave as the ones behind them."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from agent.errors import StoreError
from agent.observability import MeasuredStore, Telemetry
from agent.ports import Item
from agent.store.memory import MemoryStore
from tests.fakes import Clock
from tests.observability.observed import samples_of
from tests.observability.tracing.test_tracing import SlowStore


async def test_a_write_that_may_wait_may_wait() -> None:
    seen: list[bool] = []

    class Seeing(MemoryStore):
        async def put_newer(
            self, item: Item, *, may_wait: bool = False, beside: Sequence[Item] = ()
        ) -> bool:
            seen.append(may_wait)
            return await super().put_newer(item, beside=beside)

    store = MeasuredStore(Seeing(), Telemetry(Clock()))
    await store.put_newer({"pk": "a", "sk": "b", "sequence": 1}, may_wait=True)
    await store.put_newer({"pk": "a", "sk": "b", "sequence": 2})

    assert seen == [True, False]


async def test_table_is_measured_and_otherwise_untouched() -> None:
    clock = Clock()
    telemetry = Telemetry(clock)
    store = MeasuredStore(SlowStore(clock), telemetry)
    item: Item = {"pk": "a", "sk": "b", "pk1": "i", "sk1": "j"}

    assert await store.put(item)
    assert not await store.put(item, only_if_absent=True)
    await store.merge("a", "b", {"c": 1})
    assert await store.get("a", "b") == {**item, "c": 1}
    assert await store.query("a") == await store.query_index("i") == [{**item, "c": 1}]
    assert await store.move("a", "b", {"pk": "a", "sk": "z"})
    with pytest.raises(StoreError):
        await store.get("a", "away")
    await store.close()

    durations = {
        name.removeprefix("store_duration_seconds "): value
        for name, value in samples_of(telemetry).items()
        if name.startswith("store_")
    }
    assert durations == {
        "put ok": (2.0, 0.0),
        "merge ok": (1.0, 0.0),
        "get ok": (1.0, 1.0),
        "query ok": (1.0, 0.0),
        "query_index ok": (1.0, 0.0),
        "move ok": (1.0, 0.0),
        "get error": (1.0, 1.0),
    }
