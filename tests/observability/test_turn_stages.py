"""The stages of a turn equal what a line outside of the service measures, on a virtual clock."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest
from structlog.testing import capture_logs

from agent.call import events as ev
from agent.call.actions import Speak, TransportAction
from agent.call.config import CallConfig
from agent.call.conversation import Conversation
from agent.call.history import AgentSaid, CallerSaid
from agent.call.messages import StopReason, ToolCall, ToolSpec
from agent.call.resumption import ResumeCause, Resumption
from agent.errors import ModelError
from agent.llm.failover import Candidate, FailoverModel
from agent.llm.failover.circuit_breaker import HedgeBudget, ModelCircuit
from agent.observability import Telemetry
from agent.observability.turn_stages import UNTIL_SPEECH
from agent.ports import LanguageModel
from agent.session.session import CallDependencies, Session
from agent.simulator.virtual_time import run_virtually
from tests.scripted import (
    Edit,
    ListJournal,
    ScriptedConfiguration,
    ScriptedLine,
    ScriptedModel,
    ScriptedToolbox,
    Step,
)

END, TOOLS = StopReason.END, StopReason.TOOLS
LOOK = ToolCall("tool00001", "look_up", "{}")
BRIEF = CallConfig(greeting="Hello.", tools={"look_up": ToolSpec("look_up", "Looks it up.", "{}")})
SPOKE, NEAR = ev.CallerSpoke("Are you open?"), ev.CallerSpoke("Are you near?")
PARTLY = ev.CallerSpoke("are you open?", False)
YES: Sequence[Step] = [0.7, "Yes, ", 0.2, "until nine. ", 1.1, "Bye.", END]
LOOKS: Sequence[Step] = [0.4, LOOK, TOOLS]
ANSWERED, CUT = ("answered", 0, False), ("interrupted", 0, False)
"""The outcome, the rounds of tools, and whether a filler was played."""


@dataclass(slots=True)
class HeavyLine(ScriptedLine):
    """One that has a frame at once, and says so later."""

    async def send(self, action: TransportAction) -> None:
        await ScriptedLine.send(self, action)
        await asyncio.sleep(0.05)  # of virtual time


def with_fallback() -> FailoverModel:
    """The first one hangs for a while and fails; the second one answers."""
    overloaded = ModelError(ev.ReplyFault.THROTTLED, "too much")
    models = (ScriptedModel([[0.3, overloaded]], name="first"), ScriptedModel([YES], name="second"))
    return FailoverModel(
        [Candidate(model, ModelCircuit(model.name)) for model in models], HedgeBudget(share=0.0)
    )


@dataclass(frozen=True, slots=True)
class Call:
    """A call and the turns that it has; the caller hangs up before the re-prompt."""

    happenings: Sequence[tuple[float, ev.Event]] = ((2.0, SPOKE),)
    replies: Sequence[Sequence[Step]] = (YES,)
    turns: Sequence[tuple[float, float]] = ((2.0, 0.0),)
    """When each began by the clock of the line, and when it ended; 0 = with its last frame."""
    outcomes: Sequence[tuple[str, int, bool]] = (ANSWERED,)
    """They prove that the call is of the kind that its name says."""
    tool_seconds: float = 0.5
    line: type[ScriptedLine] = ScriptedLine
    edits: Sequence[Edit] = ()
    model: Callable[[], LanguageModel] | None = None
    resumption: Resumption | None = None

    async def play(self) -> list[tuple[float, float]]:
        """Of each turn: milliseconds until the first text and until its end, on the line."""
        observer = Telemetry(asyncio.get_running_loop().time).call("pizza", lambda: "scripted:")
        line = self.line(self.happenings, hangs_up_at=self.happenings[-1][0] + 8.0)
        model = self.model() if self.model else ScriptedModel(self.replies)
        toolbox = ScriptedToolbox(self.tool_seconds)
        configuration = ScriptedConfiguration(model, toolbox, list(self.edits))
        around = CallDependencies(line, configuration, ListJournal(), observer)
        observer.ended(await Session(Conversation(BRIEF, self.resumption), around).run())
        ends = [*(began for began, _ in self.turns[1:]), 1000.0]
        return [
            _measured(line, began, ended, ended or end)
            for (began, ended), end in zip(self.turns, ends, strict=True)
        ]


def _measured(line: ScriptedLine, began: float, ended: float, until: float) -> tuple[float, float]:
    spoken = [
        (at, action)
        for at, action in line.sent
        if isinstance(action, Speak) and began <= at < until
    ]
    first = next(at for at, action in spoken if action.text)
    return _ms(first - began), _ms((ended or spoken[-1][0]) - began)


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)


BROKEN_INTO = ((2.0, 3.3), (3.3, 0.0))
CALLS = {
    "plain": Call(),
    "two turns": Call(
        [(2.0, SPOKE), (10.0, SPOKE)],
        turns=[(2.0, 0.0), (10.0, 0.0)],
        outcomes=[ANSWERED, ANSWERED],
    ),
    "asked ahead": Call([(1.6, PARTLY), (2.3, SPOKE)], turns=[(2.3, 0.0)]),
    "asked ahead, and there": Call([(0.5, PARTLY), (3.3, SPOKE)], turns=[(3.3, 0.0)]),
    "asked ahead, with a tool": Call(
        [(1.5, PARTLY), (2.3, SPOKE)],
        replies=[LOOKS, YES],
        turns=[(2.3, 0.0)],
        outcomes=[("answered", 1, False)],
    ),
    "asked ahead and discarded": Call([(1.6, PARTLY), (2.3, NEAR)], turns=[(2.3, 0.0)]),
    "words that go on": Call(
        [(2.0, ev.CallerSpoke("I would like a")), (2.3, ev.CallerSpoke("pizza please."))],
        turns=[(2.3, 0.0)],
    ),
    "edits": Call(edits=[(0.08, None), (0.03, None)]),
    "slow line": Call(line=HeavyLine),
    "clauses at once": Call(
        replies=[[0.7, "Yes, we are open. We close at nine. Come and see us.", END]],
        line=HeavyLine,
    ),
    "tool": Call(replies=[LOOKS, YES], outcomes=[("answered", 1, False)]),
    "tool after words": Call(
        replies=[[0.4, "I look. ", 0.1, LOOK, TOOLS], YES], outcomes=[("answered", 1, False)]
    ),
    "two tools in turn": Call(
        replies=[LOOKS, [0.2, ToolCall("tool00002", "look_up", "{}"), TOOLS], YES],
        outcomes=[("answered", 2, False)],
    ),
    "filler of a slow tool": Call(
        replies=[LOOKS, YES], tool_seconds=4.0, outcomes=[("answered", 1, True)]
    ),
    "filler of a slow model": Call(replies=[[4.5, "Yes.", END]], outcomes=[("answered", 0, True)]),
    "interrupt": Call(
        [(2.0, SPOKE), (3.3, ev.CallerInterrupted("Yes"))],
        turns=BROKEN_INTO[:1],
        outcomes=[CUT],
    ),
    "new words": Call([(2.0, SPOKE), (3.3, NEAR)], turns=BROKEN_INTO, outcomes=[CUT, ANSWERED]),
    "key": Call(
        [(2.0, SPOKE), (3.3, ev.CallerPressed("1"))],
        turns=BROKEN_INTO,
        outcomes=[CUT, ANSWERED],
    ),
    "fallback model": Call(model=with_fallback),
    "failed model": Call(
        replies=[[0.6, ModelError(ev.ReplyFault.INTERNAL, "broken")]],
        outcomes=[("failed", 0, False)],
    ),
    "resumed": Call(
        [(12.0, SPOKE)],
        turns=[(12.0, 0.0)],
        resumption=Resumption(
            (CallerSaid("Hello"), AgentSaid("Hello. What can I do for you?")), ResumeCause.LOST
        ),
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_log_says_what_the_line_has_measured(name: str) -> None:
    """Stages until the first text, and all stages, equal what passed on the line."""
    call = CALLS[name]

    with capture_logs() as logs:
        measured = run_virtually(call.play())

    lines = [line for line in logs if line["event"] == "turn.finished"]
    stages: list[dict[str, float]] = [line["stages"] for line in lines]
    until_speech = [
        round(sum(ms for stage, ms in each.items() if stage in UNTIL_SPEECH), 1) for each in stages
    ]
    whole = [round(sum(each.values()), 1) for each in stages]
    outcomes = [(line["outcome"], line["tool_rounds"], line["filler"]) for line in lines]
    assert list(zip(until_speech, whole, strict=True)) == measured
    assert [(line["response_ms"], line["total_ms"]) for line in lines] == measured
    assert outcomes == list(call.outcomes)
