"""The way to Bedrock: credentials, endpoint and connections, one for the whole process.

aioboto3 finds credentials, region and endpoint as every AWS program does. The request itself is
signed with botocore's signer and made on one `aiohttp.ClientSession`: measured, that costs little
more than half the CPU of a turn through the SDK's client and holds its latency under load, and
nothing depends on the service model the SDK was shipped with. `tests/llm/test_bedrock_wire.py`
holds us to what the SDK would send. Nothing here repeats a request.

- A stream that is left early has its connection closed at once, as nothing else stops the model
  (practice section 12). A stream read to its end gives it back: no handshake next turn.
- `warm` opens a connection by an unsigned `GET /` of the endpoint. It is refused, costs nothing,
  and leaves the connection in the pool. aiohttp has no way to connect without a request; making
  one through the connector's internals was rejected, as they change.
- Credentials are looked at once a minute beside the calls: the SDK renews them 15 minutes before
  they expire. A turn takes those at hand and never waits.
- Limits: connect, first event, gap between events. That of the whole turn belongs to the caller.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from urllib.parse import quote

import aioboto3  # type: ignore[import-untyped] # ships no types
import aiohttp
import structlog
from botocore.auth import SigV4Auth  # type: ignore[import-untyped] # ships no types
from botocore.awsrequest import AWSRequest  # type: ignore[import-untyped] # likewise
from botocore.credentials import (  # type: ignore[import-untyped] # likewise
    ReadOnlyCredentials,
)
from botocore.exceptions import (  # type: ignore[import-untyped] # likewise
    BotoCoreError,
    ClientError,
)
from botocore.httpsession import get_cert_path  # type: ignore[import-untyped] # likewise
from yarl import URL

from agent.call.events import ReplyFault
from agent.errors import ModelError
from agent.llm.option_repair import LearnedOptions
from agent.llm.timeouts import TimeLimits
from agent.ports import Count, uncounted

log = structlog.get_logger(__name__)

KEEP_ALIVE_SECONDS = 120.0
"""Below the 350 s after which NAT gateways forget a connection."""
_DNS_SECONDS = 60
_CREDENTIALS_SECONDS = 60.0
_WARM_SECONDS = 60.0
"""For so long a connection that was given back counts as a spare one."""
_CREDENTIAL_ERRORS = (
    BotoCoreError, ClientError, aiohttp.ClientError, OSError, RuntimeError, ValueError,
)  # fmt: skip
"""What sources of credentials raise: the SDK's own, HTTP's, and those of files and programs."""
_PROBE_AFTER_SECONDS, _PROBE_EVERY_SECONDS, _PROBES = 30, 10, 3


_PATIENCE = TimeLimits()


class BedrockClient:
    """Signs and sends; made by `open`."""

    def __init__(
        self,
        http: aiohttp.ClientSession,
        spares: _Spares,
        credentials: _Credentials,
        place: tuple[str, str],
        patience: TimeLimits,
        learned: LearnedOptions,
    ) -> None:
        self._http = http
        self._spares = spares
        self._credentials = credentials
        self.region, self.endpoint = place
        self.patience = patience
        self.learned = learned

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        *,
        max_calls: int = 0,
        region: str = "",
        patience: TimeLimits = _PATIENCE,
        count: Count = uncounted,
    ) -> AsyncIterator[BedrockClient]:
        """A runtime; on leaving, all its connections are closed.

        Args:
            max_calls: Twice as many connections are the most there may be; 0 = no limit.
            region: Empty = `AWS_REGION`, `AWS_DEFAULT_REGION`, or that of the profile.
            patience: The time limits of each request.
            count: For options that models refuse.

        Raises:
            ModelError: There is no region, or the configuration of AWS cannot be read.
        """
        with _faults_of_the_sdk():
            session = aioboto3.Session()
            place = await _place(session, region or os.environ.get("AWS_REGION"))
        credentials = _Credentials(session)
        await credentials.renew()
        spares = _Spares()
        renewing = asyncio.create_task(credentials.keep_fresh(), name="bedrock credentials")
        try:
            async with _http_session(2 * max_calls, patience, spares) as http:
                yield cls(http, spares, credentials, place, patience, LearnedOptions(count))
        finally:
            renewing.cancel()
            await asyncio.wait([renewing])

    async def warm(self, connections: int = 1) -> None:
        """Have so many connections ready; those that are there count. Never raises."""
        missing = connections - self._spares.count(asyncio.get_running_loop().time())
        async with asyncio.TaskGroup() as tasks:
            for _ in range(missing):
                tasks.create_task(self._connect(), name="bedrock warm")

    @asynccontextmanager
    async def converse(
        self, model_id: str, body: bytes, deadline: float
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer to one request; on leaving, its connection is closed unless it was read out.

        Args:
            model_id: Id or ARN.
            body: JSON.
            deadline: On the loop's clock: for the head of the answer.

        Raises:
            ModelError: There is none.
        """
        url = f"{self.endpoint}/model/{quote(model_id, safe='-._~')}/converse-stream"
        headers = self._signed(url, body)
        with network_faults():
            async with asyncio.timeout_at(deadline):
                response = await self._http.post(
                    URL(url, encoded=True), data=body, headers=headers, allow_redirects=False
                )
        try:
            yield response
        finally:
            self._count_spare(response)
            response.close()

    def _signed(self, url: str, body: bytes) -> dict[str, str]:
        request = AWSRequest("POST", url, {"Content-Type": "application/json"}, body)
        SigV4Auth(self._credentials.current(), "bedrock", self.region).add_auth(request)
        return dict(request.headers)

    async def _connect(self) -> None:
        try:
            async with (
                asyncio.timeout(self.patience.connect + self.patience.first_event),
                self._http.get(URL(self.endpoint + "/"), allow_redirects=False) as response,
            ):
                await response.read()
                self._count_spare(response)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            log.info("bedrock.not_warm", cause=type(error).__name__)

    def _count_spare(self, response: aiohttp.ClientResponse) -> None:
        """What was read to its end has gone back to the pool, if the other side keeps it, too."""
        is_kept = response.headers.get("Connection", "").lower() != "close"
        if response.content.at_eof() and is_kept:
            self._spares.give_back(asyncio.get_running_loop().time())


class _Credentials:
    """Those of the SDK, at hand without waiting."""

    def __init__(self, session: aioboto3.Session) -> None:
        self._session = session
        self._frozen: ReadOnlyCredentials | None = None

    def current(self) -> ReadOnlyCredentials:
        if self._frozen is None:
            raise ModelError(ReplyFault.DENIED, "no AWS credentials were found")
        return self._frozen

    async def renew(self) -> None:
        """Find them, or let the SDK renew them if it is time; those there are stay if it fails."""
        try:
            found = await self._session.get_credentials()
            if found is not None:
                self._frozen = await found.get_frozen_credentials()
        except _CREDENTIAL_ERRORS as error:
            cause = type(error).__name__
            log.error("bedrock.credentials_not_renewed", cause=cause, pii_detail=str(error))

    async def keep_fresh(self) -> None:
        while True:
            await asyncio.sleep(_CREDENTIALS_SECONDS)
            await self.renew()


class _Spares:
    """How many connections lie ready in the pool, by its own order: first in, first out."""

    def __init__(self) -> None:
        self._since: deque[float] = deque()

    def give_back(self, now: float) -> None:
        self._since.append(now)

    def take(self) -> None:
        if self._since:
            self._since.popleft()

    def count(self, now: float) -> int:
        while self._since and now - self._since[0] > _WARM_SECONDS:
            self._since.popleft()
        return len(self._since)


async def _place(session: aioboto3.Session, region: str | None) -> tuple[str, str]:
    """Region and endpoint as the SDK finds them: its client knows all rules and variables.

    The client signs nothing. With keys of its own it looks for no others, which may fail.
    """
    async with session.client(
        "bedrock-runtime",
        region_name=region,
        aws_access_key_id="unused",
        aws_secret_access_key="unused",  # noqa: S106 no secret
    ) as client:
        return client.meta.region_name, client.meta.endpoint_url.rstrip("/")


def _http_session(limit: int, patience: TimeLimits, spares: _Spares) -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(
        limit=limit,
        keepalive_timeout=KEEP_ALIVE_SECONDS,
        ttl_dns_cache=_DNS_SECONDS,
        ssl=ssl.create_default_context(
            cafile=os.environ.get("AWS_CA_BUNDLE") or get_cert_path(verify=True)
        ),
        socket_factory=_probing_socket,
    )
    reuse = aiohttp.TraceConfig()

    async def take(_session: object, _context: object, _params: object) -> None:
        spares.take()

    reuse.on_connection_reuseconn.append(take)
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"Accept-Encoding": "identity"},
        timeout=aiohttp.ClientTimeout(
            total=None, connect=patience.connect, sock_connect=patience.connect
        ),
        auto_decompress=False,
        trace_configs=[reuse],
    )


def _probing_socket(address: aiohttp.AddrInfoType) -> socket.socket:
    """A socket that finds out when the other side is gone, which a silent stream does not tell."""
    family, kind, protocol, _, _ = address
    made = socket.socket(family, kind, protocol)
    made.setblocking(False)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_KEEPIDLE"):
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _PROBE_AFTER_SECONDS)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _PROBE_EVERY_SECONDS)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _PROBES)
    return made


@contextmanager
def network_faults() -> Iterator[None]:
    """What goes wrong on the way, as `ModelError`."""
    try:
        yield
    except TimeoutError as error:
        raise ModelError(ReplyFault.TIMEOUT, type(error).__name__) from error
    except (aiohttp.ClientError, OSError) as error:
        raise ModelError(ReplyFault.UNAVAILABLE, type(error).__name__) from error


@contextmanager
def _faults_of_the_sdk() -> Iterator[None]:
    """A configuration that the SDK cannot use; its texts name settings, nobody's words."""
    try:
        yield
    except (BotoCoreError, ValueError) as error:
        raise ModelError(ReplyFault.DENIED, f"AWS configuration: {error}") from error
