"""Failures of servers under calls: crashes, deploys, network cuts, dependencies that are away.

Each scenario starts its own servers and calls, causes the failure, lets the calls end, stops the
servers in an orderly way, and reports. A test runs it small, `benchmarks/survival.py` in full.
"""

from __future__ import annotations

import asyncio
import resource
import signal
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import aiohttp

from agent.simulator.carrier import Twilio, call_fields
from agent.simulator.twiml_reader import RelayInvitation, TwimlAnswer
from tests.dynamodb import Engine
from tests.servers import UNLIMITED_CALLERS
from tests.survival.phone import PATIENCE_SECONDS, Guest, Phase, talking
from tests.survival.report import Report, judge, listed
from tests.survival.stack import ORIGIN, Exit, Plan, Server, Stack, standing
from tests.survival.stepped import BACK, FORWARD

_AT_ONCE = 50
_STRANGER = "+15559999999"
_SHARE_OF_BALANCER = 0.4
"""Of the idle connections; the others reach the servers themselves."""
_BUSY = (Phase.THINKING, Phase.LISTENING, Phase.ORDERING)


@dataclass(frozen=True, slots=True)
class Place:
    """The folder, table and size of a scenario."""

    folder: Path
    engine: Engine
    table: str
    calls: int
    patience_seconds: float = PATIENCE_SECONDS
    """Of callers whose sockets do not break."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a scenario."""

    report: Report
    exits: list[Exit]
    """Of servers that were asked to end."""
    errors: Counter[str]
    """What servers logged as errors, by the names of the events."""
    doomed: Counter[str] = field(default_factory=Counter)
    """What the calls were doing whose server was killed."""
    strangers: Counter[str] = field(default_factory=Counter)
    """Answers to clients that are no guests, counted as Twilio would see them."""
    most_led: int = 0
    """Calls of one server at a time, among strangers."""
    cut: int = 0
    """Connections that the balancer cut at the end of the deregistration delay."""

    def rows(self) -> list[str]:
        """Lines of text for a report."""
        exits = (f"{each.code} after {each.seconds:.1f} s" for each in self.exits)
        return [
            *self.report.rows(),
            f"servers ended: {', '.join(exits)}; connections cut: {self.cut}",
            f"logged as errors: {listed(self.errors)}",
            *([f"at the kill: {listed(self.doomed)}"] if self.doomed else []),
            *([f"strangers: {listed(self.strangers)}"] if self.strangers else []),
            *([f"most calls of one server: {self.most_led}"] if self.most_led else []),
        ]


async def kill(place: Place, *, reopens: bool = False) -> Outcome:
    """One of two servers dies while its calls think, listen and order, enough of them order."""
    plan = Plan(pace=0.1, order_seconds=1.5, reopens=reopens)
    async with standing(place.folder, place.table, plan) as stack:
        victim, _ = stack.servers
        async with talking(stack.twilio, place.calls) as crowd:

            def is_time() -> bool:
                phases = crowd.phases(victim.calls)
                return all(map(phases.get, _BUSY)) and phases[Phase.ORDERING] >= place.calls // 24

            await crowd.until(is_time)
            doomed = crowd.phases(victim.calls)
            await victim.kill()
            await crowd.until_turns(2)
        return replace(await _ended(stack, crowd.guests), doomed=doomed)


async def rolling(place: Place) -> Outcome:
    """One server after the other gets SIGTERM without notice, as when a host is retired."""
    async with standing(place.folder, place.table, Plan()) as stack:
        exits = []
        async with talking(stack.twilio, place.calls, place.patience_seconds) as crowd:
            for server in stack.servers:
                exits.append(await server.stop())
                await server.begin()
                await stack.until_up()
                await crowd.until_turns(1)
        outcome = await _ended(stack, crowd.guests)
        return replace(outcome, exits=[*exits, *outcome.exits])


@dataclass(frozen=True, slots=True)
class Times:
    """How long ECS waits, and how long a server may drain; as the template has it."""

    delay: float = 180.0
    """From the deregistration until the load balancer cuts connections."""
    stop_timeout: float = 120.0
    drain: int = 100
    """`DRAIN_SECONDS`."""


async def deploy(place: Place, times: Times = Times()) -> Outcome:
    """ECS replaces each server: a new one is up, the old one is deregistered, and ends."""
    plan = Plan(spare=2, is_on_ecs=True, environment={"DRAIN_SECONDS": str(times.drain)})
    async with standing(place.folder, place.table, plan) as stack:
        exits, cut_off = [], 0
        async with talking(stack.twilio, place.calls, place.patience_seconds) as crowd:
            for number, old in enumerate(stack.servers[:2]):
                await stack.servers[2 + number].begin()
                await stack.until_up()
                ended, cut = await _deregistered(stack, number, old, times)
                exits.append(ended)
                cut_off += cut
                await crowd.until_turns(1)
        outcome = await _ended(stack, crowd.guests)
        return replace(outcome, exits=[*exits, *outcome.exits], cut=cut_off)


async def _deregistered(stack: Stack, number: int, old: Server, times: Times) -> tuple[Exit, int]:
    """In the order of ECS: deregister, wait, cut, SIGTERM, SIGKILL; the end, and what was cut."""
    await stack.front.deregister(number)
    try:
        return await old.ended(times.delay), 0
    except TimeoutError:
        cut = await stack.front.cut(number)
    old.send(signal.SIGTERM)
    try:
        ended = await old.ended(times.stop_timeout)
    except TimeoutError:
        await old.kill()
        ended = Exit(-signal.SIGKILL, times.stop_timeout)
    return replace(ended, seconds=times.delay + ended.seconds), cut


reopened = partial(kill, reopens=True)
"""Like `kill`, where Twilio opens the sockets again by itself."""


async def broken(place: Place, times: int = 2) -> Outcome:
    """All connections to one server break, and the server lives: some calls come back to it."""
    async with standing(place.folder, place.table, Plan(is_cabled=True)) as stack:
        async with talking(stack.twilio, place.calls) as crowd:
            for _ in range(times):
                await stack.links[0].refuse()
                await stack.links[0].accept()
                await stack.until_up()
                await crowd.until_turns(2)
        return await _ended(stack, crowd.guests)


async def cut(place: Place, seconds: tuple[float, ...] = (1.0, 10.0)) -> Outcome:
    """The network between the balancer and one server loses everything, for each of these times."""
    async with standing(place.folder, place.table, Plan(is_cabled=True)) as stack:
        async with talking(stack.twilio, place.calls) as crowd:
            for each in seconds:
                stack.links[0].stall()
                await asyncio.sleep(each)  # how long the cut lasts
                stack.links[0].flow()
                await stack.until_up()
                await crowd.until_turns(1)
        return await _ended(stack, crowd.guests)


async def table_away(place: Place, seconds: float = 30.0) -> Outcome:
    """The table is gone for a while, and comes back with what it had."""
    async with standing(place.folder, place.table, Plan()) as stack:
        async with talking(stack.twilio, place.calls) as crowd:
            await asyncio.to_thread(place.engine.stop)
            await asyncio.sleep(seconds)  # how long it is away
            place.engine.begin()
            await asyncio.to_thread(place.engine.until_up)
            await crowd.until_turns(1)
        return await _ended(stack, crowd.guests)


async def model_away(place: Place, seconds: float = 20.0) -> Outcome:
    """Nothing listens at the address of the model: streams break off, requests are refused."""
    async with standing(place.folder, place.table, Plan()) as stack:
        async with talking(stack.twilio, place.calls) as crowd:
            await stack.bedrock_link.refuse()
            await asyncio.sleep(seconds)  # how long it is away
            await stack.bedrock_link.accept()
            await crowd.until_turns(1)
        return await _ended(stack, crowd.guests)


async def clock(place: Place) -> Outcome:
    """The clocks of the servers are set forward by an hour and back again."""
    plan = Plan(program=("-m", "tests.survival.stepped"))
    async with standing(place.folder, place.table, plan) as stack:
        async with talking(stack.twilio, place.calls, place.patience_seconds) as crowd:
            for step in (FORWARD, BACK):
                for server in stack.servers:
                    server.send(step)
                await crowd.until_turns(2)
        return await _ended(stack, crowd.guests)


async def disk_full(place: Place, seconds: float = 10.0) -> Outcome:
    """A server that keeps its data in a file can write no byte for a while.

    The limit of the size of files stands for the disk: it can be set while a process runs, and
    takes no rights.
    """
    async with standing(place.folder, "", Plan(servers=1)) as stack:
        async with talking(stack.twilio, place.calls) as crowd:
            (server,) = stack.servers
            free = resource.prlimit(server.pid, resource.RLIMIT_FSIZE)
            resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (0, free[1]))
            await asyncio.sleep(seconds)  # how long the disk is full
            resource.prlimit(server.pid, resource.RLIMIT_FSIZE, free)
            await crowd.until_turns(1)
        return await _ended(stack, crowd.guests)


async def ring(twilio: Twilio, count: int) -> tuple[list[RelayInvitation], Counter[str]]:
    """Set up calls at the same time, without sockets: their relays, and the answers.

    A relay may have a place of its own or share one: this shows when its socket is opened.
    """

    async def post() -> TwimlAnswer:
        return await twilio.post(f"{ORIGIN}/twiml", call_fields(From=_STRANGER))

    answers = await asyncio.gather(*(post() for _ in range(count)))
    seen = Counter(f"webhook {answer.status} {'+'.join(answer.verbs)}" for answer in answers)
    return [answer.relay for answer in answers if answer.relay is not None], seen


@asynccontextmanager
async def idling(stack: Stack, count: int) -> AsyncIterator[None]:
    """Hold so many connections that send nothing."""
    ports, loop = [server.port for server in stack.servers], asyncio.get_running_loop()
    at_balancer = int(count * _SHARE_OF_BALANCER)
    async with AsyncExitStack() as exits:
        for number in range(count):
            port = stack.front.port if number < at_balancer else ports[number % len(ports)]
            idle = exits.enter_context(socket.socket())
            idle.setblocking(False)
            await loop.sock_connect(idle, ("127.0.0.1", port))
        yield


async def attempts(twilio: Twilio, count: int) -> Counter[str]:
    """Try so many handshakes without a signature, and as many with one and an invented token."""
    url = f"{ORIGIN.replace('https', 'wss')}/?callSid=CA{'0' * 32}&token=invented"
    gate = asyncio.Semaphore(_AT_ONCE)

    async def attempt(kind: str, signature: str | None) -> str:
        async with gate:
            return f"{kind} {await twilio.handshake(url, signature=signature)}"

    tries = [attempt("unsigned", None) for _ in range(count)]
    tries += [attempt("invented", twilio.sign(url)) for _ in range(count)]
    return Counter(await asyncio.gather(*tries))


@asynccontextmanager
async def dialling(
    twilio: Twilio, relays: Sequence[RelayInvitation]
) -> AsyncIterator[Counter[str]]:
    """Open the sockets of these calls, all at once; they last until this is left."""
    async with AsyncExitStack() as exits:

        async def dial(relay: RelayInvitation) -> str:
            try:
                await exits.enter_async_context(twilio.connect(relay))
            except aiohttp.WSServerHandshakeError as refusal:
                return f"socket {refusal.status}"
            return "socket 101"

        yield Counter(await asyncio.gather(*(dial(relay) for relay in relays)))


async def flood(place: Place, strangers: int = 10_000) -> Outcome:
    """Strangers hold idle connections, try handshakes and ring more often than calls are taken."""
    most = place.calls
    plan = Plan(environment={"MAX_CALLS": str(most), **UNLIMITED_CALLERS})
    async with standing(place.folder, place.table, plan) as stack:
        async with talking(stack.twilio, place.calls, place.patience_seconds) as crowd:
            relays, seen = await ring(stack.twilio, 2 * most)
            async with idling(stack, strangers):
                seen += await attempts(stack.twilio, strangers // 10)
                async with dialling(stack.twilio, relays) as dialled:
                    await asyncio.sleep(1.0)  # calls are led a moment after their sockets opened
                    most_led = max(len(server.calls) for server in stack.servers)
                    seen += dialled + (await ring(stack.twilio, 10))[1]
                await crowd.until_turns(2)
        outcome = await _ended(stack, crowd.guests)
        return replace(outcome, strangers=seen, most_led=most_led)


async def _ended(stack: Stack, guests: list[Guest]) -> Outcome:
    """Stop the servers and judge the calls, which are over."""
    exits = await stack.stop()
    report = await judge(stack.store, guests)
    return Outcome(report, exits, stack.errors())


FULL: dict[str, Callable[[Place], Coroutine[None, None, Outcome]]] = {
    "kill": kill,
    "rolling": rolling,
    "deploy": deploy,
    "reopened": reopened,
    "broken": broken,
    "cut": cut,
    "table": table_away,
    "bedrock": model_away,
    "clock": clock,
    "disk": disk_full,
    "flood": flood,
}
"""Each in its full size."""
