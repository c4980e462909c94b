"""Setting a call up: the caller's profile, the use case, its version, and the filled prompt.

- One request to the table reads the profile and the record that most callers need: the default use
  case of the process, or the use case of an outbound call. Another use case in the profile costs a
  second request, and a canary (`agent.usecases.versions`) another one. Nothing is cached, so an
  edited record counts from the next call. Rejected: learning which keys earlier calls needed and
  reading them ahead, which saved that request and took 170 lines.
- The use case is the one that the profile names; if that is unusable, the default one. An outbound
  call gets the use case it was made for and no other. A call keeps the version it began with,
  unless its record says `liveEdits` (`agent.session.live_config`).
- A prompt that asks for it gets the caller's latest orders or bookings
  (`agent.tools.builtin.order_history`). That never fails a call, and delays it by at most
  `_HISTORY_SECONDS`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

import structlog

from agent.errors import StoreError, UseCaseError
from agent.ports import Item, Store
from agent.settings import Settings
from agent.store.call_state import call_item
from agent.tools import ToolRegistry
from agent.tools.builtin import order_history
from agent.usecases import PROFILE, Profile, UseCase, profile_from_item, prompt, versions
from agent.usecases import record as records
from agent.usecases.prompt import HistoryEntry

log = structlog.get_logger(__name__)

_HISTORY_SECONDS = 1.5
"""How long the set-up of a call waits for the caller's earlier orders or bookings."""
_Records = Mapping[str, Item | None]
"""Records that were read already, by use case."""


@dataclass(frozen=True, slots=True)
class SetupResult:
    """The result of setting a call up."""

    use_case: UseCase
    """As in its record: the placeholders of its prompt are not filled."""
    profile: Profile
    session: call_item.SessionItem
    """The same for the session item, with the prompt filled."""


class CallSetup:
    """Sets up the calls of one process."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        tool_registry: ToolRegistry,
        clock: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._store = store
        self._tool_registry = tool_registry
        self._clock = clock
        self._remarks: dict[str, tuple[str, ...]] = {}
        """By use case, as last read."""
        self._warned: set[str] = set()

    @property
    def remarks(self) -> list[str]:
        """What is left out of use cases or makes them unusable, one line each; no personal data."""
        return [remark for name in sorted(self._remarks) for remark in self._remarks[name]]

    async def read(self, webhook: Mapping[str, object]) -> SetupResult:
        """Set a call up.

        Args:
            webhook: The session item, at least as `opening_item` made it.

        Raises:
            UseCaseError: No use case can answer.
            StoreError: The table cannot be reached.
        """
        caller, outbound = call_item.identity_of(webhook), call_item.outbound_use_case(webhook)
        likely = outbound or self._settings.stack_use_case
        keys = [(likely, records.CONFIGURATION), *([(caller, PROFILE)] if caller else [])]
        record, *found = await self._store.get_many(keys)
        item = (found[0] if found else None) or {}
        profile = profile_from_item(item) if item else Profile(caller)
        whom = caller or str(webhook.get("CallSid", ""))
        if outbound:
            use_case, version = await self._chosen({likely: record}, outbound, whom)
        else:
            use_case, version = await self._answering({likely: record}, profile.use_case, whom)
        session = await self._session_item(use_case, version, profile, item, webhook)
        return SetupResult(use_case, profile, session)

    async def renew(self, record: Item, item: Mapping[str, object]) -> call_item.SessionItem:
        """Set a call up again with a record that was edited while the call runs.

        Args:
            record: As edited.
            item: The session item of the call.

        Raises:
            UseCaseError: The record is unusable.
            StoreError: The table cannot be reached.
        """
        use_case, profile = self.parse(record), call_item.profile_of(item)
        known = call_item.profile_item_of(item)
        return await self._session_item(use_case, 0, profile, known, item)

    async def record_of(self, item: Mapping[str, object]) -> Item:
        """The record of a call that was set up, in the version it is pinned to.

        Raises:
            UseCaseError: It does not exist any more.
            StoreError: The table cannot be reached.
        """
        name = call_item.use_case_of(item)
        if number := call_item.version_of(item):
            pinned = await self._store.get(*versions.version_key(name, number))
            if pinned is not None:
                return versions.as_record(pinned)
        return await self._record(name)

    async def use_case(self, name: str) -> UseCase:
        """A use case as the table has it now.

        Raises:
            UseCaseError: It does not exist, or is unusable.
            StoreError: The table cannot be reached.
        """
        return self.parse(await self._record(name))

    def parse(self, record: Item) -> UseCase:
        """Parse a record; what is left out of it is logged once in a process.

        Raises:
            UseCaseError: It is unusable.
        """
        use_case, warnings = records.parse_use_case(
            record,
            self._tool_registry.specs,
            self._tool_registry.unavailable,
            self._tool_registry.fault_of,
        )
        self._remarks[use_case.name] = warnings
        for warning in warnings:
            if warning not in self._warned:
                self._warned.add(warning)
                log.warning("use_case.warning", use_case=use_case.name, warning=warning)
        return use_case

    def faults_of(self, record: Item) -> tuple[str, ...]:
        """The faults of a record: what is left out of it because it is wrong."""
        try:
            return self.parse(record).errors
        except UseCaseError as error:
            return (str(error),)

    async def survey(self) -> None:
        """Parse every use case once, so that `remarks` is complete before the first call."""
        try:
            found = await self._store.query_index(records.USE_CASE)
        except StoreError as error:
            log.warning("use_case.survey_failed", error=type(error).__name__)
            return
        for record in found:
            try:
                self.parse(record)
            except UseCaseError as error:
                log.error("use_case.broken", use_case=record["pk"], fault=str(error))
                self._remarks[str(record["pk"])] = (str(error),)

    async def _record(self, name: str) -> Item:
        record = await self._store.get(name, records.CONFIGURATION) if name else None
        return _existing(record, name)

    async def _answering(self, read: _Records, wanted: str, whom: str) -> tuple[UseCase, int]:
        """The caller's own use case; if that is unusable, the default of this process."""
        default = self._settings.stack_use_case
        if wanted and wanted != default:
            try:
                return await self._chosen(read, wanted, whom)
            except UseCaseError as error:
                log.error("use_case.broken", use_case=wanted, fault=str(error))
        return await self._chosen(read, default, whom)

    async def _chosen(self, read: _Records, name: str, whom: str) -> tuple[UseCase, int]:
        """A use case for this caller, and its version; 0 is the current record."""
        record = _existing(read[name], name) if name in read else await self._record(name)
        if number := versions.canary_version(record, whom):
            canary = await self._store.get(*versions.version_key(name, number))
            if (use_case := self._canary(name, number, canary)) is not None:
                return use_case, number
        is_pinned = not records.has_live_edits(record)
        return self.parse(record), versions.intact_version(record) if is_pinned else 0

    def _canary(self, name: str, number: int, version: Item | None) -> UseCase | None:
        """The canary version; None if it is unusable, so that the record is used."""
        if version is None:
            log.error("use_case.version_not_found", use_case=name, version=number)
            return None
        try:
            return self.parse(versions.as_record(version))
        except UseCaseError as error:
            log.error("use_case.broken", use_case=name, version=number, fault=str(error))
            return None

    async def _session_item(
        self,
        use_case: UseCase,
        version: int,
        profile: Profile,
        profile_item: Mapping[str, object],
        call: Mapping[str, object],
    ) -> call_item.SessionItem:
        """What the call of the session item `call` is set up with."""
        now = datetime.fromtimestamp(self._clock(), self._settings.time_zone)
        demos = await records.use_cases(self._store) if prompt.lists_use_cases(use_case) else []
        uses_history = prompt.uses_history(use_case)
        before = await self._history(use_case, profile.caller) if uses_history else ()
        is_outbound = bool(call_item.outbound_use_case(call))
        return call_item.SessionItem(
            use_case=use_case,
            version=version,
            model=use_case.model.identifier or self._settings.model_identifier,
            system_prompt=prompt.system_prompt(
                use_case, profile, now, demos, before, is_outbound=is_outbound
            ),
            profile_item=profile_item,
        )

    async def _history(self, use_case: UseCase, caller: str) -> tuple[HistoryEntry, ...]:
        prefixes = (
            order_history.key_prefixes([tool.name for tool in use_case.tools]) if caller else ()
        )
        found = await asyncio.gather(*(self._items(caller, prefix) for prefix in prefixes))
        return order_history.read_history(
            [item for items in found for item in items], self._settings.time_zone
        )

    async def _items(self, caller: str, prefix: str) -> list[Item]:
        """The caller's items whose sort key begins so; none if they cannot be read in time."""
        try:
            async with asyncio.timeout(_HISTORY_SECONDS):
                return await self._store.query(caller, prefix)
        except (StoreError, TimeoutError) as error:
            log.warning("order_history.read_failed", error=type(error).__name__)
            return []


def _existing(record: Item | None, name: str) -> Item:
    if record is None:
        raise UseCaseError(f"{name or 'use case'}: there is no such use case")
    return record
