"""The DynamoDB that tests use is one: what the adapter relies on, and what a restart keeps."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aioboto3  # type: ignore[import-untyped]  # it ships no types
import pytest
from botocore.exceptions import ClientError  # type: ignore[import-untyped]  # likewise

from agent.store.dynamodb_client import INDEX, TTL_ATTRIBUTE
from tests.dynamodb import REGION, Engine

Item = dict[str, dict[str, Any]]


def _item(pk: str, sk: str, **more: str) -> Item:
    return {name: {"S": value} for name, value in {"pk": pk, "sk": sk, **more}.items()}


def _code(failure: pytest.ExceptionInfo[ClientError]) -> str:
    return str(failure.value.response["Error"]["Code"])


@pytest.fixture
async def client(table_name: str) -> AsyncIterator[Any]:
    """A client as the service makes it: the endpoint comes from the environment."""
    assert table_name
    async with aioboto3.Session().client("dynamodb", region_name=REGION) as opened:
        yield opened


async def test_a_table_is_as_the_schema_says(client: Any, table_name: str) -> None:
    """Keys, the index with whole items, and items that may expire."""
    table = (await client.describe_table(TableName=table_name))["Table"]
    lifetime = await client.describe_time_to_live(TableName=table_name)

    assert [(key["AttributeName"], key["KeyType"]) for key in table["KeySchema"]] == [
        ("pk", "HASH"),
        ("sk", "RANGE"),
    ]
    (index,) = table["GlobalSecondaryIndexes"]
    assert (index["IndexName"], index["Projection"]) == (INDEX, {"ProjectionType": "ALL"})
    assert lifetime["TimeToLiveDescription"]["AttributeName"] == TTL_ATTRIBUTE


async def test_what_was_put_is_got_and_gone_when_deleted(client: Any, table_name: str) -> None:
    """Text in any script and numbers of 38 digits come back as put."""
    item = _item("+15550100001", "profile", name="Große Pizza 🍕")
    item["total"] = {"N": "12345678901234567890123456789012345678"}
    key = _item("+15550100001", "profile")

    await client.put_item(TableName=table_name, Item=item)
    got = await client.get_item(TableName=table_name, Key=key, ConsistentRead=True)
    await client.delete_item(TableName=table_name, Key=key)
    after = await client.get_item(TableName=table_name, Key=key, ConsistentRead=True)

    assert got["Item"] == item
    assert "Item" not in after


async def test_a_condition_that_fails_writes_nothing_and_gives_the_item(
    client: Any, table_name: str
) -> None:
    """The second of two conditional puts learns what is there."""
    first = _item("a", "one", by="first")
    await client.put_item(TableName=table_name, Item=first)

    with pytest.raises(ClientError) as failure:
        await client.put_item(
            TableName=table_name,
            Item=_item("a", "one", by="second"),
            ConditionExpression="attribute_not_exists(pk)",
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )

    assert _code(failure) == "ConditionalCheckFailedException"
    assert failure.value.response["Item"] == first


async def test_the_index_has_whole_items_in_the_order_of_bytes(
    client: Any, table_name: str
) -> None:
    """An emoji comes after the last letter of the basic plane, as in UTF-8."""
    for sk1 in ("😀", "\uffee", "a"):
        item = _item(f"of {sk1}", "x", pk1="kind", sk1=sk1, more="whole")
        await client.put_item(TableName=table_name, Item=item)
    await client.put_item(TableName=table_name, Item=_item("b", "x", pk1="kind"))

    found = await client.query(
        TableName=table_name,
        IndexName=INDEX,
        KeyConditionExpression="pk1 = :pk1",
        ExpressionAttributeValues={":pk1": {"S": "kind"}},
    )

    assert [(item["sk1"]["S"], item["more"]["S"]) for item in found["Items"]] == [
        ("a", "whole"),
        ("\uffee", "whole"),
        ("😀", "whole"),
    ]


async def test_pages_of_a_query_join_without_a_gap(client: Any, table_name: str) -> None:
    """Each page begins after the last key of the one before."""
    keys = [f"chat::{number}" for number in range(5)]
    for sk in [*keys, "connection"]:
        await client.put_item(TableName=table_name, Item=_item("CA1", sk))

    pages = client.get_paginator("query").paginate(
        TableName=table_name,
        KeyConditionExpression="pk = :pk AND begins_with(sk, :prefix)",
        ExpressionAttributeValues={":pk": {"S": "CA1"}, ":prefix": {"S": "chat::"}},
        ConsistentRead=True,
        PaginationConfig={"PageSize": 2},
    )
    found = [[item["sk"]["S"] for item in page["Items"]] async for page in pages]

    assert found == [keys[:2], keys[2:4], keys[4:]]


async def test_a_transaction_is_all_or_nothing(client: Any, table_name: str) -> None:
    """A slot that was taken is not booked a second time, and the reason is told by position."""
    await client.put_item(TableName=table_name, Item=_item("slots", "monday"))

    def booking(caller: str) -> list[dict[str, Any]]:
        delete = {
            "TableName": table_name,
            "Key": _item("slots", "monday"),
            "ConditionExpression": "attribute_exists(pk)",
        }
        put = {"TableName": table_name, "Item": _item(caller, "booking")}
        return [{"Delete": delete}, {"Put": put}]

    await client.transact_write_items(TransactItems=booking("+1"))
    with pytest.raises(ClientError) as failure:
        await client.transact_write_items(TransactItems=booking("+2"))

    assert _code(failure) == "TransactionCanceledException"
    reasons = [reason["Code"] for reason in failure.value.response["CancellationReasons"]]
    assert reasons == ["ConditionalCheckFailed", "None"]
    keys = [_item("slots", "monday"), _item("+1", "booking"), _item("+2", "booking")]
    request = {table_name: {"Keys": keys, "ConsistentRead": True}}
    got = await client.batch_get_item(RequestItems=request)
    assert got["Responses"][table_name] == [_item("+1", "booking")]


async def test_a_transaction_sent_twice_is_carried_out_once(client: Any, table_name: str) -> None:
    """The same token is the same transaction: its conditions are not tried again."""
    put = {
        "TableName": table_name,
        "Item": _item("a", "one"),
        "ConditionExpression": "attribute_not_exists(pk)",
    }

    for _ in range(2):
        await client.transact_write_items(TransactItems=[{"Put": put}], ClientRequestToken="once")

    got = await client.get_item(TableName=table_name, Key=_item("a", "one"))
    assert got["Item"] == _item("a", "one")


async def test_an_empty_key_is_refused(client: Any, table_name: str) -> None:
    """The adapter may rely on it."""
    with pytest.raises(ClientError) as failure:
        await client.put_item(TableName=table_name, Item=_item("", "one"))

    assert _code(failure) == "ValidationException"


async def test_a_restart_keeps_what_was_written(
    client: Any, table_name: str, dynamodb: Engine
) -> None:
    """Twice: the table, its index and its items are there, at the same place."""
    item = _item("a", "one", pk1="kind", sk1="x")
    await client.put_item(TableName=table_name, Item=item)

    for _ in range(2):
        dynamodb.stop()
        dynamodb.start()

    found = await client.query(
        TableName=table_name,
        IndexName=INDEX,
        KeyConditionExpression="pk1 = :pk1",
        ExpressionAttributeValues={":pk1": {"S": "kind"}},
    )
    assert found["Items"] == [item]


async def test_deleting_one_table_does_not_change_another(
    client: Any, table_name: str, dynamodb: Engine
) -> None:
    """Each test has its own tables."""
    other = dynamodb.create_table()
    await client.put_item(TableName=table_name, Item=_item("a", "one"))
    before = await client.scan(TableName=other)

    dynamodb.delete_table(other)

    assert before["Items"] == []
    got = await client.get_item(TableName=table_name, Key=_item("a", "one"))
    assert got["Item"] == _item("a", "one")
