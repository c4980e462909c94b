"""The observers of a connection: all see the same, and an error in one stays there."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from time import time

import pytest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from structlog.testing import capture_logs

from agent.call.actions import Speak, StartReply
from agent.call.events import CallerSpoke, EndReason, ReplyDelta, TokensCounted
from agent.call.messages import StopReason, Usage
from agent.observability import CallFacts, CallObserver, Telemetry
from agent.observability.tracing import Tracing
from agent.ports import ObservedStep
from agent.session.call_manager import CallManager
from agent.session.observers import CallObservers, SessionObserver
from agent.store.call_state.journal import CallJournal, Journals
from agent.store.sqlite import SqliteStore
from agent.store.write_behind import WriteBehindQueue
from tests.fakes import Clock, moment
from tests.scripted import ScriptedLine, ScriptedModel
from tests.servers import settings_for, staged

OPEN_METRICS = "application/openmetrics-text; version=1.0.0"
_LATENCY = re.compile(
    r'^agent_turn_time_to_first_speech_seconds_bucket{.*use_case="(\w+)"} .*trace_id="(\w+)"', re.M
)


def test_latency_leads_to_the_trace_of_its_own_call() -> None:
    """With two calls at a time, whose events interleave."""
    clock, exporter = Clock(), InMemorySpanExporter()
    tracing = Tracing(
        SimpleSpanProcessor(exporter), with_content=False, now=clock, epoch=lambda: 0.0
    )
    telemetry = Telemetry(clock, tracing.trace_id)
    pizza, tours = (
        CallObservers(
            telemetry,
            partial(telemetry.call, name, lambda: "offline:", CallFacts()),
            lambda: None,
            partial(tracing.call, f"CA-{name}", name, 0, lambda: "offline:"),
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


Opens = Callable[[], SessionObserver | None]


class _Recorder:
    """`SessionObserver` that keeps what it sees; or raises."""

    def __init__(self, fault: Exception | None = None) -> None:
        self._fault = fault
        self.seen: list[object] = []

    def observe(self, moment: ObservedStep) -> None:
        self.ended(moment)

    def ended(self, reason: object) -> None:
        if self._fault is not None:
            raise self._fault
        self.seen.append(reason)


def _watch(telemetry: Telemetry, record: Opens, trace: Opens) -> CallObservers:
    metrics = partial(telemetry.call, "pizza", lambda: "offline:", CallFacts())
    return CallObservers(telemetry, metrics, record, trace)


def test_observer_that_fails_is_counted_and_logged_once_and_the_others_see_all() -> None:
    telemetry, recorder = Telemetry(Clock()), _Recorder()
    watch = _watch(telemetry, lambda: recorder, lambda: _Recorder(RuntimeError("broken")))
    impossible = moment(TokensCounted(1, Usage(-3, 5)), [], 0.0)

    with capture_logs() as logs:
        for _ in range(2):
            watch.observe(impossible)
        watch.ended(EndReason.CALLER_HANGUP)

    assert recorder.seen == [impossible, impossible, EndReason.CALLER_HANGUP]
    assert telemetry.value("agent_observer_errors_total", observer="metrics") == 2
    assert telemetry.value("agent_observer_errors_total", observer="trace") == 3
    failed = [one["observer"] for one in logs if one["event"] == "observer.failed"]
    assert failed == ["trace", "metrics"]
    assert telemetry.value("agent_active_calls") == 0


def test_observer_that_cannot_be_opened_is_done_without() -> None:
    def broken() -> CallObserver:
        raise ValueError("no")

    telemetry = Telemetry(Clock())
    watch, without_metrics = (
        _watch(telemetry, broken, broken),
        CallObservers(telemetry, broken, lambda: None, lambda: None),
    )

    for each in (watch, without_metrics):
        each.observe(moment(CallerSpoke("hello"), [], 0.0))
        each.ended(EndReason.CALLER_HANGUP)

    for name in ("record", "trace", "metrics"):
        assert telemetry.value("agent_observer_errors_total", observer=name) == 1
    assert telemetry.value("agent_calls_total", use_case="pizza", end_reason="caller_hangup") == 1
    assert without_metrics.tokens == 0


async def test_call_goes_on_whatever_its_usage_says(table: Path) -> None:
    model = ScriptedModel([[Usage(-7, 2, cache_read=9), "Yes.", Usage(5, -1), StopReason.END]])
    store = await SqliteStore.open(table)
    async with staged(settings_for(table), store, lambda *_: model) as server:
        async with server.twilio.call() as call:
            replies = [(await call.say(words)).text for words in ("are you open", "and now")]
        await server.calls.until_quiet()
        telemetry = server.service.telemetry
    await store.close()

    assert replies == ["Yes.", "Yes."]
    assert telemetry.value("agent_observer_errors_total", observer="metrics") > 0
    assert telemetry.value("agent_active_calls") == 0


class _BrokenJournals(Journals):
    """Cannot open the journal of a call."""

    def open(
        self,
        call_sid: str,
        started_ms: int,
        first_sequence: int = 0,
        tools: set[str] | None = None,
    ) -> CallJournal:
        raise RuntimeError(f"no journal for {call_sid} of {started_ms}, from {first_sequence}")


async def test_call_that_cannot_begin_is_counted_as_ended(table: Path) -> None:
    """The service scales on this gauge: each call that raises it lowers it."""
    store = await SqliteStore.open(table)
    async with staged(settings_for(table), store, lambda *_: ScriptedModel([["Yes."]])) as server:
        telemetry = server.service.telemetry
        journals = _BrokenJournals(
            store, time, WriteBehindQueue("journal", 1, lambda _: None, lambda *_: None)
        )
        calls = CallManager(
            settings_for(table), replace(server.calls.resources, journals=journals), time
        )
        await calls.prepare({"CallSid": "CA1", "From": "+15550100001", "To": "+15550100000"})
        with pytest.raises(RuntimeError, match="no journal for CA1"):
            await calls.run("CA1", ScriptedLine([]))
        await calls.until_written()
    await store.close()

    assert telemetry.value("agent_active_calls") == 0
