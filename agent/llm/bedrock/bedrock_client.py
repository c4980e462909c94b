"""Connections to Bedrock, one set for each process; signed by `agent.aws_requests`.

- A stream that is left early has its connection closed at once: nothing else stops the model.
- `warm` opens connections in advance, without a request.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from urllib.parse import quote

import structlog
from botocore.exceptions import BotoCoreError, NoRegionError  # type: ignore[import-untyped] # ships no types

from agent.aws_requests import AwsRequests
from agent.call.events import ReplyFault
from agent.errors import ModelError
from agent.http_client import CannotConnectError, ClientLimits, HttpAnswer
from agent.llm.option_repair import LearnedOptions
from agent.llm.provider_faults import network_error
from agent.llm.timeouts import WARM_SECONDS
from agent.ports import Count, uncounted
from agent.usecases.model_times import TimeLimits

log = structlog.get_logger(__name__)

_DEFAULT_LIMITS = TimeLimits()
_CHECK_AWS = "Check AWS_PROFILE, AWS_REGION and the files of the AWS configuration."
_SIGN_IN = (
    "Sign in (aws sso login, AWS_PROFILE), or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
)


class BedrockClient:
    """Sends requests; made by `open`."""

    def __init__(self, requests: AwsRequests, learned: LearnedOptions) -> None:
        self.region, self.endpoint = requests.region, requests.endpoint
        self.place = f"bedrock in {self.region}"
        self.learned = learned
        self._requests = requests

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
            limits=ClientLimits(2 * max_calls, limits.connect),
            headers={"Content-Type": "application/json"},
        )
        async with AsyncExitStack() as stack:
            try:
                requests = await stack.enter_async_context(opening)
            except (BotoCoreError, ValueError, OSError) as error:  # its text names settings only
                remedy = "Set AWS_REGION." if isinstance(error, NoRegionError) else _CHECK_AWS
                cause = f"AWS configuration: {str(error).rstrip('.')}"
                raise ModelError(ReplyFault.DENIED, cause, remedy=remedy) from error
            yield cls(requests, LearnedOptions(count))

    async def warm(self, connections: int = 1) -> None:
        """Open connections until so many are idle. Never raises."""
        missing = connections - self._requests.connections.idle(used_within=WARM_SECONDS)
        async with asyncio.TaskGroup() as tasks:
            for _ in range(missing):
                tasks.create_task(self._connect(), name="bedrock warm")

    @asynccontextmanager
    async def converse(self, model_id: str, body: bytes) -> AsyncIterator[HttpAnswer]:
        """The answer to one request; on exit its connection is closed unless it was read out."""
        credentials = self._requests.credentials
        if credentials.current is None:
            cause = "no AWS credentials were found"
            if credentials.fault is not None:
                kind = type(credentials.fault).__name__
                cause = f"the AWS credentials cannot be read ({kind})"
            raise ModelError(ReplyFault.DENIED, cause, remedy=_SIGN_IN)
        path = f"/model/{quote(model_id, safe='-._~')}/converse-stream"
        with network_errors():
            answer = await self._requests.post(path, body)
        try:
            yield answer
        finally:
            answer.release()

    async def _connect(self) -> None:
        try:
            await self._requests.connections.connect()
        except CannotConnectError as error:
            cause = type(error.__cause__).__name__
            log.info("llm.prewarm_failed", provider="bedrock", cause=cause)


@contextmanager
def network_errors() -> Iterator[None]:
    """Raise errors of the network as `ModelError`."""
    try:
        yield
    except OSError as error:
        raise network_error(
            error,
            has_connected=not isinstance(error, CannotConnectError),
            remedy="Check AWS_REGION, and the way from this machine to Bedrock.",
            authorities="AWS_CA_BUNDLE",
        ) from error
