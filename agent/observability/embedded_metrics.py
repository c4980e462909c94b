"""Metrics for CloudWatch: a line in the log every 30 seconds, in the embedded metric format.

CloudWatch Logs extracts them: nothing has to be installed and no permission given. Scaling, alarms
and dashboard of the cloud templates use them. The format:
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html

- `ActiveCalls` has one value for each task and line. A draining process writes none, or its few
  calls would pull the average down.
- `OldestEventSeconds` is how long an event to a receiver waits, from a minute on.
- All others are counters: what was counted since the line before, so that their sums are of all
  tasks. A process writes them also while it drains, and once at its end. `_ALWAYS` are written with
  0, any other only if it has risen: CloudWatch charges for each metric that is written.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from time import time
from typing import NamedTuple

from agent.observability.metrics import METRICS, Metrics
from agent.observability.series import SeriesCopy

EMBEDDED_SECONDS = 30.0
NAMESPACE = "VoiceAgent"
SLOW_SPEECH_SECONDS = 2.0
SLOW_START_SECONDS = 5.0
_ACTIVE_CALLS, _OLDEST_EVENT = "ActiveCalls", "OldestEventSeconds"
_EVENT_AGE, _OLD_EVENT_SECONDS = "agent_event_age_seconds", 60
_GAUGES = ("agent_active_calls", "agent_draining", _EVENT_AGE)
_ALWAYS = frozenset({"CallsRung", "CallsConnected", "CallsFailed", "CallsRefused"})


class _Counted(NamedTuple):
    """What a counter of CloudWatch adds up."""

    metric: str
    label: str = ""
    values: tuple[str, ...] = ()
    """Of the label, which are counted; all without a label."""
    above: float | None = None
    """Of a histogram: only observations above this bound of a bucket."""


_FAILED = "agent_calls_failed_total"
_COUNTERS: Mapping[str, _Counted] = {
    "CallsRung": _Counted("agent_calls_rung_total"),
    "CallsConnected": _Counted("agent_calls_connected_total"),
    "CallsFailed": _Counted(
        _FAILED, "reason",
        ("account", "connection", "crash", "model", "no_socket", "signature", "store", "use_case"),
    ),
    "CallsFailedBySignature": _Counted(_FAILED, "reason", ("signature", "account")),
    "CallsFailedByUseCase": _Counted(_FAILED, "reason", ("use_case",)),
    "CallsFailedByCrash": _Counted(_FAILED, "reason", ("crash",)),
    "CallsFailedByTable": _Counted(_FAILED, "reason", ("store",)),
    "CallsFailedByModel": _Counted(_FAILED, "reason", ("model",)),
    "CallsFailedByConnection": _Counted(_FAILED, "reason", ("connection",)),
    "CallsWithoutSocket": _Counted(_FAILED, "reason", ("no_socket",)),
    "CallsRefused": _Counted("agent_calls_refused_total", "reason", ("busy", "overload", "full")),
    "UnsignedRequests": _Counted("agent_calls_refused_total", "reason", ("signature",)),
    "TokenReadsFailed": _Counted("agent_auth_token_reads_total", "outcome", ("failed",)),
    "ModelRefusals": _Counted("agent_llm_errors_total", "kind", ("denied", "refused")),
    "EventsGivenUp": _Counted("agent_events_total", "outcome", ("dead",)),
    "TableErrors": _Counted("agent_store_duration_seconds", "outcome", ("error",)),
    "Turns": _Counted("agent_turn_time_to_first_speech_seconds"),
    "SlowTurns": _Counted("agent_turn_time_to_first_speech_seconds", above=SLOW_SPEECH_SECONDS),
    "SlowStarts": _Counted("agent_call_time_to_first_speech_seconds", above=SLOW_START_SECONDS),
}  # fmt: skip
"""`CallsFailed` leaves out the reason `busy`, for which callers are in `CallsRefused`."""
NAMES = (_ACTIVE_CALLS, _OLDEST_EVENT, *_COUNTERS)
_SPECS = {spec.name: spec for spec in METRICS}


def _total(counted: _Counted, copies: Iterable[SeriesCopy]) -> int:
    spec = _SPECS[counted.metric]
    place = spec.labels.index(counted.label) if counted.label else None
    first = 0
    if spec.buckets:
        first = 1 + (0 if counted.above is None else spec.buckets.index(counted.above) + 1)
    return int(
        sum(
            sum(one.numbers[first:])
            for one in copies
            if one.metric == counted.metric
            and (place is None or one.labels[place] in counted.values)
        )
    )


@dataclass(slots=True)
class EmbeddedMetrics:
    """Writes the metrics of one process; the clock gives epoch seconds.

    `service` is the host of `WS_URL`. One of several processes of a task `is_worker`: it writes no
    `ActiveCalls`. Rejected: a line by structlog, which would have level and time stamp in it.
    """

    metrics: Metrics
    service: str
    write: Callable[[str], object]
    clock: Callable[[], float] = time
    is_worker: bool = False
    _before: dict[str, int] = field(default_factory=dict)

    async def run(self) -> None:
        """Write a line now and every 30 seconds, until cancelled."""
        while True:
            self.publish()
            await asyncio.sleep(EMBEDDED_SECONDS)

    @asynccontextmanager
    async def written_to_the_end(self) -> AsyncIterator[None]:
        """On leaving, write what was counted since the line before."""
        try:
            yield
        finally:
            self.publish(is_last=True)

    def publish(self, *, is_last: bool = False) -> None:
        """Write a line; a last one, as one of a draining process, has no `ActiveCalls`."""
        copies = self.metrics.copies()
        totals = {name: _total(counted, copies) for name, counted in _COUNTERS.items()}
        risen = {name: total - self._before.get(name, 0) for name, total in totals.items()}
        counts = {name: more for name, more in risen.items() if more or name in _ALWAYS}
        gauges = _gauges(copies)
        is_silent = is_last or bool(gauges["agent_draining"])
        if is_silent and not any(counts.values()):
            return
        if not is_silent and not self.is_worker:
            counts = {_ACTIVE_CALLS: gauges["agent_active_calls"], **counts}
        if not is_silent and gauges[_EVENT_AGE] >= _OLD_EVENT_SECONDS:
            counts |= {_OLDEST_EVENT: gauges[_EVENT_AGE]}
        self.write(_line(self.service, self.clock(), counts))
        self._before = totals


async def write_active_calls(
    read: Callable[[], Awaitable[list[SeriesCopy]]], service: str, write: Callable[[str], object]
) -> None:
    """Write `ActiveCalls` of all processes of a task, now and every 30 seconds, until cancelled.

    `read` gives their series, added up; nothing is written if one drains, or none is left.
    """
    while True:
        gauges = _gauges(await read())
        if not gauges.get("agent_draining", 1):
            write(_line(service, time(), {_ACTIVE_CALLS: gauges["agent_active_calls"]}))
        await asyncio.sleep(EMBEDDED_SECONDS)


def _gauges(copies: Iterable[SeriesCopy]) -> dict[str, int]:
    return {one.metric: int(one.numbers[0]) for one in copies if one.metric in _GAUGES}


def _line(service: str, now: float, counts: Mapping[str, int]) -> str:
    directive = {
        "Namespace": NAMESPACE,
        "Dimensions": [["Service"]],
        "Metrics": [
            {"Name": name, "Unit": "Seconds" if name == _OLDEST_EVENT else "Count"}
            for name in counts
        ],
    }
    aws = {"Timestamp": int(now * 1000), "CloudWatchMetrics": [directive]}
    return json.dumps({"_aws": aws, "Service": service, **counts}) + "\n"
