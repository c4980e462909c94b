"""Which lines a process has, and when it is quiet."""

from __future__ import annotations

import asyncio

from agent.capacity import Admission
from agent.session.call_registry import ActiveCalls
from agent.session.session import Session
from tests.scripted import ScriptedLine, ScriptedModel, Stage
from tests.virtual_time import run_virtually


def counted(told: list[int]) -> ActiveCalls:
    """Lines of a process with one seat; `told` is how many calls were in progress."""
    return ActiveCalls(Admission(1, lambda: 0.0), told.append)


def session() -> Session:
    return Stage(ScriptedLine([]), ScriptedModel([])).session()


async def is_quiet(lines: ActiveCalls) -> bool:
    try:
        async with asyncio.timeout(1.0):
            await lines.until_quiet()
    except TimeoutError:
        return False
    return True


def test_a_process_is_quiet_without_a_seat_and_without_a_session() -> None:
    """A call on a terminal has no seat, and a line that is being opened no session."""

    async def main() -> list[bool]:
        lines = counted([])
        seen = [await is_quiet(lines)]
        with lines.in_progress("CA1", session()):
            with lines.in_progress("CA2", session()):
                pass
            seen.append(await is_quiet(lines))
        seen.append(await is_quiet(lines))
        with lines.seat("CA1"):
            with lines.in_progress("CA1", session()):
                pass
            seen.append(await is_quiet(lines))
        return [*seen, await is_quiet(lines)]

    assert run_virtually(main()) == [True, False, True, False, True]


def test_calls_in_progress_are_told_whenever_their_number_changes() -> None:
    """Two lines of one call are two until the older one is over."""
    told: list[int] = []

    async def main() -> None:
        lines = counted(told)
        with lines.in_progress("CA1", session()), lines.in_progress("CA1", session()):
            pass

    run_virtually(main())

    assert told == [1, 2, 1, 0]
