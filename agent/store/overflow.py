"""Items larger than a table takes: their large attributes stand in items of their own.

DynamoDB refuses items above 400 KB. An item whose JSON is larger than the limit is written as a
head, with references in place of its largest attributes, and as parts that hold these together:

    head   {"pk": …, "sk": …, "expireAt": …, "history": {"overflow::sha256": "ab…", "parts": 5}}
    part   {"pk": "overflow::ab…", "sk": "000000", "expireAt": …, "text": "…"}

Rules:

- Readers never see references or parts. An item whose parts are not all there, or are not what
  was written, is a `StoreError`: nothing is ever silently left out.
- Keys, keys of the index, `expireAt` and `sequence` stay in the head, so conditions and queries are
  those of the table below.
- Parts are written before their head, under the hash of what they say: writing them again changes
  nothing, and no reader can meet the parts of two writings. What they say includes key and expiry
  of the item, so no two items share parts, of which one could take the other's away.
- Parts expire a minute after their head, so that a head that is alive has them.
- An attribute merged later replaces the reference, as it would replace the value. A value of the
  caller's that looks like a reference always leaves for a part, so it is never taken for one.
- Parts that no head refers to any more are left to expire. Of items without `expireAt` (records and
  profiles, which are never that large) they would stay.

One reference for the whole item was rejected: with it, a `merge` of a large attribute cannot be one
step. JSON text instead of attributes has any depth and costs no second form of each value.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, TypeGuard

from agent.errors import StoreError, StoreRefusedError
from agent.ports import Item, Key, Store
from agent.usecases.validation import keys

LIMIT_BYTES = 256 * 1024
"""Of the JSON of a head. DynamoDB counts otherwise, for short numbers up to half as much again."""
_KEPT = frozenset({"pk", "sk", "pk1", "sk1", "expireAt", "sequence"})
_HASH, _PARTS = "overflow::sha256", "parts"
_REFERENCE_BYTES = 100
_WIDEST_CHARACTER = 4
"""Bytes of UTF-8."""
_KEYS_AT_ONCE = 100
_GRACE_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Reference:
    """Where an attribute has gone."""

    digest: str
    parts: int

    def places(self) -> list[Key]:
        """Of the parts, in their order."""
        return [(f"overflow::{self.digest}", f"{number:06}") for number in range(self.parts)]


class OverflowStore:
    """A `ports.Store` that keeps items of any size in another one."""

    def __init__(self, store: Store, limit: int = LIMIT_BYTES) -> None:
        self._store = store
        self._limit = limit

    async def get(self, pk: str, sk: str) -> Item | None:
        """See `ports.Store`."""
        head = await self._store.get(pk, sk)
        return None if head is None else (await self._joined([head]))[0]

    async def get_many(self, keys: Sequence[Key]) -> list[Item | None]:
        """See `ports.Store`; a second round trip if some are in parts."""
        heads = await self._store.get_many(keys)
        joined = iter(await self._joined([head for head in heads if head is not None]))
        return [None if head is None else next(joined) for head in heads]

    async def put(self, item: Item, *, only_if_absent: bool = False) -> bool:
        """See `ports.Store`."""
        head = await self._head(item)
        return await self._store.put(head, only_if_absent=only_if_absent)

    async def put_newer(self, item: Item) -> bool:
        """See `ports.Store`."""
        return await self._store.put_newer(await self._head(item))

    async def merge(self, pk: str, sk: str, attributes: Mapping[str, object]) -> None:
        """See `ports.Store`.

        If large attributes are merged, or `expireAt` into an item with parts, the item is read
        before: parts live as long as their head.
        """
        item: Item = {**attributes, "pk": pk, "sk": sk}
        if "expireAt" in attributes or is_split(item, self._limit):
            item = {**await self._bound_to_expiry(pk, sk, attributes), **item}
        head = await self._head(item)
        named = {name: head[name] for name in head if name in attributes or name not in _KEPT}
        await self._store.merge(pk, sk, named)

    async def query(self, pk: str, sk_prefix: str = "") -> list[Item]:
        """See `ports.Store`."""
        return await self._joined(await self._store.query(pk, sk_prefix))

    async def query_index(self, pk1: str, sk1_prefix: str = "") -> list[Item]:
        """See `ports.Store`."""
        return await self._joined(await self._store.query_index(pk1, sk1_prefix))

    async def move(self, pk: str, sk: str, item: Item) -> bool:
        """See `ports.Store`."""
        return await self._store.move(pk, sk, await self._head(item))

    async def close(self) -> None:
        """See `ports.Store`."""
        await self._store.close()

    async def _head(self, item: Item) -> Item:
        """What to write of an item, whose parts are then written."""
        head, parts = split(item, self._limit)
        for part in parts:
            await self._store.put(part)
        return head

    async def _bound_to_expiry(
        self, pk: str, sk: str, attributes: Mapping[str, object]
    ) -> dict[str, object]:
        """What stands in an item and must be split anew, or must be known for that."""
        there = await self._store.get(pk, sk)
        if there is None:
            return {}
        if "expireAt" not in attributes:
            return {name: there[name] for name in ("expireAt",) if name in there}
        gone = {name for name, _ in references(there)}
        (whole,) = await self._joined([there])
        return {name: whole[name] for name in gone}

    async def _joined(self, heads: list[Item]) -> list[Item]:
        wanted = {reference for head in heads for _, reference in references(head)}
        if not wanted:
            return heads
        found = await self._parts([key for reference in wanted for key in reference.places()])
        contents = {reference: content(reference, found) for reference in wanted}
        return [join(head, contents) for head in heads]

    async def _parts(self, keys: list[Key]) -> dict[Key, Item]:
        found: dict[Key, Item] = {}
        for start in range(0, len(keys), _KEYS_AT_ONCE):
            some = keys[start : start + _KEYS_AT_ONCE]
            parts = await self._store.get_many(some)
            found |= {key: part for key, part in zip(some, parts, strict=True) if part is not None}
        return found


def is_split(item: Item, limit: int) -> bool:
    """Some of this item would be in parts."""
    return bool(_leaving(item, limit))


def split(item: Item, limit: int) -> tuple[Item, list[Item]]:
    """An item as a head and its parts, none if it fits.

    Args:
        item: Any.
        limit: Bytes of JSON a head may have; it has more if its keys alone do.

    Raises:
        StoreRefusedError: It is no item, or holds what is not JSON.
    """
    pk, sk = keys(item)
    leaving = _leaving(item, limit)
    if not leaving:
        return item, []
    expire_at = item.get("expireAt")
    gone = {name: value for name, value in item.items() if name in leaving}
    text = _json({"pk": pk, "sk": sk, "expireAt": expire_at, "attributes": gone})
    width = max(1, limit // _WIDEST_CHARACTER)
    texts = [text[start : start + width] for start in range(0, len(text), width)]
    reference = Reference(_digest(text), len(texts))
    expiry = {"expireAt": expire_at + _GRACE_SECONDS} if isinstance(expire_at, int | float) else {}
    parts: list[Item] = [
        {"pk": part_pk, "sk": part_sk, "text": piece, **expiry}
        for (part_pk, part_sk), piece in zip(reference.places(), texts, strict=True)
    ]
    stand_in = {_HASH: reference.digest, _PARTS: reference.parts}
    return {name: stand_in if name in gone else item[name] for name in item}, parts


def references(head: Item) -> Iterable[tuple[str, Reference]]:
    """The attributes that have gone to parts."""
    for name, value in head.items():
        if name not in _KEPT and _is_reference(value):
            yield name, Reference(str(value[_HASH]), int(value[_PARTS]))


def content(reference: Reference, parts: Mapping[Key, Item]) -> Item:
    """The attributes that these parts hold.

    Raises:
        StoreError: They are not all there, or are not what was written.
    """
    found = [parts[key] for key in reference.places() if key in parts]
    text = "".join(str(part.get("text")) for part in found)
    if len(found) != reference.parts or _digest(text) != reference.digest:
        raise StoreError("an item in parts does not add up")
    attributes: Item = json.loads(text)["attributes"]
    return attributes


def join(head: Item, contents: Mapping[Reference, Item]) -> Item:
    """The item, given the attributes of all that its head refers to."""
    return head | {name: contents[reference][name] for name, reference in references(head)}


def _leaving(item: Item, limit: int) -> set[str]:
    """The names of the largest attributes, so that the rest fits."""
    mobile = {name: value for name, value in item.items() if name not in _KEPT}
    leaving = {name for name, value in mobile.items() if _is_reference(value)}
    size = _size(item)
    if size <= limit:
        return leaving
    sizes = sorted(((_size(value), name) for name, value in mobile.items()), reverse=True)
    for bytes_of, name in sizes:
        leaving.add(name)
        size -= bytes_of - _REFERENCE_BYTES
        if size <= limit:
            break
    return leaving


def _is_reference(value: object) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict) and value.keys() == {_HASH, _PARTS}


def _size(value: object) -> int:
    try:
        return len(_json(value).encode())
    except UnicodeError as error:
        raise StoreRefusedError("an item cannot be written: it holds half a character") from error


def _json(value: object) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        kind = type(error).__name__
        raise StoreRefusedError(f"an item cannot be written: {kind}") from error


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()
