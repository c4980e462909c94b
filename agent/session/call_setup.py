"""Setting a call up: the caller's profile, the use case, its version, and the filled prompt.

One request reads the profile and the record that most callers need; another use case in the profile
costs a second one, a canary (`agent.usecases.versions`) another. Records are read for each call, so
an edited one counts from the next call; what is parsed of equal records is shared. An unusable use
case of a profile is replaced by the default one; an outbound call gets the use case it was made for
and no other. A call keeps the version it began with, unless its record says `liveEdits`. Reading a
caller's history never fails a call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from itertools import chain
from typing import NamedTuple

import structlog

from agent.errors import StoreError, UseCaseError
from agent.ports import Count, Item, Store, uncounted
from agent.session.before_call import variables_of_call
from agent.settings import Settings
from agent.store.call_state import call_item
from agent.store.call_state.call_item import SessionItem
from agent.tools import ToolRegistry
from agent.tools.builtin import order_history
from agent.usecases import PROFILE, Profile, UseCase, profile_from_item, prompt, versions
from agent.usecases import record as records
from agent.usecases.call_variables import filled_variables
from agent.usecases.prompt import HistoryEntry
from agent.usecases.validation import text_in

log = structlog.get_logger(__name__)

_MOST_PARSED = 256  # records of which a process keeps what was parsed
_HISTORY_SECONDS = 1.5  # how long a set-up waits for earlier orders or bookings


class CallChoice(NamedTuple):
    """What is chosen for one call by its caller, at a terminal or on a page; empty = as usual."""

    use_case: str = ""
    """Answers also a caller whose profile names another."""
    model: str = ""


_NO_CHOICE = CallChoice()


class CallSetup:
    """Sets up the calls of one process; all methods but `survey` may raise `StoreError`."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        tool_registry: ToolRegistry,
        clock: Callable[[], float],
        count: Count = uncounted,
    ) -> None:
        self._settings = settings
        self._count = count
        self._store = store
        self._tool_registry = tool_registry
        self._clock = clock
        self.choices: dict[str, CallChoice] = {}
        """By CallSid: of people who make the call, who also take them out again."""
        self.follows_edits = False
        """Running calls follow edits of every record, not only of those with `liveEdits`."""
        self.edits = 0
        """How often records or Python tools were edited; running calls are set up again then."""
        self.offers_tools = True
        """False: for a model that cannot use tools."""
        self._remarks: dict[str, tuple[str, ...]] = {}
        """By use case, as last read."""
        self._warned: set[str] = set()
        self._parsed: dict[tuple[bytes, int], tuple[object, records.ParsedRecord]] = {}
        """By content without the prompt, and `edits`; with the tools that were there."""

    @property
    def remarks(self) -> list[str]:
        """What is left out of use cases or makes them unusable, one line each; no personal data."""
        return [remark for name in sorted(self._remarks) for remark in self._remarks[name]]

    async def read(self, webhook: Mapping[str, object]) -> tuple[Profile, SessionItem]:
        """Set a call up from its item; raises `UseCaseError` if no use case can answer."""
        caller, outbound = call_item.identity_of(webhook), call_item.outbound_use_case(webhook)
        only = outbound or self._choice(webhook).use_case
        likely = only or self._settings.stack_use_case
        keys = [(likely, records.CONFIGURATION), *([(caller, PROFILE)] if caller else [])]
        record, *found = await self._store.get_many(keys)
        item = (found[0] if found else None) or {}
        profile = profile_from_item(item) if item else Profile(caller)
        whom = caller or str(webhook.get("CallSid", ""))
        chosen = None
        if not only and profile.use_case not in {"", likely}:
            chosen = await self._chosen_by_profile(profile.use_case, whom)
        use_case, version = chosen or await self._chosen(likely, record, whom)
        variables = await variables_of_call(use_case, webhook, self._tool_registry, self._count)
        call = {**webhook, "variables": variables}
        return profile, await self._session_item(use_case, version, profile, item, call)

    async def renew(self, record: Item, item: Mapping[str, object]) -> SessionItem:
        """Set a call up again with a record that was edited while the call runs."""
        use_case, profile = self.parse(record), call_item.profile_of(item)
        known = call_item.profile_item_of(item)
        return await self._session_item(use_case, 0, profile, known, item)

    async def record_of(self, item: Mapping[str, object]) -> Item:
        """The record of a call, in the version it is pinned to; raises `UseCaseError`."""
        name = call_item.use_case_of(item)
        if number := call_item.version_of(item):
            pinned = await self._store.get(*versions.version_key(name, number))
            if pinned is not None:
                return versions.as_record(pinned)
        return await self._record(name)

    async def use_case(self, name: str) -> UseCase:
        """A use case as the table has it now; raises `UseCaseError`."""
        return self.parse(await self._record(name))

    def parse(self, record: Item) -> UseCase:
        """Parse a record, or raise `UseCaseError`; each warning is logged once in a process."""
        use_case, warnings = records.with_prompt(self._without_prompt(record), record)
        self._remarks[use_case.name] = warnings
        for warning in warnings:
            if warning not in self._warned:
                self._warned.add(warning)
                log.warning("use_case.warning", use_case=use_case.name, warning=warning)
        return use_case if self.offers_tools else replace(use_case, tools=())

    def _without_prompt(self, record: Item) -> records.ParsedRecord:
        rest, registry = records.without_prompt(record), self._tool_registry
        digest, tools = records.content_digest(rest), registry.choice_of(text_in(record, "pk"))
        known = self._parsed.get((digest, self.edits))
        if known is None or known[0] != tools:
            known = tools, records.parse_rest(rest, *tools, registry.fault_of)
            if digest:
                self._parsed[digest, self.edits] = known
            if len(self._parsed) > _MOST_PARSED:
                self._parsed.clear()
        return known[1]

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

    async def _chosen_by_profile(self, name: str, whom: str) -> tuple[UseCase, int] | None:
        """As `_chosen`; None if the use case is unusable, so that the default one answers."""
        try:
            return await self._chosen(name, await self._record(name), whom)
        except UseCaseError as error:
            log.error("use_case.broken", use_case=name, fault=str(error))
            return None

    async def _chosen(self, name: str, found: Item | None, whom: str) -> tuple[UseCase, int]:
        """A use case for this caller, and its version; 0 is the current record."""
        record = _existing(found, name)
        if number := versions.canary_version(record, whom):
            canary = await self._store.get(*versions.version_key(name, number))
            try:
                if canary is not None:
                    return self.parse(versions.as_record(canary)), number
                log.error("use_case.version_not_found", use_case=name, version=number)
            except UseCaseError as error:
                log.error("use_case.broken", use_case=name, version=number, fault=str(error))
        is_pinned = not records.has_live_edits(record)
        return self.parse(record), versions.intact_version(record) if is_pinned else 0

    async def _session_item(
        self,
        use_case: UseCase,
        version: int,
        profile: Profile,
        profile_item: Mapping[str, object],
        call: Mapping[str, object],
    ) -> SessionItem:
        now = datetime.fromtimestamp(self._clock(), self._settings.time_zone)
        demos = await records.use_cases(self._store) if prompt.lists_use_cases(use_case) else []
        uses_history = prompt.uses_history(use_case)
        before = await self._history(use_case, profile.caller) if uses_history else ()
        variables = filled_variables(use_case.variables, call_item.variables_of(call))
        is_outbound = bool(call_item.outbound_use_case(call))
        filled = prompt.system_prompt(
            use_case,
            profile,
            now,
            demos,
            before,
            is_outbound=is_outbound,
            variables=variables,
        )
        default = use_case.model.identifier or self._settings.model_identifier
        model = self._choice(call).model or default
        return SessionItem(use_case, version, model, filled, profile_item, variables)

    def _choice(self, call: Mapping[str, object]) -> CallChoice:
        return self.choices.get(str(call.get("pk", "")), _NO_CHOICE)

    async def _history(self, use_case: UseCase, caller: str) -> tuple[HistoryEntry, ...]:
        if not caller:
            return ()
        prefixes = order_history.key_prefixes([tool.name for tool in use_case.tools])
        found = await asyncio.gather(*(self._items(caller, prefix) for prefix in prefixes))
        return order_history.read_history(
            list(chain.from_iterable(found)), self._settings.time_zone
        )

    async def _items(self, caller: str, prefix: str) -> list[Item]:
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
