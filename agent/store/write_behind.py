"""A write-behind queue: items on their way to the table, off the path of the calls.

- Of one lane there is one write at a time, in the order in which items were added; an item added
  again under its key before it is written replaces the earlier one. Rejected: one lane for all
  calls, where one item that fails delays all.
- An item says when it is due, and takes along all that waits in its lane. One timer serves all
  lanes; those due within `_TOGETHER_SECONDS` begin with it, so that a table can write them
  together. A lane has a task only while it writes.
- While the table fails, the first item of a lane is tried again, after 0.5 s at first and 4-6 s in
  the end. An item that is refused for ever, or whose write crashes, is dropped at once.
- If more than `most` waits, the oldest item of the lane that has waited longest is dropped; so is
  an item that could not be written for `oldest_seconds`. What is lost is counted by its reason, and
  logged when its lane is empty again, without its content.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from contextlib import suppress
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count as count_from
from math import inf
from typing import Any, Generic, Literal, TypeVar

import structlog

from agent.errors import StoreError, StoreRefusedError

log = structlog.get_logger(__name__)

WRITES_AT_ONCE = 32
CLOSE_SECONDS = 3.0
"""How long the end of the process waits for a last attempt."""
_TOGETHER_SECONDS = 0.05
_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 4.0
_JITTER = 1.5
"""A pause is between its length and so many times that: lanes that failed together spread."""

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
Chance = Callable[[float, float], float]
Loss = Literal["refused", "crashed", "too_many", "too_old", "stopped"]


@dataclass(eq=False, slots=True)
class WriteBehindQueue:
    """All lanes of one kind in a process, with their common bound."""

    name: str
    most: int
    """Total size that may wait."""
    on_waiting: Callable[[int], object]
    """Called with the total size that waits."""
    on_lost: Callable[[int, Loss], object]
    on_delayed: Callable[[int], object] = lambda _: None
    """Called with the number of lanes whose table has failed."""
    oldest_seconds: float = inf
    chance: Chance = min
    turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(WRITES_AT_ONCE))
    is_closed: bool = field(default=False, init=False)
    _lanes: dict[QueueLane[Any, Any], None] = field(default_factory=dict, init=False)
    """Lanes with items, the one that has waited longest first."""
    _waiting: int = field(default=0, init=False)
    _delayed: int = field(default=0, init=False)
    _is_full: bool = field(default=False, init=False)
    _due: list[tuple[float, int, QueueLane[Any, Any]]] = field(default_factory=list, init=False)
    """A heap of lanes and when they are to begin; out of date if the lane has another time."""
    _serials: count_from[int] = field(default_factory=count_from, init=False)
    _timer: asyncio.TimerHandle | None = field(default=None, init=False)
    _timer_at: float = field(default=inf, init=False)
    """Kept here: uvloop forgets it as soon as the timer is due."""
    _drained: asyncio.Event | None = field(default=None, init=False)

    def holds(self, lane: QueueLane[Any, Any]) -> bool:
        """Whether something waits in a lane that will still be tried."""
        return lane in self._lanes

    def begin_at(self, at: float, lane: QueueLane[Any, Any]) -> None:
        """Have a lane begin to write at this time of the loop's clock."""
        heappush(self._due, (at, next(self._serials), lane))
        if at < self._timer_at:
            self._set_timer()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        loop = asyncio.get_running_loop()
        self._timer, self._timer_at = None, inf
        if self._due:  # of no call: outside of the trace and the log fields of the one that adds
            self._timer_at = self._due[0][0]
            self._timer = loop.call_at(self._timer_at, self._begin_due, context=Context())

    def _begin_due(self) -> None:
        until = asyncio.get_running_loop().time() + _TOGETHER_SECONDS
        while self._due and self._due[0][0] <= until:
            at, _, lane = heappop(self._due)
            if lane.due == at and lane.writer is None:
                lane.begin()
        self._set_timer()

    def resize(self, lane: QueueLane[Any, Any], size: int) -> None:
        """So much more, or less, waits in a lane; drops what is too much."""
        self._count(size)
        if len(lane):
            self._lanes.setdefault(lane)
        else:
            del self._lanes[lane]
            if self._drained is not None and not self._lanes:
                self._drained.set()
        if self._waiting < self.most // 2:
            self._is_full = False
        while self._waiting > self.most:
            if not self._is_full:
                log.error("write_queue.filled", queue=self.name, most=self.most)
            self._is_full = True
            next(iter(self._lanes)).drop_oldest()

    def delay(self, lanes: int) -> None:
        """So many lanes more, or less, have a table that fails."""
        self._delayed += lanes
        self.on_delayed(self._delayed)

    async def close(self) -> None:
        """Try a last time to write all that waits; what is added from now on is lost."""
        self.is_closed = True
        for lane in list(self._lanes):
            lane.hurry()
        if self._lanes:
            self._drained = asyncio.Event()
            with suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_SECONDS):
                    await self._drained.wait()
        if late := {lane.writer for lane in self._lanes if lane.writer is not None}:
            for writer in late:
                writer.cancel()
            await asyncio.wait(late)
        if amount := sum(lane.amount for lane in self._lanes):
            self.on_lost(amount, "stopped")
            lanes = len(self._lanes)
            log.error("write_queue.items_lost", queue=self.name, items=amount, lanes=lanes)
        self._lanes.clear()
        self._due.clear()
        self._set_timer()
        self._count(-self._waiting)

    def _count(self, size: int) -> None:
        self._waiting += size
        self.on_waiting(self._waiting)


@dataclass(eq=False, slots=True)
class _Entry(Generic[V]):
    value: V
    size: int
    amount: int
    since: float


class QueueLane(Generic[K, V]):
    """Items that are written one after another by `write`, which raises `StoreError`.

    It is called with the key, the item, and whether the write may wait, as nothing waits for it: no
    other item, no flush, no end of the process.
    """

    def __init__(
        self, queue: WriteBehindQueue, write: Callable[[K, V, bool], Awaitable[object]]
    ) -> None:
        self.writer: asyncio.Task[None] | None = None
        """While it writes."""
        self.due = inf
        """When it is to begin, or to go on."""
        self._queue = queue
        self._write = write
        self._entries: dict[K, _Entry[V]] = {}
        self._failures = 0
        self._is_delayed = False
        self._lost = 0
        self._context = Context()
        """Of the call that adds, for its trace and its log lines."""
        self._emptied: asyncio.Event | None = None
        """While a flush waits."""

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def amount(self) -> int:
        """What is lost if nothing more can be written."""
        return sum(entry.amount for entry in self._entries.values())

    def add(
        self, key: K, value: V, *, size: int = 1, amount: int = 1, due: float | None = None
    ) -> None:
        """Have an item written; `size` counts for the bound, `amount` is lost with it.

        `due` is a time of the loop's clock, until which it may change again; None means now. While
        a `flush` waits everything is due, and while the table fails the pause is.
        """
        if self._queue.is_closed and not self._queue.holds(self):
            self._queue.on_lost(amount, "stopped")
            return
        if not self._entries:
            self._context = copy_context()
        before = self._entries.get(key)
        now = asyncio.get_running_loop().time()
        self._entries[key] = _Entry(value, size, amount, now)
        self._queue.resize(self, size - before.size if before else size)
        if not self._failures:
            self._begin_until(now if due is None or self._emptied is not None else due)

    async def flush(self, seconds: float) -> int:
        """Write at once and wait for it, at most so long; returns how many items are not written.

        An item added meanwhile is waited for as well.
        """
        self.hurry()
        if self._entries:
            self._emptied = self._emptied or asyncio.Event()
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._emptied.wait()
        return len(self._entries)

    def hurry(self) -> None:
        """Try now, and then as often as at first."""
        if self._entries:
            self._failures = 0
            self._begin_until(asyncio.get_running_loop().time())

    def begin(self) -> None:
        """Write all that waits; called by the queue when it is due."""
        self.due = inf
        if self._entries:
            self.writer = asyncio.create_task(
                self._write_all(), name=self._queue.name, context=self._context
            )
        else:  # all was dropped
            self._context.run(self._settle)

    def drop_oldest(self) -> None:
        """Drop the item that was added first, because too many wait."""
        self._drop(*next(iter(self._entries.items())), "too_many")

    def _begin_until(self, at: float) -> None:
        if at < self.due:
            self.due = at
            if self.writer is None:
                self._queue.begin_at(at, self)

    async def _write_all(self) -> None:
        try:
            oldest = asyncio.get_running_loop().time() - self._queue.oldest_seconds
            for key, entry in list(self._entries.items()):
                if entry.since <= oldest:
                    self._drop(key, entry, "too_old")
            for key in list(self._entries):
                if not await self._write_in_turn(key):
                    self.due = asyncio.get_running_loop().time() + self._pause_seconds()
                    break
        finally:
            self.writer = None
        if not self._entries:
            self._settle()
            return
        if self.due == inf:  # added while the table failed
            self.due = asyncio.get_running_loop().time()
        self._queue.begin_at(self.due, self)

    def _settle(self) -> None:
        """Nothing waits any more; say what happened to what did."""
        self.due = inf
        self._failures = 0
        if self._is_delayed:
            self._is_delayed = False
            self._queue.delay(-1)
            log.info("write_queue.caught_up", queue=self._queue.name)
        if self._lost:
            log.error("write_queue.items_lost", queue=self._queue.name, items=self._lost)
            self._lost = 0

    def _pause_seconds(self) -> float:
        longer = _FIRST_PAUSE_SECONDS * 2.0 ** min(self._failures - 1, 10)
        seconds = min(longer, _LONGEST_PAUSE_SECONDS)
        return self._queue.chance(seconds, seconds * _JITTER)

    def _may_wait(self) -> bool:
        return len(self._entries) == 1 and self._emptied is None and not self._queue.is_closed

    async def _write_in_turn(self, key: K) -> bool:
        """Write the item of a key, if it still waits; false if the table fails."""
        async with self._queue.turns:
            if (entry := self._entries.get(key)) is None:
                return True
            name = self._queue.name
            try:
                await self._write(key, entry.value, self._may_wait())
            except StoreRefusedError:
                log.error("write_queue.item_refused", queue=name, key=key)
                self._drop(key, entry, "refused")
            except StoreError as error:
                self._failures += 1
                if not self._is_delayed:
                    self._is_delayed = True
                    self._queue.delay(1)
                    log.warning("write_queue.delayed", queue=name, error=type(error).__name__)
                return False
            except Exception:  # the write boundary: an error of ours must not stop the lane
                log.exception("write_queue.write_crashed", queue=name)
                self._drop(key, entry, "crashed")
            self._failures = 0
            self._take_off(key, entry)
            return True

    def _take_off(self, key: K, entry: _Entry[V]) -> bool:
        """Remove an item; false if it was replaced or dropped meanwhile."""
        if self._entries.get(key) is not entry:
            return False
        del self._entries[key]
        self._queue.resize(self, -entry.size)
        if not self._entries and self._emptied is not None:
            self._emptied.set()
            self._emptied = None
        return True

    def _drop(self, key: K, entry: _Entry[V], reason: Loss) -> None:
        if self._take_off(key, entry):
            self._lost += entry.amount
            self._queue.on_lost(entry.amount, reason)
