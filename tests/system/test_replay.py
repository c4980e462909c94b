"""Callers' words through the service, with the checks of `benchmarks/replay.py`."""

from __future__ import annotations

from pathlib import Path

import structlog

from benchmarks.replay import replay
from tests.dialogues import CALLERS, DEFAULT, WRITTEN_HERE, dialogues, has_words
from tests.servers import UNLIMITED_CALLERS, offline, seeded, settings_for, staged
from tests.virtual import virtually


@virtually
async def test_words_of_callers_break_no_promise() -> None:
    """Each turn is answered, each cycle closed, no frame refused, nothing logged as an error."""
    said = list(dialogues(WRITTEN_HERE))
    settings = settings_for(Path("unused"), STACK_USE_CASE=DEFAULT, **UNLIMITED_CALLERS)

    with structlog.testing.capture_logs() as logs:
        async with staged(settings, await seeded(), offline) as server:
            for use_case, caller in CALLERS.items():
                await server.know(caller, firstName="Robin", lastName="Doe", useCase=use_case)
            report = await replay(server.twilio, said, seed=7)

    assert len(said) >= 40
    assert {dialogue.use_case for dialogue in said} == {*CALLERS, DEFAULT}
    assert report.findings == []
    assert report.turns == sum(has_words(turn) for each in said for turn in each.turns)
    assert report.calls >= len(said)
    assert report.interrupts > 0
    assert [entry for entry in logs if entry["log_level"] in {"error", "critical"}] == []
