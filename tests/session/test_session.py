"""A session carries out what the conversation decides, whatever its children do."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
import structlog

from agent.call.actions import EndCall, HangUp, Speak, ToolOutcome
from agent.call.config import CallConfig, KeyBinding, Limits, Phrases
from agent.call.events import (
    CallConfigChanged,
    CallerInterrupted,
    CallerPressed,
    CallerSpoke,
    EndReason,
    Event,
    Playback,
    PlaybackReported,
    ReplyDelta,
    ReplyFault,
    Summarized,
    SummaryFailed,
    TokensCounted,
)
from agent.call.history import AgentSaid, CallerSaid, Fact, SpeechSource, Summary, ToolUsed
from agent.call.lifecycle import HandoffData, ReasonCode
from agent.call.messages import (
    ReplyRequest,
    SideEffect,
    StopReason,
    ToolCall,
    ToolResult,
    ToolSpec,
    Usage,
)
from agent.call.summarization import SUMMARIZE
from agent.errors import ModelError
from agent.session.session import FLUSH_SECONDS, LONGEST_DELTA
from tests.call.builders import caller
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
from tests.virtual_time import run_virtually

END = StopReason.END
ON = Playback.CALLER_ON
ORDER = ToolSpec("order", "Orders.", '{"type":"object"}', side_effect=SideEffect.ONCE)
LOOK = ToolSpec("look", "Looks.", '{"type":"object"}')
WITH_TOOLS = CallConfig(greeting="Hello.", tools={"order": ORDER, "look": LOOK})


def test_caller_is_answered_and_all_is_written_down() -> None:
    stage = Stage(
        ScriptedLine(
            [(1.0, CallerSpoke("Are you open?")), (3.0, CallerSpoke("Thanks."))], hangs_up_at=4.0
        ),
        ScriptedModel([["Yes, ", "until nine. ", END], ["You are welcome.", END]]),
    )

    reason = run_virtually(stage.play())

    assert reason is EndReason.CALLER_HANGUP
    assert stage.line.said == "Yes, until nine.\nYou are welcome.\n"
    assert stage.journal.facts == [
        AgentSaid("Hello.", SpeechSource.GREETING),
        CallerSaid("Are you open?"),
        AgentSaid("Yes, until nine."),
        CallerSaid("Thanks."),
        AgentSaid("You are welcome."),
    ]


def test_long_piece_of_a_reply_is_worked_on_in_parts() -> None:
    words = "one two three. " * 500
    stage = Stage(
        ScriptedLine([(1.0, CallerSpoke("Count."))], hangs_up_at=4.0),
        ScriptedModel([[words, END]]),
    )

    run_virtually(stage.play())

    events = [event for event, _ in stage.observer.seen]
    sizes = [len(event.text) for event in events if isinstance(event, ReplyDelta)]
    assert sizes == [LONGEST_DELTA] * 7 + [len(words) - 7 * LONGEST_DELTA]
    assert stage.line.said == words + "\n"


def test_interrupt_closes_the_stream_at_once() -> None:
    stage = Stage(
        ScriptedLine([(1.0, CallerSpoke("Tell me.")), (2.0, CallerInterrupted("Well"))], True),
        ScriptedModel([["Well, ", 10.0, "too late. ", END]]),
    )

    async def watch() -> int:
        running = asyncio.create_task(stage.session().run())
        await asyncio.sleep(2.01)
        streams = stage.model.open_streams
        await stage.line.close()
        await running
        return streams

    assert run_virtually(watch()) == 0
    assert stage.line.said == "Well, \n"


def test_model_that_hangs_is_given_up_with_a_sentence() -> None:
    stage = Stage(
        ScriptedLine(
            [(1.0, CallerSpoke("Hello?")), (44.0, CallerSpoke("Again."))], hangs_up_at=45.0
        ),
        ScriptedModel([[3_600.0], ["Here I am.", END]]),
    )

    run_virtually(stage.play())

    phrases = Phrases()
    assert stage.line.said.splitlines() == [
        *phrases.fillers,
        phrases.apology,
        phrases.still_there[0],
        "Here I am.",
    ]


def test_stream_that_breaks_off_is_a_failure() -> None:
    stage = Stage(
        ScriptedLine([(1.0, CallerSpoke("Hello?"))], True),
        ScriptedModel([["I was just "], [ModelError(ReplyFault.THROTTLED)]]),
    )

    reason = run_virtually(stage.play())

    phrases = Phrases()
    assert reason is EndReason.IDLE
    assert stage.line.said.splitlines()[:2] == ["I ", phrases.lost_thread]


def test_crash_of_a_model_ends_neither_call_nor_process() -> None:
    stage = Stage(
        ScriptedLine([(1.0, CallerSpoke("Hello?")), (5.0, CallerSpoke("Hello?"))], True),
        ScriptedModel([[{}], [{}]]),  # type: ignore[list-item] # a step no model knows
    )

    reason = run_virtually(stage.play())

    phrases = Phrases()
    assert reason is EndReason.ERROR_MODEL
    first, later = phrases.trying_again
    assert stage.line.said.splitlines() == [
        phrases.apology,
        *[first, later, later],
        phrases.goodbye_trouble,
    ]


def test_order_outlives_the_caller() -> None:
    """A tool with side effects finishes after the hang-up and its result is written."""
    stage = Stage(
        ScriptedLine([(1.0, CallerSpoke("Order it.")), (2.0, CallerSpoke("Bye"))]),
        ScriptedModel([[ToolCall("x", "order", "{}"), END], ["Bye.", END]]),
        toolbox=ScriptedToolbox(seconds=6.0),
        config=WITH_TOOLS,
    )

    reason = run_virtually(stage.play())

    assert reason is EndReason.CALLER_HANGUP
    assert stage.toolbox.finished == ["order"]
    call = ToolCall("tool00001", "order", "{}")
    assert stage.journal.facts[2] == ToolUsed(1, call, ToolResult("tool00001", '{"ok":true}'))


def test_look_up_does_not_outlive_the_caller() -> None:
    stage = Stage(
        ScriptedLine([(1.0, CallerSpoke("Look."))], hangs_up_at=2.0),
        ScriptedModel([[ToolCall("x", "look", "{}"), END]]),
        toolbox=ScriptedToolbox(seconds=6.0),
        config=WITH_TOOLS,
    )

    run_virtually(stage.play())

    assert (stage.toolbox.runs, stage.toolbox.finished) == (["look"], [])


def test_goodbye_is_played_before_the_call_is_ended() -> None:
    stage = Stage(
        ScriptedLine([(1.0, CallerSpoke("Bye."))], True),
        ScriptedModel([["Goodbye, and thank you. ", ToolCall("x", "look", "{}"), END]]),
        toolbox=ScriptedToolbox(outcome=ToolOutcome('{"bye":1}', effect=HangUp())),
        config=WITH_TOOLS,
    )

    reason = run_virtually(stage.play())

    assert reason is EndReason.AGENT_END
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
    stage = Stage(
        ScriptedLine([(1.0, CallerSpoke("Hi."))], hangs_up_at=2.0),
        ScriptedModel([["Hello you.", END]]),
        journal=ListJournal(is_away=True),
    )

    async def play() -> tuple[EndReason, float]:
        reason = await stage.play()
        return reason, asyncio.get_running_loop().time()

    with structlog.testing.capture_logs() as logs:
        assert run_virtually(play()) == (EndReason.CALLER_HANGUP, 7.0)

    assert stage.journal.flushed == [5.0]
    assert logs == [{"event": "call.facts_unwritten", "facts": 3, "log_level": "warning"}]


def test_stopping_service_hands_a_call_over_at_a_quiet_moment() -> None:
    stage = Stage(
        ScriptedLine([(1.0, CallerSpoke("Hi."))], True),
        ScriptedModel([["One. ", 1.0, "Two and a good deal more. ", END]]),
    )

    async def stop_in_between() -> EndReason:
        session = stage.session()
        running = asyncio.create_task(session.run())
        await asyncio.sleep(1.5)
        session.stop()
        return await running

    assert run_virtually(stop_in_between()) is EndReason.DRAIN
    assert stage.line.said == "One. Two and a good deal more. \n"
    handed_over = HandoffData(ReasonCode.SERVER_DRAIN, "quiet").render()
    assert stage.line.sent[-1][1] == EndCall(handed_over)


def test_call_goes_elsewhere_when_all_is_written() -> None:
    """The next process reads what was said; a table that fails delays it by a second."""
    stage = Stage(
        ScriptedLine([(1.0, PlaybackReported(Playback.AGENT_OFF))], True),
        ScriptedModel([[END]]),
        journal=ListJournal(is_away=True),
    )

    async def hand_over() -> EndReason:
        session = stage.session()
        running = asyncio.create_task(session.run())
        await asyncio.sleep(2.0)
        session.stop()
        return await running

    run_virtually(hand_over())

    handed_over = EndCall(HandoffData(ReasonCode.SERVER_DRAIN, "quiet").render())
    assert stage.line.sent[-1] == (3.0, handed_over)


@pytest.mark.parametrize(("name", "waits"), [("order", [1.0, 5.0]), ("look", [5.0])])
def test_tool_with_side_effects_starts_after_its_start_is_written(
    name: str, waits: list[float]
) -> None:
    """A process that resumes the call then knows that the tool was started."""
    stage = Stage(
        ScriptedLine([(1.0, CallerSpoke("Do it."))], hangs_up_at=3.0),
        ScriptedModel([[ToolCall("x", name, "{}"), END], ["Done.", END]]),
        config=WITH_TOOLS,
    )

    run_virtually(stage.play())

    assert stage.journal.flushed == waits
    assert stage.toolbox.finished == [name]


def test_session_ends_when_its_transport_is_replaced() -> None:
    """It says nothing more; a started tool is finished, and the facts are written first."""
    stage = Stage(
        ScriptedLine([(1.0, CallerSpoke("Order it."))], True),
        ScriptedModel([[ToolCall("x", "order", "{}"), END], ["It is ordered.", END]]),
        toolbox=ScriptedToolbox(seconds=2.0),
        config=WITH_TOOLS,
    )

    async def replace_line() -> EndReason:
        session = stage.session()
        running = asyncio.create_task(session.run())
        await asyncio.sleep(1.5)
        await session.lose_transport()
        return await running

    assert run_virtually(replace_line()) is EndReason.ERROR_RELAY
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
    happened: list[Event], kept: str
) -> None:
    """Every word of the caller is recorded: another process reads the keys typed so far."""
    line = ScriptedLine([(1.0, event) for event in happened], stays_open=True)
    stage = Stage(line, ScriptedModel([[10.0, END]]))
    read: list[list[Fact]] = []

    async def lose() -> None:
        session = stage.session()
        running = asyncio.create_task(session.run())
        await asyncio.sleep(1.01)
        await session.lose_transport()
        read.append(list(stage.journal.facts))
        await running

    run_virtually(lose())

    assert read == [stage.journal.facts]
    assert [fact.text for fact in read[0] if isinstance(fact, CallerSaid)] == [kept]


def test_losing_a_stuck_session_takes_bounded_time() -> None:
    stage = Stage(ScriptedLine([]), ScriptedModel([]))

    async def lose() -> float:
        session, began = stage.session(), asyncio.get_running_loop().time()
        await session.lose_transport()
        return asyncio.get_running_loop().time() - began

    assert run_virtually(lose()) == FLUSH_SECONDS


def test_stopping_a_session_that_is_over_does_nothing() -> None:
    stage = Stage(ScriptedLine(), ScriptedModel([[END]]))

    async def stop_afterwards() -> EndReason:
        session = stage.session()
        reason = await session.run()
        session.stop()
        return reason

    assert run_virtually(stop_afterwards()) is EndReason.CALLER_HANGUP


def test_connection_is_warmed_with_the_call_and_with_each_turn() -> None:
    """The first partial of each turn warms the model, once."""
    words = ["I", "I would", "I would like"]
    turn = [CallerSpoke(text, is_final=False) for text in words] + [CallerSpoke("I would like two")]
    stage = Stage(
        ScriptedLine([(at, event) for at in (1.0, 5.0) for event in turn], hangs_up_at=9.0),
        ScriptedModel([["Two. ", END]]),
    )

    run_virtually(stage.play())

    assert stage.model.warmed == 3


def test_connection_that_is_slow_to_warm_is_not_asked_for_twice() -> None:
    class Slow(ScriptedModel):
        async def warm(self) -> None:
            self.warmed += 1
            await asyncio.sleep(60.0)

    partials = [(at, CallerSpoke("Well", is_final=False)) for at in (1.0, 7.0)]
    answered = [(at + 0.5, CallerSpoke("Well then")) for at, _ in partials]
    stage = Stage(
        ScriptedLine(sorted([*partials, *answered], key=lambda each: each[0]), hangs_up_at=9.0),
        Slow([["Yes. ", END]]),
    )

    run_virtually(stage.play())

    assert stage.model.warmed == 2
    assert stage.line.said.split() == ["Yes.", "Yes."]


def test_flood_of_frames_stops_no_timer() -> None:
    words = [(0.0, CallerSpoke(f"number {n}", is_final=False)) for n in range(2_000)]
    stage = Stage(ScriptedLine([*words, (1.0, CallerSpoke("And"))], True), ScriptedModel([[END]]))

    assert run_virtually(stage.play()) is EndReason.IDLE


@pytest.mark.parametrize(
    ("seconds", "happenings", "known"),
    [
        (0.09, [(1.0, CallerSpoke("Hello?"))], [True]),
        (0.09, [(1.0, CallerPressed("1")), (1.0, CallerSpoke("Hello?"))], [True]),
        (0.9, [(1.0, CallerSpoke("Hel", False)), (2.0, CallerSpoke("Hello?"))], [True]),
        (0.9, [(1.0, PlaybackReported(ON)), (2.0, CallerSpoke("Hello?"))], [True]),
        (0.9, [(1.0, CallerSpoke("Hello?")), (3.0, CallerSpoke("Well?"))], [False, True]),
    ],
    ids=[
        "read at the words",
        "read at a key",
        "read since the first word",
        "read since the caller speaks",
        "read too slowly",
    ],
)
def test_edits_are_read_when_a_turn_begins(
    seconds: float, happenings: list[tuple[float, Event]], known: list[bool]
) -> None:
    """They come before the caller's words, which wait at most 100 ms for them."""
    stage = Stage(
        ScriptedLine(happenings, hangs_up_at=8.0),
        ScriptedModel([["Yes. ", END]]),
        edits=[(seconds, replace(GREETING, phrases=Phrases(apology="Pardon.")))],
    )

    run_virtually(stage.play())

    events = [event for event, _ in stage.observer.seen]
    edit = [type(event) for event in events].index(CallConfigChanged)
    finals = [at for at, one in enumerate(events) if isinstance(one, CallerSpoke) and one.is_final]
    assert [edit < at for at in finals] == known


def test_a_key_is_looked_up_afresh_though_the_caller_was_heard_before() -> None:
    edited = replace(GREETING, keypad={"1": KeyBinding("One.")})
    stage = Stage(
        ScriptedLine([(1.0, PlaybackReported(ON)), (5.0, CallerPressed("1"))], hangs_up_at=8.0),
        ScriptedModel([["Yes. ", END]]),
        edits=[(0.0, None), (0.0, edited)],
    )

    run_virtually(stage.play())

    events = [type(event) for event, _ in stage.observer.seen]
    assert events.index(CallConfigChanged) < events.index(CallerPressed)


def test_a_table_that_hangs_delays_a_turn_by_a_moment_only() -> None:
    stage = Stage(
        ScriptedLine([(1.0, CallerSpoke("Hello?"))], hangs_up_at=3.0),
        ScriptedModel([["Yes. ", END]]),
        edits=[(3_600.0, None)],
    )

    run_virtually(stage.play())

    assert stage.line.sent[0][0] == 1.1


@pytest.mark.parametrize(
    ("look_seconds", "begins", "answered"),
    [
        (0.0, CallerSpoke("Hello?"), 1),
        (0.5, PlaybackReported(ON), 1),
        (0.5, CallerSpoke("Hel", is_final=False), 1),
        (3_600.0, PlaybackReported(ON), 3),
    ],
    ids=["at once", "while the caller speaks", "since a partial", "a table that hangs"],
)
def test_what_the_caller_may_spend_is_looked_at_before_each_turn(
    look_seconds: float, begins: Event, answered: int
) -> None:
    """The first turn is answered; at the second all is spent, and the model is not asked."""
    allowance = ScriptedAllowance(spent_at=5.0, look_seconds=look_seconds)
    happenings = [
        (at + seconds, event)
        for at in (1.0, 10.0, 20.0)
        for seconds, event in ((0.0, begins), (1.0, CallerSpoke("Are you open?")))
    ]
    stage = Stage(
        ScriptedLine(happenings, hangs_up_at=40.0),
        ScriptedModel([["Yes. ", END]] * 6),
        allowance=allowance,
    )

    reason = run_virtually(stage.play())

    spoken = stage.line.said.splitlines()
    assert spoken.count("Yes. ") >= answered
    is_told = Phrases().goodbye_spent in spoken
    assert is_told == (look_seconds < 1.0)
    assert reason is (EndReason.CALLER_SPEND if is_told else EndReason.CALLER_HANGUP)
    assert len(allowance.looks) >= (2 if is_told else 1)


def test_a_key_is_not_answered_when_all_is_spent() -> None:
    stage = Stage(
        ScriptedLine([(1.0, CallerPressed("1"))], hangs_up_at=40.0),
        ScriptedModel([]),
        allowance=ScriptedAllowance(spent_at=0.0),
    )

    assert run_virtually(stage.play()) is EndReason.CALLER_SPEND
    assert stage.line.said.splitlines() == [Phrases().goodbye_spent]


def test_tools_of_one_reply_overlap_in_time() -> None:
    calls: list[Step] = [ToolCall(f"c{n}", "look", f'{{"n":{n}}}') for n in range(3)]
    stage = Stage(
        ScriptedLine([(1.0, CallerSpoke("Look at all."))], hangs_up_at=5.0),
        ScriptedModel([[*calls, StopReason.TOOLS], ["All seen. ", END]]),
        toolbox=ScriptedToolbox(seconds=2.0),
        config=WITH_TOOLS,
    )

    run_virtually(stage.play())

    seen = [at for at, one in stage.line.sent if isinstance(one, Speak) and "seen" in one.text]
    assert stage.toolbox.finished == ["look"] * 3
    assert seen == [3.0]


def long_call(*summary: Step, hangs_up_at: float = 30.0) -> Stage:
    """At the end of the third turn, at 5 s, a summary is asked for, which comes like this."""
    words = [(1.0, "I am Ada."), (3.0, "Two pizzas."), (5.0, "Large."), (7.0, "And a salad.")]
    words.append((25.0, "Bye."))
    happenings = [(at, CallerSpoke(text)) for at, text in words if at < hangs_up_at]
    answers: list[list[Step]] = [["Hello Ada.", END], ["Size?", END], ["Fine.", END]]
    replies: list[list[Step]] = [*answers, [*summary], ["Sure.", END]]
    limits = Limits(summarize_after_turns=2, kept_turns=2, idle_ms=(60_000,))
    return Stage(
        ScriptedLine(happenings, hangs_up_at=hangs_up_at),
        ScriptedModel(replies),
        config=replace(GREETING, limits=limits),
    )


def test_a_summary_is_asked_of_the_model_in_words_of_our_own() -> None:
    stage = long_call("Ada wants ", 1.0, "pizzas.", END)

    run_virtually(stage.play())

    text = "Earlier summary: none\nSince then:\nAgent: Hello.\nCaller: I am Ada.\nAgent: Hello Ada."
    assert stage.model.requests[3] == ReplyRequest(SUMMARIZE, (caller(text),), max_tokens=600)
    assert Summary("Ada wants pizzas.", 3) in stage.journal.facts
    said = "[Summary of the call so far: Ada wants pizzas.] Two pizzas."
    assert stage.model.requests[4].messages[0] == caller(said)


def test_a_slow_summary_delays_no_reply() -> None:
    """It counts when it comes."""
    stage = long_call(10.0, "Ada wants pizzas.", END)

    run_virtually(stage.play())

    answers = [at for at, one in stage.line.sent if isinstance(one, Speak) and one.text]
    assert answers == [1.0, 1.0, 3.0, 5.0, 7.0, 25.0]
    first = [request.messages[0] for request in stage.model.requests[4:6]]
    said = "[Summary of the call so far: Ada wants pizzas.] Two pizzas."
    assert first == [caller("[The call begins.]"), caller(said)]


def test_a_summary_that_never_comes_is_given_up() -> None:
    stage = long_call(3_600.0)

    run_virtually(stage.play())

    assert SummaryFailed(1) in [event for event, _ in stage.observer.seen]
    assert stage.line.said.splitlines() == ["Hello Ada.", "Size?", "Fine.", "Sure.", "Sure."]


@pytest.mark.parametrize(
    "steps",
    [
        ["Ada wa"],
        ["Ada wa", ModelError(ReplyFault.THROTTLED)],
        ["I cannot", StopReason.BLOCKED],
        ["{", StopReason.MALFORMED],
        [{}],
    ],
    ids=["broken off", "failed", "blocked", "malformed", "crashed"],
)
def test_failed_summary_is_not_heard(steps: list[Step]) -> None:
    stage = long_call(*steps)

    run_virtually(stage.play())

    assert SummaryFailed(1) in [event for event, _ in stage.observer.seen]
    assert not any(isinstance(fact, Summary) for fact in stage.journal.facts)
    assert stage.line.said.splitlines() == ["Hello Ada.", "Size?", "Fine.", "Sure.", "Sure."]


def test_a_summary_ends_with_the_call() -> None:
    stage = long_call(10.0, "Too late.", END, hangs_up_at=8.0)

    async def play() -> float:
        await stage.play()
        return asyncio.get_running_loop().time()

    assert run_virtually(play()) == 8.0


def test_what_a_summary_costs_is_counted() -> None:
    """As tokens of no reply; a tool call in a summary is ignored."""
    call = ToolCall("x", "look", "{}")
    stage = long_call("Ada wants pizzas.", call, StopReason.LENGTH, Usage(900, 40))

    run_virtually(stage.play())

    events = [event for event, _ in stage.observer.seen]
    assert TokensCounted(None, Usage(900, 40)) in events
    assert Summarized(1, "Ada wants pizzas.") in events
