"""Time that passes only when nothing else can happen."""

from __future__ import annotations

import asyncio

import pytest

from agent.simulator.virtual_time import run_virtually
from tests.virtual import virtually


@virtually
async def test_timers_fire_in_their_order_at_their_time() -> None:
    loop, fired = asyncio.get_running_loop(), list[float]()
    for seconds in (3600.0, 1.0, 60.0):
        loop.call_at(seconds, lambda: fired.append(loop.time()))

    await asyncio.sleep(4000)  # virtual time

    assert fired == [1.0, 60.0, 3600.0]


@virtually
async def test_work_for_a_thread_is_done_at_once() -> None:
    """Its error comes where the result is awaited."""
    assert await asyncio.to_thread(lambda: 2 + 2) == 4
    with pytest.raises(ZeroDivisionError):
        await asyncio.to_thread(lambda: 1 / 0)


def test_wait_for_nothing_fails() -> None:
    with pytest.raises(AssertionError, match="would never come"):
        run_virtually(asyncio.Event().wait())
