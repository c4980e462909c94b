"""Each new connection of a call is counted once."""

from __future__ import annotations

import asyncio

import pytest

from agent.call.resumption import ResumeCause
from agent.errors import StoreError
from agent.ports import Item
from agent.session.resume import ResumeAttempt, begin_attempt, latest_attempt
from tests.fakes import MemoryStore

NOW = 1_000.0


async def test_connections_are_numbered_from_one() -> None:
    store = MemoryStore()

    attempts = [
        await begin_attempt(store, "CA1", ResumeCause.LOST, f"VX{n}", NOW + 100 * n)
        for n in range(3)
    ]

    assert attempts == [
        ResumeAttempt(1, ResumeCause.LOST),
        ResumeAttempt(2, ResumeCause.LOST),
        ResumeAttempt(3, ResumeCause.LOST),
    ]


async def test_two_processes_get_two_numbers() -> None:
    store = MemoryStore()

    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(begin_attempt(store, "CA1", ResumeCause.LOST, f"VX{n}", NOW))
            for n in range(3)
        ]

    numbers = [attempt.number for attempt in (task.result() for task in tasks) if attempt]
    assert sorted(numbers) == [1, 2, 3]


async def test_repeated_request_gets_the_same_attempt() -> None:
    """Twilio repeats a request that had no answer."""
    store = MemoryStore()

    first = await begin_attempt(store, "CA1", ResumeCause.LOST, "VX1", NOW)
    again = await begin_attempt(store, "CA1", ResumeCause.LOST, "VX1", NOW + 1)

    assert first == again == ResumeAttempt(1, ResumeCause.LOST)


async def test_requests_without_a_session_id_are_different_attempts() -> None:
    store = MemoryStore()

    await begin_attempt(store, "CA1", ResumeCause.RECONNECTED, "", NOW)
    second = await begin_attempt(store, "CA1", ResumeCause.RECONNECTED, "", NOW)

    assert second == ResumeAttempt(2, ResumeCause.RECONNECTED)


async def test_fourth_connection_in_two_minutes_is_refused() -> None:
    store = MemoryStore()
    for n in range(3):
        await begin_attempt(store, "CA1", ResumeCause.HANDED_OVER, f"VX{n}", NOW + n)

    fourth = await begin_attempt(store, "CA1", ResumeCause.LOST, "VX3", NOW + 119)
    later = await begin_attempt(store, "CA1", ResumeCause.LOST, "VX4", NOW + 121.5)

    assert fourth is None
    assert later == ResumeAttempt(4, ResumeCause.LOST)


async def test_connections_after_a_failed_transfer_are_not_counted() -> None:
    store = MemoryStore()
    for n in range(4):
        await begin_attempt(store, "CA1", ResumeCause.NOBODY, f"VX{n}", NOW)

    assert await begin_attempt(store, "CA1", ResumeCause.LOST, "VX9", NOW) == ResumeAttempt(
        5, ResumeCause.LOST
    )


async def test_unreadable_attempt_does_not_stop_a_call() -> None:
    store = MemoryStore()
    await store.put({"pk": "CA1", "sk": "resume::later", "at": "soon"})

    assert await begin_attempt(store, "CA1", ResumeCause.LOST, "VX1", NOW) == ResumeAttempt(
        1, ResumeCause.LOST
    )


async def test_attempt_that_always_collides_is_given_up() -> None:
    class Taken(MemoryStore):
        async def put(self, item: Item, *, only_if_absent: bool = False) -> bool:
            return False

    with pytest.raises(StoreError):
        await begin_attempt(Taken(), "CA1", ResumeCause.LOST, "VX1", NOW)


@pytest.mark.parametrize(
    ("item", "attempt"),
    [
        ({}, None),
        (
            ResumeAttempt(2, ResumeCause.HANDED_OVER).attributes,
            ResumeAttempt(2, ResumeCause.HANDED_OVER),
        ),
        ({"resumeNumber": 0, "resumeCause": "lost"}, None),
        ({"resumeNumber": "2", "resumeCause": "lost"}, None),
        ({"resumeNumber": 2, "resumeCause": "boredom"}, None),
    ],
)
def test_session_item_holds_the_latest_attempt(item: Item, attempt: ResumeAttempt | None) -> None:
    assert latest_attempt(item) == attempt
