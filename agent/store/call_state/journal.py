"""The journal: facts of calls on their way to the table, one lane of a queue for each call.

The write outlives the call. Rejected: a write task in each session, which would lose facts that
wait when the call ends. Each recording has a greater `sequence` than all before it in the call and
is written by `Store.put_newer`: a late or repeated write undoes nothing. A resumed call begins a
new generation of sequences (`agent.session.resume`).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from itertools import count as count_from

from agent.call.history import AgentSaid, Recorded
from agent.ports import Count, Store, uncounted
from agent.store.call_state.call_item import CALL_SECONDS
from agent.store.call_state.facts import fact_item
from agent.store.write_behind import Chance, QueueLane, QueueOptions, WriteBehindQueue

MOST_FACTS = 100_000
"""Some 100 MB of spoken sentences; facts of the call that has waited longest are dropped first."""
WRITE_DELAY_SECONDS = 0.05
"""A fact that changes again meanwhile is written once; no write competes with the model."""
EARLY_SECONDS = 0.01
"""The same for all facts but speech of the agent, which grows piece by piece: the caller's words
must not be lost with the process."""
OLDEST_SECONDS = 3600.0


class CallJournal:
    """`ports.Journal` of one call; made by `Journals.open`."""

    def __init__(self, lane: QueueLane[int, tuple[Recorded, int]], first_sequence: int) -> None:
        self._lane = lane
        self._sequences = count_from(first_sequence)

    @property
    def unwritten(self) -> int:
        return len(self._lane)

    def record(self, position: int, fact: Recorded) -> None:
        self._lane.add(position, (fact, next(self._sequences)))
        if not isinstance(fact, AgentSaid):
            asyncio.get_running_loop().call_later(EARLY_SECONDS, self._lane.wake)

    async def flush(self, seconds: float) -> int:
        return await self._lane.flush(seconds)


class Journals:
    """All journals of a process; made by `open_journals`. `clock` is in epoch seconds."""

    def __init__(self, store: Store, clock: Callable[[], float], queue: WriteBehindQueue) -> None:
        self._store = store
        self._clock = clock
        self._queue = queue

    def open(self, call_sid: str, started_ms: int, first_sequence: int = 0) -> CallJournal:
        """The journal of one call, which began at `started_ms`, also after a resume.

        The `first_sequence` of a resumed call is the `next_sequence` of `LoadedHistory`.
        """
        lane = QueueLane(self._queue, partial(self._put, call_sid, started_ms))
        return CallJournal(lane, first_sequence)

    async def _put(
        self, call_sid: str, started_ms: int, position: int, recorded: tuple[Recorded, int]
    ) -> None:
        fact, sequence = recorded
        expire_at = int(self._clock()) + CALL_SECONDS
        item = fact_item(call_sid, started_ms, position, fact, sequence, expire_at)
        await self._store.put_newer(item)


@asynccontextmanager
async def open_journals(
    store: Store,
    clock: Callable[[], float],
    count: Count = uncounted,
    chance: Chance = random.uniform,
) -> AsyncIterator[Journals]:
    """The journals of this process; on leaving, what waits is written, or lost and counted."""
    options = QueueOptions(
        name="journal",
        most=MOST_FACTS,
        on_waiting=lambda facts: count("agent_journal_facts_waiting", facts),
        on_lost=lambda facts, why: count("agent_journal_facts_lost_total", facts, reason=why),
        on_delayed=lambda calls: count("agent_journal_calls_delayed", calls),
        delay_seconds=WRITE_DELAY_SECONDS,
        oldest_seconds=OLDEST_SECONDS,
        chance=chance,
    )
    queue = WriteBehindQueue(options)
    try:
        yield Journals(store, clock, queue)
    finally:
        await queue.close()
