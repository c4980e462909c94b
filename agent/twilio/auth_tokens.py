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

A process without such a secret does not import the AWS SDK.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from math import inf
from random import uniform
from typing import NamedTuple

import structlog

from agent.errors import AgentError
from agent.ports import Count

log = structlog.get_logger(__name__)

REFRESH_SECONDS = 300.0
"""Between two reads, more or less by a fifth at random, so that tasks do not read together."""
RETRY_SECONDS = 30.0
"""The same after a read that failed."""
EARLY_SECONDS = 10.0
"""Between two reads because a signature or a request fits no known token."""
PENDING, CURRENT, PREVIOUS = "AWSPENDING", "AWSCURRENT", "AWSPREVIOUS"
_JITTER = 0.2


class AuthTokenError(AgentError):
    """The secret with the auth token cannot be read: one line that names setting and secret."""


class SecretVersions(NamedTuple):
    """The token of each version that there is, by its label."""

    tokens: Mapping[str, str]

    @property
    def accepted(self) -> tuple[str, ...]:
        """Each token once, the current one first."""
        stages = (CURRENT, PENDING, PREVIOUS)
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


@asynccontextmanager
async def open_auth_tokens(known: Sequence[str], secret_arn: str) -> AsyncIterator[AuthTokens]:
    """The tokens of the settings, or those of a secret, which is read first.

    Args:
        known: Accepted tokens, the current one first.
        secret_arn: As `token_secret.SecretAddress` reads it; empty = there is no secret.

    Raises:
        AuthTokenError: The secret cannot be read.
    """
    if not secret_arn:
        yield AuthTokens(known)
        return
    from agent.twilio.token_secret import open_secret  # noqa: PLC0415 (see the module)

    async with open_secret(secret_arn) as secret:
        versions = await secret.read_at_start()
        log.info("auth_token.read", versions=sorted(versions.tokens))
        yield AuthTokens(versions.accepted, secret.read)
