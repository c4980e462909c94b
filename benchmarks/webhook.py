"""How long Twilio waits for `POST /twiml`, by how far away the table is.

    python benchmarks/webhook.py [--requests 300] [--json FILE]

The service and its DynamoDB run in processes of their own; a proxy between them holds each answer
of the table back by so many milliseconds, which is what a round trip to it costs. Callers are known
and routed to a use case that is not the process's own, as that takes most reading. One request at a
time, after a warm-up, the delays in turn so that whatever else the machine does hits all alike.

What each millisecond of the table costs the webhook is the slope between the rows: 1.0 is one round
trip. The requests at the proxy are counted, too: those that the answer waits for, and those after.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory

import aiohttp
from aiohttp import web

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.service import serving
from tests import dynamodb as engines
from tests.store.proxy import Exchange, Fault, proxying
from tests.twilio_client.client import Twilio, call_fields

DELAYS_MS = (0, 5, 20)
_TOKEN = "webhook-token"  # noqa: S105 - of a server that lives for this run
_WARM_UP = 20
_PAUSE_SECONDS = 0.03
"""Between requests, for what is written after the answer."""
_PROFILES = {"+15550100011": "apartmentSearchUseCase"}


class Distance:
    """Delays the answers of the table, and counts its requests."""

    def __init__(self) -> None:
        self.milliseconds = 0
        self.asked = 0

    def delay(self, _: Exchange) -> Fault:
        """Count a request and delay its answer."""
        self.asked += 1
        return self._answer_late

    async def _answer_late(self, exchange: Exchange) -> web.StreamResponse:
        answer = await exchange.forward()
        await asyncio.sleep(self.milliseconds / 1000)
        return answer


async def measure(
    requests: int, distance: Distance, ring: Callable[[], Awaitable[None]]
) -> dict[int, tuple[list[float], float, float]]:
    """For each delay: milliseconds of each webhook; requests it waited for, and all, on average."""
    times: dict[int, list[float]] = {delay: [] for delay in DELAYS_MS}
    asked: dict[int, list[tuple[int, int]]] = {delay: [] for delay in DELAYS_MS}
    for number in range(-_WARM_UP, requests * len(DELAYS_MS)):
        delay = DELAYS_MS[number % len(DELAYS_MS)]
        distance.milliseconds, distance.asked = delay, 0
        began = time.perf_counter()
        await ring()
        took, waited_for = time.perf_counter() - began, distance.asked
        await asyncio.sleep(_PAUSE_SECONDS + delay / 1000)
        if number >= 0:
            times[delay].append(took * 1000)
            asked[delay].append((waited_for, distance.asked))
    return {
        delay: (
            times[delay],
            sum(waited for waited, _ in asked[delay]) / requests,
            sum(total for _, total in asked[delay]) / requests,
        )
        for delay in DELAYS_MS
    }


async def run(folder: Path, requests: int) -> dict[str, object]:
    """Start everything, measure, and print the table."""
    distance = Distance()
    with engines.running() as engine:
        async with proxying(engine.url) as proxy, aiohttp.ClientSession() as http:
            proxy.each = distance.delay
            environment = engines.environment(engine.create_table(), proxy.url)
            async with serving(folder, _TOKEN, _PROFILES, **environment) as server:
                twilio = Twilio(http, server.base, _TOKEN)

                async def ring() -> None:
                    fields = call_fields(From=next(iter(_PROFILES)))
                    answer = await twilio.post(f"{server.base}/twiml", fields)
                    if answer.relay is None:
                        raise RuntimeError(f"the webhook answered {answer.status}")

                found = await measure(requests, distance, ring)
    return show(found)


def show(found: dict[int, tuple[list[float], float, float]]) -> dict[str, object]:
    """Print a row for each delay, and what a millisecond of the table costs."""
    figures: dict[str, object] = {}
    print("table answers after   P50 ms   P99 ms   requests waited for   all")
    for delay, (times, waited_for, total) in found.items():
        p50, p99 = median(times), quantiles(times, n=100)[98]
        figures[f"delay_{delay}_ms"] = {"p50": p50, "p99": p99, "requests": waited_for}
        print(f"{delay:16} ms {p50:9.1f} {p99:8.1f} {waited_for:21.2f} {total:5.2f}")
    near, far = DELAYS_MS[0], DELAYS_MS[-1]
    trips = (median(found[far][0]) - median(found[near][0])) / (far - near)
    figures["round_trips"] = trips
    print(f"a millisecond of the table costs the webhook {trips:.2f} ms")
    return figures


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Measure the webhook by the table's distance.")
    parser.add_argument("--requests", type=int, default=300, help="for each delay")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here too")
    arguments = parser.parse_args()
    with TemporaryDirectory() as folder:
        figures = asyncio.run(run(Path(folder), arguments.requests))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
