"""Keeps one service at its admission limit, and looks for what it leaves behind.

    python benchmarks/soak.py [--minutes M] [--calls N] [--think S] [--dynamodb] [--json FILE]

`python -m agent serve` runs as a child process on one core, with `MAX_CALLS=N`; the callers are on
the others. There are a few more callers than lines, each of which rings again when its call is
over: so the service is always full, and some are always refused. Callers play the scenarios of the
restaurant (`agent.scenarios.load_generator`): they listen as long as the answer takes to be spoken,
think, speak, break in, press keys, order, fall silent, lose the line and hang up.

A line a minute says what the process holds. In the end two things must be true:

- Memory: after minute `WARM_MINUTES` (or a third of a shorter run) it is flat within 5 %.
- What remains `SETTLE_SECONDS` after the last call: no session, task, socket or file more than
  before the first one. Connections of these callers are closed by then.

Exit status 1 otherwise, or if a call that had a line was not answered or failed, the service
departed from the protocol, or an error was logged.
Latency is measured at the client and is worth something only on a machine with nothing else to do:
how long the service had no core, and how busy the client was, is printed, too.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

ROOT = Path(__file__).parents[1]
if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))

from agent.scenarios.figures import percentile
from agent.scenarios.load_figures import LoadFigures
from agent.scenarios.load_generator import LoadGenerator, LoadPlan, waited_seconds
from agent.scenarios.scenario_files import read_folder
from agent.simulator.carrier import Twilio
from benchmarks.service import Server, on_cores_apart, serving
from tests.dialogues import ORDERING
from tests.dynamodb import environment_if

WARM_MINUTES = 10.0
FLAT = 0.05
SETTLE_SECONDS = 10.0
_TOKEN = "soak-token"  # noqa: S105 - of a server that lives for this run
_SAMPLE_SECONDS = 5.0
_MORE_CALLERS = 0.05
"""Share of callers that find no line."""
_NEW_CALLERS_A_SECOND = 20
"""Until all of them are there."""
_LINES_SHOWN = 10
_TO_TABLE = "table"
"""Kind of a socket that leads to a DynamoDB."""


@dataclass(frozen=True, slots=True)
class Held:
    """The resources that a process holds at one moment."""

    rss: int
    cpu_seconds: float
    waited_seconds: float
    """So long the thread of the event loop could run and had no core: other processes had it."""
    threads: int
    sessions: float
    tasks: float
    files: Mapping[str, int]
    """Open descriptors by kind."""

    def left_over(self, before: Held) -> list[str]:
        """What is more than before; threads and connections to the table are pools."""
        more = {
            kind: number - before.files.get(kind, 0)
            for kind, number in self.files.items()
            if number > before.files.get(kind, 0) and kind != _TO_TABLE
        }
        if self.sessions:
            more["session"] = int(self.sessions)
        if self.tasks > before.tasks:
            more["task"] = int(self.tasks - before.tasks)
        return [f"{number} {kind}" for kind, number in more.items()]


def look(server: Server, metrics: Mapping[str, float], table_port: int) -> Held:
    """Read the process from `/proc` and its metrics."""
    process = Path(f"/proc/{server.process.pid}")
    to_table = _sockets_to(process, table_port)
    kinds: Counter[str] = Counter()
    for descriptor in (process / "fd").iterdir():
        try:
            target = str(descriptor.readlink())
        except OSError:  # closed since
            continue
        kinds[_kind(target, to_table)] += 1
    return Held(
        rss=server.rss_bytes(),
        cpu_seconds=server.cpu_seconds(),
        waited_seconds=waited_seconds(server.process.pid),
        threads=len(list((process / "task").iterdir())),
        sessions=metrics["agent_active_calls"],
        tasks=metrics["agent_tasks"],
        files=dict(kinds),
    )


def _kind(target: str, to_table: set[str]) -> str:
    if target in to_table:
        return _TO_TABLE
    return target.partition(":")[0] if ":[" in target or "anon" in target else "file"


def _sockets_to(process: Path, port: int) -> set[str]:
    """Names of the sockets that are connected to this port; none for port 0."""
    tables = [(process / "net" / name).read_text().splitlines()[1:] for name in ("tcp", "tcp6")]
    rows = [line.split() for table in tables for line in table]
    return {f"socket:[{row[9]}]" for row in rows if port and row[2].endswith(f":{port:04X}")}


def lag_at_most(now: Mapping[str, float], before: Mapping[str, float], share: float) -> float:
    """Seconds that this share of callbacks was late at most since then, by the buckets."""
    buckets = {
        float(name.partition("<")[2]): now[name] - before.get(name, 0)
        for name in now
        if name.startswith("agent_event_loop_lag_seconds_bucket<")
    }
    total = max(buckets.values(), default=0.0)
    return min((limit for limit, count in buckets.items() if count >= share * total), default=0.0)


class Watch:
    """Samples the process, and prints a line a minute."""

    def __init__(self, server: Server, figures: LoadFigures, table_port: int) -> None:
        self._server = server
        self._table_port = table_port
        self._figures = figures
        self._waits_shown = 0
        self.rss: list[tuple[float, int]] = []
        """Minutes since the start, and bytes."""

    async def watch(self, minutes: float) -> None:
        """Watch for so many minutes; the last one may be shorter."""
        began, before = time.monotonic(), await self._server.scrape()
        held, client = look(self._server, before, self._table_port), time.process_time()
        for number in range(1, math.ceil(minutes) + 1):
            while (now := time.monotonic()) < min(began + 60 * number, began + 60 * minutes):
                self.rss.append(((now - began) / 60, self._server.rss_bytes()))
                await asyncio.sleep(_SAMPLE_SECONDS)
            metrics = await self._server.scrape()
            new = look(self._server, metrics, self._table_port)
            shares = (
                new.cpu_seconds - held.cpu_seconds,
                new.waited_seconds - held.waited_seconds,
                time.process_time() - client,
            )
            self._print(number, new, shares, lag_at_most(metrics, before, 0.99))
            held, before, client = new, metrics, time.process_time()

    def _print(self, number: int, held: Held, cpu: tuple[float, float, float], lag: float) -> None:
        figures, kinds = self._figures, " ".join(f"{k} {n}" for k, n in sorted(held.files.items()))
        first = sorted(each.seconds for each in figures.waits[self._waits_shown :])
        self._waits_shown = len(figures.waits)
        p50, p95 = (percentile(first, share) * 1000 for share in (0.5, 0.95))
        print(
            f"{number:4} min: calls {held.sessions:g}, rss {held.rss / 2**20:.1f} MiB,"
            f" cpu {cpu[0] / 0.6:.0f} % (no core {cpu[1] / 0.6:.0f} %,"
            f" callers {cpu[2] / 0.6:.0f} %), tasks {held.tasks:g},"
            f" threads {held.threads}, fds {kinds}; first text p50 {p50:.0f} p95 {p95:.0f} ms,"
            f" lag p99 < {lag * 1000:g} ms; ended {figures.ended}, refused {_refused(figures)},"
            f" unanswered {figures.silences}",
            flush=True,
        )


def verdict(rss: Sequence[tuple[float, int]], minutes: float) -> Iterator[str]:
    """Faults of the memory: not flat, or not seen."""
    warm = WARM_MINUTES if minutes > WARM_MINUTES else minutes / 3
    late = [size for minute, size in rss if minute >= warm]
    if not late:
        yield "memory was not seen"
        return
    level = late[0]
    low, high = min(late) / level - 1, max(late) / level - 1
    print(f"memory after minute {warm:g}: {level / 2**20:.1f} MiB, {low:+.1%} to {high:+.1%}")
    if max(-low, high) > FLAT:
        yield f"memory is not flat: {low:+.1%} to {high:+.1%}"


@asynccontextmanager
async def _callers(server: Server, arguments: argparse.Namespace) -> AsyncIterator[LoadFigures]:
    """Run so many callers and a few more; on leaving all of them have hung up."""
    number = arguments.calls + max(1, round(arguments.calls * _MORE_CALLERS))
    ramp = number / _NEW_CALLERS_A_SECOND
    plan = LoadPlan(number, arguments.minutes * 60, ramp, think=arguments.think)
    scenarios = read_folder(ROOT / "configuration" / "use-cases" / ORDERING)
    async with Twilio.open(server.base, _TOKEN) as twilio, asyncio.TaskGroup() as tasks:
        callers = LoadGenerator(twilio, [each for each in scenarios if not each.replies], plan)
        tasks.create_task(callers.run(), name="callers")
        yield callers.figures


def _refused(figures: LoadFigures) -> int:
    return sum(count for error, count in figures.errors.items() if error.startswith("refused"))


def _faults_of(figures: LoadFigures) -> Iterator[str]:
    if figures.silences:
        yield f"{figures.silences} times not answered"
    for fault, count in (figures.errors + figures.departures).items():
        if not fault.startswith("refused"):
            yield f"{count} times {fault}"


async def soak(
    folder: Path, arguments: argparse.Namespace, environment: Mapping[str, str]
) -> tuple[LoadFigures, list[tuple[float, int]], list[str]]:
    """Serve, fill, watch, empty and look again; returns counts, sizes by minute, and faults."""
    table_port = urlsplit(environment.get("AWS_ENDPOINT_URL_DYNAMODB", "")).port or 0
    options = {"MAX_CALLS": str(arguments.calls), "STACK_USE_CASE": ORDERING, **environment}
    async with serving(folder, _TOKEN, {}, **options) as server:
        with on_cores_apart(server.process.pid):
            await asyncio.sleep(1)  # what counts tasks does so twice a second
            before = look(server, await server.scrape(), table_port)
            async with _callers(server, arguments) as figures:
                watch = Watch(server, figures, table_port)
                await watch.watch(arguments.minutes)
            await asyncio.sleep(SETTLE_SECONDS)  # the promise is about this moment
            after = look(server, await server.scrape(), table_port)
    faults = list(verdict(watch.rss, arguments.minutes))
    print(f"before: {_shown(before)}\nafter:  {_shown(after)}")
    faults += [f"left over: {each}" for each in after.left_over(before)]
    faults += _faults_of(figures)
    faults += [f"log: {line[:300]}" for line in server.logged_faults()]
    return figures, watch.rss, faults


def _shown(held: Held) -> str:
    kinds = ", ".join(f"{kind} {number}" for kind, number in sorted(held.files.items()))
    return f"rss {held.rss / 2**20:.1f} MiB, tasks {held.tasks:g}, threads {held.threads}, {kinds}"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Keep the service full, and see what it leaves.")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--calls", type=int, default=100, help="lines, all of them taken")
    parser.add_argument(
        "--think",
        type=float,
        default=0.0,
        help="mean seconds before a caller speaks; 0 = as people",
    )
    parser.add_argument("--dynamodb", action="store_true", help="with a DynamoDB started for this")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here too")
    return parser.parse_args()


def main() -> int:
    """Soak; returns 1 if something is wrong."""
    arguments = _arguments()
    with TemporaryDirectory() as folder, environment_if(arguments.dynamodb) as environment:
        seen, rss, faults = asyncio.run(soak(Path(folder), arguments, environment))
    figures = {"calls": seen.ended, "refused": _refused(seen), "turns": len(seen.waits)}
    print(", ".join(f"{name} {value}" for name, value in figures.items()))
    for fault in faults[:_LINES_SHOWN]:
        print(f"FAULT {fault}")
    print("verdict:", "not well" if faults else "well")
    if arguments.json:
        arguments.json.write_text(json.dumps({**figures, "rss": rss, "faults": faults}))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
