"""Plays one scenario, given as text, on the whole service in virtual time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from agent.cli.evaluation.hosted_service import hosted_settings
from agent.cli.evaluation.suite import Trial, play_hosted
from agent.scenarios.outcome import ScenarioRun
from agent.scenarios.scenario_files import read_file
from agent.simulator.virtual_time import run_virtually
from tests.shipped import CONFIGURATION

Play = Callable[[str], ScenarioRun]
RESTAURANT = "use_case: restaurantOrderingUseCase\ncaller: {number: '+15550109001'}\n"


@pytest.fixture
def play(tmp_path: Path, plain_logging: None) -> Play:
    def played(text: str) -> ScenarioRun:
        file = tmp_path / "scenario.yaml"
        file.write_text(RESTAURANT + text)

        async def run() -> ScenarioRun:
            settings = hosted_settings(str(CONFIGURATION))
            runs = play_hosted(settings, read_file(file), Trial(timings=1))
            [each] = [each async for each in runs]
            return each

        return run_virtually(run())

    return played
