"""How many connections a port keeps open, and how long one may wait for its peer.

A connection costs a file and memory before its peer is authenticated. Each one is in a state:

| state | begins | ends |
|---|---|---|
| head | connected, or the first bytes of a request | the end of the head; after `head_seconds` |
| body | the end of the head | the end of the body; after `body_seconds` |
| working | the request is complete | the answer; after `answer_seconds` |
| idle | an answer is complete | the next bytes; after `keep_alive_seconds` |
| open | a WebSocket or a stream | by its handler, which has limits of its own |

In head, body and idle the connection waits for its peer. At the limit, a waiting connection is
closed to make room for a new one: the oldest of the address with most above its share, otherwise
the oldest of all. If none waits, the new connection is refused.

The share counts waiting connections by address of the peer (IPv6: by network of 64 bits), idle ones
apart from the others. It refuses no new connection, so it is safe where all requests come from one
load balancer. `X-Forwarded-For` is not read: any client can send it.

Nothing private of aiohttp is used. Rejected: a `limit` of the listening socket, behind which Twilio
would wait in one queue with all others; aiohttp's `TCPSite`, which counts nothing.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Hashable
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import Generic, TypeVar, cast

from aiohttp import StreamReader, hdrs, web

from agent.http.middleware import Handler
from agent.ports import Count

LINGER_SECONDS = 2.0
"""How long the body of a refused request is read and dropped."""
_GRACE_SECONDS = 5.0
"""Added to `keep_alive_seconds` for a peer that does not read its answers: aiohttp waits for it."""
_SHARES = 8
"""The share of an address is this fraction of the limit."""
_HOST_BITS = 64

T = TypeVar("T", bound=Hashable)
_Group = tuple[str, bool]
"""An address, and whether its connections are idle."""


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """The limits of a port.

    Args:
        name: A label of metrics.
        variable: The setting with the number of the port.
    """

    name: str
    variable: str
    most: int
    answer_seconds: float = 15.0
    """From the complete request to the answer; Twilio waits no longer."""
    keep_alive_seconds: float = 310.0
    """Longer than the idle limit of the load balancer (300), which must not meet a closing one."""
    head_seconds: float = 5.0
    body_seconds: float = 5.0


class PendingConnections(Generic[T]):
    """Connections that wait for their peers, the oldest first, counted by address."""

    def __init__(self, share: int) -> None:
        self._share = share
        self._groups: dict[T, _Group] = {}
        self._counts: Counter[_Group] = Counter()

    def enter(self, one: T, address: str, *, is_idle: bool = False) -> None:
        """Add a connection as the youngest, also if it waited before."""
        self.leave(one)
        group = (network_of(address), is_idle)
        self._groups[one] = group
        self._counts[group] += 1

    def leave(self, one: T) -> None:
        """Remove a connection; without effect if it does not wait."""
        if group := self._groups.pop(one, None):
            self._counts[group] -= 1
            if not self._counts[group]:
                del self._counts[group]

    def first_to_leave(self) -> T | None:
        """The oldest of the group furthest above its share; otherwise the oldest of all."""
        if not self._groups:
            return None
        heaviest = max(self._counts, key=self._counts.__getitem__)
        if self._counts[heaviest] <= self._share:
            return next(iter(self._groups))
        return next(one for one, group in self._groups.items() if group == heaviest)


def network_of(address: str) -> str:
    """What counts as one address: an IPv4 address, or the network of an IPv6 address."""
    with suppress(ValueError):
        parsed = ip_address(address)
        if isinstance(parsed, IPv6Address):
            return str(parsed.ipv4_mapped or f"{int(parsed) >> _HOST_BITS:x}::/64")
    return address


@web.middleware
async def note_request(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Tell the connection that the head of a request is complete."""
    if connection := _connection_of(request):
        connection.asked(request.content)
    return await handler(request)


async def note_answer(request: web.Request, response: web.StreamResponse) -> None:
    """`on_response_prepare`: an answer before the body is the last one of its connection."""
    if not request.content.is_eof():
        response.force_close()
        response.headers[hdrs.CONNECTION] = "close"
    if connection := _connection_of(request):
        connection.answered(is_complete=response.content_length is not None)


def _connection_of(request: web.Request) -> _Connection | None:
    connection = request.transport.get_protocol() if request.transport else None
    return connection if isinstance(connection, _Connection) else None


class OpenConnections:
    """All connections of one port."""

    def __init__(
        self, server: Callable[[], asyncio.Protocol], limits: ConnectionLimits, count: Count
    ) -> None:
        self._server = server
        self.limits = limits
        self.waiting = PendingConnections[_Connection](max(1, limits.most // _SHARES))
        self._count = count
        self._open = 0
        self.add_open(0)

    def accept(self) -> asyncio.BaseProtocol:
        """The protocol of a new connection; a protocol factory."""
        first = self.waiting.first_to_leave() if self._open >= self.limits.most else None
        if first is not None:
            first.cut("idle")
        elif self._open >= self.limits.most:
            self.count_cut("full")
            return _Refused()
        self.add_open(1)  # now: the loop accepts many before the first `connection_made`
        return _Connection(self, self._server())

    def add_open(self, more: int) -> None:
        self._open += more
        self._count("agent_connections", self._open, port=self.limits.name)

    def count_cut(self, reason: str) -> None:
        self._count("agent_connections_cut_total", port=self.limits.name, reason=reason)


class _Refused(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


class _Connection(asyncio.Protocol):
    def __init__(self, port: OpenConnections, inner: asyncio.Protocol) -> None:
        self._port = port
        self._inner = inner
        self._transport: asyncio.Transport | None = None
        self._limit: asyncio.TimerHandle | None = None
        self._body: StreamReader | None = None  # of the request that is not answered yet
        self._is_idle = False
        self._is_counted = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._wait(self._port.limits.head_seconds)
        self._inner.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        if self._is_idle:
            self._is_idle = False
            self._wait(self._port.limits.head_seconds)
        self._inner.data_received(data)

    def asked(self, body: StreamReader) -> None:
        """The head of a request is complete, and perhaps its body."""
        self._is_idle = False
        self._body = body
        if not body.is_eof():
            self._start_limit(self._port.limits.body_seconds)

        def await_answer() -> None:
            if self._is_counted and self._body is body:  # it may be answered already
                self._port.waiting.leave(self)
                self._start_limit(self._port.limits.answer_seconds)

        body.on_eof(await_answer)

    def answered(self, *, is_complete: bool) -> None:
        """An answer is being sent; an answer without a length has limits of its own."""
        is_last = self._body is not None and not self._body.is_eof()
        self._body = None
        self._stop_limit()
        if is_complete and self._is_counted:
            self._is_idle = not is_last
            seconds = LINGER_SECONDS if is_last else self._port.limits.keep_alive_seconds
            self._wait(seconds + _GRACE_SECONDS)

    def cut(self, reason: str) -> None:
        """Close the connection; what the peer has not read by now is lost."""
        self._port.count_cut(reason)
        self._leave()
        if self._transport and self._transport.get_write_buffer_size():
            self._transport.abort()
        elif self._transport:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._leave()
        self._inner.connection_lost(exc)

    def eof_received(self) -> bool | None:
        return self._inner.eof_received()

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()

    def _wait(self, seconds: float) -> None:
        peer = self._transport.get_extra_info("peername") if self._transport else None
        self._port.waiting.enter(self, peer[0] if peer else "", is_idle=self._is_idle)
        self._start_limit(seconds)

    def _start_limit(self, seconds: float) -> None:
        """Only an idle connection may wait longer than for an answer."""
        self._stop_limit()
        longest = seconds if self._is_idle else min(seconds, self._port.limits.answer_seconds)
        self._limit = asyncio.get_running_loop().call_later(longest, self.cut, "late")

    def _stop_limit(self) -> None:
        if self._limit is not None:
            self._limit.cancel()

    def _leave(self) -> None:
        self._stop_limit()
        self._port.waiting.leave(self)
        if self._is_counted:
            self._is_counted = False
            self._port.add_open(-1)
