"""The DynamoDB that tests use: what it refuses, and what a restart keeps.

Whatever else the adapter relies on is in `tests/store/test_contract.py`, which meets this engine.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aioboto3  # type: ignore[import-untyped]  # it ships no types
import pytest
from botocore.exceptions import ClientError  # type: ignore[import-untyped]  # likewise

from agent.store.dynamodb_client import INDEX, TTL_ATTRIBUTE
from tests.dynamodb import REGION, Engine


def _item(pk: str, sk: str, **more: str) -> dict[str, dict[str, Any]]:
    return {name: {"S": value} for name, value in {"pk": pk, "sk": sk, **more}.items()}


@pytest.fixture
async def client(table_name: str) -> AsyncIterator[Any]:
    """A client as the service makes it: the endpoint comes from the environment."""
    assert table_name
    async with aioboto3.Session().client("dynamodb", region_name=REGION) as opened:
        yield opened


async def test_what_dynamodb_refuses_is_refused(client: Any, table_name: str) -> None:
    """An empty key, a condition that fails, and a transaction of which one part fails."""
    first = _item("a", "one", by="first")
    await client.put_item(TableName=table_name, Item=first)
    absent = {"TableName": table_name, "ConditionExpression": "attribute_not_exists(pk)"}
    both = [
        {"Put": {**absent, "Item": first}},
        {"Put": {"TableName": table_name, "Item": _item("a", "two")}},
    ]

    with pytest.raises(ClientError, match="ValidationException"):
        await client.put_item(TableName=table_name, Item=_item("", "one"))
    with pytest.raises(ClientError, match="ConditionalCheckFailedException") as failed:
        await client.put_item(
            **absent,
            Item=_item("a", "one", by="second"),
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )
    with pytest.raises(ClientError, match="TransactionCanceledException") as cancelled:
        await client.transact_write_items(TransactItems=both)

    assert failed.value.response["Item"] == first
    reasons = [reason["Code"] for reason in cancelled.value.response["CancellationReasons"]]
    assert reasons == ["ConditionalCheckFailed", "None"]
    assert (await client.scan(TableName=table_name))["Items"] == [first]


async def test_restart_keeps_table_index_and_items(
    client: Any, table_name: str, dynamodb: Engine
) -> None:
    """Twice, and also when another table is deleted meanwhile."""
    item = _item("a", "one", pk1="kind", sk1="x")
    await client.put_item(TableName=table_name, Item=item)

    for _ in range(2):
        dynamodb.delete_table(dynamodb.create_table())
        dynamodb.stop()
        dynamodb.start()

    found = await client.query(
        TableName=table_name,
        IndexName=INDEX,
        KeyConditionExpression="pk1 = :pk1",
        ExpressionAttributeValues={":pk1": {"S": "kind"}},
    )
    lifetime = await client.describe_time_to_live(TableName=table_name)
    assert found["Items"] == [item]
    assert lifetime["TimeToLiveDescription"]["AttributeName"] == TTL_ATTRIBUTE
