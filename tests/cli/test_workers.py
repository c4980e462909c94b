"""`serve --workers`: several processes that share the ports."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from agent.http.server import SCRAPE_HEADER
from agent.simulator.carrier import Twilio, call_fields
from tests.dynamodb import free_port
from tests.servers import ORIGIN, PATIENT, TOKEN, heard_out
from tests.waiting import no_longer, until

pytestmark = pytest.mark.needs("time")

ROOT = Path(__file__).parents[2]
KEY = "key of an operator"


@dataclass(slots=True)
class Pool:
    """`python -m agent serve --workers 2` as an operator starts it."""

    process: asyncio.subprocess.Process
    port: int
    metrics_port: int
    http: aiohttp.ClientSession
    lines: list[dict[str, Any]] = field(default_factory=list)

    @property
    def twilio(self) -> Twilio:
        return Twilio(self.http, f"http://127.0.0.1:{self.port}", TOKEN, ORIGIN, PATIENT)

    def pids(self) -> list[int]:
        """The workers that were started, the earliest first."""
        return [line["pid"] for line in self.lines if line["event"] == "worker.started"]

    async def operators(self, path: str) -> tuple[int, str]:
        url = f"http://127.0.0.1:{self.metrics_port}{path}"
        async with self.http.get(url) as answer:
            return answer.status, await answer.text()

    async def value(self, sample: str) -> float:
        """The sum of a sample over its labels."""
        _, text = await self.operators("/metrics")
        families = text_string_to_metric_families(text)
        found = [each for family in families for each in family.samples if each.name == sample]
        return sum(each.value for each in found)

    async def ring(self, calls: int) -> None:
        """So many voice webhooks, each on a connection of its own."""
        for number in range(calls):
            connector = aiohttp.TCPConnector(force_close=True)
            async with aiohttp.ClientSession(connector=connector) as http:
                twilio = Twilio(http, f"http://127.0.0.1:{self.port}", TOKEN, ORIGIN, PATIENT)
                fields = call_fields(From=f"+155501{number:05d}")
                assert (await twilio.post(f"{ORIGIN}/twiml", fields)).relay is not None


def _environment(table: Path, ports: tuple[int, int], **variables: str) -> dict[str, str]:
    port, metrics_port = ports
    return {
        "PATH": os.environ.get("PATH", ""),
        "PYTHON_DOTENV_DISABLED": "1",
        "PORT": str(port),
        "METRICS_PORT": str(metrics_port),
        "WS_URL": "wss://voice.example.com/",
        "TWILIO_AUTH_TOKEN": TOKEN,
        "STORE_PATH": str(table),
        "LOG_FORMAT": "json",
        **variables,
    }


async def _start(environment: dict[str, str], *options: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "agent", "serve", "--announce", "up", *options,
        cwd=ROOT, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip


@asynccontextmanager
async def _pool(table: Path, *options: str, **variables: str) -> AsyncIterator[Pool]:
    ports = free_port(), free_port()
    process = await _start(_environment(table, ports, **variables), *options)
    assert process.stdout is not None and process.stderr is not None
    stderr = process.stderr

    async def read() -> None:
        async for line in stderr:
            pool.lines.append({"event": "", **json.loads(line)})

    async with aiohttp.ClientSession() as http:
        pool = Pool(process, *ports, http)
        reading = asyncio.create_task(read(), name="log")
        try:
            async with no_longer():
                assert await process.stdout.readline() == b"up\n"
            yield pool
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()
            async with no_longer():
                await reading  # to the end of the last worker, which has the same standard error


async def test_workers_share_the_port_and_are_added_up(table: Path) -> None:
    """Any of them takes a call; those of all are in one answer to the operators."""
    async with _pool(table, "--workers", "2") as pool:
        await until(lambda: any("seats" in line for line in pool.lines))
        assert len(set(pool.pids())) == 2
        [started] = [line for line in pool.lines if "seats" in line]
        await pool.ring(24)

        assert (started["workers"], started["seats"]) == (2, 200)
        assert await pool.value("agent_webhook_duration_seconds_count") == 24
        assert await pool.value("agent_reserved_calls") == 24
        pool.process.send_signal(signal.SIGTERM)
        async with no_longer():
            assert await pool.process.wait() == 0
    stopped = [line for line in pool.lines if line["event"] == "service.stopped"]
    assert len(stopped) == 3


async def test_drained_workers_are_scraped_once_more(table: Path) -> None:
    """Each waits for the scraper that reads them all by the one port."""
    async with _pool(table, "--workers", "2") as pool:
        await until(lambda: any("seats" in line for line in pool.lines))
        pool.http.headers[SCRAPE_HEADER] = "5"
        before = [await pool.value("agent_draining")]
        await asyncio.sleep(2)  # a scraper keeps an interval, which the process learns
        before.append(await pool.value("agent_draining"))
        pool.process.send_signal(signal.SIGTERM)
        await until(lambda: sum(line["event"] == "service.draining" for line in pool.lines) == 3)
        during = await pool.value("agent_draining")
        async with no_longer():
            assert await pool.process.wait() == 0

    assert (before, during) == ([0, 0], 1)


async def test_workers_write_the_calls_of_their_task_once(table: Path) -> None:
    """Each writes what it counts; CloudWatch takes the sum."""
    async with _pool(table, "--workers", "2", EMF_METRICS="true") as pool:
        await until(lambda: any("ActiveCalls" in line for line in pool.lines))
        await pool.ring(6)
        pool.process.send_signal(signal.SIGTERM)
        async with no_longer():
            await pool.process.wait()

    written = [line for line in pool.lines if "_aws" in line]
    assert [line["ActiveCalls"] for line in written if "ActiveCalls" in line] == [0]
    assert sum(line.get("CallsRung", 0) for line in written) == 6


async def test_one_signal_hands_over_the_calls_of_all(table: Path) -> None:
    async with _pool(table, WEB_CONCURRENCY="2") as pool:
        relay = await pool.twilio.webhook(call_fields(From="+15550100001"))
        async with pool.twilio.connect(replace(relay, action="")) as call:  # nobody would answer it
            await call.say("are you open")
            pool.process.send_signal(signal.SIGTERM)
            ending = await heard_out(call)
        async with no_longer():
            status = await pool.process.wait()

    assert ending.fields["HandoffData"] == '{"reasonCode": "server-drain", "reason": "quiet"}'
    assert status == 0


async def test_worker_that_does_not_end_is_killed_in_time(table: Path) -> None:
    async with _pool(table, "--workers", "2", DRAIN_SECONDS="2") as pool:
        await until(lambda: len(pool.pids()) == 2)
        os.kill(pool.pids()[0], signal.SIGSTOP)
        pool.process.send_signal(signal.SIGTERM)
        async with no_longer():
            exited = await pool.process.wait()

    killed = [line["workers"] for line in pool.lines if line["event"] == "worker.killed"]
    assert (exited, killed) == (0, [1])


async def test_request_to_drain_reaches_all(table: Path) -> None:
    """Each hands its calls over, the ports stay open for a moment, and none is started again."""
    async with _pool(table, "--workers", "2", DRAIN_SECONDS="10") as pool:
        relay = await pool.twilio.webhook(call_fields(From="+15550100001"))
        async with pool.twilio.connect(replace(relay, action="")) as call:  # as above
            await call.say("are you open")
            async with pool.http.post(f"http://127.0.0.1:{pool.metrics_port}/drain") as answer:
                status = answer.status
            ending = await heard_out(call)
        async with no_longer():
            exited = await pool.process.wait()

    assert (status, exited) == (202, 0)
    assert ending.fields["HandoffData"] == '{"reasonCode": "server-drain", "reason": "quiet"}'
    draining = [line["cause"] for line in pool.lines if line["event"] == "service.draining"]
    assert draining == ["requested"] * 3
    assert [line for line in pool.lines if line["event"] == "worker.ended"] == []


async def test_crashed_worker_is_replaced_and_what_it_counted_is_kept(table: Path) -> None:
    async with _pool(table, "--workers", "2") as pool:
        await pool.ring(12)
        before = await pool.value("agent_webhook_duration_seconds_count")
        crashed, _ = pool.pids()
        os.kill(crashed, signal.SIGKILL)
        await until(lambda: len(pool.pids()) == 3)
        await pool.ring(4)

        [ended] = [line for line in pool.lines if line["event"] == "worker.ended"]
        assert ended["status"] == -signal.SIGKILL
        assert before == 12
        assert await pool.value("agent_webhook_duration_seconds_count") == 16


async def test_requests_of_operators_are_passed_on(table: Path) -> None:
    async with _pool(table, "--workers", "2", DIAL_API_KEYS=KEY) as pool:
        assert (await pool.operators("/health/detail"))[1].startswith("Ready")
        assert (await pool.operators("/nothing"))[0] == 404
        url = f"http://127.0.0.1:{pool.metrics_port}/dial"
        for key, status in (("wrong", 401), (KEY, 400)):
            headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
            async with pool.http.post(url, data=b"{}", headers=headers) as answer:
                assert answer.status == status


async def test_console_shows_the_calls_and_the_sum_of_every_worker(table: Path) -> None:
    """A stream and an act reach the worker that has the call, whichever worker is asked first."""
    secret = "a-secret-of-anna-who-acts"
    basic = {"Authorization": f"Basic {b64encode(f'me:{secret}'.encode()).decode()}"}
    async with _pool(table, "--workers", "2", CONSOLE_API_KEYS=f"anna:act:{secret}") as pool:
        for number in range(4):
            relay = await pool.twilio.webhook(call_fields(From=f"+1555010000{number}"))
            call_sid = relay.fields["CallSid"]
            page = f"http://127.0.0.1:{pool.metrics_port}/console/calls/{call_sid}"
            async with pool.twilio.connect(relay) as call:
                await call.say("Who is there?")
                async with pool.http.get(f"{page}/live", headers=basic) as stream:
                    first = await stream.content.readline()
                said = {"act": "say", "text": "Anna here."}
                async with pool.http.post(f"{page}/act", json=said, headers=basic) as answer:
                    status = answer.status
                heard = await call.reply()
            assert json.loads(first.removeprefix(b"data: "))["call"] == call_sid
            assert (status, "Anna here." in heard.text) == (200, True)
        told: dict[str, Any] = {}
        numbers = f"http://127.0.0.1:{pool.metrics_port}/console/numbers"
        async with no_longer(), pool.http.get(numbers, headers=basic) as stream:
            async for line in stream.content:
                told = json.loads(line[6:] if line.startswith(b"data: ") else b"{}")
                if told and told["numbers"]["ended"] == 4:
                    break
    assert (told["ports"], told["silent"]) == (1, [])


async def test_workers_end_with_the_process_that_started_them(table: Path) -> None:
    """Also if that is killed and can send them nothing."""
    async with _pool(table, "--workers", "2") as pool:
        pool.process.kill()
        await pool.process.wait()
        await until(lambda: sum(line["event"] == "service.stopped" for line in pool.lines) == 2)


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({"MCP_CONFIG": "/nowhere.json"}, b"MCP_CONFIG: /nowhere.json"),
        ({"PORT": "taken"}, b"PORT: "),
    ],
    ids=["of a worker", "of the port"],
)
async def test_start_that_fails_ends_with_its_reason(
    table: Path, variables: dict[str, str], told: bytes
) -> None:
    listening = await asyncio.get_running_loop().create_server(asyncio.Protocol, "127.0.0.1", 0)
    if "PORT" in variables:
        variables = {"PORT": str(listening.sockets[0].getsockname()[1])}
    environment = _environment(table, (free_port(), free_port())) | {
        "HOST": "127.0.0.1",
        **variables,
    }

    process = await _start(environment, "--workers", "2")
    async with no_longer():
        written, errors = await process.communicate()
    listening.close()

    assert process.returncode == 1
    assert written == b""
    assert told in errors
    assert b"Traceback" not in errors


@pytest.mark.parametrize("count", ["0", "-1"])
async def test_count_of_workers_is_positive(table: Path, count: str) -> None:
    process = await _start(_environment(table, (0, 0)), "--workers", count)
    _, errors = await process.communicate()

    assert process.returncode == 1
    assert b"--workers: must be 1 or more" in errors
