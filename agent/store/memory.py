"""The table in a dictionary, for calls that leave nothing behind."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy

from agent.ports import Item, Key
from agent.usecases.validation import item_text, keys, sequence


class MemoryStore:
    """`ports.Store` in a dictionary; nothing expires unless it is given a clock."""

    def __init__(self, now: Callable[[], float] = lambda: 0.0) -> None:
        self._now = now
        self._items: dict[Key, Item] = {}

    async def get(self, pk: str, sk: str) -> Item | None:
        return deepcopy(self._there((pk, sk)))

    async def get_many(self, keys: Sequence[Key]) -> list[Item | None]:
        return [await self.get(*key) for key in keys]

    async def put(
        self, item: Item, *, only_if_absent: bool = False, beside: Sequence[Item] = ()
    ) -> bool:
        if only_if_absent and self._there(keys(item)) is not None:
            return False
        self._write(item, *beside)
        return True

    async def put_newer(
        self, item: Item, *, may_wait: bool = False, beside: Sequence[Item] = ()
    ) -> bool:
        there = self._there(keys(item))
        if there is not None and sequence(there) >= sequence(item):
            return False
        self._write(item, *beside)
        return True

    async def merge(self, pk: str, sk: str, attributes: Mapping[str, object]) -> None:
        self._write({**(self._there((pk, sk)) or {}), **attributes, "pk": pk, "sk": sk})

    async def query(self, pk: str, sk_prefix: str = "") -> list[Item]:
        found = [
            key
            for key in self._items
            if key[0] == pk and key[1].startswith(sk_prefix) and self._there(key)
        ]
        return [deepcopy(self._items[key]) for key in sorted(found)]

    async def query_index(self, pk1: str, sk1_prefix: str = "", *, first: int = 0) -> list[Item]:
        found = [
            deepcopy(item)
            for key, item in self._items.items()
            if item.get("pk1") == pk1
            and str(item.get("sk1", "")).startswith(sk1_prefix)
            and "sk1" in item
            and self._there(key)
        ]
        return sorted(found, key=lambda item: str(item["sk1"]))[: first or None]

    async def find_text(self, text: str) -> None:
        return None

    async def move(self, pk: str, sk: str, item: Item, *, beside: Sequence[Item] = ()) -> bool:
        if self._there((pk, sk)) is None:
            return False
        self._write(item, *beside, instead_of=(pk, sk))
        return True

    async def delete(self, pk: str, sk: str) -> None:
        self._items.pop((pk, sk), None)

    async def scrub(self) -> None:
        pass  # there is no file

    def snapshot(self) -> Mapping[Key, Item]:
        """All that is there, for `restore`; only to be read."""
        return dict(self._items)  # a write replaces an item and never changes it

    def restore(self, snapshot: Mapping[Key, Item]) -> None:
        """Hold these items and no others."""
        self._items = dict(snapshot)

    async def close(self) -> None:
        self._items.clear()

    def _write(self, *items: Item, instead_of: Key | None = None) -> None:
        """At once, as a table does: nothing may run between the check and the write."""
        written = {keys(item): deepcopy(item) for item in items if item_text(item)}
        if instead_of is not None:
            del self._items[instead_of]
        self._items |= written

    def _there(self, key: Key) -> Item | None:
        item = self._items.get(key)
        expire_at = item.get("expireAt") if item else None
        has_expired = isinstance(expire_at, int | float) and expire_at <= self._now()
        return None if has_expired else item
