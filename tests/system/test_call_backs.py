"""A caller who waits for 15 s and chooses a call back, on the whole service and virtual time."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from agent.cli.evaluation.hosted_service import hosted, hosted_settings
from agent.cli.evaluation.paced_model import Pace
from agent.ports import Item
from agent.scenarios.scenario_files import read_file
from agent.scenarios.scenario_player import play
from agent.scenarios.timing import ORDINARY
from agent.simulator.virtual_time import run_virtually
from tests.shipped import CONFIGURATION

pytestmark = pytest.mark.usefixtures("plain_logging")
SCENARIOS = Path(__file__).parent / "call_backs"
CALLED_BACK = {
    "pk": "restaurantOrderingUseCase",
    "sk": "configuration",
    "outcome": {
        "fields": {
            "called_back": {
                "type": "yes/no",
                "description": "Whether a call back was asked for.",
                "from": {"tool": "RequestCallBackFunction"},
            }
        }
    },
}


def played(file: Path) -> list[Item]:
    """What the table holds after the first scenario of a file, of a use case with an outcome."""
    scenario = read_file(file)[0]
    scenario = replace(scenario, items=[*scenario.items, CALLED_BACK])

    async def run() -> list[Item]:
        pace = Pace(is_virtual=True)
        async with hosted(hosted_settings(str(CONFIGURATION)), pace) as service:
            pace.begin(scenario, ORDINARY)
            done = await play(scenario, service.twilio, ORDINARY, service)
            assert [check for check in done.checks if not check.is_met] == []
            return list(service.store.snapshot().values())

    return run_virtually(run())


@pytest.mark.parametrize(
    ("name", "caller", "number"),
    [
        ("long-wait-for-a-call-back", "+15550100079", "+15550100079"),
        ("long-wait-with-a-withheld-number", None, "4155550101"),
    ],
)
def test_a_chosen_call_back_is_told_once_and_is_part_of_the_outcome(
    name: str, caller: str | None, number: str
) -> None:
    items = played(SCENARIOS / f"{name}.yaml")

    [told] = [each for each in items if str(each["sk"]).startswith("event::desk::")]
    [outcome] = [each for each in items if each["sk"] == "outcome"]
    payload = json.loads(str(told["body"]))
    assert (payload["type"], payload["data"]["number"]) == ("callback.requested", number)
    assert payload["data"].get("caller") == caller
    assert "how much is the tomato soup" in payload["data"]["topic"]
    assert outcome["fields"] == '{"called_back":true}'


def test_without_a_receiver_no_call_back_is_offered() -> None:
    scenario = read_file(SCENARIOS / "long-wait-for-a-call-back.yaml")[0]
    alone = replace(scenario, items=[each for each in scenario.items if each["pk"] != "events"])

    async def run() -> list[str]:
        pace = Pace(is_virtual=True)
        async with hosted(hosted_settings(str(CONFIGURATION)), pace) as service:
            pace.begin(alone, ORDINARY)
            done = await play(alone, service.twilio, ORDINARY, service)
            return [line.text for line in done.transcript]

    said = " ".join(run_virtually(run()))
    assert "shall we go on with something else" in said
    assert "call you back" not in said
