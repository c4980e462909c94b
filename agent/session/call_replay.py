"""A recorded call played again, with a report of what differs.

`agent.observability.recording.replay` plays it; here it is read from the table, and compared with
what the same call would begin with today.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from time import time

from agent.observability.recording.replay import Today, changes, replay, report
from agent.observability.recording.serialization import (
    RecordedConnection,
    RecordError,
    missing,
    read_record,
)
from agent.observability.recording.transcript import COLUMNS, folded, printable
from agent.session import Resources
from agent.session.call_setup import CallSetup
from agent.session.observers import code_digest, today
from agent.settings import Settings

DIFFERENT = 1
NO_RECORD = 2
"""There is no record, or it cannot be used."""


@dataclass(frozen=True, slots=True)
class ReplayReport:
    """The text and exit status of a replay: 0 = same, or `DIFFERENT` or `NO_RECORD`."""

    text: str
    status: int


async def replayed(
    settings: Settings,
    resources: Resources,
    call_sid: str,
    *,
    with_today: bool = False,
    columns: int = COLUMNS,
) -> ReplayReport:
    """Play a recorded call again, in a thread: a long one takes a while.

    Args:
        settings: Those of the process.
        resources: Its table and tools.
        call_sid: Of the call.
        with_today: With the use case that is in the table now.
        columns: The width of the report.

    Raises:
        UseCaseError: The use case does not exist any more.
        StoreError: The table cannot be read.
    """
    try:
        lines = await read_record(resources.store, call_sid)
    except RecordError as error:
        fault = printable(f"{call_sid}: the record cannot be used: {error}")
        return ReplayReport(fault, NO_RECORD)
    if not lines:
        return ReplayReport(f"{call_sid}: there is no record of this call", NO_RECORD)
    if any(line.beginning.is_redacted for line in lines):
        return ReplayReport(f"{call_sid}: the record is redacted, it can only be shown", NO_RECORD)
    now = None
    if with_today:
        setups = CallSetup(settings, resources.store, resources.tool_registry, time)
        now = await today(setups, lines[0].beginning, settings.model_identifier)
    outcome = await asyncio.to_thread(replay, lines, now)
    text = [*_changed(lines, now, columns), *_incomplete(lines), *report(outcome, columns)]
    return ReplayReport(printable("\n".join(text)), 0 if outcome.is_same else DIFFERENT)


def _changed(lines: list[RecordedConnection], now: Today | None, columns: int) -> list[str]:
    found: dict[str, None] = {}
    for line in lines:
        stamp = now.stamp if now else replace(line.beginning.stamp, code=code_digest())
        brief = now.brief if now else line.beginning.brief
        found |= dict.fromkeys(changes(line, stamp, brief))
    texts = [part for change in found for part in folded(f"  {change}", columns)]
    return ["changed since:", *texts] if found else []


def _incomplete(lines: list[RecordedConnection]) -> list[str]:
    lost = [f"line {generation}: nothing of it is recorded" for generation in missing(lines)]
    return lost + [
        f"line {line.generation}: only its first {len(line.steps)} events are recorded"
        for line in lines
        if line.is_torn or not line.end
    ]
