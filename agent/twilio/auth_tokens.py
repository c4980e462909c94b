"""The auth tokens of an account, and those of a secret of AWS Secrets Manager, read while running.

Twilio signs with the primary auth token; a promotion makes the secondary one the primary and ends
the old one (https://www.twilio.com/docs/iam/api/authtoken). While a secret is rotated its versions
have staging labels: a new one is `AWSPENDING`, then `AWSCURRENT`, then `AWSPREVIOUS`
(https://docs.aws.amazon.com/secretsmanager/latest/userguide/whats-in-a-secret.html).

- All three are accepted, so the promotion and the labels may move in either order.
- Versions are read in the order in which a token moves through them, so none is missed that moves
  while they are read. A version whose label was taken away is forgotten.
- They are read every few minutes, and early when no known token fits: at most once in
  `EARLY_SECONDS`, however many requests are forged. Those that come meanwhile wait for it.
- A read that fails changes nothing: it is logged, counted, and soon repeated.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, suppress
from math import inf
from random import uniform
from typing import Any, NamedTuple

import msgspec
import structlog

from agent.aws_requests import AWS_FAULTS, AwsRequests
from agent.errors import AgentError, provider_kind
from agent.http_client import ClientLimits
from agent.ports import Count

log = structlog.get_logger(__name__)

VARIABLE = "TWILIO_AUTH_TOKEN_SECRET_ARN"
REFRESH_SECONDS = 300.0
"""Between two reads, more or less by a fifth at random, so that tasks do not read together."""
RETRY_SECONDS = 30.0
"""The same after a read that failed."""
EARLY_SECONDS = 10.0
"""Between two reads because a signature or a request fits no known token."""
READ_SECONDS = 4.0
"""For all versions together; shorter than Twilio's 15 s for a webhook."""
_PENDING, _CURRENT, _PREVIOUS = "AWSPENDING", "AWSCURRENT", "AWSPREVIOUS"
_JITTER = 0.2
_READS_AT_START = 3
_PAUSE_SECONDS = 1.0
_LIMITS = ClientLimits(most=1, connect_seconds=1.0, read_seconds=2.0)
_JSON = {"Content-Type": "application/x-amz-json-1.1"}
_OK = 200
_REMEDIES = {
    "AccessDeniedException": (
        "no permission for secretsmanager:GetSecretValue, or for kms:Decrypt with its key"
    ),
    "DecryptionFailure": "its key cannot be used; kms:Decrypt is needed",
    "ResourceNotFoundException": "there is no such secret, or it has no value",
}


class AuthTokenError(AgentError):
    """The secret with the auth token cannot be read: one line that names setting and secret."""


class SecretVersions(NamedTuple):
    """The token of each version that there is, by its label."""

    tokens: Mapping[str, str]

    @property
    def accepted(self) -> tuple[str, ...]:
        """Each token once, the current one first."""
        stages = (_CURRENT, _PENDING, _PREVIOUS)
        return tuple(dict.fromkeys(self.tokens[it] for it in stages if it in self.tokens))


Read = Callable[[], Awaitable[SecretVersions]]
"""Raises `AuthTokenError`."""


class AuthTokens:
    """The tokens that are accepted, the current one first; renewed while `keep` runs.

    Args:
        known: From the settings, or as they were read first; may be empty.
        read: Reads them again; None = they do not change.
    """

    def __init__(self, known: Sequence[str] = (), read: Read | None = None) -> None:
        self.known = tuple(known)
        self._read = read
        self._wanted, self._renewed = asyncio.Event(), asyncio.Event()
        self._early_from = inf  # seconds of the loop; without `keep` there is no early read

    async def accept(self, is_right: Callable[[str], bool]) -> bool:
        """Whether a token is right, perhaps one that an early read finds."""
        async with aclosing(self.candidates()) as candidates:
            async for token in candidates:
                if is_right(token):
                    return True
        return False

    async def candidates(self) -> AsyncGenerator[str, None]:
        """Each known token, then those an early read finds, if one is allowed now."""
        known = self.known
        for token in known:
            yield token
        await self._read_early()
        for token in self.known:
            if token not in known:
                yield token

    async def keep(self, count: Count) -> None:
        """Read the versions again and again until cancelled; ends at once without a secret."""
        if self._read is None:
            return
        self._early_from, pause = 0.0, REFRESH_SECONDS
        try:
            while True:
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause * uniform(1 - _JITTER, 1 + _JITTER)):  # noqa: S311 no secret
                        await self._wanted.wait()
                is_read = await self._refresh(self._read)
                count("agent_auth_token_reads_total", outcome="read" if is_read else "failed")
                pause = REFRESH_SECONDS if is_read else RETRY_SECONDS
                self._release()
        finally:
            self._early_from = inf
            self._release()

    async def _refresh(self, read: Read) -> bool:
        try:
            versions = await read()
        except AuthTokenError as error:
            log.error("auth_token.read_failed", fault=str(error))
            return False
        if self.known != versions.accepted:
            log.info("auth_token.changed", versions=sorted(versions.tokens))
            self.known = versions.accepted
        return True

    async def _read_early(self) -> None:
        now = asyncio.get_running_loop().time()
        if now >= self._early_from:
            self._early_from = now + EARLY_SECONDS
            self._wanted.set()
        if self._wanted.is_set():
            await self._renewed.wait()

    def _release(self) -> None:
        """Let all go on that wait for a read."""
        self._wanted.clear()
        self._renewed.set()
        self._renewed.clear()


class SecretAddress(NamedTuple):
    """Where the token is, as `ValueFrom` of ECS says it: the ARN of a secret, perhaps a JSON key.

    https://docs.aws.amazon.com/AmazonECS/latest/developerguide/secrets-envvar-secrets-manager.html
    """

    arn: str
    region: str
    json_key: str
    """Empty = the whole text of the secret."""

    @classmethod
    def read(cls, text: str) -> SecretAddress:
        """From `arn:…:secret:NAME` or `arn:…:secret:NAME:KEY::`, which has been checked."""
        parts = text.split(":")
        return cls(":".join(parts[:7]), parts[3], ":".join(parts[7:]).removesuffix("::"))

    def token_in(self, text: object) -> str:
        """The token in the text of a version; empty if there is none."""
        found = text
        if self.json_key:
            try:
                found = msgspec.json.decode(str(text)).get(self.json_key)
            except (msgspec.DecodeError, AttributeError):  # not JSON, or no object
                found = ""
        return found.strip() if isinstance(found, str) else ""


class TokenSecret:
    """Reads the versions of a secret."""

    def __init__(self, address: SecretAddress, requests: AwsRequests) -> None:
        self._address = address
        self._requests = requests

    async def read(self) -> SecretVersions:
        """All versions; raises `AuthTokenError`, also if the current one has no token.

        A pending or previous version without a token is left out.
        """
        found = dict[str, str]()
        try:
            async with asyncio.timeout(READ_SECONDS):
                for stage in (_PENDING, _CURRENT, _PREVIOUS):
                    if token := await self._token(stage):
                        found[stage] = token
        except AWS_FAULTS as error:
            raise self._error(f"it cannot be reached: {type(error).__name__}") from error
        if _CURRENT not in found:
            key = self._address.json_key
            raise self._error(f"it has no token{f' under the key {key}' if key else ''}")
        return SecretVersions(found)

    async def read_at_start(self) -> SecretVersions:
        """The same, tried a few times: a new permission or network may take seconds."""
        for _ in range(_READS_AT_START - 1):
            try:
                return await self.read()
            except AuthTokenError as error:
                log.warning("auth_token.read_failed", fault=str(error))
                await asyncio.sleep(_PAUSE_SECONDS)
        return await self.read()

    async def _token(self, stage: str) -> str:
        asked = {"SecretId": self._address.arn, "VersionStage": stage}
        body = msgspec.json.encode(asked)
        answer = await self._requests.post("/", body, "secretsmanager.GetSecretValue")
        try:
            text = await answer.read()
        finally:
            answer.release()
        try:
            content: Any = msgspec.json.decode(text)
            kind = str(content.get("__type", "")).rpartition("#")[2]
        except (msgspec.DecodeError, AttributeError) as error:  # a page of a proxy
            fault = f"the answer is not of Secrets Manager: status {answer.status}"
            raise self._error(fault) from error
        if answer.status == _OK:
            return self._address.token_in(content.get("SecretString"))
        if kind == "ResourceNotFoundException" and stage != _CURRENT:
            return ""
        fault = _REMEDIES.get(kind, f"{provider_kind(kind)}, status {answer.status}")
        raise self._error(f"{stage}: {fault}")

    def _error(self, fault: str) -> AuthTokenError:
        return AuthTokenError(f"{VARIABLE}: {self._address.arn}: {fault}")


@asynccontextmanager
async def open_auth_tokens(known: Sequence[str], secret_arn: str) -> AsyncIterator[AuthTokens]:
    """The tokens of the settings, or those of a secret, which is read first.

    Args:
        known: Accepted tokens, the current one first.
        secret_arn: As `SecretAddress.read` takes it; empty = there is no secret.

    Raises:
        AuthTokenError: The secret cannot be read.
    """
    if not secret_arn:
        yield AuthTokens(known)
        return
    address = SecretAddress.read(secret_arn)
    opening = AwsRequests.open(
        "secretsmanager", region=address.region, limits=_LIMITS, headers=_JSON
    )
    async with AsyncExitStack() as stack:
        try:
            requests = await stack.enter_async_context(opening)
        except AWS_FAULTS as error:  # its text names settings only
            raise AuthTokenError(f"{VARIABLE}: AWS configuration: {error}") from error
        secret = TokenSecret(address, requests)
        versions = await secret.read_at_start()
        log.info("auth_token.read", versions=sorted(versions.tokens))
        yield AuthTokens(versions.accepted, secret.read)
