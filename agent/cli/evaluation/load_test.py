"""The `load` command: many calls at once on a server, and what the callers have seen."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import msgspec

from agent.cli.command import (
    UNUSABLE,
    Commands,
    check_writable,
    positive,
    positive_whole,
    quiet_settings,
    write_files,
)
from agent.cli.evaluation.load_page import load_page
from agent.cli.evaluation.load_report import LoadReport, is_good, json_text, report_lines
from agent.cli.evaluation.server_address import (
    AddressError,
    ServerAddress,
    add_address,
    address_in,
)
from agent.cli.evaluation.service_times import TIMES, Histogram, read_times
from agent.cli.event_loop import new_loop, settled
from agent.errors import AgentError
from agent.http.server import raise_file_limit
from agent.scenarios.load_figures import LoadFigures, percentiles
from agent.scenarios.load_generator import (
    Level,
    LoadGenerator,
    LoadPlan,
    find_highest,
    level_of,
)
from agent.scenarios.scenario import Says, Scenario, ScenarioError
from agent.scenarios.scenario_files import read_folder

_LIVE_SECONDS = 10.0
"""Answers of the last so many seconds are in a line of progress."""
_PLAIN_SECONDS = 10
"""Between two lines of progress where there is no terminal."""
_PAUSE_SECONDS = 3.0
"""Between two numbers of calls that are tried: the calls before end."""
Run = Callable[[LoadPlan], Awaitable[LoadFigures]]


def add(commands: Commands) -> None:
    """Add the command."""
    purpose = "call a server of yours with many callers at once, and report what they have seen"
    loading = commands.add_parser("load", help=purpose, description=purpose)
    add_address(loading)
    loading.add_argument(
        "--i-own",
        default="",
        metavar="HOST",
        help="the host of URL, if it is not this machine: you confirm that you may load it",
    )
    loading.add_argument(
        "--calls", type=positive_whole, default=10, metavar="N", help="at once (default 10)"
    )
    loading.add_argument(
        "--minutes", type=positive, default=1.0, metavar="M", help="length of a run (default 1)"
    )
    loading.add_argument(
        "--ramp", type=positive, default=10.0, metavar="SECONDS",
        help="over which the first calls begin (default 10)",
    )  # fmt: skip
    loading.add_argument(
        "--rate", type=positive, default=0.0, metavar="PER_SECOND",
        help="calls that arrive; unset: a caller calls again when a call is over",
    )  # fmt: skip
    loading.add_argument(
        "--arrivals", choices=["poisson", "even"], default="poisson",
        help="calls arrive at random or at even times",
    )  # fmt: skip
    loading.add_argument(
        "--think", type=positive, default=0.0, metavar="SECONDS",
        help="mean time of a caller's reaction (default about 1.4)",
    )  # fmt: skip
    what = loading.add_mutually_exclusive_group()
    what.add_argument(
        "--scenarios", type=Path, metavar="FOLDER", help="unset: those of CONFIGURATION"
    )
    what.add_argument(
        "--dialogues", type=Path, metavar="FILE",
        help="instead of scenarios: in each line a JSON list of what one caller says",
    )  # fmt: skip
    loading.add_argument(
        "--find", type=positive, default=0.0, metavar="P95_MS",
        help="find the highest number of calls, up to --calls, with this time to first text",
    )  # fmt: skip
    loading.add_argument(
        "--metrics", default="", metavar="URL",
        help="of the service's metrics: adds what the service and its model took",
    )  # fmt: skip
    loading.add_argument("--json", type=Path, metavar="FILE", help="write the figures")
    loading.add_argument("--html", type=Path, metavar="FILE", help="write a page with plots")
    loading.set_defaults(run=_run, loop=new_loop, status_of_fault=UNUSABLE)


async def _run(asked: argparse.Namespace) -> int:
    address = address_in(asked)
    confirm_owner(address, asked.i_own)
    check_writable(asked, ["json", "html"])
    scenarios = _scenarios(asked)
    plan = LoadPlan(
        asked.calls, asked.minutes * 60, asked.ramp, asked.rate, asked.arrivals == "even",
        asked.think,
    )  # fmt: skip
    raise_file_limit()
    before = await read_times(asked.metrics) if asked.metrics else {}
    async with address.open() as opened, settled():
        twilio = replace(opened, stays_on_server=True)  # the consent is for one host

        async def run(plan: LoadPlan) -> LoadFigures:
            generator = LoadGenerator(twilio, scenarios, plan)
            async with _shown(generator):
                return await generator.run()

        if asked.find:
            report = await _found(asked, plan, run)
        else:
            report = LoadReport(asked.url, plan, await run(plan))
    if asked.metrics:
        report = replace(report, service=await _service_times(asked.metrics, before))
    print("\n".join(report_lines(report)))
    write_files(asked, {"json": lambda: json_text(report), "html": lambda: load_page(report)})
    return 0 if is_good(report) else 1


async def _service_times(url: str, before: Mapping[str, Histogram]) -> Mapping[str, Histogram]:
    """What came since then; nothing if the service has gone, whose figures are still reported."""
    try:
        after = await read_times(url)
    except AgentError as error:
        print(error, file=sys.stderr)
        return {}
    return {name: after[name].since(before[name]) for name in TIMES}


def confirm_owner(address: ServerAddress, owned_host: str) -> None:
    """Raise `AddressError` unless the server is on this machine or said to be one's own."""
    if not address.is_this_machine and owned_host != address.host:
        raise AddressError(
            f"{address.host}: not this machine. A load test of a server that is not yours is an"
            f" attack, and calls of one with a model cost money; if it is yours: --i-own"
            f" {address.host}"
        )


def _scenarios(asked: argparse.Namespace) -> list[Scenario]:
    """What the callers do, without what needs a scripted model; raises `AddressError`."""
    try:
        if asked.dialogues:
            found = list(read_dialogues(asked.dialogues))
        else:
            folder = asked.scenarios or quiet_settings().configuration
            found = [each for each in read_folder(folder) if not each.replies]
    except (ScenarioError, OSError) as error:
        raise AddressError(str(error)) from error
    if not found:
        raise AddressError(f"{asked.dialogues or asked.scenarios}: there is no scenario")
    return found


def read_dialogues(path: Path) -> Iterator[Scenario]:
    """One caller for each line, a JSON list of what is said; raises `ScenarioError`."""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        try:
            words = msgspec.json.decode(line, type=list[str])
        except msgspec.MsgspecError as error:
            raise ScenarioError(f"{path}: line {number}: {error}") from error
        yield Scenario(f"{path.stem} {number}", steps=tuple(Says(each) for each in words))


async def _found(asked: argparse.Namespace, plan: LoadPlan, run: Run) -> LoadReport:
    """The highest number of calls that holds, and the figures at it."""
    runs, levels = dict[int, LoadFigures](), list[Level]()

    async def try_level(calls: int) -> Level:
        if levels:
            await asyncio.sleep(_PAUSE_SECONDS)
        figures = runs[calls] = await run(replace(plan, calls=calls))
        level = level_of(figures, asked.find / 1000)
        levels.append(level)
        print(f"{calls} calls: {level.reason or f'p95 {level.p95:.3f} s'}", file=sys.stderr)
        return level

    highest = await find_highest(try_level, plan.calls)
    figures = runs[highest or levels[-1].calls]
    plan = replace(plan, calls=figures.calls)
    return LoadReport(asked.url, plan, figures, levels=levels, highest=highest)


@asynccontextmanager
async def _shown(generator: LoadGenerator) -> AsyncIterator[None]:
    """Show the progress on standard error meanwhile."""
    showing = asyncio.create_task(_show(generator), name="load progress")
    try:
        yield
    finally:
        showing.cancel()
        if sys.stderr.isatty():
            print(file=sys.stderr)


async def _show(generator: LoadGenerator) -> None:
    is_terminal = sys.stderr.isatty()
    used, at = time.process_time(), time.monotonic()
    while True:
        await asyncio.sleep(1.0 if is_terminal else _PLAIN_SECONDS)
        now_used, now = time.process_time(), time.monotonic()
        line = progress_line(generator, (now_used - used) / (now - at))
        used, at = now_used, now
        if is_terminal:
            print(f"\r{line}\x1b[K", end="", file=sys.stderr, flush=True)
        else:
            print(line, file=sys.stderr, flush=True)


def progress_line(generator: LoadGenerator, core_share: float) -> str:
    """What happens now, in one line."""
    figures, elapsed = generator.figures, generator.elapsed
    since = elapsed - _LIVE_SECONDS
    recent = sorted(each.seconds for each in figures.waits[-10_000:] if each.asked_at > since)
    found = percentiles(recent)
    first = f"first text p50 {found['p50']:.3f} p95 {found['p95']:.3f} s" if found else "no answer"
    return (
        f"{elapsed:5.0f} s  {generator.active} calls  {len(recent) / _LIVE_SECONDS:.1f} answers/s"
        f"  {first}  {figures.errors.total()} errors  {figures.departures.total()} departures"
        f"  generator {core_share:.0%} of a core"
    )
