"""Where values of tables and files become values of ours: msgspec, with faults in one line.

A record of the table is read with `Faults`: what is wrong is left out and noted, and a call is
answered without it. A file that a person edits is read with `Refusing`: the first fault stops it.

And what every table asks of an item before it is written.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from functools import partial
from typing import Any, TypeVar

import msgspec
from msgspec import UNSET

from agent.errors import StoreRefusedError, UseCaseError
from agent.ports import Item, Key

T = TypeVar("T")
S = TypeVar("S", bound=msgspec.Struct)

_DEEPEST = 100
"""Levels of lists and objects in one another; a table of DynamoDB keeps 32."""
_LONGEST_FAULT = 300
"""Characters of a fault that are shown."""
_MOST_FAULTS = 50
"""Of one record."""
ITEM_BYTES = 400 * 1024
"""The largest item a table takes
(https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html)."""
_HALF = re.compile("[\ud800-\udfff]")
_VALUE = re.compile(r"(Invalid enum value) .*")


class Faults:
    """What is wrong about a record and was left out, one line each: `field: fault`.

    A line names the field and never the value, which may be personal.
    """

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._unnamed = 0

    @property
    def lines(self) -> tuple[str, ...]:
        """All of them, as far as they are counted one by one."""
        more = [f"record: {self._unnamed} more faults"] if self._unnamed else []
        return *self._lines, *more

    def add(self, fault: str) -> None:
        """Note a fault."""
        if len(self._lines) == _MOST_FAULTS:
            self._unnamed += 1
            return
        shown = _VALUE.sub(r"\1", fault)[:_LONGEST_FAULT]
        self._lines.append("".join(each if each.isprintable() else "?" for each in shown))

    def unless(self, read: Callable[[], T], otherwise: T) -> T:
        """What is read, or the other value if it is wrong, which is then noted."""
        try:
            return read()
        except UseCaseError as error:
            self.add(str(error))
            return otherwise


class Refusing(Faults):
    """Leaves nothing out: the first fault is raised."""

    def add(self, fault: str) -> None:
        """Raise it.

        Raises:
            UseCaseError: Always.
        """
        raise UseCaseError(fault)


def convert(raw: object, wanted: type[T], field: str = "", *, strict: bool = True) -> T:
    """Validate values of JSON or of a table (whose numbers may be `Decimal`).

    Args:
        raw: The value.
        wanted: What it must be.
        field: What to call it in a fault.
        strict: False takes text for a number or a flag that it spells: `"0.3"`, `"true"`.

    Raises:
        UseCaseError: `field: fault`, the field as a path from `field` on.
    """
    _check(raw, field)
    return convert_kept(raw, wanted, field, strict=strict)


def convert_kept(raw: object, wanted: type[T], field: str = "", *, strict: bool = True) -> T:
    """As `convert`, for what a call has kept: half a character in a text is mended later.

    Raises:
        UseCaseError: As of `convert`.
    """
    try:
        return msgspec.convert(plain(raw), wanted, strict=strict)
    except OverflowError as error:
        raise UseCaseError(f"{field}: holds a number that is too large") from error
    except UnicodeError as error:  # in a name of a field
        raise UseCaseError(f"{field}: holds half a character") from error
    except msgspec.ValidationError as error:
        fault, _, path = str(error).partition(" - at `$")
        inner = path.removesuffix("`").removeprefix("" if field else ".")
        raise UseCaseError(f"{field}{inner}: {fault}" if field or inner else fault) from error


def tolerant(raw: object, wanted: type[S], field: str, faults: Faults) -> S:
    """A table whose fields are read one by one: a wrong one keeps its default and is noted.

    Null counts as missing. A field that is not known is ignored.

    Raises:
        UseCaseError: It is no table, or a field without a default is missing or wrong.
    """
    prefix = f"{field}." if field else ""
    given, known = _mapping(raw, field), dict[str, Any]()
    for each in msgspec.structs.fields(wanted):
        name, value = each.encode_name, given.get(each.encode_name)
        read: Callable[[], Any] = partial(
            convert, value, each.type, f"{prefix}{name}", strict=False
        )
        if value is None:
            continue
        known[name] = read() if each.required else faults.unless(read, UNSET)
    return convert({name: it for name, it in known.items() if it is not UNSET}, wanted, field)


def table(raw: object, field: str, faults: Faults) -> dict[str, Any]:
    """An object, or JSON text of one; empty if it is neither, which is noted."""
    return faults.unless(lambda: _mapping(decoded(raw, field) or {}, field), dict[str, Any]())


def elements(raw: object, field: str, faults: Faults) -> list[Any]:
    """A list, or JSON text of one; empty if it is neither, which is noted."""
    return faults.unless(lambda: _listed(decoded(raw, field) or [], field), list[Any]())


def _mapping(raw: object, field: str) -> dict[str, Any]:
    """An object whose values are still to be checked, each by itself."""
    if isinstance(raw, Mapping) and all(isinstance(name, str) for name in raw):
        return dict(raw)
    return convert(raw, dict[str, Any], field)


def _listed(raw: object, field: str) -> list[Any]:
    """As `_mapping`."""
    return list(raw) if isinstance(raw, list | tuple) else convert(raw, list[Any], field)


def _check(raw: object, field: str) -> None:
    """Refuse what no later step could write or send; counts levels without recursion.

    Raises:
        UseCaseError: There are too many levels, or a text holds half a character.
    """
    level = [raw]
    for _ in range(_DEEPEST):
        if any(isinstance(value, str) and _HALF.search(value) for value in level):
            raise UseCaseError(f"{field}: holds half a character")
        level = [inner for value in level for inner in _inside(value)]
        if not level:
            return
    raise UseCaseError(f"{field}: is nested too deeply")


def _inside(value: object) -> Iterable[object]:
    match value:
        case Mapping():
            return value.values()
        case list() | tuple():
            return value
        case _:
            return ()


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


def size_fault(item: Item) -> str:
    """Why an item is too large for a table, empty if it is not. Its size is that of its JSON."""
    try:
        size = len(msgspec.json.encode(item))
    except (TypeError, ValueError, RecursionError) as error:
        return f"the item cannot be written: {type(error).__name__}"
    if size <= ITEM_BYTES:
        return ""
    return f"the item has {size / 1024:.0f} KB, a table takes {ITEM_BYTES // 1024} KB at most"


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
    except RecursionError as error:
        raise UseCaseError(f"{field}: is nested too deeply") from error
    except (msgspec.DecodeError, UnicodeError) as error:
        raise UseCaseError(f"{field}: is not JSON: {error}") from error


def text_in(item: Mapping[str, object], name: str) -> str:
    """An attribute that is text; empty for one that is not, or is missing."""
    value = item.get(name)
    return value if isinstance(value, str) else ""
