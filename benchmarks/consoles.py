"""What consoles cost the calls of a process: processor time with 0 and with some consoles open.

    python benchmarks/consoles.py                            100 calls, 10 consoles
    python benchmarks/consoles.py --calls 20 --pairs 1       quickly
    python benchmarks/consoles.py --json FILE

The service is a process with a SQLite file on a core of its own; a turn of each call comes every
2.4 s, of 40 tokens. The consoles are another process, which reads what a page reads:

- `calls`: each console has the list of live calls and one call of its own;
- `one call`: as that, all the same call;
- `overview`: each console has the list of live calls and the numbers of the fleet.

The calls go on all the time. Windows without a console and with all of them follow each other, so
that both of a pair have the same machine. Printed is the processor time (user and system) of the
service for a turn of a call, without consoles and with them, and how much more it is in each pair.
The time of the consoles' process is not in it. On a machine with other work the pairs differ more
than the consoles cost; `share` is steadier: what consoles lead to on the loop's thread, of all
processor time of the same window (`benchmarks/sampler.py`). Reading the list of calls in SQLite is
done by another thread, and not in it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import sys
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import aiohttp

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.callers import Calls
from benchmarks.model_stub import ModelStub
from benchmarks.reference import run_quickly
from benchmarks.rig import Rig
from benchmarks.run import warm
from benchmarks.sampler import CONSOLE, between, read_samples
from benchmarks.service import stop

ROWS = ("calls", "one call", "overview")
_NOBODY = "nobody"
_SECRET = "a-secret-of-a-benchmark"  # noqa: S105 - of a server that lives for this run
_KEYS = ",".join(f"watcher{each}:look:{_SECRET}-{each}" for each in range(4))
_OF_A_KEY = 5
"""Consoles that show the same key: each has two streams of at most 20, and closed ones count for
two seconds."""
_SETTLE_SECONDS = 1.5
_ENOUGH = 0.9
"""Share of the calls that must go on: on a busy machine one may fail."""
_TURNS = 10_000
"""Of each call: more than there is time for."""


def _headers(console: int) -> dict[str, str]:
    given = b64encode(f"me:{_SECRET}-{console // _OF_A_KEY}".encode()).decode()
    return {"Authorization": f"Basic {given}"}


class Pages:
    """The streams of consoles; `found` are the calls that go on."""

    def __init__(self, http: aiohttp.ClientSession, base: str, consoles: int) -> None:
        self._http = http
        self._base = base
        self._consoles = consoles
        self._reading: list[asyncio.Task[None]] = []
        self._found: list[str] = []
        self._open = 0

    async def show(self, row: str, calls: int) -> None:
        """Open what the pages of a row read, or close all; returns when it is done."""
        for task in self._reading:
            task.cancel()
        await asyncio.gather(*self._reading, return_exceptions=True)
        self._reading, self._found, self._open = [], [], 0
        if row == _NOBODY:
            return
        for _ in range(self._consoles):
            self._read("live")
        while len(self._found) < max(1, _ENOUGH * calls):
            await self._wait()
        for console in range(self._consoles):
            call = self._found[0 if row == "one call" else console % calls]
            self._read("numbers" if row == "overview" else f"calls/{call}/live", console)
        while self._open < 2 * self._consoles:
            await self._wait()

    async def _wait(self) -> None:
        """For another process; raises the fault of a stream that has ended."""
        await asyncio.sleep(0.05)
        for task in self._reading:
            if task.done():
                task.result()

    def _read(self, path: str, console: int | None = None) -> None:
        number = len(self._reading) if console is None else console
        self._reading.append(asyncio.create_task(self._follow(path, number), name=path))

    async def _follow(self, path: str, console: int) -> None:
        url = f"{self._base}/console/{path}"
        async with self._http.get(url, headers=_headers(console)) as answer:
            answer.raise_for_status()
            self._open += 1
            async for line in answer.content:
                if path == "live" and console == 0 and line.startswith(b"data: "):
                    self._found = [each["call"] for each in json.loads(line[6:])["calls"]]


async def watch(base: str, calls: int, consoles: int) -> None:
    """Show the row that each line of the standard input names, and answer with a line."""
    lines = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    connector, forever = aiohttp.TCPConnector(limit=0), aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(connector=connector, timeout=forever) as http:
        pages = Pages(http, base, consoles)
        while row := (await lines.readline()).decode().strip():
            await pages.show(row, calls)
            print(row, flush=True)


@asynccontextmanager
async def consoles_of(
    base: str, calls: int, consoles: int
) -> AsyncIterator[Callable[[str], Awaitable[None]]]:
    """Run the consoles as a process; yields what makes them show a row."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, __file__, "--watch", base, str(calls), str(consoles),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    if not (process.stdin and process.stdout):
        raise RuntimeError("the consoles have no pipes")
    asked, answers = process.stdin, process.stdout

    async def show(row: str) -> None:
        asked.write(f"{row}\n".encode())
        async with asyncio.timeout(60):
            if (await answers.readline()).decode().strip() != row:
                raise RuntimeError(f"{row}: the consoles did not open")

    try:
        yield show
    finally:
        asked.close()
        await stop(process)


class Window(NamedTuple):
    """Milliseconds of CPU for a turn, and the share of it that consoles lead to."""

    cpu_ms: float
    share: float


Pair = tuple[Window, Window]
"""Without consoles and with them."""


async def measure(rig: Rig, asked: argparse.Namespace) -> dict[str, list[Pair]]:
    """Play the calls, and open and close consoles meanwhile."""
    rows: dict[str, list[Pair]] = {row: [] for row in asked.rows}
    samples, keys = rig.folder / "samples", {"CONSOLE_API_KEYS": _KEYS}
    async with rig.service("sqlite", samples=samples, further=keys) as service:
        await warm(rig, service.subject)
        base = service.server.metrics.removesuffix("/metrics")
        playing = asyncio.create_task(
            rig.play(Calls(service.subject, asked.calls, _TURNS)), name="calls"
        )
        async with consoles_of(base, asked.calls, asked.consoles) as show:

            async def window(row: str) -> Window:
                await show(row)
                await asyncio.sleep(_SETTLE_SECONDS)
                before, turns = read_samples(samples, service.subject.pid), len(rig.model.answered)
                cpu = service.server.cpu_seconds()
                await asyncio.sleep(asked.seconds)
                while len(rig.model.answered) == turns:  # noqa: ASYNC110 (on a busy machine)
                    await asyncio.sleep(asked.seconds)
                cpu = service.server.cpu_seconds() - cpu
                turns = len(rig.model.answered) - turns
                used = between(before, read_samples(samples, service.subject.pid))["stages"]
                share = used.get(CONSOLE, 0) / max(1, sum(used.values()))
                return Window(1000 * cpu / turns, share)

            await show(asked.rows[0])  # waits until all calls go on
            for repetition in range(asked.pairs):
                for row in asked.rows:
                    order = (_NOBODY, row) if repetition % 2 == 0 else (row, _NOBODY)
                    found = {each: await window(each) for each in order}
                    rows[row].append((found[_NOBODY], found[row]))
                    shown = " ".join(f"{ms:.2f} ({share:.1%})" for ms, share in rows[row][-1])
                    print(f"  {row}: {shown}", flush=True)
        if playing.done():
            raise RuntimeError("the calls ended too early")
        playing.cancel()
        await asyncio.wait([playing])
        if faults := service.server.logged_faults():
            raise RuntimeError(faults[0])
    return rows


async def run(asked: argparse.Namespace) -> dict[str, list[Pair]]:
    """Measure all rows."""
    model, connector = ModelStub(), aiohttp.TCPConnector(limit=0)
    with TemporaryDirectory() as folder:
        async with model.serving() as url, aiohttp.ClientSession(connector=connector) as http:
            return await measure(Rig(Path(folder), model, url, http), asked)


def table(rows: dict[str, list[Pair]]) -> list[str]:
    """A line of each row."""
    lines = [
        f"{'consoles':10} {'ms of CPU a turn: without':>26} {'with':>7} {'more':>8} {'share':>7}"
    ]
    for row, pairs in rows.items():
        without, others = (
            median(each.cpu_ms for each in side) for side in zip(*pairs, strict=True)
        )
        share = median(one.share for _, one in pairs)
        more = [100 * (one.cpu_ms / other.cpu_ms - 1) for other, one in pairs]
        each = " ".join(f"{one:+.1f}" for one in more)
        ends = f"{median(more):+7.1f}% {share:7.1%}   {each}"
        lines.append(f"{row:10} {without:26.2f} {others:7.2f} {ends}")
    return lines


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add: Any = parser.add_argument
    add("--calls", type=int, default=100)
    add("--consoles", type=int, default=10)
    add("--pairs", type=int, default=8, help="pairs of windows, of each row")
    add("--seconds", type=float, default=4.0, help="of a window")
    add("--rows", type=lambda text: text.split(","), default=list(ROWS))
    add("--json", type=Path, metavar="FILE", help="save the figures")
    add("--watch", nargs=3, help=argparse.SUPPRESS)
    asked = parser.parse_args(arguments)
    if asked.watch:
        base, calls, consoles = asked.watch
        asyncio.run(watch(base, int(calls), int(consoles)))
        return 0
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    rows = run_quickly(run(asked))
    print("\n".join(table(rows)))
    if asked.json:
        asked.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
