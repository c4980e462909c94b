"""Hand-written stand-ins; each passes the contract suite of the port it stands in for."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy

from agent.call.actions import Action
from agent.call.events import Event
from agent.errors import MessageError, MessageRefusal, MessageRefusedError, StoreRefusedError
from agent.ports import Channel, Item, Key, Mail, ObservedStep, TextMessage
from agent.tools import TOOLS, HttpTools, ToolRegistry
from agent.tools.http.http_messages import HttpResponse
from agent.tools.http.outbound_http import HttpRequest, UnreachableError
from agent.usecases.host_allowlist import HostAllowlist
from agent.usecases.validation import ITEM_BYTES, keys, sequence, size_error


class Clock:
    """Seconds, moved by hand; of the epoch where it matters."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds

    def __call__(self) -> float:
        return self.seconds


class Counted:
    """`ports.Count` that keeps what it is given."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, float, dict[str, str]]] = []

    def __call__(self, metric: str, amount: float = 1, /, **labels: str) -> None:
        self.seen.append((metric, amount, labels))

    def amounts(self, metric: str, **labels: str) -> list[float]:
        """All amounts of one series."""
        return [amount for name, amount, has in self.seen if (name, has) == (metric, labels)]

    def value(self, metric: str, **labels: str) -> float:
        """The sum of a counter, or the last value of a gauge; 0 if there is none."""
        amounts = self.amounts(metric, **labels)
        return sum(amounts) if metric.endswith("_total") else (amounts or [0.0])[-1]

    def by(self, label: str, metric: str) -> dict[str, float]:
        """The value for each value of the metric's one label."""
        found = {has[label] for name, _, has in self.seen if name == metric}
        return {each: self.value(metric, **{label: each}) for each in found}


def moment(
    event: Event, actions: Sequence[Action], at: float, done_at: float = 0.0
) -> ObservedStep:
    """What an observer sees of an event; it is answered at once unless the test says otherwise."""
    return ObservedStep(event, at, [(action, max(at, done_at)) for action in actions])


class Nowhere:
    """`requests.Sender` without a way out."""

    hosts = HostAllowlist()

    async def send(self, request: HttpRequest, seconds: float) -> HttpResponse:
        raise UnreachableError("there is no way out")


UNREACHABLE: Mapping[Channel, str] = {"sms": "TWILIO_ACCOUNT_SID", "email": "SENDGRID_API_KEY"}
"""What a service lacks that is not configured for messages."""

TOOL_REGISTRY = ToolRegistry(TOOLS, UNREACHABLE, HttpTools(Nowhere(), {}))
"""All that is built in, in a process that sends no requests."""


class MemoryStore:
    """`ports.Store` in a dictionary; nothing expires unless it is given a clock."""

    def __init__(self, now: Callable[[], float] = lambda: 0.0) -> None:
        self._now = now
        self._items: dict[Key, Item] = {}

    async def get(self, pk: str, sk: str) -> Item | None:
        return deepcopy(self._there((pk, sk)))

    async def get_many(self, keys: Sequence[Key]) -> list[Item | None]:
        return [await self.get(*key) for key in keys]

    async def put(self, item: Item, *, only_if_absent: bool = False) -> bool:
        if only_if_absent and self._there(keys(item)) is not None:
            return False
        self._write(item)
        return True

    async def put_newer(self, item: Item, *, may_wait: bool = False) -> bool:
        there = self._there(keys(item))
        if there is not None and sequence(there) >= sequence(item):
            return False
        self._write(item)
        return True

    async def merge(self, pk: str, sk: str, attributes: Mapping[str, object]) -> None:
        self._write({**(self._there((pk, sk)) or {}), **attributes, "pk": pk, "sk": sk})

    async def query(self, pk: str, sk_prefix: str = "") -> list[Item]:
        return [
            deepcopy(item)
            for key, item in sorted(self._items.items())
            if key[0] == pk and key[1].startswith(sk_prefix) and self._there(key)
        ]

    async def query_index(self, pk1: str, sk1_prefix: str = "") -> list[Item]:
        found = [
            deepcopy(item)
            for key, item in self._items.items()
            if item.get("pk1") == pk1
            and str(item.get("sk1", "")).startswith(sk1_prefix)
            and "sk1" in item
            and self._there(key)
        ]
        return sorted(found, key=lambda item: str(item["sk1"]))

    async def move(self, pk: str, sk: str, item: Item) -> bool:
        if self._there((pk, sk)) is None:
            return False
        del self._items[pk, sk]
        self._write(item)
        return True

    async def close(self) -> None:
        self._items.clear()

    def _write(self, item: Item) -> None:
        """At once, as a table does: nothing may run between the check and the write."""
        key = keys(item)
        try:
            text = json.dumps(item, allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            kind = type(error).__name__
            raise StoreRefusedError(f"an item cannot be written: {kind}") from error
        if len(text) > ITEM_BYTES and (fault := size_error(item)):
            raise StoreRefusedError(fault)
        self._items[key] = deepcopy(item)

    def _there(self, key: Key) -> Item | None:
        item = self._items.get(key)
        expire_at = item.get("expireAt") if item else None
        has_expired = isinstance(expire_at, int | float) and expire_at <= self._now()
        return None if has_expired else item


class MemoryMessenger:
    """`ports.Messenger` that keeps what is sent, or fails as the test says."""

    def __init__(self, unconfigured: Mapping[Channel, str] | None = None) -> None:
        self.unconfigured: Mapping[Channel, str] = unconfigured or {}
        self.fault: MessageError | None = None
        """What the next messages come to."""
        self.texts: list[TextMessage] = []
        self.mails: list[Mail] = []

    async def text(self, message: TextMessage) -> str:
        self._fail("sms")
        self.texts.append(message)
        return f"SM{len(self.texts)}"

    async def mail(self, mail: Mail) -> None:
        self._fail("email")
        self.mails.append(mail)

    def _fail(self, channel: Channel) -> None:
        if channel in self.unconfigured:
            raise MessageRefusedError(
                MessageRefusal.OTHER, f"{self.unconfigured[channel]} is not set"
            )
        if self.fault is not None:
            raise self.fault
