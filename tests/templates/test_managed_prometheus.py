"""The managed workspace: it has the shipped rules, and its alerts reach the topic."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from docs import managed_rules
from tests.observability import shipped
from tests.observability.prometheus import promtool, tool_of_prometheus
from tests.templates.loading import cloud, load, only, resources

_RULES_OF_A_GROUP = 20
"""At most, by the quotas of the service:
https://docs.aws.amazon.com/prometheus/latest/userguide/AMP_quotas.html"""
_TOPIC = "arn:aws:sns:us-east-1:123456789012:alarms"
_URGENT_TOPIC = "arn:aws:sns:us-east-1:123456789012:urgent"


def filled(data: Any) -> str:
    """A property as the stack has it, with the default limit of calls."""
    text = data["Fn::Sub"] if isinstance(data, dict) else data
    values = {
        "pMaxCallsPerTask": "100",
        "pAlarmTopicArn": _TOPIC,
        "pUrgentAlarmTopicArn": _URGENT_TOPIC,
        "pStackName": "calls",
        "AWS::Region": "us-east-1",
    }
    for name, value in values.items():
        text = text.replace("${" + name + "}", value)
    assert "${" not in text
    return str(text)


def namespaces() -> dict[str, str]:
    """The rules files that the workspace is given, by name."""
    found = resources(load(managed_rules.TEMPLATE), "AWS::APS::RuleGroupsNamespace").values()
    return {each["Name"]: filled(each["Data"]) for each in found}


def test_rules_of_the_workspace_are_the_shipped_ones() -> None:
    """Else run: python docs/generate.py."""
    assert managed_rules.TEMPLATE.read_text(encoding="utf-8") == managed_rules.template()
    assert sorted(namespaces()) == ["alerts", "recording"]


@pytest.mark.needs("prometheus")
@pytest.mark.parametrize(
    ("name", "path"), [("alerts", shipped.ALERTS), ("recording", shipped.RECORDING)]
)
def test_prometheus_reads_the_same_rules_there(tmp_path: Path, name: str, path: Path) -> None:
    copy = tmp_path / f"{name}.yml"
    copy.write_text(namespaces()[name], encoding="utf-8")

    promtool("check", "rules", copy)
    assert shipped.read_yaml(copy) == shipped.read_yaml(path)


def test_groups_are_within_the_quota_of_the_service() -> None:
    for path in (shipped.ALERTS, shipped.RECORDING):
        groups = shipped.read_yaml(path)["groups"]
        assert max(len(each["rules"]) for each in groups) <= _RULES_OF_A_GROUP


@pytest.mark.needs("prometheus")
def test_alertmanager_understands_its_definition_and_sends_to_the_topic(tmp_path: Path) -> None:
    """Without a topic there is none; the service allows no other receiver."""
    [condition, text, otherwise] = only("AWS::APS::Workspace")["AlertManagerDefinition"]["Fn::If"]
    definition = tmp_path / "definition.yml"
    definition.write_text(filled(text), encoding="utf-8")
    [(name, inner)] = shipped.read_yaml(definition).items()
    configuration = tmp_path / "alertmanager.yml"
    configuration.write_text(inner, encoding="utf-8")

    told = tool_of_prometheus("amtool", "check-config", configuration)
    routed = {
        severity: tool_of_prometheus(
            "amtool", "config", "routes", "test", f"--config.file={configuration}",
            f"severity={severity}",
        ).splitlines()[0]
        for severity in ("critical", "warning")
    }  # fmt: skip
    receivers = shipped.read_yaml(configuration)["receivers"]
    topics = {each["name"]: each["sns_configs"][0] for each in receivers}

    assert (condition, otherwise) == ("HasAlarmTopic", {"Ref": "AWS::NoValue"})
    assert name == "alertmanager_config"
    assert "SUCCESS" in told
    assert routed == {"critical": "urgent", "warning": "topic"}
    assert {name: each["topic_arn"] for name, each in topics.items()} == {
        "topic": _TOPIC, "urgent": _URGENT_TOPIC,
    }  # fmt: skip
    assert [each["sigv4"] for each in topics.values()] == [{"region": "us-east-1"}] * 2


def test_workspace_is_given_what_its_rules_and_alerts_need() -> None:
    given = cloud()["Resources"]["Prometheus"]["Properties"]["Parameters"]

    assert given == {
        "pStackName": {"Ref": "AWS::StackName"},
        "pAlarmTopicArn": {"Ref": "pAlarmTopicArn"},
        "pUrgentAlarmTopicArn": {"Ref": "pAlarmTopicArn"},
        "pMaxCallsPerTask": {"Ref": "pMaxCallsPerTask"},
    }
