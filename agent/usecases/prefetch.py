"""Reading all that a call needs in one round trip, before it is known what that is.

Which use case answers stands in the caller's profile, so reading one after the other would cost a
round trip each while the caller listens to ringing. Instead what earlier calls of this process
needed is read together with the profile: the record of the use case that answers everybody is
always among it. A call that needs something else reads it, and from then on it is among it, too,
until it has not been needed for a while.

What the caller has done before is a query of their partition, by the beginning of the sort key, and
goes the same way. It is good to have and no more: when it fails or is late, the call goes on as if
there were nothing.

Nothing is kept but the keys. Every call sees the table as it is: a record that was changed a moment
ago answers the next call. Rejected: keeping records for some seconds, which saves the table a read
and makes whoever edits a prompt and rings at once doubt their eyes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping

import structlog

from agent.errors import StoreError
from agent.ports import Item, Key, Store
from agent.usecases import profiles
from agent.usecases import record as records

log = structlog.get_logger(__name__)

UseCaseList = list[tuple[str, str, str]]
"""Name, title and description of each."""

_MOST_KEYS = 12
_KEPT_SECONDS = 600.0
_PAST_SECONDS = 1.5
"""How long a call waits for what its caller has done before."""


class Prefetch:
    """What calls of this process have needed lately.

    Args:
        store: The table.
        clock: Seconds, of any beginning.
        always: What every call is likely to need.
    """

    def __init__(self, store: Store, clock: Callable[[], float], always: Iterable[Key]) -> None:
        self._store = store
        self._clock = clock
        self._always = tuple(always)
        self._needed: dict[Key, float] = {}
        self._list_needed_at: float | None = None
        self._past_needed: dict[str, float] = {}
        """By the beginning of the sort key."""

    async def read(self, caller: str) -> Reading:
        """All that a call of this caller will probably need.

        Args:
            caller: E.164 number or `client:identity`; empty = unknown.

        Raises:
            StoreError: The table cannot be reached.
        """
        profile: list[Key] = [(caller, profiles.PROFILE)] if caller else []
        keys = list(dict.fromkeys([*profile, *self._always, *self._likely()]))
        prefixes = [each for each, at in self._past_needed.items() if self._is_recent(at)]
        (items, use_cases), past = await asyncio.gather(
            self._together(keys), self._all_past(caller, prefixes)
        )
        found = dict(zip(keys, items, strict=True))
        profile_item = found.pop(profile[0]) if profile else None
        return Reading(self, caller, profile_item, found, use_cases, past)

    def nothing_read(self, caller: str) -> Reading:
        """A reading for which everything is read when it is asked for."""
        return Reading(self, caller, None, {}, None, {})

    async def get(self, key: Key) -> Item | None:
        """An item that was not read ahead."""
        return await self._store.get(*key)

    async def list_use_cases(self) -> UseCaseList:
        """All use cases, where they were not read ahead."""
        return await records.use_cases(self._store)

    async def past(self, caller: str, prefix: str) -> list[Item]:
        """What a caller has done before, where it was not read ahead; never raises."""
        if not caller:
            return []
        try:
            async with asyncio.timeout(_PAST_SECONDS):
                return await self._store.query(caller, prefix)
        except (StoreError, TimeoutError) as error:
            log.warning("order_history.read_failed", error=type(error).__name__)
            return []

    def note(self, key: Key) -> None:
        """A call has needed this; the next one may."""
        self._needed.pop(key, None)
        self._needed[key] = self._clock()
        if len(self._needed) > _MOST_KEYS:
            del self._needed[next(iter(self._needed))]

    def note_list(self) -> None:
        """A call has needed the list of use cases."""
        self._list_needed_at = self._clock()

    def note_past(self, prefix: str) -> None:
        """A call has needed items of its caller; the next one may."""
        self._past_needed[prefix] = self._clock()

    def _likely(self) -> list[Key]:
        return [key for key, at in self._needed.items() if self._is_recent(at)]

    def _is_recent(self, at: float | None) -> bool:
        return at is not None and self._clock() - at < _KEPT_SECONDS

    async def _together(self, keys: list[Key]) -> tuple[list[Item | None], UseCaseList | None]:
        if not self._is_recent(self._list_needed_at):
            return await self._store.get_many(keys), None
        return await asyncio.gather(self._store.get_many(keys), self.list_use_cases())

    async def _all_past(self, caller: str, prefixes: list[str]) -> dict[str, list[Item]]:
        found = await asyncio.gather(*(self.past(caller, prefix) for prefix in prefixes))
        return dict(zip(prefixes, found, strict=True))


class Reading:
    """What was read for one call; whatever is missing is read when it is asked for."""

    def __init__(
        self,
        prefetch: Prefetch,
        caller: str,
        profile: Item | None,
        items: Mapping[Key, Item | None],
        use_cases: UseCaseList | None,
        past: Mapping[str, list[Item]],
    ) -> None:
        self.profile = profile
        """The caller's profile item."""
        self._prefetch = prefetch
        self._caller = caller
        self._items = items
        self._past = past
        self._use_cases = use_cases

    async def get(self, key: Key) -> Item | None:
        """An item of the table."""
        self._prefetch.note(key)
        return self._items[key] if key in self._items else await self._prefetch.get(key)

    async def use_cases(self) -> UseCaseList:
        """All use cases of the table."""
        self._prefetch.note_list()
        if self._use_cases is None:
            self._use_cases = await self._prefetch.list_use_cases()
        return self._use_cases

    async def past(self, prefix: str) -> list[Item]:
        """Items of the caller whose sort key begins so; none for one who is not recognised."""
        self._prefetch.note_past(prefix)
        if prefix in self._past:
            return self._past[prefix]
        return await self._prefetch.past(self._caller, prefix)
