"""The spans of a call from literal events, and what a collector receives."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode
from structlog.testing import capture_logs

from agent.call import actions as act
from agent.call import events as ev
from agent.call.messages import StopReason, ToolCall, Usage
from agent.call.timers import Timer
from agent.observability.tracing import Tracing, is_asked, open_tracing
from benchmarks.planted import found, plant
from tests.emulators.collector import ENDPOINT, collecting
from tests.fakes import Clock, moment
from tests.servers import serving, settings_for
from tests.waiting import no_longer

SPOKE = ev.CallerSpoke("I am Ada Example")
LOOK = ToolCall("tool00001", "look_up", '{"name": "Ada Example"}')
SENT = act.ToolOutcome('{"address": "1 Example Lane"}')
BUSY = ev.ReplyFailed(3, ev.ReplyFault.THROTTLED, "bedrock: HTTP 429, ThrottlingException. Wait.")
EPOCH = 1_700_000_000.0
_EXEMPLAR = re.compile(r'^(\w+)_bucket\{.*# \{trace_id="(\w+)"\}', re.MULTILINE)
Step = tuple[float, ev.Event, Sequence[act.Action]]
Row = tuple[str, str, float, float]
CALL: tuple[Step, ...] = (
    (1.0, ev.CallStarted(), []),
    (10.0, SPOKE, [act.StartReply(1, ())]),
    (10.5, ev.ReplyDelta(1, "I look, Ada. "), [act.Speak(1, "I look, Ada. ")]),
    (11.0, ev.ReplyFinished(1, (LOOK,), StopReason.TOOLS, "Wait. "), [act.RunTool(LOOK)]),
    (11.1, ev.TokensCounted(1, Usage(100, 20, 300, 5)), []),
    (13.0, ev.ToolFinished(LOOK.id, SENT), [act.StartReply(2, ())]),
    (14.0, ev.ReplyDelta(2, "Yes, Ada"), [act.Speak(2, "Yes, Ada")]),
    (14.5, ev.CallerInterrupted("Yes"), [act.CancelReply(2)]),
    (16.0, ev.CallerSpoke("No"), [act.StartReply(3, ())]),
    (17.0, BUSY, [act.Speak(3, "Sorry. ", is_last=True)]),
)
"""A turn with a tool that the caller breaks into, and one whose reply fails."""


def spans_of(
    *steps: Step, model: str = "openai:gpt-x", with_content: bool = False, lag: float = 0.0
) -> list[ReadableSpan]:
    """The spans, by begin, of a call that ends two seconds after what is done about the last event.

    What is done about an event is done `lag` seconds after it came.
    """
    clock, exporter = Clock(), InMemorySpanExporter()
    tracing = Tracing(
        SimpleSpanProcessor(exporter), with_content=with_content, now=clock, epoch=lambda: EPOCH
    )
    trace = tracing.call("CA1", "pizza", 0, lambda: model)
    for at, event, actions in steps:
        clock.seconds = at + lag
        trace.observe(moment(event, actions, at, clock.seconds))
    clock.seconds += 2.0
    trace.ended(ev.EndReason.CALLER_HANGUP)
    depths = {"call": 0, "turn": 1}  # of spans that begin together
    return sorted(
        exporter.get_finished_spans(),
        key=lambda span: (_seconds(span.start_time), depths.get(span.name, 2)),
    )


def _seconds(nanoseconds: int | None) -> float:
    return round((nanoseconds or 0) / 1e9 - EPOCH, 3)


def tree(spans: Sequence[ReadableSpan]) -> list[Row]:
    """Name, name of the parent, begin and end of each."""
    names = {span.context.span_id: span.name for span in spans}
    parents = [names[span.parent.span_id] if span.parent else "" for span in spans]
    return [
        (span.name, parent, _seconds(span.start_time), _seconds(span.end_time))
        for span, parent in zip(spans, parents, strict=True)
    ]


def attributes(span: ReadableSpan) -> dict[str, object]:
    return dict(span.attributes or {})


def test_call_is_a_tree_with_the_attributes_of_the_conventions() -> None:
    """Tokens of the prompt cache are input."""
    spans = spans_of(*CALL)

    call, turn, asked, tool, cut, failed_turn, failed = spans
    assert tree(spans) == [
        ("call", "", 0.0, 19.0),
        ("turn", "call", 10.0, 14.5),
        ("chat gpt-x", "turn", 10.0, 11.0),
        ("execute_tool look_up", "turn", 11.0, 13.0),
        ("chat gpt-x", "turn", 13.0, 14.5),
        ("turn", "call", 16.0, 17.0),
        ("chat gpt-x", "turn", 16.0, 17.0),
    ]
    assert len({span.context.trace_id for span in spans}) == 1
    chat = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-x",
    }
    assert attributes(call) == {
        "gen_ai.conversation.id": "CA1",
        "gen_ai.agent.name": "pizza",
        "voice.resume": 0,
        "voice.end_reason": "caller_hangup",
    }
    assert attributes(turn) == {
        "voice.turn.response_seconds": 0.5,
        "voice.turn.filler": False,
        "voice.turn.outcome": "interrupted",
        "voice.turn.interrupted": "speech",
    }
    assert attributes(asked) == {
        **chat,
        "gen_ai.response.time_to_first_chunk": 0.5,
        "gen_ai.response.finish_reasons": ("tool_call",),
        "gen_ai.usage.input_tokens": 405,
        "gen_ai.usage.output_tokens": 20,
        "gen_ai.usage.cache_read.input_tokens": 300,
        "gen_ai.usage.cache_creation.input_tokens": 5,
    }
    run = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "look_up"}
    first_chunk = {"gen_ai.response.time_to_first_chunk": 1.0}
    assert attributes(tool) == run
    assert attributes(cut) == {**chat, **first_chunk, "voice.cancelled": True}
    assert attributes(failed_turn)["voice.turn.outcome"] == "failed"
    assert attributes(failed) == {**chat, "error.type": "throttled", "error.message": BUSY.reason}
    faulty = [span.status.status_code is StatusCode.ERROR for span in (turn, failed_turn, failed)]
    assert faulty == [False, True, True]


def test_content_is_told_only_when_it_is_asked_for() -> None:
    plain = "".join(span.to_json() for span in spans_of(*CALL))
    _, turn, asked, tool, *_ = spans_of(*CALL, with_content=True)

    assert not any(personal in plain for personal in ("Ada", "Lane", "pii_"))
    assert attributes(turn)["pii_caller"] == "I am Ada Example"
    assert attributes(asked)["pii_reply"] == "I look, Ada. Wait. "
    assert attributes(tool)["pii_arguments"] == LOOK.arguments
    assert attributes(tool)["pii_result"] == SENT.content


@pytest.mark.parametrize(
    ("identifier", "provider", "name"),
    [
        ("anthropic.claude:0", "aws.bedrock", "anthropic.claude:0"),
        ("openai:gpt-x", "openai", "gpt-x"),
        ("offline:", "offline", "offline:"),
    ],
)
def test_model_is_told_with_its_provider(identifier: str, provider: str, name: str) -> None:
    _, _, asked, *_ = spans_of(*CALL, model=identifier)

    told = attributes(asked)
    assert (told["gen_ai.provider.name"], told["gen_ai.request.model"]) == (provider, name)


def test_words_held_before_an_answer_belong_to_its_turn() -> None:
    spans = spans_of(
        (5.0, ev.CallerSpoke("I want"), []),
        (6.0, ev.CallerSpoke("a pizza"), []),
        (7.0, ev.TimerFired(Timer.END_OF_TURN_DELAY, 1), [act.StartReply(1, ())]),
        (8.0, ev.ReplyFinished(1), []),
        with_content=True,
    )

    assert tree(spans)[1:] == [("turn", "call", 6.0, 8.0), ("chat gpt-x", "turn", 7.0, 8.0)]
    assert attributes(spans[1])["pii_caller"] == "I want a pizza"


def test_span_ends_after_it_began_and_after_all_that_is_in_it() -> None:
    """The caller interrupts before the model was asked."""
    spans = spans_of(
        (5.0, SPOKE, [act.StartReply(1, ())]),
        (5.2, ev.CallerInterrupted(""), [act.CancelReply(1)]),
        lag=0.5,
    )

    assert tree(spans)[1:] == [("turn", "call", 5.0, 5.5), ("chat gpt-x", "turn", 5.5, 5.5)]


def test_model_that_answered_is_told_where_it_is_known() -> None:
    """Without our scheme; the span is named after the model that was asked."""
    *_, first, second = spans_of(
        (5.0, SPOKE, [act.StartReply(1, ())]),
        (6.0, ev.ReplyFinished(1), [act.Speak(1, "Yes. ")]),
        (6.1, ev.TokensCounted(1, Usage(7, 8, model="openai:gpt-y")), [act.StartReply(2, ())]),
        (7.0, ev.ReplyFinished(2), [act.Speak(1, "Yes. ", is_last=True)]),
        (7.1, ev.TokensCounted(2, Usage(7, 8)), []),
    )

    assert attributes(first)["gen_ai.request.model"] == "gpt-x"
    assert attributes(first)["gen_ai.response.model"] == "gpt-y"
    assert "gen_ai.response.model" not in attributes(second)


def test_what_the_agent_does_by_itself_hangs_on_the_call() -> None:
    """A summary; a tool that outlives its turn; keys answered by a phrase."""
    spans = spans_of(
        (5.0, SPOKE, [act.RunTool(LOOK)]),
        (6.0, ev.CallerSpoke("Wait"), [act.CancelTool("other"), act.StartReply(1, ())]),
        (7.0, ev.ReplyFinished(1), [act.Summarize(1, ())]),
        (7.5, ev.TokensCounted(None, Usage(7, 8)), []),
        (8.0, ev.Summarized(1, "Ada called."), []),
        (9.0, ev.ToolFinished(LOOK.id, SENT), [act.Summarize(2, ())]),
        (10.0, ev.CallerPressed("1"), [act.CancelSummary(2), act.Speak(2, "One. ", is_last=True)]),
    )

    assert tree(spans) == [
        ("call", "", 0.0, 12.0),
        ("turn", "call", 5.0, 6.0),
        ("execute_tool look_up", "turn", 5.0, 9.0),
        ("turn", "call", 6.0, 7.0),
        ("chat gpt-x", "turn", 6.0, 7.0),
        ("chat gpt-x", "call", 7.0, 8.0),
        ("chat gpt-x", "call", 9.0, 10.0),
        ("turn", "call", 10.0, 10.0),
    ]
    assert attributes(spans[5])["voice.purpose"] == "summary"
    assert attributes(spans[6])["voice.cancelled"] is True
    assert attributes(spans[5])["gen_ai.usage.output_tokens"] == 8


def test_trace_of_what_is_measured_is_that_of_the_call() -> None:
    exporter = InMemorySpanExporter()
    tracing = Tracing(SimpleSpanProcessor(exporter))
    first = tracing.call("CA1", "pizza", 0, lambda: "offline:")
    second = tracing.call("CA2", "pizza", 0, lambda: "offline:")
    before = tracing.trace_id()

    second.observe(moment(ev.CallStarted(), [], 0.0))
    measured = tracing.trace_id()
    second.ended(ev.EndReason.CALLER_HANGUP)
    first.ended(ev.EndReason.CALLER_HANGUP)

    assert before == ""
    assert measured == f"{exporter.get_finished_spans()[0].context.trace_id:032x}"


@pytest.mark.parametrize(
    ("environment", "asked"),
    [
        ({}, False),
        ({"OTEL_SERVICE_NAME": "voice"}, False),
        ({ENDPOINT: " "}, False),
        ({ENDPOINT: "http://collector:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:4318/v1/traces"}, True),
        ({ENDPOINT: "http://collector:4318", "OTEL_SDK_DISABLED": "True"}, False),
        ({ENDPOINT: "http://collector:4318", "OTEL_TRACES_EXPORTER": "none"}, False),
    ],
)
def test_traces_are_made_when_a_collector_is_named(
    environment: dict[str, str], *, asked: bool
) -> None:
    assert is_asked(environment) is asked


def test_service_without_traces_imports_nothing_of_them() -> None:
    program = "import agent.app, sys; assert 'opentelemetry' not in sys.modules"

    command = [sys.executable, "-c", program]
    subprocess.run(command, cwd=Path(__file__).parents[3], check=True)  # noqa: S603 (ours)


async def test_service_starts_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("opentelemetry.sdk.trace.export", "opentelemetry.exporter"):
        monkeypatch.setitem(sys.modules, name, None)

    with capture_logs() as logs:
        async with open_tracing({ENDPOINT: "http://127.0.0.1:9"}) as tracing:
            pass

    assert tracing is None
    assert logs == [{"event": "traces.not_installed", "extra": "traces", "log_level": "warning"}]


@pytest.mark.needs("time")
async def test_collector_gets_calls_and_nothing_of_callers(
    table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The service as production wires it; callers give personal data."""
    async with collecting() as collector:
        monkeypatch.setenv(ENDPOINT, collector.url)
        async with serving(settings_for(table)) as server:
            people = await plant(server, 6)
            headers = {"Accept": "application/openmetrics-text; version=1.0.0"}
            async with server.twilio.http.get(server.metrics_url, headers=headers) as response:
                metrics = await response.text()

    assert collector.names.count("call") == 6
    assert {"turn", "chat offline:"} <= set(collector.names)
    assert "voice-agent" in collector.text
    assert found(people, collector.text) == []
    assert found(people, metrics) == []
    exemplars = set(_EXEMPLAR.findall(metrics))
    assert {name for name, _ in exemplars} == {
        "agent_llm_time_to_first_clause_seconds",
        "agent_llm_time_to_first_token_seconds",
        "agent_turn_overhead_seconds",
        "agent_turn_time_to_first_speech_seconds",
    }
    assert {trace for _, trace in exemplars} <= {span.trace_id.hex() for span in collector.spans}


async def test_collector_is_told_what_a_call_does_at_the_table(
    table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The service as production wires it: an order, and a call that only rings."""
    async with collecting() as collector:
        monkeypatch.setenv(ENDPOINT, collector.url)
        async with serving(settings_for(table)) as server:
            await server.relay(From="+15550100002")
            async with server.twilio.call(From="+15550100001") as call:
                await call.say("a large pepperoni pizza for pickup")
                await call.say("yes", cycles=2)
            facts = await server.items(call.relay.fields["CallSid"], "chat::")

    spans = {span.span_id: span for span in collector.spans}
    operations = [span for span in spans.values() if span.name.endswith(" items")]
    under = Counter((span.name, spans[span.parent_span_id].name) for span in operations)
    assert {span.trace_id for span in spans.values()} == {operations[0].trace_id}
    assert {span.kind for span in operations} == {Span.SPAN_KIND_CLIENT}
    assert under["get items", "call"] > 0
    assert under["get_many items", "call"] > 0
    assert under["put_newer items", "call"] >= len(facts) > 0
    assert under["put items", "call"] == 1, "the call is listed under its number"
    assert under["put items", "execute_tool PlaceOrderFunction"] == 1
    assert "1555010" not in collector.text


@pytest.mark.needs("time")
async def test_collector_that_is_away_is_no_matter_of_callers(
    table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The call is answered, the service ends, and the log has a line."""
    monkeypatch.setenv(ENDPOINT, "http://127.0.0.1:9")

    with capture_logs() as logs:
        async with (
            no_longer(),
            serving(settings_for(table)) as server,
            server.twilio.call(From="+15550100001") as call,
        ):
            reply = await call.say("the usual")

    assert reply.text != ""
    assert {"traces.export_failed", "traces.not_sent"} & {line["event"] for line in logs}
