"""The `serve` command: in this process, and as a process of its own."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import aiohttp
import pytest
import structlog

from agent.call.config import Phrases
from agent.cli import serve
from agent.settings import Settings
from agent.simulator.carrier import Twilio, call_fields
from agent.simulator.simulated_call import TwilioCall
from agent.store.sqlite import SqliteStore
from tests.dynamodb import free_port
from tests.emulators.target_group import States, target_group
from tests.llm.accounts import set_account
from tests.servers import ORIGIN, PATIENT, TOKEN, heard_out
from tests.waiting import no_longer, until

ROOT = Path(__file__).parents[2]
ADA = "+15550100001"
KEY = "key of an operator"

pytestmark = [pytest.mark.needs("time"), pytest.mark.usefixtures("plain_logging")]


@asynccontextmanager
async def _served(settings: Settings) -> AsyncIterator[tuple[Twilio, asyncio.Task[None]]]:
    """`serve` in a task, once it listens."""
    port = settings.port or free_port()
    with structlog.testing.capture_logs() as logs:
        task = asyncio.create_task(serve.serve(replace(settings, port=port)), name="serve")
        await until(lambda: any(entry["event"] == "service.started" for entry in logs))
        async with aiohttp.ClientSession() as http:
            yield Twilio(http, f"http://127.0.0.1:{port}", TOKEN, ORIGIN, PATIENT), task
        async with no_longer():
            await task


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_idle_service_stops_at_once(
    service_settings: Settings, number: signal.Signals
) -> None:
    async with _served(service_settings) as (twilio, _):
        async with twilio.http.get(f"{twilio.base}/health/ready") as response:
            assert response.status == 200
        signal.raise_signal(number)


async def test_objects_of_the_start_are_excluded_from_garbage_collection(
    service_settings: Settings,
) -> None:
    """Until the service stops."""
    async with _served(service_settings):
        during = gc.get_freeze_count()
        signal.raise_signal(signal.SIGTERM)

    assert during > 10_000
    assert gc.get_freeze_count() == 0


async def test_call_is_handed_over_when_the_service_stops(service_settings: Settings) -> None:
    """The service waits for a pause of the call, then sends `end`."""
    async with _served(service_settings) as (twilio, _), _call(twilio) as call:
        await call.say("are you open")
        signal.raise_signal(signal.SIGTERM)
        ending = await heard_out(call)

    assert ending.fields["HandoffData"] == '{"reasonCode": "server-drain", "reason": "quiet"}'
    assert ending.status == "ended"
    assert call.ledger.departures == []


@pytest.mark.parametrize("signals", [[signal.SIGINT], [signal.SIGTERM, signal.SIGTERM]])
async def test_interrupt_or_second_signal_ends_calls_with_a_goodbye(
    service_settings: Settings, signals: list[signal.Signals]
) -> None:
    """Ctrl-C, or a second SIGTERM: at once, in mid-sentence, with a goodbye."""
    async with _served(service_settings) as (twilio, task), _call(twilio) as call:
        await call.play_out()
        await call.prompt("are you open")
        await call.hear(1)
        for number in signals:
            signal.raise_signal(number)
            await asyncio.sleep(0)  # let the loop take each signal by itself
        ending = await heard_out(call)
        async with no_longer():
            await task

    assert call.ledger.cycles[-1].text == Phrases().goodbye_stopping
    assert ending.fields["HandoffData"] == '{"reasonCode": "goodbye"}'
    assert call.ledger.departures == []


@asynccontextmanager
async def _drained_by_request(
    settings: Settings, **headers: str
) -> AsyncIterator[tuple[Twilio, Callable[[], Awaitable[int]]]]:
    """A service that ends in this context, and `POST /drain` with these headers."""
    own = replace(settings, metrics_port=free_port(), drain_seconds=10)
    async with _served(own) as (twilio, _):

        async def post() -> int:
            url = f"http://127.0.0.1:{own.metrics_port}/drain"
            async with twilio.http.post(url, headers=headers) as answer:
                return answer.status

        yield twilio, post


async def test_call_is_handed_over_when_the_service_is_asked_to_drain(
    service_settings: Settings,
) -> None:
    """The second request has no effect; new calls go to another process meanwhile."""
    async with _drained_by_request(service_settings) as (twilio, drain), _call(twilio) as call:
        await call.say("are you open")
        statuses = [await drain(), await drain()]
        ending = await heard_out(call)
        new = await twilio.post(f"{ORIGIN}/twiml", call_fields(From=ADA))
        async with twilio.http.get(f"{twilio.base}/health/ready") as response:
            ready = response.status

    assert statuses == [202, 202]
    assert ending.fields["HandoffData"] == '{"reasonCode": "server-drain", "reason": "quiet"}'
    assert (new.verbs, ready) == (("Pause", "Redirect"), 503)


async def test_request_to_drain_needs_a_key_if_there_are_keys(service_settings: Settings) -> None:
    settings = replace(service_settings, dial_api_keys=(KEY,))
    async with _drained_by_request(settings, Authorization="Bearer wrong") as (twilio, drain):
        refused = await drain()
        async with twilio.http.get(f"{twilio.base}/health/ready") as response:
            ready = response.status
        signal.raise_signal(signal.SIGTERM)
    async with _drained_by_request(settings, Authorization=f"Bearer {KEY}") as (_, drain):
        accepted = await drain()

    assert (refused, ready, accepted) == (401, 200, 202)


async def test_call_is_handed_over_when_the_target_is_deregistered(
    service_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGTERM comes from ECS afterwards, and is not a second one."""
    port, states = free_port(), States()

    async def read() -> States:
        return states

    async with target_group(read) as group:
        set_account(monkeypatch)
        for name, value in group.environment.items():
            monkeypatch.setenv(name, value)
        settings = replace(
            service_settings,
            port=port,
            drain_seconds=10,
            target_group_arn=group.environment["TARGET_GROUP_ARN"],
            ecs_container_metadata_uri_v4=group.environment["ECS_CONTAINER_METADATA_URI_V4"],
        )
        async with _served(settings) as (twilio, task), _call(twilio) as call:
            await call.say("are you open")
            states["127.0.0.1", port] = "draining"
            ending = await heard_out(call)
            signal.raise_signal(signal.SIGTERM)
            async with no_longer():
                await task

    assert ending.fields["HandoffData"] == '{"reasonCode": "server-drain", "reason": "quiet"}'


@asynccontextmanager
async def _call(twilio: Twilio) -> AsyncIterator[TwilioCall]:
    """A call without an action request, which another process would have to answer."""
    relay = await twilio.webhook(call_fields(From=ADA))
    async with twilio.connect(replace(relay, action="")) as call:
        yield call


@dataclass(frozen=True, slots=True)
class Child:
    """`python -m agent serve` as an operator starts it."""

    process: asyncio.subprocess.Process
    port: int


@asynccontextmanager
async def _child(table: Path, *options: str, **variables: str) -> AsyncIterator[Child]:
    port = free_port()
    environment = {
        "PATH": os.environ.get("PATH", ""),
        "PYTHON_DOTENV_DISABLED": "1",
        "PORT": str(port),
        "METRICS_PORT": "0",
        "WS_URL": "wss://voice.example.com/",
        "TWILIO_AUTH_TOKEN": TOKEN,
        "STORE_PATH": str(table),
        **variables,
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "agent", "serve", *options,
        cwd=ROOT, env=environment, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    try:
        async with no_longer():
            while json.loads(await process.stderr.readline())["event"] != "service.started":
                pass
        yield Child(process, port)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_process_hands_over_its_call_at_sigterm_and_ends(table: Path) -> None:
    """SIGTERM during a call: `end` comes at a pause, and the exit status is 0."""
    async with _child(table) as child, aiohttp.ClientSession() as http:
        twilio = Twilio(http, f"http://127.0.0.1:{child.port}", TOKEN, ORIGIN, PATIENT)
        async with _call(twilio) as call:
            await call.say("are you open")
            child.process.send_signal(signal.SIGTERM)
            ending = await heard_out(call)
        async with no_longer():
            status = await child.process.wait()

    assert ending.fields["HandoffData"] == '{"reasonCode": "server-drain", "reason": "quiet"}'
    assert status == 0


async def _greeting_of(child: Child) -> str:
    """The greeting for Ada; empty if no agent answers."""
    async with aiohttp.ClientSession() as http:
        twilio = Twilio(http, f"http://127.0.0.1:{child.port}", TOKEN, ORIGIN, PATIENT)
        answer = await twilio.post(f"{ORIGIN}/twiml", call_fields(From=ADA))
    return answer.relay.attributes["welcomeGreeting"] if answer.relay else ""


async def test_first_start_makes_the_file_with_the_shipped_configuration(tmp_path: Path) -> None:
    path = tmp_path / "new" / "agent.db"

    async with _child(path, "--seed") as child:
        greeting = await _greeting_of(child)

    assert greeting == "Hello Ada, this is Harbor Oven. How can I help you today?"
    assert list(path.parent.glob("*.new*")) == []


async def test_file_that_is_there_is_left_alone(tmp_path: Path) -> None:
    """Changed use cases stay, and an empty table stays empty."""
    path = tmp_path / "agent.db"
    await (await SqliteStore.open(path)).close()

    async with _child(path, "--seed") as child:
        greeting = await _greeting_of(child)

    assert greeting == ""
