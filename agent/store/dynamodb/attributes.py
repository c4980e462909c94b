"""Items in the form DynamoDB's low-level API has them: `{"S": …}`, `{"N": …}` and so on.

Rules:

- What was put is read: numbers travel as the shortest decimal text that is that number. DynamoDB
  does not keep `12.0` apart from `12`; a whole number is read as int.
- What is no value of JSON is refused at writing, with the error of the port.
- Reading never fails on what a predecessor has left: a set is read as a list, bytes as the base64
  text that DynamoDB's own JSON has for them.

boto3's `TypeSerializer` was rejected: it refuses floats, so that every value must be walked through
twice in each direction with `Decimal` in between; measured, that takes almost three times as long.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from math import isfinite

from agent.errors import StoreRefusedError
from agent.ports import Item

Attributes = dict[str, dict[str, object]]


def to_attributes(item: Mapping[str, object]) -> Attributes:
    """All attributes of an item.

    Raises:
        StoreRefusedError: A value is none of JSON's.
    """
    return {name: to_attribute(value) for name, value in item.items()}


def from_attributes(attributes: Mapping[str, Mapping[str, object]]) -> Item:
    """The item."""
    return {name: _value(attribute) for name, attribute in attributes.items()}


def to_attribute(value: object) -> dict[str, object]:
    """One value."""
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
        case ("S" | "BOOL", _):
            return content
        case "N", str():
            return _number(content)
        case "M", dict():
            return {name: _value(inner) for name, inner in content.items()}
        case "L", list():
            return [_value(inner) for inner in content]
        case "B", bytes():
            return b64encode(content).decode()
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
