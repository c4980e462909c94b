"""All metrics of a process: names, labels, buckets, and the one way to count.

- Everything that counts is given `Metrics.count` as a `ports.Count`, so that only this package
  knows Prometheus.
- `agent.observability.embedded_metrics` writes some of them into the log for CloudWatch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from time import monotonic

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from agent.observability.logging import lost_lines
from agent.observability.series import (
    Exported,
    MetricSpec,
    Series,
    SeriesCopy,
    Together,
    added_up,
)

_VOICE = (0.1, 0.2, 0.3, 0.4, 0.5, 0.65, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 20.0)
_FINE = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
_LONG = (*_FINE, 10.0, 15.0, 30.0)
"""Twilio waits 15 s for a webhook; a tool may take 30 s."""
_STAGE = (0.001, 0.005, 0.02, 0.05, 0.1, 0.2, 0.4, 0.65, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 20.0)
_SPEED = (5.0, 10.0, 20.0, 30.0, 45.0, 60.0, 80.0, 100.0, 150.0, 200.0, 300.0, 500.0)
"""Tokens per second; speech needs about five."""
_COUNTERS_AND_GAUGES = {
    "agent_llm_requests_total{model,outcome}": "Replies requested.",
    "agent_llm_errors_total{model,kind}": "Failed model requests, retried or not.",
    "agent_llm_tokens_total{model,kind}": "Tokens used.",
    "agent_llm_stale_pieces_total": "Text pieces received of abandoned replies.",
    "agent_llm_cost_total{model,currency}": "Estimated cost of ended calls, if known.",
    "agent_llm_retries_total{model}": "Requests repeated to the same model.",
    "agent_llm_fallbacks_total{model}": "Requests to a fallback model.",
    "agent_llm_hedges_total{outcome}": "Hedged requests started and won.",
    "agent_llm_speculations_total{outcome}": (
        "Replies asked for before the caller's final words: adopted, discarded, failed; refused ="
        " not asked for lack of budget or under load."
    ),
    "agent_llm_breaker_open{model}": "1 while the model's circuit breaker is open.",
    "agent_llm_options_refused_total{model,option}": (
        "Request options that a model refused or ignored and is not sent any more."
    ),
    "agent_llm_streams_open{model}": "Open reply streams.",
    "agent_summaries_total{outcome}": "Summaries of long calls requested.",
    "agent_turns_total{use_case,outcome}": "Caller turns.",
    "agent_interrupts_total{kind}": "Interrupts by the caller.",
    "agent_reprompts_total{use_case}": "Idle re-prompts played.",
    "agent_keypad_entries_total{reason}": "Keypad entries, by what completed them.",
    "agent_build_info{version,python}": "1; the version of the service and of Python.",
    "agent_active_calls": "Calls in progress.",
    "agent_reserved_calls": "Calls set up that wait for their socket.",
    "agent_calls_rung_total": "Calls whose voice webhook was requested, each counted once.",
    "agent_calls_connected_total": "Calls whose first socket was set up, each counted once.",
    "agent_calls_failed_total{reason}": (
        "Calls not set up, or ended by a fault of the service, each counted once."
    ),
    "agent_calls_total{use_case,end_reason}": "Calls ended.",
    "agent_call_outcomes_total{use_case,success,contained,transfer}": (
        "Calls by what they have yielded, each counted once, after its end."
    ),
    "agent_before_call_total{use_case,outcome}": (
        "Requests to the customer's system before a call was answered."
    ),
    "agent_outcome_requests_total{outcome}": "Calls about whose outcome a model was asked.",
    "agent_consents_total{use_case,outcome}": (
        "Calls whose caller is asked for consent, and those in which it was given or refused."
    ),
    "agent_due_work_total{work,outcome}": (
        "Looks at calls that are to be redacted, or whose recording is to be deleted."
    ),
    "agent_guard_total{use_case,guard}": "Replies stopped by a guard, by its reason.",
    "agent_calls_refused_total{reason}": "Calls refused.",
    "agent_call_resumes_total{cause,outcome}": "Calls resumed on a new socket.",
    "agent_outbound_calls_total{outcome}": "Outbound calls: requested, answered, ended.",
    "agent_access_tokens_total{outcome}": "Access tokens requested.",
    "agent_auth_token_reads_total{outcome}": "Reads of the auth token's secret after the start.",
    "agent_messages_total{channel,status}": (
        "Messages by status; one message may be counted in several."
    ),
    "agent_events_total{receiver,outcome}": (
        "Attempts to deliver events: delivered, failed; dead = given up."
    ),
    "agent_event_age_seconds": (
        "Age of the oldest event not delivered or given up, as the latest sweep of the outbox saw."
    ),
    "agent_tool_source_up{source}": "1 while the MCP server offers its tools.",
    "agent_journal_facts_waiting": "Facts of calls not yet written.",
    "agent_journal_calls_delayed": (
        "Calls, also ended ones, whose facts wait because the table failed."
    ),
    "agent_journal_facts_lost_total{reason}": "Facts dropped without being written.",
    "agent_history_repairs_total{kind}": "Corrupt history entries repaired on load.",
    "agent_record_characters_waiting": "Characters of call records not yet written.",
    "agent_record_lines_lost_total{reason}": "Lines of call records dropped.",
    "agent_observer_errors_total{observer}": "Exceptions raised by observers.",
    "agent_relay_frames_ignored_total{kind}": "Relay frames ignored.",
    "agent_relay_errors_total": "Errors reported by the relay on the socket.",
    "agent_connections{port}": "Open connections.",
    "agent_connections_cut_total{port,reason}": "Connections closed by this process.",
    "agent_bad_requests_total{reason}": "Requests refused as malformed or too large.",
    "agent_draining": "1 while the process drains.",
    "agent_load_shedding": "Level of load shedding: 0 none, 1 hedges and speculation, 2 new calls.",
    "agent_tasks": "Tasks of the event loop.",
    "agent_log_lines_lost_total": "Log lines that could not be written.",
}
_HISTOGRAMS = {
    _VOICE: {
        "agent_llm_time_to_first_token_seconds{model,use_case}": (
            "Request sent to the model until the first text or tool call."
        ),
        "agent_llm_time_to_first_clause_seconds{model,use_case}": (
            "Request sent to the model until the first of its text is written."
        ),
        "agent_llm_time_to_first_event_seconds{model}": (
            "Request sent to the model until the first event of any kind."
        ),
        "agent_llm_duration_seconds{model,outcome}": (
            "Request sent to the model until the reply ended."
        ),
        "agent_call_time_to_first_speech_seconds{use_case}": (
            "Voice webhook received until the agent's first speech of the call."
        ),
        "agent_turn_time_to_first_speech_seconds{use_case}": (
            "Caller's final words received until the first text is written."
        ),
        "agent_turn_audio_latency_seconds{use_case}": (
            "End of the caller's speech until the agent's speech begins, as the relay reports it."
        ),
    },
    _STAGE: {
        "agent_turn_stage_seconds{use_case,stage}": (
            "Time of a turn in each stage; stages are disjoint and add up to the turn."
        ),
    },
    _FINE: {
        "agent_turn_overhead_seconds": (
            "Time to first speech without model, tool and end-of-turn delay."
        ),
        "agent_interrupt_stop_seconds{kind}": (
            "Interrupt received until the last text is sent and the model stream closed."
        ),
        "agent_store_duration_seconds{operation,outcome}": "Duration of a table operation.",
        "agent_event_loop_lag_seconds": "Delay of a scheduled callback.",
    },
    _LONG: {
        "agent_tool_duration_seconds{tool,outcome}": "Duration of a tool call.",
        "agent_webhook_duration_seconds{route,status}": "Webhook received until it is answered.",
    },
    _SPEED: {
        "agent_llm_tokens_per_second{model}": (
            "Tokens of a reply divided by the time from its first token to its end."
        ),
    },
}
_WITH_EXEMPLAR = {
    "agent_llm_time_to_first_token_seconds",
    "agent_llm_time_to_first_clause_seconds",
    "agent_turn_time_to_first_speech_seconds",
    "agent_turn_overhead_seconds",
}
"""Observations of these name the trace they belong to."""
_TOGETHER: dict[str, Together] = {
    "agent_event_age_seconds": "highest",
    "agent_llm_breaker_open": "highest",
    "agent_build_info": "highest",
    "agent_draining": "highest",
    "agent_load_shedding": "highest",
    "agent_tool_source_up": "lowest",
}
"""Of several processes; the values of all others are added up."""


def _spec(declared: str, text: str, buckets: tuple[float, ...] = ()) -> MetricSpec:
    name, _, labels = declared.rstrip("}").partition("{")
    names = tuple(labels.split(",")) if labels else ()
    return MetricSpec(name, text, names, buckets, _TOGETHER.get(name, "sum"))


METRICS = (
    *(_spec(declared, text) for declared, text in _COUNTERS_AND_GAUGES.items()),
    *(
        _spec(declared, text, buckets)
        for buckets, histograms in _HISTOGRAMS.items()
        for declared, text in histograms.items()
    ),
)


class Metrics:
    """All metrics of one process; `trace_id` gives the exemplar of latencies, empty = none.

    Only the thread of the event loop may count. Histograms have classic buckets: the client library
    (0.26) does not keep native ones itself.
    """

    def __init__(
        self, clock: Callable[[], float] = monotonic, trace_id: Callable[[], str] = lambda: ""
    ) -> None:
        self.now = clock
        self._trace_id = trace_id
        self._specs = {spec.name: spec for spec in METRICS}
        self._series: dict[tuple[object, ...], Series] = {}
        self._gauges: dict[Series, Callable[[], float]] = {}
        self._active_calls = 0
        for spec in METRICS:
            if not spec.labels:
                self._find((spec.name,), {})
        self.read_gauge("agent_log_lines_lost_total", lost_lines)

    def count(self, metric: str, amount: float = 1, /, **labels: str) -> None:  # ports.Count
        key = (metric, *labels.items())
        (self._series.get(key) or self._find(key, labels)).count(amount)

    def add_active_calls(self, calls: int) -> None:
        """Add to the number of calls in progress; negative when calls end."""
        self._active_calls += calls
        self.count("agent_active_calls", self._active_calls)

    def read_gauge(self, metric: str, read: Callable[[], float]) -> None:
        """Take the value of a metric without labels from a function whenever it is exported."""
        self._gauges[self._series[(metric,)]] = read

    def value(self, name: str, **labels: str) -> float:
        return _registry(self.copies()).get_sample_value(name, labels) or 0.0

    def copies(self) -> list[SeriesCopy]:
        """All series as they are now, for another process."""
        for series, read in self._gauges.items():
            series.numbers[0] = float(read())
        return [one.copy() for one in dict.fromkeys(self._series.values())]

    def render(self, accept: str) -> tuple[bytes, str]:
        return rendered(self.copies(), accept)

    def _find(self, key: tuple[object, ...], labels: dict[str, str]) -> Series:
        """The series of a key, found once: labels may be given in any order."""
        spec = self._specs[str(key[0])]
        own = (spec.name, *((name, labels.get(name)) for name in spec.labels))
        if (series := self._series.get(own)) is None:
            trace_id = self._trace_id if spec.name in _WITH_EXEMPLAR else None
            series = self._series[own] = Series(spec, labels, trace_id)
        self._series[key] = series
        return series


def rendered(copies: Iterable[SeriesCopy], accept: str) -> tuple[bytes, str]:
    """Series, perhaps of several processes, in the form that is accepted, and its content type."""
    encode, content_type = choose_encoder(accept)
    return encode(_registry(added_up(METRICS, copies))), content_type


def _registry(copies: Iterable[SeriesCopy]) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(Exported(METRICS, copies))
    return registry
