"""The composition root: settings -> adapters -> a running service.

The only place that knows every part. Nothing is global: two services can run in one process, as
the tests do.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import monotonic, time

import structlog
from aiohttp import web

from agent.calls import Calls, Resources
from agent.carrier import MessengerOptions, TwilioAccount, open_messenger
from agent.carrier.access import VoiceAccess
from agent.carrier.dialing import TwilioDialer
from agent.carrier.http import open_http
from agent.carrier.twilio import twilio_client
from agent.llm import ModelOptions, open_models
from agent.llm.offline import OFFLINE_NOTICE
from agent.outbound import Outbound
from agent.ports import Store
from agent.protection import OnActive, open_protection, unprotected
from agent.relay.signature import Signatures
from agent.settings import Settings, SettingsError
from agent.store import create_table, open_store
from agent.store.journal import open_journals
from agent.telemetry import MeasuredMessenger, MeasuredStore, Telemetry
from agent.tools import TOOLS, HttpTools, Outside, Toolkit
from agent.tools.mcp import open_sources
from agent.web import PRIVATE_ROUTES, PUBLIC_ROUTES, dial, messages, token
from agent.web.bearer import Keys
from agent.web.edge import CALLS, SETTINGS, SIGNATURES, TELEMETRY, guard_webhooks

log = structlog.get_logger(__name__)

LARGEST_FORM_BYTES = 64 * 1024
DRAIN_SECONDS = 110.0
"""How long calls may take to end after SIGTERM; Fargate kills at 120."""
INTERRUPT_SECONDS = 5.0
"""The same after Ctrl-C."""
_LAG_SECONDS = 0.5


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
    telemetry = Telemetry()
    table = await open_store(
        settings.table_name,
        settings.store_path,
        region=settings.aws_region,
        max_calls=settings.max_calls,
    )
    store = MeasuredStore(table, telemetry)

    options = ModelOptions(
        identifier=settings.model_identifier,
        fallbacks=settings.fallback_model_identifiers,
        openai_api_key=settings.openai_api_key,
        openai_base_url=settings.openai_base_url,
        max_calls=settings.max_calls,
        events=telemetry.models,
    )
    try:
        async with (
            open_journals(store, clock, telemetry.journals) as journals,
            open_models(options) as open_model,
            open_messenger(messenger_options(settings)) as carrier,
            Outside.open(settings.http_tool_hosts) as outside,
            open_sources(settings.mcp_config, telemetry.tool_sources) as sources,
        ):
            messenger = MeasuredMessenger(carrier, telemetry)
            http = HttpTools(outside, settings.http_tool_secrets)
            toolkit = Toolkit(TOOLS, messenger.lacking, http, sources)
            resources = Resources(store, journals, open_model, toolkit, messenger, telemetry)
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
        asyncio.TaskGroup() as tasks,
    ):
        await calls.survey()
        public = web.Application(client_max_size=LARGEST_FORM_BYTES, middlewares=[guard_webhooks])
        public.add_routes(PUBLIC_ROUTES)
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
        async with _site(public, host, settings.port) as port:
            metrics_port = settings.metrics_port
            lag = tasks.create_task(_watch_lag(telemetry), name="lag")
            if metrics_port or settings.port == 0:
                async with _site(private, host, metrics_port) as metrics_port:
                    yield Service(calls, store, telemetry, port, metrics_port)
            else:
                yield Service(calls, store, telemetry, port, 0)
            lag.cancel()


async def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT, then let the calls end; a second signal ends at once."""
    signals: asyncio.Queue[signal.Signals] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, signals.put_nowait, number)
    async with running(settings) as service:
        if settings.model_identifier.startswith("offline:"):
            log.warning("model.offline", notice=OFFLINE_NOTICE)
        log.info("service.started", port=service.port, metrics_port=service.metrics_port)
        first = await signals.get()
        service.telemetry.draining.set(1)
        service.calls.drain()
        limit = DRAIN_SECONDS if first is signal.SIGTERM else INTERRUPT_SECONDS
        log.info("service.draining", calls=service.calls.active, seconds=limit)
        await _until_quiet(service.calls, signals, limit)
    log.info("service.stopped")


async def _until_quiet(
    calls: Calls, signals: asyncio.Queue[signal.Signals], seconds: float
) -> None:
    """Wait for the calls to end, for another signal, or for so long."""
    waits = {
        asyncio.create_task(calls.until_quiet(), name="quiet"),
        asyncio.create_task(signals.get(), name="signal"),
    }
    await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()
    if calls.active:
        log.warning("service.calls_cut", calls=calls.active)


def twilio_account(settings: Settings) -> TwilioAccount:
    """Whose name requests to Twilio are made in."""
    return TwilioAccount(
        sid=settings.twilio_account_sid,
        auth_token=settings.twilio_auth_token,
        key_sid=settings.twilio_api_key_sid,
        key_secret=settings.twilio_api_key_secret,
        api_url=settings.twilio_api_url,
    )


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


@asynccontextmanager
async def _site(application: web.Application, host: str | None, port: int) -> AsyncIterator[int]:
    """An application on a port; port 0 takes a free one. Yields the port."""
    runner = web.AppRunner(
        application, handler_cancellation=False, access_log=None, shutdown_timeout=2.0
    )
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            raise SettingsError(
                f"PORT or METRICS_PORT: cannot listen on {port}: {error}"
            ) from error
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def _watch_lag(telemetry: Telemetry) -> None:
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + _LAG_SECONDS
        await asyncio.sleep(_LAG_SECONDS)
        telemetry.loop_lag.observe(max(0.0, loop.time() - due))
        telemetry.tasks.set(len(asyncio.all_tasks()))
