"""Keeps one service at its admission limit, and looks for what it leaves behind.

    python benchmarks/soak.py [--minutes M] [--calls N] [--pause S] [--dynamodb] [--json FILE]

`python -m agent serve` runs as a child process on one core, with `MAX_CALLS=N`; the callers are on
the others. There are a few more callers than lines, each of which rings again when its call is
over: so the service is always full, and some are always refused. A caller listens as long as the
answer takes to be spoken, thinks, speaks, breaks in, presses keys, orders, falls silent, hangs up;
the sockets of some die, and they go on where the action URL connects them again, if it does.

A line a minute says what the process holds. In the end two things must be true:

- Memory: after minute `WARM_MINUTES` (or a third of a shorter run) it is flat within 5 %.
- What remains `SETTLE_SECONDS` after the last call: no session, task, socket or file more than
  before the first one. Connections of these callers are closed by then.

Exit status 1 otherwise, or if a call that had a line was not answered, or an error was logged.
Latency is measured at the client and is worth something only on a machine with nothing else to do:
how long the service had no core, and how busy the client was, is printed, too.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import random
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

import aiohttp

ROOT = Path(__file__).parents[1]
if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))

from prometheus_client.parser import text_string_to_metric_families  # noqa: E402 - as the next one

from agent.simulator.carrier import Twilio, call_fields  # noqa: E402 - as the line before
from agent.simulator.phone_call import Outcome, PhoneCall  # noqa: E402 - as the line before
from agent.simulator.simulated_call import NoReplyError, TwilioCall  # noqa: E402 - as the line before
from benchmarks.replay import log_findings, percentile, table_of  # noqa: E402 - as the next one
from benchmarks.service import (  # noqa: E402 - as the next one
    Server,
    on_cores_apart,
    serving,
    waited_seconds,
)
from tests.servers import PATIENT  # noqa: E402 - found only by the line above

WARM_MINUTES = 10.0
FLAT = 0.05
SETTLE_SECONDS = 10.0
_TOKEN = "soak-token"  # noqa: S105 - of a server that lives for this run
_MANNER = replace(PATIENT, answer_seconds=20.0, closing_seconds=2.0)
_CHARACTERS_A_SECOND = 15
"""Of speech."""
_SAMPLE_SECONDS = 5.0
_MORE_CALLERS = 0.05
"""Share of callers that find no line."""
_NEW_CALLERS_A_SECOND = 20
"""Until all of them are there."""
_BUSY_SECONDS = (2.0, 6.0)
"""How soon a caller who was refused rings again."""
_LINES_SHOWN = 10
_TO_TABLE = "table"
"""Kind of a socket that leads to a DynamoDB."""

ORDER = (
    "hi, i would like to order", "a large cheese pizza for pickup", "and garlic knots", "yes",
)  # fmt: skip
QUESTIONS = (
    "are you open", "what do you have", "where are you", "do you deliver",
    "tell me about the pizzas",
)  # fmt: skip


@dataclass(slots=True)
class Tally:
    """Counts of what happened to the callers."""

    calls: int = 0
    refused: int = 0
    turns: int = 0
    interrupts: int = 0
    keys: int = 0
    died: int = 0
    resumed: int = 0
    lost: int = 0
    """Lines that the service, or a full backlog, would not give although it had offered them."""
    unanswered: list[str] = field(default_factory=list)
    """What did not come in time; holds no words."""
    first_text_seconds: list[float] = field(default_factory=list)
    """Since the last line was printed."""


class Caller:
    """A caller who rings again after each call until the end of the run."""

    def __init__(self, twilio: Twilio, tally: Tally, pause: float, number: int) -> None:
        self._twilio = twilio
        self._tally = tally
        self._pause = pause
        self._number = number
        self._chance = random.Random(number)
        self._from = f"+1555{2_000_000 + number:07}"

    async def keep_calling(self, over: asyncio.Event) -> None:
        """Lead one call after another; the last one ends like any other."""
        await self._wait(over, self._number / _NEW_CALLERS_A_SECOND)
        while not over.is_set():
            phone = PhoneCall(self._twilio, call_fields(From=self._from))
            async with aclosing(phone.sessions()) as sessions:
                async for call in sessions:
                    await self._session(call, over)
            self._tally.calls += bool(phone.legs)
            self._tally.resumed += max(0, len(phone.legs) - 1)
            self._tally.lost += phone.outcome is Outcome.FAILED or bool(phone.departures)
            if phone.outcome is Outcome.REFUSED:
                self._tally.refused += 1
                await self._wait(over, self._chance.uniform(*_BUSY_SECONDS))

    async def _session(self, call: TwilioCall, over: asyncio.Event) -> None:
        """Talk on one socket, which some callers lose; the others hang up when they leave it."""
        dies = self._chance.random() < 0.05
        await self._talk(call, over, dies=dies)
        if dies and call.ending is None:
            self._tally.died += 1
            await call.fail()

    async def _talk(self, call: TwilioCall, over: asyncio.Event, *, dies: bool) -> None:
        lines = ORDER if self._chance.random() < 0.6 else self._chance.sample(QUESTIONS, 3)
        stay = self._chance.randint(1, 2) if dies else len(lines)
        if "welcomeGreeting" not in call.relay.attributes:
            await call.settle()  # on a new line of a call the agent speaks first
        await self._listen(call, over)
        for line in lines[:stay]:
            if call.ending is not None or over.is_set():
                return
            await self._turn(call, line)
            await self._listen(call, over)

    async def _turn(self, call: TwilioCall, line: str) -> None:
        self._tally.turns += 1
        [kind] = self._chance.choices(("breaks in", "presses", "says"), (15, 10, 75))
        try:
            match kind:
                case "breaks in":
                    await self._break_in(call, line)
                case "presses":
                    self._tally.keys += 1
                    await call.play_out()
                    await call.press(self._chance.choice("0123456789"))
                    await call.settle()
                case _:
                    reply = await call.say(line, partials=(line[:6],))
                    self._tally.first_text_seconds.append(reply.first_text_seconds)
        except NoReplyError as error:
            if call.ending is None:
                cycles = [each.is_open for each in call.ledger.cycles[-2:]]
                self._tally.unanswered.append(f"{kind}: {error}, last cycles open: {cycles}")

    async def _break_in(self, call: TwilioCall, line: str) -> None:
        await call.play_out()
        await call.prompt("tell me about the pizzas")
        heard = await call.hear(40)
        if call.playback.is_playing:
            self._tally.interrupts += 1
            await call.interrupt(characters=min(heard, 40))
        await call.settle()
        await call.say(line)

    async def _listen(self, call: TwilioCall, over: asyncio.Event) -> None:
        """Wait as long as it takes to speak the answer, and to think."""
        cycles = call.ledger.cycles
        spoken = len(
            cycles[-1].text if cycles else call.relay.attributes.get("welcomeGreeting", "")
        )
        thinking = self._chance.uniform(0.5, 2.5)
        await self._wait(over, self._pause * (spoken / _CHARACTERS_A_SECOND + thinking))

    @staticmethod
    async def _wait(over: asyncio.Event, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await over.wait()
        except TimeoutError:
            pass


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


async def scrape(server: Server) -> dict[str, float]:
    """Samples of the metrics, over a connection of its own; histograms with their limits."""
    connector = aiohttp.TCPConnector(force_close=True)
    async with (
        aiohttp.ClientSession(connector=connector) as http,
        http.get(server.metrics) as response,
    ):
        text = await response.text()
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            limit = f"<{sample.labels['le']}" if "le" in sample.labels else ""
            name = f"{sample.name}{limit}"
            found[name] = found.get(name, 0) + sample.value
    return found


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

    def __init__(self, server: Server, tally: Tally, table_port: int) -> None:
        self._server = server
        self._table_port = table_port
        self._tally = tally
        self.rss: list[tuple[float, int]] = []
        """Minutes since the start, and bytes."""

    async def watch(self, minutes: float) -> None:
        """Watch for so many minutes; the last one may be shorter."""
        began, before = time.monotonic(), await scrape(self._server)
        held, client = look(self._server, before, self._table_port), time.process_time()
        for number in range(1, math.ceil(minutes) + 1):
            while (now := time.monotonic()) < min(began + 60 * number, began + 60 * minutes):
                self.rss.append(((now - began) / 60, self._server.rss_bytes()))
                await asyncio.sleep(_SAMPLE_SECONDS)
            metrics = await scrape(self._server)
            new = look(self._server, metrics, self._table_port)
            shares = (
                new.cpu_seconds - held.cpu_seconds,
                new.waited_seconds - held.waited_seconds,
                time.process_time() - client,
            )
            self._print(number, new, shares, lag_at_most(metrics, before, 0.99))
            held, before, client = new, metrics, time.process_time()

    def _print(self, number: int, held: Held, cpu: tuple[float, float, float], lag: float) -> None:
        tally, kinds = self._tally, " ".join(f"{k} {n}" for k, n in sorted(held.files.items()))
        first = sorted(tally.first_text_seconds)
        tally.first_text_seconds = []
        p50, p95 = (percentile(first, share) * 1000 for share in (0.5, 0.95))
        print(
            f"{number:4} min: calls {held.sessions:g}, rss {held.rss / 2**20:.1f} MiB,"
            f" cpu {cpu[0] / 0.6:.0f} % (no core {cpu[1] / 0.6:.0f} %,"
            f" callers {cpu[2] / 0.6:.0f} %), tasks {held.tasks:g},"
            f" threads {held.threads}, fds {kinds}; first text p50 {p50:.0f} p95 {p95:.0f} ms,"
            f" lag p99 < {lag * 1000:g} ms; ended {tally.calls}, refused {tally.refused},"
            f" died {tally.died}, resumed {tally.resumed}, unanswered {len(tally.unanswered)}",
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
async def _callers(
    server: Server, tally: Tally, arguments: argparse.Namespace
) -> AsyncIterator[None]:
    """Run so many callers and a few more; on leaving all of them have hung up."""
    over = asyncio.Event()
    number = arguments.calls + max(1, round(arguments.calls * _MORE_CALLERS))
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as http, asyncio.TaskGroup() as tasks:
        twilio = Twilio(http, server.base, _TOKEN, manner=_MANNER)
        for each in range(number):
            caller = Caller(twilio, tally, arguments.pause, each)
            tasks.create_task(caller.keep_calling(over), name=f"caller {each}")
        yield
        over.set()


async def soak(
    folder: Path, arguments: argparse.Namespace, environment: Mapping[str, str]
) -> tuple[Tally, list[tuple[float, int]], list[str]]:
    """Serve, fill, watch, empty and look again; returns counts, sizes by minute, and faults."""
    tally = Tally()
    table_port = urlsplit(environment.get("AWS_ENDPOINT_URL_DYNAMODB", "")).port or 0
    limits = {"MAX_CALLS": str(arguments.calls), **environment}
    async with serving(folder, _TOKEN, {}, **limits) as server:
        with on_cores_apart(server.process.pid):
            await asyncio.sleep(1)  # what counts tasks does so twice a second
            before = look(server, await scrape(server), table_port)
            watch = Watch(server, tally, table_port)
            async with _callers(server, tally, arguments):
                await watch.watch(arguments.minutes)
            await asyncio.sleep(SETTLE_SECONDS)  # the promise is about this moment
            after = look(server, await scrape(server), table_port)
    faults = list(verdict(watch.rss, arguments.minutes))
    print(f"before: {_shown(before)}\nafter:  {_shown(after)}")
    faults += [f"left over: {each}" for each in after.left_over(before)]
    faults += [f"not answered: {each}" for each in tally.unanswered]
    if tally.lost:
        faults.append(f"{tally.lost} lines were not given")
    faults += [f"log: {each.detail}" for each in log_findings(server.log_lines())]
    return tally, watch.rss, faults


def _shown(held: Held) -> str:
    kinds = ", ".join(f"{kind} {number}" for kind, number in sorted(held.files.items()))
    return f"rss {held.rss / 2**20:.1f} MiB, tasks {held.tasks:g}, threads {held.threads}, {kinds}"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Keep the service full, and see what it leaves.")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--calls", type=int, default=100, help="lines, all of them taken")
    parser.add_argument(
        "--pause", type=float, default=1.0, help="how slow people are; 1 is as slow as they are"
    )
    parser.add_argument("--dynamodb", action="store_true", help="with a DynamoDB started for this")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here too")
    return parser.parse_args()


def main() -> int:
    """Soak; returns 1 if something is wrong."""
    arguments = _arguments()
    with TemporaryDirectory() as folder, table_of(arguments.dynamodb) as environment:
        tally, rss, faults = asyncio.run(soak(Path(folder), arguments, environment))
    figures = {name: value for name, value in asdict(tally).items() if isinstance(value, int)}
    print(", ".join(f"{name} {value}" for name, value in figures.items()))
    for fault in faults[:_LINES_SHOWN]:
        print(f"FAULT {fault}")
    print("verdict:", "not well" if faults else "well")
    if arguments.json:
        arguments.json.write_text(json.dumps({**figures, "rss": rss, "faults": faults}))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
