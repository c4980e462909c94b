"""Tables that are watched or made slow; each passes everything on to another one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from agent.ports import Item, Key, Store
from agent.store.dynamodb_table import DynamoDBStore
from agent.store.sqlite import SqliteStore
from tests.dynamodb import REGION

Stores = tuple[Store, Store]
"""One table, as two processes have it open."""


async def open_table(place: Path | str, clock: Callable[[], float]) -> Store:
    """A table: the file of the embedded store, or one of DynamoDB by its name."""
    if isinstance(place, Path):
        return await SqliteStore.open(place, now=clock)
    return await DynamoDBStore.open(place, region=REGION, now=clock)


@dataclass(slots=True)
class CountingStore:
    """`ports.Store` that keeps what it was asked for, and takes its time."""

    inner: Store
    seconds: float = 0.0
    """How long each answer takes."""
    asked: list[str] = field(default_factory=list)

    async def get(self, pk: str, sk: str) -> Item | None:
        await self._note("get")
        return await self.inner.get(pk, sk)

    async def get_many(self, keys: Sequence[Key]) -> list[Item | None]:
        await self._note("get_many")
        return await self.inner.get_many(keys)

    async def put(
        self, item: Item, *, only_if_absent: bool = False, beside: Sequence[Item] = ()
    ) -> bool:
        await self._note("put")
        return await self.inner.put(item, only_if_absent=only_if_absent, beside=beside)

    async def put_newer(
        self, item: Item, *, may_wait: bool = False, beside: Sequence[Item] = ()
    ) -> bool:
        await self._note("put_newer")
        return await self.inner.put_newer(item, may_wait=may_wait, beside=beside)

    async def merge(self, pk: str, sk: str, attributes: Mapping[str, object]) -> None:
        await self._note("merge")
        await self.inner.merge(pk, sk, attributes)

    async def query(self, pk: str, sk_prefix: str = "") -> list[Item]:
        await self._note("query")
        return await self.inner.query(pk, sk_prefix)

    async def query_index(self, pk1: str, sk1_prefix: str = "", *, first: int = 0) -> list[Item]:
        await self._note("query_index")
        return await self.inner.query_index(pk1, sk1_prefix, first=first)

    async def find_text(self, text: str) -> frozenset[str] | None:
        await self._note("find_text")
        return await self.inner.find_text(text)

    async def move(self, pk: str, sk: str, item: Item, *, beside: Sequence[Item] = ()) -> bool:
        await self._note("move")
        return await self.inner.move(pk, sk, item, beside=beside)

    async def delete(self, pk: str, sk: str) -> None:
        await self._note("delete")
        await self.inner.delete(pk, sk)

    async def scrub(self) -> None:
        await self._note("scrub")
        await self.inner.scrub()

    async def close(self) -> None:
        await self.inner.close()

    async def _note(self, operation: str) -> None:
        self.asked.append(operation)
        await asyncio.sleep(self.seconds)
