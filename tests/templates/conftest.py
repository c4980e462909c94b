"""A simulated AWS account for the templates: moto, as a server of its own on loopback."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import boto3  # type: ignore[import-untyped] # ships no types
import pytest

from tests.templates.loading import CLOUD, LOCAL, tool

REGION = "us-east-1"
_PATIENCE_SECONDS = 30.0
_MOTO = """
import sys
from moto.cloudformation.models import Stack
from moto.server import main
Stack.get_cfn_attribute = lambda stack, name: getattr(
    stack.output_map.get(name.removeprefix("Outputs.")), "value", "of a resource that moto lacks"
)
main(sys.argv[1:])
"""
"""moto creates nested stacks, but without this knows no outputs of them."""


Account = Callable[[str], Any]
"""Gives boto3 clients of the simulated account; they are closed after the test."""


@pytest.fixture(params=[CLOUD, LOCAL], ids=["cloud", "local"])
def path(request: pytest.FixtureRequest) -> Path:
    """Each of the two templates."""
    chosen: Path = request.param
    return chosen


@pytest.fixture(scope="session")
def moto_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where moto listens; it needs another botocore than the service, so it has its own process."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = tmp_path_factory.mktemp("moto") / "log"
    with log.open("w") as output:
        server = subprocess.Popen(  # noqa: S603 (our own environment's program)
            [tool("python"), "-c", _MOTO, "-H", "127.0.0.1", "-p", str(port)],
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        _wait_until_it_answers(server, port, log)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


def _wait_until_it_answers(server: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        try:
            _reset(port)
        except OSError:
            time.sleep(0.05)
        else:
            return
    pytest.fail(f"moto does not answer:\n{log.read_text()}")


def _reset(port: int) -> None:
    with closing(HTTPConnection("127.0.0.1", port, timeout=5)) as connection:
        connection.request("POST", "/moto-api/reset")
        connection.getresponse().read()


@pytest.fixture
def account(moto_endpoint: str) -> Iterator[Account]:
    """An empty account."""
    _reset(int(moto_endpoint.rpartition(":")[2]))
    clients: list[Any] = []

    def client(service: str) -> Any:
        keys = {"aws_access_key_id": "moto", "aws_secret_access_key": "moto"}
        made = boto3.client(service, region_name=REGION, endpoint_url=moto_endpoint, **keys)
        clients.append(made)
        return made

    yield client
    for each in clients:
        each.close()
