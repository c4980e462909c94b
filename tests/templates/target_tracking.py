"""Target tracking as Application Auto Scaling documents it, for policies of a template.

A policy has two alarms on points of a minute: three above the target scale out, fifteen below nine
tenths of it scale in, if that is so for each policy. A step is proportional and rounded up: the
largest scale-in that the documents leave possible. During the scale-out cooldown a step begins from
the capacity before. A metric without data changes nothing.

https://docs.aws.amazon.com/autoscaling/application/userguide/target-tracking-scaling-policy-overview.html
https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-autoscaling-targettracking.html
"""

from __future__ import annotations

import ast
import operator
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from math import ceil
from statistics import fmean
from typing import Any

POINTS_OUT = 3
POINTS_IN = 15
SHARE_IN = 0.9
_STATISTICS: dict[str, Callable[[list[float]], float]] = {
    "Sum": sum, "Average": fmean, "Maximum": max, "Minimum": min,
}  # fmt: skip
_OPERATORS: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
}  # fmt: skip
_PREDEFINED = {"ECSServiceAverageCPUUtilization": ("AWS/ECS", "CPUUtilization")}

Metric = tuple[str, str]
"""Namespace and name."""


class Readings:
    """Values of metrics by the minute in which they were written."""

    def __init__(self) -> None:
        self._values: dict[Metric, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))

    def write(self, metric: Metric, minute: int, value: float) -> None:
        self._values[metric][minute].append(value)

    def read(self, metric: Metric, statistic: str, minute: int) -> float | None:
        values = self._values[metric].get(minute)
        return _STATISTICS[statistic](values) if values else None


Measure = Callable[[Readings, int], float | None]
"""The value of a metric, or of an expression, in a minute; None without data."""


@dataclass(frozen=True, slots=True)
class Policy:
    """One scaling policy; cooldowns in seconds."""

    measure: Measure
    target: float
    out_cooldown: float
    in_cooldown: float


def policy(configuration: dict[str, Any]) -> Policy:
    """A policy from its `TargetTrackingScalingPolicyConfiguration`, its references resolved."""
    return Policy(
        _measure(configuration),
        float(configuration["TargetValue"]),
        float(configuration["ScaleOutCooldown"]),
        float(configuration["ScaleInCooldown"]),
    )


def _measure(configuration: dict[str, Any]) -> Measure:
    if predefined := configuration.get("PredefinedMetricSpecification"):
        metric = _PREDEFINED[predefined["PredefinedMetricType"]]
        return lambda readings, minute: readings.read(metric, "Average", minute)
    wanted = configuration["CustomizedMetricSpecification"]
    if "Metrics" not in wanted:
        return _read(wanted, wanted["Statistic"])
    queries = {each["Id"]: each for each in wanted["Metrics"]}
    [result] = [each for each in queries.values() if each.get("ReturnData", True)]
    measures = {
        name: _read(each["MetricStat"]["Metric"], each["MetricStat"]["Stat"])
        for name, each in queries.items()
        if "MetricStat" in each
    }
    return _calculate(ast.parse(result["Expression"], mode="eval").body, measures)


def _read(metric: dict[str, Any], statistic: str) -> Measure:
    named = (metric["Namespace"], metric["MetricName"])
    return lambda readings, minute: readings.read(named, statistic, minute)


def _calculate(node: ast.expr, measures: dict[str, Measure]) -> Measure:
    """An expression of CloudWatch's metric math, as far as policies use it."""
    match node:
        case ast.Constant(value=int() | float() as number):
            return lambda _readings, _minute: float(number)
        case ast.Name(id=name):
            return measures[name]
        case ast.BinOp(left, how, right):
            parts = (_calculate(left, measures), _calculate(right, measures))
            return lambda readings, minute: _combine(
                _OPERATORS[type(how)], [each(readings, minute) for each in parts]
            )
        case ast.Call(func=ast.Name(id="FILL"), args=[filled, ast.Name(id="REPEAT")]):
            return _repeat(_calculate(filled, measures))
        case _:
            raise ValueError(f"not understood: {ast.unparse(node)}")


def _combine(how: Callable[[float, float], float], values: list[float | None]) -> float | None:
    left, right = values
    return None if left is None or right is None else how(left, right)


def _repeat(measure: Measure) -> Measure:
    def last(readings: Readings, minute: int) -> float | None:
        earlier = (measure(readings, each) for each in range(minute, minute - POINTS_IN, -1))
        return next((value for value in earlier if value is not None), None)

    return last


@dataclass(slots=True)
class Tracker:
    """The scalable target: how many tasks its policies want, between two bounds."""

    policies: tuple[Policy, ...]
    least: int
    most: int
    capacity: int = field(init=False)
    _base: int = field(init=False)
    _out_until: float = float("-inf")
    _in_until: float = float("-inf")

    def __post_init__(self) -> None:
        self.capacity = self._base = self.least

    def decide(self, now: float, readings: Readings, minute: int, *, may_scale_in: bool) -> int:
        """Take the points up to a minute in; returns the capacity. `now` in seconds."""
        if now >= self._out_until:
            self._base = self.capacity
        high = [(each, self._step(each, readings, minute)) for each in self.policies
                if _all(each, readings, minute, POINTS_OUT, lambda ratio: ratio > 1)]  # fmt: skip
        if high:
            wanted, capacity = max(high, key=lambda pair: pair[1])[0], max(n for _, n in high)
            if capacity > self.capacity:
                self.capacity = capacity
                self._out_until = now + wanted.out_cooldown
                self._in_until = float("-inf")
        elif may_scale_in and now >= self._in_until and self._is_low(readings, minute):
            capacity = max(self._step(each, readings, minute) for each in self.policies)
            if capacity < self.capacity:
                self.capacity = self._base = capacity
                self._in_until = now + max(each.in_cooldown for each in self.policies)
        return self.capacity

    def _is_low(self, readings: Readings, minute: int) -> bool:
        return all(
            _all(each, readings, minute, POINTS_IN, lambda ratio: ratio < SHARE_IN)
            for each in self.policies
        )

    def _step(self, wanted: Policy, readings: Readings, minute: int) -> int:
        value = wanted.measure(readings, minute)
        ratio = 1.0 if value is None else value / wanted.target
        return min(max(ceil(self._base * ratio), self.least), self.most)


def _all(
    wanted: Policy,
    readings: Readings,
    minute: int,
    points: int,
    holds: Callable[[float], bool],
) -> bool:
    values = [wanted.measure(readings, each) for each in range(minute - points + 1, minute + 1)]
    return all(value is not None and holds(value / wanted.target) for value in values)
