"""The health check as an orchestrator runs it: a process, its exit status, one line."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from agent.cli.healthcheck import fault
from tests.dynamodb import free_port
from tests.servers import Server

ROOT = Path(__file__).parents[2]


async def check(port: str, host: str = "") -> tuple[int | None, str]:
    """Exit status and what was printed, wherever."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "agent.cli.healthcheck",
        cwd=ROOT, env={"PORT": port, "HOST": host},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    printed, _ = await process.communicate()
    return process.returncode, printed.decode()


@asynccontextmanager
async def answering(status: int) -> AsyncIterator[int]:
    """A web server that answers every request with a status; its port."""

    async def answer(_: web.BaseRequest) -> web.Response:
        return web.Response(status=status, text="no")

    runner = web.ServerRunner(web.Server(answer), shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(
    ("host", "status"),
    [("", 0), ("0.0.0.0", 0), ("127.0.0.1", 0), ("localhost", 0), ("127.0.0.9", 1)],  # noqa: S104
)
async def test_service_is_asked_where_it_listens(server: Server, host: str, status: int) -> None:
    """At `HOST` of the same environment; a healthy service prints nothing."""
    found, printed = await check(str(server.service.port), host)

    assert (found, printed == "") == (status, status == 0)


async def test_service_that_drains_is_healthy(server: Server) -> None:
    """It is not ready, but it has calls, and an unhealthy container is killed."""
    server.calls.active_calls.is_draining = True

    ready, _ = await server.get(server.url("/health/ready"))

    assert ready == 503
    assert await check(str(server.service.port)) == (0, "")


async def test_service_that_is_broken_is_not_healthy() -> None:
    async with answering(500) as port:
        assert await check(str(port)) == (1, f"port {port}: status 500\n")


@pytest.mark.parametrize(
    ("port", "error"),
    [("", "ConnectionRefusedError"), ("many", "ValueError"), ("70000", ""), ("-1", "")],
)
async def test_fault_is_one_line(port: str, error: str) -> None:
    """A stack trace would hide the line that says why."""
    port = port or str(free_port())

    status, printed = await check(port)

    assert status == 1
    assert printed.startswith(f"port {port}: {error}")
    assert printed.count("\n") == 1


def test_service_that_is_stuck_is_not_waited_for() -> None:
    """A blocked event loop accepts connections and does not answer."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]

        assert fault(str(port), seconds=0.05) == f"port {port}: TimeoutError: timed out"


def test_check_begins_with_little() -> None:
    """It runs beside the calls: it loads neither the service nor an event loop."""
    program = "import sys, agent.cli.healthcheck; print(*sys.modules)"

    run = subprocess.run(  # noqa: S603 (our own interpreter and program)
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )

    loaded = set(run.stdout.split())
    assert {name for name in loaded if name.startswith("agent")} == {
        "agent",
        "agent.cli",
        "agent.cli.healthcheck",
    }
    assert loaded.isdisjoint({"asyncio", "aiohttp", "argparse"})
