"""The composition root: settings → adapters → a running service.

The only module that knows every room; a room does not know `Settings`. Nothing is global: two
services can run in one process, as the tests do.
"""

from __future__ import annotations

import asyncio
import os
import platform
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from secrets import token_urlsafe
from time import monotonic, time

from aiohttp import web

from agent import SHIPPED_CONFIGURATION, __version__
from agent.capacity.ecs_task_protection import OnActive, open_protection
from agent.capacity.load_shedding import Load, keep_memory_trimmed
from agent.capacity.speculation_budget import SpeculationBudget
from agent.events import SenderOf, open_outbox, open_senders
from agent.http import PRIVATE_ROUTES, PUBLIC_ROUTES
from agent.http.action_webhook import SMS_STATUS_PATH
from agent.http.api import DIAL_KEYS, ON_DRAIN, TOKENS, ApiKeys, TokenService
from agent.http.console.console_page import Console
from agent.http.console.fleet import process_address
from agent.http.middleware import (
    AUTH_TOKENS,
    CALLS,
    OUTBOUND,
    SETTINGS,
    SIGNATURES,
    TELEMETRY,
    guard_webhooks,
)
from agent.http.phone.phone_page import phone_routes
from agent.http.server import (
    SCRAPES,
    Address,
    Scrapes,
    open_operators,
    open_site,
    operators_address,
    public_limits,
)
from agent.http.voice_webhook import at_capacity_texts
from agent.llm import ModelOptions, OpenModel, open_models
from agent.messaging import MessengerOptions, open_messenger
from agent.observability import (
    EmbeddedMetrics,
    MeasuredMessenger,
    MeasuredStore,
    Prices,
    Telemetry,
    read_prices,
)
from agent.observability.recording.record_writer import open_records
from agent.observability.tracing import TracedTable, open_tracing
from agent.ports import Dialer, Messenger, Store
from agent.session import Resources
from agent.session.call_manager import CallManager
from agent.session.outbound import OutboundCalls
from agent.settings import Settings, SettingsError, embedded_service_for
from agent.settings.setting_types import OperatorKey
from agent.store import create_table, open_store
from agent.store.call_state.journal import open_journals
from agent.tools import HttpSender, HttpTools, OutboundHttp, ToolRegistry, load_tools
from agent.tools.mcp import open_sources
from agent.twilio import rest_client
from agent.twilio.auth_tokens import AuthTokens, open_auth_tokens
from agent.twilio.call_recorder import open_recorder
from agent.twilio.signature import Signatures
from agent.usecases.call_events import NO_OUTBOX, Outbox


def record_days(settings: Settings) -> int:
    """Days until a recorded call is deleted; 0 = calls are not recorded."""
    return settings.record_days if settings.record_calls else 0


def model_options(settings: Settings, telemetry: Telemetry, load: Load) -> ModelOptions:
    """The options of `open_models`."""
    return ModelOptions(
        identifier=settings.model_identifier,
        fallbacks=settings.fallback_model_identifiers,
        openai_api_key=settings.openai_api_key,
        openai_base_url=settings.openai_base_url,
        max_calls=settings.max_calls,
        times=settings.model_times,
        load_seconds=settings.model_load_seconds,
        count=telemetry.count,
        may_hedge=lambda: load.allows_hedges,
    )


def prices_of(settings: Settings) -> Prices:
    """The prices of models, for estimated costs; `PricesError` if the file cannot be used."""
    if settings.prices_file:
        return read_prices(Path(settings.prices_file))
    own = settings.configuration / "prices.toml"
    return read_prices(own if own.is_file() else SHIPPED_CONFIGURATION / "prices.toml")


def messenger_options(settings: Settings, account: rest_client.TwilioAccount) -> MessengerOptions:
    """The options of `open_messenger`; with a callback only if Twilio can reach this service."""
    return MessengerOptions(
        account=account,
        status_callback=f"{settings.origin}{SMS_STATUS_PATH}" if settings.is_public else "",
        sendgrid_api_key=settings.sendgrid_api_key,
        email_sender=settings.email_from_address,
    )


@asynccontextmanager
async def open_account(settings: Settings) -> AsyncIterator[rest_client.TwilioAccount]:
    """The account with its auth tokens; raises `AuthTokenError` if their secret cannot be read."""
    arn = settings.twilio_auth_token_secret_arn
    async with open_auth_tokens(settings.twilio_auth_token, arn) as tokens:
        yield twilio_account(settings, tokens)


def twilio_account(settings: Settings, tokens: AuthTokens) -> rest_client.TwilioAccount:
    """The account, and how to sign in; perhaps without credentials."""
    return rest_client.TwilioAccount(
        sid=settings.twilio_account_sid,
        auth_tokens=tokens,
        key_sid=settings.twilio_api_key_sid,
        key_secret=settings.twilio_api_key_secret,
        api_url=settings.twilio_api_url,
    )


def dial_keys(settings: Settings) -> ApiKeys | None:
    """The API keys of the operators' port; None if there are none."""
    return ApiKeys(settings.dial_api_keys) if settings.dial_api_keys else None


def console_keys(settings: Settings, *, is_worker: bool = False) -> tuple[OperatorKey, ...]:
    """The keys of the console; a new one in development if there are none, empty = no console."""
    if settings.console_api_keys or settings.is_public or is_worker:
        return settings.console_api_keys
    return (OperatorKey("development", may_act=True, secret=token_urlsafe(18)),)


def _token_service(settings: Settings) -> TokenService | None:
    if not settings.token_api_keys:
        return None
    app_sid, push_sid = settings.twilio_twiml_app_sid, settings.twilio_push_credential_sid
    account = twilio_account(settings, AuthTokens())  # tokens are signed with the API key
    access = rest_client.VoiceAccess(account, app_sid, push_sid, clock=time)
    return TokenService(access, settings.token_api_keys, monotonic)


@dataclass(frozen=True, slots=True)
class Service:
    """A running service."""

    calls: CallManager
    store: Store
    telemetry: Telemetry
    scrapes: Scrapes
    port: int
    metrics_port: int  # 0 if metrics are not served
    console_key: str = ""
    """A key of the console that was made for this start; empty = none was."""


@dataclass(frozen=True, slots=True)
class Substitutes:
    """What takes the place of an adapter when agents are tried out; None = as the settings say."""

    store: Store | None = None
    """Stays open."""
    messenger: Messenger | None = None
    open_model: Callable[[OpenModel], OpenModel] | None = None
    """Takes what opens the model of a call, and returns what is to do so."""
    clock: Callable[[], float] = time
    """Seconds of the epoch."""
    outbox: Outbox = NO_OUTBOX
    """Where events are written if the service tells no other system."""
    http: HttpSender | None = None
    """Sends the requests of HTTP tools."""
    tells_events: bool = False
    """Also of calls in another store, to the receivers that it has."""
    is_traced: bool = True
    """False = no spans, whatever the variables of the SDK say."""


@asynccontextmanager
async def open_calls(
    settings: Settings,
    on_active: OnActive = lambda _: None,
    *,
    account: rest_client.TwilioAccount | None = None,
    makes_table: bool = True,
    tells: bool = False,
    substitutes: Substitutes = Substitutes(),
) -> AsyncIterator[tuple[CallManager, Store, Telemetry]]:
    """Open the adapters and the call manager, without HTTP; everything is closed on leaving.

    `account`: of `open_account`; None = as the settings say, without the token of a secret.
    `makes_table`: create the file of the embedded table if it is missing. `tells`: write events of
    calls, and send those that any process has written.
    """
    clock, is_serving = substitutes.clock, account is not None and not substitutes.messenger
    account = account or twilio_account(settings, AuthTokens(settings.twilio_auth_token))
    async with AsyncExitStack() as stack:
        opened = stack.enter_async_context
        sdk = os.environ if substitutes.is_traced else {}  # the SDK has variables of its own
        tracing = await opened(open_tracing(sdk))
        telemetry = Telemetry(trace_id=tracing.trace_id) if tracing else Telemetry()
        count, load = telemetry.count, Load(telemetry.count)
        count("agent_build_info", 1, version=__version__, python=platform.python_version())
        prices, tools = prices_of(settings), load_tools(settings.configuration)
        table = substitutes.store or await open_store(
            settings.table_name,
            settings.store_path,
            region=settings.aws_region,
            max_calls=settings.max_calls,
            make=makes_table,
        )
        store = MeasuredStore(
            table, telemetry, TracedTable(settings.table_name) if tracing else None
        )
        if substitutes.store is None:
            stack.push_async_callback(store.close)
        kept = settings.call_seconds
        journals = await opened(open_journals(store, clock, count, kept_seconds=kept))
        records = await opened(open_records(store, clock, record_days(settings), count))
        speculation = SpeculationBudget(lambda: load.allows_hedges)
        options = replace(model_options(settings, telemetry, load), throttled=speculation.empty)
        open_model = await opened(open_models(options))
        if substitutes.open_model is not None:
            open_model = substitutes.open_model(open_model)
        messenger = MeasuredMessenger(
            await opened(_messenger(settings, account, substitutes)), count
        )
        sender = substitutes.http
        if sender is None:
            sender = await opened(OutboundHttp.open(settings.http_tool_hosts))
        recorder = await opened(open_recorder(account)) if is_serving else None
        http = HttpTools(sender, settings.secrets)
        sources = await opened(open_sources(settings.mcp_config, count))
        outbox = substitutes.outbox
        if tells:
            sender_of = await opened(open_event_senders(settings))
            outbox = await opened(open_outbox(store, sender_of, clock, count))
        resources = Resources(
            store,
            journals,
            open_model,
            ToolRegistry(tools, messenger.unconfigured, http, sources, outbox),
            messenger,
            telemetry,
            load=load,
            speculation=speculation,
            records=records,
            prices=prices,
            tracing=tracing,
            recorder=recorder,
            outbox=outbox,
        )
        calls = CallManager(settings, resources, clock, on_active)
        stack.push_async_callback(calls.until_written)
        yield calls, store, telemetry


@asynccontextmanager
async def open_event_senders(settings: Settings) -> AsyncIterator[SenderOf]:
    """What sends events to receivers, under the guard of HTTP tools."""
    async with (
        OutboundHttp.open(settings.http_tool_hosts) as http,
        open_senders(http.post, settings.secrets, settings.aws_region, time) as sender_of,
    ):
        yield sender_of


@asynccontextmanager
async def _messenger(
    settings: Settings, account: rest_client.TwilioAccount, substitutes: Substitutes
) -> AsyncIterator[Messenger]:
    if substitutes.messenger is not None:
        yield substitutes.messenger
        return
    async with open_messenger(messenger_options(settings, account)) as messenger:
        yield messenger


async def make_table(settings: Settings) -> bool:
    """Create the table in DynamoDB if it is missing; returns whether it was.

    Raises `SettingsError` without `TABLE_NAME`, and `StoreError` if it cannot be created.
    """
    if not settings.table_name:
        raise SettingsError("TABLE_NAME: must be set to make a table")
    return await create_table(settings.table_name, region=settings.aws_region)


@asynccontextmanager
async def open_outbound(
    settings: Settings, account: rest_client.TwilioAccount, calls: CallManager, store: Store
) -> AsyncIterator[OutboundCalls]:
    """Outbound calls; connections to Twilio are closed on leaving."""
    dialer: Dialer | None = None
    async with rest_client.open_http() as http:
        if not account.missing_variable:
            dialer = rest_client.TwilioDialer(rest_client.twilio_client(account, http))
        yield OutboundCalls(settings, store, dialer, calls.setup.use_case, time)


@asynccontextmanager
async def running(
    settings: Settings,
    host: str | None = None,
    *,
    worker: str = "",
    on_drain: Callable[[], object] = lambda: None,
    substitutes: Substitutes = Substitutes(),
) -> AsyncIterator[Service]:
    """Serve on both ports until left; `host` is their address in place of those of the settings.

    `worker`: one of several processes that share the port, with the operators' routes on this Unix
    socket (`agent.http.operators`). `on_drain` is called at each `POST /drain`.
    """
    async with (
        open_account(settings) as account,
        open_protection(settings.ecs_agent_uri if settings.task_protection else "") as on_active,
        open_calls(
            settings,
            on_active,
            account=account,
            tells=substitutes.store is None or substitutes.tells_events,
            substitutes=substitutes,
        ) as opened,
        open_outbound(settings, account, *opened[:2]) as outbound,
    ):
        calls, store, telemetry = opened
        await calls.setup.survey()
        host_of_metrics = embedded_service_for(settings)
        write, clock, is_worker = sys.stderr.write, substitutes.clock, bool(worker)
        embedded = EmbeddedMetrics(telemetry, host_of_metrics, write, clock, is_worker)
        public = web.Application(middlewares=[guard_webhooks])
        public.add_routes([*PUBLIC_ROUTES, *phone_routes(settings)])
        public.cleanup_ctx.append(at_capacity_texts)
        public[TOKENS] = _token_service(settings)
        private = web.Application()
        private.add_routes(PRIVATE_ROUTES)
        private[SCRAPES] = scrapes = Scrapes()
        private[DIAL_KEYS], private[ON_DRAIN] = dial_keys(settings), on_drain
        console: Console | None = None
        keys = console_keys(settings, is_worker=is_worker)
        if keys:
            console = Console(settings, calls, keys)
            private.add_routes(console.routes())
            private.cleanup_ctx.append(console.opened)
        signatures = Signatures(settings.origin, settings.ws_url)
        for application in (public, private):
            application[CALLS] = calls
            application[OUTBOUND] = outbound
            application[SETTINGS] = settings
            application[TELEMETRY] = telemetry
            application[SIGNATURES] = signatures if settings.has_auth_token else None
            application[AUTH_TOKENS] = account.auth_tokens
        if worker:
            operators: Address | None = Address(path=worker)
        else:
            operators = operators_address(settings, host)
        address = Address(host or settings.public_host, settings.port, is_shared=bool(worker))
        async with (
            embedded.written_to_the_end() if host_of_metrics else nullcontext(),
            open_site(public, address, public_limits(settings), telemetry.count) as port,
            open_operators(private, operators, telemetry.count) as metrics_port,
            asyncio.TaskGroup() as tasks,  # innermost: it would wrap errors of the start
        ):
            monitors = [
                tasks.create_task(calls.load.watch(), name="lag"),
                tasks.create_task(calls.outcomes.watch(), name="sockets"),
                tasks.create_task(calls.outcome_queue.run(), name="outcomes"),
                tasks.create_task(calls.due_work.run(), name="due work"),
                tasks.create_task(keep_memory_trimmed(), name="memory"),
                tasks.create_task(account.auth_tokens.keep(telemetry.count), name="auth token"),
            ]
            if host_of_metrics:
                monitors.append(tasks.create_task(embedded.run(), name="embedded metrics"))
            if console is not None:
                number = worker.rpartition("-")[2]
                operators_port = settings.metrics_port if worker else metrics_port
                calls.announcer.list.process = process_address(
                    settings.metrics_host, operators_port, number
                )
                monitors.append(tasks.create_task(console.fleet.announce(), name="console"))
            made = keys[0].secret if keys and not settings.console_api_keys else ""
            yield Service(calls, store, telemetry, scrapes, port, metrics_port, made)
            for task in monitors:
                task.cancel()
