"""Whether this process can use its table, asked when it starts; and how a table is made.

A process may not describe its table: that permission is not needed for serving. So the question is
put by reading what nobody has written: an item of a key that is none of ours, and one page of the
index. Whatever is wrong with name, region, credentials, permissions, keys or index shows there.
The answer is one line for whoever starts the service. A table that only cannot be reached at the
moment stops the start, too: the orchestrator tries again, and takes no call meanwhile.
"""

from __future__ import annotations

from typing import Any

from botocore.exceptions import (  # type: ignore[import-untyped] # ships no types
    BotoCoreError,
    ClientError,
    EndpointConnectionError,
    HTTPClientError,
    NoCredentialsError,
    NoRegionError,
)

from agent.errors import StoreError
from agent.store.dynamodb.dynamodb_client import FAULTS, DynamoDBClient, DynamoDBTimeouts
from agent.store.schema import INDEX, TABLE, TTL_ATTRIBUTE

_NOBODY = {"S": "start-up"}
_REFUSED_CREDENTIALS = frozenset(
    {
        "ExpiredTokenException", "IncompleteSignatureException", "InvalidClientTokenId",
        "InvalidSignatureException", "MissingAuthenticationTokenException",
        "UnrecognizedClientException",
    }
)  # fmt: skip
_MAKING = DynamoDBTimeouts(connect=1.0, read=10.0, operation=120.0)
_LOOK_SECONDS = 1
_LOOKS = 100


async def check(name: str, connection: DynamoDBClient) -> None:
    """Read an item and the index.

    Raises:
        StoreError: It cannot be done; one line that begins with `TABLE_NAME`.
    """
    client, region = connection.client, connection.client.meta.region_name
    wrong = "its keys are not pk and sk, both text"
    try:
        async with connection.operation():
            await client.get_item(
                TableName=name, Key={"pk": _NOBODY, "sk": _NOBODY}, ConsistentRead=True
            )
            wrong = f"it has no index {INDEX} on pk1 and sk1, both text"
            await client.query(
                TableName=name,
                IndexName=INDEX,
                KeyConditionExpression="pk1 = :nobody AND sk1 = :nobody",
                ExpressionAttributeValues={":nobody": _NOBODY},
                Limit=1,
            )
    except (StoreError, *FAULTS) as error:
        raise unusable(name, region, error, wrong) from error


def unusable(name: str, region: str, error: Exception, wrong: str = "") -> StoreError:
    """What is wrong with a table, in one line.

    Args:
        name: Of the table.
        region: Where it was looked for.
        error: What came of looking.
        wrong: What it means if DynamoDB calls the request invalid.
    """
    fault = " ".join(_fault(error, wrong).split())
    return StoreError(f"TABLE_NAME: table {name} in {region or 'no region'}: {fault}")


def _fault(error: Exception, wrong: str) -> str:
    match error:
        case ClientError():
            return _refusal(error, wrong)
        case NoRegionError():
            return "AWS_REGION must be set"
        case NoCredentialsError():
            return "no AWS credentials were found"
        case EndpointConnectionError():
            return str(error)
        case HTTPClientError():
            return f"it cannot be reached now: {type(error).__name__}"
        case StoreError() | BotoCoreError() | ValueError():
            return str(error)
        case _:
            return type(error).__name__


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
    """Make a table as the template makes it; for local engines, where nobody deploys one.

    Returns:
        Whether it was missing. In either case it is there and complete afterwards.

    Raises:
        StoreError: It cannot be made; one line that begins with `TABLE_NAME`.
    """
    try:
        connection = await DynamoDBClient.open(region, 1, _MAKING)
    except FAULTS as error:
        raise unusable(name, region, error) from error
    try:
        async with connection.operation():
            return await _create(name, connection.client)
    except (StoreError, *FAULTS) as error:
        raise unusable(name, connection.client.meta.region_name, error, str(error)) from error
    finally:
        await connection.close()


async def _create(name: str, client: Any) -> bool:
    is_missing = True
    try:
        await client.create_table(TableName=name, **TABLE)
    except client.exceptions.ResourceInUseException:
        is_missing = False
    await client.get_waiter("table_exists").wait(
        TableName=name, WaiterConfig={"Delay": _LOOK_SECONDS, "MaxAttempts": _LOOKS}
    )
    told = await client.describe_time_to_live(TableName=name)
    if told["TimeToLiveDescription"]["TimeToLiveStatus"] not in {"ENABLED", "ENABLING"}:
        await client.update_time_to_live(
            TableName=name,
            TimeToLiveSpecification={"Enabled": True, "AttributeName": TTL_ATTRIBUTE},
        )
    return is_missing
