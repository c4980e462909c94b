"""The one way out: requests of configured tools, to listed hosts, within limits.

- The host is looked up in the operator's list (`agent.usecases.host_allowlist`) when a use case
is read and again
  here, for each request. Addresses are looked at in the resolver of the connector itself: what it
  lets through is what is connected to, so a name that changes its mind between check and connection
  (DNS rebinding) gains nothing. An address written in the URL, which aiohttp does not resolve, is
  looked at before.
- Redirects are not followed at all. One that stays on the host could, but an API that is
  configured by hand has no need of it, and each one followed is one more URL from outside.
- Nothing of this machine's environment has a say: no proxy, no .netrc; no cookie is kept.
- No connection is used twice. One that went stale in a pool would make "it is not known whether the
  order was placed" of a request that never left; the handshake costs less than that sentence.
- Answers are asked for, and accepted, uncompressed: 64 KiB need no compression, and nothing can
  grow behind our back.
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
from agent.tools.http.http_response import LARGEST_ANSWER_BYTES, HttpResponse
from agent.usecases.host_allowlist import HostAllowlist, address_of

CONNECT_SECONDS = 2.5
_CHUNK_BYTES = 16 * 1024


class UnreachableError(AgentError):
    """No connection was made; nothing was sent."""


class UnansweredError(AgentError):
    """A request was sent, or may have been, and what came of it is not known."""

    def __init__(self, reason: str, *, may_retry: bool) -> None:
        super().__init__(reason)
        self.may_retry = may_retry
        """The other side may do better at once; false if there is no time left."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request, complete."""

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
        """As it is sent, to the letter."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return URL(f"{self.scheme}://{host}:{self.port}{self.target}", encoded=True)


class GuardedResolver(AbstractResolver):
    """Resolves listed hosts, to the addresses they may have."""

    def __init__(self, hosts: HostAllowlist, resolver: AbstractResolver) -> None:
        self._hosts = hosts
        self._resolver = resolver

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """See `AbstractResolver`; `OSError` if nothing is left."""
        found = await self._resolver.resolve(host, port, family)
        admitted = [each for each in found if self._hosts.admits(host, port, each["host"])]
        if not admitted:
            raise OSError(None, "none of its addresses is admitted")
        return admitted

    async def close(self) -> None:
        """See `AbstractResolver`."""
        await self._resolver.close()


class OutboundHttp:
    """Sends requests; made by `open`, one for the process."""

    def __init__(self, hosts: HostAllowlist, session: aiohttp.ClientSession) -> None:
        self.hosts = hosts
        self._session = session

    @classmethod
    @asynccontextmanager
    async def open(
        cls, hosts: HostAllowlist, resolver: AbstractResolver | None = None
    ) -> AsyncIterator[OutboundHttp]:
        """The way out, closed on leaving.

        Args:
            hosts: Who may be spoken to.
            resolver: Finds addresses; unset = as this machine does.
        """
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

    async def send(self, request: Request, seconds: float) -> HttpResponse:
        """Send a request; the answer, whatever its status.

        Args:
            request: What to send.
            seconds: For all of it; a body that is not read by then is a fault of the answer.

        Raises:
            UnreachableError: The host is not listed, or could not be connected to.
            UnansweredError: No head of an answer came.
        """
        self._guard(request)
        deadline = asyncio.get_running_loop().time() + seconds
        response = await self._head(request, deadline, min(CONNECT_SECONDS, seconds / 2))
        try:
            body, fault = await _body(response, deadline)
        finally:
            response.close()
        media_type, charset = response.content_type, response.charset or ""
        if "Content-Type" not in response.headers:
            media_type = ""
        return HttpResponse(response.status, media_type.lower(), charset.lower(), body, fault)

    def _guard(self, request: Request) -> None:
        if not self.hosts.lists(request.scheme, request.host, request.port):
            raise UnreachableError("its host is not listed")
        is_address = address_of(request.host) is not None
        if is_address and not self.hosts.admits(request.host, request.port, request.host):
            raise UnreachableError("its address is not admitted")

    async def _head(
        self, request: Request, deadline: float, connect_seconds: float
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
    """The body and what is wrong about it."""
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        return b"", "its answer is compressed"
    body = bytearray()
    try:
        async with asyncio.timeout_at(deadline):
            async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
                body += chunk
                if len(body) > LARGEST_ANSWER_BYTES:
                    return b"", "its answer is too long"
    except TimeoutError:
        return b"", "its answer came too slowly"
    except (aiohttp.ClientError, OSError):
        return b"", "its answer broke off"
    return bytes(body), ""
