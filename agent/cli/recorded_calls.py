"""The `calls`, `show` and `replay` commands. They only read, and log nothing of what was said."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeVar

from agent import app
from agent.cli.command import Commands, quiet_settings
from agent.observability.recording.call_page import call_page
from agent.observability.recording.recorded_scenario import scenario_text
from agent.observability.recording.transcript import (
    COLUMNS,
    printable,
    read_transcript,
    transcript_json,
    transcript_text,
)
from agent.ports import Store
from agent.session.call_replay import NO_RECORD, replayed
from agent.store.call_state.call_list import (
    DAY,
    CallQuery,
    day_of,
    period_of,
    search_calls,
    search_time,
)

NOT_TRIED = 3
"""A fault of the settings, the table or the use case."""
_FEWEST_COLUMNS = 72
_T = TypeVar("_T")


def add(commands: Commands) -> None:
    """Add the commands."""
    listing = commands.add_parser("calls", help="search calls, the latest first")
    listing.add_argument(
        "--last", type=int, default=20, metavar="N", help="at most so many (default 20)"
    )
    when = listing.add_mutually_exclusive_group()
    when.add_argument(
        "--since",
        type=checked(period_of),
        default=DAY,
        metavar="TIME",
        help="30m, 2h, 7d; default 24h",
    )
    when.add_argument("--day", type=checked(day_of), metavar="DATE", help="2026-11-28")
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


def checked(read: Callable[[str], _T]) -> Callable[[str], _T]:
    """The type of an option whose `ValueError` says what it must be."""

    def typed(text: str) -> _T:
        try:
            return read(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return typed


async def _calls(asked: argparse.Namespace) -> int:
    settings = quiet_settings()
    time = search_time(datetime.now(settings.time_zone), asked.since, asked.day)
    names = ("last", "caller", "use_case", "outcome", "tool", "reason", "text")
    query = CallQuery(*time, **{name: getattr(asked, name) for name in names})
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
            calls = await search_calls(store, CallQuery(now - DAY, now, 1))
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
