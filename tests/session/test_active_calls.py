"""Which connections and sessions a process has, and when it is quiet."""

from __future__ import annotations

import asyncio

from agent.capacity import Admission
from agent.session.active_calls import ActiveCalls
from agent.session.session import Session
from agent.simulator.virtual_time import run_virtually
from tests.scripted import ScriptedLine, ScriptedModel, Stage


def counting(counts: list[int]) -> ActiveCalls:
    """Calls of a process with one slot; `counts` collects the numbers of sessions."""
    return ActiveCalls(Admission(1, lambda: 0.0), counts.append)


def session() -> Session:
    return Stage(ScriptedLine([]), ScriptedModel([])).session()


async def is_quiet(calls: ActiveCalls) -> bool:
    try:
        async with asyncio.timeout(1.0):
            await calls.until_quiet()
    except TimeoutError:
        return False
    return True


def test_process_is_quiet_without_slot_and_session() -> None:
    """A terminal call has no slot; a connection that is being opened has no session."""

    async def main() -> list[bool]:
        calls = counting([])
        seen = [await is_quiet(calls)]
        with calls.in_progress("CA1", session()):
            with calls.in_progress("CA2", session()):
                pass
            seen.append(await is_quiet(calls))
        seen.append(await is_quiet(calls))
        with calls.slot("CA1"):
            with calls.in_progress("CA1", session()):
                pass
            seen.append(await is_quiet(calls))
        return [*seen, await is_quiet(calls)]

    assert run_virtually(main()) == [True, False, True, False, True]


def test_number_of_sessions_is_reported_whenever_it_changes() -> None:
    counts: list[int] = []

    async def main() -> None:
        calls = counting(counts)
        with calls.in_progress("CA1", session()), calls.in_progress("CA1", session()):
            pass

    run_virtually(main())

    assert counts == [1, 2, 1, 0]
