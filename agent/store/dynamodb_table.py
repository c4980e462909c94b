"""`ports.Store` on a DynamoDB table.

- DynamoDB deletes expired items late: reads and conditions treat them as absent, by our clock.
- A repeated write may meet its own item. A conditional put therefore carries an attribute
  `writeId`, new for each call and hidden from readers: if the item in the way has it, that item is
  ours. A merge may be done twice. An item of ours that was replaced before the repetition counts as
  not written.
- An item is deleted in a transaction, also alone: so the service's role may delete, and not else.
- A whole number is read as int, as DynamoDB does not distinguish `12.0` from `12`; a set of the
  predecessor as a list, bytes as base64. Rejected: boto3's `TypeSerializer`, which refuses floats.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from math import isfinite
from typing import Any, Self
from uuid import uuid4

from agent.errors import StoreRefusedError
from agent.ports import Item, Key
from agent.store.dynamodb_client import (
    INDEX,
    Attributes,
    ConditionFailedError,
    DynamoDBClient,
    DynamoDBTimeouts,
    check,
    pause,
)
from agent.usecases.validation import keys, sequence, size_error

_WRITE_ID = "writeId"
_ABSENT = "attribute_not_exists(pk) OR #expireAt <= :now"
_NOT_EXPIRED = "attribute_not_exists(#expireAt) OR NOT #expireAt <= :now"
_PRESENT = f"attribute_exists(pk) AND ({_NOT_EXPIRED})"
_TIMEOUTS = DynamoDBTimeouts()


class DynamoDBStore:
    """`ports.Store` in DynamoDB; made by `open`."""

    def __init__(self, name: str, connection: DynamoDBClient, now: Callable[[], float]) -> None:
        self._name = name
        self._connection = connection
        self._now = now

    @classmethod
    async def open(
        cls,
        name: str,
        *,
        region: str = "",
        connections: int = 100,
        now: Callable[[], float] = time.time,
        timeouts: DynamoDBTimeouts = _TIMEOUTS,
    ) -> Self:
        """Connect to a table and check it, or raise the `StoreError` of `unusable`."""
        connection = await DynamoDBClient.open(name, region, connections, timeouts)
        try:
            await check(name, connection)
        except BaseException:
            await connection.close()
            raise
        return cls(name, connection, now)

    async def get(self, pk: str, sk: str) -> Item | None:
        async with self._connection.operation():
            answer = await self._connection.call(
                "get_item", TableName=self._name, Key=_key(pk, sk), ConsistentRead=True
            )
        return self._alive(answer.get("Item"))

    async def get_many(self, keys: Sequence[Key]) -> list[Item | None]:
        found: dict[Key, Attributes] = {}
        wanted = [_key(*key) for key in dict.fromkeys(keys)]
        repetition = 0
        async with self._connection.operation():
            while wanted:
                answer = await self._connection.call(
                    "batch_get_item",
                    RequestItems={self._name: {"Keys": wanted, "ConsistentRead": True}},
                )
                for item in answer["Responses"].get(self._name, []):
                    found[item["pk"]["S"], item["sk"]["S"]] = item
                wanted = answer.get("UnprocessedKeys", {}).get(self._name, {}).get("Keys", [])
                if wanted:
                    await pause(repetition)
                    repetition += 1
        return [self._alive(found.get(key)) for key in keys]

    async def put(
        self, item: Item, *, only_if_absent: bool = False, beside: Sequence[Item] = ()
    ) -> bool:
        _check(item, *beside)
        async with self._connection.operation():
            condition = self._condition(_ABSENT) if only_if_absent else None
            return await self._put(item, condition, beside)

    async def put_newer(
        self, item: Item, *, may_wait: bool = False, beside: Sequence[Item] = ()
    ) -> bool:
        _check(item, *beside)
        async with self._connection.operation():
            return await self._put(item, self._is_older_than(sequence(item)), beside)

    async def merge(self, pk: str, sk: str, attributes: Mapping[str, object]) -> None:
        item: Item = {**attributes, "pk": pk, "sk": sk}
        _check(item)
        async with self._connection.operation():
            while not await self._update(item):
                if await self._put(item, self._condition(_ABSENT)):
                    return

    async def query(self, pk: str, sk_prefix: str = "") -> list[Item]:
        return await self._query("pk", pk, "sk", sk_prefix, ConsistentRead=True)

    async def query_index(self, pk1: str, sk1_prefix: str = "", *, first: int = 0) -> list[Item]:
        limit = {"Limit": first} if first else {}
        return await self._query(
            "pk1", pk1, "sk1", sk1_prefix, first=first, IndexName=INDEX, **limit
        )

    async def find_text(self, text: str) -> None:
        return None

    async def move(self, pk: str, sk: str, item: Item, *, beside: Sequence[Item] = ()) -> bool:
        _check(item, *beside)
        delete = {"TableName": self._name, "Key": _key(pk, sk), **self._condition(_PRESENT)}
        async with self._connection.operation():
            return await self._transact({"Delete": delete}, self._puts(item, *beside))

    async def delete(self, pk: str, sk: str) -> None:
        async with self._connection.operation():
            await self._transact({"Delete": {"TableName": self._name, "Key": _key(pk, sk)}}, ())

    async def scrub(self) -> None:
        pass  # its files are Amazon's

    async def close(self) -> None:
        await self._connection.close()

    def _puts(self, *items: Item) -> list[dict[str, object]]:
        return [{"Put": {"TableName": self._name, "Item": to_attributes(it)}} for it in items]

    async def _transact(
        self, first: Mapping[str, object], further: Sequence[Mapping[str, object]]
    ) -> bool:
        """Write all or nothing; false if the condition of the first does not hold."""
        try:
            await self._connection.call(
                "transact_write_items",
                TransactItems=[first, *further],
                ClientRequestToken=uuid4().hex,  # a repeated request writes once
            )
        except ConditionFailedError:
            return False
        return True

    async def _put(
        self, item: Item, condition: dict[str, Any] | None, beside: Sequence[Item] = ()
    ) -> bool:
        attributes = to_attributes(item)
        if beside:
            first = {"TableName": self._name, "Item": attributes, **(condition or {})}
            return await self._transact({"Put": first}, self._puts(*beside))
        arguments: dict[str, object] = {"TableName": self._name, "Item": attributes}
        ours: dict[str, object] = {"S": uuid4().hex}
        if condition is not None:
            attributes[_WRITE_ID] = ours
            arguments |= {**condition, "ReturnValuesOnConditionCheckFailure": "ALL_OLD"}
        try:
            await self._connection.call("put_item", **arguments)
        except ConditionFailedError as failed:
            return failed.there.get(_WRITE_ID) == ours
        return True

    async def _update(self, item: Item) -> bool:
        named = [name for name in item if name not in {"pk", "sk"}]
        names = {f"#{n}": name for n, name in enumerate(named)}
        values = {f":{n}": to_attribute(item[name]) for n, name in enumerate(named)}
        arguments = self._condition(_NOT_EXPIRED, names, values)
        if named:
            pairs = ", ".join(f"#{n} = :{n}" for n in range(len(named)))
            arguments["UpdateExpression"] = f"SET {pairs}"
        key = _key(str(item["pk"]), str(item["sk"]))
        try:
            await self._connection.call("update_item", TableName=self._name, Key=key, **arguments)
        except ConditionFailedError:
            return False
        return True

    async def _query(
        self,
        partition: str,
        value: str,
        sort: str,
        prefix: str,
        *,
        first: int = 0,
        **further: object,
    ) -> list[Item]:
        expression, values = f"{partition} = :partition", {":partition": {"S": value}}
        if prefix:
            expression += f" AND begins_with({sort}, :prefix)"
            values[":prefix"] = {"S": prefix}
        arguments: dict[str, Any] = {
            "TableName": self._name,
            "KeyConditionExpression": expression,
            "ExpressionAttributeValues": values,
            **further,
        }
        found: list[Item] = []
        async with self._connection.operation():
            while True:
                answer = await self._connection.call("query", **arguments)
                found += filter(None, map(self._alive, answer["Items"]))
                last = answer.get("LastEvaluatedKey")
                if not last or 0 < first <= len(found):
                    return found[: first or None]
                arguments["ExclusiveStartKey"] = last

    def _alive(self, attributes: Attributes | None) -> Item | None:
        """An item as readers see it; None if it has expired."""
        if attributes is None:
            return None
        item = from_attributes(attributes)
        expire_at = item.get("expireAt")
        if isinstance(expire_at, int | float) and expire_at <= self._now():
            return None
        item.pop(_WRITE_ID, None)
        return item

    def _is_older_than(self, number: int) -> dict[str, Any]:
        """By `validation.sequence`, for which an item without a number has -1."""
        expression = f"{_ABSENT} OR #sequence < :sequence"
        values: Attributes = {":sequence": to_attribute(number)}
        if number > -1:
            expression += " OR NOT attribute_type(#sequence, :number)"
            values[":number"] = {"S": "N"}
        return self._condition(expression, {"#sequence": "sequence"}, values)

    def _condition(
        self, expression: str, names: Mapping[str, str] = {}, values: Mapping[str, object] = {}
    ) -> dict[str, Any]:
        return {
            "ConditionExpression": expression,
            "ExpressionAttributeNames": {"#expireAt": "expireAt", **names},
            "ExpressionAttributeValues": {":now": to_attribute(self._now()), **values},
        }


def _check(*items: Item) -> None:
    for item in items:
        keys(item)
        if fault := size_error(item):
            raise StoreRefusedError(fault)


def _key(pk: str, sk: str) -> Attributes:
    return {"pk": {"S": pk}, "sk": {"S": sk}}


def to_attributes(item: Mapping[str, object]) -> Attributes:
    """An item in the form of the low-level API, or `StoreRefusedError`."""
    return {name: to_attribute(value) for name, value in item.items()}


def from_attributes(attributes: Mapping[str, Mapping[str, object]]) -> Item:
    """The item of DynamoDB's attributes."""
    return {name: _value(attribute) for name, attribute in attributes.items()}


def to_attribute(value: object) -> dict[str, object]:
    """A value in the form of the low-level API."""
    match value:
        case str():
            return {"S": value}
        case bool():
            return {"BOOL": value}
        case None:
            return {"NULL": True}
        case int():
            return {"N": str(value)}
        case float() if isfinite(value):
            return {"N": repr(value)}
        case dict() if all(isinstance(name, str) for name in value):
            return {"M": {name: to_attribute(inner) for name, inner in value.items()}}
        case list() | tuple():
            return {"L": [to_attribute(inner) for inner in value]}
        case _:
            raise StoreRefusedError(f"an item cannot be written: it holds a {type(value).__name__}")


def _value(attribute: Mapping[str, object]) -> object:
    ((kind, content),) = attribute.items()
    match kind, content:
        case ("S" | "BOOL" | "B", _):
            return content
        case "N", str():
            return _number(content)
        case "M", dict():
            return {name: _value(inner) for name, inner in content.items()}
        case "L", list():
            return [_value(inner) for inner in content]
        case (("SS" | "NS" | "BS"), list()):
            return [_value({kind[0]: inner}) for inner in content]
        case _:
            return None


def _number(text: str) -> int | float:
    try:
        return int(text)
    except ValueError:
        number = float(text)
        return int(number) if number.is_integer() else number
