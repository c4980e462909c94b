"""`forget` and `export`: what the table holds of one caller, deleted or written as JSON."""

from __future__ import annotations

import argparse
import json
import sys
from time import time

from agent import app
from agent.cli.command import Commands, OptionError, quiet_settings
from agent.observability import configure_logging
from agent.observability.recording.transcript import escaped, printable
from agent.session.personal_data import NOT_REACHED, find_personal_data, forget_caller
from agent.usecases.caller_identity import identify

STAYS = 3
"""Something stays, with its reason."""


def add(commands: Commands) -> None:
    """Add the commands."""
    purpose = (
        "delete what the table holds of a caller; exit status 0 nothing stays, 1 the table failed,"
        " 3 something stays, with its reason"
    )
    forgetting = commands.add_parser("forget", help="delete a caller's data", description=purpose)
    _add_number(forgetting)
    forgetting.add_argument(
        "--dry-run", action="store_true", help="only say how many items there are"
    )
    forgetting.set_defaults(run=_forget)
    exporting = commands.add_parser("export", help="print a caller's data as JSON")
    _add_number(exporting)
    exporting.set_defaults(run=_export)


def _add_number(command: argparse.ArgumentParser) -> None:
    command.add_argument("number", metavar="NUMBER", help="E.164, or client: and a name")


def _caller(asked: argparse.Namespace) -> str:
    if not (caller := identify(asked.number)):
        raise OptionError("NUMBER: must be E.164, +15550100000, or client: and a name")
    return caller


async def _forget(asked: argparse.Namespace) -> int:
    caller, settings = _caller(asked), quiet_settings()
    configure_logging("info", "json")  # the line of the audit
    async with (
        app.open_account(settings) as account,
        app.open_calls(settings, account=account, makes_table=False) as (calls, store, _),
    ):
        if asked.dry_run:
            data = await find_personal_data(store, caller)
            items = len(data.own) + len(data.counted) + sum(map(len, data.calls.values()))
            print(f"{items} items, {len(data.calls)} calls")
            return 0
        deletion = await forget_caller(store, calls.recordings, caller, time())
    for kind, number in sorted(deletion.deleted.items()):
        print(printable(f"deleted {number:6} {kind}"))
    for what, reason in deletion.kept:
        print(printable(f"stays: {what}: {reason}"))
    print(NOT_REACHED, file=sys.stderr)
    return STAYS if deletion.kept else 0


async def _export(asked: argparse.Namespace) -> int:
    caller = _caller(asked)
    async with app.open_calls(quiet_settings(), makes_table=False) as (_, store, _):
        data = await find_personal_data(store, caller)
    lines = json.dumps(data.as_export(), ensure_ascii=False, indent=2).split("\n")
    print("\n".join(map(escaped, lines)))
    return 0
