"""A session asks the model ahead of the caller's final words, on virtual time."""

from __future__ import annotations

from collections.abc import Sequence

from agent.call import events as ev
from agent.call.actions import Speak
from agent.call.config import CallConfig
from agent.call.conversation import Conversation
from agent.call.messages import StopReason, ToolCall
from agent.capacity.speculation_budget import SpeculationBudget
from agent.llm.failover import Candidate, FailoverModel, HedgeBudget, ModelCircuit
from agent.session.session import CallDependencies, Session
from agent.simulator.virtual_time import run_virtually
from tests.call.world import CONFIG
from tests.scripted import (
    GREETING,
    ListJournal,
    ListObserver,
    ScriptedAllowance,
    ScriptedConfiguration,
    ScriptedLine,
    ScriptedModel,
    ScriptedToolbox,
    Stage,
    Step,
)

PARTLY = ev.CallerSpoke("are you open?", is_final=False)
SPOKE = ev.CallerSpoke("Are you open?")
YES: Sequence[Step] = [0.6, "Yes, until nine.", StopReason.END]


def on_stage(final: ev.Event, *replies: Sequence[Step], config: CallConfig = GREETING) -> Stage:
    """The words are stable at 1.25 s and final at 1.7 s."""
    line = ScriptedLine([(1.0, PARTLY), (1.7, final)], hangs_up_at=5.0)
    return Stage(line, ScriptedModel(replies), config=config)


def first_words(line: ScriptedLine) -> tuple[float, str]:
    return next((at, one.text) for at, one in line.sent if isinstance(one, Speak) and one.text)


def test_the_reply_to_the_same_words_is_heard_as_if_it_was_asked_earlier() -> None:
    stage = on_stage(SPOKE, YES)

    run_virtually(stage.play())

    assert first_words(stage.line) == (1.85, "Yes, ")
    assert len(stage.model.requests) == 1


def test_the_stream_of_a_reply_to_other_words_is_closed_unheard() -> None:
    stage = on_stage(ev.CallerSpoke("Are you near?"), YES, [0.6, "Quite near.", StopReason.END])

    run_virtually(stage.play())

    assert stage.line.said == "Quite near.\n"
    assert first_words(stage.line)[0] == 2.3
    assert len(stage.model.requests) == 2


def test_a_tool_runs_when_its_reply_is_adopted_and_not_before() -> None:
    call: Sequence[Step] = [0.1, ToolCall("x", "look_up", "{}"), StopReason.TOOLS]
    adopted, discarded = (
        on_stage(final, call, YES, config=CONFIG) for final in (SPOKE, ev.CallerSpoke("Hello?"))
    )

    run_virtually(adopted.play())
    run_virtually(discarded.play())

    assert (adopted.toolbox.runs, discarded.toolbox.runs) == (["look_up"], [])


def test_a_process_without_a_request_to_spare_asks_when_the_words_are_final() -> None:
    stage = on_stage(SPOKE, YES)
    stage.speculation = SpeculationBudget(lambda: False)

    run_virtually(stage.play())

    assert first_words(stage.line)[0] == 2.3
    assert len(stage.model.requests) == 1


def test_a_caller_whose_allowance_is_spent_is_not_answered_ahead() -> None:
    stage = on_stage(SPOKE, YES)
    stage.allowance = ScriptedAllowance(spent_at=0.5)

    run_virtually(stage.play())

    assert stage.model.requests == []


def test_a_late_request_ahead_is_hedged_like_any_other() -> None:
    """It is adopted while both are asked; the second one answers."""
    late, quick = (ScriptedModel([[wait, name, StopReason.END]], name=name) for wait, name in (
        (9.0, "Late."), (0.2, "Quick."),
    ))  # fmt: skip
    candidates = [Candidate(model, ModelCircuit(model.name)) for model in (late, quick)]
    line = ScriptedLine([(1.0, PARTLY), (1.7, SPOKE)], hangs_up_at=5.0)

    async def main() -> None:
        model = FailoverModel(candidates, HedgeBudget())
        configuration = ScriptedConfiguration(model, ScriptedToolbox())
        around = CallDependencies(line, configuration, ListJournal(), ListObserver())
        await Session(Conversation(GREETING), around).run()

    run_virtually(main())

    assert first_words(line) == (2.95, "Quick.")
    assert (late.open_streams, quick.open_streams) == (0, 0)
