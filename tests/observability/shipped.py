"""Reads the shipped rules, alerts and dashboard for tests.

Rules are YAML, which the service's environment cannot read; the linters' can, see
`tests.templates.loading`.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from agent.observability import Telemetry
from tests.templates.loading import ROOT, tool

FOLDER = ROOT / "observability"
CONFIGURATION = FOLDER / "prometheus.yml"
ECS_CONFIGURATION = FOLDER / "prometheus-ecs.yml"
RECORDING = FOLDER / "rules" / "recording.yml"
ALERTS = FOLDER / "rules" / "alerts.yml"
RULE_TESTS = tuple(sorted((FOLDER / "rules" / "tests").glob("*.yml")))
DASHBOARD = FOLDER / "grafana" / "dashboards" / "voice-agent.json"
PROVISIONING = FOLDER / "grafana" / "provisioning"
RUNBOOK = ROOT / "docs" / "operate" / "runbook.md"
README = ROOT / "README.md"
OBSERVING = ROOT / "docs" / "operate" / "observing.md"

_METRIC = re.compile(r"(?<![\w:.])agent_[a-z0-9_]*[a-z0-9](?!:)\b")
_RECORDED = re.compile(r"\b[a-z_]+:[a-z0-9_]+:[a-z0-9_]+\b")
_THRESHOLD = re.compile(r"\s*(?:[<>]=?|[=!]=)\s*[0-9.]+")
_PARTS = {"histogram": ("", "_bucket", "_sum", "_count"), "counter": ("",), "gauge": ("",)}


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert."""

    name: str
    expr: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Target:
    """One query of a panel."""

    panel: str
    expr: str
    legend: str


@cache
def read_yaml(path: Path) -> Any:
    """A file as plain data; to be read, not changed."""
    program = "import json, sys, yaml; json.dump(yaml.safe_load(sys.stdin), sys.stdout)"
    text = path.read_text(encoding="utf-8")
    told = subprocess.check_output([tool("python"), "-c", program], input=text, text=True)  # noqa: S603 (ours)
    return json.loads(told)


def _rules(path: Path) -> Iterator[dict[str, Any]]:
    for group in read_yaml(path)["groups"]:
        yield from group["rules"]


def alerts() -> list[Alert]:
    return [
        Alert(rule["alert"], rule["expr"], rule["labels"], rule["annotations"])
        for rule in _rules(ALERTS)
    ]


def recordings() -> dict[str, str]:
    """The expressions by the names they are recorded under."""
    return {rule["record"]: rule["expr"] for rule in _rules(RECORDING)}


def rule_tests() -> list[tuple[str, bool]]:
    """The alert of each test that promtool runs, and whether it is to fire."""
    return [
        (asked["alertname"], bool(asked["exp_alerts"]))
        for path in RULE_TESTS
        for test in read_yaml(path)["tests"]
        for asked in test["alert_rule_test"]
    ]


def dashboard() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    return loaded


def targets() -> list[Target]:
    return [
        Target(panel["title"], target["expr"], target["legendFormat"])
        for panel in dashboard()["panels"]
        for target in panel.get("targets", [])
    ]


def without_thresholds(expr: str) -> str:
    return _THRESHOLD.sub("", expr)


def filled_in(expr: str) -> str:
    """A dashboard's expression with what Grafana puts in the places of its variables."""
    return re.sub(r"\$(instance|use_case|model)\b", ".*", expr.replace("$__rate_interval", "5m"))


def metrics_in(text: str) -> set[str]:
    return set(_METRIC.findall(text))


def recorded_in(text: str) -> set[str]:
    return set(_RECORDED.findall(text))


def exported() -> dict[str, set[str]]:
    """The metrics of the service, each with the names of its samples."""
    text = Telemetry().render("")[0].decode()
    families = (line.split()[2:] for line in text.splitlines() if line.startswith("# TYPE"))
    return {
        name: {name + part for part in _PARTS[kind]}
        for name, kind in families
        if not name.endswith("_created")
    }
