"""Writes the record of each call: lines of JSON, gathered to chunks, through one queue.

`CallRecorder` is an observer. It writes a line for each event and hands a chunk of lines over when
it is full, when it is a few seconds old, or when the connection is over. A line is one of:

    {"begin": ...}    `serialization.Beginning`
    {"at", "took", "event", "did", "asks"}
                      milliseconds since the first event until it was received, and from then until
                      it was answered; the event; the actions; `asks_digest` if a model is asked
    {"end": reason}   the connection is over; without it the record is not complete

The write belongs to the queue (`agent.store.write_behind`) and outlives the call. Chunks are
written in their order and never change, so a repeated write changes nothing. They are numbered: a
reader sees lost ones as gaps. Each is written in the context of its call, so that its trace is that
of the call. Records may be lost, unlike facts, because no call resumes from them,
so one lane is enough, and it takes few of the table's requests.

Rejected: one item for each event, which is one write for each word of the model.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from contextvars import Context, copy_context
from functools import partial

from agent.call.actions import StartReply
from agent.call.events import EndReason
from agent.observability.recording.serialization import (
    RECORD,
    ActionForms,
    Beginning,
    Form,
    beginning_form,
    event_form,
    text_of,
)
from agent.ports import Count, Item, ObservedStep, Store, uncounted
from agent.store.write_behind import QueueLane, WriteBehindQueue

CHUNK_CHARACTERS = 32 * 1024
"""A chunk is full with the line that reaches it."""
CHUNK_SECONDS = 5.0
"""How long a line may wait for others: what is lost if the process dies."""
MOST_CHARACTERS = 32_000_000
_DAY_SECONDS = 24 * 3600


class CallRecorder:
    """`ports.Observer` that records one connection of a call; made by `RecordWriter.open`.

    `asks` gives `asks_digest` of what is in force now; `keep` takes a chunk and never waits.
    """

    def __init__(
        self, beginning: Beginning, asks: Callable[[], str], keep: Callable[[int, list[str]], None]
    ) -> None:
        self._asks = asks
        self._keep = keep
        self._forms = ActionForms()
        self._began_at: float | None = None
        self._chunks = 0
        self._lines: list[str] = []
        self._characters = 0
        self._closing: asyncio.TimerHandle | None = None
        self._add({"begin": beginning_form(beginning)})

    def observe(self, moment: ObservedStep) -> None:
        actions = moment.actions
        if self._began_at is None:
            self._began_at = moment.received_at
        line: Form = {
            "at": _ms(moment.received_at - self._began_at),
            "took": _ms(moment.done_at - moment.received_at),
            "event": event_form(moment.event),
            "did": self._forms.write(actions),
        }
        if any(isinstance(action, StartReply) for action in actions):
            line["asks"] = self._asks()
        self._add(line)

    def ended(self, reason: EndReason) -> None:
        self._add({"end": reason})
        self._close_chunk()

    def _add(self, line: Form) -> None:
        text = text_of(line)
        if not self._lines:
            loop = asyncio.get_running_loop()
            self._closing = loop.call_later(CHUNK_SECONDS, self._close_chunk)
        self._lines.append(text)
        self._characters += len(text)
        if self._characters >= CHUNK_CHARACTERS:
            self._close_chunk()

    def _close_chunk(self) -> None:
        if self._closing is not None:
            self._closing.cancel()
            self._closing = None
        if self._lines:
            self._keep(self._chunks, self._lines)
            self._chunks += 1
            self._lines, self._characters = [], 0


class RecordWriter:
    """All records of a process; made by `open_records`."""

    def __init__(self, store: Store, clock: Callable[[], float], days: int, count: Count) -> None:
        self._store = store
        self._clock = clock
        self._days = days
        self._queue = WriteBehindQueue(
            name="records",
            most=MOST_CHARACTERS,
            on_waiting=lambda size: count("agent_record_characters_waiting", size),
            on_lost=lambda lines, why: count("agent_record_lines_lost_total", lines, reason=why),
        )
        self._lane = QueueLane(self._queue, self._write)

    def open(
        self, call_sid: str, generation: int, beginning: Beginning, asks: Callable[[], str]
    ) -> CallRecorder:
        return CallRecorder(beginning, asks, partial(self._keep, call_sid, generation))

    async def close(self) -> None:
        """Try a last time to write all that waits; what comes from now on is lost."""
        await self._queue.close()

    def _keep(self, call_sid: str, generation: int, number: int, lines: list[str]) -> None:
        key, chunk = (call_sid, generation, number), (lines, copy_context())
        self._lane.add(key, chunk, size=sum(map(len, lines)), amount=len(lines))

    async def _write(self, key: tuple[str, int, int], chunk: tuple[list[str], Context]) -> None:
        (call_sid, generation, number), (lines, context) = key, chunk
        item: Item = {
            "pk": call_sid,
            "sk": f"{RECORD}{generation:06d}::{number:06d}",
            "lines": "\n".join(lines),
            "expireAt": int(self._clock()) + self._days * _DAY_SECONDS,
        }
        await asyncio.create_task(self._store.put(item), name="record", context=context)


@asynccontextmanager
async def open_records(
    store: Store, clock: Callable[[], float], days: int, count: Count = uncounted
) -> AsyncIterator[RecordWriter | None]:
    """The records of this process; on leaving, what waits is written, or lost and counted.

    The clock gives epoch seconds, for expiry; 0 days = no record is made.
    """
    if not days:
        yield None
        return
    writer = RecordWriter(store, clock, days, count)
    try:
        yield writer
    finally:
        await writer.close()


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)
