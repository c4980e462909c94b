"""Connections to Bedrock, one set for each process; signed by `agent.aws_requests`.

- A stream that is left early has its connection closed at once: nothing else stops the model.
- `warm` opens a connection with an unsigned `GET /`, which Bedrock refuses and does not charge.
  Rejected: connecting without a request by the internals of aiohttp's connector, as they change.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from urllib.parse import quote

import aiohttp
import structlog
from botocore.exceptions import BotoCoreError, NoRegionError  # type: ignore[import-untyped] # ships no types
from yarl import URL

from agent.aws_requests import AwsRequests
from agent.call.events import ReplyFault
from agent.errors import ModelError
from agent.llm.option_repair import LearnedOptions
from agent.llm.provider_faults import network_error
from agent.llm.timeouts import WARM_SECONDS, TimeLimits
from agent.ports import Count, uncounted

log = structlog.get_logger(__name__)

_DEFAULT_LIMITS = TimeLimits()
_CHECK_AWS = "Check AWS_PROFILE, AWS_REGION and the files of the AWS configuration."
_SIGN_IN = (
    "Sign in (aws sso login, AWS_PROFILE), or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
)


class BedrockClient:
    """Sends requests; made by `open`."""

    def __init__(self, requests: AwsRequests, limits: TimeLimits, learned: LearnedOptions) -> None:
        self.region, self.endpoint = requests.region, requests.endpoint
        self.place = f"bedrock in {self.region}"
        self.learned = learned
        self._requests = requests
        self._limits = limits
        self._idle_since: deque[float] = deque()  # of the pool, which uses the oldest first

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
        opening = AwsRequests.open(
            "bedrock-runtime",
            region=os.environ.get("AWS_REGION"),
            connections=2 * max_calls,
            limits=aiohttp.ClientTimeout(None, connect=limits.connect, sock_connect=limits.connect),
            headers={"Content-Type": "application/json"},
        )
        async with AsyncExitStack() as stack:
            try:
                requests = await stack.enter_async_context(opening)
            except (BotoCoreError, ValueError, OSError) as error:  # its text names settings only
                remedy = "Set AWS_REGION." if isinstance(error, NoRegionError) else _CHECK_AWS
                cause = f"AWS configuration: {str(error).rstrip('.')}"
                raise ModelError(ReplyFault.DENIED, cause, remedy=remedy) from error
            yield cls(requests, limits, LearnedOptions(count))

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
        credentials = self._requests.credentials
        if credentials.current is None:
            cause = "no AWS credentials were found"
            if credentials.fault is not None:
                kind = type(credentials.fault).__name__
                cause = f"the AWS credentials cannot be read ({kind})"
            raise ModelError(ReplyFault.DENIED, cause, remedy=_SIGN_IN)
        path = f"/model/{quote(model_id, safe='-._~')}/converse-stream"
        self._note_use()
        with network_errors():
            response = await self._requests.post(path, body)
        try:
            yield response
        finally:
            self._note_idle(response)
            response.close()

    async def _connect(self) -> None:
        self._note_use()
        try:
            async with (
                asyncio.timeout(self._limits.connect + self._limits.first_event),
                self._requests.http.get(
                    URL(self.endpoint + "/"), allow_redirects=False
                ) as response,
            ):
                await response.read()
                self._note_idle(response)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            log.info("llm.prewarm_failed", provider="bedrock", cause=type(error).__name__)

    def _note_idle(self, response: aiohttp.ClientResponse) -> None:
        is_kept = response.headers.get("Connection", "").lower() != "close"
        if response.content.at_eof() and is_kept:
            self._idle_since.append(asyncio.get_running_loop().time())

    def _note_use(self) -> None:
        if self._idle_since:
            self._idle_since.popleft()


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
