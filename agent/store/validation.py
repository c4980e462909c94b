"""Where values of tables and files become values of ours: msgspec, with faults in one line.

And what every table asks of an item before it is written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import TypeVar

import msgspec

from agent.ports import Item, Key, StoreRefusedError, UseCaseError

T = TypeVar("T")


def convert(raw: object, wanted: type[T], field: str = "") -> T:
    """Validate values of JSON or of a table (whose numbers may be `Decimal`).

    Raises:
        UseCaseError: `field: fault`, the field as a path from `field` on.
    """
    try:
        return msgspec.convert(plain(raw), wanted)
    except UnicodeError as error:
        raise UseCaseError(f"{field}: holds half a character") from error
    except msgspec.ValidationError as error:
        fault, _, path = str(error).partition(" - at `$")
        inner = path.removesuffix("`").removeprefix("" if field else ".")
        raise UseCaseError(f"{field}{inner}: {fault}" if field or inner else fault) from error


def plain(value: object) -> object:
    """A value of a table in JSON's types: whole `Decimal`s as int, others as float."""
    match value:
        case Decimal():
            return int(value) if value == value.to_integral_value() else float(value)
        case Mapping():
            return {key: plain(inner) for key, inner in value.items()}
        case str():
            return value
        case Sequence():
            return [plain(inner) for inner in value]
        case _:
            return value


def keys(item: Item) -> Key:
    """The key of an item to be written.

    Raises:
        StoreRefusedError: A key is missing, or one of the index is not text, or empty.
    """
    pk, sk = item.get("pk"), item.get("sk")
    if not (isinstance(pk, str) and isinstance(sk, str) and pk and sk):
        raise StoreRefusedError("an item needs pk and sk, not empty")
    for name in ("pk1", "sk1"):
        if name in item and not (isinstance(item[name], str) and item[name]):
            raise StoreRefusedError(f"{name} of an item must be text and not empty")
    return pk, sk


def sequence(item: Item) -> int:
    """How new an item is, see `ports.Store.put_newer`; what has no number is older than any."""
    number = item.get("sequence")
    return number if isinstance(number, int) else -1


def decoded(raw: object, field: str) -> object:
    """What JSON text says; lists and maps are taken as they are."""
    if not isinstance(raw, str) or not raw.strip():
        return raw or None
    try:
        return msgspec.json.decode(raw)
    except msgspec.DecodeError as error:
        raise UseCaseError(f"{field}: is not JSON: {error}") from error


def text_in(item: Mapping[str, object], name: str) -> str:
    """An attribute that is text; empty for one that is not, or is missing."""
    value = item.get(name)
    return value if isinstance(value, str) else ""
