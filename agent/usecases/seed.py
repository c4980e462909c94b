"""Loading configuration into a table, and checking it without one.

Seeding again is harmless: a record replaces its older self, which stays as a version
(`agent.usecases.versions`), an example caller is merged into what callers have told about
themselves meanwhile (D21), and a slot that was booked stays away.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from agent.call.messages import ToolSpec
from agent.errors import UseCaseError
from agent.ports import Item, Store
from agent.usecases.audit import TableAudit
from agent.usecases.folders import (
    load_folder,
    load_profile,
    load_record,
    profile_files,
    use_case_folders,
)
from agent.usecases.http_tool import HttpTool
from agent.usecases.named_tools import usable_everywhere
from agent.usecases.profiles import PROFILE
from agent.usecases.prompt import GREETING_PLACEHOLDERS, PROMPT_PLACEHOLDERS, unknown_placeholders
from agent.usecases.record import CONFIGURATION, parse_use_case
from agent.usecases.seed_items import PlannedItem, load_document, load_further
from agent.usecases.validation import size_fault
from agent.usecases.versions import CurrentVersion, Versions, as_record, version_key

_ANY_DAY = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class SeedResult:
    """An item that was written, or would be."""

    pk: str
    sk: str
    in_force: CurrentVersion | None = None
    """Of the record of a use case."""

    def __str__(self) -> str:
        """As an operator reads it."""
        return f"{self.pk} / {self.sk}" + (f" ({self.in_force})" if self.in_force else "")


async def seed(  # noqa: PLR0913 (choices, by name)
    store: Store,
    configuration: Path,
    tools: Mapping[str, ToolSpec],
    *,
    now: datetime,
    use_case: str = "",
    dry_run: bool = False,
    audit: TableAudit | None = None,
) -> list[SeedResult]:
    """Load everything, or one use case; records are then in force for all callers.

    Args:
        store: The table.
        configuration: The folder that holds `use-cases` and `profiles`.
        tools: What is implemented, by name.
        now: Aware; today, in the zone that decides when a day ends.
        use_case: Load only this one, and no profiles.
        dry_run: Read and tell, write nothing.
        audit: Refuses records the service could not read whole; None = all are taken.

    Returns:
        What was written, or would be, in that order.

    Raises:
        UseCaseError: The first fault of a file, or all faults of records, a line each; then
            nothing at all was written.
        StoreError: Some of it may have been written.
    """
    plan = await asyncio.to_thread(_plan, configuration, tools, now, use_case)
    _refuse(audit, *(planned.item for planned in plan))
    return await _write(store, plan, now, dry_run=dry_run)


async def seed_file(
    store: Store,
    path: Path,
    *,
    now: datetime,
    dry_run: bool = False,
    audit: TableAudit | None = None,
) -> list[SeedResult]:
    """Load one file: a profile as TOML, or any item as `aws dynamodb put-item` takes it.

    Raises:
        UseCaseError: It cannot be read, or `audit` refuses it; then nothing was written.
    """
    load = load_profile if path.suffix == ".toml" else load_document
    item = await asyncio.to_thread(load, path)
    _refuse(audit, item)
    return await _write(store, [PlannedItem(item)], now, dry_run=dry_run)


async def try_out(
    versions: Versions,
    configuration: Path,
    tools: Mapping[str, ToolSpec],
    percent: int,
    audit: TableAudit | None = None,
) -> list[SeedResult]:
    """Let the folder's record answer a share of the callers; see `Versions.try_out`.

    Args:
        versions: Of the use case.
        configuration: As for `seed`.
        tools: As for `seed`.
        percent: From 0 to 99; 0 ends the canary and does not look at the folder.
        audit: As for `seed`.

    Raises:
        UseCaseError: The folder is broken, or there is nothing beside which to try it.
    """
    if percent == 0:
        return [_told(versions, await versions.end_canary())]
    folder = _one_folder(configuration, versions.name)
    record = await asyncio.to_thread(load_record, folder, tools)
    _refuse(audit, record)
    return [_told(versions, await versions.try_out(record, percent))]


async def roll_back(
    versions: Versions, to: int | None, audit: TableAudit | None = None
) -> list[SeedResult]:
    """Put an earlier version in force; see `Versions.roll_back`.

    Raises:
        UseCaseError: There is none, or `audit` refuses it; then nothing was written.
    """
    if audit:
        after = await replace(versions, dry_run=True).roll_back(to)
        version = await versions.store.get(*version_key(versions.name, after.version))
        _refuse(audit, *([as_record(version)] if version else []))
    return [_told(versions, await versions.roll_back(to))]


def check(
    configuration: Path,
    tools: Mapping[str, ToolSpec],
    fault_of: Callable[[HttpTool], str] = usable_everywhere,
) -> list[str]:
    """Every fault of every folder and profile that can be told, one line each, none if all is well.

    Stricter than reading a record: here what would be left out with a warning is a fault, too.
    `fault_of` says why a declared tool could not be used with the present settings.
    """
    folders = use_case_folders(configuration)
    lines = [] if folders else [f"{configuration / 'use-cases'}: there is no use case"]
    for folder in folders:
        lines += _caught(partial(_record_faults, folder, tools, fault_of))
        lines += _caught(partial(_items_faults, folder))
    names = {folder.name for folder in folders}
    for path in profile_files(configuration):
        lines += _caught(partial(_profile_faults, path, names))
    return [line.removeprefix(f"{configuration}/") for line in lines]


def _refuse(audit: TableAudit | None, *items: Item) -> None:
    for item in items:
        if fault := size_fault(item):
            raise UseCaseError(f"{item['pk']} / {item['sk']}: {fault}")
    if audit:
        audit.refuse(items)


def _plan(
    configuration: Path, tools: Mapping[str, ToolSpec], now: datetime, use_case: str
) -> list[PlannedItem]:
    """All that is to be written, read and validated before the first write."""
    folders = (
        [_one_folder(configuration, use_case)] if use_case else use_case_folders(configuration)
    )
    plan = [planned for folder in folders for planned in load_folder(folder, tools, now)]
    if not use_case:
        plan += [PlannedItem(load_profile(path)) for path in profile_files(configuration)]
    return plan


def _one_folder(configuration: Path, use_case: str) -> Path:
    for folder in use_case_folders(configuration):
        if folder.name == use_case:
            return folder
    raise UseCaseError(f"{configuration / 'use-cases' / use_case}: there is no such folder")


async def _write(
    store: Store, plan: list[PlannedItem], now: datetime, *, dry_run: bool
) -> list[SeedResult]:
    return [
        await _write_item(store, planned.item, now, dry_run=dry_run)
        for planned in plan
        if planned.unless is None or not await _is_indexed(store, *planned.unless)
    ]


async def _write_item(store: Store, item: Item, now: datetime, *, dry_run: bool) -> SeedResult:
    pk, sk = str(item["pk"]), str(item["sk"])
    if sk == CONFIGURATION:
        versions = Versions(store, pk, now, dry_run)
        return _told(versions, await versions.publish(item))
    if not dry_run and sk == PROFILE:
        await store.merge(pk, sk, item)
    elif not dry_run:
        await store.put(item)
    return SeedResult(pk, sk)


def _told(versions: Versions, in_force: CurrentVersion) -> SeedResult:
    return SeedResult(versions.name, CONFIGURATION, in_force)


async def _is_indexed(store: Store, pk1: str, sk1: str) -> bool:
    return any(item["sk1"] == sk1 for item in await store.query_index(pk1, sk1))


def _caught(look: Callable[[], list[str]]) -> list[str]:
    """The faults found, or the one that stopped the search."""
    try:
        return look()
    except UseCaseError as error:
        return [str(error)]


def _record_faults(
    folder: Path,
    tools: Mapping[str, ToolSpec],
    fault_of: Callable[[HttpTool], str],
) -> list[str]:
    record = load_record(folder, tools)
    file, name = folder / "use-case.toml", f"{folder.name}."
    try:
        use_case, warnings = parse_use_case(record, tools)
    except UseCaseError as error:
        return [f"{file}: {str(error).removeprefix(name)}"]
    barred = [
        f"{file}: http_tools.{tool.spec.name}.{fault}"
        for tool in use_case.http_tools
        if (fault := fault_of(tool))
    ]
    templates = (
        (folder / "prompt.md", use_case.prompt, PROMPT_PLACEHOLDERS),
        (f"{file}: greeting", use_case.greeting, ()),
        (f"{file}: greeting_known", use_case.greeting_known, GREETING_PLACEHOLDERS),
    )
    remarks = [f"{file}: {warning.removeprefix(name)}" for warning in warnings]
    return [*remarks, *barred] + [
        f"{place}: {marker}: nothing fills this"
        for place, template, known in templates
        for marker in unknown_placeholders(template, known)
    ]


def _items_faults(folder: Path) -> list[str]:
    load_further(folder, _ANY_DAY)
    return []


def _profile_faults(path: Path, names: set[str]) -> list[str]:
    use_case = load_profile(path).get("useCase", "")
    if use_case and use_case not in names:
        return [f"{path}: use_case: there is no use case {use_case!r}"]
    return []
