"""The commands: `python -m agent serve | talk | dial | seed | check | show | replay`."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path

from agent import app
from agent.call.messages import ToolSpec
from agent.cli import recorded_calls, serve, talk
from agent.errors import AgentError
from agent.llm.offline import OFFLINE_NOTICE
from agent.observability import configure_logging
from agent.settings import Settings, log_format_for
from agent.store import open_store
from agent.tools import SPECS
from agent.tools.http import fault_of
from agent.tools.mcp import survey
from agent.usecases import seed
from agent.usecases.caller_identity import identify
from agent.usecases.http_tool import HttpTool
from agent.usecases.named_tools import usable_everywhere
from agent.usecases.versions import Versions

CONFIGURATION = Path(__file__).parents[2] / "configuration"


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    asked = _parser().parse_args(arguments)
    try:
        status: int = asyncio.run(asked.run(asked))
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for Python's last flush
        return 128 + signal.SIGPIPE
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 128 + signal.SIGINT
    except AgentError as error:
        print(error, file=sys.stderr)
        return int(asked.status_of_fault)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m agent", description=__doc__)
    parser.set_defaults(status_of_fault=1)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    serving = commands.add_parser("serve", help="take calls until SIGTERM")
    serving.add_argument(
        "--seed",
        action="store_true",
        help="create the file at STORE_PATH with the shipped configuration if it is missing;"
        " no effect with TABLE_NAME",
    )
    serving.set_defaults(run=_serve)

    talking = commands.add_parser("talk", help="talk to an agent in this terminal")
    talking.add_argument("--use-case", metavar="NAME", help="instead of STACK_USE_CASE")
    talking.add_argument(
        "--from", dest="caller", default="", metavar="NUMBER", help="calls from this number"
    )
    talking.set_defaults(run=_talk)

    dialling = commands.add_parser("dial", help="call a number with an agent")
    dialling.add_argument(
        "number", metavar="NUMBER", help="the number to call; see OUTBOUND_NUMBERS"
    )
    dialling.add_argument("--use-case", required=True, metavar="NAME", help="the agent")
    dialling.add_argument(
        "--from", dest="caller_id", default="", metavar="NUMBER", help="instead of OUTBOUND_FROM"
    )
    dialling.add_argument("--wait", action="store_true", help="wait for the end of the call")
    dialling.set_defaults(run=_dial)

    seeding = commands.add_parser(
        "seed", help="load configuration into the table, try a version, go back"
    )
    what = seeding.add_mutually_exclusive_group()
    what.add_argument("--all", action="store_true", help="everything (the default)")
    what.add_argument("--use-case", default="", metavar="NAME", help="only this use case")
    what.add_argument("--profile", type=Path, metavar="FILE", help="only this profile or record")
    change = seeding.add_mutually_exclusive_group()
    change.add_argument(
        "--canary",
        type=int,
        metavar="PERCENT",
        help="with --use-case: this share of callers gets the folder's version, the others the "
        "present one; 0 ends it",
    )
    change.add_argument(
        "--rollback",
        action="store_true",
        help="with --use-case: end the canary, or go back to the version before",
    )
    seeding.add_argument("--to", type=int, metavar="N", help="with --rollback: go to version N")
    seeding.add_argument("--dry-run", action="store_true", help="write nothing")
    seeding.add_argument(
        "--create-table", action="store_true", help="create TABLE_NAME if it is missing"
    )
    seeding.set_defaults(run=_seed)

    checking = commands.add_parser("check", help="validate settings and configuration")
    what = checking.add_mutually_exclusive_group()
    what.add_argument("--settings", action="store_true", help="list every variable instead")
    what.add_argument(
        "--table",
        action="store_true",
        help="also check the use cases in the table, their canaries, and the profiles",
    )
    checking.set_defaults(run=_check)

    showing = commands.add_parser(
        "show", help="print a call: what was said, with the time of each step"
    )
    showing.add_argument("call", metavar="CALL", help="the SID of a call, CA...")
    showing.add_argument("--json", action="store_true", help="as JSON")
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
    replaying.set_defaults(run=_replay, status_of_fault=recorded_calls.NOT_TRIED)
    return parser


async def _serve(asked: argparse.Namespace) -> int:
    settings = Settings.read(os.environ)
    log_format, with_personal = log_format_for(settings), settings.log_personal_data
    configure_logging(settings.log_level, log_format, with_personal=with_personal)
    if asked.seed and not settings.table_name and not settings.store_path.exists():
        await _make_file(settings)
    await serve.serve(settings)
    return 0


async def _make_file(settings: Settings) -> None:
    """Create the embedded table with the shipped configuration, or no file if that fails."""
    draft = settings.store_path.with_name(f"{settings.store_path.name}.new")
    draft.unlink(missing_ok=True)
    store = await open_store("", draft, region="", max_calls=settings.max_calls)
    try:
        await seed.seed(store, CONFIGURATION, SPECS, now=datetime.now(settings.time_zone))
    finally:
        await store.close()
    draft.replace(settings.store_path)


async def _talk(asked: argparse.Namespace) -> int:
    settings = Settings.read(os.environ)
    configure_logging("error", "console", with_personal=settings.log_personal_data)
    # The limits for callers do not apply to the operator's terminal.
    settings = replace(settings, caller_calls_per_hour=0, caller_tokens_per_day=0)
    if asked.use_case:
        settings = replace(settings, stack_use_case=asked.use_case)
    if asked.caller and not identify(asked.caller):
        print(f"--from: {asked.caller} is neither an E.164 number nor client:identity")
        return 1
    if settings.model_identifier.startswith("offline:"):
        print(OFFLINE_NOTICE)
    print(talk.HELP)
    async with app.open_calls(settings) as (calls, _, _):
        line = talk.TerminalTransport(talk.show)
        _hang_up_on_interrupt(line)
        reason = await talk.talk(calls, line, talk.keyboard(), asked.caller)
    print(f"\n[{reason}]")
    return 0


def _hang_up_on_interrupt(line: talk.TerminalTransport) -> None:
    """End the call at the first Ctrl-C; the second one ends the command."""
    loop = asyncio.get_running_loop()

    def hang_up() -> None:
        loop.remove_signal_handler(signal.SIGINT)
        line.take("/hangup")

    loop.add_signal_handler(signal.SIGINT, hang_up)


async def _dial(asked: argparse.Namespace) -> int:
    settings = _quiet_settings(with_mcp=True)
    async with (
        app.open_calls(settings) as (calls, store, _),
        app.open_outbound(settings, calls, store) as outbound,
    ):
        call_sid = await outbound.dial(asked.number, asked.use_case, asked.caller_id)
        print(call_sid)
        if not asked.wait:
            return 0
        status = await outbound.until_over(call_sid)
    print(status)
    return 0 if status == "completed" else 1


async def _seed(asked: argparse.Namespace) -> int:
    if fault := _fault_of_change(asked):
        print(fault, file=sys.stderr)
        return 1
    settings = replace(Settings.read(os.environ), mcp_config="")
    if asked.create_table and await app.make_table(settings):
        print(f"made the table {settings.table_name}")
    for item in await _load(settings, asked):
        print(f"{'would write' if asked.dry_run else 'wrote'} {item}")
    return 0


def _fault_of_change(asked: argparse.Namespace) -> str:
    if asked.canary is not None and not 0 <= asked.canary <= 99:
        return "--canary: must be 1 to 99, or 0 to end it"
    if asked.create_table and asked.dry_run:
        return "--create-table: makes a table, so not with --dry-run"
    if asked.to is not None and not asked.rollback:
        return "--to: needs --rollback"
    if (asked.rollback or asked.canary is not None) and not asked.use_case:
        return f"{'--rollback' if asked.rollback else '--canary'}: needs --use-case"
    return ""


async def _load(settings: Settings, asked: argparse.Namespace) -> list[seed.SeedResult]:
    now = datetime.now(settings.time_zone)
    async with app.open_calls(settings) as (_, store, _):
        if asked.profile is not None:
            return await seed.seed_file(store, asked.profile, SPECS, now=now, dry_run=asked.dry_run)
        versions = Versions(store, asked.use_case, now, asked.dry_run)
        if asked.rollback:
            return await seed.roll_back(versions, asked.to, SPECS)
        if asked.canary is not None:
            return await seed.try_out(versions, CONFIGURATION, SPECS, asked.canary)
        use_case, dry_run = asked.use_case, asked.dry_run
        return await seed.seed(
            store, CONFIGURATION, SPECS, now=now, use_case=use_case, dry_run=dry_run
        )


async def _check(asked: argparse.Namespace) -> int:
    if asked.settings:
        for name, default, meaning in Settings.describe():
            print(f"{name:32} {default or '-':28} {meaning}")
        return 0
    configure_logging("error", "console")
    specs, faults, usable = dict(SPECS), list[str](), usable_everywhere
    try:
        settings = Settings.read(os.environ)
        app.prices_of(settings)
        found, away, remarks = await survey(settings.mcp_config)
    except AgentError as error:
        faults.append(str(error))
    else:
        hosts, secrets = settings.http_tool_hosts, settings.secrets
        usable = partial(fault_of, hosts=hosts, secrets=secrets)
        specs |= found
        faults += away
        print(*remarks, sep="\n", end="\n" if remarks else "")
    faults += seed.check(CONFIGURATION, specs, usable)
    if asked.table:
        faults += await _table_faults(specs, usable)
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


async def _table_faults(
    specs: Mapping[str, ToolSpec], usable: Callable[[HttpTool], str]
) -> list[str]:
    try:
        settings = _quiet_settings()
        async with app.open_calls(settings, makes_table=False) as (_, store, _):
            return await seed.check_table(store, settings.stack_use_case, specs, usable)
    except AgentError as error:
        return [str(error)]


async def _show(asked: argparse.Namespace) -> int:
    async with app.open_calls(_quiet_settings(), makes_table=False) as (_, store, _):
        text = await recorded_calls.shown(
            store, asked.call, for_machines=asked.json, columns=recorded_calls.output_columns()
        )
    if text is None:
        print(f"{asked.call}: there is no such call", file=sys.stderr)
        return 1
    print(text)
    return 0


async def _replay(asked: argparse.Namespace) -> int:
    settings = _quiet_settings(with_mcp=asked.now)
    async with app.open_calls(settings, makes_table=False) as (calls, _, _):
        columns, call = recorded_calls.output_columns(), (settings, calls.resources, asked.call)
        report = await recorded_calls.replayed(*call, with_today=asked.now, columns=columns)
    has_record = report.status != recorded_calls.NO_RECORD
    print(report.text, file=sys.stdout if has_record else sys.stderr)
    return report.status


def _quiet_settings(*, with_mcp: bool = False) -> Settings:
    settings = Settings.read(os.environ)
    configure_logging("error", "console")
    return settings if with_mcp else replace(settings, mcp_config="")
