"""`ports.Store` on a table of DynamoDB.

Rules:

- DynamoDB deletes expired items when it likes. Every read leaves them out and every condition
  takes them for absent, by the clock of this process.
- A write that was repeated because its first answer was lost may meet its own item. A conditional
  put therefore carries an attribute `writeId`, another one for each call, which readers do not
  see: if it stands in the item that is in the way, that item is ours. For a transaction, DynamoDB
  itself remembers its token. What `merge` does may be done twice.
- An item that our own conditional put wrote, and that somebody replaced before the repetition came,
  counts as not written. Nobody can tell that from having lost.

The low-level client is used since the resource of the SDK adds a second one, and nothing here
needs what it adds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self
from uuid import uuid4

from agent.errors import StoreRefusedError
from agent.ports import Item, Key
from agent.store.dynamodb.attributes import Attributes, from_attributes, to_attribute, to_attributes
from agent.store.dynamodb.dynamodb_client import (
    FAULTS,
    ConditionFailedError,
    DynamoDBClient,
    DynamoDBTimeouts,
    pause,
)
from agent.store.dynamodb.dynamodb_startup import check, unusable
from agent.store.schema import INDEX
from agent.usecases.validation import keys, sequence, size_error

_WRITE_ID = "writeId"
_HAS_NOT_EXPIRED = "attribute_not_exists(#expireAt) OR NOT #expireAt <= :now"
_PATIENCE = DynamoDBTimeouts()


@dataclass(frozen=True, slots=True)
class _Condition:
    """When a write may be made."""

    expression: str
    names: Mapping[str, str]
    values: Attributes = field(default_factory=dict)

    def arguments(self) -> dict[str, object]:
        return {
            "ConditionExpression": self.expression,
            "ExpressionAttributeNames": self.names,
            "ExpressionAttributeValues": self.values,
        }


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
        patience: DynamoDBTimeouts = _PATIENCE,
    ) -> Self:
        """Connect to a table, and see that it can be read.

        Args:
            name: Of the table.
            region: Empty = `AWS_DEFAULT_REGION`, or that of the profile.
            connections: The most there may be at once.
            now: Epoch seconds, for expiry.
            patience: The time limits.

        Raises:
            StoreError: It cannot be used; one line that begins with `TABLE_NAME`.
        """
        try:
            connection = await DynamoDBClient.open(region, connections, patience)
        except FAULTS as error:
            raise unusable(name, region, error) from error
        try:
            await check(name, connection)
        except BaseException:
            await connection.close()
            raise
        return cls(name, connection, now)

    async def get(self, pk: str, sk: str) -> Item | None:
        """See `ports.Store`."""
        async with self._connection.operation():
            answer = await self._connection.call(
                "get_item", TableName=self._name, Key=_key(pk, sk), ConsistentRead=True
            )
        return self._alive(answer.get("Item"))

    async def get_many(self, keys: Sequence[Key]) -> list[Item | None]:
        """See `ports.Store`."""
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

    async def put(self, item: Item, *, only_if_absent: bool = False) -> bool:
        """See `ports.Store`."""
        _check(item)
        async with self._connection.operation():
            return await self._put(item, self._is_absent() if only_if_absent else None)

    async def put_newer(self, item: Item) -> bool:
        """See `ports.Store`."""
        _check(item)
        async with self._connection.operation():
            return await self._put(item, self._is_older_than(sequence(item)))

    async def merge(self, pk: str, sk: str, attributes: Mapping[str, object]) -> None:
        """See `ports.Store`; what others change between our two attempts is tried anew."""
        item: Item = {**attributes, "pk": pk, "sk": sk}
        _check(item)
        async with self._connection.operation():
            while not await self._update(item):
                if await self._put(item, self._is_absent()):
                    return

    async def query(self, pk: str, sk_prefix: str = "") -> list[Item]:
        """See `ports.Store`."""
        return await self._query("pk", pk, "sk", sk_prefix, ConsistentRead=True)

    async def query_index(self, pk1: str, sk1_prefix: str = "") -> list[Item]:
        """See `ports.Store`."""
        return await self._query("pk1", pk1, "sk1", sk1_prefix, IndexName=INDEX)

    async def move(self, pk: str, sk: str, item: Item) -> bool:
        """See `ports.Store`."""
        _check(item)
        taken = {"TableName": self._name, "Key": _key(pk, sk), **self._is_there().arguments()}
        left = {"TableName": self._name, "Item": to_attributes(item)}
        async with self._connection.operation():
            try:
                await self._connection.call(
                    "transact_write_items",
                    TransactItems=[{"Delete": taken}, {"Put": left}],
                    ClientRequestToken=uuid4().hex,
                )
            except ConditionFailedError:
                return False
        return True

    async def close(self) -> None:
        """See `ports.Store`; harmless the second time."""
        await self._connection.close()

    async def _put(self, item: Item, condition: _Condition | None) -> bool:
        attributes = to_attributes(item)
        arguments: dict[str, object] = {"TableName": self._name, "Item": attributes}
        if condition is None:
            await self._connection.call("put_item", **arguments)
            return True
        ours: dict[str, object] = {"S": uuid4().hex}
        attributes[_WRITE_ID] = ours
        arguments |= condition.arguments()
        arguments["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"
        try:
            await self._connection.call("put_item", **arguments)
        except ConditionFailedError as failed:
            return failed.there.get(_WRITE_ID) == ours
        return True

    async def _update(self, item: Item) -> bool:
        """Set attributes of an item that is there or not; false if it has expired."""
        named = [name for name in item if name not in {"pk", "sk"}]
        condition = self._has_not_expired()
        names = {**condition.names, **{f"#{n}": name for n, name in enumerate(named)}}
        values = {f":{n}": to_attribute(item[name]) for n, name in enumerate(named)}
        arguments = condition.arguments()
        arguments["ExpressionAttributeNames"] = names
        arguments["ExpressionAttributeValues"] = {**condition.values, **values}
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
        self, partition: str, value: str, sort: str, prefix: str, **further: object
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
                if not (last := answer.get("LastEvaluatedKey")):
                    return found
                arguments["ExclusiveStartKey"] = last

    def _alive(self, attributes: Attributes | None) -> Item | None:
        """An item as readers see it, none if it has expired."""
        if attributes is None:
            return None
        item = from_attributes(attributes)
        expire_at = item.get("expireAt")
        if isinstance(expire_at, int | float) and expire_at <= self._now():
            return None
        item.pop(_WRITE_ID, None)
        return item

    def _is_absent(self) -> _Condition:
        return self._condition("attribute_not_exists(pk) OR #expireAt <= :now")

    def _is_there(self) -> _Condition:
        return self._condition(f"attribute_exists(pk) AND ({_HAS_NOT_EXPIRED})")

    def _has_not_expired(self) -> _Condition:
        return self._condition(_HAS_NOT_EXPIRED)

    def _is_older_than(self, number: int) -> _Condition:
        """By `validation.sequence`, for which what has no number is number -1."""
        expression = "attribute_not_exists(pk) OR #expireAt <= :now OR #sequence < :sequence"
        if number > -1:
            expression += " OR NOT attribute_type(#sequence, :number)"
        condition = self._condition(expression)
        values = {**condition.values, ":sequence": to_attribute(number)}
        if number > -1:
            values[":number"] = {"S": "N"}
        return _Condition(expression, {**condition.names, "#sequence": "sequence"}, values)

    def _condition(self, expression: str) -> _Condition:
        return _Condition(
            expression, {"#expireAt": "expireAt"}, {":now": to_attribute(self._now())}
        )


def _check(item: Item) -> None:
    """Refuse what no table can hold.

    Raises:
        StoreRefusedError: A key is missing or empty, or the item is too large.
    """
    keys(item)
    if fault := size_error(item):
        raise StoreRefusedError(fault)


def _key(pk: str, sk: str) -> Attributes:
    return {"pk": {"S": pk}, "sk": {"S": sk}}
