"""Facts reach the table in order, whatever the table does and however long the call lives."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import pytest
from structlog.testing import capture_logs

from agent.call.history import AgentSaid, CallerSaid
from agent.errors import StoreError, StoreRefusedError
from agent.ports import Item
from agent.store.call_state.journal import CallJournal, Journals, open_journals
from agent.store.memory import MemoryStore
from tests.fakes import Counted
from tests.virtual import virtually

WAITING = "agent_journal_facts_waiting"
DELAYED = "agent_journal_calls_delayed"
LOST = "agent_journal_facts_lost_total"
NAMED = {"queue": "journal"}
LOSS = {"event": "write_queue.items_lost", **NAMED, "log_level": "error"}


class FickleStore(MemoryStore):
    """A table that takes its time, is away, refuses, or breaks, as it is told to."""

    def __init__(self, seconds: float = 0.0, *, is_away: bool = False, refused: str = "-") -> None:
        super().__init__()
        self.seconds = seconds
        self.is_away = is_away
        self.refused = refused
        self.attempts: list[tuple[float, int]] = []
        """When which position was to be written, on the loop's clock."""
        self.kept: dict[object, list[object]] = {}
        """Positions of each call, in the order in which they were written."""
        self.writings = 0
        self.most_writings = 0

    async def put_newer(
        self, item: Item, *, may_wait: bool = False, beside: Sequence[Item] = ()
    ) -> bool:
        if "poison" in str(item):
            raise ZeroDivisionError
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
        if self.refused in str(item):
            raise StoreRefusedError("such an item cannot be written")
        self.kept.setdefault(item["pk"], []).append(item["position"])
        return await super().put_newer(item, may_wait=may_wait, beside=beside)

    async def texts(self, call_sid: str = "CA1") -> list[str]:
        """What a reader would find."""
        items: list[Any] = await self.query(call_sid, "chat::")
        return [item["fact"]["text"] for item in items]


@dataclass(slots=True)
class Process:
    """The journals of a process over a fickle table, and its counters."""

    journals: Journals
    counted: Counted

    def open(self, call_sid: str = "CA1", first_sequence: int = 0) -> CallJournal:
        return self.journals.open(call_sid, 1_772_733_600_000, first_sequence)

    @property
    def lost(self) -> dict[str, float]:
        return self.counted.by("reason", LOST)


@asynccontextmanager
async def running(store: FickleStore) -> AsyncIterator[Process]:
    counted = Counted()
    async with open_journals(store, lambda: 1_772_733_600.9, counted, min) as journals:
        yield Process(journals, counted)


def record(journal: CallJournal, *positions: int) -> None:
    for position in positions:
        journal.record(position, CallerSaid(f"words {position}"))


@virtually
async def test_facts_are_written_in_the_order_in_which_they_were_recorded() -> None:
    store = FickleStore(seconds=0.01)

    async with running(store) as process:
        record(process.open(), 0, 1, 2)
        await asyncio.sleep(1.0)
        waiting = process.counted.value(WAITING)

    assert waiting == 0
    assert store.attempts == [(0.01, 0), (0.02, 1), (0.03, 2)]
    assert (await store.query("CA1"))[2] == {
        "pk": "CA1",
        "sk": "chat::1772733600000000002",
        "chat": {"role": "user", "content": [{"text": "words 2"}]},
        "fact": {"kind": "callerSaid", "text": "words 2", "means": "speech", "language": ""},
        "position": 2,
        "sequence": 2,
        "expireAt": 1_772_820_000,
    }


@virtually
async def test_what_changes_again_before_it_is_written_is_written_once() -> None:
    store = FickleStore()

    async with running(store) as process:
        journal = process.open()
        for text in ("One. ", "One. Two. ", "One. Two. Three."):
            journal.record(0, AgentSaid(text), is_growing=True)
            await asyncio.sleep(0.01)
        await journal.flush(1.0)

    assert len(store.attempts) == 1
    assert await store.texts() == ["One. Two. Three."]


@virtually
async def test_speech_is_written_at_its_beginning_then_now_and_then_and_at_its_end() -> None:
    store = FickleStore()

    async with running(store) as process:
        journal = process.open()
        for piece in range(1, 31):
            journal.record(0, AgentSaid("La " * piece), is_growing=True)
            await asyncio.sleep(0.1)
        journal.record(0, AgentSaid("La " * 30 + "La."))
        await asyncio.sleep(1.0)
        for piece in range(1, 5):
            journal.record(1, AgentSaid("La " * piece), is_growing=True)
            await asyncio.sleep(0.1)
        await asyncio.sleep(2.0)

    first, second = [(at, 0) for at in (0.05, 1.55, 3.01)], [(at, 1) for at in (4.05, 5.55)]
    assert store.attempts == first + second
    assert await store.texts() == ["La " * 30 + "La.", "La " * 4]


@virtually
async def test_speech_that_waits_is_written_with_the_words_of_the_caller_before_them() -> None:
    store = FickleStore()

    async with running(store) as process:
        journal = process.open()
        for piece in range(1, 4):
            journal.record(0, AgentSaid("La " * piece), is_growing=True)
            await asyncio.sleep(0.1)
        record(journal, 1)
        await asyncio.sleep(0.1)

    assert store.attempts == [(0.05, 0), (0.31, 0), (0.31, 1)]
    assert await store.texts() == ["La La La ", "words 1"]


@virtually
async def test_speech_that_goes_on_while_somebody_waits_is_written_at_once() -> None:
    """A lasting tool and a change of transport wait for all that was said."""
    store, loop = FickleStore(seconds=0.01), asyncio.get_running_loop()

    async with running(store) as process:
        journal = process.open()
        journal.record(0, AgentSaid("One. "), is_growing=True)
        loop.call_later(0.005, lambda: journal.record(0, AgentSaid("One. Two."), is_growing=True))
        assert (await journal.flush(1.0), round(loop.time(), 3)) == (0, 0.02)

    assert await store.texts() == ["One. Two."]


@virtually
async def test_what_is_recorded_during_an_attempt_of_a_table_that_was_away_is_written() -> None:
    store = FickleStore(seconds=0.1, is_away=True)

    async with running(store) as process:
        journal = process.open()
        record(journal, 0)
        await asyncio.sleep(0.2)
        store.is_away = False
        await asyncio.sleep(0.45)
        record(journal, 1)
        await asyncio.sleep(0.3)
        assert (journal.unwritten, process.counted.value(DELAYED)) == (0, 0)

    assert await store.texts() == ["words 0", "words 1"]


@virtually
async def test_calls_that_are_due_at_nearly_the_same_time_are_written_together() -> None:
    store = FickleStore()

    async with running(store) as process:
        for call, delay in enumerate((0.0, 0.02, 0.02)):
            await asyncio.sleep(delay)
            process.open(f"CA{call}").record(call, AgentSaid("La "), is_growing=True)
        await asyncio.sleep(1.0)

    assert store.attempts == [(0.05, 0), (0.05, 1), (0.05, 2)]


@virtually
async def test_facts_are_written_in_the_context_of_their_call() -> None:
    """For its trace and its log lines, though one timer serves all calls."""
    call = ContextVar("call", default="none")
    seen: list[tuple[object, str]] = []

    class Seeing(FickleStore):
        async def put_newer(
            self, item: Item, *, may_wait: bool = False, beside: Sequence[Item] = ()
        ) -> bool:
            seen.append((item["pk"], call.get()))
            return await super().put_newer(item, may_wait=may_wait, beside=beside)

    async def speak(process: Process, call_sid: str) -> None:
        call.set(call_sid)
        record(process.open(call_sid), 0)

    async with running(Seeing()) as process, asyncio.TaskGroup() as calls:
        for number in range(3):
            calls.create_task(speak(process, f"CA{number}"))
        await asyncio.sleep(1.0)

    assert seen == [(f"CA{number}", f"CA{number}") for number in range(3)]


@virtually
async def test_a_write_may_wait_only_if_nothing_waits_for_it() -> None:
    """Neither another fact of the call, nor a flush, nor the end of the process."""
    seen: list[tuple[object, bool]] = []

    class Seeing(FickleStore):
        async def put_newer(
            self, item: Item, *, may_wait: bool = False, beside: Sequence[Item] = ()
        ) -> bool:
            seen.append((item["position"], may_wait))
            return await super().put_newer(item, beside=beside)

    async with running(Seeing()) as process:
        journal = process.open()
        record(journal, 0)
        await asyncio.sleep(1.0)
        record(journal, 1, 2)
        await asyncio.sleep(1.0)
        record(journal, 3)
        await journal.flush(1.0)
        record(journal, 4)

    assert seen == [(0, True), (1, False), (2, True), (3, False), (4, False)]


@virtually
async def test_what_changes_while_it_is_written_is_written_again_behind_the_others() -> None:
    store = FickleStore(seconds=0.5)

    async with running(store) as process:
        journal = process.open()
        journal.record(0, AgentSaid("One."))
        record(journal, 1)
        await asyncio.sleep(0.3)
        journal.record(0, AgentSaid("One. Two."))
        await journal.flush(5.0)

    assert [position for _, position in store.attempts] == [0, 1, 0]
    assert await store.texts() == ["One. Two.", "words 1"]


@virtually
async def test_an_older_writing_never_replaces_a_newer_one() -> None:
    """The item with the greatest sequence stands, in whatever order writes arrive."""
    store = FickleStore()

    async with running(store) as first, running(store) as second:
        earlier, later = first.open(), second.open(first_sequence=1_000_000_000)
        later.record(0, AgentSaid("One", is_cut=True))
        await later.flush(1.0)
        earlier.record(0, AgentSaid("One two"))
        earlier.record(0, AgentSaid("One two three."))
        await earlier.flush(1.0)

    assert await store.texts() == ["One"]


@virtually
async def test_table_that_failed_has_all_facts_afterwards() -> None:
    """The end of the call waits five seconds; the log has a line at the start and at the end."""
    store, loop = FickleStore(is_away=True), asyncio.get_running_loop()

    with capture_logs() as logs:
        async with running(store) as process:
            journal = process.open()
            for position in range(8):
                record(journal, position)
                await asyncio.sleep(1.0)
            assert (await journal.flush(5.0), loop.time()) == (8, 13.0)
            assert process.counted.value(DELAYED) == 1
            await asyncio.sleep(30.0 - loop.time())
            store.is_away = False
            await asyncio.sleep(6.0)
            record(journal, 8)
            await asyncio.sleep(0.1)
            assert (process.counted.value(DELAYED), process.counted.value(WAITING)) == (0, 0)

    assert await store.texts() == [f"words {position}" for position in range(9)]
    assert logs == [
        {"event": "write_queue.delayed", **NAMED, "error": "StoreError", "log_level": "warning"},
        {"event": "write_queue.caught_up", **NAMED, "log_level": "info"},
    ]


@virtually
async def test_attempts_become_rarer_until_a_flush() -> None:
    """After 0.5 s at first and 4 s in the end; the end of a call tries at once."""
    store = FickleStore(is_away=True)

    async with running(store) as process:
        journal = process.open()
        record(journal, 0)
        await asyncio.sleep(13.0)
        await journal.flush(2.0)

    assert [at for at, _ in store.attempts] == [
        *(0.01, 0.51, 1.51, 3.51, 7.51, 11.51),
        *(13.0, 13.5, 14.5),
        *(15.0, 15.5, 16.5),  # the process ends
    ]


@virtually
async def test_attempts_of_calls_that_failed_together_spread() -> None:
    asked: list[tuple[float, float]] = []
    store = FickleStore(is_away=True)

    def chance(least: float, most: float) -> float:
        asked.append((least, most))
        return most

    async with open_journals(store, lambda: 0.0, chance=chance) as journals:
        record(journals.open("CA1", 0), 0)
        await asyncio.sleep(13.0)
        store.is_away = False

    assert asked == [(0.5, 0.75), (1.0, 1.5), (2.0, 3.0), (4.0, 6.0), (4.0, 6.0)]


@virtually
async def test_process_that_ends_with_the_table_away_says_how_much_is_lost() -> None:
    """After three seconds."""
    before = asyncio.all_tasks()

    with capture_logs() as logs:
        async with running(FickleStore(is_away=True)) as process:
            for call in range(3):
                record(process.open(f"CA{call}"), 0, 1, 2, 3)
            await asyncio.sleep(10.0)

    assert (asyncio.all_tasks(), asyncio.get_running_loop().time()) == (before, 13.0)
    assert process.lost == {"stopped": 12}
    assert logs[3:] == [{**LOSS, "items": 12, "lanes": 3}]


@virtually
async def test_process_that_ends_writes_what_waits() -> None:
    store = FickleStore(is_away=True)

    async with running(store) as process:
        record(process.open(), 0)
        await asyncio.sleep(8.0)
        store.is_away = False

    assert asyncio.get_running_loop().time() == 8.0
    assert await store.texts() == ["words 0"]


@virtually
async def test_what_is_recorded_after_the_end_is_lost_and_counted() -> None:
    store = FickleStore()
    async with running(store) as process:
        journal = process.open()

    record(journal, 0)

    assert (await journal.flush(5.0), store.attempts) == (0, [])
    assert (process.lost, process.counted.value(WAITING)) == ({"stopped": 1}, 0)


@pytest.mark.needs("time")
@virtually
async def test_no_more_than_a_hundred_thousand_facts_wait() -> None:
    """Beyond that the oldest fact of the call that has waited longest is dropped; logged once."""
    with capture_logs() as logs:
        async with running(FickleStore(is_away=True)) as process:
            journals = [process.open(f"CA{call}") for call in range(1_001)]
            for journal in journals:
                record(journal, *range(100))
            record(journals[2], 100)
            await asyncio.sleep(0.1)
            assert [journal.unwritten for journal in journals[:3]] == [0, 99, 101]
            assert (process.counted.value(WAITING), process.lost) == (100_000, {"too_many": 101})

    assert [one for one in logs if one["log_level"] == "error"] == [
        {"event": "write_queue.filled", **NAMED, "most": 100_000, "log_level": "error"},
        {**LOSS, "items": 100},
        {**LOSS, "items": 100_000, "lanes": 1_000},
    ]


@virtually
async def test_a_fact_that_could_not_be_written_for_an_hour_is_given_up() -> None:
    store = FickleStore(is_away=True)

    with capture_logs() as logs:
        async with running(store) as process:
            journal = process.open()
            record(journal, 0)
            await asyncio.sleep(1_800.0)
            record(journal, 1)
            await asyncio.sleep(1_810.0)
            store.is_away = False
            await asyncio.sleep(10.0)

    assert (process.lost, await store.texts()) == ({"too_old": 1}, ["words 1"])
    kinds = ("delayed", "caught_up", "items_lost")
    assert [one["event"] for one in logs] == [f"write_queue.{kind}" for kind in kinds]


@virtually
async def test_what_the_table_never_takes_does_not_block_what_follows() -> None:
    store = FickleStore(refused="words 1")

    with capture_logs() as logs:
        async with running(store) as process:
            journal = process.open()
            record(journal, 0, 1, 2)
            assert (await journal.flush(1.0), process.lost) == (0, {"refused": 1})

    assert [position for _, position in store.attempts] == [0, 1, 2]
    assert await store.texts() == ["words 0", "words 2"]
    assert logs == [
        {"event": "write_queue.item_refused", **NAMED, "key": 1, "log_level": "error"},
        {**LOSS, "items": 1},
    ]


@virtually
async def test_a_fault_of_ours_costs_the_fact_at_which_it_happened() -> None:
    store = FickleStore()

    with capture_logs() as logs:
        async with running(store) as process:
            journal = process.open()
            for position, text in enumerate(("before", "poison", "after", "poison")):
                journal.record(position, CallerSaid(text))
            record(process.open("CA2"), 0)
            assert (await journal.flush(1.0), process.lost) == (0, {"crashed": 2})

    assert (await store.texts(), await store.texts("CA2")) == (["before", "after"], ["words 0"])
    crashed = ("write_queue.write_crashed", None)
    assert [(one["event"], one.get("items")) for one in logs] == [
        *(crashed, crashed),
        ("write_queue.items_lost", 2),
    ]


@virtually
async def test_a_thousand_calls_write_at_once_but_not_all_at_the_same_time() -> None:
    """One slow call delays no other; at most 32 writes at once."""
    store = FickleStore(seconds=0.01)

    async with running(store) as process:
        journals = [process.open(f"CA{call:04d}") for call in range(1_000)]
        for position in range(3):
            for journal in journals:
                record(journal, position)
        unwritten = await asyncio.gather(*(journal.flush(5.0) for journal in journals))

    assert sum(unwritten) == 0
    assert store.most_writings == 32
    assert store.kept == {f"CA{call:04d}": [0, 1, 2] for call in range(1_000)}


@virtually
async def test_what_changes_while_it_waits_for_its_turn_is_written_once() -> None:
    store = FickleStore(seconds=0.5)

    async with running(store) as process:
        *others, last = [process.open(f"CA{call:02d}") for call in range(33)]
        for journal in others:
            record(journal, 0)
        await asyncio.sleep(0.1)
        for text in ("One.", "One. Two."):
            last.record(0, AgentSaid(text))
            await asyncio.sleep(0.1)
        await last.flush(5.0)

    assert len(store.attempts) == 33
    assert await store.texts("CA32") == ["One. Two."]
