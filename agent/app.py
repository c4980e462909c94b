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
from time import time

import structlog
from aiohttp import web

from agent.calls import Calls, Resources
from agent.llm import ModelOptions, open_models
from agent.llm.offline import OFFLINE_NOTICE
from agent.ports import Store
from agent.relay.signature import Signatures
from agent.settings import Settings, SettingsError
from agent.store.journal import open_journals
from agent.store.sqlite import SqliteStore
from agent.telemetry import MeasuredStore, Telemetry
from agent.tools import TOOLS, Toolkit
from agent.tools.mcp import open_sources
from agent.web import call, ops, voice
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
    settings: Settings, clock: Callable[[], float] = time
) -> AsyncIterator[tuple[Calls, Store, Telemetry]]:
    """Everything a call needs, without a way to reach it; closed on leaving."""
    telemetry = Telemetry()
    store = MeasuredStore(await SqliteStore.open(settings.store_path), telemetry)

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
            open_sources(settings.mcp_config, telemetry.tool_sources) as sources,
        ):
            toolkit = Toolkit(TOOLS, sources)
            resources = Resources(store, journals, open_model, toolkit, telemetry)
            calls = Calls(settings, resources, clock)
            try:
                yield calls, store, telemetry
            finally:
                await calls.close()
    finally:
        await store.close()


@asynccontextmanager
async def running(settings: Settings, host: str | None = None) -> AsyncIterator[Service]:
    """A service on its ports; on leaving, sockets are closed and files released."""
    async with open_calls(settings) as (calls, store, telemetry), asyncio.TaskGroup() as tasks:
        public = web.Application(client_max_size=LARGEST_FORM_BYTES, middlewares=[guard_webhooks])
        public.add_routes([*voice.routes, *call.routes, *ops.public_routes])
        private = web.Application()
        private.add_routes(ops.private_routes)
        for application in (public, private):
            application[CALLS] = calls
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


def _signatures(settings: Settings) -> Signatures | None:
    if not settings.twilio_auth_token:
        return None
    return Signatures([settings.twilio_auth_token], settings.origin, settings.ws_url)


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
