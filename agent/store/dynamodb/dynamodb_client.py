"""The way to DynamoDB: one client of the SDK for the whole process.

Making a client stalls the loop, so there is one. Who repeats what:

- The SDK, in its standard mode, at most twice: connections that fail or are closed, answers that
  do not come in time, statuses 500 to 504, and throttling by any of its names.
- We, until the time of the operation is over, with jitter: what the SDK takes for final. Those
  are `TransactionConflictException` for a single write, and a transaction that was cancelled
  because of another one or of throttling. `table` does the same for keys left unread.

Nothing is repeated in both places. A repeated write may meet its own first attempt; `table` says
how it finds out.

Texts of errors name the operation and the kind of fault. What DynamoDB says further may quote an
item, so it stays in the cause.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from random import random
from typing import Any, Self

import aioboto3  # type: ignore[import-untyped] # ships no types
from aiobotocore.config import AioConfig  # type: ignore[import-untyped] # likewise
from botocore.exceptions import (  # type: ignore[import-untyped] # ships no types
    BotoCoreError,
    ClientError,
)

from agent.errors import StoreError, StoreRefusedError, provider_kind
from agent.store.dynamodb.attributes import Attributes

_KEEP_ALIVE_SECONDS = 120.0
"""Below the 350 s after which NAT gateways forget a connection."""
_ATTEMPTS = 3
_FIRST_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 1.0
_CONDITION = "ConditionalCheckFailed"
_PASSING = frozenset({"TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"})
"""Reasons to cancel a transaction that may be gone the next time."""

FAULTS = (BotoCoreError, ClientError, OSError, RuntimeError, ValueError)
"""What the SDK raises: its own, and what files, programs and sockets do that it asks."""


@dataclass(frozen=True, slots=True)
class DynamoDBTimeouts:
    """How long to wait, in seconds (practice section 12)."""

    connect: float = 1.0
    read: float = 2.0
    """For the answer to one attempt."""
    operation: float = 5.0
    """For everything one method of the store does, repetitions included."""


class ConditionFailedError(Exception):
    """The condition of a write did not hold; never leaves this package."""

    def __init__(self, there: Attributes) -> None:
        super().__init__()
        self.there = there
        """The item that stood against it, if there is one and it was asked for."""


class DynamoDBClient:
    """Calls operations of DynamoDB; made by `open`."""

    def __init__(self, client: Any, stack: AsyncExitStack, patience: DynamoDBTimeouts) -> None:
        self.client = client
        self._stack = stack
        self._patience = patience
        self._is_closed = False

    @classmethod
    async def open(cls, region: str, connections: int, patience: DynamoDBTimeouts) -> Self:
        """A client with the credentials, region and endpoint of every AWS program.

        Args:
            region: Empty = `AWS_DEFAULT_REGION`, or that of the profile.
            connections: The most there may be at once.
            patience: The time limits.

        Raises: What is in `FAULTS`.
        """
        stack = AsyncExitStack()
        config = AioConfig(
            connect_timeout=patience.connect,
            read_timeout=patience.read,
            max_pool_connections=connections,
            parameter_validation=False,  # `attributes` makes no others, and it takes 0.1 ms
            retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
            connector_args={"keepalive_timeout": _KEEP_ALIVE_SECONDS},
        )
        client = await stack.enter_async_context(
            aioboto3.Session().client("dynamodb", region_name=region or None, config=config)
        )
        return cls(client, stack, patience)

    async def close(self) -> None:
        """Close all connections; harmless the second time."""
        self._is_closed = True
        await self._stack.aclose()

    @asynccontextmanager
    async def operation(self) -> AsyncIterator[None]:
        """All that happens inside has one time limit, and raises the errors of the port."""
        if self._is_closed:
            raise StoreError("the table is closed")
        seconds = self._patience.operation
        try:
            async with asyncio.timeout(seconds):
                yield
        except TimeoutError as error:
            raise StoreError(f"the table did not answer within {seconds:g} s") from error

    async def call(self, name: str, **arguments: object) -> Mapping[str, Any]:
        """One operation by its name in the SDK; only inside `operation`, which ends repetitions.

        Raises:
            ConditionFailedError: Nothing was written.
            StoreError: It is refused, or the table cannot be reached.
        """
        repetition = 0
        while True:
            try:
                answer: Mapping[str, Any] = await getattr(self.client, name)(**arguments)
            except ClientError as error:
                _judge(name, error)
            except FAULTS as error:
                kind = type(error).__name__
                raise StoreError(f"the table cannot be reached: {name}: {kind}") from error
            else:
                return answer
            await pause(repetition)
            repetition += 1


async def pause(repetition: int) -> None:
    """Wait before doing something again: twice as long each time, at a random moment."""
    longest = min(_FIRST_PAUSE_SECONDS * 2**repetition, _LONGEST_PAUSE_SECONDS)
    await asyncio.sleep(longest * random())  # noqa: S311 no secret


def _judge(name: str, error: ClientError) -> None:
    """Return if the operation may be repeated at once, raise what it means otherwise."""
    code = provider_kind(error.response["Error"]["Code"])
    match code:
        case "ConditionalCheckFailedException":
            raise ConditionFailedError(error.response.get("Item", {})) from error
        case "TransactionConflictException":
            return
        case "TransactionCanceledException":
            reasons = {
                provider_kind(reason.get("Code", "None"))
                for reason in error.response["CancellationReasons"]
            } - {"None"}
            if _CONDITION in reasons:
                raise ConditionFailedError({}) from error
            if reasons and reasons <= _PASSING:
                return
            code = f"{code} {sorted(reasons)}"
        case "ValidationException":
            raise StoreRefusedError(f"the table refused: {name}: {code}") from error
        case _:
            pass
    raise StoreError(f"the table refused: {name}: {code}") from error
