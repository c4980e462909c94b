"""What is counted and logged of calls: turns with disjoint stages, interrupts, tokens, keys."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from agent.call import actions as act
from agent.call import events as ev
from agent.call.conversation import Conversation
from agent.call.history import AgentSaid, CallerSaid, Summary
from agent.call.keypad import LONGEST_ENTRY
from agent.call.messages import StopReason, ToolCall, Usage
from agent.call.timers import StartTimer, Timer
from agent.observability import Telemetry
from agent.observability.turn_stages import UNTIL_SPEECH, TrackedTurn
from agent.observability.turn_tracker import Change, FirstSpeech, TurnFinished, TurnTracker
from agent.store.sqlite import SqliteStore
from tests.call.world import CONFIG
from tests.fakes import Clock, moment
from tests.observability.observed import LOOK, SPOKE, Step, lines_of, observed, samples_of
from tests.scripted import ScriptedModel
from tests.servers import settings_for, staged

ASK = act.StartReply(1, ())
ASK_AGAIN = act.StartReply(2, ())
ORDER = ToolCall("tool00002", "order", "{}")
DONE = act.ToolOutcome("{}")
ONE_CALL = {"calls_total caller_hangup pizza": 1.0}
PARTLY = ev.CallerSpoke("Are you open?", is_final=False)
PAUSE = "pause"
BOUND = "3"
"""A key with a meaning of its own."""
YES: Sequence[Step] = [
    (10.0, SPOKE, [ASK]),
    (11.0, ev.ReplyDelta(1, "Yes. "), [act.Speak(1, "Yes. ")]),
    (11.0, ev.ReplyFinished(1), [act.Speak(1, "", is_last=True)]),
]


def test_words_that_come_with_the_end_are_a_first_token() -> None:
    with_it: Sequence[Step] = [
        (10.0, SPOKE, [ASK]),
        (11.0, ev.ReplyFinished(1, text="Yes."), [act.Speak(1, "Yes.", is_last=True)]),
    ]

    samples, before = samples_of(observed(*with_it)), samples_of(observed(*YES))

    assert {name for name in samples if "first" in name} == {
        name for name in before if "first" in name
    }
    assert any("llm_time_to_first_token" in name for name in samples)


def test_turn_is_counted_and_logged_with_all_its_stages() -> None:
    """Overhead leaves out every wait for caller, model or tool; a tool call is a first token."""
    steps: Sequence[Step] = [
        (0.0, ev.CallStarted(), []),
        (10.0, SPOKE, [act.Record(1, CallerSaid("Are you open?"))]),
        (10.25, ev.TimerFired(Timer.END_OF_TURN_DELAY, 1), [ASK]),
        (11.0, ev.ReplyFinished(1, (LOOK,), StopReason.TOOLS), [act.RunTool(LOOK)]),
        (13.0, ev.ToolFinished(LOOK.id, DONE), [ASK_AGAIN]),
        (13.5, ev.ReplyDelta(2, "Yes, "), []),
        (13.625, ev.ReplyDelta(2, "we are. "), [act.Speak(1, "Yes, we are. ")]),
        (15.0, ev.ReplyFinished(2), [act.Speak(1, "", is_last=True)]),
    ]

    samples, [line] = samples_of(observed(*steps)), lines_of(*steps)

    assert samples == {
        **ONE_CALL,
        "llm_time_to_first_token_seconds scripted: pizza": (2, 1.25),
        "llm_time_to_first_clause_seconds scripted: pizza": (1, 0.625),
        "llm_requests_total scripted: finished": 2,
        "llm_duration_seconds scripted: finished": (2, 2.75),
        "tool_duration_seconds ok look_up": (1, 2.0),
        "turn_time_to_first_speech_seconds pizza": (1, 3.625),
        "turn_overhead_seconds": (1, 0.125),
        "turns_total answered pizza": 1,
        "turn_stage_seconds hold pizza": (1, 0.25),
        "turn_stage_seconds model pizza": (1, 1.25),
        "turn_stage_seconds tool pizza": (1, 2.0),
        "turn_stage_seconds phrase pizza": (1, 0.125),
        "turn_stage_seconds speech pizza": (1, 1.375),
    }
    assert line == {
        "event": "turn.finished",
        "log_level": "info",
        "turn": 1,
        "use_case": "pizza",
        "model": "scripted:",
        "outcome": "answered",
        "response_ms": 3625.0,
        "total_ms": 5000.0,
        "stages": {"hold": 250, "model": 1250, "tool": 2000, "phrase": 125, "speech": 1375},
        "requests": 2,
        "tool_rounds": 1,
        "tools": [{"name": "look_up", "ms": 2000.0, "outcome": "ok"}],
        "interrupted": "",
        "filler": False,
        "tokens": {},
        "stop": "end",
        "fault": "",
    }


def test_reply_that_was_asked_ahead_has_its_own_times_and_the_turn_begins_with_the_words() -> None:
    """Its pieces before that are not those of a reply that was left; its tokens are the turn's."""
    steps: Sequence[Step] = [
        (9.0, PARTLY, [act.Speculate(1, ())]),
        (9.5, ev.ReplyDelta(1, "Yes. "), []),
        (9.75, ev.ReplyFinished(1), []),
        (9.75, ev.TokensCounted(1, Usage(100, 40)), []),
        (10.0, SPOKE, [act.AdoptReply(1), act.Speak(1, "Yes. ", is_last=True)]),
    ]

    samples, [line] = samples_of(observed(*steps)), lines_of(*steps)

    assert samples == {
        **ONE_CALL,
        "llm_speculations_total adopted": 1.0,
        "llm_time_to_first_token_seconds scripted: pizza": (1, 0.5),
        "llm_time_to_first_clause_seconds scripted: pizza": (1, 1.0),
        "llm_requests_total scripted: finished": 1,
        "llm_duration_seconds scripted: finished": (1, 0.75),
        "llm_tokens_total input scripted:": 100.0,
        "llm_tokens_total output scripted:": 40.0,
        "turn_time_to_first_speech_seconds pizza": (1, 0.0),
        "turn_overhead_seconds": (1, 0.0),
        "turns_total answered pizza": 1,
    }
    assert (line["requests"], line["response_ms"], line["stop"]) == (1, 0.0, "end")
    assert line["tokens"] == {"input": 100, "output": 40, "cache_read": 0, "cache_write": 0}


def test_reply_that_was_asked_ahead_in_vain_is_no_interrupt_and_leaves_its_tokens() -> None:
    steps: Sequence[Step] = [
        (9.0, PARTLY, [act.Speculate(2, ())]),
        (9.5, ev.ReplyDelta(2, "Yes. "), []),
        (9.75, ev.TokensCounted(2, Usage(100, 40)), []),
        (10.0, SPOKE, [act.DiscardReply(2), ASK]),
        *YES[1:],
    ]

    samples, before = samples_of(observed(*steps)), samples_of(observed(*YES))

    assert samples == {
        **before,
        "llm_speculations_total discarded": 1.0,
        "llm_tokens_total input scripted:": 100.0,
        "llm_tokens_total output scripted:": 40.0,
    }


def test_wait_after_the_first_words_is_told_apart_from_the_wait_before() -> None:
    """Only the silence before the first words is response latency."""
    [line] = lines_of(
        (10.0, SPOKE, [ASK]),
        (10.5, ev.ReplyDelta(1, "I look. "), [act.Speak(1, "I look. ")]),
        (11.0, ev.ReplyFinished(1, (LOOK,), StopReason.TOOLS), [act.RunTool(LOOK)]),
        (12.0, ev.ToolFinished(LOOK.id, act.ToolOutcome("{}", is_error=True)), [ASK_AGAIN]),
        (14.0, ev.ReplyDelta(2, "No. "), [act.Speak(2, "No. ")]),
        (14.5, ev.ReplyFinished(2), [act.Speak(2, "", is_last=True)]),
    )

    stages = {"model": 500, "speech": 1000, "tool_again": 1000, "model_again": 2000}
    assert (line["response_ms"], line["total_ms"], line["stages"]) == (500.0, 4500.0, stages)
    assert line["tools"] == [{"name": "look_up", "ms": 1000.0, "outcome": "error"}]


def test_turn_tells_the_tokens_of_all_its_requests() -> None:
    """Those of the last one come after the turn; those of other turns do not count."""
    first, second = lines_of(
        (9.0, ev.TokensCounted(None, Usage(900, 90)), []),
        (10.0, SPOKE, [ASK]),
        (11.0, ev.ReplyFinished(1, (LOOK,), StopReason.TOOLS), [act.RunTool(LOOK)]),
        (11.1, ev.TokensCounted(1, Usage(100, 20, 300, 0)), []),
        (11.2, ev.TokensCounted(None, Usage(900, 90)), []),
        (13.0, ev.ToolFinished(LOOK.id, DONE), [ASK_AGAIN]),
        (15.0, ev.ReplyFinished(2, (), StopReason.LENGTH), [act.Speak(1, "Yes. ", is_last=True)]),
        (15.1, ev.TokensCounted(2, Usage(10, 5, 400, 7)), []),
        (20.0, SPOKE, [act.StartReply(3, ())]),
        (20.1, ev.TokensCounted(2, Usage(900, 90)), []),
        (21.0, ev.ReplyFinished(3), [act.Speak(2, "Yes. ", is_last=True)]),
        (21.1, ev.TokensCounted(3, Usage(1, 2)), []),
    )

    assert first["tokens"] == {"input": 110, "output": 25, "cache_read": 700, "cache_write": 7}
    assert second["tokens"] == {"input": 1, "output": 2, "cache_read": 0, "cache_write": 0}
    assert [line["stop"] for line in (first, second)] == ["length", "end"]


@pytest.mark.parametrize(
    ("event", "actions", "kind"),
    [
        (ev.CallerInterrupted("Ye"), [act.CancelReply(1)], "speech"),
        (ev.CallerInterrupted("Ye"), [act.Record(2, AgentSaid("Ye"))], "speech"),
        (ev.CallerInterrupted(""), [], "empty"),
        (ev.CallerSpoke("And when?"), [act.CancelReply(1), ASK_AGAIN], "new_words"),
        (ev.CallerPressed("1"), [act.CancelReply(1)], "keypad"),
    ],
)
def test_interrupt_is_counted_by_its_kind_and_ends_the_turn(
    event: ev.Event, actions: Sequence[act.Action], kind: str
) -> None:
    steps: Sequence[Step] = [
        (10.0, SPOKE, [ASK]),
        (10.5, ev.ReplyDelta(1, "Yes, "), [act.Speak(1, "Yes, ")]),
        (11.5, event, actions),
        (20.0, ev.ReplyDelta(2, "late"), []),
    ]

    samples, [line, *_] = samples_of(observed(*steps)), lines_of(*steps)

    counted = {name: value for name, value in samples.items() if "interrupts" in name}
    assert counted == {f"interrupts_total {kind}": 1.0}
    if kind != "empty":
        assert (line["outcome"], line["interrupted"]) == ("interrupted", kind)
        assert (line["response_ms"], line["total_ms"]) == (500.0, 1500.0)
        assert line["stages"] == {"model": 500.0, "speech": 1000.0}


YES_IS_CUT = [act.Record(2, AgentSaid("Ye", is_cut=True))]


@pytest.mark.parametrize(
    ("after", "told"),
    [
        ([(14.0, ev.CallerInterrupted("Ye"), YES_IS_CUT)], ("interrupted", "speech")),
        (
            [
                (14.0, ev.PlaybackReported(ev.Playback.AGENT_OFF), []),
                (14.05, ev.PlaybackReported(ev.Playback.CALLER_ON), []),
                (14.1, ev.CallerInterrupted("Ye"), YES_IS_CUT),
            ],
            ("interrupted", "speech"),
        ),
        (
            [
                (13.0, ev.PlaybackReported(ev.Playback.AGENT_OFF), []),
                (14.0, ev.CallerInterrupted("x"), [act.Record(3, AgentSaid("x"))]),
            ],
            ("answered", ""),
        ),
    ],
    ids=["in the playback", "after the silence it made", "after the turn was heard out"],
)
def test_interrupt_after_a_reply_belongs_to_the_turn_that_is_played(
    after: Sequence[Step], told: tuple[str, str]
) -> None:
    """Twilio does not document the order of interrupt and silence."""
    [line] = lines_of(*YES, *after)

    assert (line["outcome"], line["interrupted"], line["total_ms"]) == (*told, 1000.0)


def test_words_and_keys_that_lead_to_nothing_are_neither_turn_nor_interrupt() -> None:
    """Noise, half a DTMF entry, and a re-prompt, which has no latency."""
    steps: Sequence[Step] = [
        (10.0, ev.CallerSpoke("hm"), []),
        (11.0, ev.CallerPressed("1"), []),
        (40.0, ev.TimerFired(Timer.IDLE, 1), [act.Speak(1, "Are you there?", is_last=True)]),
    ]

    assert lines_of(*steps) == []
    assert samples_of(observed(*steps)) == {**ONE_CALL, "reprompts_total pizza": 1.0}


def test_turns_are_numbered_and_the_last_one_is_told_at_the_end() -> None:
    lines = lines_of(
        *YES,
        (20.0, SPOKE, [ASK_AGAIN]),
        (21.0, ev.PlaybackReported(ev.Playback.CALLER_ON), []),
    )

    assert [(line["turn"], line["outcome"]) for line in lines] == [(1, "answered"), (2, "silent")]


def test_reply_that_is_left_is_counted_once() -> None:
    """Each late piece with text; its turn has no stop and no tokens."""
    steps: Sequence[Step] = [
        (10.0, SPOKE, [ASK]),
        (11.0, ev.CallerInterrupted("Yes"), [act.CancelReply(1)]),
        (12.0, ev.ReplyDelta(1, "late"), []),
        (12.0, ev.ReplyDelta(1, ""), []),
        (12.0, ev.ReplyFinished(1), []),
        (12.0, ev.ReplyFailed(1, ev.ReplyFault.TIMEOUT), []),
    ]

    [line] = lines_of(*steps)

    assert (line["stop"], line["tokens"]) == ("", {})
    assert samples_of(observed(*steps)) == {
        **ONE_CALL,
        "llm_requests_total scripted: cancelled": 1.0,
        "llm_duration_seconds scripted: cancelled": (1, 1.0),
        "llm_stale_pieces_total": 1.0,
        "interrupts_total speech": 1.0,
        "interrupt_stop_seconds speech": (1, 0.0),
        "turns_total interrupted pizza": 1.0,
        "turn_stage_seconds model pizza": (1, 1.0),
    }


def test_turn_whose_reply_failed_is_logged_with_the_reason() -> None:
    failed = ev.ReplyFailed(1, ev.ReplyFault.DENIED, "openai: HTTP 401. Set OPENAI_API_KEY.")

    [line] = lines_of((10.0, SPOKE, [ASK]), (12.0, failed, []))

    assert (line["outcome"], line["fault"]) == ("failed", failed.reason)


COUNTED: dict[str, tuple[Sequence[Step], dict[str, Any]]] = {
    "": (
        [(10.0, SPOKE, [ASK]), (12.0, ev.ReplyFailed(1, ev.ReplyFault.THROTTLED), [])],
        {
            **ONE_CALL,
            "llm_requests_total scripted: failed": 1.0,
            "llm_errors_total throttled scripted:": 1.0,
            "llm_duration_seconds scripted: failed": (1, 2.0),
            "turns_total failed pizza": 1.0,
            "turn_stage_seconds model pizza": (1, 2.0),
        },
    ),
    "llm_stale": (  # of the reply that was left, not of the current one
        [
            (10.0, SPOKE, [ASK]),
            (10.5, ev.ReplyDelta(1, "Yes"), []),
            (10.6, ev.ReplyDelta(1, ", we"), []),
            (11.0, ev.CallerSpoke("And tomorrow?"), [act.CancelReply(1), ASK_AGAIN]),
            (11.1, ev.ReplyDelta(1, " are"), []),
            (11.2, ev.ReplyDelta(2, "Tomorrow"), []),
            (11.3, ev.ReplyDelta(1, " open"), []),
        ],
        {"llm_stale_pieces_total": 2.0},
    ),
    "llm_speculations": (
        [
            (1.0, PARTLY, [act.Speculate(1, ())]),
            (2.0, ev.ReplyFailed(1, ev.ReplyFault.NOT_ASKED), []),
            (3.0, PARTLY, [act.Speculate(2, ())]),
            (4.0, ev.ReplyFailed(2, ev.ReplyFault.TIMEOUT), []),
            (5.0, PARTLY, [act.Speculate(3, ())]),
            (6.0, PARTLY, [act.DiscardReply(3), act.Speculate(4, ())]),
            (7.0, SPOKE, [act.AdoptReply(4)]),
            (8.0, ev.ReplyFailed(4, ev.ReplyFault.TIMEOUT), []),
        ],
        {
            "llm_speculations_total refused": 1.0,
            "llm_speculations_total failed": 1.0,
            "llm_speculations_total discarded": 1.0,
            "llm_speculations_total adopted": 1.0,
        },
    ),
    "tool_": (
        [
            (1.0, SPOKE, [act.RunTool(LOOK), act.RunTool(ORDER)]),
            (3.0, ev.ToolFinished(LOOK.id, act.ToolOutcome("{}", is_error=True)), []),
            (4.0, ev.CallerInterrupted(""), [act.CancelTool(ORDER.id)]),
            (5.0, ev.ToolFinished("tool00003", DONE), []),
        ],
        {
            "tool_duration_seconds error look_up": (1, 2.0),
            "tool_duration_seconds cancelled order": (1, 3.0),
        },
    ),
    "llm_tokens": (  # those of the model that was asked, unless another one answered
        [
            (10.0, SPOKE, [ASK]),
            (11.0, ev.ReplyDelta(1, "Yes. "), [act.Speak(1, "Yes. ")]),
            (13.0, ev.ReplyFinished(1), [act.Speak(1, "", is_last=True)]),
            (13.1, ev.TokensCounted(1, Usage(100, 40, model="other:")), []),
            (14.0, ev.TokensCounted(2, Usage(100, 20, 30, 40)), []),
        ],
        {
            "llm_tokens_total input scripted:": 100.0,
            "llm_tokens_total output scripted:": 20.0,
            "llm_tokens_total cache_read scripted:": 30.0,
            "llm_tokens_total cache_write scripted:": 40.0,
            "llm_tokens_total input other:": 100.0,
            "llm_tokens_total output other:": 40.0,
            "llm_tokens_per_second other:": (1, 20.0),
        },
    ),
    "summaries": (
        [
            (1.0, ev.Summarized(1, "Ada is calling."), [act.Record(7, Summary("Ada.", 3))]),
            (1.0, ev.Summarized(2, "Hello!"), [act.Summarize(3, ())]),
            (1.0, ev.CallerSpoke("Yes."), [act.CancelSummary(3), act.StartReply(1, ())]),
            (1.0, ev.SummaryFailed(4), []),
            (1.0, ev.SummaryFailed(5), []),
        ],
        {
            "summaries_total came": 1.0,
            "summaries_total refused": 1.0,
            "summaries_total cancelled": 1.0,
            "summaries_total failed": 2.0,
        },
    ),
    "turn_audio": (
        [
            (10.0, ev.PlaybackReported(ev.Playback.CALLER_ON), []),
            (12.0, ev.PlaybackReported(ev.Playback.CALLER_OFF), []),
            (13.5, ev.PlaybackReported(ev.Playback.AGENT_ON), []),
            (15.0, ev.PlaybackReported(ev.Playback.AGENT_ON), []),
        ],
        {"turn_audio_latency_seconds pizza": (1, 1.5)},
    ),
}
"""By how their names begin: what happens, and the metrics."""


@pytest.mark.parametrize("prefix", COUNTED)
def test_what_happens_is_counted(prefix: str) -> None:
    steps, counted = COUNTED[prefix]

    samples = samples_of(observed(*steps))

    assert {name: value for name, value in samples.items() if name.startswith(prefix)} == counted


def test_calls_in_progress_go_up_and_down() -> None:
    telemetry = Telemetry(Clock())
    first, _ = (telemetry.call("pizza", lambda: "m") for _ in range(2))

    during = samples_of(telemetry)["active_calls"]
    first.ended(ev.EndReason.AGENT_END)

    assert (during, samples_of(telemetry)["active_calls"]) == (2.0, 1.0)


@pytest.mark.parametrize(
    ("happened", "counted"),
    [
        (["5", "5", "#"], {"terminator": 1}),
        (["5", "#"], {"terminator": 1}),
        (["5"] * LONGEST_ENTRY, {"length": 1}),
        (["5", "5", PAUSE], {"pause": 1}),
        (["5", ev.CallerSpoke("Two pizzas, please.")], {"speech": 1}),
        (["5", BOUND], {"key": 1}),
        (["5", ev.CallEnded()], {"ended": 1}),
        (["5", "#", "6", "#", "7", PAUSE], {"terminator": 2, "pause": 1}),
        ([BOUND], {}),
        (["#"], {}),
        (["5", "*", PAUSE], {}),
        (["5"], {}),
        ([ev.CallerSpoke("Two pizzas.")], {}),
    ],
)
def test_each_entry_is_counted_by_what_completed_it(
    happened: Sequence[str | ev.Event], counted: dict[str, float]
) -> None:
    """A key with a meaning of its own, an entry taken back and one not complete are none."""
    telemetry, conversation = Telemetry(Clock()), Conversation(CONFIG)
    observer = telemetry.call("pizza", lambda: "scripted:")
    serial = 0
    for each in (ev.CallStarted(), *happened):
        event: ev.Event = each if not isinstance(each, str) else ev.CallerPressed(each)
        if each == PAUSE:
            event = ev.TimerFired(Timer.DIGITS, serial)
        actions = conversation.receive(event)
        for action in actions:
            if isinstance(action, StartTimer) and action.timer is Timer.DIGITS:
                serial = action.serial
        observer.observe(moment(event, actions, 0.0))
    observer.ended(ev.EndReason.CALLER_HANGUP)

    name, samples = "keypad_entries_total ", samples_of(telemetry)
    found = {key.removeprefix(name): samples[key] for key in samples if key.startswith(name)}
    assert found == counted


_MOVES = st.sampled_from(["spoke", "asked", "wrote", "ended", "run", "ran", "said", "wait"])


def _moved(move: str, number: int) -> tuple[ev.Event, list[act.Action]]:
    """An event of this kind and what is done about it."""
    call = ToolCall(f"tool{number}", "look_up", "{}")
    moves: dict[str, tuple[ev.Event, list[act.Action]]] = {
        "spoke": (SPOKE, [act.StartReply(number, ())]),
        "asked": (ev.TimerFired(Timer.END_OF_TURN_DELAY, 1), [act.StartReply(number, ())]),
        "wrote": (ev.ReplyDelta(number, "Yes"), []),
        "ended": (ev.ReplyFinished(number), []),
        "run": (ev.ReplyFinished(number, (call,), StopReason.TOOLS), [act.RunTool(call)]),
        "ran": (ev.ToolFinished(call.id, DONE), []),
        "said": (ev.ReplyDelta(number, "Yes. "), [act.Speak(1, "Yes. ")]),
        "wait": (ev.PlaybackReported(ev.Playback.AGENT_OFF), []),
    }
    return moves[move]


@given(st.lists(st.tuples(_MOVES, st.integers(1, 3), st.floats(-0.5, 5.0))))
def test_stages_add_up_after_any_events(moves: list[tuple[str, int, float]]) -> None:
    """Also if something happens twice, out of order, or is reported late."""
    tracker, at, until_speech = TurnTracker(), 100.0, dict[TrackedTurn, float]()
    changes = list[Change]()
    for move, number, seconds in moves:
        at = max(100.0, at + seconds)
        event, actions = _moved(move, number)
        for change in tracker.observe(moment(event, actions, at), ""):
            changes.append(change)
            if isinstance(change, FirstSpeech):
                until_speech[change.turn] = sum(change.turn.stages.values())
    changes += tracker.ended(at)

    for turn in (change.turn for change in changes if isinstance(change, TurnFinished)):
        stages = turn.stages
        before = sum(seconds for stage, seconds in stages.items() if stage in UNTIL_SPEECH)
        assert all(seconds >= 0 for seconds in stages.values())
        assert abs(sum(stages.values()) - turn.total) < 1e-6
        assert turn.response is None or abs(before - turn.response) < 1e-6
        if turn in until_speech:
            assert abs((turn.response or 0.0) - until_speech[turn]) < 1e-6


_ROUNDING_MS = 0.1
"""Of the figures of a line; speech is stamped before it is handed over, never after it was read."""


async def test_log_and_an_outside_client_agree_on_the_response(table: Path) -> None:
    """The client's interval encloses ours, which encloses the model's known time."""
    model = ScriptedModel([[0.15, "Yes, ", 0.1, "we are open. ", 0.05, StopReason.END]])
    store = await SqliteStore.open(table)
    async with staged(settings_for(table), store, lambda *_: model) as server:
        with capture_logs() as logs:
            async with server.twilio.call() as call:
                reply = await call.say("are you open")
            await server.calls.until_quiet()
    await store.close()

    [line] = [entry for entry in logs if entry["event"] == "turn.finished"]
    response = line["response_ms"]
    assert 149.0 <= response <= reply.first_text_seconds * 1000 + _ROUNDING_MS
    assert line["stages"]["model"] >= 149.0
    assert line["total_ms"] >= response + 149.0
