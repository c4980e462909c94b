"""The DynamoDB table: its keys, its one index, its TTL attribute.

One table holds everything. An item is found by its owner (`pk`) and its kind (`sk`). Items that are
searched by kind also carry `pk1` and `sk1`, and only those are in the index, which projects all
attributes. Billing is on demand, as calls come in bursts. In production the CloudFormation template
creates the table. The names are those of the predecessor: both services read the same table.
"""

from __future__ import annotations

from typing import Any

INDEX = "index-1-full"
"""Name of the index on `pk1` and `sk1`."""
ACTIONS = ("BatchGetItem", "GetItem", "PutItem", "Query", "UpdateItem")
"""Permissions of the service on the table; `Query` also on the index."""
MOVE_ACTION = "DeleteItem"
"""The same, but only inside a transaction, which writes elsewhere what it deletes."""
TTL_ATTRIBUTE = "expireAt"
"""When an item may be deleted, in epoch seconds. DynamoDB is late: readers check it themselves."""


def _keys(partition: str, sort: str) -> list[dict[str, str]]:
    return [
        {"AttributeName": partition, "KeyType": "HASH"},
        {"AttributeName": sort, "KeyType": "RANGE"},
    ]


TABLE: dict[str, Any] = {
    "AttributeDefinitions": [
        {"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk", "pk1", "sk1")
    ],
    "KeySchema": _keys("pk", "sk"),
    "GlobalSecondaryIndexes": [
        {
            "IndexName": INDEX,
            "KeySchema": _keys("pk1", "sk1"),
            "Projection": {"ProjectionType": "ALL"},
        }
    ],
    "BillingMode": "PAY_PER_REQUEST",
}
"""Arguments of `CreateTable` but the name."""
