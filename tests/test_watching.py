"""Who watches a line: all see the same, and nobody takes it for another call's."""

from __future__ import annotations

import re

from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from agent.conversation.actions import Speak, StartReply
from agent.conversation.events import CallerSpoke, EndReason, ReplyDelta
from agent.telemetry import CallFacts, Telemetry
from agent.tracing import Tracing
from agent.watching import Watch
from tests.fakes import Clock, moment

OPEN_METRICS = "application/openmetrics-text; version=1.0.0"
_LATENCY = re.compile(
    r'^agent_turn_time_to_first_speech_seconds_bucket{.*use_case="(\w+)"} .*trace_id="(\w+)"', re.M
)


def test_latency_leads_to_the_trace_of_its_own_call() -> None:
    """Two calls at a time, and what one does comes between what the other does."""
    clock, exporter = Clock(), InMemorySpanExporter()
    tracing = Tracing(
        SimpleSpanProcessor(exporter), with_content=False, now=clock, epoch=lambda: 0.0
    )
    telemetry = Telemetry(clock, tracing.trace_id)
    pizza, tours = (
        Watch(
            telemetry.call(name, lambda: "offline:", CallFacts()),
            None,
            tracing.call(f"CA-{name}", name, 0, lambda: "offline:"),
        )
        for name in ("pizza", "tours")
    )

    for watch in (pizza, tours):
        watch.observe(moment(CallerSpoke("Are you open?"), [StartReply(1, ())], clock.seconds))
    clock.seconds += 1.0
    for watch in (tours, pizza):
        watch.observe(moment(ReplyDelta(1, "Yes. "), [Speak(1, "Yes. ")], clock.seconds))
    metrics = telemetry.render(OPEN_METRICS)[0].decode()
    pizza.ended(EndReason.CALLER_HANGUP)
    tours.ended(EndReason.CALLER_HANGUP)

    traces = {
        str((span.attributes or {})["gen_ai.agent.name"]): f"{span.context.trace_id:032x}"
        for span in exporter.get_finished_spans()
        if span.name == "call"
    }
    assert dict(_LATENCY.findall(metrics)) == traces
    assert len(set(traces.values())) == 2
