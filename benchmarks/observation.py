"""The cost of observing calls: processor time of a turn with metrics, logs, traces, and without.

    python benchmarks/observation.py [--calls 15] [--turns 10] [--rounds 9]

Three services answer the same calls side by side, each in a process of its own, with a Bedrock
emulator in another one: one without observers; the service as it is, its log thrown away
by the system; and the same with traces, which it sends to a collector in this process.
What is measured is the processor time of the service's process, from `/proc`, divided by turns.
They share one core in the same seconds, because the speed of a machine varies by more than the
difference that is looked for. It prints the median of the ratios of each round.

Exit status 1 if the service as it is takes over 5 % more than the one without observers.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from operator import truediv
from pathlib import Path
from statistics import median

import aiohttp

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from agent.call.events import EndReason
from agent.cli.main import main as agent
from agent.observability import CallFacts, Telemetry
from agent.ports import ObservedStep
from benchmarks.overhead import MODEL, child, run_calls, until_answers, until_there
from benchmarks.service import cpu_seconds, on_cores_apart
from tests.emulators.collector import ENDPOINT, collecting

_WARM_UP_CALLS = 10
_EXPORT_SECONDS = 6.0
"""Spans wait for others for five seconds; what sending them costs belongs to their turns."""
KINDS = ("unobserved", "observed", "traced")
MOST_PERCENT = 5.0
"""Share of the processor time of an unobserved turn that default observation may take."""


class Unobserved:
    """`CallObserver` that does nothing."""

    tokens = 0

    def observe(self, moment: ObservedStep) -> None:
        pass

    def ended(self, reason: EndReason) -> None:
        pass


def serve_unobserved() -> int:
    """`python -m agent serve` without observers."""

    def call(
        _: Telemetry, __: str, ___: Callable[[], str], ____: CallFacts | None = None
    ) -> Unobserved:
        return Unobserved()

    Telemetry.call = call  # type: ignore[method-assign, assignment] # what is measured
    return agent(["serve"])


@dataclass(frozen=True, slots=True)
class Service:
    """A running service that is compared."""

    pid: int
    base: str


@asynccontextmanager
async def serving(kind: str, port: int, bedrock: str, collector: str) -> AsyncIterator[Service]:
    """Run a service of this kind."""
    serve = [__file__, "serve-unobserved"] if kind == "unobserved" else ["-m", "agent", "serve"]
    with tempfile.TemporaryDirectory() as folder:
        environment = {
            "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": bedrock,
            "PORT": str(port),
            "METRICS_PORT": "0",
            "WS_URL": f"ws://127.0.0.1:{port}/",
            "STORE_PATH": f"{folder}/agent.db",
            "MODEL_IDENTIFIER": MODEL,
            "MAX_CALLS": "1000",
            "LOG_LEVEL": "info",
            "LOG_FORMAT": "json",
            ENDPOINT: collector if kind == "traced" else "",
        }
        async with child("-m", "agent", "seed", environment=environment) as seeding:
            await seeding.wait()
        async with child(*serve, environment=environment) as service:
            yield Service(service.pid, f"http://127.0.0.1:{port}")


async def measure_all(port: int, calls: int, turns: int, rounds: int) -> dict[str, list[float]]:
    """Milliseconds of processor time for one turn in each round, by kind."""
    taken: dict[str, list[float]] = {kind: [] for kind in KINDS}
    overhead = str(Path(__file__).with_name("overhead.py"))
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        http = await enter(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        collector = await enter(collecting())
        await enter(child(overhead, "emulate", str(folder), "0", environment={}))
        bedrock = await until_there(folder / "url")
        services = {
            kind: await enter(serving(kind, port + number, bedrock, collector.url))
            for number, kind in enumerate(KINDS)
        }
        for service in services.values():
            await until_answers(http, f"{service.base}/health")
            await run_calls(http, service.base, _WARM_UP_CALLS, turns, is_ours=True)
        stack.enter_context(on_cores_apart(*(service.pid for service in services.values())))
        for _ in range(rounds):
            before = {kind: cpu_seconds(service.pid) for kind, service in services.items()}
            async with asyncio.TaskGroup() as tasks:
                for kind, service in services.items():
                    talk = run_calls(http, service.base, calls, turns, is_ours=True)
                    tasks.create_task(talk, name=kind)
            await asyncio.sleep(_EXPORT_SECONDS)
            for kind, service in services.items():
                used = cpu_seconds(service.pid) - before[kind]
                taken[kind].append(1000 * used / (calls * turns))
            print("  ".join(f"{kind} {taken[kind][-1]:.2f}" for kind in KINDS), flush=True)
        if not collector.bodies:
            raise RuntimeError("the service that leaves traces has left none")
    return taken


def main() -> int:
    """Measure and print; returns 1 if observation takes more than `MOST_PERCENT`."""
    if sys.argv[1:] == ["serve-unobserved"]:
        return serve_unobserved()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=15)
    parser.add_argument("--turns", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--port", type=int, default=4310)
    asked = parser.parse_args()
    taken = asyncio.run(measure_all(asked.port, asked.calls, asked.turns, asked.rounds))
    more = {
        kind: 100 * (median(map(truediv, taken[kind], taken["unobserved"])) - 1) for kind in KINDS
    }
    for kind in KINDS:
        print(f"{kind:12} {median(taken[kind]):6.2f} ms a turn {more[kind]:+5.1f} %")
    return 0 if more["observed"] <= MOST_PERCENT else 1


if __name__ == "__main__":
    sys.exit(main())
