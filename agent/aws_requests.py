"""Signed requests to services of AWS: connections, credentials and signature, for all adapters.

aioboto3 finds credentials, region and endpoint by the rules of the SDK. The request itself is
signed here and sent by `agent.http_client`: the client of the SDK takes several times the CPU.

- The signing key and all of a request but date and body are prepared once a day and credentials.
  https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
- Credentials are renewed in the background, so that no request waits for them.
- A clock that is wrong by minutes is corrected by the date of a refusal, the request repeated.
"""

from __future__ import annotations

import asyncio
import hmac
import os
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from hashlib import sha256
from typing import Any
from urllib.parse import quote, urlsplit

import aioboto3  # type: ignore[import-untyped] # ships no types
import aiohttp
import structlog
from botocore.credentials import ReadOnlyCredentials  # type: ignore[import-untyped] # ships no types
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError  # type: ignore[import-untyped] # likewise
from botocore.httpsession import get_cert_path  # type: ignore[import-untyped] # likewise
from botocore.utils import get_environ_proxies  # type: ignore[import-untyped] # likewise

from agent.http_client import ClientLimits, HttpAnswer, HttpConnections

log = structlog.get_logger(__name__)

_CREDENTIALS_SECONDS = 60.0
AWS_FAULTS = (
    BotoCoreError, ClientError, aiohttp.ClientError, OSError, RuntimeError, ValueError,
)  # fmt: skip
"""Of the SDK, HTTP, files and programs, as a search for credentials or a request raises them."""
_UNSIGNED = "Accept-Encoding: identity\r\nUser-Agent: voice-agent\r\n"
_ALGORITHM = "AWS4-HMAC-SHA256"
_CLOCK_REFUSED = frozenset({400, 403})
_WRONG_CLOCK_SECONDS = 240.0
"""AWS accepts five minutes (fifteen for some services)."""


class RequestSigner:
    """Signature Version 4 of POST requests without a query to one endpoint.

    Args:
        service: The name in the signature, as `bedrock`.
        region: As in the signature.
        endpoint: Scheme, host, and perhaps port and path.
        headers: Further headers of every request, all signed.
    """

    def __init__(self, service: str, region: str, endpoint: str, headers: dict[str, str]) -> None:
        self._service, self._region = service, region
        parts = urlsplit(endpoint)
        port = parts.port if parts.port != {"http": 80, "https": 443}.get(parts.scheme) else None
        host = f"[{parts.hostname}]" if ":" in str(parts.hostname) else parts.hostname
        self._fixed = {"Host": f"{host}:{port}" if port else f"{host}", **headers}
        self._path = parts.path.rstrip("/")
        self._credentials: ReadOnlyCredentials | None = None
        self._day = self._scope = ""
        self._key = b""
        self._prepared: dict[tuple[str, str], _Prepared] = {}

    def headers(
        self,
        credentials: ReadOnlyCredentials,
        body: bytes,
        *,
        path: str,
        target: str = "",
        now: float,
    ) -> dict[str, str]:
        """All headers of a request.

        Args:
            credentials: What it is signed with.
            body: The whole body.
            path: Below the endpoint, percent-encoded.
            target: The `X-Amz-Target`, if the service has it.
            now: Seconds since the epoch.
        """
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
        if credentials is not self._credentials or stamp[:8] != self._day:
            self._begin(credentials, stamp[:8])
        prepared = self._prepared.get((path, target))
        if prepared is None:
            prepared = self._prepare(credentials, path, target)
        canonical = f"{prepared.before}{stamp}{prepared.after}{sha256(body).hexdigest()}"
        digest = sha256(canonical.encode()).hexdigest()
        text = f"{_ALGORITHM}\n{stamp}\n{self._scope}\n{digest}"
        signature = hmac.digest(self._key, text.encode(), "sha256").hex()
        return {
            **prepared.headers,
            "X-Amz-Date": stamp,
            "Authorization": prepared.authorization + signature,
        }

    def _begin(self, credentials: ReadOnlyCredentials, day: str) -> None:
        self._credentials, self._day = credentials, day
        self._prepared.clear()
        scope = day, self._region, self._service, "aws4_request"
        self._scope = "/".join(scope)
        self._key = f"AWS4{credentials.secret_key}".encode()
        for part in scope:
            self._key = hmac.digest(self._key, part.encode(), "sha256")

    def _prepare(self, credentials: ReadOnlyCredentials, path: str, target: str) -> _Prepared:
        headers = dict(self._fixed)
        if credentials.token:
            headers["X-Amz-Security-Token"] = credentials.token
        if target:
            headers["X-Amz-Target"] = target
        lower = {name.lower(): value for name, value in headers.items()} | {"x-amz-date": "\0"}
        lines = "".join(f"{name}:{' '.join(lower[name].split())}\n" for name in sorted(lower))
        signed = ";".join(sorted(lower))
        encoded = quote(self._path + path, safe="/~")
        before, after = f"POST\n{encoded}\n\n{lines}\n{signed}\n".split("\0")
        authorization = (
            f"{_ALGORITHM} Credential={credentials.access_key}/{self._scope}, "
            f"SignedHeaders={signed}, Signature="
        )
        made = self._prepared[path, target] = _Prepared(before, after, authorization, headers)
        return made


@dataclass(frozen=True, slots=True)
class _Prepared:
    """What does not change: the canonical request around the date, and headers."""

    before: str
    after: str
    authorization: str
    headers: dict[str, str]


class AwsCredentials:
    """The credentials of the SDK, renewed in the background; made by `open`."""

    def __init__(self, session: aioboto3.Session) -> None:
        self._session = session
        self.current: ReadOnlyCredentials | None = None
        self.fault: Exception | None = None
        """Why the last search found none."""

    @classmethod
    @asynccontextmanager
    async def open(cls, session: aioboto3.Session) -> AsyncIterator[AwsCredentials]:
        """Search for them once; a search that fails is logged and repeated later."""
        credentials = cls(session)
        await credentials.renew()
        renewing = asyncio.create_task(credentials._keep(), name="aws credentials")
        try:
            yield credentials
        finally:
            renewing.cancel()
            await asyncio.wait([renewing])

    async def renew(self) -> None:
        """Find them, or renew them if they are due; keeps the current ones on an error."""
        try:
            found = await self._session.get_credentials()
            if found is not None:
                self.current = await found.get_frozen_credentials()
        except AWS_FAULTS as error:
            self.fault = error
            cause = type(error).__name__
            log.error("aws.credentials_renewal_failed", cause=cause, pii_detail=str(error))

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(_CREDENTIALS_SECONDS)
            await self.renew()


@dataclass(slots=True)
class AwsRequests:
    """Sends signed requests to one service; made by `open`."""

    region: str
    endpoint: str
    connections: HttpConnections
    credentials: AwsCredentials
    _signer: RequestSigner
    _clock: Callable[[], float]
    _behind: float = 0.0  # seconds by which our clock is late

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        service: str,
        *,
        region: str | None,
        limits: ClientLimits,
        headers: dict[str, str],
        clock: Callable[[], float] = time.time,
    ) -> AsyncIterator[AwsRequests]:
        """Connections are closed on exit.

        Args:
            service: The SDK's name of it, as `bedrock-runtime`.
            region: None or empty = as the SDK finds it.
            limits: Of its connections.
            headers: Of every request.
            clock: Seconds since the epoch.

        Raises:
            BotoCoreError, ValueError, OSError: There is no region, or the AWS configuration cannot
                be read.
        """
        session = aioboto3.Session()
        region, endpoint, name = await _resolved(session, service, region)
        authorities = os.environ.get("AWS_CA_BUNDLE") or get_cert_path(verify=True)
        http = HttpConnections(
            endpoint,
            limits,
            tls=ssl.create_default_context(cafile=authorities),
            proxy=get_environ_proxies(endpoint).get(urlsplit(endpoint).scheme),
        )
        async with AwsCredentials.open(session) as credentials:
            signer = RequestSigner(name, region, endpoint, headers)
            try:
                yield cls(region, endpoint, http, credentials, signer, clock)
            finally:
                http.close()

    async def post(self, path: str, body: bytes, target: str = "") -> HttpAnswer:
        """The answer to one request, its body not read; the caller releases it.

        Args:
            path: Percent-encoded.
            body: The whole body.
            target: The `X-Amz-Target`, if the service has it.

        Raises:
            OSError: There is no answer; `CannotConnectError` if there was no connection.
            Exception: There are no credentials: `NoCredentialsError`, or why they cannot be read.
        """
        answer = await self._post(path, body, target)
        if answer.status in _CLOCK_REFUSED and self._corrects_clock(answer):
            answer.release()
            answer = await self._post(path, body, target)
        return answer

    async def _post(self, path: str, body: bytes, target: str) -> HttpAnswer:
        credentials = self.credentials.current
        if credentials is None:
            raise self.credentials.fault or NoCredentialsError()
        now = self._clock() + self._behind
        headers = self._signer.headers(credentials, body, path=path, target=target, now=now)
        lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
        return await self.connections.ask(path, lines + _UNSIGNED, body)

    def _corrects_clock(self, answer: HttpAnswer) -> bool:
        try:
            there = parsedate_to_datetime(answer.headers.get("date", "")).timestamp()
        except ValueError:
            return False
        behind = there - self._clock()
        if abs(behind - self._behind) < _WRONG_CLOCK_SECONDS:
            return False
        log.warning("aws.clock_corrected", seconds=round(behind))
        self._behind = behind
        return True


async def _resolved(
    session: aioboto3.Session, service: str, region: str | None
) -> tuple[str, str, str]:
    """Region, endpoint and name in signatures; keys keep it from a search for credentials."""
    async with session.client(
        service,
        region_name=region or None,
        aws_access_key_id="unused",
        aws_secret_access_key="unused",  # noqa: S106 no secret
    ) as client:
        meta: Any = client.meta
        return meta.region_name, meta.endpoint_url.rstrip("/"), meta.service_model.signing_name
