"""A session carries out what the conversation decides, whatever its children do."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
import structlog

from agent.call import events as ev
from agent.call.actions import EndCall, HangUp, Speak, ToolOutcome
from agent.call.config import CallConfig, KeyBinding, Limits, Phrases
from agent.call.events import CallerPressed, CallerSpoke, EndReason, PlaybackReported, ReplyFault
from agent.call.history import AgentSaid, CallerSaid, Fact, SpeechSource, Summary, ToolUsed
from agent.call.lifecycle import HandoffData, ReasonCode
from agent.call.messages import ReplyRequest, SideEffect, StopReason, ToolCall, ToolResult, Usage
from agent.call.messages import ToolSpec as Spec
from agent.call.summarization import SUMMARIZE
from agent.errors import ModelError
from agent.session.session import FLUSH_SECONDS, LONGEST_DELTA, Session
from agent.simulator.virtual_time import run_virtually
from tests.call.builders import caller, caller_on
from tests.scripted import (
    GREETING,
    ListJournal,
    ScriptedAllowance,
    ScriptedLine,
    ScriptedModel,
    ScriptedToolbox,
    Stage,
    Step,
)

END = StopReason.END
ORDER = Spec("order", "Orders.", '{"type":"object"}', side_effect=SideEffect.ONCE)
LOOK = Spec("look", "Looks.", '{"type":"object"}')
WITH_TOOLS = CallConfig(greeting="Hello.", tools={"order": ORDER, "look": LOOK})
PHRASES = Phrases()
Happenings = Sequence[tuple[float, ev.Event]]


def on_stage(
    happens: str | Happenings,
    *replies: Sequence[Step],
    until: float | None = None,
    **parts: Any,
) -> Stage:
    """A caller who says this after a second, or does this, and hangs up `until`; or who stays."""
    happenings = [(1.0, CallerSpoke(happens))] if isinstance(happens, str) else happens
    line = ScriptedLine(happenings, until is None, hangs_up_at=until or 0.0)
    return Stage(line, ScriptedModel(replies), **parts)


def meanwhile(
    stage: Stage, at: float, act: Callable[[Session], Awaitable[object] | None]
) -> EndReason:
    """Run a call, and act at this second."""

    async def main() -> EndReason:
        session = stage.session()
        running = asyncio.create_task(session.run())
        await asyncio.sleep(at)
        if (acting := act(session)) is not None:
            await acting
        return await running

    return run_virtually(main())


async def timed(running: Awaitable[object]) -> tuple[object, float]:
    """What is returned, and at which second."""
    return await running, asyncio.get_running_loop().time()


def events_of(stage: Stage) -> list[ev.Event]:
    return [event for event, _ in stage.observer.seen]


def test_caller_is_answered_and_all_is_written_down() -> None:
    turns = [(1.0, CallerSpoke("Are you open?")), (3.0, CallerSpoke("Thanks."))]
    stage = on_stage(turns, ["Yes, ", "until nine. ", END], ["You are welcome.", END], until=4.0)

    assert run_virtually(stage.play()) is EndReason.CALLER_HANGUP
    assert stage.line.said == "Yes, until nine.\nYou are welcome.\n"
    assert stage.journal.facts == [
        AgentSaid("Hello.", SpeechSource.GREETING),
        CallerSaid("Are you open?"),
        AgentSaid("Yes, until nine."),
        CallerSaid("Thanks."),
        AgentSaid("You are welcome."),
    ]


TALKATIVE = replace(GREETING, limits=replace(GREETING.limits, longest_reply=0))


def test_long_piece_of_a_reply_is_worked_on_in_parts() -> None:
    words = "one two three. " * 500
    stage = on_stage("Count.", [words, END], until=4.0, config=TALKATIVE)

    run_virtually(stage.play())

    sizes = [len(event.text) for event in events_of(stage) if isinstance(event, ev.ReplyDelta)]
    assert sizes == [LONGEST_DELTA] * 7 + [len(words) - 7 * LONGEST_DELTA]
    assert stage.line.said == words + "\n"


@pytest.mark.parametrize("call", [(), (ToolCall("x", "none", "{}"),)])
def test_words_that_are_read_with_the_end_are_one_frame_with_it(
    call: tuple[ToolCall, ...],
) -> None:
    stage = on_stage("Hm.", ["Well, ", ("no. ", "Sorry. ", *call, END)], ["Bye.", END], until=4.0)

    run_virtually(stage.play())

    frames = [one for _, one in stage.line.sent if isinstance(one, Speak)]
    assert [(one.text, one.is_last) for one in frames[:2]] == [
        ("Well, ", False),
        ("no. Sorry.", True),
    ]
    deltas = [event.text for event in events_of(stage) if isinstance(event, ev.ReplyDelta)]
    assert deltas[:1] == ["Well, "]
    assert "no. Sorry. " not in deltas


def test_long_words_that_are_read_with_the_end_are_worked_on_in_parts() -> None:
    words = "one two three. " * 500
    stage = on_stage("Count.", [(words, END)], until=4.0, config=TALKATIVE)

    run_virtually(stage.play())

    sizes = [len(event.text) for event in events_of(stage) if isinstance(event, ev.ReplyDelta)]
    assert sizes == [LONGEST_DELTA] * 7 + [len(words) - 7 * LONGEST_DELTA]
    assert stage.line.said == words + "\n"


def test_interrupt_closes_the_stream_at_once() -> None:
    turns: Happenings = [(1.0, CallerSpoke("Tell me more.")), (2.0, ev.CallerInterrupted("Well"))]
    stage = on_stage(turns, ["Well, ", 10.0, "too late. ", END])
    streams = list[int]()

    async def act(_: Session) -> None:
        streams.append(stage.model.open_streams)
        await stage.line.close()

    meanwhile(stage, 2.01, act)

    assert streams == [0]
    assert stage.line.said == "Well, \n"


LONG = "we have pizzas, salads and a soup that changes every day. "
"""Two to four seconds of speech."""


def test_stream_is_read_in_beats_while_the_caller_listens() -> None:
    """The first words come at once; what follows is read after 0.3 s, each time."""
    stage = on_stage("Tell me more.", ["Well, ", LONG, 0.05, "And wine. ", END], until=4.0)

    run_virtually(stage.play())

    read = [event for event in events_of(stage) if isinstance(event, ev.ReplyDelta)]
    assert [event.text for event in read] == ["Well, ", LONG, "And wine. "]
    spoken = [(at, one.text) for at, one in stage.line.sent if isinstance(one, Speak)]
    assert spoken == [(1.0, "Well, "), (1.0, LONG), (1.65, "And wine.")]


def test_interrupt_ends_a_beat_at_once() -> None:
    turns: Happenings = [(1.0, CallerSpoke("Tell me more.")), (1.05, ev.CallerInterrupted("Well"))]
    stage = on_stage(turns, ["Well, ", LONG, 0.0, *["and more "] * 50, END])
    streams = list[int]()

    async def act(_: Session) -> None:
        streams.append(stage.model.open_streams)
        await stage.line.close()

    meanwhile(stage, 1.051, act)

    assert streams == [0]


def test_caller_who_talks_for_a_minute_is_stopped_and_answered() -> None:
    """In fragments that each take the turn from a reply; the words that follow count too."""
    times = [round(1.0 + 0.7 * number, 1) for number in range(87)]
    said = [(at, CallerSpoke("two and", n % 2 == 0)) for n, at in enumerate(times)]
    stage = on_stage(said, [0.5, "Yes. ", END], until=70.0)

    run_virtually(stage.play())

    spoken = [(at, one.text) for at, one in stage.line.sent if isinstance(one, Speak) and one.text]
    assert spoken == [(61.0, PHRASES.may_i_answer), (63.7, "Yes. ")]


def test_model_that_hangs_is_given_up_with_a_sentence() -> None:
    """The limits of `agent.usecases.model_times` end it sooner; this one is for all models."""
    turns = [(1.0, CallerSpoke("Hello?")), (624.0, CallerSpoke("Again."))]
    stage = on_stage(turns, [3_600.0], ["Here I am.", END], until=625.0)

    run_virtually(stage.play())

    again = [PHRASES.fillers[number % 3] for number in range(39)]
    waited = [*PHRASES.fillers, PHRASES.wait_or_go_on, *again]
    told = [*waited, PHRASES.apology, "Here I am."]
    assert stage.line.said.splitlines() == told


def test_stream_that_breaks_off_is_a_failure() -> None:
    stage = on_stage("Hello?", ["I was just "], [ModelError(ReplyFault.THROTTLED)])

    assert run_virtually(stage.play()) is EndReason.IDLE
    assert stage.line.said.splitlines()[:2] == ["I ", PHRASES.lost_thread]


def test_fault_of_a_model_is_logged_with_its_reason() -> None:
    error = ModelError(ReplyFault.THROTTLED, "HTTP 429", remedy="Wait.", detail="as was said")

    with structlog.testing.capture_logs() as logs:
        run_virtually(on_stage("Hello?", ["I was ", error]).play())

    [failed] = [entry for entry in logs if entry["event"] == "reply.failed"]
    assert (failed["reason"], failed["pii_detail"]) == ("HTTP 429. Wait.", "as was said")


def test_crash_of_a_model_ends_neither_call_nor_process() -> None:
    crash: Any = {}  # a step no model knows
    stage = on_stage([(1.0, CallerSpoke("Hello?")), (5.0, CallerSpoke("Hello?"))], [crash])

    assert run_virtually(stage.play()) is EndReason.ERROR_MODEL
    first, later = PHRASES.trying_again
    told = [PHRASES.apology, first, later, later, PHRASES.goodbye_trouble]
    assert stage.line.said.splitlines() == told


def test_order_outlives_the_caller() -> None:
    """A tool with side effects finishes after the hang-up and its result is written."""
    stage = on_stage(
        [(1.0, CallerSpoke("Order it.")), (2.0, CallerSpoke("Bye"))],
        [ToolCall("x", "order", "{}"), END],
        ["Bye.", END],
        until=2.0,
        toolbox=ScriptedToolbox(seconds=6.0),
        config=WITH_TOOLS,
    )

    assert run_virtually(stage.play()) is EndReason.CALLER_HANGUP
    assert stage.toolbox.finished == ["order"]
    call = ToolCall("tool00001", "order", "{}")
    assert stage.journal.facts[2] == ToolUsed(1, call, ToolResult("tool00001", '{"ok":true}'))


def test_look_up_does_not_outlive_the_caller() -> None:
    tools = ScriptedToolbox(seconds=6.0)
    look: list[Step] = [ToolCall("x", "look", "{}"), END]
    stage = on_stage("Look.", look, until=2.0, toolbox=tools, config=WITH_TOOLS)

    run_virtually(stage.play())

    assert (tools.runs, tools.finished) == (["look"], [])


def test_goodbye_is_played_before_the_call_is_ended() -> None:
    stage = on_stage(
        "Bye.",
        ["Goodbye, and thank you. ", ToolCall("x", "look", "{}"), END],
        toolbox=ScriptedToolbox(outcome=ToolOutcome('{"bye":1}', effect=HangUp())),
        config=WITH_TOOLS,
    )

    assert run_virtually(stage.play()) is EndReason.AGENT_END
    assert stage.line.sent[-2:] == [
        (1.0, Speak(2, "and thank you.", is_last=True)),
        (3.533, EndCall(HandoffData(ReasonCode.GOODBYE).render())),
    ]


def test_relay_that_does_not_hang_up_is_not_waited_for() -> None:
    class Deaf(ScriptedLine):
        async def send(self, action: object) -> None:
            assert action

    stage = Stage(Deaf([], True), ScriptedModel([[END]]))

    assert run_virtually(stage.play()) is EndReason.IDLE


def test_end_of_a_call_waits_for_its_facts_a_few_seconds() -> None:
    away = ListJournal(is_away=True)
    stage = on_stage("Two pizzas.", ["Hello you.", END], until=2.0, journal=away)

    with structlog.testing.capture_logs() as logs:
        assert run_virtually(timed(stage.play())) == (EndReason.CALLER_HANGUP, 7.0)

    assert away.flushed == [5.0]
    assert logs == [{"event": "call.facts_unwritten", "facts": 3, "log_level": "warning"}]


@pytest.mark.parametrize(
    ("stage", "at", "said", "ends_at"),
    [
        (
            on_stage("Two pizzas.", ["One. ", 1.0, "Two and a good deal more. ", END]),
            *(1.5, "One. Two and a good deal more. \n", 5.066),
        ),
        (
            on_stage(
                [(1.0, PlaybackReported(ev.Playback.AGENT_OFF))],
                [END],
                journal=ListJournal(is_away=True),
            ),
            *(2.0, "", 3.0),
        ),
    ],
    ids=["in a reply", "with a table that fails, which delays it by a second"],
)
def test_stopping_service_hands_a_call_over_at_a_quiet_moment(
    stage: Stage, at: float, said: str, ends_at: float
) -> None:
    """The facts are written first: the next process reads what was said."""
    assert meanwhile(stage, at, Session.stop) is EndReason.DRAIN

    assert stage.line.said == said
    handed_over = EndCall(HandoffData(ReasonCode.SERVER_DRAIN, "quiet").render())
    assert stage.line.sent[-1] == (ends_at, handed_over)


@pytest.mark.parametrize(("name", "waits"), [("order", [1.0, 5.0]), ("look", [5.0])])
def test_tool_with_side_effects_starts_after_its_start_is_written(
    name: str, waits: list[float]
) -> None:
    """A process that resumes the call then knows that the tool was started."""
    replies: list[list[Step]] = [[ToolCall("x", name, "{}"), END], ["Done.", END]]
    stage = on_stage("Do it.", *replies, until=3.0, config=WITH_TOOLS)

    run_virtually(stage.play())

    assert stage.journal.flushed == waits
    assert stage.toolbox.finished == [name]


def test_session_ends_when_its_transport_is_replaced() -> None:
    """It says nothing more; a started tool is finished, and the facts are written first."""
    stage = on_stage(
        "Order it.",
        [ToolCall("x", "order", "{}"), END],
        ["It is ordered.", END],
        toolbox=ScriptedToolbox(seconds=2.0),
        config=WITH_TOOLS,
    )

    assert meanwhile(stage, 1.5, Session.lose_transport) is EndReason.ERROR_RELAY
    assert stage.toolbox.finished == ["order"]
    assert stage.line.said == ""


@pytest.mark.parametrize(
    ("happened", "kept"),
    [
        ([CallerPressed("4"), CallerPressed("1")], "4 1"),
        ([CallerSpoke("Two pizzas.")], "Two pizzas."),
    ],
)
def test_lost_transport_leaves_all_caller_input_in_the_journal(
    happened: list[ev.Event], kept: str
) -> None:
    """Every word of the caller is recorded: another process reads the keys typed so far."""
    stage = on_stage([(1.0, event) for event in happened], [10.0, END])
    read: list[list[Fact]] = []

    async def lose(session: Session) -> None:
        await session.lose_transport()
        read.append(list(stage.journal.facts))

    meanwhile(stage, 1.01, lose)

    assert read == [stage.journal.facts]
    assert [fact.text for fact in read[0] if isinstance(fact, CallerSaid)] == [kept]


def test_losing_a_stuck_session_takes_bounded_time() -> None:
    async def lose() -> float:
        return (await timed(on_stage([]).session().lose_transport()))[1]

    assert run_virtually(lose()) == FLUSH_SECONDS


def test_stopping_a_session_that_is_over_does_nothing() -> None:
    async def stop_afterwards() -> EndReason:
        session = on_stage([], [END], until=0.0).session()
        reason = await session.run()
        session.stop()
        return reason

    assert run_virtually(stop_afterwards()) is EndReason.CALLER_HANGUP


def test_connection_is_warmed_with_the_call_and_with_each_turn() -> None:
    """The first partial of each turn warms the model, once."""
    words = ["I", "I would", "I would like"]
    turn = [CallerSpoke(text, is_final=False) for text in words] + [CallerSpoke("I would like two")]
    stage = on_stage(
        [(at, event) for at in (1.0, 5.0) for event in turn], ["Two. ", END], until=9.0
    )

    run_virtually(stage.play())

    assert stage.model.warmed == 3


def test_connection_that_is_slow_to_warm_is_not_asked_for_twice() -> None:
    class Slow(ScriptedModel):
        async def warm(self) -> None:
            self.warmed += 1
            await asyncio.sleep(60.0)

    turns = [
        (1.0, "Well", False),
        (1.5, "Well then", True),
        (7.0, "Well", False),
        (7.5, "No", True),
    ]
    line = ScriptedLine([(at, CallerSpoke(text, final)) for at, text, final in turns], False, 9.0)
    stage = Stage(line, Slow([["Yes. ", END]]))

    run_virtually(stage.play())

    assert stage.model.warmed == 2
    assert stage.line.said.split() == ["Yes.", "Yes."]


def test_flood_of_frames_stops_no_timer() -> None:
    words = [(0.0, CallerSpoke(f"number {n}", is_final=False)) for n in range(2_000)]
    stage = on_stage([*words, (1.0, CallerSpoke("And"))], [END])

    assert run_virtually(stage.play()) is EndReason.IDLE


@pytest.mark.parametrize(
    ("seconds", "happenings", "known"),
    [
        (0.09, [(1.0, CallerSpoke("Hello?"))], [True]),
        (0.09, [(1.0, CallerPressed("1")), (1.0, CallerSpoke("Hello?"))], [True]),
        (0.9, [(1.0, CallerSpoke("Hel", False)), (2.0, CallerSpoke("Hello?"))], [True]),
        (0.9, [(1.0, caller_on()), (2.0, CallerSpoke("Hello?"))], [True]),
        (0.9, [(1.0, CallerSpoke("Hello?")), (3.0, CallerSpoke("Well?"))], [False, True]),
    ],
    ids=["at the words", "at a key", "since the first word", "since the caller speaks", "slowly"],
)
def test_edits_are_read_when_a_turn_begins(
    seconds: float, happenings: Happenings, known: list[bool]
) -> None:
    """They come before the caller's words, which wait at most 100 ms for them."""
    edits = [(seconds, replace(GREETING, phrases=Phrases(apology="Pardon.")))]
    stage = on_stage(happenings, ["Yes. ", END], until=8.0, edits=edits)

    run_virtually(stage.play())

    events = events_of(stage)
    edit = [type(event) for event in events].index(ev.CallConfigChanged)
    finals = [at for at, one in enumerate(events) if isinstance(one, CallerSpoke) and one.is_final]
    assert [edit < at for at in finals] == known


def test_a_key_is_looked_up_afresh_though_the_caller_was_heard_before() -> None:
    edits = [(0.0, None), (0.0, replace(GREETING, keypad={"1": KeyBinding("One.")}))]
    happenings: Happenings = [(1.0, caller_on()), (5.0, CallerPressed("1"))]
    stage = on_stage(happenings, ["Yes. ", END], until=8.0, edits=edits)

    run_virtually(stage.play())

    events = [type(event) for event in events_of(stage)]
    assert events.index(ev.CallConfigChanged) < events.index(CallerPressed)


def test_a_table_that_hangs_delays_a_turn_by_a_moment_only() -> None:
    stage = on_stage("Hello?", ["Yes. ", END], until=3.0, edits=[(3_600.0, None)])

    run_virtually(stage.play())

    assert stage.line.sent[0][0] == 1.1


@pytest.mark.parametrize(
    ("look_seconds", "begins", "answered"),
    [
        (0.0, CallerSpoke("Hello?"), 1),
        (0.5, caller_on(), 1),
        (0.5, CallerSpoke("Hel", is_final=False), 1),
        (3_600.0, caller_on(), 3),
    ],
    ids=["at once", "while the caller speaks", "since a partial", "a table that hangs"],
)
def test_what_the_caller_may_spend_is_looked_at_before_each_turn(
    look_seconds: float, begins: ev.Event, answered: int
) -> None:
    """The first turn is answered; at the second all is spent, and the model is not asked."""
    allowance = ScriptedAllowance(spent_at=5.0, look_seconds=look_seconds)
    happenings = [
        (at + seconds, event)
        for at in (1.0, 10.0, 20.0)
        for seconds, event in ((0.0, begins), (1.0, CallerSpoke("Are you open?")))
    ]
    stage = on_stage(happenings, ["Yes. ", END], until=40.0, allowance=allowance)

    reason = run_virtually(stage.play())

    spoken = stage.line.said.splitlines()
    assert spoken.count("Yes. ") >= answered
    is_told = PHRASES.goodbye_spent in spoken
    assert is_told == (look_seconds < 1.0)
    assert reason is (EndReason.CALLER_SPEND if is_told else EndReason.CALLER_HANGUP)
    assert len(allowance.looks) >= (2 if is_told else 1)


def test_a_key_is_not_answered_when_all_is_spent() -> None:
    allowance = ScriptedAllowance(spent_at=0.0)
    stage = on_stage([(1.0, CallerPressed("1"))], until=40.0, allowance=allowance)

    assert run_virtually(stage.play()) is EndReason.CALLER_SPEND
    assert stage.line.said.splitlines() == [PHRASES.goodbye_spent]


def test_tools_of_one_reply_overlap_in_time() -> None:
    calls: list[Step] = [ToolCall(f"c{n}", "look", f'{{"n":{n}}}') for n in range(3)]
    stage = on_stage(
        "Look at all.",
        [*calls, StopReason.TOOLS],
        ["All seen. ", END],
        until=5.0,
        toolbox=ScriptedToolbox(seconds=2.0),
        config=WITH_TOOLS,
    )

    run_virtually(stage.play())

    seen = [at for at, one in stage.line.sent if isinstance(one, Speak) and "seen" in one.text]
    assert stage.toolbox.finished == ["look"] * 3
    assert seen == [3.0]


def long_call(*summary: Step, hangs_up_at: float = 30.0, next_at: float = 7.0) -> Stage:
    """At the end of the third turn, at 5 s, a summary is asked for, which comes like this."""
    words = [(1.0, "I am Ada."), (3.0, "Two pizzas."), (5.0, "Large."), (next_at, "And a salad.")]
    words.append((25.0, "Bye."))
    happenings = [(at, CallerSpoke(text)) for at, text in words if at < hangs_up_at]
    answers: list[list[Step]] = [["Hello Ada.", END], ["Size?", END], ["Fine.", END]]
    limits = Limits(summarize_after_turns=2, kept_turns=2, idle_ms=(60_000,))
    config = replace(GREETING, limits=limits)
    return on_stage(happenings, *answers, summary, ["Sure.", END], until=hangs_up_at, config=config)


NOTED = "Caller: I am Ada.\nMentioned: Two pizzas."
SUMMARIZED = (
    "[Summary of the call so far: Ada wants pizzas.] [Noted word for word, later lines correct"
    f" earlier ones:\n{NOTED}] Two pizzas."
)


def test_a_summary_is_asked_of_the_model_in_words_of_our_own() -> None:
    stage = long_call("Ada wants ", 1.0, "pizzas.", END)

    run_virtually(stage.play())

    text = "Earlier summary: none\nSince then:\nAgent: Hello.\nCaller: I am Ada.\nAgent: Hello Ada."
    assert stage.model.requests[3] == ReplyRequest(SUMMARIZE, (caller(text),), max_tokens=600)
    assert Summary("Ada wants pizzas.", 3, NOTED) in stage.journal.facts
    assert stage.model.requests[4].messages[0] == caller(SUMMARIZED)


def test_a_slow_summary_delays_no_reply() -> None:
    """Its stream is closed before the reply begins; the next one is asked for after it."""
    stage = long_call(10.0, "Ada wants pizzas.", END)

    run_virtually(stage.play())

    answers = [at for at, one in stage.line.sent if isinstance(one, Speak) and one.text]
    assert answers == [1.0, 1.0, 3.0, 5.0, 7.0, 25.0]
    assert stage.model.requests[4].messages[0] == caller("[The call begins.]")
    asked = [request.system == SUMMARIZE for request in stage.model.requests[3:6]]
    assert asked == [True, False, True]
    assert not any(isinstance(fact, Summary) for fact in stage.journal.facts)


@pytest.mark.parametrize(
    "steps",
    [
        [15.0, ModelError(ReplyFault.TIMEOUT)],
        ["Ada wa"],
        ["Ada wa", ModelError(ReplyFault.THROTTLED)],
        ["I cannot", StopReason.BLOCKED],
        ["{", StopReason.MALFORMED],
        [{}],
    ],
    ids=["never comes", "broken off", "failed", "blocked", "malformed", "crashed"],
)
def test_failed_summary_is_not_heard(steps: list[Step]) -> None:
    stage = long_call(*steps, next_at=22.0)

    run_virtually(stage.play())

    assert ev.SummaryFailed(1) in events_of(stage)
    assert not any(isinstance(fact, Summary) for fact in stage.journal.facts)
    assert stage.line.said.splitlines() == ["Hello Ada.", "Size?", "Fine.", "Sure.", "Sure."]


def test_a_summary_ends_with_the_call() -> None:
    stage = long_call(10.0, "Too late.", END, hangs_up_at=8.0)

    assert run_virtually(timed(stage.play())) == (EndReason.CALLER_HANGUP, 8.0)


def test_what_a_summary_costs_is_counted() -> None:
    """As tokens of no reply; a tool call in a summary is ignored."""
    call = ToolCall("x", "look", "{}")
    stage = long_call("Ada wants pizzas.", call, StopReason.LENGTH, Usage(900, 40))

    run_virtually(stage.play())

    assert ev.TokensCounted(None, Usage(900, 40)) in events_of(stage)
    assert ev.Summarized(1, "Ada wants pizzas.") in events_of(stage)
