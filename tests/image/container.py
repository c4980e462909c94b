"""Containers of the image, by the programs that users call.

The image is the one `tests/image.sh` has built; nothing is built or pulled from here. Containers
carry the label by which `tests.dynamodb` removes what a dead run has left behind.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from agent.simulator.carrier import Twilio
from tests.dynamodb import free_port
from tests.needs import use
from tests.servers import ORIGIN, PATIENT, TOKEN
from tests.survival import front
from tests.survival.stack import calling

ROOT = Path(__file__).parents[2]
ADA = "+15550100001"
HARDENED = (
    "--read-only", "--user", "10001:10001", "--cap-drop", "ALL",
    "--security-opt", "no-new-privileges", "--tmpfs", "/tmp",  # noqa: S108 (of the container)
)  # fmt: skip
"""As the task definition and docker-compose.yml run it."""
VARIABLES = {"WS_URL": f"{ORIGIN.replace('https', 'wss')}/", "TWILIO_AUTH_TOKEN": TOKEN}
_READY_SECONDS = 60.0
_POLL_SECONDS = 0.02
_STOP_SECONDS = 120


class ContainerError(Exception):
    """A program that failed, or a container that ended; the text has what it said."""


def variable(name: str) -> str:
    """A variable that `tests/image.sh` sets; without it the test fails."""
    use("image")
    value = os.environ.get(name, "")
    if not value:
        pytest.fail(f"{name} is not set: tests/run.sh sets it, or says why it cannot (image.sh)")
    return value


async def run(*command: str, **environment: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=ROOT,
        env={**os.environ, **environment},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    if process.returncode:
        raise ContainerError(f"{' '.join(command)}: {(err or out).decode(errors='replace')}")
    return out.decode()


async def docker(*arguments: str) -> str:
    return (await run("docker", *arguments)).strip()


@dataclass(frozen=True, slots=True)
class Container:
    """One that was started, and answered that it is ready."""

    name: str
    port: int
    metrics_port: int
    ready_seconds: float
    """From `docker run` until it was."""

    async def inside(self, *program: str) -> str:
        return await docker("exec", self.name, *program)

    async def state(self) -> Any:
        return json.loads(await docker("inspect", "--format", "{{json .State}}", self.name))

    async def stop(self) -> int:
        await docker("stop", "--time", str(_STOP_SECONDS), self.name)
        status: int = (await self.state())["ExitCode"]
        return status

    async def until_health(self, wanted: str) -> None:
        """Wait until the engine finds it `healthy` or `unhealthy`."""
        async with asyncio.timeout(_READY_SECONDS):
            while (await self.state())["Health"]["Status"] != wanted:  # noqa: ASYNC110 (as below)
                await asyncio.sleep(_POLL_SECONDS)  # a state of the engine has no event for us


@asynccontextmanager
async def started(image: str, *options: str, port: int = 0) -> AsyncIterator[Container]:
    """`docker run` of a service that takes signed calls for `ORIGIN`; removed on leaving.

    It is reached at the port; 0 = a free one.
    """
    name = f"voice-agent-{secrets.token_hex(4)}"
    port, metrics_port = port or free_port(), free_port()
    environment = [f"--env={key}={value}" for key, value in VARIABLES.items()]
    clock = asyncio.get_running_loop().time
    began = clock()
    try:
        await docker(
            "run", "--detach", "--name", name, "--label", "voice-agent-tests=image",
            "--publish", f"127.0.0.1:{port}:3000", "--publish", f"127.0.0.1:{metrics_port}:9090",
            *options, *environment, image,
        )  # fmt: skip
        await until_ready(name, port)
        yield Container(name, port, metrics_port, clock() - began)
    finally:
        await docker("rm", "--force", "--volumes", name)


async def until_ready(name: str, port: int) -> None:
    """Wait until the service of a container may have calls; shows its log if it ends instead."""
    async with asyncio.timeout(_READY_SECONDS):
        while not await front.is_answered(f"http://127.0.0.1:{port}/health/ready"):
            if await docker("inspect", "--format", "{{.State.Running}}", name) != "true":
                raise ContainerError(await docker("logs", name))
            await asyncio.sleep(_POLL_SECONDS)  # a container that starts has no event for us


@asynccontextmanager
async def phoning(folder: Path, *ports: int) -> AsyncIterator[tuple[front.Front, Twilio]]:
    """A Twilio that reaches these ports through TLS and a load balancer."""
    async with front.opened(folder, ports) as balancer, calling(balancer) as http:
        yield balancer, Twilio(http, balancer.url, TOKEN, ORIGIN, PATIENT)


async def order(twilio: Twilio) -> str:
    async with twilio.call(From=ADA) as call:
        total = await call.say("a large pepperoni pizza with mushrooms for pickup")
        placed = await call.say("yes", cycles=2)
    assert call.ledger.departures == []
    return f"{total.text} {placed.text}"
