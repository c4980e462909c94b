"""How long a process takes to end at most: callers and threads that do not let it go.

With the shipped limits, on virtual time: ECS kills a process 120 s after SIGTERM, and 20 s of it
are kept.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import aiohttp
import pytest

from agent import app
from agent.app import Substitutes
from agent.capacity.drain import TOTAL_SHARE, DrainEvent
from agent.cli import serve
from agent.messaging.kept_messages import MemoryMessenger
from agent.settings import Settings
from agent.simulator.carrier import Twilio, call_fields
from agent.simulator.virtual_time import run_virtually
from tests.dynamodb import free_port
from tests.fakes import UNREACHABLE
from tests.servers import ORIGIN, PATIENT, TOKEN, offline, opening, seeded
from tests.waiting import no_longer

pytestmark = [pytest.mark.needs("time"), pytest.mark.usefixtures("plain_logging")]

ROOT = Path(__file__).parents[2]
STOP_TIMEOUT, KEPT = 120.0, 20.0
SPEAKING = {"type": "prompt", "voicePrompt": "I would like", "last": False}
SETUP = {"type": "setup", "sessionId": "VX1", "accountSid": "AC1", "from": "+1", "to": "+1"}


async def _hold(twilio: Twilio, *, speaks: bool) -> None:
    """A relay that answers pings and never closes; its caller may speak without end."""
    fields = call_fields()
    relay = await twilio.webhook(fields)
    url = relay.attributes["url"]
    local = url.replace(ORIGIN.replace("https", "wss"), twilio.base)
    headers = {"X-Twilio-Signature": twilio.sign(url)}
    async with twilio.http.ws_connect(local, headers=headers, autoclose=False) as socket:
        await socket.send_json({**SETUP, "callSid": fields["CallSid"]})
        while speaks and not socket.closed:
            await socket.send_json(SPEAKING)
            try:
                await socket.receive(timeout=1.0)
            except TimeoutError:
                continue
        await asyncio.Event().wait()


@pytest.mark.parametrize(
    ("event", "speaks"),
    [
        (DrainEvent.TERMINATED, False),
        (DrainEvent.TERMINATED, True),
        (DrainEvent.INTERRUPTED, True),
    ],
    ids=["quiet", "the caller speaks", "SIGINT"],
)
def test_relay_that_never_closes_holds_no_process(
    service_settings: Settings, event: DrainEvent, *, speaks: bool
) -> None:
    async def main() -> float:
        substitutes = Substitutes(
            await seeded(), MemoryMessenger(UNREACHABLE), lambda _: opening(offline)
        )
        now = asyncio.get_running_loop().time
        async with aiohttp.ClientSession() as http, asyncio.TaskGroup() as relays:
            async with app.running(service_settings, "127.0.0.1", substitutes=substitutes) as it:
                twilio = Twilio(http, f"http://127.0.0.1:{it.port}", TOKEN, ORIGIN, PATIENT)
                holding = [relays.create_task(_hold(twilio, speaks=speaks)) for _ in range(3)]
                while it.calls.active_calls.count < 3:  # noqa: ASYNC110 (a count has no event)
                    await asyncio.sleep(0.1)  # the same reason
                await asyncio.sleep(5.0)  # the greeting is over, and every caller speaks
                began = now()
                seconds = service_settings.drain_seconds
                await serve.drain(it, event, asyncio.Queue(), seconds)
            ended = now()
            for relay in holding:
                relay.cancel()
        return ended - began

    seconds = run_virtually(main())

    assert seconds < Settings().drain_seconds * TOTAL_SHARE
    assert Settings().drain_seconds <= STOP_TIMEOUT - KEPT


async def test_process_with_a_hanging_thread_ends_itself(table: Path) -> None:
    """It would be killed otherwise; its threads are written down."""
    program = (
        "import sys, threading, time; threading.Thread(target=time.sleep, args=(3600,)).start();"
        " from agent.cli.main import main; sys.exit(main(['serve']))"
    )
    environment = {
        "PATH": os.environ.get("PATH", ""),
        "PYTHON_DOTENV_DISABLED": "1",
        "PORT": str(free_port()),
        "METRICS_PORT": "0",
        "STORE_PATH": str(table),
        "DRAIN_SECONDS": "2",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, cwd=ROOT, env=environment, stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr is not None
    try:
        async with no_longer():
            while json.loads(await process.stderr.readline())["event"] != "service.started":
                pass
            process.send_signal(signal.SIGTERM)
            written = (await process.stderr.read()).decode()
            status = await process.wait()
    finally:
        if process.returncode is None:
            process.kill()

    assert status == 1
    assert "Timeout (0:00:01.94" in written
    assert '"service.stopped"' in written
