"""The composition root: settings -> adapters -> a running service.

The only place that knows every part. Nothing is global: two services can run in one process, as
the tests do.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, time
from urllib.parse import urlsplit

import structlog
from aiohttp import web

from agent import memory
from agent.calls import Calls
from agent.carrier import MessengerOptions, TwilioAccount, open_messenger
from agent.carrier.access import VoiceAccess
from agent.carrier.dialing import TwilioDialer
from agent.carrier.http import open_http
from agent.carrier.twilio import twilio_client
from agent.conversation.events import Departure
from agent.llm import ModelOptions, open_models
from agent.llm.offline import OFFLINE_NOTICE
from agent.load import Load
from agent.outbound import Outbound
from agent.ports import Store
from agent.protection import OnActive, open_protection, unprotected
from agent.recording.desk import open_records
from agent.relay.signature import Signatures
from agent.resources import Resources
from agent.settings import Settings, SettingsError, log_format_for
from agent.store import create_table, open_store
from agent.store.journal import open_journals
from agent.telemetry import (
    EmbeddedMetrics,
    MeasuredMessenger,
    MeasuredStore,
    Prices,
    Telemetry,
    read_prices,
)
from agent.tools import TOOLS, HttpTools, Outside, Toolkit
from agent.tools.mcp import open_sources
from agent.tracing import Tracing, open_tracing
from agent.web import PRIVATE_ROUTES, PUBLIC_ROUTES, busy, dial, messages, token
from agent.web.bearer import Keys
from agent.web.edge import CALLS, SETTINGS, SIGNATURES, TELEMETRY, guard_webhooks
from agent.web.site import PRIVATE_DOORS, open_site, public_doors, raise_file_limit

log = structlog.get_logger(__name__)

_PRICES = Path(__file__).parents[1] / "configuration" / "prices.toml"
LARGEST_FORM_BYTES = 64 * 1024
AT_ONCE_SHARE = 0.8
"""Of the time calls may take to be handed over: after that no quiet moment is waited for."""
GOODBYE_SECONDS = 5.0
"""How long calls may take to end when they are told to end at once."""


@dataclass(frozen=True, slots=True)
class Service:
    """A service that takes calls."""

    calls: Calls
    store: Store
    telemetry: Telemetry
    port: int
    metrics_port: int
    """0 if metrics are not served."""


@asynccontextmanager
async def open_calls(
    settings: Settings, clock: Callable[[], float] = time, on_active: OnActive = unprotected
) -> AsyncIterator[tuple[Calls, Store, Telemetry]]:
    """Everything a call needs, without a way to reach it; closed on leaving."""
    async with (
        open_tracing(os.environ) as tracing,  # the variables are those of its SDK
        _open_calls(settings, clock, on_active, tracing) as opened,
    ):
        yield opened


@asynccontextmanager
async def _open_calls(
    settings: Settings, clock: Callable[[], float], on_active: OnActive, tracing: Tracing | None
) -> AsyncIterator[tuple[Calls, Store, Telemetry]]:
    telemetry = Telemetry(trace_id=tracing.trace_id) if tracing else Telemetry()
    load = Load(telemetry.load)
    prices = prices_of(settings)
    table = await open_store(
        settings.table_name,
        settings.store_path,
        region=settings.aws_region,
        max_calls=settings.max_calls,
    )
    store = MeasuredStore(table, telemetry)

    options = model_options(settings, telemetry, load)
    try:
        async with (
            open_journals(store, clock, telemetry.journals) as journals,
            open_records(store, clock, record_days(settings)) as records,
            open_models(options) as open_model,
            open_messenger(messenger_options(settings)) as carrier,
            Outside.open(settings.http_tool_hosts) as outside,
            open_sources(settings.mcp_config, telemetry.tool_sources) as sources,
        ):
            messenger = MeasuredMessenger(carrier, telemetry)
            http = HttpTools(outside, settings.http_tool_secrets)
            toolkit = Toolkit(TOOLS, messenger.lacking, http, sources)
            resources = Resources(
                *(store, journals, open_model, toolkit, messenger, telemetry),
                load=load,
                records=records,
                prices=prices,
                tracing=tracing,
            )
            calls = Calls(settings, resources, clock, on_active)
            try:
                yield calls, store, telemetry
            finally:
                await calls.close()
    finally:
        await store.close()


async def make_table(settings: Settings) -> bool:
    """Make the table in DynamoDB if it is missing; tells whether it was.

    Raises:
        SettingsError: None is named.
        StoreError: It cannot be made.
    """
    if not settings.table_name:
        raise SettingsError("TABLE_NAME: must be set to make a table")
    return await create_table(settings.table_name, region=settings.aws_region)


@asynccontextmanager
async def open_outbound(
    settings: Settings, calls: Calls, store: Store, clock: Callable[[], float] = time
) -> AsyncIterator[Outbound]:
    """What calls are made with; connections to the carrier are closed on leaving."""
    account = twilio_account(settings)
    if account.lacking:
        yield Outbound(settings, store, None, calls.use_case, clock)
        return
    async with open_http() as http:
        dialer = TwilioDialer(twilio_client(account, http))
        yield Outbound(settings, store, dialer, calls.use_case, clock)


@asynccontextmanager
async def running(settings: Settings, host: str | None = None) -> AsyncIterator[Service]:
    """A service on its ports; on leaving, sockets are closed and files released."""
    async with (
        open_protection(settings.ecs_agent_uri if settings.task_protection else "") as on_active,
        open_calls(settings, on_active=on_active) as (calls, store, telemetry),
        open_outbound(settings, calls, store) as outbound,
    ):
        await calls.survey()
        public = web.Application(client_max_size=LARGEST_FORM_BYTES, middlewares=[guard_webhooks])
        public.add_routes(PUBLIC_ROUTES)
        public.cleanup_ctx.append(busy.texting)
        public[token.TOKEN_DESK] = _token_desk(settings)
        private = web.Application()
        private.add_routes(PRIVATE_ROUTES)
        private[dial.DIAL_KEYS] = Keys(settings.dial_api_keys) if settings.dial_api_keys else None
        for application in (public, private):
            application[CALLS] = calls
            application[dial.OUTBOUND] = outbound
            application[SETTINGS] = settings
            application[TELEMETRY] = telemetry
            application[SIGNATURES] = _signatures(settings)
        doors = public_doors(settings)
        async with (
            open_site(public, host, settings.port, doors, telemetry) as port,
            _private_site(private, host, settings, telemetry) as metrics_port,
            asyncio.TaskGroup() as tasks,  # innermost: it would wrap what goes wrong at start
        ):
            watching = [
                tasks.create_task(calls.load.watch(), name="lag"),
                tasks.create_task(memory.keep_giving_back(), name="memory"),
            ]
            if settings.emf_metrics and log_format_for(settings) == "json":
                embedded = EmbeddedMetrics(
                    telemetry, urlsplit(settings.ws_url).netloc, sys.stderr.write
                )
                watching.append(tasks.create_task(embedded.run(), name="embedded metrics"))
            yield Service(calls, store, telemetry, port, metrics_port)
            for task in watching:
                task.cancel()


@asynccontextmanager
async def _private_site(
    application: web.Application, host: str | None, settings: Settings, telemetry: Telemetry
) -> AsyncIterator[int]:
    """The port for operators; 0 if there is none. With both ports 0, as in tests, one is free."""
    if settings.port and not settings.metrics_port:
        yield 0
        return
    async with open_site(
        application, host, settings.metrics_port, PRIVATE_DOORS, telemetry
    ) as port:
        yield port


async def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT, then let the calls end; a second signal ends at once."""
    raise_file_limit()
    signals: asyncio.Queue[signal.Signals] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, signals.put_nowait, number)
    async with running(settings) as service, _settled():
        if settings.model_identifier.startswith("offline:"):
            log.warning("model.offline", notice=OFFLINE_NOTICE)
        log.info("service.started", port=service.port, metrics_port=service.metrics_port)
        first = await signals.get()
        service.telemetry.draining.set(1)
        await _leave(service.calls, first, signals, settings.drain_seconds)
    log.info("service.stopped")


@asynccontextmanager
async def _settled() -> AsyncIterator[None]:
    """What was made at the start stays until the end: no search for garbage looks at it again.

    CPython searches its oldest generation when a quarter of it is new. Each connection of aiohttp
    leaves a few dozen objects in cycles, and without this they pile up for half an hour behind
    all that was imported, before a search that is long because it looks at that, too.
    """
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


async def _leave(
    calls: Calls,
    first: signal.Signals,
    signals: asyncio.Queue[signal.Signals],
    seconds: float,
) -> None:
    """Hand the calls over, or end them, until none is left; another signal ends them at once."""
    stages = [
        (Departure.WHEN_QUIET, seconds * AT_ONCE_SHARE),
        (Departure.AT_ONCE, seconds * (1 - AT_ONCE_SHARE)),
    ]
    if first is signal.SIGINT:
        stages = []
    for departure, limit in stages:
        log.info("service.draining", calls=calls.lines.active, departure=departure, seconds=limit)
        calls.lines.drain(departure)
        if await _is_interrupted(calls, signals, limit) or not calls.lines.active:
            break
    if calls.lines.active:
        log.info("service.ending_calls", calls=calls.lines.active)
        calls.lines.drain(Departure.GOODBYE)
        await _is_interrupted(calls, signals, GOODBYE_SECONDS)
    calls.lines.is_draining = True
    if calls.lines.active:
        log.warning("service.calls_cut", calls=calls.lines.active)


async def _is_interrupted(
    calls: Calls, signals: asyncio.Queue[signal.Signals], seconds: float
) -> bool:
    """Wait for the calls to end, so long at most; whether another signal came first."""
    quiet = asyncio.create_task(calls.until_quiet(), name="quiet")
    interrupted = asyncio.create_task(signals.get(), name="signal")
    await asyncio.wait({quiet, interrupted}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    for wait in (quiet, interrupted):
        wait.cancel()
    return interrupted.done() and not interrupted.cancelled()


def record_days(settings: Settings) -> int:
    """How long calls are kept to be replayed; 0 = they are not."""
    return settings.record_days if settings.record_calls else 0


def twilio_account(settings: Settings) -> TwilioAccount:
    """Whose name requests to Twilio are made in."""
    return TwilioAccount(
        sid=settings.twilio_account_sid,
        auth_token=settings.twilio_auth_token,
        key_sid=settings.twilio_api_key_sid,
        key_secret=settings.twilio_api_key_secret,
        api_url=settings.twilio_api_url,
    )


def model_options(settings: Settings, telemetry: Telemetry, load: Load) -> ModelOptions:
    """What models are opened with."""
    return ModelOptions(
        identifier=settings.model_identifier,
        fallbacks=settings.fallback_model_identifiers,
        openai_api_key=settings.openai_api_key,
        openai_base_url=settings.openai_base_url,
        max_calls=settings.max_calls,
        events=telemetry.models,
        may_hedge=lambda: load.allows_hedges,
    )


def prices_of(settings: Settings) -> Prices:
    """What models cost, for estimates.

    Raises:
        PricesError: The file cannot be used.
    """
    return read_prices(Path(settings.prices_file) if settings.prices_file else _PRICES)


def messenger_options(settings: Settings) -> MessengerOptions:
    """What messages are sent with. Only an address that Twilio can reach is told to it."""
    callback = f"{settings.origin}{messages.STATUS_PATH}" if settings.is_public else ""
    return MessengerOptions(
        account=twilio_account(settings),
        status_callback=callback,
        sendgrid_api_key=settings.sendgrid_api_key,
        email_sender=settings.email_from_address,
    )


def _signatures(settings: Settings) -> Signatures | None:
    if not settings.twilio_auth_token:
        return None
    return Signatures([settings.twilio_auth_token], settings.origin, settings.ws_url)


def _token_desk(settings: Settings) -> token.TokenDesk | None:
    """None where a secret to ask with, or what tokens are made of, is not configured."""
    if not settings.token_api_keys:
        return None
    access = VoiceAccess(
        settings.twilio_account_sid,
        settings.twilio_api_key_sid,
        settings.twilio_api_key_secret,
        settings.twilio_twiml_app_sid,
        settings.twilio_push_credential_sid,
        clock=time,
    )
    return token.open_desk(access, settings.token_api_keys, monotonic)
