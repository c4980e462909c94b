"""docker-compose.yml: both of its profiles start, take a call, and are watched."""

from __future__ import annotations

import re
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import pytest

from tests.dynamodb import free_port
from tests.image.container import ROOT, VARIABLES, order, phoning, run, until_ready, variable
from tests.observability import shipped
from tests.observability.prometheus import Prometheus, promtool
from tests.repository.test_agreement import offered_by_compose

BESIDE = ("DYNAMODB_IMAGE", "PROMETHEUS_IMAGE", "GRAFANA_IMAGE")
SERIES = '{job="voice-agent", instance="agent-full:9090"}'


class Ports(NamedTuple):
    """Where this machine has a profile."""

    service: int
    metrics: int
    prometheus: int
    grafana: int


@asynccontextmanager
async def composed(image: str, profile: str, service: str, **images: str) -> AsyncIterator[Ports]:
    """All services of a profile, once the named one is ready; taken down on leaving."""
    ports = Ports(*(free_port() for _ in Ports._fields))
    environment = {
        **VARIABLES,
        **images,
        "AGENT_IMAGE": image,
        "COMPOSE_PROJECT_NAME": f"voice-agent-{secrets.token_hex(4)}",
        "PORT": str(ports.service),
        "METRICS_PORT": str(ports.metrics),
        "PROMETHEUS_PORT": str(ports.prometheus),
        "GRAFANA_PORT": str(ports.grafana),
    }
    program = (*variable("AGENT_TEST_COMPOSE").split(), "--profile", profile)
    try:
        await run(*program, "up", "--detach", "--no-build", **environment)
        container = await run(*program, "ps", "--quiet", service, **environment)
        await until_ready(container.strip(), ports.service)
        yield ports
    finally:
        await run(*program, "down", "--volumes", **environment)


async def test_local_profile_keeps_its_table_in_a_file_and_takes_a_call(
    image: str, tmp_path: Path
) -> None:
    async with (
        composed(image, "local", "agent") as ports,
        phoning(tmp_path, ports.service) as (balancer, twilio),
    ):
        await balancer.until(True)
        heard = await order(twilio)

    assert "Your order is placed" in heard


@pytest.mark.needs("prometheus")
@pytest.mark.needs("linters")
async def test_full_profile_takes_a_call_that_prometheus_and_grafana_show(
    image: str, tmp_path: Path
) -> None:
    """The table is made and loaded before the service begins.

    Where no registry is reachable, Prometheus is Debian's program in an image, and a stand-in reads
    what Grafana is given.
    """
    images = {name: variable(name) for name in BESIDE}

    async with (
        composed(image, "full", "agent-full", **images) as ports,
        phoning(tmp_path, ports.service) as (balancer, twilio),
        aiohttp.ClientSession() as http,
    ):
        await balancer.until(True)
        heard = await order(twilio)
        prometheus = Prometheus(f"http://127.0.0.1:{ports.prometheus}", http)
        counted = await prometheus.until(f"sum(agent_calls_total{SERIES}) > 0")
        recorded = await prometheus.until("voice_agent:calls:limit")
        sick = await prometheus.sick_rules()
        grafana = f"http://127.0.0.1:{ports.grafana}/api"
        health = await _json(http, f"{grafana}/health")
        listed = await _json(http, f"{grafana}/search?type=dash-db")
        asked = f"{grafana}/datasources/proxy/uid/prometheus/api/v1/query?query=up{SERIES}"
        shown = await _json(http, asked)

    assert "The total is $23.50" in heard
    assert "Your order is placed" in heard
    assert (counted, recorded, sick) == ([1.0], [100.0], {})
    assert health["database"] == "ok"
    assert [(each["uid"], each["title"]) for each in listed] == [("voice-agent", "Voice agent")]
    assert [each["value"][1] for each in shown["data"]["result"]] == ["1"]


async def _json(http: aiohttp.ClientSession, url: str) -> Any:
    async with http.get(url) as response:
        assert response.status == 200, await response.text()
        return await response.json()


@pytest.mark.needs("linters")
@pytest.mark.parametrize(("profile", "service"), [("local", "agent"), ("full", "agent-full")])
async def test_what_the_shell_has_reaches_the_service(
    tmp_path: Path, profile: str, service: str
) -> None:
    """Every variable without a value of its own; one that the shell does not have stays unset."""
    free = [name for name, value in offered_by_compose(service).items() if not value]
    given = {name: f"value-of-{name}" for name in free[::2]}
    program = (*variable("AGENT_TEST_COMPOSE").split(), "--profile", profile)

    rendered = tmp_path / "rendered.yml"
    rendered.write_text(await run(*program, "config", **given))
    environment = shipped.read_yaml(rendered)["services"][service]["environment"]

    assert {name: environment[name] for name in given} == given
    assert all(environment.get(name) is None for name in free[1::2])


def test_compose_builds_on_the_base_of_the_dockerfile_and_every_image_has_a_version() -> None:
    """It names the digest once more, for it cannot leave an argument out."""
    base = re.compile(r"python:\S+@sha256:[0-9a-f]{64}")
    dockerfile = base.findall((ROOT / "Dockerfile").read_text(encoding="utf-8"))
    compose = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")

    assert len(dockerfile) == 1
    assert dockerfile == base.findall(compose)
    assert re.findall(r"^ +image: (.*)$", compose, re.MULTILINE) == [
        "${AGENT_IMAGE:-voice-agent:local}",
        "${DYNAMODB_IMAGE:-amazon/dynamodb-local:3.3.1}",
        "${PROMETHEUS_IMAGE:-prom/prometheus:v3.13.3}",
        "${GRAFANA_IMAGE:-grafana/grafana:12.4.4}",
    ]


def test_prometheus_of_compose_differs_in_its_target_alone() -> None:
    """Its rules are those of prometheus.yml, and so is all else."""
    shipped, composed = (
        _without_remarks(ROOT / "observability" / name)
        for name in ("prometheus.yml", "prometheus-compose.yml")
    )

    promtool("check", "config", ROOT / "observability" / "prometheus-compose.yml")
    assert composed == shipped.replace('"localhost:9090"', '"agent-full:9090"')
    assert composed != shipped


def _without_remarks(path: Path) -> str:
    lines = path.read_text(encoding="utf-8").splitlines()
    return "\n".join(line for line in lines if not line.startswith("#"))
