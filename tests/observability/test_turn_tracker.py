"""Turns from literal events: the log line, disjoint stages that add up, interrupts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from agent.call.actions import Action, CancelReply, Record, RunTool, Speak, StartReply, ToolOutcome
from agent.call.events import (
    CallerInterrupted,
    CallerPressed,
    CallerSpoke,
    EndReason,
    Event,
    Playback,
    PlaybackReported,
    ReplyDelta,
    ReplyFinished,
    TimerFired,
    TokensCounted,
    ToolFinished,
)
from agent.call.history import AgentSaid
from agent.call.messages import StopReason, ToolCall, Usage
from agent.call.timers import Timer
from agent.observability import Telemetry
from agent.observability.turn_stages import TrackedTurn
from agent.observability.turn_tracker import Change, FirstSpeech, TurnFinished, TurnTracker
from agent.store.sqlite import SqliteStore
from tests.fakes import Clock, moment
from tests.scripted import ScriptedModel
from tests.servers import settings_for, staged

SPOKE = CallerSpoke("Are you open?")
LOOK = ToolCall("tool00001", "look_up", "{}")
ASK = StartReply(1, ())
UNTIL_SPEECH = ("hold", "prepare", "model", "tool", "phrase")
Step = tuple[float, Event, Sequence[Action]]


def lines_of(*steps: Step, event: str = "turn.finished") -> list[dict[str, Any]]:
    """The lines of this kind that a call of these events leaves, without the name of the event."""
    clock = Clock()
    with capture_logs() as logs:
        observer = Telemetry(clock).call("pizza", lambda: "scripted:")
        for at, happened, actions in steps:
            clock.seconds = at
            observer.observe(moment(happened, actions, at))
        observer.ended(EndReason.CALLER_HANGUP)
    return [dict(line) for line in logs if line["event"] == event]


def parts(line: dict[str, Any]) -> tuple[float | None, float, dict[str, float]]:
    return line["response_ms"], line["total_ms"], line["stages"]


def test_turn_leaves_one_line_with_all_its_stages() -> None:
    [line] = lines_of(
        (10.0, SPOKE, []),
        (10.2, TimerFired(Timer.END_OF_TURN_DELAY, 1), [ASK]),
        (11.0, ReplyFinished(1, (LOOK,), StopReason.TOOLS), [RunTool(LOOK)]),
        (13.0, ToolFinished(LOOK.id, ToolOutcome("{}")), [StartReply(2, ())]),
        (13.5, ReplyDelta(2, "Yes, "), []),
        (13.6, ReplyDelta(2, "we are. "), [Speak(1, "Yes, we are. ")]),
        (15.0, ReplyFinished(2, (), StopReason.END), [Speak(1, "", is_last=True)]),
    )

    assert line == {
        "event": "turn.finished",
        "log_level": "info",
        "turn": 1,
        "use_case": "pizza",
        "model": "scripted:",
        "outcome": "answered",
        "response_ms": 3600.0,
        "total_ms": 5000.0,
        "stages": {
            "hold": 200.0,
            "model": 1300.0,
            "tool": 2000.0,
            "phrase": 100.0,
            "speech": 1400.0,
        },
        "requests": 2,
        "tool_rounds": 1,
        "tools": [{"name": "look_up", "ms": 2000.0, "outcome": "ok"}],
        "interrupted": "",
        "filler": False,
        "tokens": {},
        "stop": "end",
    }


def test_turn_tells_the_tokens_of_all_its_requests() -> None:
    """Those of the last one come after the turn; those of other turns do not count."""
    first, second = lines_of(
        (9.0, TokensCounted(None, Usage(900, 90)), []),
        (10.0, SPOKE, [ASK]),
        (11.0, ReplyFinished(1, (LOOK,), StopReason.TOOLS), [RunTool(LOOK)]),
        (11.1, TokensCounted(1, Usage(100, 20, 300, 0)), []),
        (11.2, TokensCounted(None, Usage(900, 90)), []),
        (13.0, ToolFinished(LOOK.id, ToolOutcome("{}")), [StartReply(2, ())]),
        (15.0, ReplyFinished(2, (), StopReason.LENGTH), [Speak(1, "Yes. ", is_last=True)]),
        (15.1, TokensCounted(2, Usage(10, 5, 400, 7)), []),
        (20.0, SPOKE, [StartReply(3, ())]),
        (20.1, TokensCounted(2, Usage(900, 90)), []),
        (21.0, ReplyFinished(3, (), StopReason.END), [Speak(2, "Yes. ", is_last=True)]),
        (21.1, TokensCounted(3, Usage(1, 2)), []),
    )

    assert first["tokens"] == {"input": 110, "output": 25, "cache_read": 700, "cache_write": 7}
    assert second["tokens"] == {"input": 1, "output": 2, "cache_read": 0, "cache_write": 0}
    assert [line["stop"] for line in (first, second)] == ["length", "end"]


def test_turn_that_was_left_has_no_stop_and_no_tokens_of_what_was_left() -> None:
    [line] = lines_of(
        (10.0, SPOKE, [ASK]),
        (11.0, CallerInterrupted(""), [CancelReply(1)]),
        (11.1, ReplyFinished(1, (), StopReason.END), []),
    )

    assert (line["stop"], line["tokens"]) == ("", {})


def test_wait_after_the_first_words_is_told_apart_from_the_wait_before() -> None:
    """Only the silence before the first words is response latency."""
    [line] = lines_of(
        (10.0, SPOKE, [ASK]),
        (10.5, ReplyDelta(1, "I look. "), [Speak(1, "I look. ")]),
        (11.0, ReplyFinished(1, (LOOK,), StopReason.TOOLS), [RunTool(LOOK)]),
        (12.0, ToolFinished(LOOK.id, ToolOutcome("{}", is_error=True)), [StartReply(2, ())]),
        (14.0, ReplyDelta(2, "No. "), [Speak(2, "No. ")]),
        (14.5, ReplyFinished(2, (), StopReason.END), [Speak(2, "", is_last=True)]),
    )

    assert parts(line) == (
        500.0,
        4500.0,
        {"model": 500.0, "speech": 1000.0, "tool_again": 1000.0, "model_again": 2000.0},
    )
    assert line["tools"] == [{"name": "look_up", "ms": 1000.0, "outcome": "error"}]


@pytest.mark.parametrize(
    ("event", "actions", "kind"),
    [
        (CallerInterrupted("Ye"), [CancelReply(1)], "speech"),
        (CallerSpoke("And when?"), [CancelReply(1), StartReply(2, ())], "new_words"),
        (CallerPressed("1"), [CancelReply(1)], "keypad"),
    ],
)
def test_turn_that_is_broken_into_ends_there(
    event: Event, actions: Sequence[Action], kind: str
) -> None:
    line, *_ = lines_of(
        (10.0, SPOKE, [ASK]),
        (10.5, ReplyDelta(1, "Yes, "), [Speak(1, "Yes, ")]),
        (11.5, event, actions),
        (20.0, ReplyDelta(2, "late"), []),
    )

    assert (line["outcome"], line["interrupted"]) == ("interrupted", kind)
    assert parts(line) == (500.0, 1500.0, {"model": 500.0, "speech": 1000.0})


YES_IS_CUT = [Record(2, AgentSaid("Ye", is_cut=True))]


@pytest.mark.parametrize(
    ("after", "told"),
    [
        ([(14.0, CallerInterrupted("Ye"), YES_IS_CUT)], ("interrupted", "speech")),
        (
            [
                (14.0, PlaybackReported(Playback.AGENT_OFF), []),
                (14.05, PlaybackReported(Playback.CALLER_ON), []),
                (14.1, CallerInterrupted("Ye"), YES_IS_CUT),
            ],
            ("interrupted", "speech"),
        ),
        (
            [
                (13.0, PlaybackReported(Playback.AGENT_OFF), []),
                (14.0, CallerInterrupted("x"), [Record(3, AgentSaid("x"))]),
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
    [line] = lines_of(
        (10.0, SPOKE, [ASK]),
        (11.0, ReplyDelta(1, "Yes. "), [Speak(1, "Yes. ")]),
        (11.0, ReplyFinished(1, (), StopReason.END), [Speak(1, "", is_last=True)]),
        *after,
    )

    assert (line["outcome"], line["interrupted"], line["total_ms"]) == (*told, 1000.0)


def test_words_that_lead_to_nothing_are_no_turn() -> None:
    """Noise, half a DTMF entry, and a re-prompt."""
    lines = lines_of(
        (10.0, CallerSpoke("hm"), []),
        (11.0, CallerPressed("1"), []),
        (40.0, TimerFired(Timer.IDLE, 1), [Speak(1, "Are you there?", is_last=True)]),
    )

    assert lines == []


def test_turns_are_numbered_and_the_last_one_is_told_at_the_end() -> None:
    lines = lines_of(
        (10.0, SPOKE, [ASK]),
        (11.0, ReplyDelta(1, "Yes. "), [Speak(1, "Yes. ")]),
        (11.0, ReplyFinished(1, (), StopReason.END), [Speak(1, "", is_last=True)]),
        (20.0, SPOKE, [StartReply(2, ())]),
        (21.0, PlaybackReported(Playback.CALLER_ON), []),
    )

    assert [(line["turn"], line["outcome"]) for line in lines] == [(1, "answered"), (2, "silent")]


_MOVES = st.sampled_from(["spoke", "asked", "wrote", "ended", "run", "ran", "said", "wait"])


def _moved(move: str, number: int) -> tuple[Event, list[Action]]:
    """An event of this kind and what is done about it."""
    call = ToolCall(f"tool{number}", "look_up", "{}")
    match move:
        case "spoke":
            return SPOKE, [StartReply(number, ())]
        case "asked":
            return TimerFired(Timer.END_OF_TURN_DELAY, 1), [StartReply(number, ())]
        case "wrote":
            return ReplyDelta(number, "Yes"), []
        case "ended":
            return ReplyFinished(number, (), StopReason.END), []
        case "run":
            return ReplyFinished(number, (call,), StopReason.TOOLS), [RunTool(call)]
        case "ran":
            return ToolFinished(call.id, ToolOutcome("{}")), []
        case "said":
            return ReplyDelta(number, "Yes. "), [Speak(1, "Yes. ")]
        case _:
            return PlaybackReported(Playback.AGENT_OFF), []


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
    """On a real socket: what the log says lies between the model's known time and the client's.

    The client's interval encloses ours: it begins before its words are sent and ends when the text
    has been read. Nothing is asserted of how long anything takes, only of what encloses what.
    """
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
