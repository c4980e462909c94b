"""Plays many scenarios, each under several timings, on a service in this process."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, replace

from agent.cli.evaluation.hosted_service import ModelWrapper, hosted
from agent.cli.evaluation.paced_model import Pace
from agent.scenarios.outcome import ScenarioRun
from agent.scenarios.scenario import Scenario
from agent.scenarios.scenario_player import play
from agent.scenarios.timing import timing
from agent.settings import Settings


@dataclass(frozen=True, slots=True)
class Trial:
    """What is tried out, and how often."""

    timings: int = 8
    repetitions: int = 1
    is_virtual: bool = True
    """Only for models that answer without a network."""
    around_model: ModelWrapper | None = None
    subject: str = ""


async def play_hosted(
    settings: Settings, scenarios: Sequence[Scenario], trial: Trial
) -> AsyncGenerator[ScenarioRun, None]:
    """Every run, one after the other on one service.

    With `is_virtual`, to be iterated on a `VirtualTimeLoop`.
    """
    pace = Pace(trial.is_virtual)
    async with hosted(settings, pace, trial.around_model) as service:
        for repetition in range(trial.repetitions):
            for scenario in scenarios:
                for seed in range(trial.timings):
                    pace.begin(scenario, timing(seed))
                    run = await play(scenario, service.twilio, timing(seed), service)
                    yield replace(run, repetition=repetition, subject=trial.subject)
