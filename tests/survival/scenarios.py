"""What happens to servers under calls: deaths, deploys, cuts, and what they live on going away.

Each scenario stands up its own servers, lets people talk, does its worst, lets the calls come to
their end, ends the servers in an orderly way, and reports. A test runs it small, and
`benchmarks/survival.py` in full.
"""

from __future__ import annotations

import asyncio
import resource
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.dynamodb import Engine
from tests.survival.crowd import talking
from tests.survival.flood import attempts, dialling, idling, ring
from tests.survival.phone import PATIENCE_SECONDS, Guest, Phase
from tests.survival.report import Report, judge, told
from tests.survival.stack import Exit, Plan, Stack, standing
from tests.survival.stepped import BACK, FORWARD
from tests.twilio_client.client import UNLIMITED_CALLERS

_BUSY = (Phase.THINKING, Phase.LISTENING, Phase.ORDERING)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a scenario happens, and how large it is."""

    folder: Path
    engine: Engine
    table: str
    calls: int
    patience_seconds: float = PATIENCE_SECONDS
    """Of callers who have no reason to say anything again."""


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
    """What those were answered who are no guests."""
    most_led: int = 0
    """Calls of one server at a time, among strangers."""

    def rows(self) -> list[str]:
        """For people."""
        exits = (f"{each.code} after {each.seconds:.1f} s" for each in self.exits)
        return [
            *self.report.rows(),
            f"servers ended: {', '.join(exits)}",
            f"logged as errors: {told(self.errors)}",
            *([f"at the kill: {told(self.doomed)}"] if self.doomed else []),
            *([f"strangers: {told(self.strangers)}"] if self.strangers else []),
            *([f"most calls of one server: {self.most_led}"] if self.most_led else []),
        ]


async def kill(place: Place, *, reopens: bool = False) -> Outcome:
    """One of two servers dies while its calls think, listen and order."""
    plan = Plan(pace=0.1, order_seconds=1.5, reopens=reopens)
    async with standing(place.folder, place.table, plan) as stack:
        victim, _ = stack.servers
        async with talking(stack.twilio, place.calls) as crowd:
            await crowd.until(lambda: _all_sorts(crowd.phases(victim.calls), place.calls))
            doomed = crowd.phases(victim.calls)
            await victim.kill()
            await crowd.until_turns(2)
        return replace(await _ended(stack, crowd.guests), doomed=doomed)


async def rolling(place: Place) -> Outcome:
    """One server after the other is replaced, as a deploy does."""
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


def _all_sorts(phases: Counter[str], calls: int) -> bool:
    """The calls of one server do all that calls do, and enough of them order."""
    return all(phases[phase] for phase in _BUSY) and phases[Phase.ORDERING] >= calls // 24


async def reopened(place: Place) -> Outcome:
    """The same, where Twilio opens the sockets again by itself."""
    return await kill(place, reopens=True)


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
    """All calls are over: end the servers, and look."""
    exits = await stack.stop()
    report = await judge(stack.store, guests)
    return Outcome(report, exits, stack.errors())


FULL: dict[str, Callable[[Place], Coroutine[None, None, Outcome]]] = {
    "kill": kill,
    "rolling": rolling,
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
