"""A port: an application that listens, and what it lets strangers hold open.

A connection costs a file and memory before anybody has said who they are, so there is a limit on
how many are open, and on how long one may keep us waiting:

    state       from                      ends
    silent      connected                 with the first bytes; after `answer_seconds`
    asking      bytes came                with the answer; after `answer_seconds`
    idle        an answer is complete     with the next bytes; after `keep_alive_seconds` (aiohttp)
    open        a WebSocket, a stream     by its owner, who has limits of his own

At the limit whoever has been silent or idle longest makes room for the one who comes; if all have
something going on, who comes is cut off at once. So thousands of idle sockets cost a caller
nothing, and calls go on. Rejected: a `limit` of the listening socket, behind which Twilio would
wait in a queue together with whoever fills it; aiohttp's `TCPSite`, which counts nothing.

Each connection has a protocol of ours between its transport and aiohttp's: a function call for each
piece of data, and nothing that is private to aiohttp. An answer is known by the signal
`on_response_prepare`.
"""

from __future__ import annotations

import asyncio
import resource
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import cast

import structlog
from aiohttp import web

from agent.admission import HARD_FACTOR
from agent.settings import Settings, SettingsError
from agent.telemetry import Telemetry

log = structlog.get_logger(__name__)

SHUTDOWN_SECONDS = 2.0
_CONNECTIONS_OF_A_CALL = 4
"""A balancer keeps connections of its own for webhooks, beside the socket of the call."""
_SPARE_CONNECTIONS = 256
_BACKLOG = 256
"""Who has connected and is not accepted yet; the loop accepts as many in one go."""


@dataclass(frozen=True, slots=True)
class Doors:
    """What strangers may hold open at a port."""

    name: str
    """For metrics: one of a few words of ours."""
    most: int
    """Connections."""
    answer_seconds: float = 15.0
    """From the first byte, or from connecting, to the answer; Twilio waits no longer."""
    keep_alive_seconds: float = 310.0
    """Idle between requests: longer than the balancer in front (300), so that it never sends a
    request into a connection that is being closed."""


def public_doors(settings: Settings) -> Doors:
    """Of the port that Twilio, and everybody else, can reach."""
    calls = settings.max_calls * HARD_FACTOR
    return Doors("public", _CONNECTIONS_OF_A_CALL * calls + _SPARE_CONNECTIONS)


PRIVATE_DOORS = Doors("private", _SPARE_CONNECTIONS, answer_seconds=60.0)
"""Of the port for operators; a call that is made waits for the carrier."""


@asynccontextmanager
async def open_site(
    application: web.Application, host: str | None, port: int, doors: Doors, telemetry: Telemetry
) -> AsyncIterator[int]:
    """An application on a port; port 0 takes a free one. Yields the port.

    Raises:
        SettingsError: The port cannot be listened on.
    """
    application.on_response_prepare.append(_note_answer)
    runner = web.AppRunner(
        application,
        handler_cancellation=False,
        access_log=None,
        shutdown_timeout=SHUTDOWN_SECONDS,
        keepalive_timeout=doors.keep_alive_seconds,
    )
    await runner.setup()
    connections = _Connections(runner, doors, telemetry)
    try:
        listening = await _listen(connections, host, port)
        try:
            yield listening.sockets[0].getsockname()[1]
        finally:
            listening.close()
    finally:
        await runner.cleanup()


async def _listen(
    connections: _Connections, host: str | None, port: int
) -> asyncio.base_events.Server:
    loop = asyncio.get_running_loop()
    try:
        return await loop.create_server(connections.accept, host, port, backlog=_BACKLOG)
    except OSError as error:
        raise SettingsError(f"PORT or METRICS_PORT: cannot listen on {port}: {error}") from error


def raise_file_limit() -> int:
    """Let this process have as many files and sockets open as it may; how many that is."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == hard:
        return soft
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError) as error:  # some systems have a limit below the hard one
        log.warning("service.file_limit", files=soft, error=type(error).__name__)
        return soft
    return hard


async def _note_answer(request: web.Request, response: web.StreamResponse) -> None:
    """`on_response_prepare`: tell the connection that its request is answered."""
    connection = request.transport.get_protocol() if request.transport else None
    if isinstance(connection, _Connection):
        connection.answered(is_complete=response.content_length is not None)


class _Connections:
    """All connections of one port."""

    def __init__(self, runner: web.AppRunner, doors: Doors, telemetry: Telemetry) -> None:
        self._runner = runner
        self.doors = doors
        self.waiting: dict[_Connection, None] = {}
        """Who is silent or idle, the longest first."""
        self._open = telemetry.connections.labels(doors.name)
        self._cut = telemetry.connections_cut
        self._count = 0

    def accept(self) -> asyncio.BaseProtocol:
        """A protocol for one who has connected."""
        if self._count >= self.doors.most and not self._make_room():
            self.count_cut("full")
            return _Refused()
        server = self._runner.server
        if server is None:
            return _Refused()
        self.count(1)  # here: the loop accepts many before it tells the first that it is connected
        return _Connection(self, server())

    def _make_room(self) -> bool:
        longest = next(iter(self.waiting), None)
        if longest is not None:
            longest.cut("idle")
        return longest is not None

    def count(self, more: int) -> None:
        """So many more are open."""
        self._count += more
        self._open.set(self._count)

    def count_cut(self, reason: str) -> None:
        """One was closed by us."""
        self._cut.labels(self.doors.name, reason).inc()


class _Refused(asyncio.Protocol):
    """For whom there is no room."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        transport.close()


class _Connection(asyncio.Protocol):
    """Passes everything on to aiohttp's protocol, and minds the time."""

    def __init__(self, all_of_them: _Connections, inner: asyncio.Protocol) -> None:
        self._all = all_of_them
        self._inner = inner
        self._transport: asyncio.Transport | None = None
        self._limit: asyncio.TimerHandle | None = None
        self._is_counted = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self._transport = cast("asyncio.Transport", transport)
        self._all.waiting[self] = None
        self._start_limit()
        self._inner.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        if self in self._all.waiting:
            del self._all.waiting[self]
            if self._limit is None:
                self._start_limit()
        self._inner.data_received(data)

    def answered(self, *, is_complete: bool) -> None:
        """An answer is being sent; one that is not complete at once has its own limits."""
        self._stop_limit()
        if is_complete and self._is_counted:
            self._all.waiting[self] = None

    def cut(self, reason: str) -> None:
        """Close it."""
        self._all.count_cut(reason)
        self._leave()
        if self._transport is not None:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self._leave()
        self._inner.connection_lost(exc)

    def eof_received(self) -> bool | None:
        """See `asyncio.Protocol`."""
        return self._inner.eof_received()

    def pause_writing(self) -> None:
        """See `asyncio.Protocol`."""
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        """See `asyncio.Protocol`."""
        self._inner.resume_writing()

    def _start_limit(self) -> None:
        loop = asyncio.get_running_loop()
        self._limit = loop.call_later(self._all.doors.answer_seconds, self.cut, "late")

    def _stop_limit(self) -> None:
        if self._limit is not None:
            self._limit.cancel()
            self._limit = None

    def _leave(self) -> None:
        """It holds no place any more."""
        self._stop_limit()
        self._all.waiting.pop(self, None)
        if self._is_counted:
            self._is_counted = False
            self._all.count(-1)
