"""Alarms, dashboard and scaling look at metrics that exist."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from agent.observability.embedded_metrics import NAMES, NAMESPACE
from tests.templates.loading import CANARY, cloud, load, resources

_PUBLISHED: dict[str, dict[str, set[tuple[str, ...]]]] = {
    "AWS/ApplicationELB": {
        "HTTPCode_ELB_5XX_Count": {("LoadBalancer",)},
        "HTTPCode_Target_5XX_Count": {("LoadBalancer", "TargetGroup")},
        "UnHealthyHostCount": {("LoadBalancer", "TargetGroup")},
        "TargetResponseTime": {("LoadBalancer", "TargetGroup")},
        "RequestCount": {("LoadBalancer", "TargetGroup")},
    },
    "ECS/ContainerInsights": {
        "DesiredTaskCount": {("ClusterName", "ServiceName")},
        "RunningTaskCount": {("ClusterName", "ServiceName")},
    },
    "AWS/ECS": {"CPUUtilization": {("ClusterName", "ServiceName")}},
    "AWS/Bedrock": {
        "InvocationThrottles": {("ModelId",)},
        "TimeToFirstToken": {("ModelId",)},
        "EstimatedTPMQuotaUsage": {("ModelId",)},
    },
    "AWS/DynamoDB": {
        "ReadThrottleEvents": {("TableName",)},
        "WriteThrottleEvents": {("TableName",), ("TableName", "GlobalSecondaryIndexName")},
        "SystemErrors": {("TableName", "Operation")},
    },
    # Written by the service in CloudWatch's embedded metric format.
    NAMESPACE: {name: {("Service",)} for name in NAMES},
}
"""Metrics with the sets of dimensions under which they appear; others are empty for ever."""


def alarms() -> dict[str, dict[str, Any]]:
    return resources(cloud(), "AWS::CloudWatch::Alarm")


def metrics(alarm: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The metrics of an alarm, be it on one or on an expression."""
    if "MetricName" in alarm:
        yield alarm
    for each in alarm.get("Metrics", []):
        if "MetricStat" in each:
            yield each["MetricStat"]["Metric"]


def exists(namespace: str, name: str, dimensions: tuple[str, ...]) -> bool:
    return dimensions in _PUBLISHED.get(namespace, {}).get(name, set())


def dashboard() -> dict[str, Any]:
    """The dashboard with numbers and words in the places of what CloudFormation fills in."""
    [properties] = resources(cloud(), "AWS::CloudWatch::Dashboard").values()
    text = properties["DashboardBody"]["Fn::Sub"]
    body: dict[str, Any] = json.loads(re.sub(r"\$\{[\w.:]+\}", "1", text))
    return body


def test_alarms_and_dashboard_look_at_metrics_that_exist() -> None:
    """An alarm on a misspelt metric or dimension never rings."""
    watched = [
        (name, each["Namespace"], each["MetricName"], tuple(d["Name"] for d in each["Dimensions"]))
        for name, alarm in alarms().items()
        for each in metrics(alarm)
    ]
    lines = [line for widget in dashboard()["widgets"] for line in widget["properties"]["metrics"]]
    shown = [
        (line[0], line[1], tuple(each for each in line[2:] if isinstance(each, str))[::2])
        for line in lines
        if line[0] != "..."
    ]

    assert len({name for name, *_ in watched}) == len(alarms())
    assert [each for each in watched if not exists(*each[1:])] == []
    assert len(shown) >= 10
    assert [each for each in shown if not exists(*each)] == []


def test_scaling_reads_metrics_that_exist() -> None:
    policies = resources(cloud(), "AWS::ApplicationAutoScaling::ScalingPolicy").values()
    tracking = [each["TargetTrackingScalingPolicyConfiguration"] for each in policies]
    read = [
        (each["Namespace"], each["MetricName"], tuple(d["Name"] for d in each["Dimensions"]))
        for configuration in tracking
        for each in metrics(configuration.get("CustomizedMetricSpecification", {}))
    ]

    assert [name for _, name, _ in read] == ["ActiveCalls", "DesiredTaskCount"]
    assert [each for each in read if not exists(*each)] == []


def test_scaling_and_alarms_look_at_the_same_calls() -> None:
    """One metric with one dimension, or the number of tasks follows something else."""
    policies = resources(cloud(), "AWS::ApplicationAutoScaling::ScalingPolicy")
    tracking = policies["ScaleOnCalls"]["TargetTrackingScalingPolicyConfiguration"]
    scaled = list(metrics(tracking["CustomizedMetricSpecification"]))

    of_calls = [each for alarm in alarms().values() for each in metrics(alarm)
                if each["Namespace"] == NAMESPACE]  # fmt: skip
    deploys = {"CallsRung", "CallsFailed"}  # of the alarm that stands with the service

    dimensions = scaled[0]["Dimensions"]
    [host] = [each["Value"] for each in dimensions]
    assert cloud()["Resources"]["Alarms"]["Properties"]["Parameters"]["pHost"] == host
    nested = [{"Name": "Service", "Value": {"Ref": "pHost"}}]
    assert len(of_calls) > 10
    assert {each["MetricName"] for each in of_calls if each["Dimensions"] == dimensions} == deploys
    assert [each for each in of_calls if each["Dimensions"] not in (dimensions, nested)] == []


_URGENT = {
    "FailedCallsAlarm", "FailingTableAlarm", "LoadBalancerErrorsAlarm", "ModelRefusalsAlarm",
    "NoCallsAlarm", "RefusedCallsAlarm", "RunningTasksAlarm", "SlowSpeechAlarm",
    "SlowWebhooksAlarm", "TableErrorsAlarm", "TargetErrorsAlarm", "UnhealthyTasksAlarm",
}  # fmt: skip
_PARTS = {"QuietLinesAlarm", "BusyBeforeAlarm"}
"""Of `NoCallsAlarm`, which tells of both."""


def test_every_alarm_says_what_it_means_and_tells_its_topic_of_begin_and_end() -> None:
    """One topic if there is no urgent one: the root passes the same on."""
    normal = {"Fn::If": ["HasAlarmTopic", [{"Ref": "pAlarmTopicArn"}], {"Ref": "AWS::NoValue"}]}
    urgent = {
        "Fn::If": ["HasUrgentTopic", [{"Ref": "pUrgentAlarmTopicArn"}], {"Ref": "AWS::NoValue"}]
    }
    of_the_root = {"Fn::If": [*urgent["Fn::If"][:2], normal]}
    composites = resources(cloud(), "AWS::CloudWatch::CompositeAlarm")

    canary = resources(load(CANARY), "AWS::CloudWatch::Alarm")
    told = {**alarms(), **composites, **canary}
    told = {name: each for name, each in told.items() if name not in _PARTS}

    for name, alarm in told.items():
        assert name.endswith("Alarm")
        assert alarm["AlarmDescription"].endswith((".", "%.")), name
        assert alarm["AlarmActions"] == alarm["OKActions"], name
        assert alarm["AlarmActions"] in ([urgent, of_the_root] if name in _URGENT else [normal])
    assert set(told) > _URGENT
    assert not any("AlarmActions" in alarms()[name] for name in _PARTS)
    passed = cloud()["Resources"]["Alarms"]["Properties"]["Parameters"]["pUrgentAlarmTopicArn"]
    topics = [{"Ref": "pUrgentAlarmTopicArn"}, {"Ref": "pAlarmTopicArn"}]
    assert passed == {"Fn::If": ["HasUrgentTopic", *topics]}


def test_missing_values_are_a_fault_only_of_what_always_reports() -> None:
    """At night no requests arrive and that is no fault; tasks that run always report."""
    breaching = {
        name for name, alarm in alarms().items() if alarm["TreatMissingData"] == "breaching"
    }

    assert breaching == {"RunningTasksAlarm", "QuietLinesAlarm"}
    assert {alarm["TreatMissingData"] for alarm in alarms().values()} == {
        "breaching",
        "notBreaching",
    }


def test_a_share_or_a_percentile_counts_from_a_few_samples_on() -> None:
    """One slow request, or one failed call, is no outage."""
    guarded = {
        name
        for name, alarm in alarms().items()
        for each in alarm.get("Metrics", [])
        if str(each.get("Expression", "")).startswith("IF(")
    }
    percentiles = {name for name, alarm in alarms().items() if "ExtendedStatistic" in alarm}

    assert percentiles == set()
    assert guarded == {
        "FailedCallsAlarm", "RepeatedFailuresAlarm", "SlowWebhooksAlarm", "SlowModelAlarm",
        "SlowSpeechAlarm", "SlowStartsAlarm",
    }  # fmt: skip
