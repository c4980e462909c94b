"""Events of calls under killed processes and a receiver that fails: what arrives, and what not.

    python benchmarks/event_delivery.py [--calls 2500] [--senders 3] [--seed 0]

Several processes share one file of the embedded table. Each takes calls and does their four steps
(a call begins, an order, a message, the end), whose events are written beside what they tell, and
delivers. One of them is killed with SIGKILL every few seconds, and another takes its place; a call
that was left half done is done again from its first step, as a call is that resumes.

The receiver verifies signatures. Of its requests 30 % fail with status 500; 1 % are never answered,
and 2 % are answered with a redirect to another path of it, which would count as followed.

The times of `DeliveryTimes` are shortened, so that leases expire and pauses end within a run.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import signal
import sys
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[1]
if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))

import msgspec
from aiohttp import web
from standardwebhooks.webhooks import Webhook

from agent.events.delivery import DeliveryTimes, EventDelivery
from agent.events.outbox import SHARDS, EventState, TableOutbox, events_of_call, index_key
from agent.events.webhooks import WebhookSender
from agent.observability import configure_logging
from agent.ports import Item, Store, uncounted
from agent.store.sqlite import SqliteStore
from agent.tools import OutboundHttp
from agent.usecases.call_events import (
    CallEndedEvent,
    CallEvent,
    CallStartedEvent,
    MessageSentEvent,
    OrderPlacedEvent,
)
from agent.usecases.host_allowlist import HostAllowlist, Secret, SecretRule
from agent.usecases.receivers import RECEIVERS_KEY

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # noqa: S105 of this benchmark alone
STEPS = ("call.started", "order.placed", "message.sent", "call.ended")
TIMES = DeliveryTimes(
    wake=0.02, first_retry=0.1, growth=1.5, longest_retry=1.0, give_up=3600.0, lease=4.0,
    send=2.0, sweep=0.5, refresh=5.0,
)  # fmt: skip
SEND_SECONDS = 1.0
FAILS, HANGS, REDIRECTS = 0.30, 0.01, 0.02
_CLAIM_SECONDS = 8
_CALLS_AT_ONCE = 4
_PAUSE_SECONDS = (0.5, 2.0)
"""From the start of a sender until one of them is killed; at random between these."""
_STEP_SECONDS = 0.1
"""Between two steps of a call, so that events are written while others are sent."""


@dataclass(slots=True)
class Arrivals:
    """What the receiver was sent."""

    requests: int = 0
    forged: int = 0
    """Requests whose signature is wrong."""
    followed: int = 0
    """Requests to where a redirect leads."""
    accepted: dict[str, list[tuple[str, str]]] = field(default_factory=lambda: defaultdict(list))
    """Of each call, kind and id of what was answered with 200, in order, repetitions too."""
    delays: list[float] = field(default_factory=list)
    """From writing to the first time it was answered with 200, seconds."""


@dataclass(frozen=True, slots=True)
class EventFigures:
    """What became of the events of a run."""

    events: int
    """That should be delivered."""
    missing: int
    with_two_ids: int
    out_of_order: int
    """Calls whose events first arrived in another order than they were written."""
    followed: int
    forged: int
    unsettled: int
    """Items of the outbox that still wait, or were given up."""
    requests: int
    repeated: int
    """Events that were accepted more than once, with the same id."""
    kills: int
    seconds: float
    median_delay: float
    p99_delay: float


class Receiver:
    """The system that is told; of its requests some fail."""

    def __init__(self, seed: int) -> None:
        self.arrivals = Arrivals()
        self._random = random.Random(seed)
        self._webhook = Webhook(SECRET)

    async def take(self, request: web.Request) -> web.Response:
        """One event."""
        arrivals = self.arrivals
        arrivals.requests += 1
        body = await request.text()
        try:
            payload = self._webhook.verify(body, dict(request.headers))
        except Exception:  # noqa: BLE001 (whatever is wrong with a request, it is counted)
            arrivals.forged += 1
            return web.Response(status=401)
        chance = self._random.random()
        if chance < FAILS:
            return web.Response(status=500)
        if chance < FAILS + HANGS:
            await asyncio.sleep(4 * SEND_SECONDS)
            return web.Response(status=500)
        if chance < FAILS + HANGS + REDIRECTS:
            raise web.HTTPFound("/elsewhere")
        call, identifier = payload["data"]["call"], request.headers["webhook-id"]
        if (payload["type"], identifier) not in arrivals.accepted[call]:
            written = datetime.fromisoformat(payload["timestamp"])
            arrivals.delays.append(time.time() - written.timestamp())
        arrivals.accepted[call].append((payload["type"], identifier))
        return web.Response()

    async def follow(self, _: web.Request) -> web.Response:
        """Where a redirect leads."""
        self.arrivals.followed += 1
        return web.Response()


@asynccontextmanager
async def receiving(receiver: Receiver) -> AsyncIterator[int]:
    """Serve a receiver on this machine; gives its port."""
    site = web.Application()
    site.router.add_post("/hook", receiver.take)
    site.router.add_route("*", "/elsewhere", receiver.follow)
    runner = web.AppRunner(site, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()


async def play(folder: Path, calls: int, senders: int, seed: int) -> EventFigures:
    """Play so many calls with so many processes, and return when all is delivered."""
    chances, file, began = random.Random(seed), folder / "agent.db", time.monotonic()
    store = await SqliteStore.open(file)
    receiver, kills = Receiver(seed), 0
    async with receiving(receiver) as port:
        entry = {"url": f"http://127.0.0.1:{port}/hook", "secret": "HOOK_SECRET"}
        pk, sk = RECEIVERS_KEY
        await store.put({"pk": pk, "sk": sk, "receivers": {"shaky": entry}})
        arguments = (__file__, "--sender", str(file), "--port", str(port), "--calls", str(calls))
        processes = await asyncio.gather(*(_started(*arguments) for _ in range(senders)))
        try:
            while kills < senders or not await _is_all_sent(store, calls):
                await asyncio.sleep(chances.uniform(*_PAUSE_SECONDS))
                number = chances.randrange(senders)
                processes[number].send_signal(signal.SIGKILL)
                await processes[number].wait()
                kills += 1
                processes[number] = await _started(*arguments)
        finally:
            for process in processes:
                process.terminate()
                await process.wait()
    seconds = time.monotonic() - began
    figures = _figures(receiver.arrivals, calls, await _unsettled(store, calls), kills, seconds)
    await store.close()
    return figures


async def _started(*arguments: str) -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    if process.stdout is not None:
        await process.stdout.readline()  # it has begun to work
    return process


async def _is_all_sent(store: Store, calls: int) -> bool:
    if len(await store.query("done")) < calls:
        return False
    keys = [index_key(EventState.WAITING, shard) for shard in range(SHARDS)]
    return not any([await store.query_index(key, first=1) for key in keys])


async def _unsettled(store: Store, calls: int) -> int:
    found = 0
    for call in map(call_name, range(calls)):
        events = await events_of_call(store, call)
        found += len(STEPS) - sum(event.state is EventState.DELIVERED for event in events)
    return found


def _figures(
    arrivals: Arrivals, calls: int, unsettled: int, kills: int, seconds: float
) -> EventFigures:
    missing = two_ids = disordered = repeated = 0
    for call in map(call_name, range(calls)):
        accepted = arrivals.accepted[call]
        once = list(dict.fromkeys(accepted))
        kinds = [kind for kind, _ in once]
        missing += len(set(STEPS) - set(kinds))
        two_ids += len(kinds) - len(set(kinds))
        disordered += kinds != sorted(kinds, key=STEPS.index)
        repeated += len(accepted) - len(once)
    return EventFigures(
        events=calls * len(STEPS),
        missing=missing,
        with_two_ids=two_ids,
        out_of_order=disordered,
        followed=arrivals.followed,
        forged=arrivals.forged,
        unsettled=unsettled,
        requests=arrivals.requests,
        repeated=repeated,
        kills=kills,
        seconds=seconds,
        median_delay=median(arrivals.delays),
        p99_delay=quantiles(arrivals.delays, n=100)[98],
    )


def call_name(number: int) -> str:
    """The name of a call."""
    return f"CA{number:032x}"


async def send(file: Path, port: int, calls: int) -> None:
    """One of the processes: do calls and deliver, until ended."""
    configure_logging("error", "json")
    store = await SqliteStore.open(file)
    hosts = HostAllowlist.read(f"http://127.0.0.1:{port}=127.0.0.1/32")
    secrets = {"HOOK_SECRET": Secret(SECRET, (SecretRule("HOOK_SECRET"),))}
    async with OutboundHttp.open(hosts) as http:
        sender = WebhookSender(http.post, secrets, time.time, SEND_SECONDS)
        delivery = EventDelivery(store, time.time, uncounted, lambda _: sender, TIMES)
        async with delivery.running():
            print("working", flush=True)
            numbers = list(range(calls))
            random.shuffle(numbers)
            waiting = iter(numbers)
            async with asyncio.TaskGroup() as group:
                for _ in range(_CALLS_AT_ONCE):
                    group.create_task(_do_calls(store, delivery.outbox, waiting))
            await asyncio.Event().wait()


async def _do_calls(store: Store, outbox: TableOutbox, waiting: Iterator[int]) -> None:
    for number in waiting:
        call = call_name(number)
        if await store.get("done", call):
            continue
        claim: Item = {"pk": "claim", "sk": call, "expireAt": int(time.time()) + _CLAIM_SECONDS}
        if await store.put(claim, only_if_absent=True):
            await _do_call(store, outbox, call)
            await store.put({"pk": "done", "sk": call})


async def _do_call(store: Store, outbox: TableOutbox, call: str) -> None:
    """The four steps of a call; each may have been done before."""
    facts = {"call": call, "use_case": "restaurant", "caller": "+15550100001"}

    async def once(event: CallEvent) -> None:
        fact: Item = {"pk": call, "sk": f"fact::{event.kind}", "sequence": 1}
        await store.put(fact, only_if_absent=True, beside=outbox.items(event))
        await asyncio.sleep(_STEP_SECONDS)

    await once(CallStartedEvent(**facts, direction="inbound"))
    await once(OrderPlacedEvent(**facts, order="1", order_type="pickup", total=1.0, items=[]))
    sent = MessageSentEvent(**facts, channel="sms")
    record: Item = {"pk": call, "sk": "effect::1", "sequence": 1}
    await store.put_newer(record, beside=outbox.items(sent, 1))
    await outbox.tell(CallEndedEvent(**facts, seconds=60, reason="agent_end"))


def main() -> int:
    """Play, and print the figures; exit status 1 if a promise is broken."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--calls", type=int, default=2_500)
    parser.add_argument("--senders", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sender", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.sender:
        asyncio.run(send(asked.sender, asked.port, asked.calls))
        return 0
    with TemporaryDirectory() as folder:
        figures = asyncio.run(play(Path(folder), asked.calls, asked.senders, asked.seed))
    for name, value in msgspec.to_builtins(figures).items():
        print(f"{name.replace('_', ' '):14} {value:,.2f}".removesuffix(".00"))
    return 1 if broken(figures) else 0


def broken(figures: EventFigures) -> dict[str, int]:
    """The promises that were broken, with how often."""
    names = ("missing", "with_two_ids", "out_of_order", "followed", "forged", "unsettled")
    return {name: value for name in names if (value := getattr(figures, name))}


if __name__ == "__main__":
    sys.exit(main())
