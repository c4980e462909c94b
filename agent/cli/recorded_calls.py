"""The `calls`, `show` and `replay` commands. They only read, and log nothing of what was said."""

from __future__ import annotations

import argparse
import re
import shutil
import sys
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from datetime import time as day_time
from time import time

from agent import app
from agent.cli.call_page import call_page
from agent.cli.command import Commands, quiet_settings
from agent.cli.evaluation.recorded_scenario import scenario_text
from agent.observability.recording.replay import Today, changes, replay, report
from agent.observability.recording.serialization import (
    RecordedConnection,
    RecordError,
    missing,
    read_record,
)
from agent.observability.recording.transcript import (
    COLUMNS,
    folded,
    printable,
    read_transcript,
    transcript_json,
    transcript_text,
)
from agent.ports import Store
from agent.session import Resources
from agent.session.call_setup import CallSetup
from agent.session.observers import code_digest, today
from agent.settings import Settings
from agent.store.call_state.call_list import CallQuery, search_calls

DIFFERENT = 1
NO_RECORD = 2
"""There is no record, or it cannot be used."""
NOT_TRIED = 3
"""A fault of the settings, the table or the use case."""
_FEWEST_COLUMNS = 72
_DAY = timedelta(days=1)
"""Calls are searched for so long, unless asked otherwise."""
_PERIOD = re.compile("([0-9]{1,4})([mhd])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


def add(commands: Commands) -> None:
    """Add the commands."""
    listing = commands.add_parser("calls", help="search calls, the latest first")
    listing.add_argument(
        "--last", type=int, default=20, metavar="N", help="at most so many (default 20)"
    )
    when = listing.add_mutually_exclusive_group()
    when.add_argument(
        "--since", type=period, default=_DAY, metavar="TIME", help="30m, 2h, 7d; default 24h"
    )
    when.add_argument("--day", type=date.fromisoformat, metavar="DATE", help="2026-11-28")
    for option, metavar, meaning in (
        ("caller", "NUMBER", "only of this caller"),
        ("use-case", "NAME", "only of this use case"),
        ("outcome", "NAME", "only with this outcome"),
        ("tool", "NAME", "only those that used this tool"),
        ("reason", "NAME", "only those that ended so: caller_hangup, agent_end, transfer, ..."),
        ("text", "WORDS", "only those with these words in a row, in what was said or in tools"),
    ):
        listing.add_argument(f"--{option}", default="", metavar=metavar, help=meaning)
    listing.set_defaults(run=_calls)

    showing = commands.add_parser(
        "show", help="print a call: what was said, with the time of each step"
    )
    which = showing.add_mutually_exclusive_group(required=True)
    which.add_argument("call", nargs="?", metavar="CALL", help="the SID of a call, CA...")
    which.add_argument("--last", action="store_true", help="the latest call")
    form = showing.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="as JSON")
    form.add_argument("--html", action="store_true", help="as one HTML page")
    form.add_argument(
        "--scenario",
        action="store_true",
        help="as a scenario file, with personal values replaced; read it before you keep it",
    )
    showing.set_defaults(run=_show)

    purpose = (
        "play a recorded call again; exit status 0 same, 1 different, 2 no usable record, "
        "3 not tried: a fault of settings, table or use case"
    )
    replaying = commands.add_parser("replay", help=purpose, description=purpose)
    replaying.add_argument("call", metavar="CALL", help="the SID of a call, CA...")
    replaying.add_argument(
        "--now", action="store_true", help="with the use case that is in the table now"
    )
    replaying.set_defaults(run=_replay, status_of_fault=NOT_TRIED)


def period(text: str) -> timedelta:
    """The type of an option: a time such as 30m, 2h, 1d."""
    found = _PERIOD.fullmatch(text)
    if not found:
        raise argparse.ArgumentTypeError("must be a number with m, h or d: 30m, 2h")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


async def _calls(asked: argparse.Namespace) -> int:
    settings = quiet_settings()
    until = datetime.now(settings.time_zone)
    since = until - asked.since
    if asked.day is not None:
        since = datetime.combine(asked.day, day_time(), settings.time_zone)
        until = datetime.combine(asked.day + _DAY, day_time(), settings.time_zone)
    names = ("last", "caller", "use_case", "outcome", "tool", "reason", "text")
    query = CallQuery(since, until, **{name: getattr(asked, name) for name in names})
    async with app.open_calls(settings, makes_table=False) as (_, store, _):
        calls = await search_calls(store, query)
    for call in calls:
        began = call.began.astimezone(settings.time_zone).strftime("%Y-%m-%d %H:%M:%S")
        length = f"{call.seconds // 60}:{call.seconds % 60:02}" if call.reason else "-"
        fields = f"{call.caller or 'withheld':16} {call.use_case:28} {length:>6} {call.reason}"
        if call.outcome:
            fields += f", success: {call.outcome}"
        print(printable(f"{began}  {call.call_sid}  {fields}".rstrip()))
    if not calls:
        print("no calls", file=sys.stderr)
    return 0


async def _show(asked: argparse.Namespace) -> int:
    async with app.open_calls(quiet_settings(), makes_table=False) as (_, store, _):
        call_sid = asked.call
        if asked.last:
            now = datetime.now(UTC)
            calls = await search_calls(store, CallQuery(now - _DAY, now, 1))
            call_sid = calls[0].call_sid if calls else "--last"
        if asked.scenario:
            text = await scenario_text(store, call_sid)
        elif asked.html:
            call = await read_transcript(store, call_sid)
            text = None if call is None else call_page(call)
        else:
            text = await shown(store, call_sid, for_machines=asked.json, columns=output_columns())
    if text is None:
        print(f"{call_sid}: there is no such call", file=sys.stderr)
        return 1
    print(text)
    return 0


async def _replay(asked: argparse.Namespace) -> int:
    settings = quiet_settings(with_mcp=asked.now)
    async with app.open_calls(settings, makes_table=False) as (calls, _, _):
        columns, call = output_columns(), (settings, calls.resources, asked.call)
        report = await replayed(*call, with_today=asked.now, columns=columns)
    has_record = report.status != NO_RECORD
    print(report.text, file=sys.stdout if has_record else sys.stderr)
    return report.status


@dataclass(frozen=True, slots=True)
class ReplayReport:
    """The text and exit status of a replay: 0 = same, or `DIFFERENT` or `NO_RECORD`."""

    text: str
    status: int


def output_columns() -> int:
    """The columns of the terminal, from 72 to 100; 100 without a terminal."""
    if not sys.stdout.isatty():
        return COLUMNS
    return max(_FEWEST_COLUMNS, min(shutil.get_terminal_size((COLUMNS, 24)).columns, COLUMNS))


async def shown(
    store: Store, call_sid: str, *, for_machines: bool = False, columns: int = COLUMNS
) -> str | None:
    """A call as text of so many columns, or as JSON; `None` if there is no such call."""
    call = await read_transcript(store, call_sid)
    if call is None:
        return None
    return transcript_json(call) if for_machines else printable(transcript_text(call, columns))


async def replayed(
    settings: Settings,
    resources: Resources,
    call_sid: str,
    *,
    with_today: bool = False,
    columns: int = COLUMNS,
) -> ReplayReport:
    """Play a recorded call again; `with_today` with the use case that is in the table now.

    Raises `UseCaseError` if its use case does not exist any more.
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
    outcome = replay(lines, now)
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
