"""Facts reach the table in order, whatever the table does and however long the call lives."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import structlog

from agent.call.history import AgentSaid, CallerSaid, Fact, Note
from agent.errors import StoreError, StoreRefusedError
from agent.ports import Item
from agent.store.call_state.journal import Journals, open_journals
from tests.fakes import Counted, MemoryStore
from tests.virtual_time import run_virtually

STARTED = 1_772_733_600_000
WAITING = "agent_journal_facts_waiting"
DELAYED = "agent_journal_calls_delayed"
LOST = "agent_journal_facts_lost_total"
NAMED = {"queue": "journal"}
LOSS = {"event": "write_queue.items_lost", **NAMED, "log_level": "error"}


class FickleStore(MemoryStore):
    """A table that takes its time, is away, refuses, or breaks, as it is told to."""

    def __init__(self, seconds: float = 0.0) -> None:
        super().__init__()
        self.seconds = seconds
        self.is_away = False
        self.refused = ""
        """Words that it does not take."""
        self.attempts: list[tuple[float, int]] = []
        """When which position was to be written, on the loop's clock."""
        self.kept: dict[object, list[object]] = {}
        """Positions of each call, in the order in which they were written."""
        self.writings = 0
        self.most_writings = 0

    async def put_newer(self, item: Item) -> bool:
        at = round(asyncio.get_running_loop().time(), 3)
        self.attempts.append((at, int(str(item["position"]))))
        self.writings += 1
        self.most_writings = max(self.most_writings, self.writings)
        try:
            await asyncio.sleep(self.seconds)
        finally:
            self.writings -= 1
        if self.is_away:
            raise StoreError("the table is away")
        if self.refused and self.refused in str(item):
            raise StoreRefusedError("such an item cannot be written")
        self.kept.setdefault(item["pk"], []).append(item["position"])
        return await super().put_newer(item)

    async def texts(self, call_sid: str) -> list[str]:
        """What a reader would find."""
        items: list[Any] = await self.query(call_sid, "chat::")
        return [item["fact"]["text"] for item in items]


class BrokenStore(FickleStore):
    """Raises for some words what no table should."""

    async def put_newer(self, item: Item) -> bool:
        if "poison" in str(item):
            raise ZeroDivisionError
        return await super().put_newer(item)


@dataclass(slots=True)
class Process:
    """The journals of a process over a fickle table, and its counters."""

    journals: Journals
    counted: Counted


@asynccontextmanager
async def running(store: FickleStore) -> AsyncIterator[Process]:
    counted = Counted()
    async with open_journals(store, lambda: 1_772_733_600.9, counted, min) as journals:
        yield Process(journals, counted)


def words(number: int) -> Fact:
    return CallerSaid(f"words {number}")


def test_facts_are_written_in_the_order_in_which_they_were_recorded() -> None:
    store = FickleStore(seconds=0.01)

    async def main() -> float:
        async with running(store) as process:
            journal = process.journals.open("CA1", STARTED)
            for position in range(3):
                journal.record(position, words(position))
            await asyncio.sleep(1.0)
            return process.counted.value(WAITING)

    assert run_virtually(main()) == 0
    assert store.attempts == [(0.01, 0), (0.02, 1), (0.03, 2)]
    assert run_virtually(store.query("CA1"))[2] == {
        "pk": "CA1",
        "sk": "chat::1772733600000000002",
        "chat": {"role": "user", "content": [{"text": "words 2"}]},
        "fact": {"kind": "callerSaid", "text": "words 2", "means": "speech"},
        "position": 2,
        "sequence": 2,
        "expireAt": 1_772_820_000,
    }


def test_what_changes_again_before_it_is_written_is_written_once() -> None:
    store = FickleStore()

    async def main() -> None:
        async with running(store) as process:
            journal = process.journals.open("CA1", STARTED)
            for text in ("One. ", "One. Two. ", "One. Two. Three."):
                journal.record(0, AgentSaid(text))
                await asyncio.sleep(0.01)  # of virtual time
            await journal.flush(1.0)

    run_virtually(main())

    assert len(store.attempts) == 1
    assert run_virtually(store.texts("CA1")) == ["One. Two. Three."]


def test_what_changes_while_it_is_written_is_written_again_behind_the_others() -> None:
    store = FickleStore(seconds=0.5)

    async def main() -> None:
        async with running(store) as process:
            journal = process.journals.open("CA1", STARTED)
            journal.record(0, AgentSaid("One."))
            journal.record(1, words(1))
            await asyncio.sleep(0.3)  # of virtual time
            journal.record(0, AgentSaid("One. Two."))
            await journal.flush(5.0)

    run_virtually(main())

    assert [position for _, position in store.attempts] == [0, 1, 0]
    assert run_virtually(store.texts("CA1")) == ["One. Two.", "words 1"]


def test_an_older_writing_never_replaces_a_newer_one() -> None:
    """The item with the greatest sequence stands, in whatever order writes arrive."""
    store = FickleStore()

    async def main() -> None:
        async with running(store) as first, running(store) as second:
            earlier = first.journals.open("CA1", STARTED)
            later = second.journals.open("CA1", STARTED, first_sequence=1_000_000_000)
            later.record(0, AgentSaid("One", is_cut=True))
            await later.flush(1.0)
            earlier.record(0, AgentSaid("One two"))
            earlier.record(0, AgentSaid("One two three."))
            await earlier.flush(1.0)

    run_virtually(main())

    assert run_virtually(store.texts("CA1")) == ["One"]


def test_table_that_failed_has_all_facts_afterwards() -> None:
    """The end of the call waits five seconds; the log has a line at the start and at the end."""
    store = FickleStore()
    store.is_away = True

    async def main() -> tuple[int, float, float, float, float]:
        loop = asyncio.get_running_loop()
        async with running(store) as process:
            journal = process.journals.open("CA1", STARTED)
            for position in range(8):
                journal.record(position, words(position))
                await asyncio.sleep(1.0)
            unwritten = await journal.flush(5.0)
            ended, delayed = loop.time(), process.counted.value(DELAYED)
            await asyncio.sleep(30.0 - loop.time())
            store.is_away = False
            await asyncio.sleep(6.0)
            journal.record(8, words(8))
            await asyncio.sleep(0.1)  # of virtual time
            return (
                unwritten,
                ended,
                delayed,
                process.counted.value(DELAYED),
                process.counted.value(WAITING),
            )

    with structlog.testing.capture_logs() as logs:
        assert run_virtually(main()) == (8, 13.0, 1, 0, 0)

    assert run_virtually(store.texts("CA1")) == [f"words {position}" for position in range(9)]
    assert logs == [
        {"event": "write_queue.delayed", **NAMED, "error": "StoreError", "log_level": "warning"},
        {"event": "write_queue.caught_up", **NAMED, "log_level": "info"},
    ]


def test_attempts_become_rarer_until_a_flush() -> None:
    """After 0.5 s at first and 4 s in the end; the end of a call tries at once."""
    store = FickleStore()
    store.is_away = True

    async def main() -> None:
        async with running(store) as process:
            journal = process.journals.open("CA1", STARTED)
            journal.record(0, words(0))
            await asyncio.sleep(13.0)
            await journal.flush(2.0)

    run_virtually(main())

    assert [at for at, _ in store.attempts] == [
        *(0.01, 0.51, 1.51, 3.51, 7.51, 11.51),
        *(13.0, 13.5, 14.5),
        *(15.0, 15.5, 16.5),  # the process ends
    ]


def test_attempts_of_calls_that_failed_together_spread() -> None:
    asked: list[tuple[float, float]] = []
    store = FickleStore()
    store.is_away = True

    def chance(least: float, most: float) -> float:
        asked.append((least, most))
        return most

    async def main() -> None:
        async with open_journals(store, lambda: 0.0, chance=chance) as journals:
            journals.open("CA1", STARTED).record(0, words(0))
            await asyncio.sleep(13.0)
            store.is_away = False

    run_virtually(main())

    assert asked == [(0.5, 0.75), (1.0, 1.5), (2.0, 3.0), (4.0, 6.0), (4.0, 6.0)]


def test_process_that_ends_with_the_table_away_says_how_much_is_lost() -> None:
    """After three seconds."""
    store = FickleStore()
    store.is_away = True
    counted = Counted()

    async def main() -> float:
        before = asyncio.all_tasks()
        async with open_journals(store, lambda: 0.0, counted, min) as journals:
            for call in range(3):
                journal = journals.open(f"CA{call}", STARTED)
                for position in range(4):
                    journal.record(position, words(position))
            await asyncio.sleep(10.0)
        assert asyncio.all_tasks() == before
        return asyncio.get_running_loop().time()

    with structlog.testing.capture_logs() as logs:
        assert run_virtually(main()) == 13.0

    assert counted.by("reason", LOST) == {"stopped": 12}
    assert logs[3:] == [{**LOSS, "items": 12, "lanes": 3}]


def test_process_that_ends_writes_what_waits() -> None:
    store = FickleStore()
    store.is_away = True

    async def main() -> float:
        async with running(store) as process:
            process.journals.open("CA1", STARTED).record(0, words(0))
            await asyncio.sleep(8.0)
            store.is_away = False
        return asyncio.get_running_loop().time()

    assert run_virtually(main()) == 8.0
    assert run_virtually(store.texts("CA1")) == ["words 0"]


def test_what_is_recorded_after_the_end_is_lost_and_counted() -> None:
    store, counted = FickleStore(), Counted()

    async def main() -> int:
        async with open_journals(store, lambda: 0.0, counted) as journals:
            journal = journals.open("CA1", STARTED)
        journal.record(0, words(0))
        return await journal.flush(5.0)

    assert run_virtually(main()) == 0
    assert store.attempts == []
    assert (counted.by("reason", LOST), counted.value(WAITING)) == ({"stopped": 1}, 0)


def test_no_more_than_a_hundred_thousand_facts_wait() -> None:
    """Beyond that the oldest fact of the call that has waited longest is dropped; logged once."""
    store = FickleStore()
    store.is_away = True

    async def main() -> tuple[list[int], float, dict[str, float]]:
        async with running(store) as process:
            journals = [process.journals.open(f"CA{call}", STARTED) for call in range(1_001)]
            for journal in journals:
                for position in range(100):
                    journal.record(position, words(position))
            journals[2].record(100, Note("One more."))
            await asyncio.sleep(0.1)  # of virtual time
            waiting = [journal.unwritten for journal in journals[:3]]
            return waiting, process.counted.value(WAITING), process.counted.by("reason", LOST)

    with structlog.testing.capture_logs() as logs:
        assert run_virtually(main()) == ([0, 99, 101], 100_000, {"too_many": 101})

    assert [one for one in logs if one["log_level"] == "error"] == [
        {"event": "write_queue.filled", **NAMED, "most": 100_000, "log_level": "error"},
        {**LOSS, "items": 100},
        {**LOSS, "items": 100_000, "lanes": 1_000},
    ]


def test_a_fact_that_could_not_be_written_for_an_hour_is_given_up() -> None:
    store = FickleStore()
    store.is_away = True

    async def main() -> dict[str, float]:
        async with running(store) as process:
            journal = process.journals.open("CA1", STARTED)
            journal.record(0, words(0))
            await asyncio.sleep(1_800.0)
            journal.record(1, words(1))
            await asyncio.sleep(1_810.0)
            store.is_away = False
            await asyncio.sleep(10.0)
            return process.counted.by("reason", LOST)

    with structlog.testing.capture_logs() as logs:
        assert run_virtually(main()) == {"too_old": 1}

    assert run_virtually(store.texts("CA1")) == ["words 1"]
    assert [one["event"] for one in logs] == [
        "write_queue.delayed",
        "write_queue.caught_up",
        "write_queue.items_lost",
    ]


def test_what_the_table_never_takes_does_not_block_what_follows() -> None:
    store = FickleStore()
    store.refused = "words 1"

    async def main() -> tuple[int, dict[str, float]]:
        async with running(store) as process:
            journal = process.journals.open("CA1", STARTED)
            for position in range(3):
                journal.record(position, words(position))
            return await journal.flush(1.0), process.counted.by("reason", LOST)

    with structlog.testing.capture_logs() as logs:
        assert run_virtually(main()) == (0, {"refused": 1})

    assert [position for _, position in store.attempts] == [0, 1, 2]
    assert run_virtually(store.texts("CA1")) == ["words 0", "words 2"]
    assert logs == [
        {"event": "write_queue.item_refused", **NAMED, "key": 1, "log_level": "error"},
        {**LOSS, "items": 1},
    ]


def test_a_fault_of_ours_costs_the_fact_at_which_it_happened() -> None:
    store = BrokenStore()

    async def main() -> tuple[int, dict[str, float]]:
        async with running(store) as process:
            journal, other = (process.journals.open(call, STARTED) for call in ("CA1", "CA2"))
            for position, text in enumerate(("before", "poison", "after", "poison")):
                journal.record(position, CallerSaid(text))
            other.record(0, words(0))
            return await journal.flush(1.0), process.counted.by("reason", LOST)

    with structlog.testing.capture_logs() as logs:
        assert run_virtually(main()) == (0, {"crashed": 2})

    assert run_virtually(store.texts("CA1")) == ["before", "after"]
    assert run_virtually(store.texts("CA2")) == ["words 0"]
    assert [(one["event"], one.get("items")) for one in logs] == [
        ("write_queue.write_crashed", None),
        ("write_queue.write_crashed", None),
        ("write_queue.items_lost", 2),
    ]


def test_a_thousand_calls_write_at_once_but_not_all_at_the_same_time() -> None:
    """One slow call delays no other; at most 32 writes at once."""
    store = FickleStore(seconds=0.01)

    async def main() -> int:
        async with running(store) as process:
            journals = [process.journals.open(f"CA{call:04d}", STARTED) for call in range(1_000)]
            for position in range(3):
                for journal in journals:
                    journal.record(position, words(position))
            async with asyncio.TaskGroup() as tasks:
                flushes = [tasks.create_task(journal.flush(5.0)) for journal in journals]
            return sum(flush.result() for flush in flushes)

    assert run_virtually(main()) == 0
    assert store.most_writings == 32
    assert store.kept == {f"CA{call:04d}": [0, 1, 2] for call in range(1_000)}


def test_what_changes_while_it_waits_for_its_turn_is_written_once() -> None:
    store = FickleStore(seconds=0.5)

    async def main() -> None:
        async with running(store) as process:
            journals = [process.journals.open(f"CA{call:02d}", STARTED) for call in range(33)]
            for journal in journals[:-1]:
                journal.record(0, words(0))
            await asyncio.sleep(0.1)  # of virtual time
            journals[-1].record(0, AgentSaid("One."))
            await asyncio.sleep(0.1)  # of virtual time
            journals[-1].record(0, AgentSaid("One. Two."))
            await journals[-1].flush(5.0)

    run_virtually(main())

    assert len(store.attempts) == 33
    assert run_virtually(store.texts("CA32")) == ["One. Two."]
