"""An application on a port with limited connections, and the routes for health and metrics."""

from __future__ import annotations

import asyncio
import errno
import logging
import resource
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from math import inf
from time import monotonic
from typing import NamedTuple, cast

import msgspec
import structlog
from aiohttp import http_exceptions, web

from agent.capacity import HARD_FACTOR
from agent.http.connection_limits import (
    LINGER_SECONDS,
    ConnectionLimits,
    OpenConnections,
    note_answer,
    note_request,
)
from agent.http.middleware import CALLS, TELEMETRY
from agent.ports import Count
from agent.settings import Settings, SettingsError

log = structlog.get_logger(__name__)

public_routes = web.RouteTableDef()
private_routes = web.RouteTableDef()

SERIES_PATH = "/series"
SCRAPE_HEADER = "X-Prometheus-Scrape-Timeout-Seconds"
"""Sent with each scrape by Prometheus and by the receiver of the OpenTelemetry collector."""
LONGEST_SCRAPE_SECONDS = 30.0
"""Longest interval between scrapes that a process waits for when it ends."""
_LATE_FACTOR = 1.5
"""A scrape that is later than this share of the interval is not waited for."""

SHUTDOWN_SECONDS = 2.0
_CONNECTIONS_OF_A_CALL = 4
"""A load balancer keeps connections for webhooks beside the socket of the call."""
_SPARE_CONNECTIONS = 256
_BACKLOG = 256
"""Connections not yet accepted; the loop accepts as many in one step."""


def public_limits(settings: Settings) -> ConnectionLimits:
    """Of the port that Twilio, and every other client, can reach."""
    calls = settings.max_calls * HARD_FACTOR
    return ConnectionLimits("public", "PORT", _CONNECTIONS_OF_A_CALL * calls + _SPARE_CONNECTIONS)


_PRIVATE_LIMITS = ConnectionLimits(
    "private", "METRICS_PORT", _SPARE_CONNECTIONS, answer_seconds=60.0
)
"""Of the port for operators; `POST /dial` waits for Twilio."""


class Address(NamedTuple):
    """Where a site listens."""

    host: str | None = None
    """None = all addresses of the machine."""
    port: int = 0
    """0 = any free one."""
    path: str = ""
    """A Unix socket, in place of host and port."""
    is_shared: bool = False
    """Other processes listen on the same port; the system deals its connections out."""


@asynccontextmanager
async def open_site(
    application: web.Application, address: Address, limits: ConnectionLimits, count: Count
) -> AsyncIterator[int]:
    """Serve an application and yield its port, 0 for a Unix socket; raises `SettingsError`."""
    application.middlewares.insert(0, note_request)
    application.on_response_prepare.append(note_answer)
    runner = web.AppRunner(
        application,
        handler_cancellation=False,
        access_log=None,
        shutdown_timeout=SHUTDOWN_SECONDS,
        keepalive_timeout=limits.keep_alive_seconds,
        lingering_time=LINGER_SECONDS,
        auto_decompress=False,
        logger=ProtocolFaults(count),
    )
    await runner.setup()
    server = cast("web.Server", runner.server)  # set by `setup`
    connections = OpenConnections(server, limits, count)
    loop = asyncio.get_running_loop()
    host, port, path, is_shared = address
    accept = connections.accept
    try:
        if path:
            listening = await loop.create_unix_server(accept, path, backlog=_BACKLOG)
        else:
            listening = await loop.create_server(
                accept, host, port, backlog=_BACKLOG, reuse_port=is_shared
            )
    except OSError as error:
        await runner.cleanup()
        raise SettingsError(_cannot_listen(error, limits.variable, host, port)) from error
    try:
        yield 0 if path else listening.sockets[0].getsockname()[1]
    finally:
        listening.close()
        await runner.cleanup()


def operators_address(settings: Settings, host: str | None = None) -> Address | None:
    """Of the port for operators, `host` in place of its own; None if there is none.

    With both ports 0, as in tests, it is any free one.
    """
    is_off = settings.port and not settings.metrics_port
    return None if is_off else Address(host or settings.metrics_host, settings.metrics_port)


@asynccontextmanager
async def open_operators(
    application: web.Application, address: Address | None, count: Count
) -> AsyncIterator[int]:
    """Serve the routes for operators; yields 0 without an address."""
    if address is None:
        yield 0
        return
    async with open_site(application, address, _PRIVATE_LIMITS, count) as port:
        yield port


async def tried_port(host: str | None, port: int, variable: str) -> int:
    """The number of a port that can be opened, 0 = any free one; `SettingsError` if it is in use.

    Processes that share a port do not notice those of another service.
    """
    loop = asyncio.get_running_loop()
    try:
        trial = await loop.create_server(asyncio.Protocol, host, port)
    except OSError as error:
        raise SettingsError(_cannot_listen(error, variable, host, port)) from error
    port = trial.sockets[0].getsockname()[1]
    trial.close()
    await trial.wait_closed()
    return port


def _cannot_listen(error: OSError, variable: str, host: str | None, port: int) -> str:
    """One line: the variable, why its port or address cannot be opened, and what to do."""
    if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
        of_host = variable.replace("PORT", "HOST")
        return f"{of_host}: {host} is not an address of this machine; use 127.0.0.1 or 0.0.0.0"
    if error.errno == errno.EADDRINUSE:
        return f"{variable}: {port} is in use by another process; end it, or set another port"
    if isinstance(error, PermissionError):
        return f"{variable}: {port} may be opened by root only; set a port above 1023"
    return f"{variable}: cannot listen on {port}: {error.strerror or error}"


def raise_file_limit() -> int:
    """Raise the soft limit of open files and sockets to the hard limit; returns the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError) as error:  # some systems have a limit below the hard one
        log.warning("service.file_limit_not_raised", files=soft, error=type(error).__name__)
        return soft
    return hard


_FAULTS_OF_THE_PEER = http_exceptions.HttpProcessingError, web.RequestPayloadError, ConnectionError


class ProtocolFaults(logging.LoggerAdapter[logging.Logger]):
    """The logger of aiohttp's server: any peer can cause a fault, so it is counted, in one line."""

    def __init__(self, count: Count) -> None:
        super().__init__(logging.getLogger("aiohttp.server"), {})
        self._count = count

    def log(self, level: int, msg: object, *args: object, **options: object) -> None:
        fault = options.get("exc_info")
        if not isinstance(fault, _FAULTS_OF_THE_PEER):
            super().log(level, msg, *args, **options)  # type: ignore[arg-type] # as they came
            return
        self._count("agent_bad_requests_total", reason="protocol")
        log.warning("request.refused", reason="protocol", error=type(fault).__name__)


@public_routes.get("/health")
@public_routes.get("/health/live")
async def live(_: web.Request) -> web.Response:
    """Answers if the event loop runs."""
    return web.Response(text="Healthy")


@public_routes.get("/health/ready")
async def ready(request: web.Request) -> web.Response:
    """503 while draining; at capacity it is ready. Names sources of tools that are away."""
    calls = request.app[CALLS]
    if calls.active_calls.is_draining:
        return web.Response(status=503, text="Draining")
    away = calls.resources.tool_registry.unreachable
    return web.Response(text=f"Ready\ntool sources away: {', '.join(away)}" if away else "Ready")


@private_routes.get("/health/detail")
async def detail(request: web.Request) -> web.Response:
    """What was left out of the use cases; calls are taken nevertheless."""
    calls = request.app[CALLS]
    lines = ["Draining" if calls.active_calls.is_draining else "Ready", *calls.setup.remarks]
    return web.Response(text="\n".join(lines))


@dataclass(slots=True)
class Scrapes:
    """Lets a process that ends wait until its scraper has seen `agent_draining`.

    The rules of `observability/rules` tell an orderly end from a lost process by this metric.
    Rejected: a final push, which needs a gateway beside every scraper.
    """

    clock: Callable[[], float] = monotonic
    _at: float = -inf
    _interval: float = inf
    _seen: asyncio.Event = field(default_factory=asyncio.Event)

    def note(self, headers: Mapping[str, str], *, is_draining: bool) -> None:
        """The metrics are read; only the requests of a scraper count."""
        if SCRAPE_HEADER in headers:
            now = self.clock()
            self._interval, self._at = now - self._at, now
            if is_draining:
                self._seen.set()

    async def until_seen(self) -> None:
        """Wait for a scrape that shows the draining, at most until it is late.

        Returns at once without a scraper, and if its interval is over `LONGEST_SCRAPE_SECONDS`.
        """
        patience = self._at + _LATE_FACTOR * self._interval - self.clock()
        if self._interval <= LONGEST_SCRAPE_SECONDS + 1 and patience > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(patience):
                    await self._seen.wait()


SCRAPES: web.AppKey[Scrapes] = web.AppKey("scrapes", Scrapes)


@private_routes.get("/metrics")
async def metrics(request: web.Request) -> web.Response:
    """All metrics, as Prometheus text or OpenMetrics."""
    _note_scrape(request)
    body, content_type = request.app[TELEMETRY].render(request.headers.get("Accept", ""))
    return web.Response(body=body, headers={"Content-Type": content_type})


@private_routes.get(SERIES_PATH)
async def series(request: web.Request) -> web.Response:
    """All metrics of this process, for those that add them up: its parent, and consoles."""
    _note_scrape(request)
    body = msgspec.json.encode(request.app[TELEMETRY].copies())
    return web.Response(body=body, content_type="application/json")


def _note_scrape(request: web.Request) -> None:
    is_draining = request.app[CALLS].active_calls.is_draining
    request.app[SCRAPES].note(request.headers, is_draining=is_draining)
