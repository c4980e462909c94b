"""Plays many scenarios, each under several timings, on services in this process or in others."""

from __future__ import annotations

import asyncio
import multiprocessing
import signal
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import TypeVar

from agent.cli.evaluation.hosted_service import HostedService, ModelWrapper, hosted
from agent.cli.evaluation.paced_model import Pace
from agent.errors import AgentError
from agent.observability import configure_logging
from agent.scenarios.outcome import Check, ScenarioRun
from agent.scenarios.scenario import Scenario
from agent.scenarios.scenario_player import play
from agent.scenarios.timing import timing
from agent.settings import Settings
from agent.simulator.virtual_time import run_virtually

P = TypeVar("P")
T = TypeVar("T")
_WORTH_A_PROCESS = 20
"""Runs on virtual time that take as long as the start of a process."""
_SHARES_OF_A_PROCESS = 24
"""Work is handed out in so many pieces to each process: progress shows, and all end together."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What is tried out, and how often."""

    timings: int = 8
    repetitions: int = 1
    is_virtual: bool = True
    """Only for models that answer without a network."""
    around_model: ModelWrapper | None = None
    """To be played in other processes, it must be one that can be pickled."""
    subject: str = ""
    first_timing: int = 0
    """Seed of the first timing; the others follow it."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Scenarios to be played on a service with these settings."""

    settings: Settings
    scenarios: Sequence[Scenario]
    trial: Trial

    @property
    def runs(self) -> int:
        """How many runs there will be."""
        return len(self.scenarios) * self.trial.timings * self.trial.repetitions

    def split(self, parts: int) -> list[Plan]:
        """The same as at most so many plans, none of them empty."""
        size = max(1, -(-len(self.scenarios) // parts))
        starts = range(0, len(self.scenarios), size)
        return [replace(self, scenarios=self.scenarios[at : at + size]) for at in starts]


async def play_hosted(
    settings: Settings, scenarios: Sequence[Scenario], trial: Trial
) -> AsyncGenerator[ScenarioRun, None]:
    """Every run, one after the other on one service.

    With `is_virtual`, to be iterated on a `VirtualTimeLoop`.
    """
    pace = Pace(trial.is_virtual)
    seeds = range(trial.first_timing, trial.first_timing + trial.timings)
    async with hosted(settings, pace, trial.around_model) as service:
        for repetition in range(trial.repetitions):
            for scenario in scenarios:
                for seed in seeds:
                    pace.begin(scenario, timing(seed))
                    run = await _run(scenario, service, seed)
                    yield replace(run, repetition=repetition, subject=trial.subject)


async def _run(scenario: Scenario, service: HostedService, seed: int) -> ScenarioRun:
    try:
        return await play(scenario, service.twilio, timing(seed), service)
    except (AgentError, OSError, ValueError) as error:  # what came of this run; others go on
        run = ScenarioRun(scenario.name, scenario.variant, seed)
        run.use_case, run.file = scenario.use_case, scenario.file
        run.checks.append(Check("crash", is_met=False, detail=repr(error), is_harmful=True))
        return run


async def play_plans(plans: Sequence[Plan], jobs: int) -> AsyncIterator[list[ScenarioRun]]:
    """The runs of all plans as they are finished, with so many services at a time.

    With one job, or little to do, it is done in a thread of this process, else in processes of
    their own. Raises what `hosted` raises.
    """
    if all(plan.trial.is_virtual for plan in plans):
        jobs = min(jobs, 1 + sum(plan.runs for plan in plans) // _WORTH_A_PROCESS)
    parts = [part for plan in plans for part in plan.split(jobs * _SHARES_OF_A_PROCESS)]
    async with aclosing(spread(_played, parts, jobs)) as played:
        async for finished in played:
            yield finished


async def spread(work: Callable[[P], T], parts: Sequence[P], jobs: int) -> AsyncGenerator[T, None]:
    """What the work on each part returns, as it is finished, with so many at a time.

    With one job everything is done in a thread of this process, else in processes of their own.
    """
    executor = _executor(min(jobs, len(parts)))
    loop = asyncio.get_running_loop()
    try:
        futures = [loop.run_in_executor(executor, work, part) for part in parts]
        for finished in asyncio.as_completed(futures):
            yield await finished
    finally:
        executor.shutdown(wait=False, cancel_futures=True)


def _executor(jobs: int) -> Executor:
    if jobs <= 1:
        return ThreadPoolExecutor(1)
    fresh = multiprocessing.get_context("spawn")  # a copy of a process with a loop may hang
    return ProcessPoolExecutor(jobs, mp_context=fresh, initializer=_begin_process)


def _begin_process() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends it at once, without a traceback
    configure_logging("critical", "console")


def _played(plan: Plan) -> list[ScenarioRun]:
    return run_virtually(_all(plan)) if plan.trial.is_virtual else asyncio.run(_all(plan))


async def _all(plan: Plan) -> list[ScenarioRun]:
    async with aclosing(play_hosted(plan.settings, plan.scenarios, plan.trial)) as runs:
        return [run async for run in runs]
