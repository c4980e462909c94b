"""HTTP/1.1 connections to one server, kept open; answers are read as they arrive.

For the services of AWS that every turn of every caller asks. httptools reads the answers, with the
parser of Node.js. Rejected: aiohttp's client, several times the CPU for a request, with redirects,
cookies, compression and much else that these services do not use.

- Of idle connections the one that was used last is used next, so that the others may grow old.
- An answer that is released before its end closes its connection: nothing else stops a model.
- Through a proxy, servers with TLS are reached by a tunnel (CONNECT, RFC 9110 section 9.3.6).
- A host with several addresses is tried at them side by side (RFC 8305).
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from base64 import b64encode
from collections import deque
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

import aiohappyeyeballs

from agent.http_client.http_connection import HttpAnswer, HttpConnection

__all__ = [
    "CannotConnectError",
    "ClientLimits",
    "HttpAnswer",
    "HttpConnections",
    "ProxyRefusedError",
]

_KEPT_SECONDS = 120.0
"""Of an idle connection; NAT gateways drop one after 350 s."""
_OTHER_ADDRESS_SECONDS = 0.25
_PROBE_AFTER_SECONDS, _PROBE_EVERY_SECONDS, _PROBES = 30, 10, 3
_PORTS = {"http": 80, "https": 443}
_OK = 200


class CannotConnectError(OSError):
    """There is no connection; the cause says why."""


class ProxyRefusedError(OSError):
    """The proxy does not connect to the server; its text is the status."""


@dataclass(frozen=True, slots=True)
class ClientLimits:
    """What one set of connections may take."""

    most: int
    """Requests at a time, further ones wait; 0 = no limit."""
    connect_seconds: float
    """To connect, with TLS."""
    read_seconds: float | None = None
    """Until something more of an answer comes; None = no limit."""


class HttpConnections:
    """The connections to one server.

    Args:
        endpoint: Scheme, host, and perhaps port and path.
        limits: For all of them.
        tls: For servers and proxies with TLS.
        proxy: URL of one, perhaps with user and password; None = without.
    """

    def __init__(
        self,
        endpoint: str,
        limits: ClientLimits,
        *,
        tls: ssl.SSLContext,
        proxy: str | None = None,
    ) -> None:
        self._server = _Place(endpoint)
        self._proxy = _Place(proxy) if proxy else None
        self._before, self._also = self._server.path, ""
        if self._proxy is not None and not self._server.has_tls:
            self._before = self._server.origin + self._before
            self._also = self._proxy.authorization
        self._tls = tls
        self._limits = limits
        self._places = asyncio.Semaphore(limits.most) if limits.most else None
        self._open: set[HttpConnection] = set()
        self._idle: deque[HttpConnection] = deque()
        """The one that was used last at the end."""

    async def ask(self, target: str, head: str, body: bytes) -> HttpAnswer:
        """Send a POST request and wait for the head of its answer, which the caller releases.

        Args:
            target: What comes after the endpoint, percent-encoded.
            head: All headers but `Content-Length`, each with CR LF after it.
            body: The whole body.

        Raises:
            OSError: There is no answer; `CannotConnectError` if there was no connection.
        """
        first, last = f"POST {self._before}{target} HTTP/1.1", f"Content-Length: {len(body)}"
        request = f"{first}\r\n{head}{self._also}{last}\r\n\r\n".encode("latin-1") + body
        if self._places is not None:
            await self._places.acquire()
        try:
            connection = self._latest_idle() or await self._connect()
        except BaseException:
            self._free_place()
            raise
        answer = connection.begin(request, self._limits.read_seconds)
        try:
            await answer.begun()
        except BaseException:
            answer.release()
            raise
        return answer

    def idle(self, used_within: float) -> int:
        """How many connections are open and free, and were used within so many seconds."""
        since = asyncio.get_running_loop().time() - used_within
        return sum(each.used_at >= since for each in self._idle)

    async def connect(self) -> None:
        """Open a connection for a later request; raises `CannotConnectError`."""
        self._idle.append(await self._connect())

    def close(self) -> None:
        """Close all connections."""
        for each in list(self._open):
            each.transport.abort()

    def _take_back(self, connection: HttpConnection) -> None:
        """A request has ended; keep the connection if it is open."""
        self._free_place()
        now = connection.used_at = asyncio.get_running_loop().time()
        if not connection.transport.is_closing():
            self._idle.append(connection)
        while self._idle and self._idle[0].used_at < now - _KEPT_SECONDS:
            self._idle.popleft().transport.close()

    def _forget(self, connection: HttpConnection) -> None:
        """A connection has ended."""
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)

    def _free_place(self) -> None:
        if self._places is not None:
            self._places.release()

    def _latest_idle(self) -> HttpConnection | None:
        since = asyncio.get_running_loop().time() - _KEPT_SECONDS
        while self._idle:
            connection = self._idle.pop()
            if not connection.transport.is_closing() and connection.used_at >= since:
                return connection
            connection.transport.close()
        return None

    async def _connect(self) -> HttpConnection:
        try:
            async with asyncio.timeout(self._limits.connect_seconds):
                made = await self._connected()
        except (OSError, UnicodeError) as error:
            raise CannotConnectError(f"cannot connect: {type(error).__name__}") from error
        if not made.transport.is_closing():  # by the server, at once
            self._open.add(made)
        made.used_at = asyncio.get_running_loop().time()
        return made

    async def _connected(self) -> HttpConnection:
        loop = asyncio.get_running_loop()
        near = self._proxy or self._server
        found = await loop.getaddrinfo(near.host, near.port, type=socket.SOCK_STREAM)
        opened = await aiohappyeyeballs.start_connection(
            found,
            happy_eyeballs_delay=_OTHER_ADDRESS_SECONDS,
            socket_factory=_socket_with_keepalive,
        )
        _, connection = await loop.create_connection(
            lambda: HttpConnection(self._take_back, self._forget),
            sock=opened,
            ssl=self._tls if near.has_tls else None,
            server_hostname=near.host if near.has_tls else None,
        )
        if self._proxy is not None and self._server.has_tls:
            try:
                await self._tunnel(connection, self._proxy)
            except BaseException:
                connection.transport.abort()
                raise
        return connection

    async def _tunnel(self, connection: HttpConnection, proxy: _Place) -> None:
        """Have a proxy connect to the server, and begin TLS with that."""
        host, port = self._server.host, self._server.port
        to = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        head = f"CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n{proxy.authorization}\r\n"
        answer = connection.begin(head.encode("latin-1"), None)
        await answer.begun()
        if answer.status != _OK:
            raise ProxyRefusedError(str(answer.status))
        await connection.begin_tls(self._tls, host)


class _Place:
    """Where a server or a proxy is."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url if "//" in url else f"http://{url}")
        self.host = parts.hostname or ""
        self.port = parts.port or _PORTS.get(parts.scheme, 80)
        self.has_tls = parts.scheme == "https"
        self.path = parts.path.rstrip("/")
        self.origin = f"{parts.scheme}://{parts.netloc}"
        self.authorization = ""
        if parts.username is not None:
            known = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
            self.authorization = f"Proxy-Authorization: Basic {b64encode(known).decode()}\r\n"


def _socket_with_keepalive(address: aiohappyeyeballs.AddrInfoType) -> socket.socket:
    """A socket that sends at once, and detects a lost peer while a stream is silent."""
    family, kind, protocol, _, _ = address
    made = socket.socket(family, kind, protocol)
    made.setblocking(False)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_KEEPIDLE"):
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _PROBE_AFTER_SECONDS)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _PROBE_EVERY_SECONDS)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _PROBES)
    return made
