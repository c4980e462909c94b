"""Facts of calls on their way to the table: one backlog for the process, one journal for each call.

A session hands a fact over and goes on (`CallJournal.record`); the writing belongs to `Journals`
and so outlives the call. Rules:

- Of one call there is one writing at a time, in the order in which facts were recorded; what
  changes again before it is written is written once. Different calls write at the same time, 32 at
  the most, so that a table that was away is not met by all calls at once.
- Each recording has a greater `sequence` than all before it in the call, and is written by
  `Store.put_newer`: a writing that is late, or repeated after a doubtful answer, undoes nothing. A
  call that goes on in another process begins a new *generation* of a thousand million sequences
  (`agent.store.call_state.history_loader`), above whatever the earlier process may still be
  writing.
- While the table cannot be reached the call goes on from memory, and its writing is tried again,
  after 0.5 s at first and 4-6 s in the end, also when the call is over. There is one line in the
  log when that begins and one when it is over.
- What a table will never take (`StoreRefusedError`) is given up at once, so that it does not stand
  before the facts behind it. So is the one fact at which the writing crashed, for a fault of ours.

**Bounds.** At most 100,000 facts wait in a process (some 100 MB of spoken sentences; 400 MB
if all were the longest results of tools). Beyond that the oldest fact of the call that has waited
longest is dropped: calls in progress, and their latest words, are more likely to be read than the
beginning of one that ended long ago. A fact that could not be written for an hour is dropped. When
the process stops there is one last attempt of a few seconds. What is lost is counted by its reason
and logged once for a call, without its words.

Rejected: a writing task in each session. The facts of a call that ends while the table is away are
then lost after the few seconds its end may take. One queue for all calls would let one item that
does not go hold up all of them.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from itertools import count

import structlog

from agent.call.history import AgentSaid, Recorded
from agent.errors import StoreError, StoreRefusedError
from agent.ports import Count, Store, uncounted
from agent.store.call_state.call_item import CALL_SECONDS
from agent.store.call_state.facts import fact_item
from agent.store.write_behind import Loss, WriteBehindQueue

log = structlog.get_logger(__name__)

WRITE_DELAY_SECONDS = 0.05
"""Between a fact and its writing: what changes again meanwhile is written once, and not in the
moment in which the caller waits for the model to be asked."""
EARLY_SECONDS = 0.01
"""The same for what does not grow piece by piece, as speech does: the caller's words cannot be had
again should the process die. By then the model has been asked."""
CLOSE_SECONDS = 3.0
"""How long the end of the process waits for facts to be written."""
OLDEST_SECONDS = 3600.0
_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 4.0
_JITTER = 1.5
"""A pause is between its length and so many times that: calls that failed together spread."""

Chance = Callable[[float, float], float]
"""A number between two others."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """A fact that waits."""

    fact: Recorded
    sequence: int
    since: float
    """On the loop's clock."""


class CallJournal:
    """`ports.Journal` of one call; made by `Journals.open`.

    Args:
        backlog: Of the process.
        employ: Starts `write_all` as a task, unless it runs.
        put: Writes one fact: position, fact, sequence.
        chance: Spreads the attempts of many calls.
        first_sequence: Of the first fact that is recorded.
    """

    def __init__(
        self,
        backlog: WriteBehindQueue,
        employ: Callable[[CallJournal], None],
        put: Callable[[int, Recorded, int], Awaitable[object]],
        chance: Chance,
        first_sequence: int,
    ) -> None:
        self._backlog = backlog
        self._employ = employ
        self._put = put
        self._chance = chance
        self._sequences = count(first_sequence)
        self._unwritten: dict[int, _Entry] = {}
        self._in_hand: tuple[int, _Entry] | None = None
        self._failures = 0
        self._is_delayed = False
        self._lost = 0
        self._is_hurried = asyncio.Event()
        self._is_written = asyncio.Event()
        self._is_written.set()

    @property
    def unwritten(self) -> int:
        """How many facts wait."""
        return len(self._unwritten)

    def record(self, position: int, fact: Recorded) -> None:
        """See `ports.Journal`."""
        is_new = position not in self._unwritten
        now = asyncio.get_running_loop().time()
        self._unwritten[position] = _Entry(fact, next(self._sequences), now)
        self._is_written.clear()
        if is_new:
            self._backlog.add(self)
        self._employ(self)
        if not isinstance(fact, AgentSaid):
            asyncio.get_running_loop().call_later(EARLY_SECONDS, self._is_hurried.set)

    async def flush(self, seconds: float) -> int:
        """See `ports.Journal`; tries at once, whenever the last attempt was."""
        self.hurry()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._is_written.wait()
        return len(self._unwritten)

    def hurry(self) -> None:
        """Try now, and then as often as in the beginning."""
        if self._unwritten:
            self._failures = 0
            self._is_hurried.set()

    def drop_oldest(self, reason: Loss) -> None:
        """Give up the fact that was recorded first."""
        position, entry = next(iter(self._unwritten.items()))
        self._drop(position, entry, reason)

    def recover(self) -> None:
        """Go on after a crash, without the fact at which it happened."""
        if self._in_hand is not None:
            self._drop(*self._in_hand, "crashed")
        if self._unwritten:
            self._employ(self)
        else:
            self._settle()

    async def write_all(self) -> None:
        """Write facts until there is none."""
        while self._unwritten:
            await self._pause()
            self._drop_aged()
            for position in list(self._unwritten):
                if not await self._write(position):
                    break
        self._settle()

    async def _pause(self) -> None:
        seconds = WRITE_DELAY_SECONDS
        if self._failures:
            longer = _FIRST_PAUSE_SECONDS * 2.0 ** min(self._failures - 1, 10)
            seconds = min(longer, _LONGEST_PAUSE_SECONDS)
            seconds = self._chance(seconds, seconds * _JITTER)
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._is_hurried.wait()
        self._is_hurried.clear()

    async def _write(self, position: int) -> bool:
        """Write what waits at a position, if it still does; false if the table is away."""
        async with self._backlog.turns:
            entry = self._unwritten.get(position)
            return entry is None or await self._write_now(position, entry)

    async def _write_now(self, position: int, entry: _Entry) -> bool:
        self._in_hand = (position, entry)
        try:
            await self._put(position, entry.fact, entry.sequence)
        except StoreRefusedError:
            log.error("journal.refused", position=position)
            self._drop(position, entry, "refused")
        except StoreError as error:
            self._note_failure(error)
            self._in_hand = None
            return False
        self._failures = 0
        self._in_hand = None
        self._take_off(position, entry)
        return True

    def _take_off(self, position: int, entry: _Entry) -> bool:
        """This waits no longer; false if it had been replaced or dropped meanwhile."""
        if self._unwritten.get(position) is not entry:
            return False
        del self._unwritten[position]
        self._backlog.remove(self)
        if not self._unwritten:
            self._is_written.set()
        return True

    def _drop(self, position: int, entry: _Entry, reason: Loss) -> None:
        if self._take_off(position, entry):
            self._lost += 1
            self._backlog.lose(1, reason)

    def _drop_aged(self) -> None:
        oldest = asyncio.get_running_loop().time() - OLDEST_SECONDS
        for position, entry in list(self._unwritten.items()):
            if entry.since <= oldest:
                self._drop(position, entry, "too_old")

    def _note_failure(self, error: StoreError) -> None:
        self._failures += 1
        if not self._is_delayed:
            self._is_delayed = True
            self._backlog.delay(1)
            log.warning("journal.delayed", error=type(error).__name__)

    def _settle(self) -> None:
        """Nothing waits any more: say so if it was ever otherwise."""
        if self._is_delayed:
            self._is_delayed = False
            self._backlog.delay(-1)
            log.info("journal.caught_up")
        if self._lost:
            log.error("journal.lost", facts=self._lost)
            self._lost = 0


class Journals:
    """All journals of a process; made by `open_journals`.

    Args:
        store: The table; outlives this.
        clock: Epoch seconds, for expiry.
        count: For facts that wait and facts that are lost.
        chance: Spreads the attempts of many calls.
    """

    def __init__(
        self, store: Store, clock: Callable[[], float], count: Count, chance: Chance
    ) -> None:
        self._store = store
        self._clock = clock
        self._chance = chance
        self._backlog = WriteBehindQueue(count)
        self._writers: dict[CallJournal, asyncio.Task[None]] = {}
        self._is_closed = False

    def open(self, call_sid: str, started_ms: int, first_sequence: int = 0) -> CallJournal:
        """The journal of one call.

        Args:
            call_sid: The partition.
            started_ms: Epoch milliseconds, the same for all of the call, also after a resume.
            first_sequence: Of a call that was resumed: greater than all before, see
                `agent.store.call_state.history_loader.ReadBack.next_sequence`.
        """
        put = partial(self._put, call_sid, started_ms)
        return CallJournal(self._backlog, self._employ, put, self._chance, first_sequence)

    async def close(self) -> None:
        """Try a last time to write all that waits; what is recorded from now on is lost."""
        self._is_closed = True
        for journal in list(self._backlog.journals):
            journal.hurry()
        if writers := set(self._writers.values()):
            _, late = await asyncio.wait(writers, timeout=CLOSE_SECONDS)
            for writer in late:
                writer.cancel()
            if late:
                await asyncio.wait(late)
        if self._backlog.facts:
            self._backlog.lose(self._backlog.facts, "stopped")
            calls = len(self._backlog.journals)
            log.error("journal.lost", facts=self._backlog.facts, calls=calls)

    async def _put(
        self, call_sid: str, started_ms: int, position: int, fact: Recorded, sequence: int
    ) -> None:
        expire_at = int(self._clock()) + CALL_SECONDS
        item = fact_item(call_sid, started_ms, position, fact, sequence, expire_at)
        await self._store.put_newer(item)

    def _employ(self, journal: CallJournal) -> None:
        writer = self._writers.get(journal)
        if writer is not None and not writer.done():
            return
        if self._is_closed:
            journal.drop_oldest("stopped")
            return
        writer = asyncio.create_task(journal.write_all(), name="journal")
        self._writers[journal] = writer
        writer.add_done_callback(partial(self._dismiss, journal))

    def _dismiss(self, journal: CallJournal, writer: asyncio.Task[None]) -> None:
        if self._writers.get(journal) is writer:
            del self._writers[journal]
        if not writer.cancelled() and (error := writer.exception()) is not None:
            log.error("journal.crashed", exc_info=error)
            journal.recover()


@asynccontextmanager
async def open_journals(
    store: Store,
    clock: Callable[[], float],
    count: Count = uncounted,
    chance: Chance = random.uniform,
) -> AsyncIterator[Journals]:
    """The journals of this process; on leaving, what waits is written, or lost and counted."""
    journals = Journals(store, clock, count, chance)
    try:
        yield journals
    finally:
        await journals.close()
