"""The scenarios that are shipped with the use cases: all pass, and they are what they should be."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from agent.cli.evaluation.hosted_service import SETTINGS
from agent.cli.evaluation.suite import Trial, play_hosted
from agent.scenarios.outcome import ScenarioRun
from agent.scenarios.scenario import Scenario
from agent.scenarios.scenario_files import FOLDER, read_folder
from agent.settings import Settings
from agent.simulator.virtual_time import run_virtually
from tests.shipped import CONFIGURATION, USE_CASES

SUITES = [folder for folder in USE_CASES if (folder / FOLDER).is_dir()]
SHIPPED = {
    Path(scenario.file): scenario for folder in SUITES for scenario in read_folder(folder)
}  # one for each file, whatever its variants
WITHHELD = "anonymous"
LEAST = {
    "albertEinsteinUseCase": 12,
    "apartmentSearchUseCase": 30,
    "defaultUseCase": 12,
    "restaurantOrderingUseCase": 30,
}
"""Files of a use case."""
TIMINGS = 1
"""`tests/run.sh` plays all eight."""


def told(run: ScenarioRun) -> str:
    """A run as a reader of a test report needs it."""
    faults = [f"{check.name}: {check.detail}" for check in run.failures]
    lines = [f"{line.at:7.2f} {line.speaker:7} {line.text}" for line in run.transcript]
    return "\n".join([f"{run.title}, timing {run.timing}", *faults, *lines])


async def failed(scenarios: list[Scenario]) -> list[str]:
    settings = Settings.read({**SETTINGS, "CONFIGURATION": str(CONFIGURATION)})
    runs = play_hosted(settings, scenarios, Trial(timings=TIMINGS))
    return [told(run) async for run in runs if not run.has_passed]


@pytest.mark.parametrize("folder", SUITES, ids=[folder.name for folder in SUITES])
def test_shipped_scenarios_pass_under_different_timings(folder: Path) -> None:
    """Each scenario of a use case passes on the service as it is, with the offline model."""
    faults = run_virtually(failed(read_folder(folder)))

    assert faults == [], "\n\n".join(faults)


def test_callers_of_shipped_scenarios_have_numbers_of_their_own() -> None:
    """Scenarios can be played on one table, so no caller finds what another one left."""
    numbers = Counter(scenario.caller.number for scenario in SHIPPED.values())
    del numbers[WITHHELD]

    assert [number for number, times in numbers.items() if times > 1] == []
    assert [number for number in numbers if not number.startswith("+1555010")] == []


def test_half_of_the_shipped_scenarios_are_unpleasant_for_the_service() -> None:
    """Callers interrupt, change their minds and lose the line; a suite of polite ones is none."""
    unpleasant = [each for each in SHIPPED.values() if "unpleasant" in each.tags]

    assert 2 * len(unpleasant) >= len(SHIPPED)
    assert [path.name for path, each in SHIPPED.items() if not each.about] == []


def test_tools_that_a_scenario_expects_are_tools_of_its_use_case() -> None:
    """A name that is spelled wrongly is never called, and would be expected so with `times: 0`.

    A scripted model may call a tool that is not there.
    """
    wrong = [
        f"{path.name}: {tool.name}"
        for path, each in SHIPPED.items()
        for tool in each.expects.tools
        if tool.name not in (path.parents[1] / "use-case.toml").read_text(encoding="utf-8")
        and tool.name not in str(each.replies)
    ]

    assert wrong == []


@pytest.mark.parametrize(("use_case", "least"), LEAST.items())
def test_shipped_use_case_has_enough_scenarios(use_case: str, least: int) -> None:
    """A suite does not shrink unnoticed."""
    files = [path for path in SHIPPED if path.parent.parent.name == use_case]

    assert len(files) >= least
