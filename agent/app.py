"""The composition root: settings -> adapters -> a running service.

The only place that knows every part. Nothing is global: two services can run in one process, as
the tests do.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import time
from urllib.parse import urlsplit

from aiohttp import web

from agent import memory
from agent.calls import Calls
from agent.carrier import open_messenger
from agent.carrier.dialing import TwilioDialer
from agent.carrier.http import open_http
from agent.carrier.twilio import twilio_client
from agent.llm import open_models
from agent.load import Load
from agent.options import (
    messenger_options,
    model_options,
    prices_of,
    record_days,
    signatures,
    token_desk,
    twilio_account,
)
from agent.outbound import Outbound
from agent.ports import Store
from agent.protection import OnActive, open_protection, unprotected
from agent.recording.desk import open_records
from agent.resources import Resources
from agent.settings import Settings, SettingsError, log_format_for
from agent.store import create_table, open_store
from agent.store.journal import open_journals
from agent.telemetry import EmbeddedMetrics, MeasuredMessenger, MeasuredStore, Telemetry
from agent.tools import TOOLS, HttpTools, Outside, Toolkit
from agent.tools.mcp import open_sources
from agent.tracing import TracedTable, Tracing, open_tracing
from agent.web import PRIVATE_ROUTES, PUBLIC_ROUTES, busy, dial, token
from agent.web.bearer import Keys
from agent.web.edge import CALLS, SETTINGS, SIGNATURES, TELEMETRY, guard_webhooks
from agent.web.site import PRIVATE_DOORS, open_site, public_doors


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
    settings: Settings,
    clock: Callable[[], float] = time,
    on_active: OnActive = unprotected,
    *,
    makes_table: bool = True,
) -> AsyncIterator[tuple[Calls, Store, Telemetry]]:
    """Everything a call needs, without a way to reach it; closed on leaving.

    Args:
        settings: Of the process.
        clock: Epoch seconds.
        on_active: Told when there are calls and when there are none.
        makes_table: Make the file of the embedded table if it is missing; only to read, not.
    """
    async with (
        open_tracing(os.environ) as tracing,  # the variables are those of its SDK
        _open_calls(settings, clock, on_active, tracing, makes_table=makes_table) as opened,
    ):
        yield opened


@asynccontextmanager
async def _open_calls(
    settings: Settings,
    clock: Callable[[], float],
    on_active: OnActive,
    tracing: Tracing | None,
    *,
    makes_table: bool,
) -> AsyncIterator[tuple[Calls, Store, Telemetry]]:
    telemetry = Telemetry(trace_id=tracing.trace_id) if tracing else Telemetry()
    load = Load(telemetry.load)
    prices = prices_of(settings)
    table = await open_store(
        settings.table_name,
        settings.store_path,
        region=settings.aws_region,
        max_calls=settings.max_calls,
        make=makes_table,
    )
    traced = TracedTable(settings.table_name) if tracing else None
    store = MeasuredStore(table, telemetry, traced)

    options = model_options(settings, telemetry, load)
    try:
        async with (
            open_journals(store, clock, telemetry.journals) as journals,
            open_records(store, clock, record_days(settings), telemetry.records) as records,
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
    """A service on its ports; on leaving, sockets are closed and files released.

    Args:
        settings: Of the process.
        host: The address of both ports, in place of those of the settings.
    """
    async with (
        open_protection(settings.ecs_agent_uri if settings.task_protection else "") as on_active,
        open_calls(settings, on_active=on_active) as (calls, store, telemetry),
        open_outbound(settings, calls, store) as outbound,
    ):
        await calls.survey()
        public = web.Application(middlewares=[guard_webhooks])
        public.add_routes(PUBLIC_ROUTES)
        public.cleanup_ctx.append(busy.texting)
        public[token.TOKEN_DESK] = token_desk(settings)
        private = web.Application()
        private.add_routes(PRIVATE_ROUTES)
        private[dial.DIAL_KEYS] = Keys(settings.dial_api_keys) if settings.dial_api_keys else None
        for application in (public, private):
            application[CALLS] = calls
            application[dial.OUTBOUND] = outbound
            application[SETTINGS] = settings
            application[TELEMETRY] = telemetry
            application[SIGNATURES] = signatures(settings)
        doors = public_doors(settings)
        async with (
            open_site(
                public, host or settings.public_host, settings.port, doors, telemetry
            ) as port,
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
        application,
        host or settings.metrics_host,
        settings.metrics_port,
        PRIVATE_DOORS,
        telemetry,
    ) as port:
        yield port
