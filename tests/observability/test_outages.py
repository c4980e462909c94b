"""Each planted outage rings: the shipped alarms and alerts see what a real service exports.

A service is called on virtual time, breaks, and is called again. What it wrote for CloudWatch goes
through the alarms of the templates, what a scraper read through the rules, in promtool.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from agent.simulator.carrier import call_fields
from tests.observability import shipped
from tests.observability.cloudwatch import MINUTE, Alarm, Metrics, rule_holds
from tests.observability.outages import BEGAN, OUTAGES, SCRAPE_SECONDS, Replay, Rig, replay
from tests.observability.prometheus import program
from tests.servers import ACTION_URL, VOICE_URL
from tests.templates.loading import cloud, resources

pytestmark = [pytest.mark.needs(each) for each in ("prometheus", "linters", "time")]

_PARAMETERS = {"pMinTasks": 2, "pMaxCallsPerTask": 100, "pBedrockTokensPerMinute": 4_000_000}
_NO_CALLS = "webhook's host name or certificate wrong"
_LONG = {_NO_CALLS: {"minutes_before": 65, "minutes_after": 30, "seconds_between": 120.0}}
"""Only hours tell that no calls come."""
_WITHIN = {_NO_CALLS: 2 * 15}
"""Minutes until all has rung: two of the longest evaluation periods."""
_USUALLY_WITHIN = 2 * 5
_PARTS = {"QuietLinesAlarm", "BusyBeforeAlarm"}
_ROW = re.compile(r"^\| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)
_TABLE_HEAD = "| outage | CloudWatch alarms | Prometheus alerts |"


def _resolved(node: Any) -> Any:
    """Properties with parameters filled in; what names a resource becomes its name."""
    match node:
        case {"Ref": str(name)}:
            return _PARAMETERS.get(name, name)
        case {"Fn::Sub": str(text)}:
            return re.sub(r"\$\{(\w+)\}", lambda found: str(_resolved({"Ref": found[1]})), text)
        case dict():
            return {key: _resolved(value) for key, value in node.items()}
        case list():
            return [_resolved(value) for value in node]
        case _:
            return node


@cache
def _alarms() -> dict[str, Alarm]:
    return {
        name: Alarm(_resolved(properties))
        for name, properties in resources(cloud(), "AWS::CloudWatch::Alarm").items()
    }


@cache
def _composites() -> dict[str, str]:
    found = resources(cloud(), "AWS::CloudWatch::CompositeAlarm")
    return {name: _resolved(each["AlarmRule"]) for name, each in found.items()}


def ringing(metrics: Metrics, now: float) -> set[str]:
    """The alarms that ring and tell of it."""
    known = _alarms()
    alone = {name for name, alarm in known.items() if alarm.rings(metrics, now)}
    together = {
        name for name, rule in _composites().items() if rule_holds(rule, alone.__contains__)
    }
    return (alone - _PARTS) | together


def in_cloudwatch(played: Replay, *, tasks: int = 2) -> Metrics:
    """What CloudWatch knows: what the service wrote, and that tasks run."""
    metrics = Metrics()
    metrics.read(played.lines)
    for minute in range(len(played.scrapes) * int(SCRAPE_SECONDS) // MINUTE):
        at = BEGAN + minute * MINUTE
        metrics.add("ECS/ContainerInsights", "RunningTaskCount", at, tasks)
    return metrics


@dataclass(frozen=True, slots=True)
class Rung:
    """What rang in a replay: before something broke, and after that."""

    before: frozenset[str]
    after: frozenset[str]


def rung_in_cloudwatch(played: Replay, minutes: int) -> Rung:
    """The alarms, looked at every minute; `minutes` after something broke."""
    metrics, broken = in_cloudwatch(played), int(played.broken_at)
    warm = 5 * MINUTE  # an alarm that was just made has no periods to look at
    seen: dict[bool, set[str]] = {False: set(), True: set()}
    for second in range(warm, broken + minutes * MINUTE + 1, MINUTE):
        seen[second > broken] |= ringing(metrics, BEGAN + second)
    return Rung(frozenset(seen[False]), frozenset(seen[True]))


def _series(scrapes: Sequence[str]) -> dict[str, list[str]]:
    """The values at each scrape of the series that rules read, as promtool reads them."""
    rules = (shipped.RECORDING, shipped.ALERTS)
    read = set().union(*(shipped.metrics_in(path.read_text(encoding="utf-8")) for path in rules))
    found: dict[str, list[str]] = {}
    for number, text in enumerate(scrapes):
        for family in text_string_to_metric_families(text):
            for sample in (each for each in family.samples if each.name in read):
                labels = {**sample.labels, "job": "voice-agent", "instance": "a:9090"}
                inner = ",".join(f'{name}="{value}"' for name, value in sorted(labels.items()))
                values = found.setdefault(f"{sample.name}{{{inner}}}", [])
                values += ["_"] * (number - len(values)) + [repr(float(sample.value))]
    return found


_ASKED = 'count by (alertname) (max_over_time(ALERTS{{alertstate="firing"}}[{minutes}m]))'
_GOT = re.compile(r'\{alertname="(\w+)"\}')


def rung_in_prometheus(folder: Path, played: Replay, minutes: int) -> Rung:
    """The alerts that fired within the minutes before something broke, and after that.

    promtool tells what it got where it is asked for something else.
    """
    broken = int(played.broken_at) // MINUTE
    series = _series(played.scrapes) | {
        'up{instance="a:9090",job="voice-agent"}': ["1"] * len(played.scrapes)
    }
    listed = "\n".join(
        f"      - {{series: '{name}', values: '{' '.join(values)}'}}"
        for name, values in series.items()
    )
    asked = {broken: broken - 1, broken + minutes: minutes - 1}
    queries = "\n".join(
        f"      - {{expr: '{_ASKED.format(minutes=window)}', eval_time: {at}m,"
        " exp_samples: [{labels: asked, value: 0}]}"
        for at, window in asked.items()
    )
    file = folder / "replay.yml"
    file.write_text(
        f"rule_files: ['{shipped.RECORDING}', '{shipped.ALERTS}']\nevaluation_interval: 30s\n"
        f"tests:\n  - interval: {int(SCRAPE_SECONDS)}s\n    input_series:\n{listed}\n"
        f"    promql_expr_test:\n{queries}\n"
    )
    command = [program("promtool"), "test", "rules", str(file)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 (ours)
    before, after = (run.stdout + run.stderr).split("expr: ")[1:]
    return Rung(*(frozenset(_GOT.findall(each.partition("got:")[2])) for each in (before, after)))


@pytest.fixture(scope="module")
def documented() -> Mapping[str, tuple[frozenset[str], frozenset[str]]]:
    """The table of docs/operate/observing.md: alarms and alerts by outage."""
    text = shipped.OBSERVING.read_text(encoding="utf-8").partition(_TABLE_HEAD)[2]
    return {
        row[1]: (
            frozenset(re.findall(r"`(\w+)`", row[2])),
            frozenset(re.findall(r"`(\w+)`", row[3])),
        )
        for row in _ROW.finditer(text.split("\n\n")[0])
        if not row[1].startswith("-")
    }


def test_the_table_has_every_outage(
    documented: Mapping[str, tuple[frozenset[str], frozenset[str]]],
) -> None:
    assert list(documented) == list(OUTAGES)


@pytest.mark.parametrize("name", OUTAGES)
def test_an_outage_rings_within_two_evaluation_periods(
    tmp_path: Path, name: str, documented: Mapping[str, tuple[frozenset[str], frozenset[str]]]
) -> None:
    """The alarms and alerts of the table and no other; before, while all is well, none."""
    played = replay(tmp_path, OUTAGES[name], **_LONG.get(name, {}))  # type: ignore[arg-type] # as they come
    minutes = _WITHIN.get(name, _USUALLY_WITHIN)

    alarms = rung_in_cloudwatch(played, minutes)
    alerts = rung_in_prometheus(tmp_path, played, minutes)

    assert (alarms.before, alerts.before) == (frozenset(), frozenset())
    assert (alarms.after, alerts.after) == documented[name]
    assert alarms.after and alerts.after


async def _strangers(rig: Rig) -> None:
    """Unsigned, signed by another, and forged for another account; also for a call that exists."""
    other = replace(rig.twilio, token="0" * 32)
    for number in range(60):
        fields = call_fields(AccountSid=f"AC{number + 1:032x}")
        await rig.twilio.post(VOICE_URL, fields, signature="")
        await rig.twilio.post(ACTION_URL, call_fields(), signature="Zm9yZ2Vk")
        await other.post(VOICE_URL, fields)
        for path in ("/token", "/", "/conversation-relay", "/messages/status", "/wp-login.php"):
            async with rig.twilio.http.post(rig.server.url(path), data={"a": "b"}) as response:
                assert response.status < 500


def test_strangers_are_told_of_and_roll_no_deployment_back(tmp_path: Path) -> None:
    played = replay(tmp_path, _strangers)

    assert rung_in_cloudwatch(played, 10).after == {"UnsignedRequestsAlarm"}
    assert rung_in_prometheus(tmp_path, played, 10).after == {"VoiceAgentStrangersRefused"}


async def _one_call_fails(rig: Rig) -> None:
    rig.faults.set_up_crashes = True
    await rig.call()
    rig.faults.set_up_crashes = False


def test_one_failed_call_of_one_rings_nothing(tmp_path: Path) -> None:
    """A caller who meets the only fault of a quiet night is no outage."""
    played = replay(tmp_path, _one_call_fails, seconds_between=3600.0)

    assert [line for line in played.lines if '"CallsFailedByCrash": 1' in line]
    assert rung_in_cloudwatch(played, 10) == Rung(frozenset(), frozenset())
    assert rung_in_prometheus(tmp_path, played, 10) == Rung(frozenset(), frozenset())
