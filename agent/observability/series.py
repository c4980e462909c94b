"""What is counted, as plain numbers, and how they are exported, also those of several processes.

The classes of the client library take a lock for each number and look at each bucket; all counting
is done by one thread, the event loop's. Their forms are used for export only.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import add
from time import time
from typing import Literal, NamedTuple

import msgspec
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.samples import Exemplar
from prometheus_client.utils import INF, floatToGoString

Together = Literal["sum", "highest", "lowest"]
_JOINING: dict[Together, Callable[[float, float], float]] = {
    "sum": add,
    "highest": max,
    "lowest": min,
}
_BOUND: Callable[[float], str] = floatToGoString


class MetricSpec(NamedTuple):
    """How one metric is declared."""

    name: str
    help: str
    labels: tuple[str, ...]
    buckets: tuple[float, ...]
    together: Together = "sum"
    """What the value of several processes is."""

    @property
    def kind(self) -> str:
        """Prometheus asks that only names of counters end in `_total`."""
        if self.buckets:
            return "histogram"
        return "counter" if self.name.endswith("_total") else "gauge"


class SeriesCopy(msgspec.Struct):
    """One series at a moment, as a process passes it to another."""

    metric: str
    labels: tuple[str, ...]
    """Values, in the order of their declaration."""
    numbers: list[float]
    """The value; of a histogram the sum, and the observations in each bucket, the last without
    a bound."""
    exemplars: dict[int, tuple[str, float, float]] = {}
    """Of a histogram by bucket: the trace, the amount, and when, in epoch seconds."""


class Series:
    """One metric with one value for each of its labels; raises `ValueError` for other labels.

    `count` adds to a counter, which raises `ValueError` for a negative amount, sets a gauge, or
    observes an amount in a histogram. `trace_id` names the trace of an observation.
    """

    __slots__ = ("_trace_id", "count", "exemplars", "labels", "numbers", "spec")

    def __init__(
        self, spec: MetricSpec, labels: dict[str, str], trace_id: Callable[[], str] | None
    ) -> None:
        if labels.keys() != set(spec.labels):
            raise ValueError(f"{spec.name} has the labels {', '.join(spec.labels) or 'none'}")
        self.spec = spec
        self.labels = tuple(str(labels[name]) for name in spec.labels)
        self.numbers = [0.0] * (len(spec.buckets) + 2 if spec.buckets else 1)
        self.exemplars = dict[int, tuple[str, float, float]]()
        self._trace_id = trace_id
        ways = {"counter": self._add, "gauge": self._set, "histogram": self._observe}
        self.count: Callable[[float], None] = ways[spec.kind]

    def copy(self) -> SeriesCopy:
        return SeriesCopy(self.spec.name, self.labels, list(self.numbers), dict(self.exemplars))

    def _add(self, amount: float) -> None:
        if amount < 0:
            raise ValueError(f"{self.spec.name} is a counter and cannot fall by {-amount}")
        self.numbers[0] += amount

    def _set(self, amount: float) -> None:
        self.numbers[0] = float(amount)

    def _observe(self, amount: float) -> None:
        bucket = bisect_left(self.spec.buckets, amount)
        self.numbers[0] += amount
        self.numbers[bucket + 1] += 1
        if self._trace_id is not None and (trace := self._trace_id()):
            self.exemplars[bucket] = (trace, amount, time())


def added_up(specs: Iterable[MetricSpec], copies: Iterable[SeriesCopy]) -> list[SeriesCopy]:
    """The series of several processes as those of one; the latest exemplars are kept."""
    together = {spec.name: spec.together for spec in specs}
    found = dict[tuple[str, tuple[str, ...]], SeriesCopy]()
    for one in copies:
        key = one.metric, one.labels
        if (known := found.get(key)) is None:
            found[key] = SeriesCopy(*key, one.numbers, dict(one.exemplars))
            continue
        known.numbers = list(map(_JOINING[together[one.metric]], known.numbers, one.numbers))
        for bucket, exemplar in one.exemplars.items():
            if bucket not in known.exemplars or known.exemplars[bucket][2] < exemplar[2]:
                known.exemplars[bucket] = exemplar
    return list(found.values())


class Exported:
    """A collector of the client library for these series."""

    def __init__(self, specs: Iterable[MetricSpec], copies: Iterable[SeriesCopy]) -> None:
        self._specs = specs
        self._copies = dict[str, list[SeriesCopy]]()
        for one in copies:
            self._copies.setdefault(one.metric, []).append(one)

    def collect(self) -> Iterator[Family]:
        for spec in self._specs:
            yield _family(spec, self._copies.get(spec.name, ()))


def _family(spec: MetricSpec, copies: Sequence[SeriesCopy]) -> Family:
    if spec.kind == "histogram":
        histogram = HistogramMetricFamily(spec.name, spec.help, labels=spec.labels)
        bounds = [_BOUND(bound) for bound in (*spec.buckets, INF)]
        for one in copies:
            histogram.add_metric(one.labels, list(_buckets(bounds, one)), one.numbers[0])
        return histogram
    declare = CounterMetricFamily if spec.kind == "counter" else GaugeMetricFamily
    family = declare(spec.name, spec.help, labels=spec.labels)
    for one in copies:
        family.add_metric(one.labels, one.numbers[0])
    return family


def _buckets(
    bounds: Sequence[str], one: SeriesCopy
) -> Iterator[tuple[str, float] | tuple[str, float, Exemplar]]:
    total = 0.0
    for bucket, bound in enumerate(bounds):
        total += one.numbers[bucket + 1]
        if exemplar := one.exemplars.get(bucket):
            trace, amount, at = exemplar
            yield bound, total, Exemplar({"trace_id": trace}, amount, at)
        else:
            yield bound, total
