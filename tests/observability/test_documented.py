"""Every metric is documented, and whatever is named somewhere is exported."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from pathlib import Path

import pytest
from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.parser import text_string_to_metric_families

from agent.observability import EmbeddedMetrics, Telemetry
from agent.observability.emf import NAMESPACE

ROOT = Path(__file__).parents[2]
OBSERVING = ROOT / "docs" / "operate" / "observing.md"
PAGES = tuple(
    page
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
    if page.name != "log-events.md"
)
_ROW = re.compile(r"^\| `(agent_\w+)` \| (counter|gauge|histogram) \| ([a-z_, ]*)\| (.+) \|$", re.M)
_NAME = re.compile(r"`(agent_[a-z_]+)[`{]")
_WITH_LABELS = re.compile(r"`(agent_\w+)\{([a-z_,]+)\}")
_MOST_LABELS = 4


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


def test_labels_are_those_that_are_documented() -> None:
    """Of every metric, also of those that a usual call never touches."""
    told = {name: labels for name, (_, labels) in documented().items()}

    assert labels_of(fully_sampled()) == told


@pytest.mark.parametrize(
    "name", ["README.md", "CHANGELOG.md", "docs/operate/observing.md", "docs/operate/runbook.md"]
)
def test_labels_in_prose_are_those_that_are_exported(name: str) -> None:
    """Where a text names a metric with its labels in braces."""
    exported_labels = labels_of(fully_sampled())
    told = _WITH_LABELS.findall((ROOT / name).read_text(encoding="utf-8"))

    wrong = [
        metric for metric, labels in told if frozenset(labels.split(",")) != exported_labels[metric]
    ]

    assert wrong == []


def fully_sampled() -> Telemetry:
    """Each metric has a sample, with labels that it was declared with."""
    telemetry = Telemetry()
    for metric in vars(telemetry).values():
        if isinstance(metric, Counter | Gauge | Histogram):
            _sample(metric)
    telemetry.models.asked("m")
    telemetry.models.began("m", 0.1)
    telemetry.models.retried("m")
    telemetry.models.fell_back("m")
    telemetry.models.hedged("won")
    telemetry.models.breaker("m", is_open=True)
    telemetry.models.option_refused("m", "temperature")
    telemetry.journals.lost(1, "stopped")
    telemetry.records.lost(1, "stopped")
    telemetry.tool_sources.changed("crm", is_up=True)
    return telemetry


def _sample(metric: Counter | Gauge | Histogram) -> None:
    """As many values as it has labels; one without labels has a sample already."""
    for count in range(_MOST_LABELS + 1):
        with suppress(ValueError):
            metric.labels(*["x"] * count)


def labels_of(telemetry: Telemetry) -> dict[str, frozenset[str]]:
    """The labels of each metric's samples, under the name a query uses."""
    text, _ = telemetry.render("")
    seen: dict[str, set[frozenset[str]]] = {}
    for family in text_string_to_metric_families(text.decode()):
        name = family.name + "_total" * (family.type == "counter")
        for sample in family.samples:
            if not sample.name.endswith("_created"):
                seen.setdefault(name, set()).add(frozenset(sample.labels) - {"le"})
    return {name: labels for name, [labels] in seen.items()}
