"""Metrics and logs of calls, from literal events on a literal clock."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence

import pytest
import structlog
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
from agent.call.events import (
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
from agent.call.timers import Timer
from agent.errors import StoreError
from agent.observability import MeasuredStore, Telemetry, configure_logging
from agent.ports import Item
from tests.fakes import Clock, MemoryStore, moment

SPOKE = CallerSpoke("Are you open?")
LOOK = ToolCall("tool00001", "look_up", "{}")
Step = tuple[float, Event, Sequence[Action]]
"""When the event came and was dealt with, the event, and what was done."""
LONG = ("10.0", "15.0")
"""Buckets, in seconds."""


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
    return _samples(telemetry)


def _samples(telemetry: Telemetry) -> dict[str, float]:
    text, _ = telemetry.render("")
    return {
        " ".join([sample.name.removeprefix("agent_"), *sample.labels.values()]): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
        if sample.value and not sample.name.endswith(("_bucket", "_created"))
    }


def _start(reply: int) -> StartReply:
    return StartReply(reply, ())


ONE_CALL = {"calls_total caller_hangup pizza": 1.0}


def test_turn_is_measured_from_words_to_words() -> None:
    """First token, first speech, and the part between that is ours."""
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
    """Overhead leaves out every wait for the outside; a tool call is a first token."""
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
    """Who ends with "and" is waited for, a second long: no reason for more processes."""
    samples = _observed(
        (10.0, CallerSpoke("A salad and"), []),
        (11.0, TimerFired(Timer.END_OF_TURN_DELAY, 1), [_start(1)]),
        (11.5, ReplyDelta(1, "Yes, "), []),
        (11.75, ReplyDelta(1, "sir. "), [Speak(1, "Yes, sir. ")]),
    )

    assert samples["turn_overhead_seconds_sum"] == 0.25
    assert samples["turn_time_to_first_speech_seconds_sum pizza"] == 1.75
    assert samples["turn_stage_seconds_sum hold pizza"] == 1.0


def test_filler_is_the_first_speech_of_a_turn() -> None:
    """The caller hears it; the wait that still runs is counted up to it."""
    samples = _observed(
        (10.0, SPOKE, [_start(1)]),
        (13.0, CallStarted(), [Speak(1, "One moment, please.")]),
        (14.0, ReplyDelta(1, "Yes. "), [Speak(2, "Yes. ")]),
    )

    assert samples["turn_time_to_first_speech_seconds_sum pizza"] == 3.0
    assert samples["turn_time_to_first_speech_seconds_count pizza"] == 1.0
    assert "turn_overhead_seconds_sum" not in samples


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
    """Four ways to break in."""
    samples = _observed((10.0, SPOKE, [_start(1)]), (11.0, event, actions))

    interrupts = {name: value for name, value in samples.items() if "interrupts" in name}
    assert interrupts == {f"interrupts_total {kind}": 1.0}


def test_words_and_keys_that_cut_nothing_are_no_interrupts() -> None:
    """A caller who waits for the end interrupts nobody."""
    samples = _observed((10.0, SPOKE, []), (11.0, CallerPressed("1"), []))

    assert samples == ONE_CALL


def test_reply_that_is_left_is_counted_once() -> None:
    """What comes of it later changes nothing."""
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
    """Each that has text, and none of the reply that counts."""
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
    """Errors have a closed list of kinds."""
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


def test_tools_are_measured_by_how_they_ended() -> None:
    """A failing tool, one that is left, and one nobody knows of."""
    other = ToolCall("tool00002", "order", "{}")
    samples = _observed(
        (1.0, SPOKE, [RunTool(LOOK), RunTool(other)]),
        (3.0, ToolFinished(LOOK.id, ToolOutcome("{}", is_error=True)), []),
        (4.0, CallerInterrupted(""), [CancelTool(other.id)]),
        (5.0, ToolFinished("tool00003", ToolOutcome("{}")), []),
    )

    tools = {name: value for name, value in samples.items() if name.startswith("tool_")}
    assert tools == {
        "tool_duration_seconds_count error look_up": 1.0,
        "tool_duration_seconds_sum error look_up": 2.0,
        "tool_duration_seconds_count cancelled order": 1.0,
        "tool_duration_seconds_sum cancelled order": 3.0,
    }


def test_waits_of_different_length_are_told_apart() -> None:
    """A tool may take 30 s, and Twilio gives a webhook 15: no quantile may stop at 5."""
    telemetry = Telemetry()
    telemetry.count("agent_tool_duration_seconds", 12.0, tool="look_up", outcome="ok")
    telemetry.count("agent_webhook_duration_seconds", 12.0, route="/twiml", status="200")

    tool, webhook = "agent_tool_duration_seconds_bucket", "agent_webhook_duration_seconds_bucket"
    assert [telemetry.value(tool, tool="look_up", outcome="ok", le=le) for le in LONG] == [0, 1]
    assert [telemetry.value(webhook, route="/twiml", status="200", le=le) for le in LONG] == [0, 1]


def test_tokens_are_counted_by_kind() -> None:
    """What a provider bills."""
    samples = _observed((1.0, TokensCounted(1, Usage(100, 20, 30, 40)), []))

    tokens = {name: value for name, value in samples.items() if "tokens" in name}
    assert tokens == {
        "llm_tokens_total input scripted:": 100.0,
        "llm_tokens_total output scripted:": 20.0,
        "llm_tokens_total cache_read scripted:": 30.0,
        "llm_tokens_total cache_write scripted:": 40.0,
    }


def test_tokens_and_speed_are_those_of_the_model_that_answered() -> None:
    """The wait and the outcome are those of the one that was asked, whoever stood in for it."""
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


def test_summaries_are_counted_by_what_became_of_them() -> None:
    """One that failed is not lost: an extract stands in for it."""
    happened: list[Event] = [Summarized(1, "Ada is calling."), SummaryFailed(2), SummaryFailed(3)]
    samples = _observed(*((1.0, event, []) for event in happened))

    counted = {name: value for name, value in samples.items() if "summaries" in name}
    assert counted == {"summaries_total came": 1.0, "summaries_total failed": 2.0}


def test_calls_in_progress_go_up_and_down() -> None:
    """A gauge of what is running."""
    telemetry = Telemetry(Clock())
    first, _ = (telemetry.call("pizza", lambda: "m") for _ in range(2))

    during = _samples(telemetry)["active_calls"]
    first.ended(EndReason.AGENT_END)

    assert (during, _samples(telemetry)["active_calls"]) == (2.0, 1.0)


def test_a_count_is_kept_as_its_metric_is_declared() -> None:
    """Added to a counter, the new value of a gauge, one observation of a histogram."""
    telemetry = Telemetry(Clock())

    for amount in (3, 2):
        telemetry.count("agent_journal_facts_waiting", amount)
        telemetry.count("agent_journal_facts_lost_total", amount, reason="stopped")
        telemetry.count("agent_event_loop_lag_seconds", amount)

    counted = {
        name: value
        for name, value in _samples(telemetry).items()
        if name.startswith(("journal_facts", "event_loop")) and "bucket" not in name
    }
    assert counted == {
        "journal_facts_waiting": 2.0,
        "journal_facts_lost_total stopped": 5.0,
        "event_loop_lag_seconds_count": 2.0,
        "event_loop_lag_seconds_sum": 5.0,
    }


class _SlowStore(MemoryStore):
    """Takes two seconds of the clock for a look, and fails for one key."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock

    async def get(self, pk: str, sk: str) -> dict[str, object] | None:
        self._clock.seconds += 2.0
        if pk == "away":
            raise StoreError("away")
        return await super().get(pk, sk)


async def test_table_is_measured_and_otherwise_untouched() -> None:
    """Each operation has its duration and outcome; values pass through (D28)."""
    clock = Clock()
    telemetry = Telemetry(clock)
    store = MeasuredStore(_SlowStore(clock), telemetry)
    item: Item = {"pk": "a", "sk": "b", "pk1": "i", "sk1": "j"}

    assert await store.put(item)
    assert not await store.put(item, only_if_absent=True)
    await store.merge("a", "b", {"c": 1})
    assert await store.get("a", "b") == {**item, "c": 1}
    assert await store.query("a") == await store.query_index("i") == [{**item, "c": 1}]
    assert await store.move("a", "b", {"pk": "a", "sk": "z"})
    with pytest.raises(StoreError):
        await store.get("away", "b")
    await store.close()

    durations = {
        name.removeprefix("store_duration_seconds_"): value
        for name, value in _samples(telemetry).items()
        if name.startswith("store_")
    }
    assert durations == {
        "count put ok": 2.0,
        "count merge ok": 1.0,
        "count get ok": 1.0,
        "sum get ok": 2.0,
        "count query ok": 1.0,
        "count query_index ok": 1.0,
        "count move ok": 1.0,
        "count get error": 1.0,
        "sum get error": 2.0,
    }


@pytest.mark.usefixtures("plain_logging")
def test_log_is_json_without_personal_values(capsys: pytest.CaptureFixture[str]) -> None:
    """One object a line; what may be personal is dropped, tracebacks are kept (D28)."""
    configure_logging("info", "json")
    log = structlog.get_logger("test")

    log.debug("too.fine")
    with structlog.contextvars.bound_contextvars(call_sid="CA0", pii_caller="+15550100001"):
        log.info("call.started", kind="inbound", pii_words="my name is Ada")
    try:
        int("fault")
    except ValueError:
        log.exception("call.crashed")

    started, crashed = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    del started["timestamp"]
    assert started == {
        "event": "call.started",
        "level": "info",
        "call_sid": "CA0",
        "kind": "inbound",
    }
    assert 'int("fault")\nValueError' in crashed["exception"]
    assert "invalid literal" not in crashed["exception"]


@pytest.mark.usefixtures("plain_logging")
def test_log_on_a_terminal_is_readable_without_personal_values(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The same, for eyes (D28)."""
    configure_logging("warning", "console")

    structlog.get_logger("test").info("too.fine")
    structlog.get_logger("test").warning("call.refused", reason="busy", pii_caller="+1555")

    written = capsys.readouterr().err
    assert "call.refused" in written and "reason=busy" in written
    assert "+1555" not in written and "too.fine" not in written


@pytest.mark.usefixtures("plain_logging")
def test_report_of_a_library_is_a_line_without_its_values(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Asyncio tells of a task nobody waited for, with all that is in its exception; once."""
    configure_logging("info", "json")
    configure_logging("info", "json")

    logging.getLogger("asyncio").error("Task exception was never retrieved\nfuture: Ada")
    logging.getLogger("any").info("too fine")

    (line,) = capsys.readouterr().err.splitlines()
    told = json.loads(line)
    del told["timestamp"]
    assert told == {
        "event": "library.log_emitted",
        "level": "error",
        "logger": "asyncio",
        "message": "Task exception was never retrieved",
    }


@pytest.mark.usefixtures("plain_logging")
@pytest.mark.parametrize("log_format", ["json", "console"])
def test_traceback_shows_no_values_of_variables(
    log_format: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a tool was given is in them. Rich, which would show them, is installed here."""
    configure_logging("info", log_format)

    def order(name: str) -> int:
        return len(name) // 0

    try:
        order("A" + "da Example")
    except ZeroDivisionError:
        structlog.get_logger("test").exception("tool.failed")

    written = capsys.readouterr().err
    assert "ZeroDivisionError" in written and "in order" in written
    assert "Ada" not in written


@pytest.mark.usefixtures("plain_logging")
def test_personal_values_are_logged_where_they_are_asked_for(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """`LOG_PERSONAL_DATA=true` is for a fault that cannot be found otherwise."""
    configure_logging("info", "json", with_personal=True)

    structlog.get_logger("test").info("call.started", pii_caller="+15550100001")

    assert json.loads(capsys.readouterr().err)["pii_caller"] == "+15550100001"


def test_reply_has_a_speed_once_its_tokens_are_counted() -> None:
    """Forty tokens in two seconds of writing; the wait for the first one is not part of it."""
    samples = _observed(
        (10.0, SPOKE, [_start(1)]),
        (11.0, ReplyDelta(1, "Yes. "), [Speak(1, "Yes. ")]),
        (13.0, ReplyFinished(1, (), StopReason.END), [Speak(1, "", is_last=True)]),
        (13.1, TokensCounted(1, Usage(100, 40)), []),
    )

    assert samples["llm_tokens_per_second_sum scripted:"] == 20.0


def test_silence_between_two_voices_is_measured_where_it_is_reported() -> None:
    """What the caller hears, which no other figure knows: speech is recognised and made, too."""
    samples = _observed(
        (10.0, PlaybackReported(Playback.CALLER_ON), []),
        (12.0, PlaybackReported(Playback.CALLER_OFF), []),
        (13.5, PlaybackReported(Playback.AGENT_ON), []),
        (15.0, PlaybackReported(Playback.AGENT_ON), []),
    )

    assert samples["turn_audio_latency_seconds_sum pizza"] == 1.5
    assert samples["turn_audio_latency_seconds_count pizza"] == 1.0


def test_silence_that_is_broken_by_the_agent_is_counted() -> None:
    """A re-prompt is no answer: no turn and no latency."""
    samples = _observed(
        (10.0, SPOKE, []), (40.0, TimerFired(Timer.IDLE, 1), [Speak(1, "Are you there?")])
    )

    assert samples == {**ONE_CALL, "reprompts_total pizza": 1.0}


def test_latencies_lead_to_their_traces_where_the_form_can_say_so() -> None:
    """OpenMetrics has exemplars; the plain form must not show them, and no trace shows none."""
    steps: list[Step] = [(1.0, SPOKE, [_start(1)]), (2.0, ReplyDelta(1, "Yes"), [])]
    clock = Clock()
    texts = {}
    for trace in ("0af7651916cd43dd8448eb211c80319c", ""):
        telemetry = Telemetry(clock, lambda trace=trace: trace)  # type: ignore[misc] # a default
        observer = telemetry.call("pizza", lambda: "m")
        for at, event, actions in steps:
            clock.seconds = at
            observer.observe(moment(event, actions, at))
        for form in ("application/openmetrics-text; version=1.0.0", "text/plain"):
            texts[trace, form] = telemetry.render(form)[0].decode()

    assert [key for key, text in texts.items() if "trace_id" in text] == [
        ("0af7651916cd43dd8448eb211c80319c", "application/openmetrics-text; version=1.0.0")
    ]


@pytest.mark.usefixtures("plain_logging")
def test_turns_and_receipts_on_a_terminal_are_sentences(capsys: pytest.CaptureFixture[str]) -> None:
    """What an operator looks for stands in one line; the call is told by the end of its SID."""
    configure_logging("info", "console")
    with structlog.contextvars.bound_contextvars(call_sid="CA0123456789abcdef"):
        _observed(
            (10.0, SPOKE, [_start(1)]),
            (11.0, ReplyFinished(1, (LOOK,), StopReason.TOOLS), [RunTool(LOOK)]),
            (13.0, ToolFinished(LOOK.id, ToolOutcome("{}")), [_start(2)]),
            (14.0, ReplyDelta(2, "Yes. "), [Speak(1, "Yes. ")]),
            (15.0, ReplyFinished(2, (), StopReason.END), [Speak(1, "", is_last=True)]),
            (15.0, TokensCounted(2, Usage(50, 20, 150)), []),
            (20.0, SPOKE, [_start(3)]),
            (21.0, CallerInterrupted(""), [CancelReply(3)]),
        )

    written = capsys.readouterr().err
    for sentence in (
        "…abcdef turn 1 answered after 4000 ms = model 2000 + tool 2000, then speech 1000",
        "look_up 2000 ms ok",
        "…abcdef turn 2 interrupted (speech) after 1000 ms without a word = model 1000",
        "…abcdef call over: caller_hangup after 21.0 s, 2 turns, 1 interrupt",
        "tokens 50 in, 20 out, 75% cached; look_up 1 ok",
    ):
        assert sentence in written
    assert "Yes" not in written and "open" not in written
