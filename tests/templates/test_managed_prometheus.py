"""The managed workspace: it has the shipped rules, and its alerts reach the topic."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from docs import managed_rules
from tests.dynamodb import free_port
from tests.observability import shipped
from tests.observability.prometheus import program, promtool, tool_of_prometheus
from tests.survival.front import is_answered
from tests.templates.loading import cloud, load, only, resources
from tests.waiting import no_longer

_RULES_OF_A_GROUP = 20
"""At most, by the quotas of the service:
https://docs.aws.amazon.com/prometheus/latest/userguide/AMP_quotas.html"""
_TOPIC = "arn:aws:sns:us-east-1:123456789012:alarms"
_URGENT_TOPIC = "arn:aws:sns:us-east-1:123456789012:urgent"
_PUBLISHED = """<PublishResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/">
<PublishResult><MessageId>1</MessageId></PublishResult></PublishResponse>"""


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


def alertmanager_configuration(folder: Path) -> Path:
    """What the workspace's definition holds, as a file for Alertmanager."""
    [_, text, _] = only("AWS::APS::Workspace")["AlertManagerDefinition"]["Fn::If"]
    definition = folder / "definition.yml"
    definition.write_text(filled(text), encoding="utf-8")
    [(name, inner)] = shipped.read_yaml(definition).items()
    assert name == "alertmanager_config"
    configuration = folder / "alertmanager.yml"
    configuration.write_text(inner, encoding="utf-8")
    return configuration


@pytest.mark.needs("prometheus")
def test_alertmanager_understands_its_definition_and_knows_both_topics(tmp_path: Path) -> None:
    """Without a topic there is none; the service allows no other receiver."""
    [condition, _, otherwise] = only("AWS::APS::Workspace")["AlertManagerDefinition"]["Fn::If"]
    configuration = alertmanager_configuration(tmp_path)

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
    assert "SUCCESS" in told
    assert routed == {"critical": "urgent", "warning": "topic"}
    assert {name: each["topic_arn"] for name, each in topics.items()} == {
        "topic": _TOPIC, "urgent": _URGENT_TOPIC,
    }  # fmt: skip
    assert [each["sigv4"] for each in topics.values()] == [{"region": "us-east-1"}] * 2


@pytest.mark.needs("prometheus")
async def test_alerts_are_published_to_the_topic_of_their_severity(tmp_path: Path) -> None:
    """By a real Alertmanager, to a server that takes what SNS takes; it waits less than it will."""
    published: asyncio.Queue[dict[str, str]] = asyncio.Queue()
    alerts = [
        {"labels": {"alertname": each.name, **each.labels}, "annotations": each.annotations}
        for each in shipped.alerts()
        if each.name in {"VoiceAgentAllDown", "VoiceAgentStoreSlow"}
    ]

    async def publish(request: web.Request) -> web.Response:
        published.put_nowait({name: str(value) for name, value in (await request.post()).items()})
        return web.Response(text=_PUBLISHED, content_type="text/xml")

    application = web.Application()
    application.router.add_post("/", publish)
    async with TestServer(application) as sns, aiohttp.ClientSession() as http:
        path = alertmanager_configuration(tmp_path)
        told = path.read_text().replace("group_wait: 30s", "group_wait: 0s")
        sends = f"sns_configs:\n      - api_url: {sns.make_url('')}\n        "
        path.write_text(re.sub(r"sns_configs:\s+- ", sends, told))
        async with alertmanager(path, http) as url:
            async with http.post(f"{url}/api/v2/alerts", json=alerts) as response:
                assert response.status == 200
            async with no_longer():
                messages = [await published.get(), await published.get()]

    found = {
        each["TopicArn"]: (each["Subject"], each["Message"].split(", see ")) for each in messages
    }
    assert {topic: subject for topic, (subject, _) in found.items()} == {
        _TOPIC: "firing: VoiceAgentStoreSlow of calls",
        _URGENT_TOPIC: "firing: VoiceAgentAllDown of calls",
    }
    assert found[_URGENT_TOPIC][1][0].startswith("firing, critical: No process answers\nsince 20")
    assert found[_URGENT_TOPIC][1][1].strip() == "docs/operate/runbook.md#voiceagentalldown"


@asynccontextmanager
async def alertmanager(configuration: Path, http: aiohttp.ClientSession) -> AsyncIterator[str]:
    """A real one; its address."""
    url = f"http://127.0.0.1:{free_port()}"
    process = await asyncio.create_subprocess_exec(
        program("prometheus-alertmanager"),
        f"--config.file={configuration}",
        f"--storage.path={configuration.parent / 'data'}",
        f"--web.listen-address={url.removeprefix('http://')}",
        "--cluster.listen-address=",
        env={"AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any"},
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with no_longer():
            while not await is_answered(f"{url}/-/ready"):
                assert process.returncode is None
                await asyncio.sleep(0.05)  # a process that starts has no event for us
        yield url
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def test_workspace_is_given_what_its_rules_and_alerts_need() -> None:
    given = cloud()["Resources"]["Prometheus"]["Properties"]["Parameters"]

    assert given == {
        "pStackName": {"Ref": "AWS::StackName"},
        "pAlarmTopicArn": {"Ref": "pAlarmTopicArn"},
        "pUrgentAlarmTopicArn": {
            "Fn::If": ["HasUrgentTopic", {"Ref": "pUrgentAlarmTopicArn"}, {"Ref": "pAlarmTopicArn"}]
        },
        "pMaxCallsPerTask": {"Ref": "pMaxCallsPerTask"},
    }
