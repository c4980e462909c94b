"""A process on Fargate that is killed is told from one that ends in order, and from its neighbour.

A real Prometheus has the shipped rules, a minute as four seconds, and scrapes two real processes
with the labels of two tasks: one as its collector writes them, one as `prometheus-ecs.yml` finds
them.
"""

from __future__ import annotations

import asyncio
import json
import re
import signal
from pathlib import Path
from typing import Any

import pytest

from benchmarks.service import Server, serving
from tests.observability import shipped
from tests.observability.fargate import FargateTask, collector, configuration, pushed_labels
from tests.observability.prometheus import Prometheus, promtool, watching
from tests.waiting import no_longer

pytestmark = [pytest.mark.needs("prometheus"), pytest.mark.needs("linters")]

KILLED = FargateTask("4f1a0c6e9b7d4e2f8a3b5c7d9e1f2a4b", "us-east-1a")
DRAINED = FargateTask("9c3d2e5f7a1b4c6d8e0f1a2b3c4d5e6f", "us-east-1b")
LABELS = [
    {"job": "voice-agent", "instance": task.id, "availability_zone": task.zone, "cluster": "calls"}
    for task in (KILLED, DRAINED)
]
_TOKEN = "12345678901234567890123456789012"
_SECONDS_OF_A_MINUTE = 4
_DOWN = 'ALERTS{alertname="VoiceAgentInstanceDown"}'
_RINGS = 'ALERTS{alertname="VoiceAgentInstanceDown", alertstate="firing"}'
_ALL_RING = 'ALERTS{alertname="VoiceAgentAllDown", alertstate="firing"}'
_EVER_RANG = f"max without (alertstate) (max_over_time({_DOWN}[10m]))"
"""Also what was pending only."""


def test_collector_writes_the_labels_that_the_rules_ask_for() -> None:
    """Beside them, what `job` and `instance` are made of; no ARN and nothing of the account."""
    whole = configuration()
    writes = whole["exporters"]["prometheusremotewrite"]

    assert pushed_labels(KILLED) == {
        **LABELS[0],
        "service_name": "voice-agent",
        "service_instance_id": KILLED.id,
    }
    assert writes["resource_to_telemetry_conversion"] == {"enabled": True}
    assert whole["service"]["pipelines"]["traces"]["processors"] == [
        "memory_limiter", "resourcedetection", "batch",
    ]  # fmt: skip


def test_collector_is_restarted_and_stays_within_its_memory() -> None:
    """Its limits are in the order in which they are to act: collection, refusal, the kernel."""
    whole, container = configuration(), collector()
    limits = whole["processors"]["memory_limiter"]
    [go] = [each["Value"] for each in container["Environment"] if each["Name"] == "GOMEMLIMIT"]
    first, *_ = whole["service"]["pipelines"]["metrics"]["processors"]

    assert container["RestartPolicy"] == {"Enabled": True, "RestartAttemptPeriod": 60}
    assert first == "memory_limiter"
    assert int(go.removesuffix("MiB")) == 0.8 * limits["limit_mib"]
    assert limits["spike_limit_mib"] < limits["limit_mib"] < container["Memory"]


def test_receiver_scrapes_what_prometheus_understands(tmp_path: Path) -> None:
    path = tmp_path / "receiver.yml"
    path.write_text(json.dumps(configuration()["receivers"]["prometheus"]["config"]))

    assert "SUCCESS" in promtool("check", "config", path)


def test_killed_task_rings_and_drained_one_does_not(tmp_path: Path) -> None:
    asyncio.run(_watch(tmp_path))


async def _watch(folder: Path) -> None:
    tasks = _Tasks(folder)
    (folder / "killed").mkdir()
    (folder / "drained").mkdir()
    async with (
        serving(folder / "killed", _TOKEN, {}) as killed,
        serving(folder / "drained", _TOKEN, {}) as drained,
    ):
        tasks.write("collector", (killed, pushed_labels(KILLED)))
        tasks.write("discovery", (drained, DRAINED.discovered()))
        async with watching(folder, tasks.scrapes(), *_rules(folder), interval="1s") as prometheus:
            await prometheus.until("count(up == 1) == 2")
            assert await _labels(prometheus, "up") == LABELS
            assert await _labels(prometheus, "agent_active_calls") == LABELS

            killed.process.send_signal(signal.SIGKILL)
            await killed.process.wait()
            tasks.write("collector")  # it ends with its task
            await prometheus.until(_DOWN)
            await prometheus.until(_RINGS)
            assert await _labels(prometheus, _DOWN) == LABELS[:1]

            await prometheus.until("count_over_time(agent_draining[3s]) >= 2")
            drained.process.send_signal(signal.SIGTERM)
            async with no_longer():
                assert await drained.process.wait() == 0
            tasks.write("discovery")  # ECS lists running tasks only
            await prometheus.until(f'absent(up{{instance="{DRAINED.id}"}})')
            await prometheus.until("voice_agent:up:sum == 0")
            await prometheus.until(_ALL_RING)
            assert await _labels(prometheus, _EVER_RANG) == LABELS[:1]
            assert await prometheus.ask(f'instance:up:or_drained{{instance="{DRAINED.id}"}}') == [1]


class _Tasks:
    """Targets as files, one for each way to find them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, way: str, *found: tuple[Server, dict[str, str]]) -> None:
        groups = [
            {
                "targets": [server.metrics.removeprefix("http://").removesuffix("/metrics")],
                "labels": labels,
            }
            for server, labels in found
        ]
        draft = self._folder / f"{way}.draft"
        draft.write_text(json.dumps(groups))
        draft.rename(self._folder / f"{way}.json")

    def scrapes(self) -> list[dict[str, Any]]:
        [shipped_one] = shipped.read_yaml(shipped.ECS_CONFIGURATION)["scrape_configs"]
        discovery = {key: value for key, value in shipped_one.items() if key != "aws_sd_configs"}
        return [
            {"job_name": "collector", **self._file("collector")},
            {**discovery, **self._file("discovery")},
        ]

    def _file(self, way: str) -> dict[str, Any]:
        files = [str(self._folder / f"{way}.json")]
        return {"file_sd_configs": [{"files": files, "refresh_interval": "1s"}]}


def _rules(folder: Path) -> list[Path]:
    """The shipped ones with seconds in the place of minutes; names of records stay."""
    written = []
    for path in (shipped.RECORDING, shipped.ALERTS):
        faster = re.sub(
            r"\b(\d+)m\b",
            lambda found: f"{int(found[1]) * _SECONDS_OF_A_MINUTE}s",
            path.read_text(),
        )
        copy = folder / path.name
        copy.write_text(faster)
        written.append(copy)
    return written


async def _labels(prometheus: Prometheus, expr: str) -> list[dict[str, str]]:
    """Of what an expression has, without what only some ways add."""
    kept = LABELS[0].keys()
    return [{name: each[name] for name in kept} for each in await prometheus.series(expr)]
