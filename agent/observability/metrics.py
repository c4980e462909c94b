"""Figures that belong together and are counted by others than the observer of a call.

All metrics of a process: names, labels and buckets (contract section 6).

Labels are bounded sets, never a call id or a number.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from functools import cache
from time import monotonic
from typing import Literal, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from agent.call.events import ReplyFault
from agent.observability.logging.log_setup import lost_lines


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


Clock = Callable[[], float]
M = TypeVar("M", Counter, Histogram)

_VOICE = (0.1, 0.2, 0.3, 0.4, 0.5, 0.65, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 20.0)
_FINE = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
_PATIENT = (*_FINE, 10.0, 15.0, 30.0)
"""Of what may be waited for: Twilio gives a webhook 15 s, a tool may take 30."""
_STAGE = (0.001, 0.005, 0.02, 0.05, 0.1, 0.2, 0.4, 0.65, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 20.0)
_SPEED = (5.0, 10.0, 20.0, 30.0, 45.0, 60.0, 80.0, 100.0, 150.0, 200.0, 300.0, 500.0)
"""Tokens a second; a voice needs about five."""


class Metrics:
    """All metrics of one process.

    Histograms have classic buckets: the client library (0.26) can write native histograms that it
    is given and does not keep any itself.

    Args:
        clock: Seconds, of all durations.
        trace_id: Tells the trace of what is being measured, 32 hexadecimal digits; empty = none.
            It becomes the exemplar of latencies, which only the OpenMetrics form can show.
    """

    def __init__(self, clock: Clock = monotonic, trace_id: Callable[[], str] = lambda: "") -> None:
        self._clock = clock
        self._trace_id = trace_id
        self._registry = CollectorRegistry()

        def histogram(
            name: str, text: str, labels: tuple[str, ...] = (), buckets: tuple[float, ...] = _FINE
        ) -> Histogram:
            return _remembering(
                Histogram(name, text, labels, registry=self._registry, buckets=buckets)
            )

        def counter(name: str, text: str, *labels: str) -> Counter:
            return _remembering(Counter(name, text, labels, registry=self._registry))

        self.first_token = histogram(
            "agent_llm_time_to_first_token_seconds",
            "Request sent to the model until the first text or tool call.",
            ("model", "use_case"),
            _VOICE,
        )
        self.first_speech = histogram(
            "agent_turn_time_to_first_speech_seconds",
            "Caller's final words received until the first text is written.",
            ("use_case",),
            _VOICE,
        )
        self.overhead = histogram(
            "agent_turn_overhead_seconds",
            "Part of the time to first speech that is not a model's, a tool's or a hold's.",
        )
        self.first_clause = histogram(
            "agent_llm_time_to_first_clause_seconds",
            "Request sent to the model until the first of its text is written.",
            ("model", "use_case"),
            _VOICE,
        )
        self.llm_duration = histogram(
            "agent_llm_duration_seconds",
            "Request sent to the model until the reply is no more.",
            ("model", "outcome"),
            _VOICE,
        )
        self.llm_speed = histogram(
            "agent_llm_tokens_per_second",
            "Tokens of a reply by the time from its first one to its end.",
            ("model",),
            _SPEED,
        )
        self.turns = counter("agent_turns", "Turns of callers.", "use_case", "outcome")
        self.turn_stage = histogram(
            "agent_turn_stage_seconds",
            "Part of a turn; the parts are disjoint and add up to it.",
            ("use_case", "stage"),
            _STAGE,
        )
        self.audio_latency = histogram(
            "agent_turn_audio_latency_seconds",
            "Caller's voice ends until the agent's begins, as the relay reports it.",
            ("use_case",),
            _VOICE,
        )
        self.interrupt_stop = histogram(
            "agent_interrupt_stop_seconds",
            "Caller breaks in until the last text is out and the model's stream let go.",
            ("kind",),
        )
        self.reprompts = counter("agent_reprompts", "Silences that were broken.", "use_case")
        self.active_calls = Gauge(
            "agent_active_calls", "Calls in progress.", registry=self._registry
        )
        self.calls = counter("agent_calls", "Calls ended.", "use_case", "end_reason")
        self.call_resumes = counter(
            "agent_call_resumes", "Calls that were given a new line.", "cause", "outcome"
        )
        self.calls_refused = counter("agent_calls_refused", "Calls not taken.", "reason")
        self.access_tokens = counter(
            "agent_access_tokens", "Access tokens that were asked for.", "outcome"
        )
        self.outbound_calls = counter(
            "agent_outbound_calls", "Calls that we make: asked for, answered, ended.", "outcome"
        )
        self.interrupts = counter("agent_interrupts", "Times a caller broke in.", "kind")
        self.keypad_entries = counter(
            "agent_keypad_entries", "Entries of the keypad, by what completed them.", "reason"
        )
        self.history_repairs = counter(
            "agent_history_repairs", "Facts of calls that were made good on reading.", "kind"
        )
        self.tool_duration = histogram(
            "agent_tool_duration_seconds",
            "Tool started until it ended.",
            ("tool", "outcome"),
            _PATIENT,
        )
        self.llm_requests = counter("agent_llm_requests", "Replies asked for.", "model", "outcome")
        self.llm_errors = counter(
            "agent_llm_errors", "Requests that failed, made good or not.", "model", "kind"
        )
        self.llm_tokens = counter("agent_llm_tokens", "Tokens used.", "model", "kind")
        self.stale_pieces = counter(
            "agent_llm_stale_pieces", "Pieces of text of replies that had been left."
        )
        self.llm_cost = counter(
            "agent_llm_cost", "Estimated price of ended calls, where known.", "model", "currency"
        )
        self.summaries = counter(
            "agent_summaries", "Summaries of long calls that were asked for.", "outcome"
        )
        self.models = ModelCounters(
            self._registry,
            self.llm_errors,
            histogram(
                "agent_llm_time_to_first_event_seconds",
                "Request sent to a model until the first event of any kind.",
                ("model",),
                _VOICE,
            ),
        )
        self.webhook_duration = histogram(
            "agent_webhook_duration_seconds",
            "Webhook until its answer.",
            ("route", "status"),
            _PATIENT,
        )
        self.store_duration = histogram(
            "agent_store_duration_seconds", "One table operation.", ("operation", "outcome")
        )
        self.messages = counter(
            "agent_messages",
            "Messages by what has become of them; one message may be counted in several states.",
            *("channel", "status"),
        )
        self.journals = JournalCounters(self._registry)
        self.records = RecordCounters(self._registry)
        self.tool_sources = SourceGauge(self._registry)
        self.observer_errors = counter(
            "agent_observer_errors", "Faults of what only watches calls.", "observer"
        )
        self._registry.register(LogCounter())
        self.frames_ignored = counter(
            "agent_relay_frames_ignored", "Relay frames that could not be used.", "kind"
        )
        self.relay_errors = counter(
            "agent_relay_errors", "Errors the relay has reported on the socket."
        )
        self.draining = Gauge(
            "agent_draining", "1 while the process lets its calls end.", registry=self._registry
        )
        self.load = LoadGauges(
            histogram("agent_event_loop_lag_seconds", "How late a scheduled callback ran."),
            self._registry,
        )
        self.reserved_calls = Gauge(
            "agent_reserved_calls",
            "Calls set up here that wait for their socket.",
            registry=self._registry,
        )
        self.connections = Gauge(
            "agent_connections", "Connections that are open.", ("port",), registry=self._registry
        )
        self.connections_cut = counter(
            "agent_connections_cut", "Connections this process has closed.", "port", "reason"
        )
        self.bad_requests = counter(
            "agent_bad_requests", "Requests that could not be read, or were not.", "reason"
        )

    def now(self) -> float:
        """Seconds on the clock of all durations."""
        return self._clock()

    def exemplar(self) -> dict[str, str] | None:
        """Which trace the next measurement is of, in the library's form; None = of none."""
        trace_id = self._trace_id()
        return {"trace_id": trace_id} if trace_id else None

    def value(self, name: str, **labels: str) -> float:
        """The present value of one sample; 0 if there is none yet."""
        return self._registry.get_sample_value(name, labels) or 0.0

    def render(self, accept: str) -> tuple[bytes, str]:
        """All metrics in the form a scraper accepts, and its content type."""
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type


def _remembering(metric: M) -> M:
    """The metric, which finds a series it was asked for before without a lock."""
    metric.labels = cache(metric.labels)  # type: ignore[method-assign] # the library has no other way
    return metric
