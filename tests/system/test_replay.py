"""Callers' words through the service, with the checks of `benchmarks/replay.py`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import structlog

from benchmarks.replay import CALLERS, Options, replay
from tests.dialogues import DEFAULT, WRITTEN_HERE, dialogues
from tests.servers import PATIENT, UNLIMITED_CALLERS, serving, settings_for


async def test_words_of_callers_break_no_promise(table: Path) -> None:
    """Each turn is answered, each cycle closed, no frame refused, nothing logged as an error."""
    said = list(dialogues(WRITTEN_HERE))
    options = Options(seed=7, concurrency=8, callers=CALLERS)

    with structlog.testing.capture_logs() as logs:
        settings = settings_for(table, STACK_USE_CASE=DEFAULT, **UNLIMITED_CALLERS)
        async with serving(settings) as server:
            for use_case, caller in CALLERS.items():
                await server.know(caller, firstName="Robin", lastName="Doe", useCase=use_case)
            report = await replay(replace(server.twilio, manner=PATIENT), said, options)

    assert len(said) >= 40
    assert {dialogue.use_case for dialogue in said} == {*CALLERS, DEFAULT}
    assert report.violations == []
    assert report.dialogues == len(said)
    assert report.answered == report.caller_turns > 0
    assert [entry for entry in logs if entry["log_level"] in {"error", "critical"}] == []
