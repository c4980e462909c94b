"""Sends the requests of declared tools to listed hosts, within limits.

- The list of hosts (`agent.usecases.host_allowlist`) is checked for each request. Addresses are
  checked in the connector's own resolver, so DNS rebinding is impossible; an address in the URL,
  which aiohttp does not resolve, is checked before.
- Redirects, which are untrusted URLs, proxies, .netrc and cookies are ignored.
- No connection is used twice: a stale one would make the outcome of an unsent request unknown.
- Responses must be uncompressed, so that their length stays known.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from agent.errors import AgentError
from agent.tools.http.http_messages import MOST_RESPONSE_BYTES, HttpResponse
from agent.usecases.host_allowlist import HostAllowlist, address_of

_CONNECT_SECONDS = 2.5
_CHUNK_BYTES = 16 * 1024


class UnreachableError(AgentError):
    """No connection was made; nothing was sent."""


class UnansweredError(AgentError):
    """A request may have been sent, and its outcome is unknown; a retry at once may succeed."""

    def __init__(self, reason: str, *, may_retry: bool) -> None:
        super().__init__(reason)
        self.may_retry = may_retry


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A complete request."""

    method: str
    scheme: str
    host: str
    port: int
    target: str
    """Path and query, encoded."""
    headers: Mapping[str, str]
    body: str = ""

    @property
    def url(self) -> URL:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return URL(f"{self.scheme}://{host}:{self.port}{self.target}", encoded=True)


class GuardedResolver(AbstractResolver):
    """Resolves hosts to admitted addresses only."""

    def __init__(self, hosts: HostAllowlist, resolver: AbstractResolver) -> None:
        self._hosts = hosts
        self._resolver = resolver

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._resolver.resolve(host, port, family)
        admitted = [each for each in found if self._hosts.admits(host, port, each["host"])]
        if not admitted:
            raise OSError(None, "none of its addresses is admitted")
        return admitted

    async def close(self) -> None:
        await self._resolver.close()


class OutboundHttp:
    """Sends requests; one for the process, made by `open`."""

    def __init__(self, hosts: HostAllowlist, session: aiohttp.ClientSession) -> None:
        self.hosts = hosts
        self._session = session

    @classmethod
    @asynccontextmanager
    async def open(
        cls, hosts: HostAllowlist, resolver: AbstractResolver | None = None
    ) -> AsyncIterator[OutboundHttp]:
        guarded = GuardedResolver(hosts, resolver or aiohttp.ThreadedResolver())
        connector = aiohttp.TCPConnector(
            resolver=guarded, use_dns_cache=False, force_close=True, limit=0
        )
        try:
            async with aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
                headers={"User-Agent": "voice-agent", "Accept-Encoding": "identity"},
            ) as session:
                yield cls(hosts, session)
        finally:
            await guarded.close()

    async def send(self, request: HttpRequest, seconds: float) -> HttpResponse:
        """Send a request and return the response, whatever its status.

        A body that is incomplete after `seconds` is a fault of the response.

        Raises:
            UnreachableError: The host is not listed, or the connection failed.
            UnansweredError: No head of a response arrived.
        """
        if not self.hosts.lists(request.scheme, request.host, request.port):
            raise UnreachableError("its host is not listed")
        is_address = address_of(request.host) is not None
        if is_address and not self.hosts.admits(request.host, request.port, request.host):
            raise UnreachableError("its address is not admitted")
        deadline = asyncio.get_running_loop().time() + seconds
        response = await self._head(request, deadline, min(_CONNECT_SECONDS, seconds / 2))
        try:
            body, fault = await _body(response, deadline)
        finally:
            response.close()
        media_type = response.content_type if "Content-Type" in response.headers else ""
        charset = (response.charset or "").lower()
        return HttpResponse(response.status, media_type.lower(), charset, body, fault)

    async def post(self, url: str, headers: Mapping[str, str], body: str, seconds: float) -> int:
        """The status of the answer to a body that is posted; errors as of `send`."""
        parts = URL(url)
        host, port = str(parts.host), int(parts.port or 0)
        target = parts.raw_path_qs
        request = HttpRequest("POST", parts.scheme, host, port, target, headers, body)
        return (await self.send(request, seconds)).status

    async def _head(
        self, request: HttpRequest, deadline: float, connect_seconds: float
    ) -> aiohttp.ClientResponse:
        try:
            async with asyncio.timeout_at(deadline):
                return await self._session.request(
                    request.method,
                    request.url,
                    headers=request.headers,
                    data=request.body.encode() if request.body else None,
                    allow_redirects=False,
                    timeout=aiohttp.ClientTimeout(total=None, connect=connect_seconds),
                )
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise UnreachableError("it cannot be connected to") from error
        except TimeoutError as error:
            raise UnansweredError("it did not answer in time", may_retry=False) from error
        except (aiohttp.ClientError, OSError) as error:
            raise UnansweredError("the connection broke", may_retry=True) from error


async def _body(response: aiohttp.ClientResponse, deadline: float) -> tuple[bytes, str]:
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        return b"", "its answer is compressed"
    body = bytearray()
    try:
        async with asyncio.timeout_at(deadline):
            async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
                body += chunk
                if len(body) > MOST_RESPONSE_BYTES:
                    return b"", "its answer is too long"
    except TimeoutError:
        return b"", "its answer came too slowly"
    except (aiohttp.ClientError, OSError):
        return b"", "its answer broke off"
    return bytes(body), ""
