"""A port: an application that listens, and what it lets strangers hold open.

A connection costs a file and memory before anybody has said who they are, so there is a limit on
how many are open, and on how long one may keep us waiting:

    state       from                      ends
    head        connected, or the first   with the end of the head; after `head_seconds`
                bytes of a request
    body        the end of the head       with the end of the body; after `body_seconds`
    working     the request is complete   with the answer; after `answer_seconds`
    idle        an answer is complete     with the next bytes; after `keep_alive_seconds`
    open        a WebSocket, a stream     by its owner, who has limits of his own

In the states head, body and idle the connection waits for its peer. When all places are taken, a
connection that waits makes room for a new one: the oldest of the address that has more than its
share of the places, if there is one, otherwise the oldest of all. If none waits, the new connection
is closed at once. So connections that send nothing, or a byte at a time, cost a caller nothing.

The share counts connections that wait, by the address of the peer (IPv6: its network of 64 bits),
idle ones apart from the others.
It refuses no new connection, so it is safe where all requests come from one balancer or tunnel:
their connections with a call are not counted, and above the share their own oldest one is closed.
`X-Forwarded-For` is not read. Any client can send it, and it is known only after the head.

A request that is answered before its body has come is the last one of its connection.
Rejected: a `limit` of the listening socket, behind which Twilio would wait in the same queue as the
others; aiohttp's `TCPSite`, which counts nothing.

Each connection has a protocol of ours between its transport and aiohttp's, and uses nothing that is
private to aiohttp. The end of a head is known by a middleware, the end of a body by the stream that
aiohttp fills, an answer by the signal `on_response_prepare`.

What aiohttp says of requests that it cannot read: one line and a count, without a traceback.

Anybody can send such bytes, so they must not cost more than a line. What aiohttp says of faults of
ours goes where it went before, see `agent.observability.logging.log_setup`.
"""

from __future__ import annotations

import asyncio
import logging
import resource
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import cast

import structlog
from aiohttp import StreamReader, hdrs, http_exceptions, web

from agent.capacity.admission import HARD_FACTOR
from agent.http.connection_limits import PendingConnections
from agent.http.middleware import Handler
from agent.ports import Count
from agent.settings import Settings, SettingsError

log = structlog.get_logger(__name__)

SHUTDOWN_SECONDS = 2.0
_CONNECTIONS_OF_A_CALL = 4
"""A balancer keeps connections of its own for webhooks, beside the socket of the call."""
_SPARE_CONNECTIONS = 256
_LINGER_SECONDS = 2.0
"""How long a body is still read, and dropped, that was refused unread."""
_GRACE_SECONDS = 5.0
"""After `keep_alive_seconds`, for a peer that does not read its answers: aiohttp waits for it."""
_SHARES = 8
"""An address may have one of so many equal shares of the places."""
_BACKLOG = 256
"""Who has connected and is not accepted yet; the loop accepts as many in one go."""


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """What strangers may hold open at a port."""

    name: str
    """For metrics: one of a few words of ours."""
    most: int
    """Connections."""
    answer_seconds: float = 15.0
    """From the complete request to the answer; Twilio waits no longer."""
    keep_alive_seconds: float = 310.0
    """Idle between requests: longer than the balancer in front (300), so that it never sends a
    request into a connection that is being closed."""
    head_seconds: float = 5.0
    """From connecting, or from the first bytes of a later request, to the end of the head."""
    body_seconds: float = 5.0


def public_doors(settings: Settings) -> ConnectionLimits:
    """Of the port that Twilio, and everybody else, can reach."""
    calls = settings.max_calls * HARD_FACTOR
    return ConnectionLimits("public", _CONNECTIONS_OF_A_CALL * calls + _SPARE_CONNECTIONS)


PRIVATE_DOORS = ConnectionLimits("private", _SPARE_CONNECTIONS, answer_seconds=60.0)
"""Of the port for operators; a call that is made waits for the carrier."""


@asynccontextmanager
async def open_site(
    application: web.Application,
    host: str | None,
    port: int,
    doors: ConnectionLimits,
    count: Count,
) -> AsyncIterator[int]:
    """An application on a port; port 0 takes a free one. Yields the port.

    Raises:
        SettingsError: The port cannot be listened on.
    """
    application.middlewares.insert(0, _note_request)
    application.on_response_prepare.append(_note_answer)
    runner = web.AppRunner(
        application,
        handler_cancellation=False,
        access_log=None,
        shutdown_timeout=SHUTDOWN_SECONDS,
        keepalive_timeout=doors.keep_alive_seconds,
        lingering_time=_LINGER_SECONDS,
        auto_decompress=False,
        logger=ProtocolFaults(count),
    )
    await runner.setup()
    connections = _Connections(runner, doors, count)
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
        where = f"{host}:{port}" if host else str(port)
        raise SettingsError(f"PORT or METRICS_PORT: cannot listen on {where}: {error}") from error


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


@web.middleware
async def _note_request(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Tell the connection that the head of a request is there."""
    if connection := _connection_of(request):
        connection.asked(request.content)
    return await handler(request)


async def _note_answer(request: web.Request, response: web.StreamResponse) -> None:
    """`on_response_prepare`: tell the connection that its request is answered."""
    if not request.content.is_eof():
        response.force_close()
        response.headers[hdrs.CONNECTION] = "close"
    if connection := _connection_of(request):
        connection.answered(is_complete=response.content_length is not None)


def _connection_of(request: web.Request) -> _Connection | None:
    connection = request.transport.get_protocol() if request.transport else None
    return connection if isinstance(connection, _Connection) else None


class _Connections:
    """All connections of one port."""

    def __init__(self, runner: web.AppRunner, doors: ConnectionLimits, count: Count) -> None:
        self._runner = runner
        self.doors = doors
        self.waiting: PendingConnections[_Connection] = PendingConnections(
            max(1, doors.most // _SHARES)
        )
        self._count = count
        self._open = 0
        self.add_open(0)

    def accept(self) -> asyncio.BaseProtocol:
        """A protocol for one who has connected."""
        if self._open >= self.doors.most and not self._make_room():
            self.count_cut("full")
            return _Refused()
        server = self._runner.server
        if server is None:
            return _Refused()
        self.add_open(1)  # now: the loop accepts many before the first `connection_made`
        return _Connection(self, server())

    def _make_room(self) -> bool:
        first = self.waiting.first_to_leave()
        if first is not None:
            first.cut("idle")
        return first is not None

    def add_open(self, more: int) -> None:
        """So many more are open."""
        self._open += more
        self._count("agent_connections", self._open, port=self.doors.name)

    def count_cut(self, reason: str) -> None:
        """One was closed by us."""
        self._count("agent_connections_cut_total", port=self.doors.name, reason=reason)


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
        self._body: StreamReader | None = None
        """Of the request that is not answered yet."""
        self._is_idle = False
        self._is_counted = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self._transport = cast("asyncio.Transport", transport)
        self._wait(self._all.doors.head_seconds)
        self._inner.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        if self._is_idle:
            self._is_idle = False
            self._wait(self._all.doors.head_seconds)
        self._inner.data_received(data)

    def asked(self, body: StreamReader) -> None:
        """The head of a request is there, and perhaps its body."""
        self._is_idle = False
        self._body = body
        if not body.is_eof():
            self._start_limit(self._all.doors.body_seconds)
        body.on_eof(lambda: self._is_whole(body))

    def _is_whole(self, body: StreamReader) -> None:
        """The request is complete; it may be answered already."""
        if self._is_counted and self._body is body:
            self._all.waiting.leave(self)
            self._start_limit(self._all.doors.answer_seconds)

    def answered(self, *, is_complete: bool) -> None:
        """An answer is being sent; one that is not complete at once has its own limits."""
        is_last = self._body is not None and not self._body.is_eof()
        self._body = None
        self._stop_limit()
        if is_complete and self._is_counted:
            self._is_idle = not is_last
            seconds = _LINGER_SECONDS if is_last else self._all.doors.keep_alive_seconds
            self._wait(seconds + _GRACE_SECONDS)

    def cut(self, reason: str) -> None:
        """Close it; what the peer has not read by now is lost."""
        self._all.count_cut(reason)
        self._leave()
        if self._transport is None:
            return
        if self._transport.get_write_buffer_size():
            self._transport.abort()
        else:
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

    def _wait(self, seconds: float) -> None:
        """From now on, and so long at most, it waits for its peer."""
        peer = self._transport.get_extra_info("peername") if self._transport else None
        self._all.waiting.enter(self, peer[0] if peer else "", is_idle=self._is_idle)
        self._start_limit(seconds)

    def _start_limit(self, seconds: float) -> None:
        """Only an idle connection may wait longer than for an answer."""
        self._stop_limit()
        longest = seconds if self._is_idle else min(seconds, self._all.doors.answer_seconds)
        self._limit = asyncio.get_running_loop().call_later(longest, self.cut, "late")

    def _stop_limit(self) -> None:
        if self._limit is not None:
            self._limit.cancel()
            self._limit = None

    def _leave(self) -> None:
        """It holds no place any more."""
        self._stop_limit()
        self._all.waiting.leave(self)
        if self._is_counted:
            self._is_counted = False
            self._all.add_open(-1)


_OF_THE_PEER = (http_exceptions.HttpProcessingError, web.RequestPayloadError, ConnectionError)


class ProtocolFaults(logging.LoggerAdapter[logging.Logger]):
    """The logger of aiohttp's server."""

    def __init__(self, count: Count) -> None:
        super().__init__(logging.getLogger("aiohttp.server"), {})
        self._count = count

    def log(self, level: int, msg: object, *args: object, **options: object) -> None:
        """See `logging.LoggerAdapter`."""
        fault = options.get("exc_info")
        if not isinstance(fault, _OF_THE_PEER):
            super().log(level, msg, *args, **options)  # type: ignore[arg-type] # as they came
            return
        self._count("agent_bad_requests_total", reason="protocol")
        log.warning("request.refused", reason="protocol", error=type(fault).__name__)
