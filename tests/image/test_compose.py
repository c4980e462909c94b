"""docker-compose.yml: both of its profiles start, and take a call."""

from __future__ import annotations

import re
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.dynamodb import free_port
from tests.image.container import ROOT, VARIABLES, order, phoning, run, until_ready, variable
from tests.observability.prometheus import promtool


@asynccontextmanager
async def composed(image: str, profile: str, service: str, **images: str) -> AsyncIterator[int]:
    """A service of a profile, with all it depends on; the port it is reached by."""
    port = free_port()
    environment = {
        **VARIABLES,
        **images,
        "AGENT_IMAGE": image,
        "COMPOSE_PROJECT_NAME": f"voice-agent-{secrets.token_hex(4)}",
        "PORT": str(port),
        "METRICS_PORT": str(free_port()),
    }
    program = (*variable("AGENT_TEST_COMPOSE").split(), "--profile", profile)
    try:
        await run(*program, "up", "--detach", "--no-build", service, **environment)
        container = await run(*program, "ps", "--quiet", service, **environment)
        await until_ready(container.strip(), port)
        yield port
    finally:
        await run(*program, "down", "--volumes", **environment)


@pytest.mark.parametrize(("profile", "service"), [("local", "agent"), ("full", "agent-full")])
async def test_compose_makes_a_table_and_takes_a_call(
    image: str, tmp_path: Path, profile: str, service: str
) -> None:
    """With a file, or with a DynamoDB whose table is made and loaded before the service begins.

    Without Prometheus and Grafana, whose images are in a registry only.
    """
    database = {"DYNAMODB_IMAGE": variable("DYNAMODB_IMAGE")} if profile == "full" else {}

    async with (
        composed(image, profile, service, **database) as port,
        phoning(tmp_path, port) as (balancer, twilio),
    ):
        await balancer.until(True)
        heard = await order(twilio)

    assert "The total is $23.50" in heard
    assert "Your order is placed" in heard


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
