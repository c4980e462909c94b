"""Records reach the table in order and in bounded pieces, and may be lost, but never unseen."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import structlog

from agent.call.config import CallConfig
from agent.call.events import CallerSpoke, EndReason
from agent.errors import StoreError
from agent.observability.recording.record_writer import CallRecorder, RecordWriter, open_records
from agent.observability.recording.serialization import read_record
from agent.ports import Count, Item, uncounted
from agent.simulator.virtual_time import run_virtually
from agent.store.memory import MemoryStore
from tests.fakes import Counted, moment
from tests.observability.recording.taping import NOW, beginning

WAITING = "agent_record_characters_waiting"
LOST = "agent_record_lines_lost_total"


class FickleStore(MemoryStore):
    """A table that fails while `is_away` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.is_away = False
        self.attempts: list[tuple[float, str]] = []
        """When which item was to be written, on the loop's clock."""

    async def put(
        self, item: Item, *, only_if_absent: bool = False, beside: Sequence[Item] = ()
    ) -> bool:
        self.attempts.append((round(asyncio.get_running_loop().time(), 3), str(item["sk"])))
        if self.is_away:
            raise StoreError("the table is away")
        return await super().put(item, only_if_absent=only_if_absent, beside=beside)


@asynccontextmanager
async def writing(store: MemoryStore, counted: Count = uncounted) -> AsyncIterator[RecordWriter]:
    async with open_records(store, lambda: NOW, 7, counted) as opened:
        assert opened is not None
        yield opened


def recording(at: RecordWriter) -> CallRecorder:
    return at.open("CA1", 0, beginning(CallConfig()), lambda: "a0")


def hears(recorder: CallRecorder, text: str) -> None:
    """One event that leads to nothing."""
    recorder.observe(moment(CallerSpoke(text), [], asyncio.get_running_loop().time()))


def test_events_are_written_in_their_order_with_their_times() -> None:
    """Together five seconds after the first, the rest when the call is over; kept for so long."""
    store = FickleStore()

    async def main() -> list[Item]:
        async with writing(store) as at:
            recorder = recording(at)
            for number in range(3):
                await asyncio.sleep(2.0)
                hears(recorder, f"words {number}")
            recorder.ended(EndReason.CALLER_HANGUP)
            await asyncio.sleep(0.1)  # of virtual time
        return await store.query("CA1")

    first, last = run_virtually(main())

    assert store.attempts == [(5.0, "record::000000::000000"), (6.0, "record::000000::000001")]
    assert first["expireAt"] == 1_772_733_600 + 7 * 24 * 3600
    assert str(first["lines"]).split("\n")[1] == (
        '{"at":0.0,"took":0.0,"event":{"kind":"CallerSpoke","text":"words 0","is_final":true,'
        '"language":"","after_ms":null},"did":[]}'
    )
    starts = [line[:12] for line in str(last["lines"]).split("\n")]
    assert starts == ['{"at":4000.0', '{"end":"call']


def test_no_chunk_is_large() -> None:
    """One is closed with the line that fills it."""
    store = FickleStore()

    async def main() -> list[int]:
        async with writing(store) as at:
            recorder = recording(at)
            for _ in range(200):
                hears(recorder, "word " * 200)
            recorder.ended(EndReason.CALLER_HANGUP)
        return [len(str(item["lines"])) for item in await store.query("CA1")]

    sizes = run_virtually(main())

    assert len(sizes) == 7
    assert all(32_768 <= size < 34_000 for size in sizes[:-1])


def test_record_of_a_table_that_was_away_is_whole() -> None:
    """The call is over meanwhile; the log has two lines about it, without its words."""
    store, counted = FickleStore(), Counted()
    store.is_away = True

    async def main() -> tuple[int, str]:
        async with writing(store, counted) as at:
            recorder = recording(at)
            for number in range(20):
                hears(recorder, f"words {number}")
                await asyncio.sleep(1.0)
            recorder.ended(EndReason.CALLER_HANGUP)
            store.is_away = False
            await asyncio.sleep(6.0)
            (line,) = await read_record(store, "CA1")
            return len(line.steps), line.end

    with structlog.testing.capture_logs() as logs:
        assert run_virtually(main()) == (20, "caller_hangup")

    assert [at for at, _ in store.attempts[:6]] == [5.0, 5.5, 6.5, 8.5, 12.5, 16.5]
    assert (counted.value(WAITING), counted.by("reason", LOST)) == (0, {})
    delayed = {"event": "write_queue.delayed", "error": "StoreError", "log_level": "warning"}
    caught_up = {"event": "write_queue.caught_up", "log_level": "info"}
    assert logs == [{**line, "queue": "records"} for line in (delayed, caught_up)]


def test_process_that_ends_with_the_table_away_says_how_much_is_lost() -> None:
    """After three seconds."""
    store, counted = FickleStore(), Counted()
    store.is_away = True

    async def main() -> float:
        before = asyncio.all_tasks()
        async with writing(store, counted) as at:
            recorder = recording(at)
            hears(recorder, "words")
            recorder.ended(EndReason.CALLER_HANGUP)
            await asyncio.sleep(10.0)
        assert asyncio.all_tasks() == before
        return asyncio.get_running_loop().time()

    with structlog.testing.capture_logs() as logs:
        assert run_virtually(main()) == 13.0

    assert (counted.value(WAITING), counted.by("reason", LOST)) == (0, {"stopped": 3})
    [_, lost] = logs
    named = {"event": "write_queue.items_lost", "queue": "records", "log_level": "error"}
    assert lost == {**named, "items": 3, "lanes": 1}


def test_no_more_than_so_much_waits() -> None:
    """Beyond that the oldest goes, and the reader sees the gap."""
    store, counted = FickleStore(), Counted()
    store.is_away = True

    async def main() -> tuple[bool, int]:
        async with writing(store, counted) as at:
            recorder = recording(at)
            for _ in range(101):
                hears(recorder, "x" * 320_000)
            most = counted.value(WAITING)
            store.is_away = False
            recorder.ended(EndReason.CALLER_HANGUP)
            await asyncio.sleep(5.0)
            return most <= 32_000_000, len(await read_record(store, "CA1"))

    with structlog.testing.capture_logs() as logs:
        is_bounded, readable = run_virtually(main())

    assert is_bounded
    assert readable == 0  # what it began with was the oldest
    assert counted.by("reason", LOST) == {"too_many": 3}
    assert [one["event"] for one in logs if one["log_level"] == "error"] == [
        "write_queue.filled",
        "write_queue.items_lost",
    ]
