"""Writes the record of each call: lines of JSON, gathered to chunks, through one queue.

A chunk is closed when it is full, when it is a few seconds old, or when the connection is over. A
line is one of:

    {"begin": ...}    `serialization.Beginning`
    {"at", "took", "event", "did", "asks"}
                      milliseconds since the first event until it was received, and from then until
                      it was answered; the event; the actions; `asks_digest` if a model is asked
    {"end": reason}   the connection is over; without it the record is not complete

The write outlives the call. Chunks are written in their order and never change, so a repeated write
changes nothing; a reader sees lost ones as gaps in their numbers. Each is written in the context of
its call, for its trace. No call resumes from records, so they may be lost, and one lane is enough.
Rejected: one item for each event, which is one write for each word of the model.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from contextvars import Context, copy_context
from functools import partial

from agent.call.actions import Speculate, StartReply
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
    """Records one connection; `asks` gives `asks_digest` of now, `keep` takes a chunk."""

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
        if self._began_at is None:
            self._began_at = moment.received_at
        line: Form = {
            "at": round(1000 * (moment.received_at - self._began_at), 1),
            "took": round(1000 * (moment.done_at - moment.received_at), 1),
            "event": event_form(moment.event),
            "did": self._forms.write(moment.actions),
        }
        if any(isinstance(action, StartReply | Speculate) for action in moment.actions):
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
        self.queue = WriteBehindQueue(
            name="records",
            most=MOST_CHARACTERS,
            on_waiting=lambda size: count("agent_record_characters_waiting", size),
            on_lost=lambda lines, why: count("agent_record_lines_lost_total", lines, reason=why),
        )
        self._lane = QueueLane(self.queue, self._write)

    def open(
        self, call_sid: str, generation: int, beginning: Beginning, asks: Callable[[], str]
    ) -> CallRecorder:
        return CallRecorder(beginning, asks, partial(self._keep, call_sid, generation))

    def _keep(self, call_sid: str, generation: int, number: int, lines: list[str]) -> None:
        key, chunk = (call_sid, generation, number), (lines, copy_context())
        self._lane.add(key, chunk, size=sum(map(len, lines)), amount=len(lines))

    async def _write(
        self, key: tuple[str, int, int], chunk: tuple[list[str], Context], _may_wait: bool
    ) -> None:
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
    """The records of this process, none for 0 days; what waits is written on leaving, or lost.

    The clock gives epoch seconds, for expiry.
    """
    if not days:
        yield None
        return
    writer = RecordWriter(store, clock, days, count)
    try:
        yield writer
    finally:
        await writer.queue.close()
