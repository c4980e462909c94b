"""Metrics of calls, from literal events on a literal clock."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from prometheus_client.parser import text_string_to_metric_families

from agent.call.actions import (
    Action,
    CancelReply,
    CancelTool,
    Record,
    RunTool,
    Speak,
    StartReply,
    ToolOutcome,
)
from agent.call.conversation import Conversation
from agent.call.events import (
    CallEnded,
    CallerInterrupted,
    CallerPressed,
    CallerSpoke,
    CallStarted,
    EndReason,
    Event,
    Playback,
    PlaybackReported,
    ReplyDelta,
    ReplyFailed,
    ReplyFault,
    ReplyFinished,
    Summarized,
    SummaryFailed,
    TimerFired,
    TokensCounted,
    ToolFinished,
)
from agent.call.history import AgentSaid, CallerSaid
from agent.call.messages import StopReason, ToolCall, Usage
from agent.call.timers import StartTimer, Timer
from agent.call.turn_taking import LONGEST_ENTRY
from agent.observability import Telemetry
from tests.call.world import CONFIG
from tests.fakes import Clock, moment

SPOKE = CallerSpoke("Are you open?")
LOOK = ToolCall("tool00001", "look_up", "{}")
Step = tuple[float, Event, Sequence[Action]]
"""When the event came and was dealt with, the event, and what was done."""
ONE_CALL = {"calls_total caller_hangup pizza": 1.0}
REASONS = ("terminator", "length", "pause", "speech", "key", "ended")
PAUSE = "pause"
BOUND = "3"
"""A key with a meaning of its own."""


def _observed(*steps: Step) -> dict[str, float]:
    """What the metrics say after these events of one call: sums, counts and values that are set.

    A sample is named with the values of its labels, in the order of the labels' names.
    """
    clock = Clock()
    telemetry = Telemetry(clock)
    observer = telemetry.call("pizza", lambda: "scripted:")
    for at, event, actions in steps:
        clock.seconds = at
        observer.observe(moment(event, actions, at))
    observer.ended(EndReason.CALLER_HANGUP)
    return samples_of(telemetry)


def samples_of(telemetry: Telemetry) -> dict[str, float]:
    text, _ = telemetry.render("")
    return {
        " ".join([sample.name.removeprefix("agent_"), *sample.labels.values()]): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
        if sample.value and not sample.name.endswith(("_bucket", "_created"))
    }


def _start(reply: int) -> StartReply:
    return StartReply(reply, ())


def test_turn_is_measured_from_words_to_words() -> None:
    samples = _observed(
        (0.0, CallStarted(), []),
        (10.0, SPOKE, [Record(1, CallerSaid("Are you open?")), _start(1)]),
        (10.5, ReplyDelta(1, "Yes, "), []),
        (10.75, ReplyDelta(1, "we are. "), [Speak(1, "Yes, we are. ")]),
        (11.0, ReplyFinished(1, (), StopReason.END), [Speak(1, "", is_last=True)]),
    )

    assert samples == {
        **ONE_CALL,
        "llm_time_to_first_token_seconds_count scripted: pizza": 1.0,
        "llm_time_to_first_token_seconds_sum scripted: pizza": 0.5,
        "turn_time_to_first_speech_seconds_count pizza": 1.0,
        "turn_time_to_first_speech_seconds_sum pizza": 0.75,
        "turn_overhead_seconds_count": 1.0,
        "turn_overhead_seconds_sum": 0.25,
        "llm_requests_total scripted: finished": 1.0,
        "llm_duration_seconds_count scripted: finished": 1.0,
        "llm_duration_seconds_sum scripted: finished": 1.0,
        "llm_time_to_first_clause_seconds_count scripted: pizza": 1.0,
        "llm_time_to_first_clause_seconds_sum scripted: pizza": 0.75,
        "turns_total answered pizza": 1.0,
        "turn_stage_seconds_count model pizza": 1.0,
        "turn_stage_seconds_sum model pizza": 0.5,
        "turn_stage_seconds_count phrase pizza": 1.0,
        "turn_stage_seconds_sum phrase pizza": 0.25,
        "turn_stage_seconds_count speech pizza": 1.0,
        "turn_stage_seconds_sum speech pizza": 0.25,
    }


def test_time_of_tools_and_of_the_second_reply_is_not_ours() -> None:
    """Overhead leaves out every wait for model or tool; a tool call is a first token."""
    samples = _observed(
        (10.0, SPOKE, [_start(1)]),
        (11.0, ReplyFinished(1, (LOOK,), StopReason.TOOLS), [RunTool(LOOK)]),
        (13.0, ToolFinished(LOOK.id, ToolOutcome("{}")), [_start(2)]),
        (14.0, ReplyDelta(2, "Yes. "), [Speak(1, "Yes. ")]),
    )

    assert samples == {
        **ONE_CALL,
        "llm_time_to_first_token_seconds_count scripted: pizza": 2.0,
        "llm_time_to_first_token_seconds_sum scripted: pizza": 2.0,
        "turn_time_to_first_speech_seconds_count pizza": 1.0,
        "turn_time_to_first_speech_seconds_sum pizza": 4.0,
        "turn_overhead_seconds_count": 1.0,
        "tool_duration_seconds_count ok look_up": 1.0,
        "tool_duration_seconds_sum ok look_up": 2.0,
        "llm_requests_total scripted: finished": 1.0,
        "llm_duration_seconds_count scripted: finished": 1.0,
        "llm_duration_seconds_sum scripted: finished": 1.0,
        "llm_time_to_first_clause_seconds_count scripted: pizza": 1.0,
        "llm_time_to_first_clause_seconds_sum scripted: pizza": 1.0,
        "turns_total answered pizza": 1.0,
        "turn_stage_seconds_count model pizza": 1.0,
        "turn_stage_seconds_sum model pizza": 2.0,
        "turn_stage_seconds_count tool pizza": 1.0,
        "turn_stage_seconds_sum tool pizza": 2.0,
    }


def test_time_the_caller_is_given_to_go_on_is_not_ours() -> None:
    samples = _observed(
        (10.0, CallerSpoke("A salad and"), []),
        (11.0, TimerFired(Timer.END_OF_TURN_DELAY, 1), [_start(1)]),
        (11.5, ReplyDelta(1, "Yes, "), []),
        (11.75, ReplyDelta(1, "sir. "), [Speak(1, "Yes, sir. ")]),
    )

    assert samples["turn_overhead_seconds_sum"] == 0.25
    assert samples["turn_time_to_first_speech_seconds_sum pizza"] == 1.75
    assert samples["turn_stage_seconds_sum hold pizza"] == 1.0


@pytest.mark.parametrize(
    ("event", "actions", "kind"),
    [
        (CallerInterrupted("Yes"), [CancelReply(1)], "speech"),
        (CallerInterrupted("Yes"), [Record(2, AgentSaid("Yes"))], "speech"),
        (CallerInterrupted(""), [], "empty"),
        (CallerSpoke("And when?"), [CancelReply(1), _start(2)], "new_words"),
        (CallerPressed("1"), [CancelReply(1)], "keypad"),
    ],
)
def test_interrupt_is_counted_by_its_kind(
    event: Event, actions: Sequence[Action], kind: str
) -> None:
    samples = _observed((10.0, SPOKE, [_start(1)]), (11.0, event, actions))

    interrupts = {name: value for name, value in samples.items() if "interrupts" in name}
    assert interrupts == {f"interrupts_total {kind}": 1.0}


def test_words_and_keys_that_cut_nothing_are_no_interrupts() -> None:
    samples = _observed((10.0, SPOKE, []), (11.0, CallerPressed("1"), []))

    assert samples == ONE_CALL


def test_reply_that_is_left_is_counted_once() -> None:
    samples = _observed(
        (10.0, SPOKE, [_start(1)]),
        (11.0, CallerInterrupted("Yes"), [CancelReply(1)]),
        (12.0, ReplyDelta(1, "late"), []),
        (12.0, ReplyFinished(1, (), StopReason.END), []),
        (12.0, ReplyFailed(1, ReplyFault.TIMEOUT), []),
    )

    assert samples == {
        **ONE_CALL,
        "llm_requests_total scripted: cancelled": 1.0,
        "llm_duration_seconds_count scripted: cancelled": 1.0,
        "llm_duration_seconds_sum scripted: cancelled": 1.0,
        "llm_stale_pieces_total": 1.0,
        "interrupts_total speech": 1.0,
        "interrupt_stop_seconds_count speech": 1.0,
        "turns_total interrupted pizza": 1.0,
        "turn_stage_seconds_count model pizza": 1.0,
        "turn_stage_seconds_sum model pizza": 1.0,
    }


def test_pieces_of_a_reply_that_was_left_are_counted() -> None:
    """Each piece with text, and none of the current reply."""
    samples = _observed(
        (10.0, SPOKE, [_start(1)]),
        (10.5, ReplyDelta(1, "Yes"), []),
        (10.6, ReplyDelta(1, ", we"), []),
        (11.0, CallerSpoke("And tomorrow?"), [CancelReply(1), _start(2)]),
        (11.1, ReplyDelta(1, " are"), []),
        (11.2, ReplyDelta(2, "Tomorrow"), []),
        (11.3, ReplyDelta(1, " open"), []),
        (11.3, ReplyDelta(1, ""), []),
    )

    assert samples["llm_stale_pieces_total"] == 2.0


def test_reply_that_fails_is_counted_with_its_fault() -> None:
    samples = _observed(
        (10.0, SPOKE, [_start(1)]), (12.0, ReplyFailed(1, ReplyFault.THROTTLED), [])
    )

    assert samples == {
        **ONE_CALL,
        "llm_requests_total scripted: failed": 1.0,
        "llm_errors_total throttled scripted:": 1.0,
        "llm_duration_seconds_count scripted: failed": 1.0,
        "llm_duration_seconds_sum scripted: failed": 2.0,
        "turns_total failed pizza": 1.0,
        "turn_stage_seconds_count model pizza": 1.0,
        "turn_stage_seconds_sum model pizza": 2.0,
    }


ORDER = ToolCall("tool00002", "order", "{}")
COUNTED: dict[str, tuple[Sequence[Step], dict[str, float]]] = {
    "tool_": (
        [
            (1.0, SPOKE, [RunTool(LOOK), RunTool(ORDER)]),
            (3.0, ToolFinished(LOOK.id, ToolOutcome("{}", is_error=True)), []),
            (4.0, CallerInterrupted(""), [CancelTool(ORDER.id)]),
            (5.0, ToolFinished("tool00003", ToolOutcome("{}")), []),
        ],
        {
            "tool_duration_seconds_count error look_up": 1.0,
            "tool_duration_seconds_sum error look_up": 2.0,
            "tool_duration_seconds_count cancelled order": 1.0,
            "tool_duration_seconds_sum cancelled order": 3.0,
        },
    ),
    "llm_tokens": (
        [(1.0, TokensCounted(1, Usage(100, 20, 30, 40)), [])],
        {
            "llm_tokens_total input scripted:": 100.0,
            "llm_tokens_total output scripted:": 20.0,
            "llm_tokens_total cache_read scripted:": 30.0,
            "llm_tokens_total cache_write scripted:": 40.0,
        },
    ),
    "summaries": (
        [
            (1.0, Summarized(1, "Ada is calling."), []),
            (1.0, SummaryFailed(2), []),
            (1.0, SummaryFailed(3), []),
        ],
        {"summaries_total came": 1.0, "summaries_total failed": 2.0},
    ),
    "turn_audio": (
        [
            (10.0, PlaybackReported(Playback.CALLER_ON), []),
            (12.0, PlaybackReported(Playback.CALLER_OFF), []),
            (13.5, PlaybackReported(Playback.AGENT_ON), []),
            (15.0, PlaybackReported(Playback.AGENT_ON), []),
        ],
        {
            "turn_audio_latency_seconds_sum pizza": 1.5,
            "turn_audio_latency_seconds_count pizza": 1.0,
        },
    ),
    "": (  # a re-prompt is no turn and has no latency
        [(10.0, SPOKE, []), (40.0, TimerFired(Timer.IDLE, 1), [Speak(1, "Are you there?")])],
        {**ONE_CALL, "reprompts_total pizza": 1.0},
    ),
}
"""By how their names begin: what happens, and the metrics."""


@pytest.mark.parametrize("prefix", COUNTED)
def test_what_happens_is_counted(prefix: str) -> None:
    steps, counted = COUNTED[prefix]

    samples = _observed(*steps)

    assert {name: value for name, value in samples.items() if name.startswith(prefix)} == counted


def test_tokens_and_speed_are_those_of_the_model_that_answered() -> None:
    """The wait and the outcome are those of the model that was asked."""
    samples = _observed(
        (10.0, SPOKE, [_start(1)]),
        (11.0, ReplyDelta(1, "Yes. "), [Speak(1, "Yes. ")]),
        (13.0, ReplyFinished(1, (), StopReason.END), [Speak(1, "", is_last=True)]),
        (13.1, TokensCounted(1, Usage(100, 40, model="other:")), []),
    )

    assert {name: value for name, value in samples.items() if "other:" in name} == {
        "llm_tokens_total input other:": 100.0,
        "llm_tokens_total output other:": 40.0,
        "llm_tokens_per_second_count other:": 1.0,
        "llm_tokens_per_second_sum other:": 20.0,
    }
    assert samples["llm_requests_total scripted: finished"] == 1.0
    assert not any("tokens_" in name and "scripted:" in name for name in samples)


def test_calls_in_progress_go_up_and_down() -> None:
    telemetry = Telemetry(Clock())
    first, _ = (telemetry.call("pizza", lambda: "m") for _ in range(2))

    during = samples_of(telemetry)["active_calls"]
    first.ended(EndReason.AGENT_END)

    assert (during, samples_of(telemetry)["active_calls"]) == (2.0, 1.0)


def entries_of(*happened: str | Event) -> dict[str, float]:
    """Entries by reason, after these keys, pauses or other events."""
    telemetry, conversation = Telemetry(Clock()), Conversation(CONFIG)
    observer = telemetry.call("pizza", lambda: "scripted:")
    serial = 0
    for each in (CallStarted(), *happened):
        event: Event = each if not isinstance(each, str) else CallerPressed(each)
        if each == PAUSE:
            event = TimerFired(Timer.DIGITS, serial)
        actions = conversation.receive(event)
        for action in actions:
            if isinstance(action, StartTimer) and action.timer is Timer.DIGITS:
                serial = action.serial
        observer.observe(moment(event, actions, 0.0))
    observer.ended(EndReason.CALLER_HANGUP)
    values = {why: telemetry.value("agent_keypad_entries_total", reason=why) for why in REASONS}
    return {why: value for why, value in values.items() if value}


@pytest.mark.parametrize(
    ("happened", "counted"),
    [
        (["5", "5", "#"], {"terminator": 1}),
        (["5", "#"], {"terminator": 1}),
        (["5"] * LONGEST_ENTRY, {"length": 1}),
        (["5", "5", PAUSE], {"pause": 1}),
        (["5", CallerSpoke("Two pizzas, please.")], {"speech": 1}),
        (["5", BOUND], {"key": 1}),
        (["5", CallEnded()], {"ended": 1}),
        (["5", "#", "6", "#", "7", PAUSE], {"terminator": 2, "pause": 1}),
        ([BOUND], {}),
        (["#"], {}),
        (["5", "*", PAUSE], {}),
        (["5"], {}),
        ([CallerSpoke("Two pizzas.")], {}),
    ],
)
def test_each_entry_is_counted_by_what_completed_it(
    happened: Sequence[str | Event], counted: dict[str, float]
) -> None:
    """A key with a meaning of its own, an entry taken back and one not complete are none."""
    assert entries_of(*happened) == counted
