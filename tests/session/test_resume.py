"""Every new line of a call is counted, once, whoever asks."""

from __future__ import annotations

import asyncio

import pytest

from agent.call.resumption import ResumeCause
from agent.errors import StoreError
from agent.ports import Item
from agent.session.resume import ResumeAttempt, begin_attempt, latest_attempt
from tests.fakes import MemoryStore

NOW = 1_000.0


async def test_lines_are_numbered_from_one() -> None:
    """0 is the first line of a call; the number is the generation of its facts."""
    store = MemoryStore()

    lines = [
        await begin_attempt(store, "CA1", ResumeCause.LOST, f"VX{n}", NOW + 100 * n)
        for n in range(3)
    ]

    assert lines == [
        ResumeAttempt(1, ResumeCause.LOST),
        ResumeAttempt(2, ResumeCause.LOST),
        ResumeAttempt(3, ResumeCause.LOST),
    ]


async def test_two_processes_get_two_numbers() -> None:
    """Both were asked for a line of one call at once."""
    store = MemoryStore()

    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(begin_attempt(store, "CA1", ResumeCause.LOST, f"VX{n}", NOW))
            for n in range(3)
        ]

    numbers = [line.number for line in (task.result() for task in tasks) if line]
    assert sorted(numbers) == [1, 2, 3]


async def test_one_session_has_one_line_after_it() -> None:
    """Twilio asks twice when it had no answer."""
    store = MemoryStore()

    first = await begin_attempt(store, "CA1", ResumeCause.LOST, "VX1", NOW)
    again = await begin_attempt(store, "CA1", ResumeCause.LOST, "VX1", NOW + 1)

    assert first == again == ResumeAttempt(1, ResumeCause.LOST)


async def test_a_session_nobody_names_is_always_another() -> None:
    """Two sockets without a name are not one."""
    store = MemoryStore()

    await begin_attempt(store, "CA1", ResumeCause.RECONNECTED, "", NOW)
    second = await begin_attempt(store, "CA1", ResumeCause.RECONNECTED, "", NOW)

    assert second == ResumeAttempt(2, ResumeCause.RECONNECTED)


async def test_three_lines_in_two_minutes_are_enough() -> None:
    """Later there may be more."""
    store = MemoryStore()
    for n in range(3):
        await begin_attempt(store, "CA1", ResumeCause.HANDED_OVER, f"VX{n}", NOW + n)

    fourth = await begin_attempt(store, "CA1", ResumeCause.LOST, "VX3", NOW + 119)
    later = await begin_attempt(store, "CA1", ResumeCause.LOST, "VX4", NOW + 121.5)

    assert fourth is None
    assert later == ResumeAttempt(4, ResumeCause.LOST)


async def test_a_caller_may_be_sent_back_by_people_as_often_as_they_ask() -> None:
    """Those lines are neither counted nor refused."""
    store = MemoryStore()
    for n in range(4):
        await begin_attempt(store, "CA1", ResumeCause.NOBODY, f"VX{n}", NOW)

    assert await begin_attempt(store, "CA1", ResumeCause.LOST, "VX9", NOW) == ResumeAttempt(
        5, ResumeCause.LOST
    )


async def test_what_is_no_entry_does_not_stop_a_call() -> None:
    """Somebody wrote into the partition."""
    store = MemoryStore()
    await store.put({"pk": "CA1", "sk": "resume::later", "at": "soon"})

    assert await begin_attempt(store, "CA1", ResumeCause.LOST, "VX1", NOW) == ResumeAttempt(
        1, ResumeCause.LOST
    )


async def test_a_line_that_is_always_taken_is_given_up() -> None:
    """A table that answers so for ever is not asked for ever."""

    class Taken(MemoryStore):
        async def put(self, item: Item, *, only_if_absent: bool = False) -> bool:
            return False

    with pytest.raises(StoreError):
        await begin_attempt(Taken(), "CA1", ResumeCause.LOST, "VX1", NOW)


@pytest.mark.parametrize(
    ("item", "line"),
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
def test_the_session_item_tells_of_the_latest_line(item: Item, line: ResumeAttempt | None) -> None:
    """What it does not tell, it does not."""
    assert latest_attempt(item) == line
