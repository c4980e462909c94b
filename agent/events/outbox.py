"""The outbox: an item for each event and receiver, in the partition of its call.

    pk  CallSid                                pk1  outbox::<shard>
    sk  event::<receiver>::<order>::<id>       sk1  <due, ms>::<id>

`order` is the time of writing in microseconds, so a call's events of one receiver are read in their
order. Only what waits is in the index, by when it is next due; a sweep of it finds the events of
processes that are gone. The shard is made of the call, so that no partition of the index has all
writes. A dead letter is in another partition of the index. A delivered event stays for a week, to
be listed and sent again.

Items are written with a `sequence`, so that a late write of a process that stalled never takes a
delivery back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from zlib import crc32

import msgspec
import structlog

from agent.ports import Item, Store
from agent.usecases.call_events import CallEvent
from agent.usecases.receivers import Receiver
from agent.usecases.validation import text_in

log = structlog.get_logger(__name__)

SHARDS = 8
KEPT_SECONDS = 7 * 24 * 3600
GRACE_SECONDS = 15.0
"""How long the process that wrote an event has for it before others look."""
_PREFIX = "event::"
_LAST_WRITE = 1_000_000
"""In the sequence of an item: that of a delivery or a death, after which none is later."""
_ROUND = 2 * _LAST_WRITE
_encode = msgspec.json.encode


class EventState(StrEnum):
    """What has become of an event."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    DEAD = "dead"


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event for one receiver, as it is in the table."""

    call: str
    receiver: str
    id: str
    kind: str
    order: str
    written_at: float
    """Epoch seconds."""
    body: str
    """The payload as it is sent."""
    state: EventState = EventState.WAITING
    due_at: float = 0.0
    """Epoch seconds; when it is to be sent, at the earliest."""
    since: float = 0.0
    """Epoch seconds; from when it is tried, a day long."""
    attempts: int = 0
    writes: int = 0
    """How often its item was replaced in this round."""
    round: int = 0
    """How often it was sent again by hand."""
    error: str = ""
    """Of the last attempt."""

    @property
    def sk(self) -> str:
        return f"{_PREFIX}{self.receiver}::{self.order}::{self.id}"

    def item(self) -> Item:
        """The item of the table."""
        last = self.writes if self.state is EventState.WAITING else _LAST_WRITE
        placed: Item = {}
        if self.state is not EventState.DELIVERED:
            placed = {
                "pk1": index_key(self.state, shard_of(self.call)),
                "sk1": f"{index_time(self.due_at)}::{self.id}",
            }
        return {
            "pk": self.call,
            "sk": self.sk,
            **placed,
            "receiver": self.receiver,
            "eventId": self.id,
            "kind": self.kind,
            "order": self.order,
            "writtenMs": int(self.written_at * 1000),
            "body": self.body,
            "state": self.state,
            "dueMs": int(self.due_at * 1000),
            "sinceMs": int(self.since * 1000),
            "attempts": self.attempts,
            "writes": self.writes,
            "round": self.round,
            "error": self.error,
            "sequence": self.round * _ROUND + last,
            "expireAt": int(self.since) + KEPT_SECONDS,
        }

    def is_ready(self, now: float) -> bool:
        """Whether it may be sent; one that was never tried may at once."""
        return not self.attempts or self.due_at <= now

    def again(self, now: float) -> StoredEvent:
        """The same, to be sent once more; it dies a day after `now`, as a new one."""
        return replace(
            self,
            state=EventState.WAITING,
            due_at=now,
            since=now,
            attempts=0,
            writes=0,
            round=self.round + 1,
            error="",
        )


def stored_event(item: Mapping[str, object]) -> StoredEvent:
    """An event of its item."""
    return StoredEvent(
        call=text_in(item, "pk"),
        receiver=text_in(item, "receiver"),
        id=text_in(item, "eventId"),
        kind=text_in(item, "kind"),
        order=text_in(item, "order"),
        written_at=_whole(item, "writtenMs") / 1000,
        body=text_in(item, "body"),
        state=EventState(text_in(item, "state")),
        due_at=_whole(item, "dueMs") / 1000,
        since=_whole(item, "sinceMs") / 1000,
        attempts=_whole(item, "attempts"),
        writes=_whole(item, "writes"),
        round=_whole(item, "round"),
        error=text_in(item, "error"),
    )


def shard_of(call: str) -> int:
    """The part of the index in which the events of a call wait."""
    return crc32(call.encode()) % SHARDS


def index_time(at: float) -> str:
    """The beginning of a sort key of the index: a time, which texts order as numbers do."""
    return f"{int(at * 1000):014d}"


def index_key(state: EventState, shard: int) -> str:
    """The partition of the index in which events wait, or are dead."""
    return f"{'outbox' if state is EventState.WAITING else 'outbox-dead'}::{shard}"


async def events_of_call(store: Store, call: str, receiver: str = "") -> list[StoredEvent]:
    """The events of a call in their order, perhaps of one receiver. Raises `StoreError`."""
    prefix = f"{_PREFIX}{receiver}::" if receiver else _PREFIX
    found = map(stored_event, await store.query(call, prefix))
    return sorted(found, key=lambda event: (event.order, event.receiver))


class TableOutbox:
    """`Outbox` in the table; `on_items` is called with a call and a receiver that has an event."""

    def __init__(
        self,
        store: Store,
        clock: Callable[[], float],
        on_items: Callable[[str, str], object] = lambda *_: None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._on_items = on_items
        self.receivers: tuple[Receiver, ...] = ()

    def wants(self, kind: str, use_case: str = "") -> bool:
        wanting = (each for each in self.receivers if each.wants(kind))
        return any(not use_case or each.wants_of(use_case, kind) for each in wanting)

    def items(self, event: CallEvent, content: object = "") -> Sequence[Item]:
        made = self._made(event, content)
        self._announce(made)
        return made

    async def tell(self, event: CallEvent, content: object = "") -> None:
        if made := self._made(event, content):
            mark: Item = {
                "pk": event.call,
                "sk": f"told::{event.identifier(content)}",
                "expireAt": int(self._clock()) + KEPT_SECONDS,
            }
            if await self._store.put(mark, only_if_absent=True, beside=made):
                self._announce(made)

    def _announce(self, items: Sequence[Item]) -> None:
        for item in items:
            self._on_items(text_in(item, "pk"), text_in(item, "receiver"))

    def _made(self, event: CallEvent, content: object) -> Sequence[Item]:
        wanting = [
            each for each in self.receivers if each.wants_of(event.use_case, event.full_kind)
        ]
        if not wanting:
            return ()
        now, identifier = self._clock(), event.identifier(content)
        order = f"{int(now * 1_000_000):016d}{event.rank}"
        made = list[Item]()
        for receiver in wanting:
            data = event.data(with_personal=receiver.personal_fields)
            stored = StoredEvent(
                call=event.call,
                receiver=receiver.name,
                id=identifier,
                kind=event.full_kind,
                order=order,
                written_at=now,
                body=body_of(identifier, event.full_kind, now, data),
                due_at=now + GRACE_SECONDS,
                since=now,
            )
            made.append(stored.item())
        return made


def body_of(identifier: str, kind: str, at: float, data: Mapping[str, object]) -> str:
    """The payload as it is sent: id, type, time and `data`, JSON."""
    when = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
    payload = {"id": identifier, "type": kind, "timestamp": when.replace("+00:00", "Z")}
    return _encode({**payload, "data": data}).decode()


def _whole(item: Mapping[str, object], name: str) -> int:
    value = item.get(name)
    return value if isinstance(value, int) else 0
