"""CloudWatch's alarms, as far as the templates use them: statistics, metric math, states.

A value belongs to the period in which its time stamp lies. Every minute an alarm looks at the last
`EvaluationPeriods` periods that are complete, and rings if `DatapointsToAlarm` of them breach its
threshold. Where a period has no value, one more is read from before, and if there are too few, the
missing ones count as `TreatMissingData` says. An operation on a missing value has none, except in
`FILL`.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarm-evaluation.html
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/using-metric-math.html
"""

from __future__ import annotations

import ast
import json
import math
import operator
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

MINUTE = 60
_EXTRA_PERIODS = 2
"""How many more periods are looked at than an alarm evaluates, at least."""

_STATISTICS: Mapping[str, Callable[[list[float]], float]] = {
    "Sum": sum,
    "Minimum": min,
    "Maximum": max,
    "Average": lambda values: sum(values) / len(values),
    "SampleCount": lambda values: float(len(values)),
}
_COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {
    "GreaterThanThreshold": operator.gt,
    "GreaterThanOrEqualToThreshold": operator.ge,
    "LessThanThreshold": operator.lt,
    "LessThanOrEqualToThreshold": operator.le,
}
_OPERATORS: Mapping[type[ast.AST], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Eq: operator.eq,
    ast.And: lambda one, other: bool(one) and bool(other),
    ast.Or: lambda one, other: bool(one) or bool(other),
}


def statistic(name: str, values: list[float]) -> float:
    """`Sum` and others, or a percentile like `p95` (the nearest rank)."""
    if name.startswith("p"):
        return sorted(values)[max(0, math.ceil(len(values) * float(name[1:]) / 100) - 1)]
    return _STATISTICS[name](values)


def compute(expression: str, values: Mapping[str, float | None]) -> float | None:
    """Metric math on one value of each metric, None = there is none.

    Raises `ValueError` for what is not known here.
    """
    text = re.sub(r"\bAND\b|&&", " and ", re.sub(r"\bOR\b|\|\|", " or ", expression))
    return _value(ast.parse(text.strip(), mode="eval").body, values)


def _value(node: ast.expr, values: Mapping[str, float | None]) -> float | None:
    match node:
        case ast.Constant(value=int() | float() as number):
            return float(number)
        case ast.Name(id=name):
            return values[name]
        case ast.BinOp(left, how, right) | ast.Compare(left, [how], [right]):
            return _both(_OPERATORS[type(how)], _value(left, values), _value(right, values))
        case ast.BoolOp(how, parts):
            first, *others = (_value(part, values) for part in parts)
            for other in others:
                first = _both(_OPERATORS[type(how)], first, other)
            return first
        case ast.Call(ast.Name(id="IF"), [condition, then, otherwise]):
            holds = _value(condition, values)
            return None if holds is None else _value(then if holds else otherwise, values)
        case ast.Call(ast.Name(id="FILL"), [metric, filling]):
            known = _value(metric, values)
            return _value(filling, values) if known is None else known
        case _:
            raise ValueError(f"not known of metric math: {ast.unparse(node)}")


def _both(
    how: Callable[[float, float], float], one: float | None, other: float | None
) -> float | None:
    if one is None or other is None or (how is operator.truediv and other == 0):
        return None
    return float(how(one, other))


Key = tuple[str, str]
"""Namespace and name of a metric; dimensions are checked by the tests of the templates."""


@dataclass(slots=True)
class Metrics:
    """Values of metrics by second of the epoch."""

    values: dict[Key, list[tuple[float, float]]] = field(default_factory=lambda: defaultdict(list))

    def add(self, namespace: str, name: str, at: float, value: float) -> None:
        self.values[namespace, name].append((at, value))

    def read(self, lines: Iterable[str]) -> None:
        """Add what lines in the embedded metric format have."""
        for line in lines:
            document = json.loads(line)
            for directive in document["_aws"]["CloudWatchMetrics"]:
                for metric in directive["Metrics"]:
                    at, value = document["_aws"]["Timestamp"] / 1000, document[metric["Name"]]
                    self.add(directive["Namespace"], metric["Name"], at, value)

    def datapoint(self, key: Key, stat: str, begin: float, end: float) -> float | None:
        found = [value for at, value in self.values.get(key, ()) if begin <= at < end]
        return statistic(stat, found) if found else None


@dataclass(frozen=True, slots=True)
class Alarm:
    """An alarm of a template, with its parameters filled in."""

    properties: Mapping[str, Any]

    @property
    def period(self) -> int:
        """In seconds."""
        if "Period" in self.properties:
            return int(self.properties["Period"])
        [period] = {
            int(each["MetricStat"]["Period"])
            for each in self.properties["Metrics"]
            if "MetricStat" in each
        }
        return period

    @property
    def evaluation_periods(self) -> int:
        return int(self.properties["EvaluationPeriods"])

    def rings(self, metrics: Metrics, now: float) -> bool:
        """Whether its state is `ALARM` at this second of the epoch."""
        periods, breaches = self.evaluation_periods, _COMPARISONS[self._get("ComparisonOperator")]
        points = [
            self._point(metrics, now - (back + 1) * self.period, now - back * self.period)
            for back in range(periods + _EXTRA_PERIODS)
        ]
        real = [each for each in points if each is not None]
        considered = real[:periods] if len(real) >= periods else points[:periods]
        threshold, is_missing_bad = float(self._get("Threshold")), self._missing_is_breaching
        breaching = sum(
            is_missing_bad if each is None else breaches(each, threshold) for each in considered
        )
        return breaching >= int(self.properties.get("DatapointsToAlarm", periods))

    @property
    def _missing_is_breaching(self) -> bool:
        return bool(self._get("TreatMissingData") == "breaching")

    def _get(self, name: str) -> Any:
        return self.properties[name]

    def _point(self, metrics: Metrics, begin: float, end: float) -> float | None:
        if "MetricName" in self.properties:
            stat = self.properties.get("Statistic") or self._get("ExtendedStatistic")
            key = self._get("Namespace"), self._get("MetricName")
            return metrics.datapoint(key, stat, begin, end)
        values: dict[str, float | None] = {}
        for each in self.properties["Metrics"]:
            if "MetricStat" in each:
                metric, stat = each["MetricStat"]["Metric"], each["MetricStat"]["Stat"]
                key = metric["Namespace"], metric["MetricName"]
                values[each["Id"]] = metrics.datapoint(key, stat, begin, end)
        [shown] = [each for each in self.properties["Metrics"] if each.get("ReturnData", True)]
        return compute(shown["Expression"], values)


_STATE = re.compile(r'ALARM\("?([\w-]+)"?\)')


def rule_holds(rule: str, rings: Callable[[str], bool]) -> bool:
    """A composite alarm's rule of `ALARM(name)` joined by `AND`; `ValueError` for any other."""
    parts = [_STATE.fullmatch(part.strip()) for part in rule.split(" AND ")]
    names = [part.group(1) for part in parts if part]
    if len(names) < len(parts):
        raise ValueError(f"not known of composite alarms: {rule}")
    return all(rings(name) for name in names)
