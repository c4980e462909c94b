"""Records on their way to the table: one queue and one writer for the process.

A recorder hands a chunk over and goes on; the writing belongs to the desk and outlives the call.

- Chunks are written one after another in the order in which they came, so those of one call are in
  order. They never change: a writing that is repeated after a doubtful answer changes nothing.
- While the table cannot be reached the first chunk is tried again, after 0.5 s at first and 4 s in
  the end. There is one line in the log when that begins and one when it is over.
- What a table will never take is given up at once, and so is the chunk at which the writing
  crashed, for a fault of ours.

**Bounds.** At most 32 million characters wait in a process; beyond that the oldest chunk is
dropped. When the process stops there is one last attempt of three seconds. What is lost is counted
by its reason and logged, without its words. A reader sees the gap: chunks are numbered.

Unlike facts (`agent.store.call_state.journal`), records may be lost: nobody goes on with a call
from them.
Hence one writer, and no share of the turns of others. It writes each chunk in the context of its
call, so that traces take it for no other's. Rejected: the journal itself with another kind of fact.
Its entries replace each other by position, and each of them is one item.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Literal

import structlog

from agent.errors import StoreError, StoreRefusedError
from agent.observability.recording.call_recorder import CallRecorder, Chunk
from agent.observability.recording.serialization import RECORD, Beginning
from agent.ports import Count, Item, Store, uncounted

log = structlog.get_logger(__name__)

MOST_CHARACTERS = 32_000_000
CLOSE_SECONDS = 3.0
"""How long the end of the process waits for chunks to be written."""
_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 4.0
_DAY_SECONDS = 24 * 3600

Loss = Literal["refused", "crashed", "too_many", "stopped"]


class RecordWriter:
    """All records of a process; made by `open_records`.

    Args:
        store: The table; outlives this.
        clock: Epoch seconds, for expiry.
        days: How long a record is kept.
        count: For characters that wait and lines that are lost.
    """

    def __init__(self, store: Store, clock: Callable[[], float], days: int, count: Count) -> None:
        self._store = store
        self._clock = clock
        self._days = days
        self._count = count
        self._waiting: deque[Chunk] = deque()
        self._characters = 0
        self._failures = 0
        self._is_full = False
        self._is_closed = False
        self._is_hurried = asyncio.Event()
        self._writer: asyncio.Task[None] | None = None

    def open(
        self,
        call_sid: str,
        generation: int,
        beginning: Beginning,
        asks: Callable[[], str],
    ) -> CallRecorder:
        """Record one line of a call.

        Args:
            call_sid: The partition.
            generation: Of the line, 0 for the first.
            beginning: With what the conversation is made.
            asks: `forms.asks_digest` of what is in force now.
        """
        return CallRecorder(call_sid, generation, beginning, asks, self._keep)

    async def close(self) -> None:
        """Try a last time to write all that waits; what comes from now on is lost."""
        self._is_closed = True
        self._is_hurried.set()
        if self._writer is not None:
            _, late = await asyncio.wait({self._writer}, timeout=CLOSE_SECONDS)
            for writer in late:
                writer.cancel()
            if late:
                await asyncio.wait(late)
        while self._waiting:
            self._drop_first("stopped")

    def _keep(self, chunk: Chunk) -> None:
        self._waiting.append(chunk)
        self._add_characters(chunk.characters)
        if self._is_closed:
            self._drop_first("stopped")
            return
        while self._characters > MOST_CHARACTERS:
            if not self._is_full:
                log.error("record.full", characters=MOST_CHARACTERS)
            self._is_full = True
            self._drop_first("too_many")
        if self._writer is None:
            self._employ()

    def _employ(self) -> None:
        self._writer = asyncio.create_task(self._write_all(), name="records")
        self._writer.add_done_callback(self._dismiss)

    def _dismiss(self, writer: asyncio.Task[None]) -> None:
        self._writer = None
        if writer.cancelled():
            return
        if (error := writer.exception()) is not None:
            log.error("record.crashed", exc_info=error)
            self._drop_first("crashed")
        if self._waiting and not self._is_closed:
            self._employ()

    async def _write_all(self) -> None:
        while self._waiting:
            await self._pause()
            if self._waiting:
                await self._write(self._waiting[0])

    async def _pause(self) -> None:
        """Between two attempts at a table that is away."""
        if not self._failures:
            return
        seconds = _FIRST_PAUSE_SECONDS * 2.0 ** min(self._failures - 1, 10)
        with suppress(TimeoutError):
            async with asyncio.timeout(min(seconds, _LONGEST_PAUSE_SECONDS)):
                await self._is_hurried.wait()
        self._is_hurried.clear()

    async def _write(self, chunk: Chunk) -> None:
        try:
            putting = self._store.put(self._item(chunk))
            await asyncio.create_task(putting, name="record", context=chunk.context)
        except StoreRefusedError:
            if self._is_first(chunk):
                self._drop_first("refused")
            return
        except StoreError as error:
            self._failures += 1
            if self._failures == 1:
                log.warning("record.delayed", error=type(error).__name__)
            return
        if self._failures:
            log.info("record.caught_up")
        self._failures = 0
        if self._is_first(chunk):
            self._take_first()

    def _item(self, chunk: Chunk) -> Item:
        return {
            "pk": chunk.call_sid,
            "sk": f"{RECORD}{chunk.generation:06d}::{chunk.number:06d}",
            "lines": "\n".join(chunk.lines),
            "expireAt": int(self._clock()) + self._days * _DAY_SECONDS,
        }

    def _is_first(self, chunk: Chunk) -> bool:
        """It was not dropped while it was being written."""
        return bool(self._waiting) and self._waiting[0] is chunk

    def _take_first(self) -> Chunk:
        chunk = self._waiting.popleft()
        self._add_characters(-chunk.characters)
        if self._characters < MOST_CHARACTERS // 2:
            self._is_full = False
        return chunk

    def _drop_first(self, reason: Loss) -> None:
        chunk = self._take_first()
        self._count("agent_record_lines_lost_total", len(chunk.lines), reason=reason)
        log.error("record.lost", lines=len(chunk.lines), reason=reason)

    def _add_characters(self, characters: int) -> None:
        self._characters += characters
        self._count("agent_record_characters_waiting", self._characters)


@asynccontextmanager
async def open_records(
    store: Store,
    clock: Callable[[], float],
    days: int,
    count: Count = uncounted,
) -> AsyncIterator[RecordWriter | None]:
    """The records of this process; on leaving, what waits is written, or lost and counted.

    Args:
        store: The table.
        clock: Epoch seconds.
        days: How long a record is kept; 0 = none is made.
        count: For characters that wait and lines that are lost.
    """
    if not days:
        yield None
        return
    desk = RecordWriter(store, clock, days, count)
    try:
        yield desk
    finally:
        await desk.close()
