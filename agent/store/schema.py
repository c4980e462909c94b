"""What the table in DynamoDB looks like: its keys, its one index, its TTL attribute.

One table holds everything (contract section 7, seed section A7.1). An item is found by who or what
it belongs to (`pk`) and by what it is (`sk`); items that are looked for by kind also carry `pk1`
and `sk1`, and only those are in the index. The index projects all attributes, so that what a query
of it finds is a whole item. Billing is on demand: calls come in bursts, and nobody plans capacity.

In production the template creates the table; this is for whoever must create one without it, tests
first. Names are the predecessor's and do not drift: both services read the same table.
"""

from __future__ import annotations

from typing import Literal, TypedDict

INDEX = "index-1-full"
"""Name of the index on `pk1` and `sk1`."""
ACTIONS = ("BatchGetItem", "GetItem", "PutItem", "Query", "UpdateItem")
"""What the service must be allowed to do with the table; `Query` also with the index."""
MOVE_ACTION = "DeleteItem"
"""And this inside of a transaction, which writes elsewhere what it deletes."""
TTL_ATTRIBUTE = "expireAt"
"""When an item may be deleted, in epoch seconds. DynamoDB does so late: readers look themselves."""


class Attribute(TypedDict):
    """An attribute that is a key; the others are not declared."""

    AttributeName: str
    AttributeType: Literal["S"]


class Key(TypedDict):
    """An attribute's part in a key."""

    AttributeName: str
    KeyType: Literal["HASH", "RANGE"]


class Projection(TypedDict):
    """Which attributes an index holds besides keys."""

    ProjectionType: Literal["ALL"]


class Index(TypedDict):
    """A global secondary index."""

    IndexName: str
    KeySchema: list[Key]
    Projection: Projection


class Table(TypedDict):
    """Arguments of `CreateTable` but the name."""

    AttributeDefinitions: list[Attribute]
    KeySchema: list[Key]
    GlobalSecondaryIndexes: list[Index]
    BillingMode: Literal["PAY_PER_REQUEST"]


TABLE: Table = {
    "AttributeDefinitions": [
        {"AttributeName": "pk", "AttributeType": "S"},
        {"AttributeName": "sk", "AttributeType": "S"},
        {"AttributeName": "pk1", "AttributeType": "S"},
        {"AttributeName": "sk1", "AttributeType": "S"},
    ],
    "KeySchema": [
        {"AttributeName": "pk", "KeyType": "HASH"},
        {"AttributeName": "sk", "KeyType": "RANGE"},
    ],
    "GlobalSecondaryIndexes": [
        {
            "IndexName": INDEX,
            "KeySchema": [
                {"AttributeName": "pk1", "KeyType": "HASH"},
                {"AttributeName": "sk1", "KeyType": "RANGE"},
            ],
            "Projection": {"ProjectionType": "ALL"},
        }
    ],
    "BillingMode": "PAY_PER_REQUEST",
}
