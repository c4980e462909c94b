"""A service to be called: the production wiring on free ports.

`serving` is the service as `python -m agent serve` runs it, with a table of its own. `staged` is
the same with a model, a table and a clock that the test chooses. Both look to Twilio as if they
were behind a balancer: signatures are made for `ORIGIN`, the socket is at a local port.

On leaving, nothing may be left behind: no task, no call, no open file or socket.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from time import time
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from agent import app
from agent.app import Service, Substitutes
from agent.call.config import Phrases
from agent.llm import OfflineModel
from agent.messaging.kept_messages import MemoryMessenger
from agent.ports import Item, LanguageModel, Messenger, Store
from agent.session.call_manager import CallManager
from agent.settings import Settings
from agent.simulator.carrier import Twilio, call_fields
from agent.simulator.simulated_call import Manner, SessionReport, TwilioCall
from agent.simulator.twiml_reader import RelayInvitation, TwimlAnswer
from agent.store.memory import MemoryStore
from agent.tools import SPECS
from agent.usecases import UseCase
from tests.fakes import UNREACHABLE
from tests.shipped import load_shipped
from tests.waiting import no_longer, until

TOKEN = "12345678901234567890123456789012"
ORIGIN = "https://voice.example.com"
VOICE_URL = f"{ORIGIN}/twiml"
ACTION_URL = f"{ORIGIN}/twiml/action"

UNLIMITED_CALLERS = {
    "CALLER_CALLS_AT_ONCE": "0",
    "CALLER_CALLS_PER_HOUR": "0",
    "CALLER_TOKENS_PER_DAY": "0",
}
"""Environment of a service that one number may call as often as it likes."""

_FILLERS = {*Phrases().fillers, *(spec.filler for spec in SPECS.values())}
PATIENT = Manner(fillers=frozenset({*_FILLERS, "I am still checking that with the kitchen."}))
"""Takes no filler for an answer."""

OpenModel = Callable[[str, str], LanguageModel]
"""From a use case's model and offline script: what a test chooses."""
_WRITTEN_SECONDS = 1.0  # facts are written off the speaking path


def settings_for(store_path: Path, **environment: str) -> Settings:
    """Settings of a service behind a balancer, from variables as an operator sets them."""
    variables = {
        "PORT": "0",
        "METRICS_PORT": "0",
        "WS_URL": "wss://voice.example.com/",
        "TWILIO_AUTH_TOKEN": TOKEN,
        "STORE_PATH": str(store_path),
        **environment,
    }
    return Settings.read(variables)


@dataclass(frozen=True, slots=True)
class Server:
    """A service that listens, and the Twilio that calls it."""

    service: Service
    twilio: Twilio

    @property
    def store(self) -> Store:
        return self.service.store

    @property
    def calls(self) -> CallManager:
        return self.service.calls

    def url(self, path: str) -> str:
        return f"{self.twilio.base}{path}"

    @property
    def metrics_url(self) -> str:
        return f"http://127.0.0.1:{self.service.metrics_port}/metrics"

    async def get(self, url: str) -> tuple[int, str]:
        """Status and text."""
        async with self.twilio.http.get(url) as response:
            return response.status, await response.text()

    async def metric(self, name: str, **labels: str) -> float:
        """The value of one sample as a scraper reads it; 0 if there is none yet."""
        _, text = await self.get(self.metrics_url)
        return _sample(text, name, labels)

    async def until_metric(self, name: str, value: float) -> None:
        """Wait until a sample has this value, within a limit; also after the service."""
        telemetry = self.service.telemetry
        await until(lambda: _sample(telemetry.render("")[0].decode(), name, {}) == value)

    async def ring(self, fields: Mapping[str, str]) -> TwimlAnswer:
        """The voice webhook, signed; whatever it answers."""
        return await self.twilio.post(VOICE_URL, fields)

    async def relay(self, **fields: str) -> RelayInvitation:
        """A call that was set up and waits for its socket."""
        return await self.twilio.webhook(call_fields(**fields))

    async def know(self, caller: str, **profile: str) -> None:
        """Give a caller a profile."""
        await self.store.merge(caller, "profile", profile)

    async def items(self, pk: str, prefix: str = "") -> list[Item]:
        """What the table holds once the calls are over, or have had time to say and write it."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_WRITTEN_SECONDS):
                await self.calls.until_quiet()
        await self.until_metric("agent_journal_facts_waiting", 0)
        return await self.store.query(pk, prefix)

    async def said(self, call: TwilioCall) -> list[tuple[str, str]]:
        """What the table holds of a call's words, in order: kind and text."""
        items = await self.items(call.relay.fields["CallSid"], "chat::")
        facts: list[Any] = [item["fact"] for item in items]
        return [(fact["kind"], fact["text"]) for fact in facts if "text" in fact]

    async def orders(self, caller: str) -> list[Any]:
        """`order` of each order item of a caller."""
        return [item["order"] for item in await self.items(caller, "restaurantOrder::")]


def _sample(text: str, name: str, labels: Mapping[str, str]) -> float:
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == name and labels.items() <= sample.labels.items():
                return sample.value
    return 0.0


@asynccontextmanager
async def serving(settings: Settings, manner: Manner = PATIENT) -> AsyncIterator[Server]:
    """The service as production wires it."""
    async with (
        _nothing_left(),
        app.running(settings, "127.0.0.1") as service,
        _twilio(service, manner) as server,
    ):
        yield server
        await _quiet(server)


def offline(_: str, script: str) -> LanguageModel:
    """The offline model, for `staged`."""
    return OfflineModel(script)


async def seeded(store: MemoryStore | None = None) -> MemoryStore:
    """A table in memory with the shipped configuration."""
    store = store or MemoryStore()
    await load_shipped(store)
    return store


def opening(open_model: OpenModel) -> Callable[[UseCase], Awaitable[LanguageModel]]:
    """The test's choice, as `CallManager` asks for it."""

    async def open_for(use_case: UseCase) -> LanguageModel:
        return open_model(use_case.model.identifier, use_case.offline_script)

    return open_for


@asynccontextmanager
async def staged(
    settings: Settings,
    store: Store,
    open_model: OpenModel,
    *,
    clock: Callable[[], float] = time,
    manner: Manner = PATIENT,
    messenger: Messenger | None = None,
    tells_events: bool = False,
) -> AsyncIterator[Server]:
    """The service in front of this model and this table; the table stays open.

    Without a messenger, messages are not configured.
    """
    substitutes = Substitutes(
        store,
        messenger or MemoryMessenger(UNREACHABLE),
        lambda _: opening(open_model),
        clock,
        tells_events=tells_events,
    )
    async with (
        app.running(settings, "127.0.0.1", substitutes=substitutes) as service,
        _twilio(service, manner) as server,
    ):
        yield server
        await _quiet(server)


async def heard_out(call: TwilioCall) -> SessionReport:
    """Listen until the service gives the call back."""
    async with no_longer():
        while call.ending is None:
            await call.play_out()
            await call.settle()
    return call.ending


@asynccontextmanager
async def _twilio(service: Service, manner: Manner) -> AsyncIterator[Server]:
    base = f"http://127.0.0.1:{service.port}"
    async with Twilio.open(base, TOKEN, ORIGIN) as twilio:
        yield Server(service, replace(twilio, manner=manner))


async def _quiet(server: Server) -> None:
    async with no_longer():
        await server.calls.until_quiet()


@asynccontextmanager
async def _nothing_left() -> AsyncIterator[None]:
    """Every task that was begun is over, and every file and socket is closed."""
    tasks, files = asyncio.all_tasks(), _open_files()
    yield
    tasks |= {task for task in [asyncio.current_task()] if task}
    await until(lambda: asyncio.all_tasks() <= tasks and _open_files() <= files)


def _open_files() -> int:
    """How many files and sockets this process has open; 0 where the system does not say."""
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.exists() else 0
