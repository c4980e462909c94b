"""Many callers at once, on one server.

Without a rate, so many callers call, and each calls again when a call is over. With a rate, calls
arrive at that rate whatever the server does, as callers do; a call for which there is no place
among the calls at once is counted and left out. Callers speak at their pace and hear the agent out,
so a call takes as long as a call takes.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from agent.scenarios.caller_script import CallerScript
from agent.scenarios.expectations import sessions_of
from agent.scenarios.load_figures import AnswerWait, LoadFigures
from agent.scenarios.scenario import Scenario
from agent.scenarios.scenario_player import LONGEST_CALL_SECONDS, caller_of
from agent.scenarios.timing import timing
from agent.simulator.carrier import Twilio
from agent.simulator.phone_call import Outcome
from agent.simulator.simulated_call import exact_clock

_NUMBERS = range(15_552_000_000, 15_559_000_000)
"""Area code 555 is not assigned: the numbers belong to no one."""
_READ_SECONDS = 1.0
_LAG_SECONDS = 0.02
_MOST_FAILED = 0.01
"""Share of the calls that may fail at a level that holds."""
_BUSY_SHARE = 0.9
"""Of a core, above which the generator may be what is measured."""


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """How many call, and how."""

    calls: int
    """At once, at most."""
    seconds: float
    """Length of the test, `ramp` included."""
    ramp: float = 10.0
    """Over which the first calls begin, without a rate."""
    rate: float = 0.0
    """Calls that arrive a second; 0 = as soon as there is a place."""
    is_even: bool = False
    """Calls arrive at even times; else at random ones (a Poisson process)."""
    think: float = 0.0
    """Mean seconds between the agent's last word and the caller's first; 0 = about 1.4."""
    seed: int = 1


class LoadGenerator:
    """One test; `figures` can be read while it runs."""

    def __init__(self, twilio: Twilio, scenarios: Sequence[Scenario], plan: LoadPlan) -> None:
        self.plan = plan
        self.figures = LoadFigures(plan.calls)
        self.active = 0
        """Calls in progress."""
        self._twilio = twilio
        self._scenarios = scenarios
        self._chance = random.Random(plan.seed)  # noqa: S311 (choices that can be repeated)
        self._first_number = random.choice(_NUMBERS)  # noqa: S311 (so that a second test has others)
        self._began = asyncio.get_running_loop().time()

    @property
    def elapsed(self) -> float:
        return asyncio.get_running_loop().time() - self._began

    async def run(self) -> LoadFigures:
        """Call for the whole time; calls that are in progress then hang up."""
        figures, plan = self.figures, self.plan
        figures.measured_from = 0.0 if plan.rate else min(plan.ramp, plan.seconds / 2)
        used, waited = time.process_time(), waited_seconds()
        async with asyncio.TaskGroup() as tasks:
            work = [
                tasks.create_task(self._arrive(tasks), name="load arrivals"),
                tasks.create_task(notice_lag(figures.lags), name="load lag"),
                tasks.create_task(self._count_calls(), name="load calls"),
            ]
            await asyncio.sleep(plan.seconds)
            took = figures.seconds = self.elapsed
            figures.core_share = (time.process_time() - used) / took
            figures.waited_share = (waited_seconds() - waited) / took
            for task in work:
                task.cancel()
        return figures

    async def _arrive(self, tasks: asyncio.TaskGroup) -> None:
        """Begin the calls; they end with this task."""
        running: set[asyncio.Task[None]] = set()
        try:
            for number, at in enumerate(self._arrivals()):
                await asyncio.sleep(max(0.0, at - self.elapsed))
                if self.plan.rate and len(running) >= self.plan.calls:
                    self.figures.held_back += 1
                    continue
                caller = self._call(number) if self.plan.rate else self._call_again(number)
                task = tasks.create_task(caller, name=f"caller {number}")
                running.add(task)
                task.add_done_callback(running.discard)
            await asyncio.sleep(math.inf)
        finally:
            for task in running:
                task.cancel()

    def _arrivals(self) -> Iterator[float]:
        """When each call begins, or with no rate the first one of each caller."""
        plan, at = self.plan, 0.0
        if not plan.rate:
            step = plan.ramp / plan.calls
            chances = [self._chance.uniform(0, plan.ramp) for _ in range(plan.calls)]
            yield from (
                [each * step for each in range(plan.calls)] if plan.is_even else sorted(chances)
            )
            return
        while True:
            at += 1 / plan.rate if plan.is_even else self._chance.expovariate(plan.rate)
            yield at

    async def _call_again(self, number: int) -> None:
        while True:
            await self._call(number)
            await asyncio.sleep(self._chance.uniform(0.5, 1.5))  # to dial again
            number += self.plan.calls

    async def _call(self, number: int) -> None:
        """One call, from a number that no other call of the test has."""
        self.active += 1
        try:
            await play_call(self._caller(number), self.figures, self._began)
        finally:
            self.active -= 1

    def _caller(self, number: int) -> CallerScript:
        plan, of_call = self.plan, timing(number)
        if plan.think:
            of_call = replace(of_call, reaction=plan.think * self._chance.uniform(0.5, 1.5))
        scenario = self._scenarios[number % len(self._scenarios)]
        caller = replace(scenario.caller, number=f"+{self._first_number + number}")
        return caller_of(replace(scenario, caller=caller), self._twilio, of_call)

    async def _count_calls(self) -> None:
        while True:
            self.figures.at_once.append(self.active)
            await asyncio.sleep(len(self.figures.at_once) - self.elapsed)


async def notice_lag(lags: list[float]) -> None:
    """Note again and again by how many seconds a timer is late."""
    now = exact_clock(asyncio.get_running_loop())
    while True:
        due_at = now() + _LAG_SECONDS
        await asyncio.sleep(_LAG_SECONDS)
        lags.append(max(0.0, now() - due_at))


def waited_seconds(process: int | None = None) -> float:
    """How long the first thread of a process was ready and had no core; 0 where unknown.

    `process`: None = this one.
    """
    schedule = Path(f"/proc/{process or 'self'}/schedstat")
    return int(schedule.read_text(encoding="ascii").split()[1]) / 1e9 if schedule.exists() else 0.0


async def play_call(script: CallerScript, figures: LoadFigures, began: float) -> None:
    """Play one call to its end, and enter what it comes to while it lasts.

    `began` is when the test did, on the clock of the loop.
    """
    reader = _CallReader(script, figures, began)
    figures.begun += 1
    playing = asyncio.create_task(script.play(), name=f"call {figures.begun}")
    try:
        async with asyncio.timeout(LONGEST_CALL_SECONDS):
            while not playing.done():
                await asyncio.wait({playing}, timeout=_READ_SECONDS)
                reader.read()
        await playing
    except (OSError, TimeoutError, ValueError) as error:
        figures.errors[f"{type(error).__name__}: {error}".rstrip(": ")] += 1
    finally:
        playing.cancel()
        await asyncio.wait({playing})
        reader.close()
        figures.ended += 1


class _CallReader:
    """Enters what one call has come to into the figures, bit by bit."""

    def __init__(self, script: CallerScript, figures: LoadFigures, began: float) -> None:
        self._script = script
        self._figures = figures
        self._began = began
        self._read = 0

    def read(self) -> None:
        """Enter the waits that are new."""
        waits = list(_waits(self._script, self._began))
        self._figures.waits += waits[self._read :]
        self._read = len(waits)

    def close(self) -> None:
        """Enter the rest; the call is over."""
        self.read()
        script, figures = self._script, self._figures
        call = script.call
        figures.silences += len(script.silences)
        figures.undone_steps += len(script.faults)
        if script.dead_ends:
            figures.errors["an answer without an end"] += 1
        if call.outcome in {Outcome.REFUSED, Outcome.FAILED}:
            figures.errors[f"{call.outcome.value}: {call.detail}".rstrip(": ")] += 1
        faults = list(call.departures)
        for session in sessions_of(script):
            faults += session.ledger.departures
        figures.departures.update(fault.kind.value for fault in faults)


def _waits(script: CallerScript, began: float) -> Iterator[AnswerWait]:
    for session in sessions_of(script):
        first_text: dict[int, float] = {}
        for cycle in session.ledger.cycles:
            first_text.setdefault(cycle.turn, cycle.opened_at)
        for turn, at in enumerate(session.ledger.asked, 1):
            if turn in first_text:
                yield AnswerWait(at - began, first_text[turn] - at)


@dataclass(frozen=True, slots=True)
class Level:
    """So many calls at once, and whether the server held them."""

    calls: int
    p95: float
    """Seconds; of fewer than 20 answers the longest, infinite if there was none."""
    holds: bool
    reason: str = ""
    """Why it does not hold."""
    is_own_limit: bool = False
    """The generator was too busy, so the level says nothing of the server."""


def level_of(figures: LoadFigures, limit: float) -> Level:
    """Whether a run held a limit of its 95th percentile, in seconds."""
    p95 = figures.percentiles().get("p95", math.inf)
    if figures.core_share > _BUSY_SHARE:
        share = f"the load generator used {figures.core_share:.0%} of its core"
        return Level(figures.calls, p95, holds=False, reason=share, is_own_limit=True)
    if p95 == math.inf:
        return Level(figures.calls, p95, holds=False, reason="no answer; give it more --minutes")
    if figures.failed_share > _MOST_FAILED:
        reason = f"{figures.errors.total()} of {figures.begun} calls failed"
        return Level(figures.calls, p95, holds=False, reason=reason)
    holds = p95 <= limit
    return Level(figures.calls, p95, holds=holds, reason="" if holds else f"p95 {p95:.3f} s")


async def find_highest(try_level: Callable[[int], Awaitable[Level]], most: int) -> int:
    """The highest number of calls that holds, to about 5 %; 0 if none does.

    It doubles until a level does not hold or `most` is reached, and then halves the rest.
    """
    good, calls = 0, min(10, most)
    while True:
        if not (await try_level(calls)).holds:
            break
        good = calls
        if calls == most:
            return good
        calls = min(2 * calls, most)
    bad = calls
    while bad - good > max(1, round(good * 0.05)):
        middle = (good + bad) // 2
        if (await try_level(middle)).holds:
            good = middle
        else:
            bad = middle
    return good
