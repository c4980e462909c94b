"""Records of calls on their way to the table: one queue with one lane for the process.

A recorder hands a chunk over and goes on; the write belongs to the queue
(`agent.store.write_behind`) and outlives the call. Chunks are written in the order in which they
came and never change, so a repeated write changes nothing. At most `MOST_CHARACTERS` wait; a reader
sees lost chunks as gaps, for chunks are numbered. Records may be lost, unlike facts: no call
resumes from them. Hence one lane, which takes few of the table's requests. Each chunk is written in
the context of its call, so that its trace is that of the call.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from agent.observability.recording.call_recorder import CallRecorder, Chunk
from agent.observability.recording.serialization import RECORD, Beginning
from agent.ports import Count, Item, Store, uncounted
from agent.store.write_behind import QueueLane, QueueOptions, WriteBehindQueue

MOST_CHARACTERS = 32_000_000
_DAY_SECONDS = 24 * 3600


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
        self._queue = WriteBehindQueue(
            QueueOptions(
                name="records",
                most=MOST_CHARACTERS,
                on_waiting=lambda size: count("agent_record_characters_waiting", size),
                on_lost=lambda lines, reason: count(
                    "agent_record_lines_lost_total", lines, reason=reason
                ),
            )
        )
        self._lane = QueueLane(self._queue, self._write)

    def open(
        self,
        call_sid: str,
        generation: int,
        beginning: Beginning,
        asks: Callable[[], str],
    ) -> CallRecorder:
        """Record one connection of a call.

        Args:
            call_sid: The partition.
            generation: Of the connection, 0 for the first.
            beginning: With what the conversation is made.
            asks: Returns `digests.asks_digest` of what is in force now.
        """
        return CallRecorder(call_sid, generation, beginning, asks, self._keep)

    async def close(self) -> None:
        """Try a last time to write all that waits; what comes from now on is lost."""
        await self._queue.close()

    def _keep(self, chunk: Chunk) -> None:
        key = (chunk.call_sid, chunk.generation, chunk.number)
        self._lane.add(key, chunk, size=chunk.characters, amount=len(chunk.lines))

    async def _write(self, _: tuple[str, int, int], chunk: Chunk) -> None:
        putting = self._store.put(self._item(chunk))
        await asyncio.create_task(putting, name="record", context=chunk.context)

    def _item(self, chunk: Chunk) -> Item:
        return {
            "pk": chunk.call_sid,
            "sk": f"{RECORD}{chunk.generation:06d}::{chunk.number:06d}",
            "lines": "\n".join(chunk.lines),
            "expireAt": int(self._clock()) + self._days * _DAY_SECONDS,
        }


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
    writer = RecordWriter(store, clock, days, count)
    try:
        yield writer
    finally:
        await writer.close()
