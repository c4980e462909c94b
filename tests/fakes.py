"""Hand-written stand-ins; each passes the contract suite of the port it stands in for."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy

from agent.ports import Item


class MemoryStore:
    """`ports.Store` in a dictionary."""

    def __init__(self) -> None:
        self._items: dict[tuple[str, str], Item] = {}

    async def get(self, pk: str, sk: str) -> Item | None:
        return deepcopy(self._items.get((pk, sk)))

    async def put(self, item: Item, *, only_if_absent: bool = False) -> bool:
        key = (str(item["pk"]), str(item["sk"]))
        if only_if_absent and key in self._items:
            return False
        self._items[key] = deepcopy(item)
        return True

    async def merge(self, pk: str, sk: str, attributes: Mapping[str, object]) -> None:
        item = self._items.setdefault((pk, sk), {})
        item.update(deepcopy(dict(attributes)) | {"pk": pk, "sk": sk})

    async def query(self, pk: str, sk_prefix: str = "") -> list[Item]:
        return [
            deepcopy(item)
            for (item_pk, sk), item in sorted(self._items.items())
            if item_pk == pk and sk.startswith(sk_prefix)
        ]

    async def query_index(self, pk1: str, sk1_prefix: str = "") -> list[Item]:
        found = [
            deepcopy(item)
            for item in self._items.values()
            if item.get("pk1") == pk1 and "sk1" in item and str(item["sk1"]).startswith(sk1_prefix)
        ]
        return sorted(found, key=lambda item: str(item["sk1"]))

    async def move(self, pk: str, sk: str, item: Item) -> bool:
        if self._items.pop((pk, sk), None) is None:
            return False
        return await self.put(item)

    async def close(self) -> None:
        self._items.clear()
