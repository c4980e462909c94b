"""Ports that count what passes through them, and the guard of observers.

An exception in an observer is counted and logged once by its guard; the call goes on. Rejected: a
guard in each observer, because the next observer would be written without one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import structlog

from agent.errors import MessageRefusedError, StoreError
from agent.observability.metrics import Metrics
from agent.ports import Channel, Count, Item, Key, Mail, Messenger, Store, TextMessage

log = structlog.get_logger(__name__)

_T = TypeVar("_T")
ObserverName = Literal["metrics", "record", "trace", "view"]


class ObserverGuard:
    """A context that suppresses the exceptions of one observer; may be entered repeatedly."""

    def __init__(self, observer: ObserverName, count: Count) -> None:
        self._observer = observer
        self._count = count
        self._has_logged = False

    def __enter__(self) -> None:
        return None

    def __exit__(self, _: object, error: BaseException | None, __: object) -> bool:
        if not isinstance(error, Exception):
            return False
        self.caught(error)
        return True

    def caught(self, error: Exception) -> None:
        """Count an exception of the observer; log the first."""
        self._count("agent_observer_errors_total", observer=self._observer)
        if not self._has_logged:
            self._has_logged = True
            log.error("observer.failed", observer=self._observer, exc_info=error)


OnOperation = Callable[[str, float, float, type[BaseException] | None], None]
"""Called after an operation: its name, when it began and ended, and what it raised."""


@dataclass(frozen=True, slots=True)
class MeasuredMessenger:
    """A `ports.Messenger` that counts the messages of another one."""

    messenger: Messenger
    count: Count

    @property
    def unconfigured(self) -> Mapping[Channel, str]:
        return self.messenger.unconfigured

    async def text(self, message: TextMessage) -> str:
        return await self._counted("sms", self.messenger.text(message))

    async def mail(self, mail: Mail) -> None:
        await self._counted("email", self.messenger.mail(mail))

    async def _counted(self, channel: Channel, sending: Awaitable[_T]) -> _T:
        status = "unknown"
        try:
            sent = await sending
            status = "accepted"
        except MessageRefusedError:
            status = "refused"
            raise
        else:
            return sent
        finally:
            self.count("agent_messages_total", channel=channel, status=status)


class MeasuredStore:
    """A `ports.Store` that measures the operations of another one."""

    def __init__(
        self, store: Store, telemetry: Metrics, on_operation: OnOperation | None = None
    ) -> None:
        self._store = store
        self._telemetry = telemetry
        self._on_operation = on_operation
        self._guard = ObserverGuard("trace", telemetry.count)

    async def get(self, pk: str, sk: str) -> Item | None:
        return await self._measured("get", self._store.get(pk, sk))

    async def get_many(self, keys: Sequence[Key]) -> list[Item | None]:
        return await self._measured("get_many", self._store.get_many(keys))

    async def put(
        self, item: Item, *, only_if_absent: bool = False, beside: Sequence[Item] = ()
    ) -> bool:
        putting = self._store.put(item, only_if_absent=only_if_absent, beside=beside)
        return await self._measured("put", putting)

    async def put_newer(
        self, item: Item, *, may_wait: bool = False, beside: Sequence[Item] = ()
    ) -> bool:
        putting = self._store.put_newer(item, may_wait=may_wait, beside=beside)
        return await self._measured("put_newer", putting)

    async def merge(self, pk: str, sk: str, attributes: Mapping[str, object]) -> None:
        await self._measured("merge", self._store.merge(pk, sk, attributes))

    async def query(self, pk: str, sk_prefix: str = "") -> list[Item]:
        return await self._measured("query", self._store.query(pk, sk_prefix))

    async def query_index(self, pk1: str, sk1_prefix: str = "", *, first: int = 0) -> list[Item]:
        querying = self._store.query_index(pk1, sk1_prefix, first=first)
        return await self._measured("query_index", querying)

    async def find_text(self, text: str) -> frozenset[str] | None:
        return await self._measured("find_text", self._store.find_text(text))

    async def move(self, pk: str, sk: str, item: Item, *, beside: Sequence[Item] = ()) -> bool:
        return await self._measured("move", self._store.move(pk, sk, item, beside=beside))

    async def delete(self, pk: str, sk: str) -> None:
        await self._measured("delete", self._store.delete(pk, sk))

    async def scrub(self) -> None:
        await self._measured("scrub", self._store.scrub())

    async def close(self) -> None:
        await self._store.close()

    async def _measured(self, operation: str, doing: Awaitable[_T]) -> _T:
        began = self._telemetry.now()
        kind: type[BaseException] | None = None
        try:
            return await doing
        except BaseException as error:
            kind = type(error)
            raise
        finally:
            outcome = "error" if kind is not None and issubclass(kind, StoreError) else "ok"
            ended = self._telemetry.now()
            seconds, count = ended - began, self._telemetry.count
            count("agent_store_duration_seconds", seconds, operation=operation, outcome=outcome)
            if self._on_operation is not None:
                with self._guard:
                    self._on_operation(operation, began, ended, kind)
