"""The image as it runs in production: no rights, nothing to write to, real callers and scrapers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from agent.call.config import Phrases
from agent.simulator.carrier import call_fields
from tests.dynamodb import free_port
from tests.image.container import ADA, HARDENED, docker, order, phoning, started
from tests.observability.prometheus import scrape, watching
from tests.servers import ORIGIN, heard_out

_WRITABLE = """
import os
root = os.stat("/").st_dev
for folder, folders, files in os.walk("/"):
    paths = [os.path.join(folder, each) for each in ["", *files]]
    paths = [path for path in paths if not os.path.islink(path)]
    print(*(path for path in paths if os.access(path, os.W_OK)), sep="\\n")
    folders[:] = [each for each in folders if os.lstat(os.path.join(folder, each)).st_dev == root]
"""
"""Prints what the user of a container may write to in its root file system."""
_KEPT = "--env=STORE_PATH=/data/agent.db"


async def test_container_has_no_rights_and_nothing_to_write_to(
    image: str, record_property: Callable[[str, object], None]
) -> None:
    """An attacker who takes over the process has no capability, no root and no file to change."""
    async with started(image, *HARDENED) as container:
        identity = await container.inside("id")
        status = await container.inside("cat", "/proc/1/status")
        command = await container.inside("cat", "/proc/1/cmdline")
        writable = await container.inside("python", "-c", _WRITABLE)
        written = await container.inside("sh", "-c", "echo one >/tmp/one && cat /tmp/one")

    record_property("image", f"ready {container.ready_seconds:.1f} s after docker run")
    lines = dict(line.split(":\t", 1) for line in status.splitlines())
    assert identity == "uid=10001 gid=10001 groups=10001"
    assert {lines[each] for each in ("CapEff", "CapPrm", "CapBnd")} == {"0" * 16}
    assert (lines["NoNewPrivs"], lines["Uid"]) == ("1", "10001\t10001\t10001\t10001")
    assert command.split("\0")[:-1] == ["python", "-m", "agent", "serve", "--seed"]
    assert writable.split() == []
    assert written == "one"


async def test_container_says_itself_what_it_needs(image: str) -> None:
    config = json.loads(await docker("image", "inspect", "--format", "{{json .Config}}", image))

    assert config["User"] == "10001:10001"
    assert (config["Entrypoint"], config["Cmd"]) == (["python", "-m", "agent"], ["serve", "--seed"])
    assert set(config["ExposedPorts"]) == {"3000/tcp", "9090/tcp"}
    assert set(config["Volumes"]) == {"/tmp"}  # noqa: S108 (of the container)
    assert config["Healthcheck"] == {
        "Test": ["CMD", "python", "-m", "agent.cli.healthcheck"],
        "Interval": 15_000_000_000,
        "Timeout": 5_000_000_000,
        "StartPeriod": 20_000_000_000,
        "Retries": 3,
    }
    assert {"PYTHONUNBUFFERED=1", "PYTHONDONTWRITEBYTECODE=1"} <= set(config["Env"])
    assert {
        f"org.opencontainers.image.{each}" for each in ("source", "revision", "version", "created")
    } <= config["Labels"].keys()


async def test_pizza_is_ordered_over_tls_and_prometheus_counts_it(
    image: str, tmp_path: Path
) -> None:
    """By a container that knew nothing before; strangers are refused, and see no metrics."""
    async with (
        started(image, *HARDENED) as container,
        phoning(tmp_path, container.port) as (balancer, twilio),
        watching(tmp_path, scrape(f"127.0.0.1:{container.metrics_port}")) as prometheus,
    ):
        await balancer.until(True)
        heard = await order(twilio)
        stranger = await twilio.post(f"{ORIGIN}/twiml", call_fields(), signature="wrong")
        async with twilio.http.get(f"{balancer.url}/metrics") as response:
            metrics = response.status
        ended = await prometheus.until(
            'agent_calls_total{use_case="restaurantOrderingUseCase", job="voice-agent"} > 0'
        )
        ran = await prometheus.ask(
            'agent_tool_duration_seconds_count{tool="PlaceOrderFunction", outcome="ok"}'
        )

    assert "The total is $23.50" in heard
    assert "Your order is placed" in heard
    assert (stranger.status, metrics) == (403, 404)
    assert (ended, ran) == ([1.0], [1.0])


async def test_stopped_container_hands_its_call_over_and_nothing_is_lost(
    image: str, tmp_path: Path
) -> None:
    """`docker stop` in the middle of an order: status 0, and the next container goes on with it."""
    port = free_port()
    async with (
        started(image, *HARDENED, "--volume", "/data", _KEPT) as first,
        phoning(tmp_path, first.port, port) as (balancer, twilio),
    ):
        await balancer.until(True, False)
        relay = await twilio.webhook(call_fields(From=ADA))
        async with twilio.connect(replace(relay, action="")) as call, asyncio.TaskGroup() as tasks:
            await call.say("a large pepperoni pizza with mushrooms for pickup")
            stopping = tasks.create_task(first.stop(), name="docker stop")
            ending = await heard_out(call)
        volumes = ("--volumes-from", first.name)
        async with started(image, *HARDENED, *volumes, _KEPT, port=port) as second:
            await balancer.until(False, True)
            answer = await twilio.post(relay.action, ending.fields)
            assert answer.relay is not None
            async with twilio.connect(answer.relay) as call:
                resumed = await call.reply()
                placed = await call.say("yes", cycles=2)
            status = await second.stop()

    assert ending.fields["HandoffData"] == '{"reasonCode": "server-drain", "reason": "quiet"}'
    assert (stopping.result(), status) == (0, 0)
    assert resumed.text == Phrases().resumed_quiet
    assert "Your order is placed, and the total is $23.50." in placed.text


async def test_engine_sees_whether_the_service_answers(image: str) -> None:
    """By the check of the image: healthy, and no more when its loop stands still."""
    often = ("--health-interval", "500ms", "--health-retries", "1")
    async with started(image, *HARDENED, *often) as container:
        await container.until_health("healthy")
        await docker("kill", "--signal", "STOP", container.name)
        await container.until_health("unhealthy")
        said = (await container.state())["Health"]["Log"][-1]
        await docker("kill", "--signal", "CONT", container.name)

    assert said["ExitCode"] == 1
    assert said["Output"] == "port 3000: TimeoutError: timed out\n"
