"""DynamoDB as light as it can be, so that a measurement is not of it: a process of its own.

    python benchmarks/table_stub.py PORT DELAY_MS

It knows what a store of calls needs: items one by one and together, conditions, queries of a table
and its index, transactions. A table is there as soon as it is named; all names are one table.
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.model_stub import BACKLOG, HttpConnection, response

Attributes = dict[str, dict[str, Any]]
Condition = Callable[[Attributes, Mapping[str, str], Attributes], bool]
_TARGET = re.compile(rb"\r\nx-amz-target: *DynamoDB_\d+\.(\w+)", re.IGNORECASE)
_TOKEN = re.compile(r"[(),]|<>|<=|>=|[=<>]|[\w#:]+")
_SORTS = {"pk": "sk", "pk1": "sk1"}


class RefusedError(Exception):
    """The operation fails with this type and this body."""

    def __init__(self, kind: str, **body: object) -> None:
        super().__init__(kind)
        self.body = {"__type": f"com.amazonaws.dynamodb.v20120810#{kind}", **body}


def _content(value: dict[str, Any] | None) -> object:
    if value is None:
        return None
    ((kind, content),) = value.items()
    return float(content) if kind == "N" else content


class _Parser:
    """A condition or key condition as a function of item, names and values."""

    def __init__(self, text: str) -> None:
        self._tokens = _TOKEN.findall(text)

    def either(self) -> Condition:
        left = self._both()
        while self._next_is("OR"):
            left = _any(left, self._both())
        return left

    def _both(self) -> Condition:
        left = self._one()
        while self._next_is("AND"):
            left = _all(left, self._one())
        return left

    def _one(self) -> Condition:
        if self._next_is("NOT"):
            inner = self._one()
            return lambda item, names, values: not inner(item, names, values)
        if self._next_is("("):
            inner = self.either()
            self._tokens.pop(0)
            return inner
        first, second = self._tokens.pop(0), self._tokens.pop(0)
        if second != "(":
            return _compare(first, second, self._tokens.pop(0))
        end = self._tokens.index(")")
        arguments = [each for each in self._tokens[:end] if each != ","]
        del self._tokens[: end + 1]
        return _function(first, *arguments)

    def _next_is(self, word: str) -> bool:
        if is_next := self._tokens[:1] == [word]:
            self._tokens.pop(0)
        return is_next


def _any(left: Condition, right: Condition) -> Condition:
    return lambda *of: left(*of) or right(*of)


def _all(left: Condition, right: Condition) -> Condition:
    return lambda *of: left(*of) and right(*of)


def _operand(
    token: str, item: Attributes, names: Mapping[str, str], values: Attributes
) -> dict[str, Any] | None:
    return values[token] if token.startswith(":") else item.get(names.get(token, token))


def _compare(left: str, sign: str, right: str) -> Condition:
    def holds(item: Attributes, names: Mapping[str, str], values: Attributes) -> bool:
        one: Any = _content(_operand(left, item, names, values))
        other: Any = _content(_operand(right, item, names, values))
        if type(one) is not type(other) or one is None:
            return sign == "<>" and one != other
        return bool(
            (sign in {"=", "<=", ">="} and one == other)
            or (sign == "<>" and one != other)
            or (sign in {"<", "<="} and one < other)
            or (sign in {">", ">="} and one > other)
        )

    return holds


def _function(name: str, subject: str, argument: str = "") -> Condition:
    def holds(item: Attributes, names: Mapping[str, str], values: Attributes) -> bool:
        there = _operand(subject, item, names, values)
        match name:
            case "attribute_exists":
                return there is not None
            case "attribute_not_exists":
                return there is None
            case "attribute_type":
                return there is not None and next(iter(there)) == values[argument]["S"]
            case "begins_with":
                return there is not None and there["S"].startswith(values[argument]["S"])
            case _:
                raise RefusedError("ValidationException", message=name)

    return holds


@lru_cache
def condition(text: str) -> Condition:
    """Read a condition; understood is what the service writes."""
    return _Parser(text).either()


class TableStub:
    """All tables in one; keys are `pk` and `sk`, and `pk1` and `sk1` in the index."""

    def __init__(self) -> None:
        self._partitions: dict[str, dict[str, dict[tuple[str, str], Attributes]]]
        self._partitions = {"pk": {}, "pk1": {}}
        self.operations: dict[str, int] = {}

    def perform(self, operation: str, asked: dict[str, Any]) -> dict[str, Any]:
        """Answer an operation; raises `RefusedError`."""
        self.operations[operation] = self.operations.get(operation, 0) + 1
        match operation:
            case "GetItem":
                found = self._there(asked["Key"])
                return {"Item": found} if found else {}
            case "BatchGetItem":
                return {"Responses": self._read(asked), "UnprocessedKeys": {}}
            case "Query":
                return self._query(asked)
            case "PutItem" | "UpdateItem" | "DeleteItem":
                self._check(asked)
                self._write(operation.removesuffix("Item"), asked)
                return {}
            case "BatchWriteItem":
                for request in (each for table in asked["RequestItems"].values() for each in table):
                    ((kind, inner),) = request.items()
                    self._write(kind.removesuffix("Request"), inner)
                return {"UnprocessedItems": {}}
            case "TransactWriteItems":
                return self._transact(asked)
            case _:
                raise RefusedError("UnknownOperationException", message=operation)

    def _read(self, asked: dict[str, Any]) -> dict[str, list[Attributes]]:
        return {
            table: list(filter(None, map(self._there, wanted["Keys"])))
            for table, wanted in asked["RequestItems"].items()
        }

    def _there(self, key: Attributes) -> Attributes | None:
        pk, sk = key["pk"]["S"], key["sk"]["S"]
        return self._partitions["pk"].get(pk, {}).get((sk, ""))

    def _check(self, asked: dict[str, Any]) -> None:
        text = asked.get("ConditionExpression")
        there = self._there(asked.get("Key") or asked["Item"])
        if text and not condition(text)(there or {}, *_names_and_values(asked)):
            is_asked = asked.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD"
            body = {"Item": there} if there and is_asked else {}
            raise RefusedError("ConditionalCheckFailedException", **body)

    def _transact(self, asked: dict[str, Any]) -> dict[str, Any]:
        writes = [next(iter(each.items())) for each in asked["TransactItems"]]
        try:
            for _, inner in writes:
                self._check(inner)
        except RefusedError as refused:
            reasons = [{"Code": "ConditionalCheckFailed"}]
            kind = "TransactionCanceledException"
            raise RefusedError(kind, CancellationReasons=reasons) from refused
        for kind, inner in writes:
            if kind != "ConditionCheck":
                self._write(kind, inner)
        return {}

    def _write(self, kind: str, asked: dict[str, Any]) -> None:
        key = asked.get("Key") or asked["Item"]
        there = self._there(key)
        pk, sk = key["pk"]["S"], key["sk"]["S"]
        if there and "pk1" in there:
            self._partitions["pk1"].get(there["pk1"]["S"], {}).pop((there["sk1"]["S"], pk + sk), 0)
        match kind:
            case "Put":
                item: Attributes = asked["Item"]
            case "Update":
                item = {**(there or key), **_assignments(asked)}
            case _:
                self._partitions["pk"].get(pk, {}).pop((sk, ""), None)
                return
        self._partitions["pk"].setdefault(pk, {})[sk, ""] = item
        if "pk1" in item and "sk1" in item:
            index = self._partitions["pk1"].setdefault(item["pk1"]["S"], {})
            index[item["sk1"]["S"], pk + sk] = item

    def _query(self, asked: dict[str, Any]) -> dict[str, Any]:
        names, values = _names_and_values(asked)
        text: str = asked["KeyConditionExpression"]
        partition = "pk1" if "IndexName" in asked else "pk"
        name, value = re.findall(r"([\w#]+) = (:\w+)", text)[0]
        if names.get(name, name) != partition:
            raise RefusedError("ValidationException", message=text)
        items = self._partitions[partition].get(values[value]["S"], {})
        found = [items[key] for key in sorted(items) if condition(text)(items[key], names, values)]
        if asked.get("ScanIndexForward") is False:
            found.reverse()
        found = found[: asked.get("Limit")]
        return {"Items": found, "Count": len(found), "ScannedCount": len(found)}


def _names_and_values(asked: dict[str, Any]) -> tuple[Mapping[str, str], Attributes]:
    names = asked.get("ExpressionAttributeNames") or {}
    return names, asked.get("ExpressionAttributeValues") or {}


def _assignments(asked: dict[str, Any]) -> Attributes:
    """What `SET a = :a, b = :b` sets; nothing else is known."""
    text: str = asked.get("UpdateExpression") or ""
    names, values = _names_and_values(asked)
    pairs = [pair.split(" = ") for pair in text.removeprefix("SET ").split(", ") if pair]
    if text and (not text.startswith("SET ") or any(len(pair) != 2 for pair in pairs)):
        raise RefusedError("ValidationException", message=text)
    return {names.get(name, name): values[value] for name, value in pairs}


class _TableConnection(HttpConnection):
    def __init__(self, table: TableStub, delay: float) -> None:
        super().__init__()
        self._table = table
        self._delay = delay

    def answer(self, head: bytes, body: bytes) -> None:
        found = _TARGET.search(head)
        try:
            if found is None:
                answered: object = self._table.operations
            else:
                answered = self._table.perform(found[1].decode(), msgspec.json.decode(body))
            status = b"200 OK"
        except RefusedError as refused:
            status, answered = b"400 Bad Request", refused.body
        whole = response(status, msgspec.json.encode(answered), b"application/x-amz-json-1.0")
        if self._delay:
            asyncio.get_running_loop().call_later(self._delay, self.transport.write, whole)
        else:
            self.transport.write(whole)


async def serve_table(port: int, delay: float) -> None:
    """Serve until the process ends; `delay` are the seconds until each answer."""
    table, loop = TableStub(), asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: _TableConnection(table, delay), "127.0.0.1", port, backlog=BACKLOG
    )
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve_table(int(sys.argv[1]), float(sys.argv[2]) / 1000))
