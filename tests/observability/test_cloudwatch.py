"""The stand-in for CloudWatch rings when CloudWatch would."""

from __future__ import annotations

from typing import Any

import pytest

from tests.observability.cloudwatch import Alarm, Metrics, compute, rule_holds, statistic

NOW = 6000.0


def alarm(**properties: Any) -> Alarm:
    return Alarm(
        {
            "Namespace": "N",
            "MetricName": "M",
            "Statistic": "Sum",
            "Period": 60,
            "EvaluationPeriods": 3,
            "Threshold": 5,
            "ComparisonOperator": "GreaterThanThreshold",
            "TreatMissingData": "notBreaching",
            **properties,
        }
    )


def metrics(*minutes: float | None) -> Metrics:
    """One value in each minute before `NOW`, the latest last."""
    known = Metrics()
    for back, value in enumerate(reversed(minutes)):
        if value is not None:
            known.add("N", "M", NOW - 60 * back - 30, value)
    return known


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("100 * failed / rung", 50.0),
        ("IF(rung >= 5, 100 * failed / rung, 0)", 0.0),
        ("IF(failed > 0 AND 2 * failed >= rung, 1, 0)", 1.0),
        ("IF(failed > 1 || rung > 3, 1, 0)", 1.0),
        ("FILL(none, 0) + rung", 4.0),
        ("none + rung", None),
        ("rung / none", None),
        ("rung / (failed - 2)", None),
        ("IF(none > 1, 1, 0)", None),
    ],
)
def test_metric_math_computes(expression: str, value: float | None) -> None:
    assert compute(expression, {"rung": 4.0, "failed": 2.0, "none": None}) == value


def test_metric_math_that_is_not_known_is_an_error() -> None:
    with pytest.raises(ValueError, match="DIFF"):
        compute("DIFF(rung)", {"rung": 1.0})


@pytest.mark.parametrize(
    ("name", "value"),
    [("Sum", 10), ("Maximum", 4), ("Average", 2.5), ("SampleCount", 4), ("p50", 2), ("p95", 4)],
)
def test_statistics_are_of_all_values_of_a_period(name: str, value: float) -> None:
    assert statistic(name, [4.0, 1.0, 3.0, 2.0]) == value


@pytest.mark.parametrize(
    ("minutes", "properties", "rings"),
    [
        ((6, 6, 6), {}, True),
        ((6, 6, 5), {}, False),
        ((6, 0, 6), {"DatapointsToAlarm": 2}, True),
        ((0, 0, 6), {"DatapointsToAlarm": 2}, False),
        ((None, None, 6), {"DatapointsToAlarm": 1}, True),
        ((None, 6, 6), {}, False),
        ((None, 6, 6), {"TreatMissingData": "breaching"}, True),
        ((6, None, 6, 6), {}, True),
        ((), {"TreatMissingData": "breaching"}, True),
        ((), {}, False),
        ((0, 0, 0), {"ComparisonOperator": "LessThanThreshold"}, True),
    ],
)
def test_an_alarm_rings_by_its_last_periods(
    minutes: tuple[float | None, ...], properties: dict[str, Any], rings: bool
) -> None:
    """The fourth minute counts where one of the last three has no value."""
    assert alarm(**properties).rings(metrics(*minutes), NOW) is rings


def test_a_period_has_the_values_of_its_seconds() -> None:
    known = metrics(3, 3, 3, 3, 3)

    assert alarm(Period=300, EvaluationPeriods=1, Threshold=14).rings(known, NOW)
    assert not alarm(Period=300, EvaluationPeriods=1, Threshold=15).rings(known, NOW)


def test_lines_of_the_service_become_values() -> None:
    line = (
        '{"_aws": {"Timestamp": 5990000, "CloudWatchMetrics": [{"Namespace": "N",'
        ' "Dimensions": [["Service"]], "Metrics": [{"Name": "M", "Unit": "Count"}]}]},'
        ' "Service": "host", "M": 7}'
    )
    known = Metrics()

    known.read([line])

    assert known.values == {("N", "M"): [(5990.0, 7)]}


def test_a_composite_alarm_rings_if_all_its_alarms_do() -> None:
    rule = 'ALARM("quiet") AND ALARM("busy")'

    assert rule_holds(rule, lambda name: name in {"quiet", "busy"})
    assert not rule_holds(rule, lambda name: name == "quiet")
    with pytest.raises(ValueError, match="NOT"):
        rule_holds("NOT ALARM(quiet)", lambda _: True)
