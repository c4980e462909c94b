"""Sends the events of the outbox: at once in the process that wrote them, else in any other.

- A lane is one call and one receiver. Its events are sent in their order, one at a time; one that
  fails holds back those behind it. Other lanes go on.
- A process works on a lane while it holds the lane's lease, an item of the table that expires. A
  killed process loses it within `DeliveryTimes.lease`; a sweep of the index then finds its events.
  An event whose delivery was not recorded is sent again, with the same id.
- A failed event is tried again for a day, after pauses that grow; then it is a dead letter, and the
  next event of its lane follows.
- What is in memory is bounded: `_MOST_LANES` of a receiver, of which `_AT_ONCE` send, so one that
  hangs delays no other receiver. A lane for which there is no room is left to a sweep.
- Nothing here is awaited by a call.

Rejected: a task for each event that waits, which would be unbounded while a receiver is down; one
queue for all receivers, which the slowest would delay.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from random import uniform

import structlog

from agent.errors import StoreError, UseCaseError
from agent.events.outbox import (
    SHARDS,
    EventState,
    StoredEvent,
    TableOutbox,
    events_of_call,
    index_key,
    index_time,
    stored_event,
)
from agent.events.webhooks import DeliveryError, EventSender
from agent.ports import Count, Item, Store
from agent.usecases.receivers import RECEIVERS_KEY, Receiver, receivers_of
from agent.usecases.validation import text_in

log = structlog.get_logger(__name__)

_MOST_LANES = 200
_AT_ONCE = 16
_PAGE = 50
"""Events that a sweep reads of each shard."""
_Lane = tuple[str, str]
"""A call, and the name of a receiver."""


@dataclass(frozen=True, slots=True)
class DeliveryTimes:
    """Seconds."""

    wake: float = 0.25
    """From the making of an item to the first look: it is written meanwhile."""
    first_retry: float = 5.0
    growth: float = 3.0
    """Of each pause over the one before; no unit."""
    longest_retry: float = 4 * 3600.0
    give_up: float = 24 * 3600.0
    lease: float = 60.0
    send: float = 15.0
    """At most, with the record of it; a lease with less left is given up."""
    sweep: float = 10.0
    refresh: float = 30.0
    """Between two reads of the receivers."""
    refresh_again: float = 2.0
    """After one that failed: meanwhile events may have no receiver."""
    close: float = 5.0


class EventDelivery:
    """What one process sends; made and run by `running`."""

    def __init__(
        self,
        store: Store,
        clock: Callable[[], float],
        count: Count,
        sender_of: Callable[[Receiver], EventSender],
        times: DeliveryTimes = DeliveryTimes(),
    ) -> None:
        self.outbox = TableOutbox(store, clock, self._expect)
        self._store = store
        self._clock = clock
        self._count = count
        self._sender_of = sender_of
        self._times = times
        self._loop = asyncio.get_running_loop()
        self._lanes: dict[_Lane, asyncio.Task[None]] = {}
        self._again: set[_Lane] = set()
        self._crowd = Counter[str]()
        self._slots: dict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(_AT_ONCE))
        self._expected: dict[_Lane, asyncio.TimerHandle] = {}
        self._fault = ""
        self._is_closed = False

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Read the receivers and send until left; what is being sent is then waited for briefly."""
        await self.refresh()
        loops = [
            asyncio.create_task(self._keep_fresh(), name="receivers"),
            asyncio.create_task(self._keep_sweeping(), name="outbox"),
        ]
        try:
            yield
        finally:
            for loop in loops:
                loop.cancel()
            for lane, timer in list(self._expected.items()):
                timer.cancel()
                self.wake(*lane)
            if self._lanes:
                await asyncio.wait(self._lanes.values(), timeout=self._times.close)
            self._is_closed = True
            for task in self._lanes.values():
                task.cancel()
            await asyncio.gather(*loops, *self._lanes.values(), return_exceptions=True)

    async def refresh(self) -> None:
        """Read the receivers; the present ones stay if they cannot be read or are wrong."""
        try:
            self.outbox.receivers = receivers_of(await self._store.get(*RECEIVERS_KEY))
        except (StoreError, UseCaseError) as error:
            if str(error) != self._fault:
                self._fault = str(error)
                log.error("receivers.read_failed", fault=self._fault)
        else:
            self._fault = ""

    async def sweep(self) -> bool:
        """Begin to send what is due, of all processes; whether there may be more of it."""
        now, is_full = self._clock(), False
        oldest = now
        for shard in range(SHARDS):
            key = index_key(EventState.WAITING, shard)
            found = await self._store.query_index(key, first=_PAGE)
            due = [item for item in found if str(item["sk1"]) <= index_time(now)]
            for item in due:
                self.wake(text_in(item, "pk"), text_in(item, "receiver"))
            oldest = min([oldest, *(stored_event(item).since for item in found)])
            is_full |= len(due) == _PAGE
        self._count("agent_event_age_seconds", now - oldest)
        return is_full

    def wake(self, call: str, receiver: str) -> None:
        """Look at a lane now."""
        lane = call, receiver
        self._expected.pop(lane, None)
        if lane in self._lanes:
            self._again.add(lane)
        elif self._crowd[receiver] < _MOST_LANES and not self._is_closed:
            self._crowd[receiver] += 1
            task = self._lanes[lane] = asyncio.create_task(self._work(lane), name="event lane")
            task.add_done_callback(lambda task: self._leave(lane, task))

    def _expect(self, call: str, receiver: str) -> None:
        lane = call, receiver
        if lane not in self._expected:
            self._expected[lane] = self._loop.call_later(self._times.wake, self.wake, *lane)

    def _leave(self, lane: _Lane, task: asyncio.Task[None]) -> None:
        del self._lanes[lane]
        self._crowd[lane[1]] -= 1
        if not task.cancelled() and (error := task.exception()):
            log.error("outbox.lane_crashed", receiver=lane[1], exc_info=error)
        if lane in self._again:
            self._again.discard(lane)
            self.wake(*lane)

    async def _keep_fresh(self) -> None:
        while True:
            await asyncio.sleep(self._times.refresh_again if self._fault else self._times.refresh)
            await self.refresh()

    async def _keep_sweeping(self) -> None:
        is_full = False
        while True:
            pause = self._times.sweep * uniform(0.8, 1.2)  # noqa: S311 no secret
            await asyncio.sleep(pause / 10 if is_full else pause)
            is_full = False
            if not self.outbox.receivers:
                self._count("agent_event_age_seconds", 0)
                continue
            try:
                is_full = await self.sweep()
            except StoreError as error:
                log.warning("outbox.sweep_failed", error=type(error).__name__)

    async def _work(self, lane: _Lane) -> None:
        call, name = lane
        async with self._slots[name]:
            try:
                lease = await self._claim(call, name)
                if lease is None:
                    return
                try:
                    await self._send_all(call, name, lease)
                finally:
                    await self._release(call, name, lease)
            except StoreError as error:  # a sweep finds what is left
                log.warning("outbox.lane_failed", receiver=name, error=type(error).__name__)

    async def _claim(self, call: str, name: str) -> float | None:
        """Until when the lane is ours, epoch seconds; None if another process has it."""
        until = int(self._clock() + self._times.lease)
        lease: Item = {"pk": call, "sk": f"lane::{name}", "expireAt": until}
        return until if await self._store.put(lease, only_if_absent=True) else None

    async def _release(self, call: str, name: str, lease: float) -> None:
        if self._has_time(lease):  # else it may be another's
            await self._store.merge(call, f"lane::{name}", {"expireAt": 1})

    def _has_time(self, lease: float) -> bool:
        return self._clock() + self._times.send < lease

    async def _send_all(self, call: str, name: str, lease: float) -> None:
        """Send the events of a lane until one fails, none is left, or the lease is nearly over."""
        while True:
            events = await events_of_call(self._store, call, name)
            waiting = [event for event in events if event.state is EventState.WAITING]
            if not waiting:
                return
            for number, event in enumerate(waiting):
                if not self._has_time(lease):
                    self._again.add((call, name))
                    return
                held = event
                if event.is_ready(self._clock()):
                    held = await self._send(event)
                if held.state is EventState.WAITING:
                    await self._hold_back(waiting[number + 1 :], held.due_at)
                    return

    async def _send(self, event: StoredEvent) -> StoredEvent:
        """Try once, and write what became of it."""
        name = event.receiver
        after, outcome = replace(event, state=EventState.DELIVERED, error=""), "delivered"
        try:
            receiver = self._receiver(name)
            await self._sender_of(receiver).send(receiver, event.id, event.body)
        except DeliveryError as error:
            after = self._failed(event, error)
            kind, attempts, reason = event.kind, after.attempts, str(error)
            if after.state is EventState.DEAD:
                outcome = "dead"
                log.error(
                    "event.given_up", receiver=name, kind=kind, reason=reason, attempts=attempts
                )
            else:
                outcome = "failed"
                log.warning(
                    "event.delivery_failed",
                    receiver=name,
                    kind=kind,
                    reason=reason,
                    attempts=attempts,
                )
        self._count("agent_events_total", receiver=name, outcome=outcome)
        await self._write(after)
        return after

    async def _write(self, event: StoredEvent) -> None:
        """Write an event, unless it was deleted while it was sent: its caller is forgotten."""
        if await self._store.get(event.call, event.sk) is not None:
            await self._store.put_newer(event.item())

    def _receiver(self, name: str) -> Receiver:
        for receiver in self.outbox.receivers:
            if receiver.name == name:
                return receiver
        raise DeliveryError("there is no such receiver now")

    def _failed(self, event: StoredEvent, error: DeliveryError) -> StoredEvent:
        now, times = self._clock(), self._times
        pause = min(times.first_retry * times.growth**event.attempts, times.longest_retry)
        pause *= uniform(0.8, 1.2)  # noqa: S311 no secret
        is_dead = error.is_final or now + pause > event.since + times.give_up
        return replace(
            event,
            state=EventState.DEAD if is_dead else EventState.WAITING,
            due_at=now if is_dead else now + pause,
            attempts=event.attempts + 1,
            writes=event.writes + 1,
            error=str(error),
        )

    async def _hold_back(self, events: list[StoredEvent], until: float) -> None:
        """Move events behind a failed one out of the way of sweeps."""
        for event in events:
            if event.due_at < until:
                later = replace(event, due_at=until, writes=event.writes + 1)
                await self._write(later)
