"""Operations of DynamoDB for the whole process; the table's schema, its check, its creation.

One table holds everything. An item is found by its owner (`pk`) and its kind (`sk`). Items that are
searched by kind also carry `pk1` and `sk1`, and only those are in the index. The names are those of
the predecessor: both services read the same table. The CloudFormation template creates it.

Requests are JSON 1.0 by `agent.aws_requests`, errors are those of the SDK, whose client only
creates tables. Repeated are failed connections, late and damaged answers, statuses 500 to 504 and
throttling, at most twice and not while most requests fail, and write transactions that conflict or
are throttled. DynamoDB's own text may quote an item, so it stays in the cause. A process may have
no permission to describe its table: the check reads an item and a page of the index with keys that
no item has.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from random import random
from typing import Any, Self
from zlib import crc32

import aioboto3  # type: ignore[import-untyped] # ships no types
import msgspec
from aiobotocore.config import AioConfig  # type: ignore[import-untyped] # likewise
from botocore.exceptions import (  # type: ignore[import-untyped] # ships no types
    BotoCoreError,
    ClientError,
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    HTTPClientError,
    NoCredentialsError,
    NoRegionError,
    ReadTimeoutError,
    SSLError,
)
from botocore.exceptions import ConnectionError as SdkConnectionError

from agent.aws_requests import AwsRequests
from agent.errors import StoreError, StoreRefusedError, provider_kind
from agent.http_client import CannotConnectError, ClientLimits

Attributes = dict[str, dict[str, object]]
"""An item in the form of DynamoDB's low-level API: `{"pk": {"S": …}, …}`."""

INDEX = "index-1-full"
ACTIONS = ("BatchGetItem", "GetItem", "PutItem", "Query", "UpdateItem")
"""Permissions of the service on the table; `Query` also on the index."""
MOVE_ACTION = "DeleteItem"
"""The same, but only inside a transaction, which writes elsewhere what it deletes."""
TTL_ATTRIBUTE = "expireAt"


def _keys(partition: str, sort: str) -> list[dict[str, str]]:
    return [
        {"AttributeName": partition, "KeyType": "HASH"},
        {"AttributeName": sort, "KeyType": "RANGE"},
    ]


_PROJECTION = {"ProjectionType": "ALL"}
TABLE: dict[str, Any] = {
    "AttributeDefinitions": [
        {"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk", "pk1", "sk1")
    ],
    "KeySchema": _keys("pk", "sk"),
    "GlobalSecondaryIndexes": [
        {"IndexName": INDEX, "KeySchema": _keys("pk1", "sk1"), "Projection": _PROJECTION}
    ],
    "BillingMode": "PAY_PER_REQUEST",
}
"""Arguments of `CreateTable` but the name."""

_OK = 200
_ATTEMPTS = 3
_SPARE, _COST = 500, 5
"""As in the SDK: what a process may spend on repetitions, at this cost; a success earns 1."""
_PASSING_STATUSES = frozenset({500, 502, 503, 504})
_THROTTLED = frozenset(
    {
        "ProvisionedThroughputExceededException", "RequestLimitExceeded", "ThrottlingException",
        "TransactionInProgressException",
    }
)  # fmt: skip
_decoded = msgspec.json.Decoder(dict[str, Any]).decode
_FIRST_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 1.0
_PASSING = frozenset({"TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"})
"""Reasons of a cancelled transaction that may pass."""

FAULTS = (BotoCoreError, ClientError, OSError, RuntimeError, ValueError)
"""What the SDK raises: its own errors, and those of files, programs and sockets it uses."""


@dataclass(frozen=True, slots=True)
class DynamoDBTimeouts:
    """Seconds to connect, for the answer to one attempt, and for one method with repetitions."""

    connect: float = 1.0
    read: float = 2.0
    operation: float = 5.0


_CREATION_SECONDS = 120.0
_NO_KEY = {"S": "start-up"}
_REFUSED_CREDENTIALS = frozenset(
    {
        "ExpiredTokenException", "IncompleteSignatureException", "InvalidClientTokenId",
        "InvalidSignatureException", "MissingAuthenticationTokenException",
        "UnrecognizedClientException",
    }
)  # fmt: skip


class ConditionFailedError(Exception):
    """The condition of a write did not hold; `there` is the item in the way, if asked for."""

    def __init__(self, there: Attributes) -> None:
        super().__init__()
        self.there = there


@dataclass(slots=True)
class DynamoDBClient:
    """Calls operations of DynamoDB; made by `open`."""

    requests: AwsRequests
    _stack: AsyncExitStack
    _timeouts: DynamoDBTimeouts
    _is_closed: bool = False
    _spare: int = _SPARE

    @classmethod
    async def open(
        cls, name: str, region: str, connections: int, timeouts: DynamoDBTimeouts
    ) -> Self:
        """Open a client as the SDK finds its credentials; raises the `StoreError` of `unusable`."""
        stack = AsyncExitStack()
        opening = AwsRequests.open(
            "dynamodb",
            region=region,
            limits=ClientLimits(connections, timeouts.connect, timeouts.read),
            headers={"Content-Type": "application/x-amz-json-1.0"},
        )
        try:
            requests = await stack.enter_async_context(opening)
        except FAULTS as error:
            raise unusable(name, region, error) from error
        return cls(requests, stack, timeouts)

    async def close(self) -> None:
        """Close all connections; harmless the second time."""
        self._is_closed = True
        await self._stack.aclose()

    @asynccontextmanager
    async def operation(self) -> AsyncIterator[None]:
        """Give all calls inside one time limit and the errors of the port."""
        if self._is_closed:
            raise StoreError("the table is closed")
        seconds = self._timeouts.operation
        try:
            async with asyncio.timeout(seconds):
                yield
        except TimeoutError as error:
            raise StoreError(f"the table did not answer within {seconds:g} s") from error

    async def call(self, name: str, **arguments: object) -> Mapping[str, Any]:
        """Call an operation by its SDK name; only inside `operation`, which ends repetitions."""
        repetition = 0
        while True:
            try:
                return await self.ask(name, **arguments)
            except ClientError as error:
                _judge(name, error)
            except FAULTS as error:
                kind = type(error).__name__
                raise StoreError(f"the table cannot be reached: {name}: {kind}") from error
            await pause(repetition)
            repetition += 1

    async def ask(self, name: str, **arguments: object) -> Mapping[str, Any]:
        """The same, with at most two repetitions and the errors of the SDK."""
        operation = name.title().replace("_", "")
        body = msgspec.json.encode(arguments)
        repetitions = 0
        while True:
            try:
                answer = await self._answer(operation, body)
            except (ClientError, HTTPClientError, SdkConnectionError) as error:
                is_last = repetitions == _ATTEMPTS - 1 or self._spare < _COST
                if is_last or not _may_pass(error):
                    raise
            else:
                self._spare = min(self._spare + (repetitions * _COST or 1), _SPARE)
                return answer
            self._spare -= _COST
            await pause(repetitions)
            repetitions += 1

    async def _answer(self, operation: str, body: bytes) -> Mapping[str, Any]:
        try:
            answer = await self.requests.post("/", body, f"DynamoDB_20120810.{operation}")
            try:
                content = await answer.read()
            finally:
                answer.release()
        except OSError as error:
            raise _network_error(f"{self.requests.endpoint}/", error) from error
        checksum = answer.headers.get("x-amz-crc32")
        if checksum is not None and checksum != str(crc32(content)):
            raise ConnectionClosedError(endpoint_url=self.requests.endpoint)
        if answer.status != _OK:
            raise _refused(operation, answer.status, content)
        return _decoded(content)


def _network_error(url: str, error: OSError) -> BotoCoreError:
    """The error as the SDK has it."""
    match error, error.__cause__:
        case CannotConnectError(), TimeoutError():
            return ConnectTimeoutError(endpoint_url=url)
        case CannotConnectError(), ssl.SSLError() as cause:
            return SSLError(endpoint_url=url, error=cause)
        case CannotConnectError(), _:
            return EndpointConnectionError(endpoint_url=url)
        case TimeoutError(), _:
            return ReadTimeoutError(endpoint_url=url)
        case _:
            return ConnectionClosedError(endpoint_url=url)


def _refused(operation: str, status: int, content: bytes) -> ClientError:
    try:
        fault = _decoded(content)
    except ValueError:  # a page of a load balancer
        fault = {}
    code = str(fault.get("__type", status)).rpartition("#")[2].partition(":")[0]
    error = {"Code": code, "Message": str(fault.get("message") or fault.get("Message") or "")}
    metadata = {"HTTPStatusCode": status}
    return ClientError({**fault, "Error": error, "ResponseMetadata": metadata}, operation)


def _may_pass(error: BotoCoreError | ClientError) -> bool:
    if not isinstance(error, ClientError):
        return True
    status = error.response["ResponseMetadata"]["HTTPStatusCode"]
    return status in _PASSING_STATUSES or error.response["Error"]["Code"] in _THROTTLED


async def pause(repetition: int) -> None:
    """Wait before a repetition: up to twice as long each time, at random."""
    longest = min(_FIRST_PAUSE_SECONDS * 2**repetition, _LONGEST_PAUSE_SECONDS)
    await asyncio.sleep(longest * random())  # noqa: S311 no secret


def _judge(name: str, error: ClientError) -> None:
    """Return if the operation may be repeated, otherwise raise the error of the port."""
    code = provider_kind(error.response["Error"]["Code"])
    match code:
        case "ConditionalCheckFailedException":
            raise ConditionFailedError(error.response.get("Item", {})) from error
        case "TransactionConflictException":
            return
        case "TransactionCanceledException":
            cancelled = error.response.get("CancellationReasons", [])
            reasons = {provider_kind(each.get("Code", "None")) for each in cancelled} - {"None"}
            if "ConditionalCheckFailed" in reasons:
                raise ConditionFailedError({}) from error
            if reasons and reasons <= _PASSING:
                return
            code = f"{code} {sorted(reasons)}"
        case "ValidationException":
            raise StoreRefusedError(f"the table refused: {name}: {code}") from error
        case _:
            pass
    raise StoreError(f"the table refused: {name}: {code}") from error


async def check(name: str, connection: DynamoDBClient) -> None:
    """Read an item and the index of a table; raises the `StoreError` of `unusable`."""
    wrong = "its keys are not pk and sk, both text"
    try:
        async with connection.operation():
            key = {"pk": _NO_KEY, "sk": _NO_KEY}
            await connection.ask("get_item", TableName=name, Key=key, ConsistentRead=True)
            wrong = f"it has no index {INDEX} on pk1 and sk1, both text"
            await connection.ask(
                "query",
                TableName=name,
                IndexName=INDEX,
                KeyConditionExpression="pk1 = :key AND sk1 = :key",
                ExpressionAttributeValues={":key": _NO_KEY},
                Limit=1,
            )
    except (StoreError, *FAULTS) as error:
        raise unusable(name, connection.requests.region, error, wrong) from error


def unusable(name: str, region: str, error: Exception, wrong: str = "") -> StoreError:
    """The one-line error of an unusable table; `wrong` is the cause if a request was invalid."""
    match error:
        case ClientError():
            fault = _refusal(error, wrong)
        case NoRegionError():
            fault = "AWS_REGION must be set"
        case NoCredentialsError():
            fault = "no AWS credentials were found"
        case HTTPClientError():
            fault = f"it cannot be reached now: {type(error).__name__}"
        case StoreError() | BotoCoreError() | ValueError() | PermissionError():
            fault = str(error)
        case _:
            fault = type(error).__name__
    where = region or "no region"
    return StoreError(f"TABLE_NAME: table {name} in {where}: {' '.join(fault.split())}")


def _refusal(error: ClientError, wrong: str) -> str:
    operation = error.operation_name
    match error.response["Error"]["Code"]:
        case "ResourceNotFoundException" if operation == "GetItem":
            return "there is no such table"
        case "ValidationException" | "ResourceNotFoundException":
            return wrong
        case "AccessDeniedException":
            return f"these credentials have no permission for {operation}"
        case code if code in _REFUSED_CREDENTIALS:
            return f"the credentials are refused: {code}"
        case code:
            return f"it cannot be used now: {operation}: {code}"


async def create_table(name: str, *, region: str = "") -> bool:
    """Create a table like the CloudFormation template, for local engines; false if it exists."""
    config = AioConfig(connect_timeout=1, read_timeout=10, retries={"mode": "standard"})
    where = region
    try:
        async with (
            asyncio.timeout(_CREATION_SECONDS),
            aioboto3.Session().client(
                "dynamodb", region_name=region or None, config=config
            ) as client,
        ):
            where = client.meta.region_name
            is_missing = True
            try:
                await client.create_table(TableName=name, **TABLE)
            except client.exceptions.ResourceInUseException:
                is_missing = False
            polling = {"Delay": 1, "MaxAttempts": 100}
            await client.get_waiter("table_exists").wait(TableName=name, WaiterConfig=polling)
            ttl = await client.describe_time_to_live(TableName=name)
            if ttl["TimeToLiveDescription"]["TimeToLiveStatus"] not in {"ENABLED", "ENABLING"}:
                wanted = {"Enabled": True, "AttributeName": TTL_ATTRIBUTE}
                await client.update_time_to_live(TableName=name, TimeToLiveSpecification=wanted)
            return is_missing
    except FAULTS as error:
        raise unusable(name, where, error, str(error)) from error
