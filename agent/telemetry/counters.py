"""Figures that belong together and are counted by others than the observer of a call."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.metrics_core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from agent.conversation.events import ReplyFault
from agent.telemetry.logs import lost_lines


class ModelCounters:
    """What went wrong with models and was made good, so that no call tells of it."""

    def __init__(
        self, registry: CollectorRegistry, errors: Counter, first_event: Histogram
    ) -> None:
        self._errors = errors
        self._first_event = first_event
        self._retries = Counter(
            "agent_llm_retries", "Models asked again.", ("model",), registry=registry
        )
        self._fallbacks = Counter(
            "agent_llm_fallbacks", "Models asked for another one.", ("model",), registry=registry
        )
        self._hedges = Counter(
            "agent_llm_hedges", "Second requests.", ("outcome",), registry=registry
        )
        self._breaker = Gauge(
            "agent_llm_breaker_open", "1 while passed over.", ("model",), registry=registry
        )
        self._options = Counter(
            "agent_llm_options_refused",
            "Options of requests that a model is not sent any more.",
            ("model", "option"),
            registry=registry,
        )
        self._streams = Gauge(
            "agent_llm_streams_open", "Streams of replies.", ("model",), registry=registry
        )

    def asked(self, model: str) -> None:
        """A reply has one more stream of this model."""
        self._streams.labels(model).inc()

    def left(self, model: str) -> None:
        """One of these is open no more."""
        self._streams.labels(model).dec()

    def began(self, model: str, seconds: float) -> None:
        """The first event of a stream, of any kind, came so long after the request."""
        self._first_event.labels(model).observe(seconds)

    def failed(self, model: str, fault: ReplyFault) -> None:
        """A request failed, and another one will be made for it."""
        self._errors.labels(model, fault).inc()

    def retried(self, model: str) -> None:
        """The same model is asked again."""
        self._retries.labels(model).inc()

    def fell_back(self, model: str) -> None:
        """This model is asked in the place of one before it."""
        self._fallbacks.labels(model).inc()

    def hedged(self, outcome: Literal["started", "won"]) -> None:
        """A second request was started, or it was the one that answered."""
        self._hedges.labels(outcome).inc()

    def breaker(self, model: str, *, is_open: bool) -> None:
        """A model is passed over from now on, or asked again."""
        self._breaker.labels(model).set(int(is_open))

    def option_refused(self, model: str, option: str) -> None:
        """From now on this model is not sent this option."""
        self._options.labels(model, option).inc()


class JournalCounters:
    """Facts that are not in the table, so that calls go on from memory."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._waiting = Gauge(
            "agent_journal_facts_waiting", "Facts of calls not yet written.", registry=registry
        )
        self._delayed = Gauge(
            "agent_journal_calls_delayed",
            "Calls, also ended ones, whose facts wait for a table that has failed.",
            registry=registry,
        )
        self._lost = Counter(
            "agent_journal_facts_lost", "Facts given up.", ("reason",), registry=registry
        )

    def waiting(self, facts: int) -> None:
        """So many facts are recorded and not written."""
        self._waiting.set(facts)

    def delayed(self, calls: int) -> None:
        """So many calls have facts that the table could not take yet."""
        self._delayed.set(calls)

    def lost(self, facts: int, reason: str) -> None:
        """So many more facts will not be written; the reasons are a closed list."""
        self._lost.labels(reason).inc(facts)


class RecordCounters:
    """Records of calls on their way to the table; without `RECORD_CALLS` there are none."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._waiting = Gauge(
            "agent_record_characters_waiting",
            "Characters of records not yet written.",
            registry=registry,
        )
        self._lost = Counter(
            "agent_record_lines_lost", "Lines of records given up.", ("reason",), registry=registry
        )

    def waiting(self, characters: int) -> None:
        """So much is recorded and not written."""
        self._waiting.set(characters)

    def lost(self, lines: int, reason: str) -> None:
        """So many more lines will not be written; the reasons are a closed list."""
        self._lost.labels(reason).inc(lines)


class SourceGauge:
    """Which of those who offer tools can be reached."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._up = Gauge(
            "agent_tool_source_up", "1 while its tools are there.", ("source",), registry=registry
        )

    def changed(self, source: str, *, is_up: bool) -> None:
        """A source offers its tools from now on, or does not."""
        self._up.labels(source).set(int(is_up))


class LogCounter(Collector):
    """Log lines that could not be written; counted where they are written."""

    def collect(self) -> Iterator[Metric]:
        """See `prometheus_client.registry.Collector`."""
        yield CounterMetricFamily(
            "agent_log_lines_lost", "Log lines that could not be written.", value=lost_lines()
        )


class LoadGauges:
    """How late the event loop is, and what is left out for it."""

    def __init__(self, lag: Histogram, registry: CollectorRegistry) -> None:
        self._lag = lag
        self._shedding = Gauge(
            "agent_load_shedding",
            "0 nothing is left out, 1 hedges, 2 new calls.",
            registry=registry,
        )
        self._tasks = Gauge("agent_tasks", "Tasks of the event loop.", registry=registry)

    def lagged(self, seconds: float) -> None:
        """A callback ran so late."""
        self._lag.observe(seconds)
        self._tasks.set(len(asyncio.all_tasks()))

    def shedding(self, level: int) -> None:
        """This much is left out from now on."""
        self._shedding.set(level)
