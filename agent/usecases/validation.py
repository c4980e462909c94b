"""Conversion of table items and files into typed values: msgspec, with one-line errors.

A record of the table is read with `RecordErrors`: a wrong value is left out and noted, and calls
are answered without it. A file that a person edits is read with `RaisingErrors`: the first error
stops it. The module also holds what every table implementation checks before it writes an item.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from functools import partial
from typing import Any, TypeVar

import msgspec
import msgspec.inspect
from msgspec import UNSET

from agent.errors import StoreRefusedError, UseCaseError
from agent.ports import Item, Key

T = TypeVar("T")
S = TypeVar("S", bound=msgspec.Struct)

_MAX_DEPTH = 100  # of nested lists and objects; DynamoDB stores 32
_MAX_ERROR_LENGTH = 300
_MAX_ERRORS = 50
ITEM_BYTES = 400 * 1024
"""https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html"""
_SURROGATE = re.compile("[\ud800-\udfff]")
_VALUE = re.compile(r"(Invalid (?:enum )?value) .*?(, must be one of [\w, -]+)?$")
_STEP = re.compile(r"\.?([^.\[\]]+)|\[[^\]]*\]")


class RecordErrors:
    """The errors and remarks of a record, one line each: `field: error`.

    A line names the field and never the value, which may be personal data.
    """

    def __init__(self) -> None:
        self._errors: list[str] = []
        self._remarks: list[str] = []

    @property
    def errors(self) -> tuple[str, ...]:
        """The first errors, and a last line with the number of further ones."""
        return _first(self._errors)

    @property
    def remarks(self) -> tuple[str, ...]:
        return _first(self._remarks)

    def add(self, error: str) -> None:
        """Note an error, shortened and with unprintable characters replaced."""
        self._errors.append(_shown(error))

    def remark(self, line: str) -> None:
        """Note a valid value without effect, as `add`."""
        self._remarks.append(_shown(line))

    def read_or(self, read: Callable[[], T], default: T) -> T:
        """The result of `read`; if it raises a `UseCaseError`, note that and return `default`."""
        try:
            return read()
        except UseCaseError as error:
            self.add(str(error))
            return default


class RaisingErrors(RecordErrors):
    """Raises the first error as a `UseCaseError` instead of noting it."""

    def add(self, error: str) -> None:
        raise UseCaseError(error)


def _shown(line: str) -> str:
    short = _VALUE.sub(r"\1\2", line)[:_MAX_ERROR_LENGTH]
    return "".join(each if each.isprintable() else "?" for each in short)


def _first(lines: list[str]) -> tuple[str, ...]:
    more = len(lines) - _MAX_ERRORS
    return *lines[:_MAX_ERRORS], *([f"record: {more} more errors"] if more > 0 else [])


def convert(raw: object, wanted: type[T], field: str = "", *, strict: bool = True) -> T:
    """Validate values of JSON or of a table (whose numbers may be `Decimal`).

    `strict=False` accepts text for a number or a flag: `"0.3"`, `"true"`. A `UseCaseError` is
    `field: error`, the field as a path that begins with `field`.
    """
    _check(raw, field)
    return convert_stored(raw, wanted, field, strict=strict)


def convert_stored(raw: object, wanted: type[T], field: str = "", *, strict: bool = True) -> T:
    """As `convert`, without its checks of depth and of lone surrogates: for items of calls."""
    try:
        return msgspec.convert(plain(raw), wanted, strict=strict)
    except OverflowError as error:
        raise UseCaseError(f"{field}: holds a number that is too large") from error
    except UnicodeError as error:  # in the name of a field
        raise UseCaseError(f"{field}: holds a lone surrogate") from error
    except msgspec.ValidationError as error:
        text, _, path = str(error).partition(" - at `$")
        path = path.removesuffix("`")
        if _VALUE.match(text) and (allowed := _allowed(msgspec.inspect.type_info(wanted), path)):
            text = f"{text}, must be one of {', '.join(sorted(allowed))}"
        inner = path.removeprefix("" if field else ".")
        raise UseCaseError(f"{field}{inner}: {text}" if field or inner else text) from error


def _allowed(kind: msgspec.inspect.Type, path: str) -> set[str]:
    """The texts that may be at a path of msgspec's within a value of a type."""
    step = _STEP.match(path)
    rest = path[step.end() :] if step else ""
    match kind:
        case msgspec.inspect.UnionType():
            return set[str]().union(*(_allowed(each, path) for each in kind.types))
        case msgspec.inspect.LiteralType() if not step:
            return {str(value) for value in kind.values if value}
        case msgspec.inspect.StructType() if step and step[1] == kind.tag_field:
            return {str(kind.tag)}
        case msgspec.inspect.StructType() if step:
            inner = [each.type for each in kind.fields if each.encode_name == step[1]]
            return set[str]().union(*(_allowed(each, rest) for each in inner))
        case msgspec.inspect.CollectionType() if step:
            return _allowed(kind.item_type, rest)
        case msgspec.inspect.DictType() if step:
            return _allowed(kind.value_type, rest)
    return set()


def tolerant(raw: object, wanted: type[S], field: str, errors: RecordErrors) -> S:
    """Convert a table field by field: a wrong field keeps its default, and the error is noted.

    Null counts as missing; unknown fields are ignored. `UseCaseError` if it is not a table, or a
    field without a default is missing or wrong.
    """
    prefix = f"{field}." if field else ""
    given, known = _mapping(raw, field), dict[str, Any]()
    for each in msgspec.structs.fields(wanted):
        name = each.encode_name
        if (value := given.get(name)) is not None:
            place = f"{prefix}{name}"
            read: Callable[[], Any] = partial(convert, value, each.type, place, strict=False)
            known[name] = read() if each.required else errors.read_or(read, UNSET)
    return convert({name: it for name, it in known.items() if it is not UNSET}, wanted, field)


def table(raw: object, field: str, errors: RecordErrors) -> dict[str, Any]:
    """An object, or JSON text of one; anything else is noted and read as empty."""
    return errors.read_or(lambda: _mapping(decoded(raw, field) or {}, field), dict[str, Any]())


def elements(raw: object, field: str, errors: RecordErrors) -> list[Any]:
    """A list, or JSON text of one; anything else is noted and read as empty."""
    return errors.read_or(lambda: _listed(decoded(raw, field) or [], field), list[Any]())


def _mapping(raw: object, field: str) -> dict[str, Any]:
    if isinstance(raw, Mapping) and all(isinstance(name, str) for name in raw):
        return dict(raw)
    return convert(raw, dict[str, Any], field)


def _listed(raw: object, field: str) -> list[Any]:
    return list(raw) if isinstance(raw, list | tuple) else convert(raw, list[Any], field)


def _check(raw: object, field: str) -> None:
    """Refuse nesting that is too deep (without recursion) and text that is not valid UTF-8."""
    level = [raw]
    for _ in range(_MAX_DEPTH):
        if any(isinstance(value, str) and _SURROGATE.search(value) for value in level):
            raise UseCaseError(f"{field}: holds a lone surrogate")
        level = [
            inner
            for value in level
            if isinstance(value, Mapping | list | tuple)
            for inner in (value.values() if isinstance(value, Mapping) else value)
        ]
        if not level:
            return
    raise UseCaseError(f"{field}: is nested too deeply")


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


def decoded(raw: object, field: str) -> object:
    """The value of JSON text (`UseCaseError` if it is none); other values as they are."""
    if not isinstance(raw, str) or not raw.strip():
        return raw or None
    try:
        return msgspec.json.decode(raw)
    except RecursionError as error:
        raise UseCaseError(f"{field}: is nested too deeply") from error
    except (msgspec.DecodeError, UnicodeError) as error:
        raise UseCaseError(f"{field}: is not JSON: {error}") from error


def text_in(item: Mapping[str, object], name: str) -> str:
    """An attribute that is text; empty if it is missing or is not text."""
    value = item.get(name)
    return value if isinstance(value, str) else ""


def keys(item: Item) -> Key:
    """The key of an item to be written; `StoreRefusedError` for keys that no table can hold."""
    pk, sk = item.get("pk"), item.get("sk")
    if not (isinstance(pk, str) and isinstance(sk, str) and pk and sk):
        raise StoreRefusedError("an item needs pk and sk, not empty")
    for name in ("pk1", "sk1"):
        if name in item and not (isinstance(item[name], str) and item[name]):
            raise StoreRefusedError(f"{name} of an item must be text and not empty")
    return pk, sk


def item_text(item: Item) -> str:
    """An item as JSON text; `StoreRefusedError` if no table can hold it."""
    try:
        text = json.dumps(item, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise StoreRefusedError(f"an item cannot be written: {type(error).__name__}") from error
    if len(text) > ITEM_BYTES and (fault := size_error(item)):
        raise StoreRefusedError(fault)
    return text


def size_error(item: Item) -> str:
    """Why an item cannot be written because of its size, measured as JSON; empty if it can."""
    try:
        size = len(msgspec.json.encode(item))
    except (TypeError, ValueError, RecursionError) as error:
        return f"the item cannot be written: {type(error).__name__}"
    if size <= ITEM_BYTES:
        return ""
    return f"the item has {size / 1024:.0f} KB, a table takes {ITEM_BYTES // 1024} KB at most"


def sequence(item: Item) -> int:
    """The `sequence` of an item, see `ports.Store.put_newer`; -1 if it has none."""
    number = item.get("sequence")
    return number if isinstance(number, int) else -1
