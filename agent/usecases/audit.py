"""Whether the records of a table, or of what is to be written, can be read as the service would.

Session items, orders and other items of calls are not looked at: each call writes its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from agent.call.messages import ToolSpec
from agent.errors import UseCaseError
from agent.ports import Item, Store
from agent.usecases.http_tool import HttpTool
from agent.usecases.named_tools import usable_everywhere
from agent.usecases.profiles import PROFILE
from agent.usecases.record import CONFIGURATION, USE_CASE, parse_use_case
from agent.usecases.use_case import use_case_name
from agent.usecases.versions import VERSION_PREFIX, as_record, canary_in_progress, version_key

_TEXTS = ("firstName", "lastName", "email", "useCase")
"""Fields of a profile."""


@dataclass(frozen=True, slots=True)
class TableAudit:
    """Reads records as the service would."""

    tools: Mapping[str, ToolSpec]
    fault_of: Callable[[HttpTool], str] = usable_everywhere

    def faults(self, item: Item) -> list[str]:
        """What is wrong about an item that is to be written; nothing for one that is no record."""
        kind = str(item.get("sk", ""))
        if kind == PROFILE:
            return profile_faults(item)
        if kind != CONFIGURATION and not kind.startswith(VERSION_PREFIX):
            return []
        try:
            return [*parse_use_case(item, self.tools)[0].faults]
        except UseCaseError as error:
            return [str(error)]

    def refuse(self, items: Iterable[Item]) -> None:
        """Stop what would put a broken record in force.

        Raises:
            UseCaseError: All faults, one line each.
        """
        if lines := [line for item in items for line in self.faults(item)]:
            raise UseCaseError("\n".join(lines))

    async def table(self, store: Store, default: str) -> list[str]:
        """Every fault and warning of the records in force in a table, one line each.

        Args:
            store: The table.
            default: The use case of the process, which must be there.

        Raises:
            StoreError: The table cannot be reached.
        """
        records = {str(item["pk"]): item for item in await store.query_index(USE_CASE)}
        lines = []
        if default not in records:
            found = await store.get(default, CONFIGURATION)
            if found is None:
                lines.append(f"{default}: there is no such use case")
            else:
                records[default] = found
        for name, record in sorted(records.items()):
            lines += self._warnings(record)
            lines += await self._of_canary(store, name, record)
        for profile in await store.query_index(PROFILE):
            lines += profile_faults(profile, records)
        return lines

    def _warnings(self, record: Item) -> list[str]:
        try:
            return [*parse_use_case(record, self.tools, fault_of=self.fault_of)[1]]
        except UseCaseError as error:
            return [str(error)]

    async def _of_canary(self, store: Store, name: str, record: Item) -> list[str]:
        number = canary_in_progress(record)
        if not number:
            return []
        version = await store.get(*version_key(name, number))
        if version is None:
            return [f"{name}.canary: there is no version {number}"]
        return [f"version {number}: {line}" for line in self._warnings(as_record(version))]


def profile_faults(item: Item, names: Iterable[str] | None = None) -> list[str]:
    """What of a profile the service would pass over.

    Args:
        item: Of the table.
        names: The use cases there are; None = not known.
    """
    caller = str(item.get("pk", ""))
    lines = [
        f"{caller}.{name}: is not text"
        for name in _TEXTS
        if not isinstance(item.get(name, ""), str)
    ]
    wanted = item.get("useCase")
    if isinstance(wanted, str) and wanted:
        if not use_case_name(wanted):
            lines.append(f"{caller}.useCase: is not the name of a use case")
        elif names is not None and wanted not in names:
            lines.append(f"{caller}.useCase: there is no use case {wanted!r}")
    return lines
