"""Load configuration into a table, and check configuration and table.

Seeding again is harmless: a record replaces the present one, which stays as a version
(`agent.usecases.versions`); an example caller is merged, so that what callers said about themselves
stays; and a booked slot is not written again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from agent.call.messages import ToolSpec
from agent.errors import UseCaseError
from agent.ports import Item, Store
from agent.usecases import PROFILE, UseCase, use_case_name
from agent.usecases.folders import (
    SEEDED,
    PlannedItem,
    load_document,
    load_folder,
    load_further,
    load_profile,
    load_record,
    profile_files,
    use_case_folders,
)
from agent.usecases.http_tool import HttpTool
from agent.usecases.named_tools import usable_everywhere
from agent.usecases.prompt import GREETING_PLACEHOLDERS, PROMPT_PLACEHOLDERS, unknown_placeholders
from agent.usecases.record import CONFIGURATION, USE_CASE, parse_use_case
from agent.usecases.translations import lacking
from agent.usecases.validation import size_error
from agent.usecases.versions import (
    VERSION_PREFIX,
    CurrentVersion,
    Versions,
    as_record,
    canary_in_progress,
    version_key,
)


@dataclass(frozen=True, slots=True)
class SeedResult:
    """An item that was written, or would be; `in_force` of a use case's record."""

    pk: str
    sk: str
    in_force: CurrentVersion | None = None

    def __str__(self) -> str:
        return f"{self.pk} / {self.sk}" + (f" ({self.in_force})" if self.in_force else "")


async def seed(
    store: Store,
    configuration: Path,
    tools: Mapping[str, ToolSpec],
    *,
    now: datetime,
    use_case: str = "",
    dry_run: bool = False,
) -> list[SeedResult]:
    """Load everything, or one use case; the records answer all callers from then on.

    Args:
        store: The table.
        configuration: The folder that holds `use-cases` and `profiles`.
        tools: What is implemented, by name.
        now: Aware; today, in the zone that decides when a day ends.
        use_case: Load only this one, and no profiles.
        dry_run: Write nothing, return what would be written.

    Raises:
        UseCaseError: The first error of a file, or all errors of records, a line each; nothing was
            written.
        StoreError: Some of it may have been written.
    """
    plan = await asyncio.to_thread(_plan, configuration, tools, now, use_case)
    _refuse(tools, *(planned.item for planned in plan))
    return await _write(store, plan, now, dry_run=dry_run)


async def seed_file(
    store: Store, path: Path, tools: Mapping[str, ToolSpec], *, now: datetime, dry_run: bool = False
) -> list[SeedResult]:
    """Load one file as `seed`: a profile as TOML, or an item for `aws dynamodb put-item`."""
    load = load_profile if path.suffix == ".toml" else load_document
    item = await asyncio.to_thread(load, path)
    _refuse(tools, item)
    return await _write(store, [PlannedItem(item)], now, dry_run=dry_run)


async def try_out(
    versions: Versions, configuration: Path, tools: Mapping[str, ToolSpec], percent: int
) -> list[SeedResult]:
    """Let the folder's record answer `percent` of the callers, as `Versions.try_out`.

    0 % ends the canary without reading the folder. `UseCaseError` if the folder has an error, or
    the use case has no record yet.
    """
    if percent == 0:
        return [_result(versions, await versions.end_canary())]
    folder = _one_folder(configuration, versions.name)
    record = await asyncio.to_thread(load_record, folder, tools)
    _refuse(tools, record)
    return [_result(versions, await versions.try_out(record, percent))]


async def roll_back(
    versions: Versions, to: int | None, tools: Mapping[str, ToolSpec]
) -> list[SeedResult]:
    """Put an earlier version in force, as `Versions.roll_back`; `UseCaseError` if it has errors."""
    after = await replace(versions, dry_run=True).roll_back(to)
    version = await versions.store.get(*version_key(versions.name, after.version))
    _refuse(tools, *([as_record(version)] if version else []))
    return [_result(versions, await versions.roll_back(to))]


async def prune(
    store: Store, configuration: Path, *, now: datetime, dry_run: bool = False
) -> list[SeedResult]:
    """Delete the use cases and seeded profiles that are not in the folder.

    A running call goes on with the version it began with; one with `liveEdits` has no version, and
    cannot be resumed by another process. A new call of a profile that names a deleted use case gets
    the default one. Versions and further items stay, so loading the folder
    again continues the numbers. A profile is deleted if `seed` has written it; one that a caller
    made by calling has no mark, and stays.
    """
    folders = await asyncio.to_thread(use_case_folders, configuration)
    files = await asyncio.to_thread(profile_files, configuration)
    kept = {folder.name for folder in folders} | {str(load_profile(it)["pk"]) for it in files}
    deleted = list[SeedResult]()
    for record in await store.query_index(USE_CASE):
        name = str(record["pk"])
        if name not in kept and await store.get(name, CONFIGURATION):
            versions = Versions(store, name, now, dry_run)
            deleted.append(_result(versions, await versions.withdraw()))
    for profile in await store.query_index(PROFILE):
        caller = str(profile["pk"])
        if caller not in kept and profile.get(SEEDED):
            if not dry_run:
                await store.delete(caller, PROFILE)
            deleted.append(SeedResult(caller, PROFILE))
    return deleted


def check(
    configuration: Path,
    tools: Mapping[str, ToolSpec],
    unusable_reason: Callable[[HttpTool], str] = usable_everywhere,
) -> list[str]:
    """Every error of every folder and profile, one line each; a warning is an error here.

    `unusable_reason` says why a declared tool could not be used with the present settings.
    """
    folders = use_case_folders(configuration)
    lines = [] if folders else [f"{configuration / 'use-cases'}: there is no use case"]
    for folder in folders:
        with _noting(lines):
            lines += _record_errors(folder, tools, unusable_reason)
        with _noting(lines):
            load_further(folder, datetime(2026, 1, 1, tzinfo=UTC))
    names = {"", *(folder.name for folder in folders)}
    for path in profile_files(configuration):
        with _noting(lines):
            if (use_case := load_profile(path).get("useCase", "")) not in names:
                lines.append(f"{path}: use_case: there is no use case {use_case!r}")
    return [line.removeprefix(f"{configuration}/") for line in lines]


async def check_table(
    store: Store,
    default: str,
    tools: Mapping[str, ToolSpec],
    unusable_reason: Callable[[HttpTool], str] = usable_everywhere,
) -> tuple[list[str], dict[str, UseCase]]:
    """Every error and warning of the records and profiles in a table, one line each.

    `default` is the use case of the process, which must exist; otherwise as `check`. With the use
    cases that could be read, by the beginning of a line about one.
    """
    lines, read = list[str](), dict[str, UseCase]()

    def note(record: Item, place: str = "") -> None:
        try:
            use_case, found = parse_use_case(record, tools, unusable_reason=unusable_reason)
            read[f"{place}{use_case.name}"] = use_case
            unfilled = (f"{field}: {fault}" for field, fault in _unfilled(use_case))
            more = (*lacking(use_case), *unfilled)
            found = (*found, *(f"{use_case.name}.{line}" for line in more))
        except UseCaseError as error:
            found = (str(error),)
        lines.extend(place + line for line in found)

    records = {str(item["pk"]): item for item in await store.query_index(USE_CASE)}
    if default not in records:
        if found := await store.get(default, CONFIGURATION):
            records[default] = found
        else:
            lines.append(f"{default}: there is no such use case")
    for name, record in sorted(records.items()):
        note(record)
        if number := canary_in_progress(record):
            if version := await store.get(*version_key(name, number)):
                note(as_record(version), f"version {number}: ")
            else:
                lines.append(f"{name}.canary: there is no version {number}")
    for profile in await store.query_index(PROFILE):
        lines += _profile_errors(profile, records)
    return lines, read


def _refuse(tools: Mapping[str, ToolSpec], *items: Item) -> None:
    """Check items before they are written; raises all errors of records and profiles at once."""
    lines = list[str]()
    for item in items:
        if error := size_error(item):
            raise UseCaseError(f"{item['pk']} / {item['sk']}: {error}")
        kind = str(item.get("sk", ""))
        if kind == PROFILE:
            lines += _profile_errors(item)
        elif kind == CONFIGURATION or kind.startswith(VERSION_PREFIX):
            with _noting(lines):
                lines += parse_use_case(item, tools)[0].errors
    if lines:
        raise UseCaseError("\n".join(lines))


@contextmanager
def _noting(lines: list[str]) -> Iterator[None]:
    try:
        yield
    except UseCaseError as error:
        lines.append(str(error))


def _plan(
    configuration: Path, tools: Mapping[str, ToolSpec], now: datetime, use_case: str
) -> list[PlannedItem]:
    if use_case:
        return load_folder(_one_folder(configuration, use_case), tools, now)
    folders = use_case_folders(configuration)
    plan = [planned for folder in folders for planned in load_folder(folder, tools, now)]
    return plan + [PlannedItem(load_profile(path)) for path in profile_files(configuration)]


def _one_folder(configuration: Path, use_case: str) -> Path:
    path = configuration / "use-cases" / use_case
    if path not in (folders := use_case_folders(configuration)):
        there = ", ".join(each.name for each in folders) or "none"
        raise UseCaseError(f"{path}: there is no such folder; there are: {there}")
    return path


async def _write(
    store: Store, plan: list[PlannedItem], now: datetime, *, dry_run: bool
) -> list[SeedResult]:
    written = []
    for planned in plan:
        item = planned.item
        pk, sk = str(item["pk"]), str(item["sk"])
        if planned.unless:
            found = await store.query_index(*planned.unless)
            if any(each["sk1"] == planned.unless[1] for each in found):
                continue
        if sk == CONFIGURATION:
            versions = Versions(store, pk, now, dry_run)
            written.append(_result(versions, await versions.publish(item)))
            continue
        if not dry_run and sk == PROFILE:
            await store.merge(pk, sk, item)
        elif not dry_run:
            await store.put(item)
        written.append(SeedResult(pk, sk))
    return written


def _result(versions: Versions, in_force: CurrentVersion) -> SeedResult:
    return SeedResult(versions.name, CONFIGURATION, in_force)


def _record_errors(
    folder: Path, tools: Mapping[str, ToolSpec], unusable_reason: Callable[[HttpTool], str]
) -> list[str]:
    record = load_record(folder, tools)
    file, name = folder / "use-case.toml", f"{folder.name}."
    try:
        use_case, warnings = parse_use_case(record, tools)
    except UseCaseError as error:
        return [f"{file}: {str(error).removeprefix(name)}"]
    asked = use_case.before_call
    unusable = unusable_reason(asked) if asked else ""
    places = {
        "prompt": folder / "prompt.md",
        "greeting": f"{file}: greeting",
        "greetingKnown": f"{file}: greeting_known",
    }
    return [
        *(f"{file}: {warning.removeprefix(name)}" for warning in (*warnings, *lacking(use_case))),
        *(
            f"{file}: http_tools.{tool.spec.name}.{reason}"
            for tool in use_case.http_tools
            if (reason := unusable_reason(tool))
        ),
        *([f"{file}: before_call.{unusable}"] if unusable else []),
        *(f"{places[field]}: {fault}" for field, fault in _unfilled(use_case)),
    ]


def _unfilled(use_case: UseCase) -> Iterator[tuple[str, str]]:
    """The placeholders that nothing fills, each with the field it is in."""
    own = set(use_case.variables)
    templates = (
        ("prompt", use_case.prompt, {*PROMPT_PLACEHOLDERS, *own}),
        ("greeting", use_case.greeting, own),
        ("greetingKnown", use_case.greeting_known, {*GREETING_PLACEHOLDERS, *own}),
    )
    for field, template, known in templates:
        for marker in unknown_placeholders(template, known):
            yield field, f"{marker}: nothing fills this"


def _profile_errors(item: Item, names: Iterable[str] | None = None) -> list[str]:
    """The values of a profile that the service would ignore; `names` of use cases, if known."""
    caller = str(item.get("pk", ""))
    lines = [
        f"{caller}.{name}: is not text"
        for name in ("firstName", "lastName", "email", "useCase")
        if not isinstance(item.get(name, ""), str)
    ]
    wanted = item.get("useCase")
    if isinstance(wanted, str) and wanted:
        if not use_case_name(wanted):
            lines.append(f"{caller}.useCase: is not the name of a use case")
        elif names is not None and wanted not in names:
            lines.append(f"{caller}.useCase: there is no use case {wanted!r}")
    return lines
