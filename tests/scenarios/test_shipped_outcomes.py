"""What the calls of the shipped scenarios yield, against what they have left in the table."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from agent.cli.evaluation.hosted_service import HostedService, hosted, hosted_settings
from agent.cli.evaluation.paced_model import Pace
from agent.scenarios.scenario import Scenario
from agent.scenarios.scenario_files import FOLDER, read_folder
from agent.scenarios.scenario_player import play
from agent.scenarios.timing import timing
from agent.simulator.virtual_time import run_virtually
from agent.store.call_state.call_list import LISTING
from agent.store.call_state.outcome_item import read_outcome_of
from agent.usecases.outcome_schema import Asked, CallOutcome
from tests.shipped import CONFIGURATION, USE_CASES

SUITES = [folder for folder in USE_CASES if (folder / FOLDER).is_dir()]
ASKED_OF_A_MODEL = {
    "albertEinsteinUseCase": {"answered", "topic"},
    "apartmentSearchUseCase": {"budget"},
    "defaultUseCase": set[str](),
    "restaurantOrderingUseCase": {"wish"},
}


async def left_behind(service: HostedService, listed: Mapping[str, Any]) -> dict[str, object]:
    """The fields of a call as the table tells them, without a look at its outcome or its tools."""
    caller, call_sid = str(listed["caller"] or listed["pk"]), listed["pk"]
    before = service.prepared
    match listed["useCase"]:
        case "restaurantOrderingUseCase":
            orders = await service.items(caller, "restaurantOrder::")
            placed: list[Any] = [each for each in orders if each.get("callSid") == call_sid]
            found: dict[str, object] = {"order_placed": bool(placed)}
            if placed:
                order = placed[-1]["order"]
                found |= {"order_total": order["order_total"], "order_type": order["order_type"]}
            return found
        case "apartmentSearchUseCase":
            tours: list[Any] = [
                each
                for each in await service.items(caller, "apartmentAppointment::")
                if (each["pk"], each["sk"]) not in before
            ]
            found = {"tour_booked": bool(tours)}
            if tours:
                booked = tours[-1]["appointment"]
                found |= {"tour_day": booked["date"], "apartment": booked["apartmentType"]}
            return found
        case "defaultUseCase":
            profile = await service.store.get(caller, "profile") or {}
            known = before.get((caller, "profile"), {})
            name, demo = profile.get("firstName"), profile.get("useCase")
            return {"name": name != known.get("firstName"), "demo": demo != known.get("useCase")}
        case _:
            return {}


def told(outcome: CallOutcome) -> dict[str, object]:
    """The fields of an outcome, in the terms of `left_behind`."""
    values: dict[str, object] = dict(outcome.values)
    if outcome.use_case == "defaultUseCase":
        return {"name": values["name_saved"], "demo": values["demo_chosen"]}
    return values


async def outcomes_of(scenarios: list[Scenario]) -> tuple[list[str], int]:
    """The scenarios whose outcome is wrong, with the difference; and the calls with an outcome."""
    wrong, judged = list[str](), 0
    pace = Pace(is_virtual=True)
    async with hosted(hosted_settings(str(CONFIGURATION)), pace) as service:
        for scenario in scenarios:
            pace.begin(scenario, timing(0))
            await play(scenario, service.twilio, timing(0), service)
            await service.settle()
            for (call_sid, kind), listed in service.store.snapshot().items():
                if kind != LISTING or not listed["reason"]:
                    continue
                outcome = await read_outcome_of(service.store, call_sid)
                assert outcome is not None, scenario.file
                expected, judged = await left_behind(service, listed), judged + 1
                invented = set(outcome.values) & ASKED_OF_A_MODEL[outcome.use_case]
                is_transferred = listed["reason"] == "transfer"
                is_true = told(outcome) == expected and is_transferred == bool(outcome.transfer)
                if not is_true or invented:
                    wrong.append(f"{scenario.file}: {dict(outcome.values)}, left: {expected}")
                if set(outcome.unknown) | set(outcome.values) != fields_of(outcome):
                    wrong.append(f"{scenario.file}: {outcome.unknown} unknown")
                has_model_fields = bool(ASKED_OF_A_MODEL[outcome.use_case])
                assert outcome.asked is (Asked.OFFLINE if has_model_fields else Asked.NOT_NEEDED)
    return wrong, judged


def fields_of(outcome: CallOutcome) -> set[str]:
    return {
        "albertEinsteinUseCase": {"answered", "topic"},
        "apartmentSearchUseCase": {"tour_booked", "tour_day", "apartment", "budget"},
        "defaultUseCase": {"name_saved", "demo_chosen", "demo"},
        "restaurantOrderingUseCase": {"order_placed", "order_total", "order_type", "wish"},
    }[outcome.use_case]


@pytest.mark.parametrize("folder", SUITES, ids=[folder.name for folder in SUITES])
def test_outcomes_are_what_tools_have_done_and_nothing_is_invented(
    folder: Path, plain_logging: None
) -> None:
    scenarios = read_folder(folder)

    wrong, judged = run_virtually(outcomes_of(scenarios))

    assert wrong == [], "\n".join(wrong)
    assert judged >= len(scenarios) - 3
