"""The runbook: a section for each alarm and each alert, and commands that AWS knows.

The commands are run with a program in place of `aws` that writes down how it was called; services,
operations and options are those of botocore, from whose data the AWS CLI is made.
"""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from agent.observability.embedded_metrics import NAMES, NAMESPACE
from tests.observability import shipped
from tests.repository.aws_commands import faults_of
from tests.repository.recorded_programs import RecordedPrograms
from tests.templates.loading import CANARY, CLOUD, ROOT, cloud, load, resources

pytestmark = pytest.mark.needs("linters")

_SHARED = ("First three looks", "Shared steps")
_POINTS = ["Means", "The caller hears", "Look at", "Do"]
_BLOCK = re.compile(r"^```bash\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`((?:aws|logs|metric) [^`]+)`")
_NAMED = re.compile(r"Runbook: (\w+)\.$")


def text() -> str:
    return shipped.RUNBOOK.read_text(encoding="utf-8")


def sections() -> list[tuple[str, str]]:
    """Heading and text of each, without the parts that they share."""
    parts = re.split(r"^## (.+)$", text(), flags=re.MULTILINE)[1:]
    return [each for each in zip(parts[::2], parts[1::2], strict=True) if each[0] not in _SHARED]


@cache
def alarms() -> dict[str, tuple[str, bool]]:
    """The section of each alarm, as its description says, and whether it is urgent."""
    kinds = ("AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm")
    found = {
        name: each
        for template in (cloud(), load(CANARY))
        for kind in kinds
        for name, each in resources(template, kind).items()
    }
    named = {name: _NAMED.search(each["AlarmDescription"]) for name, each in found.items()}
    assert [name for name, match in named.items() if match is None] == []
    return {
        name: (match[1], "pUrgentAlarmTopicArn" in str(found[name].get("AlarmActions")))
        for name, match in named.items()
        if match
    }


def commands() -> list[str]:
    """Those in the sections' text."""
    return [
        found.replace("\\|", "|").replace("\n", " ")
        for _, section in sections()
        for found in _INLINE.findall(section)
    ]


def test_each_alarm_and_alert_has_one_section_and_nothing_else_has() -> None:
    """Also the rule that tells of failed deployments, which is no alarm."""
    rules = resources(cloud(), "AWS::Events::Rule")
    alerts = {alert.name for alert in shipped.alerts()}
    wanted = alerts | {section for section, _ in alarms().values()} | rules.keys()

    found = Counter(heading for heading, _ in sections())

    assert len(alerts) > 30
    assert len(alarms()) > 20
    assert list(rules) == ["FailedDeploymentRule"]
    assert found == Counter(wanted)


def test_each_section_says_who_rings_and_has_the_four_parts() -> None:
    severities = {alert.name: alert.labels["severity"] for alert in shipped.alerts()}
    rings = {
        heading: [severities[each] for each in severities if each == heading]
        + [
            f"`{name}`" + ", urgent" * urgent
            for name, (section, urgent) in sorted(alarms().items())
            if section == heading
        ]
        for heading, _ in sections()
    }

    for heading, section in sections():
        said = "; ".join(rings[heading]) or f"`{heading}`"
        assert section.startswith(f"\n\n({said}) **Means:** "), heading
        assert re.findall(r"^(?:\(.*\) )?\*\*([\w ]+):\*\* ", section, re.MULTILINE) == _POINTS


def test_sections_of_alarms_have_a_command_to_look_with() -> None:
    """Or lead to the looks that all share."""
    of_alarms = {section for section, _ in alarms().values()}

    without = [
        heading
        for heading, section in sections()
        if heading in of_alarms
        and not _INLINE.search(section)
        and "](#first-three-looks)" not in section
    ]

    assert without == []


def test_every_command_is_one_that_aws_knows(tmp_path: Path) -> None:
    """All blocks, then what stands in sections; a variable that is not set is a fault."""
    programs = RecordedPrograms(tmp_path, "aws", "sleep")
    programs.answer("aws", HealthUrl="echo https://voice.example.com/health")
    script = "\n".join(["set -eu", *_BLOCK.findall(text()), *commands()])

    run = subprocess.run(
        ["/bin/bash"], input=script, env={"PATH": programs.path}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip

    calls = programs.calls
    assert (run.returncode, run.stderr) == (0, "")
    assert len(calls) > 100
    assert [
        fault for _, service, name, *words in calls for fault in faults_of(service, name, words)
    ] == []
    asked = {found for call in calls for found in re.findall(r"OutputKey=='(\w+)'", str(call))}
    assert asked == {
        "ClusterName", "DynamoDBTable", "HealthUrl", "LogGroupName", "ModelIdentifier",
        "ServiceName",
    }  # fmt: skip
    assert asked <= load(CLOUD)["Outputs"].keys()


@pytest.mark.parametrize(
    ("call", "fault"),
    [
        ("aws ecs describe-service --cluster a", "ecs has no describe-service"),
        ("aws ecs stop-task --cluster a --task b --cause c", "ecs stop-task has no --cause"),
        ("aws ecs describe-tasks --cluster a", "ecs describe-tasks needs tasks"),
        (
            "aws cloudwatch describe-alarms --state-value RED",
            "cloudwatch describe-alarms --state-value is none of"
            " ['OK', 'ALARM', 'INSUFFICIENT_DATA']: RED",
        ),
    ],
)
def test_a_wrong_command_is_found(call: str, fault: str) -> None:
    _, service, name, *words = call.split()

    assert faults_of(service, name, words) == [fault]


def test_queries_of_the_log_name_events_and_keys_that_are_written() -> None:
    page = (ROOT / "docs" / "reference" / "log-events.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([\w.]+)` \| [\w, ]+ \| ([^|]*) \|", page, re.MULTILINE)
    keys_of = {event: {*re.findall(r"`(\w+)`", keys)} for event, keys in rows}
    queries = [each for each in commands() if each.startswith("logs ")]

    wrong = []
    for query in queries:
        events = re.findall(r'"(\w+\.\w+)"', query)
        written = {"call_sid", "event", "exception"}.union(*(keys_of.get(e, ()) for e in events))
        listed = re.findall(r"(?:\bby|\bfields) ([@\w., ()]+)", query)
        keys = {
            word for each in listed for word in re.findall(r"(?<![@\w.])[a-z_]+(?![\w(])", each)
        }
        keys |= {each.split(".")[0] for each in re.findall(r"(?:avg|sum|pct)\(([\w.]+)", query)}
        wrong += [f"{query}: {each}" for each in sorted(keys - written)]
        wrong += [f"{query}: {each}" for each in events if each not in keys_of]

    assert len(queries) > 20
    assert wrong == []


def test_metrics_of_ours_are_written() -> None:
    named = re.findall(r"metric (\S+) (\w+) (\w+) ", " ".join(commands()) + " ")

    ours = {name for namespace, name, _ in named if namespace == NAMESPACE}

    assert ours >= {"ActiveCalls", "CallsFailed", "CallsRung"}
    assert ours <= set(NAMES)
    assert {statistic for *_, statistic in named} <= {"Average", "Maximum", "Sum", "p95"}
