"""Two servers behind a load balancer, with one table and one model, as in a deployment.

Everything is real but Twilio and the model: processes of `python -m agent serve`, HAProxy, a
DynamoDB. Cables (`tests.survival.link`) lie where a scenario may cut one: between the balancer and
each server, and between the servers and the model. The table can be asked slowly.

A server keeps its ports over its deaths. What it logs is read at once, so that it is known which
calls it leads.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from agent.ports import Store
from agent.simulator.carrier import Twilio
from agent.store import open_store
from tests import dynamodb
from tests.dynamodb import REGION, free_port
from tests.emulators.bedrock import BedrockEmulator
from tests.emulators.target_group import States, target_group
from tests.shipped import load_shipped
from tests.store.proxy import Exchange, proxying
from tests.survival import front
from tests.survival.link import Link, linked
from tests.survival.model import guest_model
from tests.survival.phone import MANNER

ROOT = Path(__file__).parents[2]
MODEL = "us.amazon.nova-lite-v1:0"
TOKEN = "12345678901234567890123456789012"
ORIGIN = "https://voice.example.com"
_READY_SECONDS = 60.0
_EXIT_SECONDS = 150.0
_POLL_SECONDS = 0.05
_LONGEST_LINE = 2**20


@dataclass(frozen=True, slots=True)
class Exit:
    """How a server ended after it was told to."""

    code: int
    seconds: float


class Server:
    """`python -m agent serve`, which may be killed and begun again."""

    def __init__(self, environment: Mapping[str, str], program: Sequence[str]) -> None:
        self.port, metrics_port = free_port(), free_port()
        self.lines: list[str] = []
        """What it has logged, in all its lives."""
        self._program = program
        self._environment = {
            "PATH": os.environ.get("PATH", ""),
            "PYTHONPATH": str(ROOT),
            "PYTHON_DOTENV_DISABLED": "1",
            "LOG_FORMAT": "json",
            **environment,
            "PORT": str(self.port),
            "METRICS_PORT": str(metrics_port),
        }
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    @property
    def calls(self) -> set[str]:
        """The `CallSid` of each call it leads."""
        led: set[str] = set()
        for entry in self.entries():
            if entry.get("event") == "call.started":
                led.add(entry["call_sid"])
            elif entry.get("event") in {"call.ended", "call.failed", "call.crashed"}:
                led.discard(entry["call_sid"])
        return led if self.is_running else set()

    def entries(self) -> Iterator[dict[str, Any]]:
        """What it has logged, line by line; what is no JSON stands under `text`."""
        for line in self.lines:
            try:
                entry = json.loads(line)
            except ValueError:
                entry = None
            yield entry if isinstance(entry, dict) else {"text": line}

    def errors(self) -> Counter[str]:
        """What it has logged as an error, by the name of the event."""
        return Counter(
            str(entry.get("event", entry.get("text")))
            for entry in self.entries()
            if entry.get("level") in {"error", "critical"} or "Traceback" in entry.get("text", "")
        )

    async def begin(self) -> None:
        """Start it, for the first time or again, and wait until it is ready."""
        guard = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
        self._process = await asyncio.create_subprocess_exec(
            *guard, sys.executable, *self._program,
            cwd=ROOT, env=self._environment, limit=_LONGEST_LINE,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        self._reader = asyncio.create_task(self._read(), name=f"log {self.port}")
        async with asyncio.timeout(_READY_SECONDS):
            while not await front.is_answered(f"http://127.0.0.1:{self.port}/health/ready"):
                assert self.is_running, "\n".join(self.lines[-20:])
                await asyncio.sleep(_POLL_SECONDS)  # a process that starts has no event for us

    def send(self, number: signal.Signals) -> None:
        """Send a signal; SIGSTOP and SIGCONT freeze it and let it go on."""
        assert self._process is not None
        self._process.send_signal(number)

    async def kill(self) -> None:
        """Send SIGKILL, also to one that is frozen; nothing happens to one that is not there."""
        if self.is_running:
            self.send(signal.SIGKILL)
            await self._gone()

    async def stop(self) -> Exit:
        """Send SIGTERM and wait for the end."""
        self.send(signal.SIGTERM)
        return await self.ended(_EXIT_SECONDS)

    async def ended(self, seconds: float) -> Exit:
        """Wait for the end; raises `TimeoutError` after so long."""
        began = asyncio.get_running_loop().time()
        async with asyncio.timeout(seconds):
            code = await self._gone()
        return Exit(code, asyncio.get_running_loop().time() - began)

    async def _gone(self) -> int:
        assert self._process is not None
        assert self._reader is not None
        code = await self._process.wait()
        await self._reader
        return code

    async def _read(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            self.lines.append(line.decode(errors="replace").rstrip())


@dataclass(frozen=True, slots=True)
class Stack:
    """The running parts."""

    servers: tuple[Server, ...]
    front: front.Front
    links: tuple[Link, ...]
    """Between the balancer and each server; none where the balancer reaches the servers itself."""
    bedrock: BedrockEmulator
    bedrock_link: Link
    store: Store
    """The table as the servers left it."""
    twilio: Twilio

    def errors(self) -> Counter[str]:
        """What the servers have logged as errors, by the names of the events."""
        return sum((server.errors() for server in self.servers), Counter[str]())

    async def until_up(self, *ups: bool) -> None:
        """Wait until the balancer sends new requests to just these servers; without, to all."""
        await self.front.until(*(ups or [server.is_running for server in self.servers]))

    async def stop(self) -> list[Exit]:
        """End all servers in an orderly way, so that all they know is written."""
        running = [server.stop() for server in self.servers if server.is_running]
        return await asyncio.gather(*running)


@dataclass(frozen=True, slots=True)
class Plan:
    """Options of a stack."""

    pace: float = 0.05
    """Seconds between two words of the model."""
    program: tuple[str, ...] = ("-m", "agent", "serve")
    """Arguments of Python that start a server."""
    servers: int = 2
    spare: int = 0
    """Further servers, which are not started."""
    order_seconds: float = 0.0
    """How long the table takes to write an order; 0 = no longer than it does."""
    is_cabled: bool = False
    """A cable that may be cut lies between the balancer and each server."""
    reopens: bool = False
    """Twilio opens a socket that has died again by itself (`applicationReconnect`)."""
    is_on_ecs: bool = False
    """The servers ask the API of the balancer for their states, as tasks of ECS do."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Further variables of the servers."""


@asynccontextmanager
async def standing(folder: Path, table: str, plan: Plan) -> AsyncIterator[Stack]:
    """Servers that are ready, behind everything that may fail.

    The table is an empty one in the DynamoDB of this process's environment; no name = a file.
    """
    async with AsyncExitStack() as exits:
        engine = os.environ.get("AWS_ENDPOINT_URL_DYNAMODB", "")
        if plan.order_seconds:
            engine = await exits.enter_async_context(_slow(engine, plan.order_seconds))
        bedrock = await exits.enter_async_context(BedrockEmulator(guest_model(plan.pace)))
        cable = await exits.enter_async_context(linked(_port_of(bedrock.url)))
        store = await open_store(table, folder / "agent.db", region=REGION, max_calls=8)
        exits.push_async_callback(store.close)
        await load_shipped(store, _configuration(folder, plan))
        variables = {
            **dynamodb.environment(table, engine),
            "STORE_PATH": str(folder / "agent.db"),
            "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": cable.url,
            "MODEL_IDENTIFIER": MODEL,
            "WS_URL": f"{ORIGIN.replace('https', 'wss')}/",
            "TWILIO_AUTH_TOKEN": TOKEN,
            **plan.environment,
        }
        states = _States()
        if plan.is_on_ecs:
            group = await exits.enter_async_context(target_group(states.read))
            variables |= group.environment
        servers = [Server(variables, plan.program) for _ in range(plan.servers + plan.spare)]
        ports, links = [server.port for server in servers], list[Link]()
        if plan.is_cabled:
            links = [await exits.enter_async_context(linked(port)) for port in ports]
            ports = [link.port for link in links]
        balancer = states.front = await exits.enter_async_context(front.opened(folder, ports))
        for server in servers:
            exits.push_async_callback(server.kill)
        await asyncio.gather(*(server.begin() for server in servers[: plan.servers]))
        http = await exits.enter_async_context(calling(balancer))
        twilio = Twilio(http, balancer.url, TOKEN, ORIGIN, MANNER)
        stack = Stack(tuple(servers), balancer, tuple(links), bedrock, cable, store, twilio)
        await stack.until_up()
        yield stack


@dataclass(slots=True)
class _States:
    """The states of the targets; the balancer is opened after the servers know where to ask."""

    front: front.Front | None = None

    async def read(self) -> States:
        return await self.front.target_states() if self.front else {}


def _configuration(folder: Path, plan: Plan) -> Path:
    """The shipped one, or a copy that lets the relay open sockets again."""
    shipped = ROOT / "configuration"
    if not plan.reopens:
        return shipped
    copy = Path(shutil.copytree(shipped, folder / "configuration"))
    for record in copy.glob("use-cases/*/use-case.toml"):
        text = record.read_text(encoding="utf-8")
        relay = "[relay]\napplicationReconnect = true"
        record.write_text(text.replace("[relay]", relay), encoding="utf-8")
    return copy


@asynccontextmanager
async def _slow(engine: str, seconds: float) -> AsyncIterator[str]:
    """Another address of the table, where orders take so long: half before and half after it."""

    async def slowly(exchange: Exchange) -> web.StreamResponse:
        await asyncio.sleep(seconds / 2)  # how long a table takes
        answer = await exchange.forward()
        await asyncio.sleep(seconds / 2)  # the same
        return answer

    async with proxying(engine) as proxy:
        proxy.each = lambda exchange: slowly if _is_order(exchange) else None
        yield proxy.url


def _is_order(exchange: Exchange) -> bool:
    """Whether an order is written."""
    if exchange.operation != "PutItem":
        return False
    return str(exchange.body["Item"]["sk"]["S"]).startswith("restaurantOrder::")


def _port_of(url: str) -> int:
    return int(url.rpartition(":")[2])


@asynccontextmanager
async def calling(balancer: front.Front) -> AsyncIterator[aiohttp.ClientSession]:
    """A client as far away as Twilio: a new connection for each request."""
    connector = aiohttp.TCPConnector(limit=0, ssl=balancer.trust, force_close=True)
    async with aiohttp.ClientSession(connector=connector) as http:
        yield http
