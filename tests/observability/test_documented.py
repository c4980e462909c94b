"""Every metric that a page, a template or the code names is exported, with these labels."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.observability import embedded_metrics, metrics
from agent.observability.embedded_metrics import NAMES, NAMESPACE
from agent.observability.metrics import METRICS

ROOT = Path(__file__).parents[2]
PAGES = tuple(
    page
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
    if page.name != "log-events.md"
)
_NAME = re.compile(r"`(agent_[a-z_]+)[`{]")
_WITH_LABELS = re.compile(r"`(agent_\w+)\{([a-z_,]+)\}")


def test_every_metric_named_in_prose_is_exported() -> None:
    named = {name for page in PAGES for name in _NAME.findall(page.read_text(encoding="utf-8"))}

    assert len(named) > 40
    assert named - {"agent_"} <= declared().keys()


def test_metrics_of_the_cloud_template_are_written() -> None:
    """Alarms, dashboard and scaling use all of them, and no other."""
    files = (ROOT / "cloud-deploy-infra-template.yml", ROOT / "infrastructure" / "alarms.yml")
    template = "".join(file.read_text(encoding="utf-8") for file in files)
    alarms = re.findall(r"Namespace: (\w+)\n +MetricName: (\w+)", template)
    graphs = re.findall(r'\["(VoiceAgent)", "(\w+)", "Service"', template)
    ours = {name for namespace, name in [*alarms, *graphs] if namespace == NAMESPACE}

    assert ours == set(NAMES)
    assert NAMESPACE == "VoiceAgent"


@pytest.mark.parametrize(
    "name", ["README.md", "CHANGELOG.md", "docs/operate/observing.md", "docs/operate/runbook.md"]
)
def test_labels_in_prose_are_those_that_are_exported(name: str) -> None:
    """Where a text names a metric with its labels in braces."""
    told = _WITH_LABELS.findall((ROOT / name).read_text(encoding="utf-8"))

    assert {(metric, frozenset(labels.split(","))) for metric, labels in told} <= declared().items()


def declared() -> dict[str, frozenset[str]]:
    """The labels of each metric, under the name a query uses."""
    return {spec.name: frozenset(spec.labels) for spec in METRICS}


def counted_in(source: Path) -> Iterator[tuple[str, frozenset[str]]]:
    """Each metric that a file counts or reads, with the labels it gives."""
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        match node:
            case ast.Call(args=[ast.Constant(value=str(name)), *_], keywords=labels) if (
                name.startswith("agent_")
            ):
                yield name, frozenset(label.arg or "**" for label in labels)
            case _:
                pass


def test_every_count_names_a_metric_and_its_labels() -> None:
    """Otherwise it would raise when it is counted, in the middle of a call."""
    declaring = {Path(str(each.__file__)) for each in (metrics, embedded_metrics)}
    sources = set((ROOT / "agent").rglob("*.py")) - declaring
    counted = {each for source in sources for each in counted_in(source)}

    assert sorted(counted - declared().items()) == []
    unused = declared().keys() - {name for name, _ in counted}
    assert unused == {"agent_active_calls", "agent_log_lines_lost_total"}
