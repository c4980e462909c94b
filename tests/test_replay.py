"""A sample of real callers' words through the service: the promises of `benchmarks/replay.py`."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import structlog

from benchmarks.replay import CALLERS, Options, replay
from tests.dialogues import APARTMENTS, DEFAULT, ORDERING, Dialogue, dialogues, sample, shared_data
from tests.servers import PATIENT, serving, settings_for
from tests.twilio.client import UNLIMITED_CALLERS

_SAMPLE = 39
"""Three of each file."""
_WRITTEN_HERE = [
    Dialogue("pizza", "multidogo_pizza_orders", ("hi", "a large pepperoni", "", "pickup", "no")),
    Dialogue("home", "star_apartments", ("i need a flat", "[noise]", "a studio", "ok bye")),
    Dialogue("new", "dstc10_spoken", ("hello there", "what can you do", "thanks")),
]


async def test_words_of_real_callers_break_no_promise(table: Path) -> None:
    """Each turn is answered, each cycle closed, no frame refused, nothing logged as an error.

    Without the dialogue data this test fails and says where it looked, unless
    `WITHOUT_SHARED_DATA=1` says that it is meant to be absent.
    """
    said = _said()
    options = Options(seed=7, concurrency=8, callers=CALLERS)

    with structlog.testing.capture_logs() as logs:
        async with serving(
            settings_for(table, STACK_USE_CASE=DEFAULT, **UNLIMITED_CALLERS)
        ) as server:
            for use_case, caller in CALLERS.items():
                await server.know(caller, firstName="Robin", lastName="Doe", useCase=use_case)
            report = await replay(replace(server.twilio, manner=PATIENT), said, options)

    assert report.violations == ()
    assert report.dialogues == len(said)
    assert report.answered == report.caller_turns > 0
    assert [entry for entry in logs if entry["log_level"] in {"error", "critical"}] == []


def test_dialogues_written_here_are_of_three_use_cases() -> None:
    """What stands in for the data covers orders, homes and newcomers."""
    use_cases = [dialogue.use_case for dialogue in _WRITTEN_HERE]

    assert use_cases == [ORDERING, APARTMENTS, DEFAULT]


def _said() -> list[Dialogue]:
    if os.environ.get("WITHOUT_SHARED_DATA") == "1":
        print("\nNOTICE: without the dialogue data, only three dialogues are said")  # noqa: T201 (asked for)
        return _WRITTEN_HERE
    return sample(dialogues(shared_data()), _SAMPLE, seed=7)
