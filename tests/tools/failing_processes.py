"""Simulated processes that die and tables that fail at any moment, and observable effects.

A process touches the world by reading and writing the table and by performing effects. Each touch
has a number, in the order of the process, and may have a fate. So a test can name every moment at
which something may go wrong, and go through all of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar, cast

from agent.errors import StoreError, ToolError
from agent.ports import Item, Store
from agent.store.memory import MemoryStore
from agent.tools.idempotency import IN_DOUBT, NOT_BEGUN, UNKNOWN, IdempotencyStore

T = TypeVar("T")

CALL = "CA00000000000000000000000000001234"
EPOCH = 1_772_748_000.0
REFUSED = "The number cannot be reached."


class DiedError(BaseException):
    """The process has died. Nothing in it may catch this."""


class Fate(StrEnum):
    """What happens at one touch."""

    LIVES = "lives"
    DIES_BEFORE = "dies before"
    DIES_AFTER = "dies after"
    FAILS_BEFORE = "fails before"
    """Not performed, and reported as failed."""
    FAILS_AFTER = "fails after"
    """Performed, but reported as failed."""
    LANDS_LATE = "lands late"
    """Reported as failed, and performed later."""
    REFUSES = "refuses"
    """An effect is refused with a reason; a table never does this."""


DEATHS = (Fate.DIES_BEFORE, Fate.DIES_AFTER)
FAILURES = (Fate.FAILS_BEFORE, Fate.FAILS_AFTER, Fate.LANDS_LATE)


class Mortal:
    """One process, with the fates of its touches."""

    def __init__(
        self,
        fates: Mapping[int, Fate] | None = None,
        pauses: Sequence[float] = (0.0,),
        late: asyncio.TaskGroup | None = None,
    ) -> None:
        self._fates = fates or {}
        self._pauses = pauses
        self._late = late
        self._is_dead = False
        self.touches = 0

    async def touch(self, act: Callable[[], Awaitable[T]], *, is_effect: bool = False) -> T:
        number, self.touches = self.touches, self.touches + 1
        fate = self._fates.get(number, Fate.LIVES)
        await self._pause(number)
        if fate is Fate.DIES_BEFORE:
            self._is_dead = True
        self._live()
        if fate is Fate.REFUSES and is_effect:
            raise ToolError(REFUSED)
        if fate is Fate.LANDS_LATE and self._late is not None:
            self._late.create_task(_later(act), name="late")
        if fate in {Fate.FAILS_BEFORE, Fate.LANDS_LATE}:
            raise StoreError("no answer")
        done = await act()
        if fate is Fate.DIES_AFTER:
            self._is_dead = True
        await self._pause(number)
        if fate is Fate.FAILS_AFTER:
            raise StoreError("no answer")
        return done

    async def _pause(self, number: int) -> None:
        self._live()
        await asyncio.sleep(self._pauses[number % len(self._pauses)])
        self._live()

    def _live(self) -> None:
        if self._is_dead:
            raise DiedError


async def _later(act: Callable[[], Awaitable[object]]) -> None:
    await asyncio.sleep(0.4)
    await act()


class _MortalStore:
    def __init__(self, store: Store, process: Mortal) -> None:
        self._store = store
        self._process = process

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        operation = getattr(self._store, name)
        touch = self._process.touch
        return lambda *args, **options: touch(lambda: operation(*args, **options))


def mortal_store(store: Store, process: Mortal) -> Store:
    """A table as one process sees it: each operation is a touch."""
    return cast("Store", _MortalStore(store, process))


@dataclass(frozen=True, slots=True)
class Told:
    """The answer to a request for an effect."""

    kind: str
    """`done`, `refused`, `not begun`, `in doubt`, `unknown` or `died`."""
    result: Mapping[str, object] | None = None


_KINDS = {NOT_BEGUN: "not begun", IN_DOUBT: "in doubt", UNKNOWN: "unknown", REFUSED: "refused"}


class Texts:
    """Sends text messages: not repeatable."""

    is_repeatable = False

    def __init__(self) -> None:
        self.sent: list[dict[str, object]] = []

    async def perform(self, plan: dict[str, object], process: Mortal) -> dict[str, object]:
        async def send() -> dict[str, object]:
            self.sent.append(plan)
            return {"sid": f"SM{len(self.sent)}", "by": plan["by"]}

        return await process.touch(send, is_effect=True)

    async def happened(self) -> list[dict[str, object]]:
        return self.sent


class Orders:
    """Writes an item under a key of its plan: repeatable."""

    is_repeatable = True

    def __init__(self, store: Store) -> None:
        self._store = store

    async def perform(self, plan: dict[str, object], process: Mortal) -> dict[str, object]:
        item: Item = {"pk": "orders", "sk": str(plan["by"])}
        await process.touch(lambda: self._store.put(item, only_if_absent=True), is_effect=True)
        return {"order": plan["by"]}

    async def happened(self) -> list[dict[str, object]]:
        return await self._store.query("orders")


class Asker:
    """One process of a call; each `ask` requests the same effect again.

    Args:
        name: Part of the plan, so that the plans of two processes differ.
        store: The table of all processes.
        effect: The requested effect.
        process: Its fates.
        clock: Epoch seconds.
    """

    def __init__(
        self,
        name: str,
        store: Store,
        effect: Texts | Orders,
        process: Mortal,
        clock: Callable[[], float],
    ) -> None:
        self._name = name
        self._effect = effect
        self._process = process
        self._idempotency = IdempotencyStore(mortal_store(store, process), CALL, clock)

    async def ask(self) -> Told:
        try:
            result = await self._idempotency.once(
                "effect", ["content"], {"by": self._name}, self._perform,
                repeatable=self._effect.is_repeatable,
            )  # fmt: skip
        except DiedError:
            return Told("died")
        except ToolError as error:
            return Told(_KINDS[str(error)])
        return Told("done", result)

    async def _perform(self, plan: dict[str, object]) -> dict[str, object]:
        return await self._effect.perform(plan, self._process)


def virtual_clock() -> float:
    """Epoch seconds of the running loop."""
    return EPOCH + asyncio.get_running_loop().time()


class World:
    """A table and one effect that all processes request."""

    def __init__(self, *, is_repeatable: bool) -> None:
        self.store = MemoryStore()
        self.effect = Orders(self.store) if is_repeatable else Texts()

    def asker(self, name: str, process: Mortal, skew: float = 0.0) -> Asker:
        return Asker(name, self.store, self.effect, process, lambda: virtual_clock() + skew)

    async def ask(
        self,
        name: str,
        fates: Mapping[int, Fate] | None = None,
        late: asyncio.TaskGroup | None = None,
    ) -> Told:
        return await self.asker(name, Mortal(fates, late=late)).ask()

    async def entry(self) -> Item:
        (item,) = await self.store.query(CALL, "effect::")
        return item

    async def happened(self) -> int:
        return len(await self.effect.happened())
