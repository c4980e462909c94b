"""Items that are written as they are: further items of a use case, and single documents.

Items of a folder's `items.json` may depend on the day of loading: `<<DAY+3>>` inside any text is
the date three days on, `"expireAt": "<<END+3>>"` the end of that day. An item with
`onlyUnlessIndexed` is skipped if the index holds such an item: a slot that is booked must not come
back by seeding again.

Files that people write, read as values: a fault names the file, `file: field: fault`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

from agent.errors import UseCaseError
from agent.ports import Item
from agent.usecases.validation import convert

_DAY = re.compile(r"<<DAY\+(\d{1,3})>>")
_MARKER = re.compile(r"<<(DAY|END)[^>]*>>")
_END = re.compile(r"<<END\+(\d{1,3})>>")


@dataclass(frozen=True, slots=True)
class PlannedItem:
    """An item to be written."""

    item: Item
    unless: tuple[str, str] | None = None
    """`pk1` and `sk1`: not if the index holds an item with these."""


class _Index(msgspec.Struct, forbid_unknown_fields=True):
    pk1: str
    sk1: str


class _TableItem(msgspec.Struct):
    """What every item must have, whatever else is in it."""

    pk: Annotated[str, Meta(min_length=1)]
    sk: Annotated[str, Meta(min_length=1)]
    expireAt: int | float | None = None  # noqa: N815 the spelling of the table
    onlyUnlessIndexed: _Index | None = None  # noqa: N815


def load_further(folder: Path, now: datetime) -> list[PlannedItem]:
    """The further items of a use case, with the days filled in; none if there is no such file.

    Raises:
        UseCaseError: The first fault.
    """
    path = folder / "items.json"
    raw = parsed(path, json.loads, list[dict[str, Any]]) if path.exists() else []
    return [_planned(path, number, _filled(item, now)) for number, item in enumerate(raw)]


def load_document(path: Path) -> Item:
    """An item as `aws dynamodb put-item` takes it, alone or under `Item`: `{"pk": {"S": …}, …}`.

    Raises:
        UseCaseError: The first fault.
    """
    raw = parsed(path, json.loads, dict[str, Any])
    attributes = raw["Item"] if isinstance(raw.get("Item"), dict) and "pk" not in raw else raw
    item = {name: _from_dynamodb(path, name, value) for name, value in attributes.items()}
    with faults_of(path):
        convert(item, _TableItem)
    return item


def _planned(path: Path, number: int, item: Item) -> PlannedItem:
    left = _MARKER.search(json.dumps(item))
    if left:
        raise UseCaseError(f"{path}: [{number}]: {left[0]} is not DAY+n, or END+n as expireAt")
    with faults_of(path):
        key = convert(item, _TableItem, f"[{number}]")
    item.pop("onlyUnlessIndexed", None)
    index = key.onlyUnlessIndexed
    return PlannedItem(item, (index.pk1, index.sk1) if index else None)


def _filled(raw: Mapping[str, Any], now: datetime) -> Item:
    """An item of a file with its days filled in."""
    item: Item = {name: _with_days(value, now) for name, value in raw.items()}
    end = _END.fullmatch(str(item.get("expireAt")))
    if end:
        next_day = now.date() + timedelta(days=int(end[1]) + 1)
        item["expireAt"] = int(datetime.combine(next_day, time(), tzinfo=now.tzinfo).timestamp())
    return item


def _with_days(value: object, now: datetime) -> object:
    match value:
        case str():
            return _DAY.sub(
                lambda found: (now.date() + timedelta(days=int(found[1]))).isoformat(), value
            )
        case list():
            return [_with_days(inner, now) for inner in value]
        case dict():
            return {name: _with_days(inner, now) for name, inner in value.items()}
        case _:
            return value


def _from_dynamodb(path: Path, field: str, value: object) -> object:
    """One attribute value of DynamoDB's JSON."""
    match value:
        case {"S": str(text)}:
            return text
        case {"N": str(number)}:
            return _number(path, field, number)
        case {"BOOL": bool(flag)}:
            return flag
        case {"NULL": True}:
            return None
        case {"M": dict(inner)}:
            return {name: _from_dynamodb(path, f"{field}.{name}", of) for name, of in inner.items()}
        case {"L": list(inner)}:
            return [_from_dynamodb(path, f"{field}[{n}]", of) for n, of in enumerate(inner)]
        case _:
            raise UseCaseError(f"{path}: {field}: is no attribute of DynamoDB's JSON")


def _number(path: Path, field: str, text: str) -> object:
    try:
        return int(text) if re.fullmatch(r"-?\d+", text) else float(text)
    except ValueError as error:
        raise UseCaseError(f"{path}: {field}: {text!r} is no number") from error


T = TypeVar("T")


def parsed(path: Path, decode: Callable[[str], object], wanted: type[T]) -> T:
    """What a file says.

    Args:
        path: The file.
        decode: From its text; raises `ValueError`.
        wanted: What it must hold.

    Raises:
        UseCaseError: It cannot be read, or holds something else.
    """
    try:
        raw = decode(text_of(path))
    except ValueError as error:
        raise UseCaseError(f"{path}: cannot be read: {error}") from error
    with faults_of(path):
        return convert(raw, wanted)


def text_of(path: Path) -> str:
    """The text of a file.

    Raises:
        UseCaseError: It cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not UTF-8"
        raise UseCaseError(f"{path}: cannot be read: {reason}") from error


@contextmanager
def faults_of(path: Path) -> Iterator[None]:
    """Whatever is wrong in here is wrong in this file."""
    try:
        yield
    except UseCaseError as error:
        raise UseCaseError(f"{path}: {error}") from error
