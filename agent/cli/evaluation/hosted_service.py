"""The whole service in this process, for scenarios: with a table in memory, and on virtual time.

Everything is as `python -m agent serve` puts it together, but for what would leave something
behind: the table, messages, spans, and requests of HTTP tools, which fail as if no server could be
reached. The model is that of the settings, slowed down to the timing of the run when time is
virtual.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from agent import app
from agent.call.history import AgentSaid, ToolUsed
from agent.cli.evaluation.paced_model import Pace, PacedModel
from agent.events.outbox import TableOutbox
from agent.llm import OpenModel
from agent.messaging.kept_messages import MemoryMessenger
from agent.ports import Item, Key, LanguageModel
from agent.scenarios.service_facts import SentMessage, ToolRun
from agent.settings import Settings
from agent.simulator.carrier import Twilio
from agent.store.call_state.history_loader import read_items
from agent.store.call_state.journal import CHAT
from agent.store.memory import MemoryStore
from agent.tools import load_tools
from agent.tools.http.http_messages import HttpResponse
from agent.tools.http.outbound_http import HttpRequest, UnreachableError
from agent.usecases import UseCase, seed
from agent.usecases.folders import use_case_folders
from agent.usecases.host_allowlist import HostAllowlist
from agent.usecases.receivers import RECEIVERS_KEY, receivers_of

_TOKEN = "0" * 32
_ORIGIN = "voice.example.com"
SETTINGS: Mapping[str, str] = {
    "PORT": "0",
    "METRICS_PORT": "0",
    "WS_URL": f"wss://{_ORIGIN}/",
    "TWILIO_AUTH_TOKEN": _TOKEN,
    "TABLE_NAME": "",
    "CALLER_CALLS_AT_ONCE": "0",
    "CALLER_CALLS_PER_HOUR": "0",
    "CALLER_TOKENS_PER_DAY": "0",
    "OUTCOME_REQUESTS_PER_DAY": "0",
    "MCP_CONFIG": "",
}
"""Of a service that is hosted, over those of the environment."""
_GROUPS = {"Models", "AWS", "Use cases and tools"}
"""Of the variables that count in the environment; others are of a deployment, such as accounts."""
OFFLINE = "offline:"
_QUIET_SECONDS = 30.0
_VIRTUAL_DAY = datetime(2026, 3, 4, 12)  # noqa: DTZ001 (the zone is that of the settings)
"""When each call on virtual time begins, a Wednesday at noon: results depend on no calendar."""

ModelWrapper = Callable[[LanguageModel], LanguageModel]


def hosted_settings(configuration: str = "", model: str = OFFLINE) -> Settings:
    """Settings of a hosted service, over those of the environment; raises `SettingsError`.

    `configuration`: empty = that of the environment.
    """
    names = {each[0]: each for each in Settings.variables().values()}  # older names, too
    of_no_matter = [row.name for row in Settings.describe() if row.group not in _GROUPS]
    dropped = {name for first in of_no_matter for name in names[first]}
    environment = {name: text for name, text in os.environ.items() if name not in dropped}
    given = {"CONFIGURATION": configuration} if configuration else {}
    own = {"MODEL_IDENTIFIER": model, "FALLBACK_MODEL_IDENTIFIERS": ""}
    return Settings.read({**environment, **SETTINGS, **given, **own})


def configuration_around(place: Path | None) -> str:
    """The configuration folder that a file or folder is in; empty = none."""
    around = (place.resolve(), *place.resolve().parents) if place else ()
    return next((str(folder) for folder in around if use_case_folders(folder)), "")


def needs_no_network(settings: Settings) -> bool:
    """Whether the model is offline, so that time can be virtual."""
    return settings.model_identifier.startswith(OFFLINE)


class _UnsentRequests:
    """`HttpSender` that sends nothing: another server would have to keep what was tried out."""

    def __init__(self, hosts: HostAllowlist) -> None:
        self.hosts = hosts

    async def send(self, request: HttpRequest, seconds: float) -> HttpResponse:
        raise UnreachableError("a call that is tried out sends no requests")


class CallClock:
    """Epoch seconds of the service; on virtual time every call begins at the same moment."""

    def __init__(self, began: datetime) -> None:
        self._loop = asyncio.get_running_loop()
        self._began = began.timestamp()
        self.begin()

    def __call__(self) -> float:
        return self._began + self._loop.time() - self._since

    def begin(self) -> None:
        """The next call begins."""
        self._since = self._loop.time()


@dataclass(slots=True)
class HostedService:
    """`ServiceFacts` of the service in this process, which leads one call at a time."""

    twilio: Twilio
    store: MemoryStore
    messenger: MemoryMessenger
    service: app.Service
    seeded: Mapping[Key, Item]
    """What the configuration puts into the table."""
    prepared: Mapping[Key, Item]
    """What the table held when the present call began."""
    pace: Pace
    clock: CallClock
    outbox: TableOutbox
    """Events are written for the receivers of the table, and sent to none."""

    async def prepare(self, items: Sequence[Mapping[str, object]]) -> None:
        if self.pace.is_virtual:
            self.clock.begin()
        self.store.restore(self.seeded)
        for item in items:
            await self.store.merge(str(item["pk"]), str(item["sk"]), item)
        self.outbox.receivers = receivers_of(await self.store.get(*RECEIVERS_KEY))
        self.prepared = self.store.snapshot()
        self.messenger.texts.clear()
        self.messenger.mails.clear()

    async def settle(self) -> None:
        async with asyncio.timeout(_QUIET_SECONDS):
            await self.service.calls.until_quiet()

    async def items(self, pk: str, sk_prefix: str) -> list[Mapping[str, object]]:
        return [*await self.store.query(pk, sk_prefix)]

    async def items_before(self, pk: str, sk_prefix: str) -> list[Mapping[str, object]]:
        return [
            item
            for key, item in self.prepared.items()
            if key[0] == pk and key[1].startswith(sk_prefix)
        ]

    async def tools(self, call_sid: str) -> list[ToolRun]:
        return [
            _tool_run(fact) for fact in await self._facts(call_sid) if isinstance(fact, ToolUsed)
        ]

    async def said(self, call_sid: str) -> list[tuple[str, bool]]:
        return [
            (fact.text, fact.is_cut)
            for fact in await self._facts(call_sid)
            if isinstance(fact, AgentSaid)
        ]

    async def messages(self) -> list[SentMessage]:
        texts = [SentMessage("sms", text.recipient, text.body) for text in self.messenger.texts]
        mails = [SentMessage("email", mail.recipient, mail.html) for mail in self.messenger.mails]
        return texts + mails

    async def tokens(self, call_sid: str) -> int:
        return self.pace.used

    async def _facts(self, call_sid: str) -> Sequence[object]:
        return read_items(await self.store.query(call_sid, CHAT)).facts


def _tool_run(fact: ToolUsed) -> ToolRun:
    result = fact.result
    try:
        arguments = json.loads(fact.call.arguments)
    except ValueError:
        arguments = {}
    arguments = arguments if isinstance(arguments, dict) else {}
    content = result.content if result else ""
    return ToolRun(fact.call.name, arguments, content, bool(result and result.is_error))


@asynccontextmanager
async def hosted(
    settings: Settings,
    pace: Pace,
    around_model: ModelWrapper | None = None,
) -> AsyncIterator[HostedService]:
    """The service with the configuration of the settings, in a table in memory.

    The model is that of the settings for all use cases, also for those that name another one.
    `around_model` wraps the model; what it answers comes at the pace. Raises `UseCaseError` if the
    configuration has a fault, and `SettingsError`.
    """
    zone = settings.time_zone
    began = _VIRTUAL_DAY.replace(tzinfo=zone) if pace.is_virtual else datetime.now(zone)
    clock = CallClock(began)

    def opener(open_model: OpenModel) -> OpenModel:
        async def open_wrapped(use_case: UseCase) -> LanguageModel:
            of_settings = replace(use_case.model, identifier=settings.model_identifier)
            model = await open_model(replace(use_case, model=of_settings))
            return PacedModel(model if around_model is None else around_model(model), pace)

        return open_wrapped

    store, messenger = MemoryStore(clock), MemoryMessenger()
    specs = {tool.spec.name: tool.spec for tool in load_tools(settings.configuration)}
    await seed.seed(store, settings.configuration, specs, now=began)
    unsent = _UnsentRequests(settings.http_tool_hosts)
    outbox = TableOutbox(store, clock)
    substitutes = app.Substitutes(store, messenger, opener, clock, outbox, unsent, is_traced=False)
    async with (
        app.running(settings, "127.0.0.1", substitutes=substitutes) as service,
        Twilio.open(
            f"http://127.0.0.1:{service.port}", settings.twilio_auth_token[0], settings.origin
        ) as twilio,
    ):
        seeded = store.snapshot()
        yield HostedService(twilio, store, messenger, service, seeded, seeded, pace, clock, outbox)
