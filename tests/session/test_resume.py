"""Each new connection of a call is counted once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from agent.call.resumption import ResumeCause
from agent.errors import StoreError
from agent.ports import Item
from agent.session.resume import ResumeAttempt, begin_attempt, latest_attempt
from agent.store.memory import MemoryStore

NOW = 1_000.0
KEPT = {"expireAt": 2_000}


async def test_two_processes_get_two_numbers() -> None:
    store = MemoryStore()

    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(begin_attempt(store, "CA1", ResumeCause.LOST, f"VX{n}", NOW, KEPT))
            for n in range(3)
        ]

    numbers = [attempt.number for attempt in (task.result() for task in tasks) if attempt]
    assert sorted(numbers) == [1, 2, 3]


LOST, RECONNECTED, HANDED_OVER, NOBODY = (
    ResumeCause.LOST, ResumeCause.RECONNECTED, ResumeCause.HANDED_OVER, ResumeCause.NOBODY,
)  # fmt: skip
Request = tuple[ResumeCause, str, float]


@pytest.mark.parametrize(
    ("requests", "numbers"),
    [
        ([(LOST, "VX1", 0.0), (LOST, "VX2", 100.0), (LOST, "VX3", 200.0)], [1, 2, 3]),
        ([(LOST, "VX1", 0.0), (LOST, "VX1", 1.0)], [1, 1]),
        ([(RECONNECTED, "", 0.0), (RECONNECTED, "", 0.0)], [1, 2]),
        (
            [*((HANDED_OVER, f"VX{n}", n) for n in range(3)), (LOST, "a", 119), (LOST, "b", 121.5)],
            [1, 2, 3, None, 4],
        ),
        ([*((NOBODY, f"VX{n}", 0.0) for n in range(4)), (LOST, "VX9", 0.0)], [1, 2, 3, 4, 5]),
    ],
    ids=["numbered", "repeated", "no session id", "a fourth in two minutes", "failed transfers"],
)
async def test_each_new_connection_gets_the_next_number(
    requests: list[Request], numbers: list[int | None]
) -> None:
    """Twilio repeats a request that had no answer; a failed transfer does not count."""
    store = MemoryStore()

    attempts = [
        await begin_attempt(store, "CA1", cause, session_id, NOW + after, KEPT)
        for cause, session_id, after in requests
    ]

    assert attempts == [
        None if number is None else ResumeAttempt(number, cause)
        for number, (cause, _, _) in zip(numbers, requests, strict=True)
    ]


async def test_unreadable_attempt_does_not_stop_a_call() -> None:
    store = MemoryStore()
    await store.put({"pk": "CA1", "sk": "resume::later", "at": "soon"})

    assert await begin_attempt(store, "CA1", LOST, "VX1", NOW, KEPT) == ResumeAttempt(1, LOST)


async def test_attempt_that_always_collides_is_given_up() -> None:
    class Taken(MemoryStore):
        async def put(
            self, item: Item, *, only_if_absent: bool = False, beside: Sequence[Item] = ()
        ) -> bool:
            return False

    with pytest.raises(StoreError):
        await begin_attempt(Taken(), "CA1", ResumeCause.LOST, "VX1", NOW, KEPT)


@pytest.mark.parametrize(
    ("item", "attempt"),
    [
        ({}, None),
        (ResumeAttempt(2, HANDED_OVER).attributes, ResumeAttempt(2, HANDED_OVER)),
        ({"resumeNumber": 0, "resumeCause": "lost"}, None),
        ({"resumeNumber": "2", "resumeCause": "lost"}, None),
        ({"resumeNumber": 2, "resumeCause": "boredom"}, None),
    ],
)
def test_session_item_holds_the_latest_attempt(item: Item, attempt: ResumeAttempt | None) -> None:
    assert latest_attempt(item) == attempt
