"""The `seed` command: loads configuration into the table, tries a version, goes back."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import structlog

from agent import app
from agent.cli.command import Commands, add_config, read_settings
from agent.cli.evaluation.eval_output import Progress
from agent.cli.evaluation.hosted_service import hosted_settings
from agent.cli.evaluation.suite import Plan, Trial, play_plans
from agent.observability import configure_logging
from agent.observability.recording.transcript import printable
from agent.scenarios.figures import by_scenario
from agent.scenarios.outcome import ScenarioRun
from agent.scenarios.scenario import ScenarioError
from agent.scenarios.scenario_files import read_folder
from agent.settings import Settings
from agent.usecases import seed
from agent.usecases.receivers import RECEIVERS_KEY, load_receivers
from agent.usecases.versions import Versions


def add(commands: Commands) -> None:
    """Add the command."""
    seeding = commands.add_parser(
        "seed", help="load configuration into the table, try a version, go back"
    )
    what = seeding.add_mutually_exclusive_group()
    what.add_argument("--all", action="store_true", help="everything (the default)")
    what.add_argument("--use-case", default="", metavar="NAME", help="only this use case")
    what.add_argument("--profile", type=Path, metavar="FILE", help="only this profile or record")
    what.add_argument(
        "--prune",
        action="store_true",
        help="delete the use cases that are not in the folder, and the profiles that came from one;"
        " running calls go on",
    )
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
    seeding.add_argument(
        "--require-eval",
        action="store_true",
        help="with --canary: write nothing if a scenario of the use case fails",
    )
    seeding.add_argument("--to", type=int, metavar="N", help="with --rollback: go to version N")
    seeding.add_argument("--dry-run", action="store_true", help="write nothing")
    seeding.add_argument(
        "--create-table", action="store_true", help="create TABLE_NAME if it is missing"
    )
    add_config(seeding)
    seeding.set_defaults(run=_run)


async def _run(asked: argparse.Namespace) -> int:
    if fault := _fault_of_change(asked):
        print(fault, file=sys.stderr)
        return 1
    settings = replace(read_settings(asked), mcp_config="")
    if asked.require_eval:
        # what speaks against the canary is raised before calls are played
        await _load(settings, argparse.Namespace(**{**vars(asked), "dry_run": True}))
        failures = await _failures(settings.configuration, asked.use_case)
        print(*failures, sep="\n", end="\n" if failures else "", file=sys.stderr)
        if failures:
            return 1
    if asked.create_table and await app.make_table(settings):
        print(f"made the table {settings.table_name}")
    do, done = ("delete", "deleted") if asked.prune else ("write", "wrote")
    for item in await _load(settings, asked):
        print(f"{done if not asked.dry_run else f'would {do}'} {item}")
    return 0


def _fault_of_change(asked: argparse.Namespace) -> str:
    if asked.canary is not None and not 0 <= asked.canary <= 99:
        return "--canary: must be 1 to 99, or 0 to end it"
    if asked.create_table and asked.dry_run:
        return "--create-table: makes a table, so not with --dry-run"
    if asked.require_eval and not asked.canary:
        return "--require-eval: needs --canary with a share of callers"
    if asked.to is not None and not asked.rollback:
        return "--to: needs --rollback"
    if (asked.rollback or asked.canary is not None) and not asked.use_case:
        return f"{'--rollback' if asked.rollback else '--canary'}: needs --use-case"
    return ""


async def _failures(configuration: Path, use_case: str) -> list[str]:
    """A line for each scenario of the folder's use case that fails, or why none can be played."""
    settings = hosted_settings(str(configuration))
    try:
        scenarios = read_folder(configuration / "use-cases" / use_case)
    except ScenarioError as error:
        return [str(error)]
    plan, runs = Plan(settings, scenarios, Trial()), list[ScenarioRun]()
    progress = Progress(plan.runs)
    try:
        with _quiet_log():
            async for some in play_plans([plan], os.cpu_count() or 1):
                runs += some
                progress.show(some)
    finally:
        progress.end()
    failed = by_scenario(run for run in runs if not run.has_passed)
    lines = [f"{played[0].title}: {_named(played)}" for played in failed.values()]
    end = f"--require-eval: {len(lines)} of {len(scenarios)} scenarios fail, nothing was written"
    return [*map(printable, lines), end] if lines else []


@contextmanager
def _quiet_log() -> Iterator[None]:
    """Of the calls that are played, only what is critical is logged meanwhile."""
    before = structlog.get_config()
    configure_logging("critical", "console")
    try:
        yield
    finally:
        structlog.configure(**before)


def _named(runs: Iterable[ScenarioRun]) -> str:
    return ", ".join(dict.fromkeys(check.name for run in runs for check in run.failures))


async def _load(settings: Settings, asked: argparse.Namespace) -> list[seed.SeedResult]:
    now, folder = datetime.now(settings.time_zone), settings.configuration
    use_case, dry_run = asked.use_case, asked.dry_run
    async with app.open_calls(settings) as (calls, store, _):
        specs = calls.resources.tool_registry.known
        if asked.prune:
            return await seed.prune(store, folder, now=now, dry_run=dry_run)
        if asked.profile is not None:
            return await seed.seed_file(store, asked.profile, specs, now=now, dry_run=dry_run)
        versions = Versions(store, asked.use_case, now, asked.dry_run)
        if asked.rollback:
            return await seed.roll_back(versions, asked.to, specs)
        if asked.canary is not None:
            return await seed.try_out(versions, folder, specs, asked.canary)
        receivers = None if use_case else load_receivers(folder)
        written = await seed.seed(store, folder, specs, now=now, use_case=use_case, dry_run=dry_run)
        if receivers is not None:
            if not dry_run:
                await store.put(receivers)
            written.append(seed.SeedResult(*RECEIVERS_KEY))
        return written
