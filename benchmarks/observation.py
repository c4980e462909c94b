"""What it costs to observe calls: processor time of a turn with metrics, logs, traces, and without.

    python benchmarks/observation.py [--calls 40] [--turns 5] [--rounds 5]

Three services answer the same calls in turn, each in a process of its own, with a Bedrock emulator
in another one: one whose calls nobody observes; the service as it is, its log thrown away by the
system; and the same with traces, which it sends to a collector in this process.
What is measured is the processor time of the service's process, from `/proc`, divided by turns. The
machine's mood falls on all: rounds alternate, and medians are compared.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from statistics import median

import aiohttp

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from agent.__main__ import main as agent
from agent.conversation.events import EndReason
from agent.ports import Moment
from agent.telemetry import CallFacts, Telemetry
from benchmarks.overhead import MODEL, child, run_calls, until_answers, until_there
from benchmarks.service import on_cores_apart
from tests.emulators.collector import ENDPOINT, collecting

_WARM_UP_CALLS = 10
_EXPORT_SECONDS = 6.0
"""Spans wait for others for five seconds; what sending them costs belongs to their turns."""
_KINDS = ("unobserved", "observed", "traced")


class Unobserved:
    """`CallObserver` that does nothing."""

    tokens = 0

    def observe(self, moment: Moment) -> None:
        """See `ports.Observer`."""

    def ended(self, reason: EndReason) -> None:
        """See `CallObserver`."""


def serve_unobserved() -> int:
    """`python -m agent serve` whose calls nobody observes."""

    def call(
        _: Telemetry, __: str, ___: Callable[[], str], ____: CallFacts | None = None
    ) -> Unobserved:
        return Unobserved()

    Telemetry.call = call  # type: ignore[method-assign, assignment] # what is measured
    return agent(["serve"])


def cpu_seconds(pid: int) -> float:
    """Processor time of a process so far."""
    stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")


async def measure(kind: str, port: int, calls: int, turns: int) -> float:
    """Milliseconds of processor time for one turn of this service."""
    serve = [__file__, "serve-unobserved"] if kind == "unobserved" else ["-m", "agent", "serve"]
    base = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        overhead = str(Path(__file__).with_name("overhead.py"))
        async with (
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http,
            child(overhead, "emulate", str(folder), "0", environment={}),
            collecting() as collector,
        ):
            environment = {
                "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": await until_there(folder / "url"),
                "PORT": str(port),
                "METRICS_PORT": "0",
                "WS_URL": f"ws://127.0.0.1:{port}/",
                "STORE_PATH": str(folder / "agent.db"),
                "MODEL_IDENTIFIER": MODEL,
                "MAX_CALLS": "1000",
                "LOG_LEVEL": "info",
                "LOG_FORMAT": "json",
                ENDPOINT: collector.url if kind == "traced" else "",
            }
            async with child("-m", "agent", "seed", environment=environment) as seeding:
                await seeding.wait()
            async with child(*serve, environment=environment) as service:
                await until_answers(http, f"{base}/health")
                await run_calls(http, base, _WARM_UP_CALLS, turns, is_ours=True)
                await asyncio.sleep(_EXPORT_SECONDS)
                before = cpu_seconds(service.pid)
                with on_cores_apart(service.pid):
                    await run_calls(http, base, calls, turns, is_ours=True)
                    await asyncio.sleep(_EXPORT_SECONDS)
                used = cpu_seconds(service.pid) - before
        if (kind == "traced") != bool(collector.bodies):
            raise RuntimeError(f"traces of a service that is {kind}: {len(collector.bodies)}")
        return 1000 * used / (calls * turns)


def main() -> int:
    """Measure and print."""
    if sys.argv[1:] == ["serve-unobserved"]:
        return serve_unobserved()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=40)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--port", type=int, default=4310)
    asked = parser.parse_args()
    taken: dict[str, list[float]] = {kind: [] for kind in _KINDS}
    with suppress(KeyboardInterrupt):
        for number in range(asked.rounds):
            for kind in (*_KINDS[number % 3 :], *_KINDS[: number % 3]):
                taken[kind].append(asyncio.run(measure(kind, asked.port, asked.calls, asked.turns)))
                print(f"{kind:12} {taken[kind][-1]:6.2f} ms of processor time a turn", flush=True)
    without = median(taken["unobserved"])
    for kind in _KINDS:
        more = 100 * (median(taken[kind]) / without - 1)
        print(f"median {kind:12} {median(taken[kind]):6.2f} ms {more:+.1f} %")
    return 0


if __name__ == "__main__":
    sys.exit(main())
