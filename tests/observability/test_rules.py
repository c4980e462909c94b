"""Rules and alerts: valid for Prometheus, on metrics that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from agent.http.server import public_limits
from agent.settings import Settings
from tests.observability import shipped
from tests.observability.prometheus import promtool

pytestmark = pytest.mark.needs("prometheus")


def test_configuration_rules_and_their_tests_are_right_for_prometheus() -> None:
    said = promtool("check", "config", shipped.CONFIGURATION)

    assert f"SUCCESS: {len(shipped.alerts())} rules found" in said
    assert f"SUCCESS: {len(shipped.recordings())} rules found" in said

    said = promtool("test", "rules", *shipped.RULE_TESTS)

    assert said.count("SUCCESS") == len(shipped.RULE_TESTS)


@pytest.mark.parametrize("fires", [True, False])
def test_each_alert_is_tried(fires: bool) -> None:
    """Both that it fires and that it does not."""
    tried = {alert for alert, does_fire in shipped.rule_tests() if does_fire is fires}

    assert tried == {alert.name for alert in shipped.alerts()}


def test_no_alert_and_no_recording_has_its_name_twice() -> None:
    names = [alert.name for alert in shipped.alerts()]
    records = re.findall(r"- record: (\S+)", shipped.RECORDING.read_text(encoding="utf-8"))

    assert sorted(set(names)) == sorted(names)
    assert sorted(set(records)) == sorted(records)


@pytest.mark.parametrize(
    "path",
    [
        shipped.RECORDING,
        shipped.ALERTS,
        shipped.RUNBOOK,
        shipped.README,
        shipped.OBSERVING,
        *shipped.RULE_TESTS,
    ],
)
def test_metrics_that_are_named_are_exported(path: Path) -> None:
    known = set().union(*shipped.exported().values())
    named = shipped.metrics_in(path.read_text(encoding="utf-8"))

    assert named - known == set()


def test_alerts_read_what_is_recorded() -> None:
    assert shipped.recorded_in(shipped.ALERTS.read_text(encoding="utf-8")) <= set(
        shipped.recordings()
    )


def test_each_alert_says_how_bad_and_leads_to_its_section() -> None:
    told = {
        alert.name: (alert.labels["severity"], alert.annotations["runbook_url"])
        for alert in shipped.alerts()
    }

    assert {severity for severity, _ in told.values()} == {"critical", "warning"}
    assert {name: url for name, (_, url) in told.items()} == {
        name: f"docs/operate/runbook.md#{name.lower()}" for name in told
    }
    assert all(alert.annotations["summary"] for alert in shipped.alerts())


def test_limits_are_those_of_a_process_with_nothing_set() -> None:
    """An operator who sets `MAX_CALLS` changes two numbers in the rules."""
    settings = Settings.read({})
    recorded = shipped.recordings()

    assert recorded["voice_agent:calls:limit"] == f"vector({settings.max_calls})"
    assert recorded["voice_agent:connections:limit"] == "8 * vector(100) + 256"
    assert public_limits(settings).most == 8 * 100 + 256
