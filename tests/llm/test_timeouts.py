"""Limits with one timer do what `asyncio.timeout` does, at the same times."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Awaitable, Callable, Sequence

from hypothesis import given
from hypothesis import strategies as st

from agent.llm.timeouts import StreamDeadline
from agent.simulator.virtual_time import run_virtually

HALVES = st.integers(0, 8).map(lambda number: number / 2)
Wait = tuple[float, float, float]  # limit, how long it takes, the pause after it; in seconds
Limited = Callable[[float, float], Awaitable[None]]  # waits so long, with a limit
Ends = list[tuple[str, float]]  # how each wait ended, and when


async def _sleep(limit: float, seconds: float) -> None:
    async with asyncio.timeout(limit):
        await asyncio.sleep(seconds)


def _with_one_timer() -> Limited:
    timeouts = StreamDeadline()

    async def sleep(limit: float, seconds: float) -> None:
        with timeouts.at(asyncio.get_running_loop().time() + limit):
            await asyncio.sleep(seconds)

    return sleep


async def _ends(limited: Limited, waits: Sequence[Wait], stopped_after: float) -> Ends:
    """The ends of these waits in a task that is cancelled after some time."""
    loop, ends = asyncio.get_running_loop(), list[tuple[str, float]]()

    async def wait_for_all() -> None:
        for limit, seconds, pause in waits:
            try:
                await limited(limit, seconds)
            except TimeoutError:
                ends.append(("late", loop.time()))
            except asyncio.CancelledError:
                ends.append(("stopped", loop.time()))
                raise
            else:
                ends.append(("done", loop.time()))
            await asyncio.sleep(pause)

    task = asyncio.create_task(wait_for_all())
    loop.call_later(stopped_after, task.cancel)
    await asyncio.wait([task])
    return ends


@given(
    waits=st.lists(st.tuples(HALVES, HALVES.map(lambda seconds: seconds + 0.25), HALVES)),
    stopped_after=st.integers(0, 30).map(lambda number: number + 0.125),
)
def test_waits_end_as_with_a_timer_for_each(waits: list[Wait], stopped_after: float) -> None:
    """Late, in time or cancelled, at the same moments as `asyncio.timeout`."""

    async def with_one_timer() -> Ends:
        return await _ends(_with_one_timer(), waits, stopped_after)

    assert run_virtually(with_one_timer()) == run_virtually(_ends(_sleep, waits, stopped_after))


def test_cancellation_at_the_time_limit_is_a_cancellation() -> None:
    """A cancellation wins over the time limit."""

    async def main() -> None:
        timeouts = StreamDeadline()

        async def wait() -> None:
            with timeouts.at(1.0):
                await asyncio.sleep(5.0)

        task = asyncio.create_task(wait())
        await asyncio.sleep(0)
        asyncio.get_running_loop().call_at(1.0, task.cancel)
        await asyncio.wait([task])
        assert task.cancelled()

    run_virtually(main())


def test_no_timer_is_kept_after_the_last_wait() -> None:
    """A running timer would keep a reference."""

    async def main() -> None:
        timeouts = StreamDeadline()
        with timeouts.at(4.0):
            await asyncio.sleep(0.5)  # of virtual time
        timeouts.close()
        timeouts.close()
        kept = weakref.ref(timeouts)
        del timeouts
        assert kept() is None

    run_virtually(main())
