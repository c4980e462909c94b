"""The few numbers that people look at, from the same metrics as everything else.

Grafana has times and alarms; these are the sums of processes since their start.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from math import inf

import msgspec

from agent.call.events import EndReason
from agent.observability.metrics import METRICS
from agent.observability.series import SeriesCopy

_SPECS = {spec.name: spec for spec in METRICS}
_FIRST_SPEECH = "agent_turn_time_to_first_speech_seconds"
_WELL = frozenset({"ok", "cancelled"})
"""Outcomes of a tool that are no failure; a caller who goes on cancels a look-up."""


class ToolRuns(msgspec.Struct, frozen=True):
    """How often a tool was run, and failed."""

    name: str
    runs: int
    failed: int


class CallOverview(msgspec.Struct, frozen=True):
    """The numbers of some processes."""

    live: int
    ended: int
    contained: float | None
    """Share of ended calls that neither a person took over by a transfer nor a fault ended; None =
    no call has ended."""
    response_p50: float | None
    """Seconds from the caller's words to the first words of the answer; None = none was given."""
    response_p95: float | None
    interrupts: int
    tools: list[ToolRuns]
    """The tools that were run, the most failures first."""
    costs: dict[str, float]
    """Of the models, by currency."""


def overview_of(copies: Sequence[SeriesCopy]) -> CallOverview:
    """The numbers of these series, of one process or of several.

    Series that this version does not know, or knows with other buckets, are left out: during a
    deploy the processes of a fleet are of two versions.
    """
    copies = [one for one in copies if _is_known(one)]
    ended = _by_label(copies, "agent_calls_total", "end_reason")
    total = sum(ended.values())
    lost = (EndReason.TRANSFER, EndReason.ERROR_MODEL, EndReason.ERROR_RELAY, EndReason.OPERATOR)
    buckets = _buckets(copies, _FIRST_SPEECH)
    return CallOverview(
        live=int(sum(one.numbers[0] for one in _of(copies, "agent_active_calls"))),
        ended=int(total),
        contained=1 - sum(ended.get(each, 0) for each in lost) / total if total else None,
        response_p50=_percentile(buckets, 0.5),
        response_p95=_percentile(buckets, 0.95),
        interrupts=int(sum(_by_label(copies, "agent_interrupts_total", "kind").values())),
        tools=sorted(_tools(copies), key=lambda it: (-it.failed, -it.runs, it.name)),
        costs=_by_label(copies, "agent_llm_cost_total", "currency"),
    )


def _is_known(one: SeriesCopy) -> bool:
    spec = _SPECS.get(one.metric)
    length = len(spec.buckets) + 2 if spec and spec.buckets else 1
    return spec is not None and len(one.numbers) == length and len(one.labels) == len(spec.labels)


def _of(copies: Iterable[SeriesCopy], metric: str) -> Iterator[SeriesCopy]:
    return (one for one in copies if one.metric == metric)


def _by_label(copies: Iterable[SeriesCopy], metric: str, label: str) -> dict[str, float]:
    at, found = _SPECS[metric].labels.index(label), dict[str, float]()
    for one in _of(copies, metric):
        found[one.labels[at]] = found.get(one.labels[at], 0.0) + one.numbers[0]
    return found


def _tools(copies: Iterable[SeriesCopy]) -> Iterator[ToolRuns]:
    metric = "agent_tool_duration_seconds"
    labels, counts = _SPECS[metric].labels, dict[str, tuple[int, int]]()
    for one in _of(copies, metric):
        name, outcome = (one.labels[labels.index(each)] for each in ("tool", "outcome"))
        runs, failed = counts.get(name, (0, 0))
        number = int(sum(one.numbers[1:]))
        counts[name] = runs + number, failed + number * (outcome not in _WELL)
    return (ToolRuns(name, *each) for name, each in counts.items())


def _buckets(copies: Iterable[SeriesCopy], metric: str) -> list[tuple[float, float]]:
    """Upper bounds and observations up to them, of all series of a histogram."""
    bounds = (*_SPECS[metric].buckets, inf)
    sums = [0.0] * len(bounds)
    for one in _of(copies, metric):
        sums = [before + more for before, more in zip(sums, one.numbers[1:], strict=True)]
    return list(zip(bounds, accumulate(sums), strict=True))


def _percentile(buckets: Sequence[tuple[float, float]], share: float) -> float | None:
    """As Prometheus estimates it: evenly spread inside of a bucket."""
    total = buckets[-1][1]
    if not total:
        return None
    lower, before = 0.0, 0.0
    for bound, upto in buckets:
        if upto >= share * total:
            if bound == inf:
                return lower
            return lower + (bound - lower) * (share * total - before) / (upto - before)
        lower, before = bound, upto
    return lower
