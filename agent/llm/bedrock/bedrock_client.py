"""Credentials, endpoint and connections to Bedrock, one set for each process.

aioboto3 finds credentials, region and endpoint. The request is signed with botocore's signer and
sent on one `aiohttp.ClientSession`, with little more than half the CPU of the SDK's client.

- A stream that is left early has its connection closed at once: nothing else stops the model.
- `warm` opens a connection with an unsigned `GET /`, which Bedrock refuses and does not charge.
  Rejected: connecting without a request by the internals of aiohttp's connector, as they change.
- Credentials are renewed in the background, so that no turn waits for them.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from urllib.parse import quote

import aioboto3  # type: ignore[import-untyped] # ships no types
import aiohttp
import structlog
from botocore.auth import SigV4Auth  # type: ignore[import-untyped] # ships no types
from botocore.awsrequest import AWSRequest  # type: ignore[import-untyped] # likewise
from botocore.credentials import ReadOnlyCredentials  # type: ignore[import-untyped] # likewise
from botocore.exceptions import BotoCoreError, ClientError, NoRegionError  # type: ignore[import-untyped] # likewise
from botocore.httpsession import get_cert_path  # type: ignore[import-untyped] # likewise
from yarl import URL

from agent.call.events import ReplyFault
from agent.errors import ModelError
from agent.llm.option_repair import LearnedOptions
from agent.llm.provider_faults import network_error
from agent.llm.timeouts import KEEP_ALIVE_SECONDS, WARM_SECONDS, TimeLimits
from agent.ports import Count, uncounted

log = structlog.get_logger(__name__)

_DNS_SECONDS = 60
_CREDENTIALS_SECONDS = 60.0
_CREDENTIAL_ERRORS = (  # of the SDK, HTTP, files and programs
    BotoCoreError, ClientError, aiohttp.ClientError, OSError, RuntimeError, ValueError,
)  # fmt: skip
_PROBE_AFTER_SECONDS, _PROBE_EVERY_SECONDS, _PROBES = 30, 10, 3
_DEFAULT_LIMITS = TimeLimits()
_CHECK_AWS = "Check AWS_PROFILE, AWS_REGION and the files of the AWS configuration."
_SIGN_IN = (
    "Sign in (aws sso login, AWS_PROFILE), or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
)


class BedrockClient:
    """Signs and sends requests; made by `open`."""

    def __init__(
        self,
        session: aioboto3.Session,
        place: tuple[str, str],
        connections: int,
        limits: TimeLimits,
        learned: LearnedOptions,
    ) -> None:
        self.region, self.endpoint = place
        self.learned = learned
        self._session = session
        self.place = f"bedrock in {self.region}"
        self._credentials: ReadOnlyCredentials | None = None
        self._no_credentials = "no AWS credentials were found"
        self._limits = limits
        self._idle_since: deque[float] = deque()  # of the pool, which uses the oldest first
        self.http = _http_session(connections, limits, self._note_reuse)

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        *,
        max_calls: int = 0,
        limits: TimeLimits = _DEFAULT_LIMITS,
        count: Count = uncounted,
    ) -> AsyncIterator[BedrockClient]:
        """A client; its connections, twice `max_calls` (0 = no limit), are closed on exit.

        Raises `ModelError` if there is no region, or the AWS configuration cannot be read.
        """
        try:
            session = aioboto3.Session()
            place = await _resolved(session, os.environ.get("AWS_REGION"))
        except (BotoCoreError, ValueError, OSError) as error:  # its text names settings only
            remedy = "Set AWS_REGION." if isinstance(error, NoRegionError) else _CHECK_AWS
            cause = f"AWS configuration: {str(error).rstrip('.')}"
            raise ModelError(ReplyFault.DENIED, cause, remedy=remedy) from error
        client = cls(session, place, 2 * max_calls, limits, LearnedOptions(count))
        async with client.http:
            await client.renew_credentials()
            renewing = asyncio.create_task(client.keep_credentials(), name="bedrock credentials")
            try:
                yield client
            finally:
                renewing.cancel()
                await asyncio.wait([renewing])

    async def warm(self, connections: int = 1) -> None:
        """Open connections until so many are idle. Never raises."""
        now = asyncio.get_running_loop().time()
        while self._idle_since and now - self._idle_since[0] > WARM_SECONDS:
            self._idle_since.popleft()
        async with asyncio.TaskGroup() as tasks:
            for _ in range(connections - len(self._idle_since)):
                tasks.create_task(self._connect(), name="bedrock warm")

    @asynccontextmanager
    async def converse(self, model_id: str, body: bytes) -> AsyncIterator[aiohttp.ClientResponse]:
        """The response to one request; on exit its connection is closed unless it was read out."""
        url = f"{self.endpoint}/model/{quote(model_id, safe='-._~')}/converse-stream"
        request = AWSRequest("POST", url, {"Content-Type": "application/json"}, body)
        if self._credentials is None:
            raise ModelError(ReplyFault.DENIED, self._no_credentials, remedy=_SIGN_IN)
        SigV4Auth(self._credentials, "bedrock", self.region).add_auth(request)
        with network_errors():
            target, headers = URL(url, encoded=True), dict(request.headers)
            response = await self.http.post(
                target, data=body, headers=headers, allow_redirects=False
            )
        try:
            yield response
        finally:
            self._note_idle(response)
            response.close()

    async def _connect(self) -> None:
        try:
            async with (
                asyncio.timeout(self._limits.connect + self._limits.first_event),
                self.http.get(URL(self.endpoint + "/"), allow_redirects=False) as response,
            ):
                await response.read()
                self._note_idle(response)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            log.info("llm.prewarm_failed", provider="bedrock", cause=type(error).__name__)

    def _note_idle(self, response: aiohttp.ClientResponse) -> None:
        is_kept = response.headers.get("Connection", "").lower() != "close"
        if response.content.at_eof() and is_kept:
            self._idle_since.append(asyncio.get_running_loop().time())

    async def _note_reuse(self, _session: object, _context: object, _params: object) -> None:
        if self._idle_since:
            self._idle_since.popleft()

    async def renew_credentials(self) -> None:
        """Find them, or renew them if they are due; keeps the current ones on an error."""
        try:
            found = await self._session.get_credentials()
            if found is not None:
                self._credentials = await found.get_frozen_credentials()
        except _CREDENTIAL_ERRORS as error:
            cause = type(error).__name__
            self._no_credentials = f"the AWS credentials cannot be read ({cause})"
            log.error("bedrock.credentials_renewal_failed", cause=cause, pii_detail=str(error))

    async def keep_credentials(self) -> None:
        while True:
            await asyncio.sleep(_CREDENTIALS_SECONDS)
            await self.renew_credentials()


async def _resolved(session: aioboto3.Session, region: str | None) -> tuple[str, str]:
    """Region and endpoint by the rules of the SDK; keys keep it from a search for credentials."""
    async with session.client(
        "bedrock-runtime",
        region_name=region,
        aws_access_key_id="unused",
        aws_secret_access_key="unused",  # noqa: S106 no secret
    ) as client:
        return client.meta.region_name, client.meta.endpoint_url.rstrip("/")


def _http_session(
    limit: int, limits: TimeLimits, note_reuse: Callable[..., Awaitable[None]]
) -> aiohttp.ClientSession:
    authorities = os.environ.get("AWS_CA_BUNDLE") or get_cert_path(verify=True)
    connector = aiohttp.TCPConnector(
        limit=limit,
        keepalive_timeout=KEEP_ALIVE_SECONDS,
        ttl_dns_cache=_DNS_SECONDS,
        ssl=ssl.create_default_context(cafile=authorities),
        socket_factory=_socket_with_keepalive,
    )
    reuse = aiohttp.TraceConfig()
    reuse.on_connection_reuseconn.append(note_reuse)
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"Accept-Encoding": "identity"},
        timeout=aiohttp.ClientTimeout(None, connect=limits.connect, sock_connect=limits.connect),
        auto_decompress=False,
        trace_configs=[reuse],
    )


def _socket_with_keepalive(address: aiohttp.AddrInfoType) -> socket.socket:
    """A socket that detects a lost peer while a stream is silent."""
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
def network_errors() -> Iterator[None]:
    """Raise errors of the network as `ModelError`."""
    try:
        yield
    except (aiohttp.ClientError, OSError) as error:
        connecting = aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError
        raise network_error(
            error,
            has_connected=not isinstance(error, connecting),
            remedy="Check AWS_REGION, and the way from this machine to Bedrock.",
            authorities="AWS_CA_BUNDLE",
        ) from error
