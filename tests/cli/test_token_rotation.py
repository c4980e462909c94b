"""The auth token is rotated under load: two processes, webhooks, sockets and forged requests."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import shutil
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from itertools import count, takewhile
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from agent.simulator.carrier import CallRefusedError, Twilio, call_fields
from tests.dynamodb import free_port
from tests.emulators.secrets_manager import (
    ARN,
    CURRENT,
    PENDING,
    PREVIOUS,
    SecretsManager,
    secrets_manager,
)
from tests.servers import ORIGIN, PATIENT, UNLIMITED_CALLERS
from tests.waiting import no_longer, until

pytestmark = pytest.mark.needs("time")

ROOT = Path(__file__).parents[2]
REFRESH_SECONDS, EARLY_SECONDS = 2.0, 1.0
HANG_SECONDS = 240.0
SERVE = f"""
import sys
from agent.cli.main import main
from agent.twilio import auth_tokens
auth_tokens.REFRESH_SECONDS = {REFRESH_SECONDS}
auth_tokens.RETRY_SECONDS = auth_tokens.EARLY_SECONDS = {EARLY_SECONDS}
sys.exit(main(["serve"]))
"""
"""The service with shorter times, so that minutes of waiting are seconds."""
CALLERS, FORGERS = 4, 2
"""Of each process, each with one request at a time."""


@dataclass(slots=True)
class Process:
    """A service of its own, its log, and what came of requests to it."""

    twilio: Twilio
    metrics_url: str
    lines: list[dict[str, Any]] = field(default_factory=list)
    webhooks: int = 0
    sockets: int = 0
    refused: list[str] = field(default_factory=list)
    forged: list[int] = field(default_factory=list)
    """The status of each request with another signature."""

    def has_read(self, *versions: str) -> bool:
        """Whether the versions it read last are these."""
        read = [each["versions"] for each in self.lines if "versions" in each]
        return bool(read) and read[-1] == sorted(versions)

    async def value(self, name: str, **labels: str) -> float:
        async with self.twilio.http.get(self.metrics_url) as answer:
            families = text_string_to_metric_families(await answer.text())
        found = (it for family in families for it in family.samples if it.name == name)
        return sum(it.value for it in found if labels.items() <= it.labels.items())


def _environment(table: Path, **variables: str) -> dict[str, str]:
    return {
        "PATH": os.environ.get("PATH", ""),
        "PYTHON_DOTENV_DISABLED": "1",
        "PORT": str(free_port()),
        "METRICS_PORT": str(free_port()),
        "WS_URL": "wss://voice.example.com/",
        "STORE_PATH": str(table),
        "LOG_FORMAT": "json",
        **UNLIMITED_CALLERS,
        **variables,
    }


@asynccontextmanager
async def serving(table: Path, **variables: str) -> AsyncIterator[Process]:
    environment = _environment(table, **variables)
    port, metrics_port = environment["PORT"], environment["METRICS_PORT"]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SERVE,
        cwd=ROOT, env=environment, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    stderr = process.stderr

    async def read() -> None:
        async for line in stderr:
            served.lines.append(json.loads(line))

    async with aiohttp.ClientSession() as http:
        twilio = Twilio(http, f"http://127.0.0.1:{port}", "t0", ORIGIN, PATIENT)
        served = Process(twilio, f"http://127.0.0.1:{metrics_port}/metrics")
        reading = asyncio.create_task(read(), name="log")
        try:
            await until(lambda: any(it["event"] == "service.started" for it in served.lines))
            yield served
        finally:
            process.kill()
            await process.wait()
            await reading


@dataclass(slots=True)
class World:
    """Twilio's account, the secret, and the processes that serve it."""

    secret: SecretsManager
    processes: list[Process]
    used: str = "t0"
    """What Twilio signs with."""
    is_over: bool = False

    async def until_read(self, *versions: str) -> None:
        await until(lambda: all(each.has_read(*versions) for each in self.processes))

    async def until_called(self) -> None:
        """Until each process has taken ten more calls, with webhook and socket."""
        wanted = [each.sockets + 10 for each in self.processes]
        await until(
            lambda: all(it.sockets >= n for it, n in zip(self.processes, wanted, strict=True))
        )

    async def call(self, process: Process) -> None:
        """Calls, one after the other."""
        for number in takewhile(lambda _: not self.is_over, count()):
            fields = call_fields(From=f"+1555{number:07d}")
            try:
                relay = await replace(process.twilio, token=self.used).webhook(fields)
                process.webhooks += 1
                socket = replace(process.twilio, token=self.used)
                async with socket.connect(replace(relay, action="")):
                    process.sockets += 1
            except (CallRefusedError, aiohttp.WSServerHandshakeError) as refusal:
                process.refused.append(str(refusal))

    async def forge(self, process: Process) -> None:
        """Requests with signatures of other tokens, one after the other."""
        while not self.is_over:
            forger = replace(process.twilio, token=secrets.token_hex(16))
            process.forged.append((await forger.post(f"{ORIGIN}/twiml", call_fields())).status)


@asynccontextmanager
async def played(
    play: Callable[[World], Awaitable[None]], table: Path, folder: Path
) -> AsyncIterator[World]:
    """Two processes that were under load meanwhile; their secret began with the token `t0`."""
    other = Path(shutil.copy(table, folder / "other.db"))
    async with (
        secrets_manager(AWSCURRENT="t0") as secret,
        serving(table, **secret.environment) as one,
        serving(other, **secret.environment) as two,
    ):
        world = World(secret, [one, two])
        async with asyncio.timeout(HANG_SECONDS), asyncio.TaskGroup() as load:
            for process in world.processes:
                for work in (*[world.call] * CALLERS, *[world.forge] * FORGERS):
                    load.create_task(work(process), name="load")
            await play(world)
            world.is_over = True
        yield world


async def _rotate(world: World) -> None:
    """In three orders, one of them while the secret cannot be read; at the end `t5` is alone."""
    secret = world.secret
    await world.until_called()
    for token in ("t1", "t2"):  # labels, then the promotion
        secret.put_pending(token)
        await world.until_read(*secret.versions)
        secret.make_current()
        await world.until_called()
        world.used = token
        await world.until_read(CURRENT, PREVIOUS)
        await world.until_called()
    for token in ("t3", "t4"):  # the promotion, then labels
        secret.put_pending(token)
        await world.until_read(PENDING, CURRENT, PREVIOUS)
        world.used = token
        await world.until_called()
        secret.make_current()
        await world.until_read(CURRENT, PREVIOUS)
        await world.until_called()
    secret.put_pending("t5")
    await world.until_read(PENDING, CURRENT, PREVIOUS)
    secret.is_away = True
    world.used = "t5"
    reads = len(secret.reads)
    await until(lambda: len(secret.reads) > reads + 4)
    await world.until_called()
    secret.is_away = False
    secret.make_current()
    await world.until_read(CURRENT, PREVIOUS)
    await world.until_called()
    secret.forget_previous()
    await world.until_read(CURRENT)
    await world.until_called()


async def test_rotation_under_load_refuses_no_request_of_twilio(
    table: Path, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Every forged request is refused, and they cause a bounded number of reads."""
    began = asyncio.get_running_loop().time()
    async with played(_rotate, table, tmp_path) as world:
        seconds = asyncio.get_running_loop().time() - began
        one, two = world.processes
        forgotten = replace(one.twilio, token="t4")
        assert (await forgotten.post(f"{ORIGIN}/twiml", call_fields())).status == 403
        refused = [
            await each.value("agent_calls_refused_total", reason="signature")
            for each in world.processes
        ]
        kinds = {
            (await each.value("agent_auth_token_reads_total", outcome="failed")) > 0
            for each in world.processes
        }

    assert (one.refused, two.refused) == ([], [])
    assert set(one.forged) | set(two.forged) == {403}
    assert refused == [len(one.forged) + 1, len(two.forged)]
    assert kinds == {True}
    rounds = len(world.secret.reads) / 3 / len(world.processes)
    assert rounds <= seconds / EARLY_SECONDS + seconds / (0.8 * REFRESH_SECONDS) + 2
    record_property(
        "survival",
        f"token rotated 5 times: {one.webhooks + two.webhooks} webhooks and"
        f" {one.sockets + two.sockets} sockets, 0 refused; {len(one.forged) + len(two.forged)}"
        f" forged, all refused; {rounds:.0f} reads by a process in {seconds:.0f} s",
    )


async def test_secret_that_may_not_be_read_stops_the_start_with_one_line(table: Path) -> None:
    """So that a deployment fails, and is rolled back, before it takes a call."""
    async with secrets_manager(AWSCURRENT="t0") as secret:
        secret.refusal = "AccessDeniedException"
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "agent", "serve",
            cwd=ROOT, env=_environment(table, **secret.environment), stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        async with no_longer():
            _, errors = await process.communicate()

    *logged, line = errors.decode().splitlines()
    assert (process.returncode, line) == (
        1,
        f"TWILIO_AUTH_TOKEN_SECRET_ARN: {ARN}: AWSPENDING: no permission for"
        " secretsmanager:GetSecretValue, or for kms:Decrypt with its key",
    )
    assert {json.loads(each)["event"] for each in logged} == {"auth_token.read_failed"}
