"""Conversations recorded as a session would, to a table in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from agent.call.actions import Action
from agent.call.config import CallConfig
from agent.call.events import EndReason, Event
from agent.call.resumption import Resumption
from agent.observability.call_summary import VersionStamp
from agent.observability.recording.record_writer import open_records
from agent.observability.recording.serialization import (
    RECORD,
    Beginning,
    RecordedConnection,
    read_chunks,
)
from agent.ports import Item
from agent.store.memory import MemoryStore
from tests.fakes import moment

NOW = 1_772_733_600.5
STAMP = VersionStamp("pizza", 3, "scripted:", "p0", "t0", "c0")
ADA_CALLS = {"CallSid": "CA1", "From": "+15550100001", "To": "+15550100000"}


ASKS = "a0"


def beginning(brief: CallConfig, resumption: Resumption | None = None) -> Beginning:
    """With what a line began."""
    return Beginning(brief, resumption, STAMP, int(NOW * 1000), ADA_CALLS)


@dataclass(slots=True)
class Tape:
    """One line of a call as it was."""

    beginning: Beginning
    seen: list[tuple[Event, Sequence[Action], float]] = field(default_factory=list)
    """Each event, what was done, and the seconds since the event before."""


async def taped(tapes: Sequence[Tape]) -> list[RecordedConnection]:
    """These lines after they were in the table."""
    return read_chunks(await chunks(tapes))


async def chunks(tapes: Sequence[Tape]) -> list[Item]:
    """The items of the record with these lines."""
    store = MemoryStore()
    await write(store, tapes)
    return await store.query("CA1", RECORD)


async def write(store: MemoryStore, tapes: Sequence[Tape]) -> None:
    """Record these lines of one call."""
    async with open_records(store, lambda: NOW, 7) as writer:
        assert writer is not None
        for generation, tape in enumerate(tapes):
            recorder = writer.open("CA1", generation, tape.beginning, lambda: ASKS)
            for event, actions, seconds in tape.seen:
                await asyncio.sleep(seconds)  # of virtual time
                now = asyncio.get_running_loop().time()
                recorder.observe(moment(event, actions, now))
            recorder.ended(EndReason.CALLER_HANGUP)
