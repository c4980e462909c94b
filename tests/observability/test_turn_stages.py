"""The stages of a turn equal what a line outside of the service measures, on a virtual clock."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

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
from tests.scripted import (
    Edit,
    ListJournal,
    ScriptedConfiguration,
    ScriptedLine,
    ScriptedModel,
    ScriptedToolbox,
    Step,
)
from tests.virtual_time import run_virtually

END, TOOLS = StopReason.END, StopReason.TOOLS
LOOK = ToolCall("tool00001", "look_up", "{}")
BRIEF = CallConfig(greeting="Hello.", tools={"look_up": ToolSpec("look_up", "Looks it up.", "{}")})
SPOKE = ev.CallerSpoke("Are you open?")
YES: Sequence[Step] = [0.7, "Yes, ", 0.2, "until nine. ", 1.1, "Bye.", END]
LOOKS: Sequence[Step] = [0.4, LOOK, TOOLS]
Asked = tuple[float, float]
"""When a turn began by the clock of the line, and when it ended; 0 = with its last frame."""


@dataclass(slots=True)
class HeavyLine(ScriptedLine):
    """One that has a frame at once, and says so later."""

    async def send(self, action: TransportAction) -> None:
        await ScriptedLine.send(self, action)
        await asyncio.sleep(0.05)  # of virtual time


@dataclass(slots=True)
class Call:
    """A call and the turns that it has."""

    line: ScriptedLine
    model: LanguageModel
    turns: Sequence[Asked] = ((2.0, 0.0),)
    toolbox: ScriptedToolbox = field(default_factory=ScriptedToolbox)
    edits: list[Edit] = field(default_factory=list)
    resumption: Resumption | None = None

    async def play(self) -> None:
        telemetry = Telemetry(asyncio.get_running_loop().time)
        observer = telemetry.call("pizza", lambda: "scripted:")
        configuration = ScriptedConfiguration(self.model, self.toolbox, self.edits)
        around = CallDependencies(self.line, configuration, ListJournal(), observer)
        observer.ended(await Session(Conversation(BRIEF, self.resumption), around).run())

    @property
    def measured(self) -> list[tuple[float, float]]:
        """Of each turn: milliseconds until the first text and until its end, on the line."""
        return [self._measured(*asked) for asked in self.turns]

    def _measured(self, began: float, ended: float) -> tuple[float, float]:
        following = min([at for at, _ in self.turns if at > began], default=1000.0)
        spoken = [
            (at, action)
            for at, action in self.line.sent
            if isinstance(action, Speak) and began <= at < (ended or following)
        ]
        first = next(at for at, action in spoken if action.text)
        return _ms(first - began), _ms((ended or spoken[-1][0]) - began)


def on_line(*happenings: tuple[float, ev.Event]) -> ScriptedLine:
    """The caller hangs up before the re-prompt."""
    return ScriptedLine(happenings, hangs_up_at=happenings[-1][0] + 8.0)


def with_fallback() -> FailoverModel:
    """The first one hangs for a while and fails; the second one answers."""
    overloaded = ModelError(ev.ReplyFault.THROTTLED, "too much")
    models = (ScriptedModel([[0.3, overloaded]], name="first"), ScriptedModel([YES], name="second"))
    return FailoverModel(
        [Candidate(model, ModelCircuit(model.name)) for model in models], HedgeBudget(share=0.0)
    )


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)


CALLS: dict[str, Callable[[], Call]] = {
    "plain": lambda: Call(on_line((2.0, SPOKE)), ScriptedModel([YES])),
    "two turns": lambda: Call(
        on_line((2.0, SPOKE), (10.0, SPOKE)), ScriptedModel([YES]), ((2.0, 0.0), (10.0, 0.0))
    ),
    "words that go on": lambda: Call(
        on_line((2.0, ev.CallerSpoke("I would like a")), (2.3, ev.CallerSpoke("pizza please."))),
        ScriptedModel([YES]),
        ((2.3, 0.0),),
    ),
    "edits": lambda: Call(
        on_line((2.0, SPOKE)), ScriptedModel([YES]), edits=[(0.08, None), (0.03, None)]
    ),
    "slow line": lambda: Call(HeavyLine([(2.0, SPOKE)], hangs_up_at=10.0), ScriptedModel([YES])),
    "clauses at once": lambda: Call(
        HeavyLine([(2.0, SPOKE)], hangs_up_at=10.0),
        ScriptedModel([[0.7, "Yes, we are open. We close at nine. Come and see us.", END]]),
    ),
    "tool": lambda: Call(
        on_line((2.0, SPOKE)), ScriptedModel([LOOKS, YES]), toolbox=ScriptedToolbox(0.5)
    ),
    "tool after words": lambda: Call(
        on_line((2.0, SPOKE)),
        ScriptedModel([[0.4, "I look. ", 0.1, LOOK, TOOLS], YES]),
        toolbox=ScriptedToolbox(0.5),
    ),
    "two tools in turn": lambda: Call(
        on_line((2.0, SPOKE)),
        ScriptedModel([LOOKS, [0.2, ToolCall("tool00002", "look_up", "{}"), TOOLS], YES]),
        toolbox=ScriptedToolbox(0.5),
    ),
    "filler of a slow tool": lambda: Call(
        on_line((2.0, SPOKE)), ScriptedModel([LOOKS, YES]), toolbox=ScriptedToolbox(4.0)
    ),
    "filler of a slow model": lambda: Call(
        on_line((2.0, SPOKE)), ScriptedModel([[4.5, "Yes.", END]])
    ),
    "interrupt": lambda: Call(
        on_line((2.0, SPOKE), (3.3, ev.CallerInterrupted("Yes"))),
        ScriptedModel([YES]),
        ((2.0, 3.3),),
    ),
    "new words": lambda: Call(
        on_line((2.0, SPOKE), (3.3, SPOKE)), ScriptedModel([YES]), ((2.0, 3.3), (3.3, 0.0))
    ),
    "key": lambda: Call(
        on_line((2.0, SPOKE), (3.3, ev.CallerPressed("1"))),
        ScriptedModel([YES]),
        ((2.0, 3.3), (3.3, 0.0)),
    ),
    "fallback model": lambda: Call(on_line((2.0, SPOKE)), with_fallback()),
    "failed model": lambda: Call(
        on_line((2.0, SPOKE)), ScriptedModel([[0.6, ModelError(ev.ReplyFault.INTERNAL, "broken")]])
    ),
    "resumed": lambda: Call(
        on_line((12.0, SPOKE)),
        ScriptedModel([YES]),
        ((12.0, 0.0),),
        resumption=Resumption(
            (CallerSaid("Hello"), AgentSaid("Hello. What can I do for you?")), ResumeCause.LOST
        ),
    ),
}


ANSWERED, CUT = ("answered", 0, False), ("interrupted", 0, False)
OUTCOMES: dict[str, list[tuple[str, int, bool]]] = {
    "two turns": [ANSWERED, ANSWERED],
    "tool": [("answered", 1, False)],
    "tool after words": [("answered", 1, False)],
    "two tools in turn": [("answered", 2, False)],
    "filler of a slow tool": [("answered", 1, True)],
    "filler of a slow model": [("answered", 0, True)],
    "interrupt": [CUT],
    "new words": [CUT, ANSWERED],
    "key": [CUT, ANSWERED],
    "failed model": [("failed", 0, False)],
}
"""Outcome, rounds of tools and filler of each turn; one plain answer where it is not given.

They prove that each call is of the kind that its name says.
"""


@pytest.mark.parametrize("name", CALLS)
def test_log_says_what_the_line_has_measured(name: str) -> None:
    """Stages until the first text, and all stages, equal what passed on the line."""
    call = CALLS[name]()

    with capture_logs() as logs:
        run_virtually(call.play())

    lines = [line for line in logs if line["event"] == "turn.finished"]
    stages: list[dict[str, float]] = [line["stages"] for line in lines]
    until_speech = [
        round(sum(ms for stage, ms in each.items() if stage in UNTIL_SPEECH), 1) for each in stages
    ]
    whole = [round(sum(each.values()), 1) for each in stages]
    outcomes = [(line["outcome"], line["tool_rounds"], line["filler"]) for line in lines]
    assert list(zip(until_speech, whole, strict=True)) == call.measured
    assert [(line["response_ms"], line["total_ms"]) for line in lines] == call.measured
    assert outcomes == OUTCOMES.get(name, [ANSWERED])
