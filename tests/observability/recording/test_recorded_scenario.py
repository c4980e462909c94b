"""A recorded call becomes a scenario that holds nobody's data, and passes when it is played."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from agent.call.events import EndReason
from agent.cli.evaluation.hosted_service import SETTINGS, HostedService, hosted
from agent.cli.evaluation.paced_model import Pace
from agent.observability.recording.placeholders import Placeholders
from agent.observability.recording.recorded_scenario import scenario_text
from agent.scenarios.outcome import ScenarioRun
from agent.scenarios.scenario_files import read_file
from agent.scenarios.scenario_player import play
from agent.scenarios.timing import ORDINARY
from agent.settings import Settings
from agent.simulator.virtual_time import run_virtually
from agent.store.call_state.call_list import LISTING
from tests.virtual import virtually

ADA = "+15557654321"
PERSONAL = ("ada", "example.org", "lovelace", "555765", "765 4321", "byron", "12 st james")

NEWCOMER = """
use_case: defaultUseCase
caller: {number: "+15557654321"}
steps:
  - says: my name is Ada Lovelace
  - says: "yes"
  - says: ordering food
  - hangs_up: true
"""
ORDER = """
use_case: restaurantOrderingUseCase
caller:
  number: "+15557654321"
  profile: {firstName: Ada, lastName: Lovelace, email: ada.l@example.org}
steps:
  - interrupts: {words: a large pepperoni pizza for pickup please, after_words: 3}
  - waits: 22
  - presses: "1"
  - says: "yes"
  - loses_line: "64105"
  - says: that is all, thank you ada, bye
"""
SILENT = """
use_case: restaurantOrderingUseCase
caller: {number: "+15557654321"}
steps:
  - says: {fragments: [what are, your opening hours], pause: 0.8}
  - interrupts: {after_words: 3}
  - waits: 120
"""
KEYS = """
use_case: restaurantOrderingUseCase
caller: {number: "+15557654321"}
steps:
  - says: what are your hours
  - waits: 4
  - presses: {keys: "3", waits: false}
  - waits: 3
  - hangs_up: false
"""


def settings(record: str) -> Settings:
    return Settings.read({**SETTINGS, "RECORD_CALLS": record})


async def played(service: HostedService, path: Path) -> tuple[ScenarioRun, str]:
    """A run of a scenario file, and the SID of its call."""
    [scenario] = read_file(path)
    service.pace.begin(scenario, ORDINARY)
    run = await play(scenario, service.twilio, ORDINARY, service)
    [listed] = [item for item in service.store.snapshot().values() if item["sk"] == LISTING]
    return run, str(listed["pk"])


@pytest.mark.parametrize("record", ["true", "false"])
@pytest.mark.parametrize("file", [NEWCOMER, ORDER], ids=["newcomer", "order"])
def test_scenario_of_a_call_passes_and_names_nobody(
    file: str, record: str, tmp_path: Path, plain_logging: None
) -> None:
    """With a record of the call, and with what the table holds of every call."""
    before, after = tmp_path / "before.yaml", tmp_path / "after.yaml"
    before.write_text(file, encoding="utf-8")

    async def main() -> tuple[ScenarioRun, str, ScenarioRun]:
        async with hosted(settings(record), Pace(is_virtual=True)) as service:
            first, call_sid = await played(service, before)
            text = await scenario_text(service.store, call_sid)
            assert text is not None
            after.write_text(text, encoding="utf-8")
            again, _ = await played(service, after)
            return first, text, again

    first, text, again = run_virtually(main())

    assert (first.failures, again.failures) == ([], [])
    assert (first.outcome, len(first.turns)) == (again.outcome, len(again.turns))
    assert [value for value in PERSONAL if value in text.casefold()] == []
    assert len(read_file(after)[0].expects.tools) == 2


def test_steps_of_the_caller_are_those_of_the_call(tmp_path: Path, plain_logging: None) -> None:
    """Each kind of step; the silence in which the agent asked again is there with its length."""
    before = tmp_path / "before.yaml"
    before.write_text(ORDER, encoding="utf-8")

    async def main() -> str | None:
        async with hosted(settings("true"), Pace(is_virtual=True)) as service:
            _, call_sid = await played(service, before)
            return await scenario_text(service.store, call_sid)

    document = yaml.safe_load(run_virtually(main()) or "")

    wait = document["steps"].pop(1)["waits"]
    assert 20 < wait < 24
    assert 2 <= document["steps"][0]["interrupts"].pop("after_words") <= 4
    assert document["steps"] == [
        {"interrupts": {"words": "a large pepperoni pizza for pickup please"}},
        {"presses": "1"},
        {"says": "yes"},
        {"loses_line": "64105"},
        {"says": "that is all, thank you {first_name}, bye"},
    ]
    assert document["caller"]["profile"]["email"] == "{email}"
    assert document["variables"] == {
        "first_name": "Robin", "last_name": "Doe", "email": "robin@example.com",
    }  # fmt: skip
    assert [tool["name"] for tool in document["expects"]["tools"]] == [
        "CheckPastOrdersFunction", "EndCallFunction",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("file", "steps"),
    [
        (
            SILENT,
            [
                {"says": {"fragments": ["what are", "your opening hours"], "pause": 0.8}},
                {"interrupts": {"after_words": 2}},  # the last word was not heard whole
                {"waits": 300.0},
            ],
        ),
        (
            KEYS,
            [
                {"says": "what are your hours"},
                {"waits": 4.0},
                {"presses": {"keys": "3", "waits": False}},
                {"hangs_up": True},
            ],
        ),
    ],
    ids=["silent", "keys"],
)
def test_noises_silences_and_keys_are_steps(
    file: str, steps: list[object], tmp_path: Path, plain_logging: None
) -> None:
    before = tmp_path / "before.yaml"
    before.write_text(file, encoding="utf-8")

    async def main() -> str | None:
        async with hosted(settings("true"), Pace(is_virtual=True)) as service:
            _, call_sid = await played(service, before)
            return await scenario_text(service.store, call_sid)

    assert yaml.safe_load(run_virtually(main()) or "")["steps"] == steps


@virtually
async def test_call_that_is_not_there_is_no_scenario() -> None:
    async with hosted(settings("false"), Pace(is_virtual=True)) as service:
        assert await scenario_text(service.store, "CA0") is None


MUTE = """
use_case: restaurantOrderingUseCase
caller: {number: "+15557654321"}
steps: []
"""


def test_scenario_of_a_call_without_a_word_of_the_caller_can_be_read(
    tmp_path: Path, plain_logging: None
) -> None:
    """The relay failed during the greeting; a file without `steps` is refused."""
    before, after = tmp_path / "before.yaml", tmp_path / "after.yaml"
    before.write_text(MUTE, encoding="utf-8")

    async def main() -> str | None:
        async with hosted(settings("false"), Pace(is_virtual=True)) as service:
            _, call_sid = await played(service, before)
            listed = await service.store.get(call_sid, LISTING) or {}
            await service.store.put({**listed, "reason": EndReason.ERROR_RELAY.value})
            return await scenario_text(service.store, call_sid)

    after.write_text(run_virtually(main()) or "", encoding="utf-8")

    assert read_file(after)[0].steps == ()


def test_every_text_of_a_profile_has_a_stand_in() -> None:
    """Whatever its name; the name of the use case, numbers and single letters stay."""
    profile = {
        "firstName": "Ada", "company": "Analytical Engines", "notes": ["Peanut allergy", "x"],
        "membership": {"tier": "Gold"}, "contact": "ada.l@example.org", "since": "2024-03-05",
        "preferred": "shop", "visits": 3,
    }  # fmt: skip
    placeholders = Placeholders(ADA)
    placeholders.learn_profile(profile, {"shop"})

    assert placeholders.value(profile) == {
        "firstName": "{first_name}", "company": "{value}", "notes": ["{value_2}", "x"],
        "membership": {"tier": "{value_3}"}, "contact": "{email}", "since": "{value_4}",
        "preferred": "shop", "visits": 3,
    }  # fmt: skip
    said = placeholders.text("Ada of analytical engines, a gold member with a peanut allergy")
    assert said == "{first_name} of {value}, a {value_3} member with a {value_2}"
    assert placeholders.variables["email"] == "robin@example.com"
    assert "Ada" not in str(placeholders.variables)


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("call me at 555-765-4321", "call me at {phone}"),
        ("+15557654321 it is", "{number} it is"),
        ("five five five seven six five four three two one", "{phone_spoken}"),
        ("mail ada.l@example.org", "mail {email}"),
        ("it is ada dot l at example dot org", "it is {email_spoken}"),
        ("it is byron at example dot net", "it is {email_spoken_2}"),
        ("that is A-D-A", "that is {first_name_spelled}"),
        ("to 12 St James Street please", "to {address} please"),
        ("I live at 7 Long Acre Road", "I live at {address_2}"),
        ("the {size} of {}", "the {{size}} of {}"),
        ("on 2026-03-05 at 10:00 AM, two large pizzas", ""),
        ("twenty five adaptable tables for 1,234 people", ""),
    ],
)
def test_what_is_personal_has_a_stand_in(said: str, shown: str) -> None:
    """Written and spoken; what only resembles it stays."""
    placeholders = Placeholders(ADA)
    placeholders.learn({"firstName": "Ada", "email": "ada.l@example.org"})
    placeholders.learn({"order": {"delivery_address": "12 St James Street", "item": "Margherita"}})

    assert placeholders.text(said) == (shown or said)


def test_stand_ins_of_one_value_agree_in_all_its_forms() -> None:
    """So that the arguments of a tool still follow from what the caller says."""
    placeholders = Placeholders(ADA)
    placeholders.learn({"customer_name": "Ada Lovelace", "phone": "+15552223333"})
    placeholders.learn({"email": "a d a at example dot org"})
    forms = (
        "555 222 3333", "five five five two two two three three three three", "ada@example.org",
    )  # fmt: skip

    for form in forms:
        placeholders.text(form)

    assert placeholders.variables == {
        "first_name": "Robin",
        "first_name_spelled": "R o b i n",
        "last_name": "Doe",
        "last_name_spelled": "D o e",
        "phone": "+15550109101",
        "email_spoken": "robin at example dot com",
        "email": "robin@example.com",
        "phone_2": "555 010 9101",
        "phone_spoken": "five five five zero one zero nine one zero one",
    }
