"""What a turn costs beside the shortest loop worth its name: added time, processor time, calls.

    python benchmarks/run.py --levels 50,100,200 --reps 1            levels of calls, quickly
    python benchmarks/run.py --json FILE                             all levels, three times
    python benchmarks/run.py --beside FOLDER --levels 100            beside another checkout
    python benchmarks/run.py --measure all --json FILE               everything, an hour
    python benchmarks/run.py --compare FILE [--levels ...]           beside figures saved earlier
    python benchmarks/run.py --profile [--levels 100]                where the time of a turn goes

Everything is done by every subject (`--subjects`, in turns, the order reversed each time):

- `reference`: the loop of `reference.py`, without history, table or tools;
- `sqlite`, `dynamodb`: the service; its table is a file, or a stub in a process of its own;
- `nothing`: a relay that answers at once, without a model; what it "adds" is the rig's;
- `beside-sqlite`, `beside-dynamodb`: the service of the other checkout, with its own `.venv`.

What is measured (`--measure levels,capacity,memory,webhook,start`, or `all`):

- levels: calls side by side, a turn of each every 2.4 s, 40 tokens a reply, 300 ms to the first;
- capacity: the most calls with added time of at most 50 ms at P95, climbing;
- memory: kilobytes of a call that is open, and of one with 50 turns behind it;
- webhook: `/twiml` at 100 requests a second, with a DynamoDB that answers in 0 and in 5 ms;
- start: seconds from the beginning of the process until it is ready.

The subject has one core, all else another. Printed are medians, and in brackets the difference
between repetitions; `x` is the ratio to the reference loop in the same repetition. Only ratios
within one run are comparable when the machine has other work, and added times only of rows whose
`wait` is near 0: the share of time in which other work had the subject's core. A row in which `rig`
is near 1 is a measurement of the rig. With uvloop where that is installed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import aiohttp

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from agent.scenarios.figures import percentile
from agent.simulator.carrier import Twilio, call_fields
from benchmarks.callers import Calls, Subject
from benchmarks.model_stub import ModelStub
from benchmarks.reference import run_quickly
from benchmarks.rig import CALLER, Rig
from benchmarks.sampler import Samples, between, profile_lines, read_samples

LEVELS = (1, 50, 100, 200, 350, 500)
SUBJECTS = ("reference", "sqlite", "dynamodb", "nothing")
CLIMB = (25, 50, 75, 100, 130, 170, 220, 280, 350, 420, 500, 600, 720, 850, 1000)
MOST_ADDED_MS = 50.0
_CLIMB_TURNS = 3
_TURNS_ALONE = 12
_IDLE_CALLS, _LONG_CALLS, _LONG_TURNS = 200, 50, 50
_WEBHOOKS, _WEBHOOKS_A_SECOND = 1_000, 100
_DELAYS_MS = (0, 5)
_FUNCTIONS = 25
"""Lines of a profile."""
_WIDTH = 34

Figures = dict[str, float]
Rows = dict[str, list[Figures]]
"""Figures of each repetition, by what was measured: `100 sqlite`."""


async def warm(rig: Rig, subject: Subject, turns: int = 6) -> None:
    """Play some turns that are not measured: the first ones of a process cost more."""
    await rig.play(Calls(subject, 20, turns, think=0.1, warm_turns=0))


async def measure_levels(rig: Rig, name: str, asked: argparse.Namespace) -> Rows:
    """Play every level."""
    rows: Rows = {}
    async with rig.subject(name) as subject:
        await warm(rig, subject, asked.warm)
        for level in asked.levels:
            calls = Calls(subject, level, asked.turns)
            if level == 1:  # nothing happens at the same time: no need to wait
                calls = Calls(subject, level, max(asked.turns, _TURNS_ALONE), think=0.2)
            rows[f"{level} {name}"] = [await rig.play(calls)]
    return rows


def is_quick(found: Figures) -> bool:
    """Whether so many calls are not too many."""
    return not found["errors"] and found["added_p95"] <= MOST_ADDED_MS


async def measure_capacity(rig: Rig, name: str, _: argparse.Namespace) -> Rows:
    """Climb until the calls are too many twice: a machine has other work sometimes."""
    best: Figures = {"calls": 0}
    async with rig.subject(name) as subject:
        await warm(rig, subject)
        for count in CLIMB:
            found = await rig.play(Calls(subject, count, _CLIMB_TURNS))
            if not is_quick(found):
                found = await rig.play(Calls(subject, count, _CLIMB_TURNS))
            if not is_quick(found):
                break
            names = ("added_p50", "added_p95", "cpu_ms", "core", "rig_core")
            best = {"calls": count, **{each: found[each] for each in names}}
    return {f"capacity {name}": [best]}


async def measure_memory(rig: Rig, name: str, _: argparse.Namespace) -> Rows:
    """Measure calls that are silent, and in a process of their own calls with many turns."""
    async with rig.subject(name) as subject:
        await warm(rig, subject)
        idle = await rig.play(Calls(subject, _IDLE_CALLS, 0, think=0, warm_turns=0))
    times = rig.model.first, rig.model.gap
    async with rig.subject(name) as subject:
        await warm(rig, subject)
        rig.model.first = rig.model.gap = 0.0
        try:
            full = await rig.play(Calls(subject, _LONG_CALLS, _LONG_TURNS, think=0, warm_turns=0))
        finally:
            rig.model.first, rig.model.gap = times
    errors = idle["errors"] + full["errors"]
    row = {"idle_kb": idle["kb_open"], "with_50_turns_kb": full["kb_after"], "errors": errors}
    return {f"memory {name}": [row]}


async def measure_webhook(rig: Rig, name: str, _: argparse.Namespace) -> Rows:
    """Ask for TwiML at a steady rate, whether or not the last answer has come."""
    rows: Rows = {}
    for delay in _DELAYS_MS if name.endswith("dynamodb") else (0,):
        async with rig.service(name, delay_ms=delay) as service:
            await ring_steadily(service.twilio, _WEBHOOKS_A_SECOND)  # the first second warms it
            before = service.server.cpu_seconds()
            taken, refused = await ring_steadily(service.twilio, _WEBHOOKS)
            cpu = service.server.cpu_seconds() - before
        row = {"p50_ms": percentile(taken, 0.5), "p99_ms": percentile(taken, 0.99)}
        row |= {"cpu_ms": 1000 * cpu / _WEBHOOKS, "refused": refused}
        rows[f"twiml {name}, table {delay} ms away"] = [row]
    return rows


async def ring_steadily(twilio: Twilio, count: int) -> tuple[list[float], int]:
    """Ring 100 times a second; sorted milliseconds of the webhooks, and how many found no line."""
    taken, refused = list[float](), list[int]()
    url = f"{twilio.base}/twiml"

    async def ring(at: float) -> None:
        await asyncio.sleep(max(0.0, at - time.monotonic()))
        began = time.monotonic()
        answer = await twilio.post(url, call_fields(From=CALLER))
        taken.append(1000 * (time.monotonic() - began))
        if answer.relay is None:
            refused.append(answer.status)

    begin = time.monotonic()
    async with asyncio.TaskGroup() as tasks:
        for number in range(count):
            tasks.create_task(ring(begin + number / _WEBHOOKS_A_SECOND), name=f"ring {number}")
    return sorted(taken), len(refused)


async def measure_start(rig: Rig, name: str, _: argparse.Namespace) -> Rows:
    """Start a service."""
    async with rig.service(name) as service:
        return {f"start {name}": [{"seconds": service.server.start_seconds}]}


Measure = Callable[[Rig, str, argparse.Namespace], Awaitable[Rows]]
MEASURES: Mapping[str, Measure] = {
    "levels": measure_levels,
    "capacity": measure_capacity,
    "memory": measure_memory,
    "webhook": measure_webhook,
    "start": measure_start,
}
_OF_SERVICES = ("memory", "webhook", "start")


async def measure_all(rig: Rig, subjects: Sequence[str], asked: argparse.Namespace) -> Rows:
    """Repeat every measurement, the subjects in turns."""
    rows: Rows = {}
    for repetition in range(asked.reps):
        for measure in asked.measure:
            for name in subjects if repetition % 2 == 0 else reversed(subjects):
                if measure in _OF_SERVICES and name in {"reference", "nothing"}:
                    continue
                for label, found in (await MEASURES[measure](rig, name, asked)).items():
                    rows.setdefault(label, []).extend(found)
                    shown = "  ".join(f"{key} {value:.3g}" for key, value in found[0].items())
                    print(f"  {label}: {shown}", flush=True)
    return rows


async def profile(rig: Rig, subjects: Sequence[str], asked: argparse.Namespace) -> None:
    """Print where the time of a turn goes, by stage against its budget, and by function."""
    for level in asked.levels:
        async with rig.subject("reference") as subject:
            await warm(rig, subject, asked.warm)
            base = await rig.play(Calls(subject, level, asked.turns))
        print(f"{level} calls; a turn of the reference loop: {base['cpu_ms']:.2f} ms")
        for name in subjects:
            if name in {"reference", "nothing"}:
                continue
            path, readings = rig.folder / "samples", list[Samples]()
            async with rig.service(name, samples=path) as service:

                def read(pid: int = service.subject.pid) -> None:
                    readings.append(read_samples(path, pid))  # noqa: B023 - called in this round

                await warm(rig, service.subject, asked.warm)
                calls = Calls(service.subject, level, asked.turns, at_edges=read)
                found = await rig.play(calls)
            used = between(*readings)
            lines = profile_lines(name, used, int(found["turns"]), base["cpu_ms"], _FUNCTIONS)
            print("\n".join(["", *lines]), flush=True)


def table(rows: Rows) -> Iterator[str]:
    """The figures as lines: the levels as a table, then all others."""
    levels = [label for label in rows if label[0].isdigit()]
    head = ("added p50 ms", "p95 ms", "x", "CPU ms a turn", "x", "core", "wait", "rig", "errors")
    widths = (14, 16, 6, 14, 6, 5, 5, 5, 6)
    if levels:
        titles = (f"{title:>{width}}" for title, width in zip(head, widths, strict=True))
        yield " ".join([f"{'calls':{_WIDTH}}", *titles])
    for label in sorted(levels, key=lambda label: int(label.split()[0])):
        found, base = rows[label], rows.get(f"{label.split()[0]} reference", [])
        cells = (
            _spread(found, "added_p50"), _spread(found, "added_p95"),
            _ratio(found, base, "added_p95"), _spread(found, "cpu_ms"),
            _ratio(found, base, "cpu_ms"), f"{_median(found, 'core'):.2f}",
            f"{_median(found, 'waited'):.2f}", f"{_median(found, 'rig_core'):.2f}",
            f"{_median(found, 'errors'):.0f}",
        )  # fmt: skip
        padded = (f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True))
        yield " ".join([f"{label:{_WIDTH}}", *padded])
    for label, found in rows.items():
        if label not in levels:
            shown = (f"{figure} {_spread(found, figure)}" for figure in found[0])
            yield f"{label:{_WIDTH}} {'  '.join(shown)}"


def compared(rows: Rows, saved: Rows) -> Iterator[str]:
    """The figures that both runs have, as lines: saved, now, and the ratio.

    Of levels also the ratios to the reference loop, which hold on machines of different speed.
    """
    yield f"{'':{_WIDTH}} {'figure':18} {'saved':>10} {'now':>10} {'ratio':>7}"
    for label, found in rows.items():
        if label not in saved:
            continue
        base = f"{label.split()[0]} reference"
        pairs = {
            figure: (_median(saved[label], figure), _median(found, figure))
            for figure in found[0]
            if not label[0].isdigit() or figure in {"added_p50", "added_p95", "cpu_ms"}
        }
        if base in rows and base in saved and base != label:
            for figure in ("added_p95", "cpu_ms"):
                then = pairs[figure][0] / _median(saved[base], figure)
                pairs[f"{figure} x"] = then, pairs[figure][1] / _median(rows[base], figure)
        for figure, (then, now) in pairs.items():
            ratio = f"{now / then:7.2f}" if then else ""
            yield f"{label:{_WIDTH}} {figure:18} {then:10.2f} {now:10.2f} {ratio}"


def _median(found: Sequence[Figures], figure: str) -> float:
    return median(each.get(figure, 0.0) for each in found)


def _spread(found: Sequence[Figures], figure: str) -> str:
    values = [each.get(figure, 0.0) for each in found]
    more = f" ({max(values) - min(values):.2f})" if len(values) > 1 else ""
    return f"{median(values):.2f}{more}"


def _ratio(found: Sequence[Figures], base: Sequence[Figures], figure: str) -> str:
    """Median of the ratios of each repetition."""
    ratios = [one[figure] / other[figure] for one, other in zip(found, base, strict=False)]
    return f"{median(ratios):.2f}" if ratios else ""


async def run(asked: argparse.Namespace) -> Rows:
    """Measure what was asked for; a profile has no figures."""
    model, connector = ModelStub(), aiohttp.TCPConnector(limit=0)
    with TemporaryDirectory() as folder:
        async with model.serving() as url, aiohttp.ClientSession(connector=connector) as http:
            rig = Rig(Path(folder), model, url, http, asked.beside)
            subjects = list(asked.subjects)
            if asked.beside:
                subjects += [
                    f"beside-{each}" for each in subjects if each in {"sqlite", "dynamodb"}
                ]
            if asked.profile:
                await profile(rig, subjects, asked)
                return {}
            return await measure_all(rig, subjects, asked)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )

    def numbers(text: str) -> list[int]:
        return [int(each) for each in text.split(",")]

    def measures(text: str) -> list[str]:
        names = list(MEASURES) if text == "all" else text.split(",")
        if unknown := set(names) - set(MEASURES):
            raise argparse.ArgumentTypeError(f"unknown: {', '.join(sorted(unknown))}")
        return names

    add: Callable[..., Any] = parser.add_argument
    add("--measure", type=measures, default=["levels"], help="comma list, or all")
    add("--levels", type=numbers, help="numbers of calls side by side")
    add("--turns", type=int, default=5, help="measured turns of each call")
    add("--warm", type=int, default=6, help="turns of 20 calls before these")
    add("--reps", type=int, default=3)
    add("--subjects", type=lambda text: text.split(","), default=list(SUBJECTS))
    add("--beside", type=Path, metavar="FOLDER", help="another checkout")
    add("--json", type=Path, metavar="FILE", help="save the figures")
    add("--compare", type=Path, metavar="FILE", help="figures saved earlier")
    add("--profile", action="store_true", help="print where the time goes, and measure no more")
    asked = parser.parse_args(arguments)
    asked.levels = asked.levels or ([100] if asked.profile else list(LEVELS))
    return asked


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print and save."""
    asked = parse(arguments)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    rows = run_quickly(run(asked))
    if rows:
        print("\n".join(table(rows)))
    if asked.compare:
        saved = json.loads(asked.compare.read_text(encoding="utf-8"))
        print("\n".join(compared(rows, saved)))
    if asked.json:
        asked.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
