"""Versions of a use case: earlier records stay readable and can be put in force again.

The *content* of a record is all of it but its keys and the bookkeeping below. Content that was ever
in force is kept as a version, an item that never changes (`sk` is `version::000003`). The record
itself is a copy of one version:

    version, versionDigest   the number of that version, and the digest of its content
    canary                   {"version", "percent"}: another version, for this share of callers
    createdAt, previous      on versions only: when, and the number in force before, 0 for none

Rules:

- A running call keeps the number of the version it began with.
- A record that was edited in place, or loaded by other means, does not match its digest. The next
  operation here stores it as a version.
- `previous` makes a chain, and rolling back follows it. An existing version is used again only if
  it is in force, or has equal content and the same `previous`. Rejected: one version for equal
  content, because after A, B, A rolling back would skip B.
- Numbers are allocated by conditional writes. Of concurrent seeds the last write of the record
  wins; all versions are kept.
- An edit in place, of `liveEdits` too, is replaced and not merged by a folder's record: a merged
  record would be one that was never tested.
- Further items of a folder are data that all versions share.

A canary answers the same callers as long as it runs: each caller has a fixed place from 0 to 99 for
each version. Unrecognised callers have none, because all of them would have the same one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from agent.errors import StoreError, UseCaseError
from agent.ports import Item, Key, Store
from agent.usecases.record import CONFIGURATION, USE_CASE, content_digest
from agent.usecases.validation import plain

VERSION_PREFIX = "version::"
_BOOKKEEPING = frozenset(
    {"pk", "sk", "pk1", "sk1", "version", "versionDigest", "canary", "createdAt", "previous"}
)
_digests: dict[bytes, str] = {}  # by content
_MOST_DIGESTS = 256
_ATTEMPTS = 20  # concurrent writers that may take a number first


@dataclass(frozen=True, slots=True)
class CurrentVersion:
    """The versions that answer the calls of a use case."""

    version: int
    canary: int = 0  # the version of some callers; 0 for none
    percent: int = 0

    def __str__(self) -> str:
        canary = f", canary {self.canary} for {self.percent} %" if self.canary else ""
        return f"version {self.version}{canary}"


def version_key(name: str, number: int) -> Key:
    """The key of a version."""
    return name, f"{VERSION_PREFIX}{number:06d}"


def intact_version(record: Mapping[str, object]) -> int:
    """The number of a record's version; 0 if its content was changed since it was seeded."""
    number, digest = _number(record, "version"), record.get("versionDigest")
    return number if number > 0 and digest == _digest(_content(record)) else 0


def canary_in_progress(record: Mapping[str, object]) -> int:
    """The number of the canary for any caller; 0 for none."""
    number, percent = _canary(record)
    return number if percent > 0 else 0


def canary_version(record: Mapping[str, object], caller: str) -> int:
    """The number of the canary if it answers this caller (empty = unrecognised), else 0."""
    number, percent = _canary(record)
    is_theirs = caller and _place(str(record.get("pk")), number, caller) < percent
    return number if is_theirs else 0


def as_record(version: Item) -> Item:
    """The record that puts a version in force."""
    name = version["pk"]
    return {
        **_content(version),
        "pk": name,
        "sk": CONFIGURATION,
        "pk1": USE_CASE,
        "sk1": name,
        "version": version.get("version"),
        "versionDigest": version.get("versionDigest"),
    }


@dataclass(frozen=True, slots=True)
class Versions:
    """The versions of one use case; every method may be repeated after a `StoreError`."""

    store: Store
    name: str
    now: datetime  # aware
    dry_run: bool = False  # return what would be done, write nothing

    async def publish(self, record: Item) -> CurrentVersion:
        """Put a record in force for all callers, and end a canary."""
        version = await self._version_of(_content(record), await self._in_force())
        return await self._put_in_force(version)

    async def try_out(self, record: Item, percent: int) -> CurrentVersion:
        """Let a record answer 1 to 99 % of the callers.

        `UseCaseError` if there is no record, or it has the same content.
        """
        present = await self._present()
        canary = await self._version_of(_content(record), present)
        if canary["version"] == present["version"]:
            raise UseCaseError(f"{self.name}: canary: all callers get this content already")
        return await self._put_in_force(present, _number(canary, "version"), percent)

    async def end_canary(self) -> CurrentVersion:
        """Let the record answer all callers; `UseCaseError` if there is none."""
        return await self._put_in_force(await self._present())

    async def roll_back(self, to: int | None = None) -> CurrentVersion:
        """Undo the last change (a canary, an edit, a seeding), or put version `to` in force.

        `UseCaseError` if there is no such version, or no earlier one.
        """
        record = await self.store.get(self.name, CONFIGURATION)
        if to is None and canary_in_progress(record or {}):
            return await self.end_canary()
        present = await self._present()
        wanted = _number(present, "previous") if to is None else to
        if to is None and not wanted:
            raise UseCaseError(f"{self.name}: there is no version to go back to")
        if wanted == present["version"]:
            return await self._put_in_force(present)
        version = await self.store.get(*version_key(self.name, wanted))
        if version is None:
            raise UseCaseError(f"{self.name}: there is no version {wanted}")
        return await self._put_in_force(version)

    async def withdraw(self) -> CurrentVersion:
        """Delete the record and keep its versions; `UseCaseError` if there is no record."""
        version = await self._present()
        if not self.dry_run:
            await self.store.delete(self.name, CONFIGURATION)
        return CurrentVersion(_number(version, "version"))

    async def _present(self) -> Item:
        version = await self._in_force()
        if version is None:
            raise UseCaseError(f"{self.name}: there is no such use case")
        return version

    async def _in_force(self) -> Item | None:
        """The version in force, stored if the record is none yet; None without a record."""
        record = await self.store.get(self.name, CONFIGURATION)
        if record is None:
            return None
        versions = await self._all()
        before = versions.get(_number(record, "version")) or versions.get(max(versions, default=0))
        return await self._version_of(_content(record), before)

    async def _version_of(self, content: Item, before: Item | None) -> Item:
        """The version with this content after `before`; created if there is none."""
        digest = _digest(content)
        if before is not None and before["versionDigest"] == digest:
            return before
        previous = _number(before or {}, "version")
        for _ in range(_ATTEMPTS):
            versions = await self._all()
            for version in versions.values():
                if (version["versionDigest"], _number(version, "previous")) == (digest, previous):
                    return version
            number = max(previous, *versions, 0) + 1
            pk, sk = version_key(self.name, number)
            new: Item = {
                **content,
                "pk": pk,
                "sk": sk,
                "version": number,
                "versionDigest": digest,
                "createdAt": self.now.astimezone(UTC).isoformat(timespec="seconds"),
                "previous": previous,
            }
            if self.dry_run or await self.store.put(new, only_if_absent=True):
                return new
        raise StoreError(f"{self.name}: too many others are seeding it")

    async def _all(self) -> dict[int, Item]:
        items = await self.store.query(self.name, VERSION_PREFIX)
        return {_number(item, "version"): item for item in items}

    async def _put_in_force(
        self, version: Item, canary: int = 0, percent: int = 0
    ) -> CurrentVersion:
        record = as_record(version)
        if canary:
            record["canary"] = {"version": canary, "percent": percent}
        if not self.dry_run:
            await self.store.put(record)
        return CurrentVersion(_number(version, "version"), canary, percent)


def _canary(record: Mapping[str, object]) -> tuple[int, int]:
    canary = record.get("canary")
    if not isinstance(canary, Mapping):
        return 0, 0
    return _number(canary, "version"), _number(canary, "percent")


def _content(item: Mapping[str, object]) -> Item:
    return {name: value for name, value in item.items() if name not in _BOOKKEEPING}


def _digest(content: Item) -> str:
    """A digest that does not depend on the table implementation; each call asks for one."""
    key = content_digest(content)
    if (known := _digests.get(key)) is None:
        known = _canonical_digest(content)
        if len(_digests) >= _MOST_DIGESTS:
            _digests.clear()
        if key:
            _digests[key] = known
    return known


def _canonical_digest(content: Item) -> str:
    canonical: Item = {}
    for name, value in content.items():
        try:
            canonical[name] = json.loads(json.dumps(plain(value)), parse_float=_whole)
        except RecursionError:
            canonical[name] = None
    return hashlib.sha256(json.dumps(canonical, sort_keys=True).encode()).hexdigest()


def _whole(text: str) -> float:
    """A whole number as int: a table may return 1 for 1.0."""
    number = float(text)
    return int(number) if number.is_integer() else number


def _place(name: str, version: int, caller: str) -> int:
    seed = json.dumps([name, version, caller])
    return int.from_bytes(hashlib.sha256(seed.encode()).digest()[:8]) * 100 >> 64


def _number(item: Mapping[str, object], field: str) -> int:
    match item.get(field):
        case int(number):
            return number
        case Decimal() as number if number.is_finite():
            return int(number)
        case _:
            return 0
