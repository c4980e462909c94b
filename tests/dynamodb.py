"""A DynamoDB that tests start: a real server, one for each process of pytest.

Three ways, named in `Engine.description`: an image in a container engine that was here, the same in
an engine that `tests/engine.sh` has installed, or ministack as a child process. Both images take
one command line. Without `tests/engine.sh` the engine and the image must be there already: nothing
is pulled or built from here.

Nothing is skipped: where none of the ways works, tests that ask for a DynamoDB fail. Data and port
are kept over `stop` and `start`; no process gets the port meanwhile, as it is outside the range of
outgoing connections. Ministack writes its data to disk at SIGTERM only, so `stop` waits for the end
and there is no `kill`; once a minute it deletes what has expired. No Ryuk, which would have to be
pulled: containers carry a label, and what a dead run has left behind is removed by a later run.
"""

from __future__ import annotations

import fcntl
import http.client
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import botocore.session  # type: ignore[import-untyped]  # it ships no types
import docker
import pytest
from docker.errors import ImageNotFound
from testcontainers.core.config import ConnectionMode, testcontainers_config
from testcontainers.core.container import DockerContainer
from testcontainers.core.docker_client import DockerClient, get_docker_host

from agent.store.dynamodb_client import TABLE, TTL_ATTRIBUTE
from tests.llm import accounts
from tests.needs import use

DEFAULT_IMAGE = "amazon/dynamodb-local:3.3.1"
REGION = "us-east-1"
_ROOT = Path(__file__).parents[1]
_REQUIREMENTS = Path("tests/ministack/requirements.txt")
_FOLDER = Path(".venv-dynamodb")
_PORT_INSIDE = 8000
_COMMAND = "-jar DynamoDBLocal.jar -sharedDb -dbPath . -disableTelemetry"
_LABEL = "voice-agent-tests"
_LEFT_BEHIND = timedelta(hours=2)
_START_SECONDS = 60.0
_STOP_SECONDS = 60
_POLL_SECONDS = 0.02


class EngineError(Exception):
    """The DynamoDB did not start; the text has its log."""


class Engine:
    """A DynamoDB that answers at `url`; made by `running`."""

    def __init__(self, server: _Container | _Process, url: str, description: str) -> None:
        self._server = server
        self.url = url
        self.description = description
        """The way it runs, and the image or version: one line."""

    def start(self) -> None:
        """Start it again after `stop`, with its data, at the same URL; return when it answers."""
        self.begin()
        self.until_up()

    def begin(self) -> None:
        """Start it without waiting; a child process ends with the thread that has begun it."""
        self._server.start()

    def until_up(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while not _answers(self.url):
            if time.monotonic() > deadline:
                message = f"no answer at {self.url}: {self.description}\n{self._server.log()}"
                raise EngineError(message)
            time.sleep(_POLL_SECONDS)  # a server that starts has no event for us

    def stop(self) -> None:
        """Stop it; return when it is gone."""
        self._server.stop()

    def create_table(self) -> str:
        """Create an empty table with a unique name."""
        name = f"t-{uuid.uuid4()}"
        self._client.create_table(TableName=name, **TABLE)
        polling = {"Delay": 1, "MaxAttempts": 30}
        self._client.get_waiter("table_exists").wait(TableName=name, WaiterConfig=polling)
        expiry = {"Enabled": True, "AttributeName": TTL_ATTRIBUTE}
        self._client.update_time_to_live(TableName=name, TimeToLiveSpecification=expiry)
        return name

    def delete_table(self, name: str) -> None:
        self._client.delete_table(TableName=name)

    @cached_property
    def _client(self) -> Any:
        return botocore.session.Session().create_client(
            "dynamodb",
            region_name=REGION,
            endpoint_url=self.url,
            aws_access_key_id="AKIDEXAMPLE",
            aws_secret_access_key="example",
        )


class _Container:
    """The image in a container engine; like `_Process`, started and stopped by `Engine`."""

    def __init__(self, image: str, port: int) -> None:
        self._container = (
            DockerContainer(image)
            .with_command(_COMMAND)
            .with_env("DDB_LOCAL_TELEMETRY", "0")
            .with_kwargs(labels={_LABEL: "dynamodb"})
        )
        self.host = self._container.get_container_host_ip()
        """Where published ports are reached."""
        # An address too is taken by the engine, though the library declares a port alone.
        published: Any = (self.host, port) if self.host == "127.0.0.1" else port
        self._container.ports[f"{_PORT_INSIDE}/tcp"] = published
        self._is_created = False

    def start(self) -> None:
        if self._is_created:
            self._container.get_wrapped_container().start()
        else:
            self._container.start()
            self._is_created = True

    def stop(self) -> None:
        self._container.get_wrapped_container().stop(timeout=_STOP_SECONDS)

    def remove(self) -> None:
        self._container.stop()

    def log(self) -> str:
        return b"".join(self._container.get_logs()).decode(errors="replace")


class _Process:
    """Ministack as a child of this process."""

    def __init__(self, port: int) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="dynamodb-"))
        self._port = port
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        guard = ["setpriv", "--pdeathsig", "TERM"] if shutil.which("setpriv") else []
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603  arguments are of this module
                [*guard, str(_ROOT / _FOLDER / "bin" / "ministack")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={
                    "PATH": os.defpath, "HOME": str(self._folder), "TMPDIR": str(self._folder),
                    "GATEWAY_PORT": str(self._port), "BIND_HOST": "127.0.0.1",
                    "SERVICES": "dynamodb", "SFTP_ENABLED": "0", "IOT_MTLS_ENABLED": "0",
                    "LOG_LEVEL": "WARNING",
                    "PERSIST_STATE": "1", "STATE_DIR": str(self._folder / "state"),
                },
            )  # fmt: skip

    def stop(self) -> None:
        if self._process is None:
            return
        self._process.terminate()
        self._process.wait(_STOP_SECONDS)

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self._folder)

    def log(self) -> str:
        return self._log.read_text(errors="replace")

    @property
    def _log(self) -> Path:
        return self._folder / "log"


@contextmanager
def running() -> Iterator[Engine]:
    """Start a DynamoDB the best way there is, and leave nothing of it behind."""
    use("engine")
    server, url, description = _best_server()
    engine = Engine(server, url, description)
    try:
        engine.start()
        yield engine
    finally:
        server.remove()


def set_account(patch: pytest.MonkeyPatch, engine: Engine) -> None:
    """Let this process find that engine, with keys that open nothing else."""
    accounts.set_account(patch)
    patch.setenv("AWS_REGION", REGION)
    patch.setenv("AWS_ENDPOINT_URL_DYNAMODB", engine.url)


def environment(table: str, url: str) -> dict[str, str]:
    """What a process of its own needs to keep its data in that table."""
    return {
        "TABLE_NAME": table,
        "AWS_REGION": REGION,
        "AWS_ENDPOINT_URL_DYNAMODB": url,
        "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "example",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


@contextmanager
def environment_if(is_wanted: bool) -> Iterator[dict[str, str]]:
    """What a process needs to keep its data in a DynamoDB; without one, in a file."""
    if not is_wanted:
        yield {}
        return
    with running() as engine:
        print(f"DynamoDB: {engine.description}")  # noqa: T201 (benchmarks name what they run on)
        yield environment(engine.create_table(), engine.url)


def stand_in() -> str:
    """The image that `tests/engine.sh` builds where no registry is reachable."""
    return f"localhost/ministack:{_version()}"


def _best_server() -> tuple[_Container | _Process, str, str]:
    port = free_port()
    if os.environ.get("DYNAMODB_WAY") == "process":
        return _process(port, os.environ.get("DYNAMODB_ENGINE", "as DYNAMODB_WAY asks"))
    if not _is_engine_there():
        return _process(port, "no container engine answers")
    image = _image_that_is_there()
    if image is None:
        return _process(port, "the container engine has no image for it")
    _find_containers_at_this_host()
    container = _Container(image, port)
    origin = os.environ.get("DYNAMODB_ENGINE", "container engine found here")
    return container, f"http://{container.host}:{port}", f"{origin}, image {image}"


def _process(port: int, reason: str) -> tuple[_Process, str, str]:
    _make_environment()
    description = f"child process ({reason}), ministack {_version()}"
    return _Process(port), f"http://127.0.0.1:{port}", description


def _is_engine_there() -> bool:
    """Whether a container engine listens; the library would leave its socket open if not."""
    host = get_docker_host() or "unix:///var/run/docker.sock"
    if not host.startswith("unix://"):
        return True
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(host.removeprefix("unix://"))
        except OSError:
            return False
    return True


def _image_that_is_there() -> str | None:
    with closing(DockerClient().client) as client:
        _remove_left_behind(client)
        for name in (os.environ.get("DYNAMODB_IMAGE") or DEFAULT_IMAGE, stand_in()):
            try:
                client.images.get(name)
            except ImageNotFound:
                continue
            return name
    return None


def _remove_left_behind(client: docker.DockerClient) -> None:
    now = datetime.now(UTC)
    for container in client.containers.list(all=True, filters={"label": _LABEL}):
        created = datetime.fromisoformat(container.attrs["Created"][:19] + "+00:00")
        if now - created > _LEFT_BEHIND:
            container.remove(force=True, v=True)


def _find_containers_at_this_host() -> None:
    """Set where testcontainers looks, unless configured; `/.dockerenv` would mislead it."""
    testcontainers_config.ryuk_disabled = True
    if os.environ.get("DOCKER_HOST", "unix:").startswith("unix:"):
        testcontainers_config.tc_host_override = (
            testcontainers_config.tc_host_override or "127.0.0.1"
        )
        testcontainers_config.connection_mode_override = (
            testcontainers_config.connection_mode_override or ConnectionMode.docker_host
        )


def _make_environment() -> None:
    """Make ministack's virtual environment; one process at a time, quick when it is there."""
    with (_ROOT / _REQUIREMENTS).open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        script = f". tests/environment.sh && ensure_environment {_REQUIREMENTS} {_FOLDER}"
        made = subprocess.run(  # noqa: S603  arguments are of this module
            ["bash", "-euc", script],  # noqa: S607  bash is wherever the path has it
            cwd=_ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
    if made.returncode:
        raise EngineError(f"{_FOLDER} could not be made:\n{made.stdout}{made.stderr}")


def _version() -> str:
    locked = (_ROOT / _REQUIREMENTS).read_text().splitlines()
    return next(line.split("==")[1].split()[0] for line in locked if line.startswith("ministack=="))


def free_port() -> int:
    """A port of 127.0.0.1 that is free, below those the system gives to outgoing connections."""
    while True:
        port = 20_000 + secrets.randbelow(10_000)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def _answers(url: str) -> bool:
    """Whether HTTP is spoken there; a refusal is an answer."""
    try:
        with urllib.request.urlopen(url, timeout=5):  # noqa: S310  it is http
            return True
    except urllib.error.HTTPError as refused:
        refused.close()
        return True
    except (OSError, http.client.HTTPException):
        return False


if __name__ == "__main__":
    sys.stdout.write(f"{DEFAULT_IMAGE} {stand_in()}\n")
