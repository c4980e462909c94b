"""Every metric is documented, and whatever is named somewhere is exported."""

from __future__ import annotations

import json
import re
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from agent.telemetry import EmbeddedMetrics, Telemetry
from agent.telemetry.emf import NAMESPACE
from tests.servers import Server

ROOT = Path(__file__).parents[1]
OBSERVING = ROOT / "docs" / "observing.md"
PAGES = (ROOT / "README.md", OBSERVING)
_ROW = re.compile(r"^\| `(agent_\w+)` \| (counter|gauge|histogram) \| ([a-z_, ]*)\| (.+) \|$", re.M)
_NAME = re.compile(r"`(agent_[a-z_]+)[`{]")


def documented() -> dict[str, tuple[str, frozenset[str]]]:
    """Type and labels of each metric as they are told."""
    text = OBSERVING.read_text(encoding="utf-8")
    return {
        name: (kind, frozenset(labels.replace(",", " ").split()))
        for name, kind, labels, _ in _ROW.findall(text)
    }


def exported() -> dict[str, str]:
    """Type of each metric, under the name a query uses."""
    text, _ = Telemetry().render("")
    return {
        line.split()[2]: line.split()[3]
        for line in text.decode().splitlines()
        if line.startswith("# TYPE agent_") and not line.split()[2].endswith("_created")
    }


def test_every_metric_is_documented_with_its_type() -> None:
    """A metric nobody knows of is measured for nothing, one that is not there misleads."""
    told = {name: kind for name, (kind, _) in documented().items()}

    assert told == exported()


def test_every_metric_named_in_prose_is_exported() -> None:
    """Also outside of the table."""
    named = {name for page in PAGES for name in _NAME.findall(page.read_text(encoding="utf-8"))}

    assert len(named) > 40
    assert named - {"agent_"} <= exported().keys()


def test_metrics_of_the_cloud_template_are_written() -> None:
    """What alarms, dashboard and scaling take from us is in the line for CloudWatch."""
    template = (ROOT / "cloud-deploy-infra-template.yml").read_text(encoding="utf-8")
    alarms = re.findall(r"Namespace: (\w+)\n +MetricName: (\w+)", template)
    graphs = re.findall(r'\["(VoiceAgent)", "(\w+)", "Service"', template)
    ours = {name for namespace, name in [*alarms, *graphs] if namespace == NAMESPACE}
    written: list[str] = []

    EmbeddedMetrics(Telemetry(), "voice.example.com", written.append).publish()

    [directive] = json.loads(written[0])["_aws"]["CloudWatchMetrics"]
    assert ours == {each["Name"] for each in directive["Metrics"]}
    assert directive["Namespace"] == NAMESPACE == "VoiceAgent"


async def test_labels_are_those_that_are_documented(server: Server) -> None:
    """A call with a tool leaves samples of most; each has its labels."""
    async with server.twilio.call(From="+15550100001") as call:
        await call.say("the usual")
    await server.calls.until_quiet()
    _, text = await server.get(server.metrics_url)

    told = documented()
    wrong = {
        (sample.name, *sample.labels)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if family.name.startswith("agent_") and not sample.name.endswith("_created")
        for name in [family.name + "_total" * (family.type == "counter")]
        if sample.labels.keys() - {"le"} != told[name][1]
    }

    assert wrong == set()
    assert "agent_turn_stage_seconds_bucket" in text
