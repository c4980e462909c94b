"""What a caller hears of each fault, and after how long, through the whole session.

The rows are recorded as properties; `tests/conftest.py` prints them as one table.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from itertools import pairwise

import pytest

from agent.call.actions import Speak
from agent.call.config import CallConfig, Phrases
from agent.call.conversation import Conversation
from agent.call.events import CallerSpoke
from agent.call.messages import StopReason, ToolCall
from agent.errors import REMEDIES, ModelError
from agent.llm.failover import Candidate, FailoverModel, HedgeBudget, ModelCircuit
from agent.session.session import CallDependencies, Session
from agent.simulator.virtual_time import run_virtually
from tests.scripted import (
    ListJournal,
    ListObserver,
    ScriptedConfiguration,
    ScriptedLine,
    ScriptedModel,
    ScriptedToolbox,
    Step,
)

ASKED_AT = 1.0
LONGEST_SILENCE = 5.0
STALL = 60.0
PHRASES = Phrases()
WELL: Sequence[Step] = [0.3, "From the fallback. ", StopReason.END]
POSITIONS: dict[str, Sequence[Step]] = {
    "before stream": [],
    "before first word": ["", 0.2],
    "mid-sentence": [0.3, "Well, the pizza "],
    "mid-tool": [0.3, ToolCall("x", "look", "{}")],
}
FAULTS: dict[str, Step] = {
    **{str(fault): ModelError(fault) for fault in REMEDIES},
    "stall": STALL,
}


def heard(*scripts: Sequence[Step], hedges: float = 0.0) -> list[tuple[float, str]]:
    """What is said to one question, with the seconds after it."""
    models = [ScriptedModel([script], f"model-{at}") for at, script in enumerate(scripts)]
    line = ScriptedLine([(ASKED_AT, CallerSpoke("What is on it?"))], hangs_up_at=25.0)

    async def call() -> None:
        candidates = [Candidate(model, ModelCircuit(model.name)) for model in models]
        model = FailoverModel(candidates, HedgeBudget(hedges))
        configuration = ScriptedConfiguration(model, ScriptedToolbox())
        around = CallDependencies(line, configuration, ListJournal(), ListObserver())
        before = asyncio.all_tasks()
        await Session(Conversation(CallConfig(greeting="Hello.")), around).run()
        await asyncio.sleep(0)
        assert asyncio.all_tasks() <= before
        assert not any(model.open_streams for model in models)

    run_virtually(call())
    spoken = [(at, one.text) for at, one in line.sent if isinstance(one, Speak) and one.text]
    return [(round(at - ASKED_AT, 2), text.strip()) for at, text in spoken]


def is_settled(text: str) -> bool:
    """It is the caller's turn again."""
    return text in {PHRASES.apology, PHRASES.lost_thread} or "fallback" in text


@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("second", ["answers", "fails", "is missing"])
def test_no_fault_is_heard_as_silence(
    position: str, fault: str, second: str, record_property: Callable[[str, object], None]
) -> None:
    """The caller hears something at least every five seconds until an answer or an apology."""
    failing = [*POSITIONS[position], FAULTS[fault]]
    others: dict[str, list[Sequence[Step]]] = {"answers": [WELL], "fails": [failing]}

    said = heard(failing, *others.get(second, []))

    settled = next(number for number, (_, text) in enumerate(said, 1) if is_settled(text))
    row = "  ".join(f"{at:4} s {text!r}" for at, text in said[:settled])
    record_property("fault matrix", f"{fault:12}{position:18} second {second:11} {row}")
    times = [0.0, *(at for at, _ in said[:settled])]
    assert max(later - earlier for earlier, later in pairwise(times)) <= LONGEST_SILENCE
    has_answer = second == "answers" and position.startswith("before")
    assert ("fallback" in said[settled - 1][1]) == has_answer
