"""Configuration as people write it: folders and files → items of the table.

    configuration/use-cases/<name>/use-case.toml   the record; the folder's name is its name
                                   prompt.md       the system prompt
                                   offline.json    optional: the script of the offline model
                                   items.json      optional: further items, such as free slots
    configuration/profiles/*.toml                  example callers

The record is written in the predecessor's shape, so that one table serves both. A key that is not
known is a fault: in a file that people edit it is a slip of the pen. Faults are `UseCaseError`, one
line: `file: field: fault`.

Items may depend on the day of loading: `<<DAY+3>>` inside any text is the date three days on,
`"expireAt": "<<END+3>>"` the end of that day. An item with `onlyUnlessIndexed` is skipped if the
index holds such an item: a slot that is booked must not come back by seeding again.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from agent.conversation.messages import ToolSpec
from agent.conversation.usecase import KeyBinding, Phrases, Profile
from agent.ports import Item, UseCaseError
from agent.store.desks import read_desk
from agent.store.named_tools import KEYS, OTHERS, declared_tools, handlers_text, tools_text
from agent.store.profiles import profile_item
from agent.store.records import CONFIGURATION, USE_CASE, Guardrail, Latency, ServiceTier
from agent.store.validation import convert

T = TypeVar("T")

_DAY = re.compile(r"<<DAY\+(\d{1,3})>>")
_MARKER = re.compile(r"<<(DAY|END)[^>]*>>")
_END = re.compile(r"<<END\+(\d{1,3})>>")


@dataclass(frozen=True, slots=True)
class Planned:
    """An item to be written."""

    item: Item
    unless: tuple[str, str] | None = None
    """`pk1` and `sk1`: not if the index holds an item with these."""


class _Strict(msgspec.Struct, forbid_unknown_fields=True):
    """A table of a file in which every key must be known."""


class _Model(_Strict):
    identifier: str = ""
    max_tokens: Annotated[int, Meta(ge=1)] | UnsetType = UNSET
    temperature: Annotated[float, Meta(ge=0, le=1)] | UnsetType = UNSET
    top_p: Annotated[float, Meta(ge=0, le=1)] | UnsetType = UNSET
    additional: dict[str, Any] = {}
    metadata: dict[str, str] = {}
    guardrail: Guardrail = ""
    latency: Latency = ""
    service_tier: ServiceTier = ""


class _Key(_Strict):
    reply_text: str = ""
    function: str = ""


class _UseCaseFile(_Strict):
    title: str = ""
    description: str = ""
    greeting: str = ""
    greeting_known: str = ""
    tools: list[str] = []
    http_tools: dict[str, Any] = {}
    handoff_number: str = ""
    desk: dict[str, Any] | None = None
    voicemail: str = ""
    live_edits: bool = False
    model: _Model = msgspec.field(default_factory=_Model)
    relay: dict[str, str | bool | int | float] = {}
    languages: list[dict[str, str | bool]] = []
    keypad: dict[str, _Key] = {}
    phrases: dict[str, str | list[str]] = {}


class _ProfileFile(_Strict):
    caller: Annotated[str, Meta(min_length=1)]
    first_name: str = ""
    last_name: str = ""
    email: str = ""
    use_case: str = ""


class _Index(_Strict):
    pk1: str
    sk1: str


class _TableItem(msgspec.Struct):
    """What every item must have, whatever else is in it."""

    pk: Annotated[str, Meta(min_length=1)]
    sk: Annotated[str, Meta(min_length=1)]
    expireAt: int | float | None = None  # noqa: N815 the spelling of the table
    onlyUnlessIndexed: _Index | None = None  # noqa: N815


def use_case_folders(configuration: Path) -> list[Path]:
    """All folders of use cases, by name."""
    return sorted(path for path in (configuration / "use-cases").glob("*") if path.is_dir())


def profile_files(configuration: Path) -> list[Path]:
    """All files of example callers, by name."""
    return sorted((configuration / "profiles").glob("*.toml"))


def load_folder(folder: Path, tools: Mapping[str, ToolSpec], now: datetime) -> list[Planned]:
    """The record of a use case and its further items.

    Args:
        folder: Of one use case.
        tools: What is implemented, by name.
        now: Aware; its date is today, its zone decides when a day ends.

    Raises:
        UseCaseError: The first fault.
    """
    return [Planned(load_record(folder, tools)), *load_further(folder, now)]


def load_record(folder: Path, tools: Mapping[str, ToolSpec]) -> Item:
    """The record alone; see `load_folder`."""
    path = folder / "use-case.toml"
    file = _parsed(path, tomllib.loads, _UseCaseFile)
    http_tools = _http_tools(path, file, tools)
    record: Item = {
        "pk": folder.name,
        "sk": CONFIGURATION,
        "pk1": USE_CASE,
        "sk1": folder.name,
        "title": file.title,
        "description": file.description,
        "prompt": _prompt(folder / "prompt.md"),
        "tools": tools_text(_tools(path, file, tools), file.http_tools),
        "dtmfHandlers": handlers_text(_keypad(path, file)),
        "conversationRelayParams": _relay(path, file),
    }
    optional = {
        "greetingKnown": file.greeting_known,
        "handoffNumber": file.handoff_number,
        "desk": _desk(path, file) or UNSET,
        "voicemail": file.voicemail,
        "liveEdits": file.live_edits or UNSET,
        "httpTools": http_tools,
        "languages": file.languages,
        "phrases": _phrases(path, file),
        "llmModel": file.model.identifier,
        "maxTokens": file.model.max_tokens,
        "temperature": file.model.temperature,
        "topP": file.model.top_p,
        "additionalModelRequestFields": _json_text(file.model.additional),
        "requestMetadata": _json_text(file.model.metadata),
        "guardrail": file.model.guardrail,
        "performanceLatency": file.model.latency,
        "serviceTier": file.model.service_tier,
        "offlineScript": _offline(folder / "offline.json"),
    }
    return record | {
        name: value
        for name, value in optional.items()
        if value is not UNSET and value not in ("", [], {})
    }


def load_further(folder: Path, now: datetime) -> list[Planned]:
    """The further items alone, with the days filled in; none if there is no such file."""
    path = folder / "items.json"
    raw = _parsed(path, json.loads, list[dict[str, Any]]) if path.exists() else []
    return [_planned(path, number, _filled(item, now)) for number, item in enumerate(raw)]


def load_profile(path: Path) -> Item:
    """The item of an example caller."""
    file = _parsed(path, tomllib.loads, _ProfileFile)
    return profile_item(
        Profile(file.caller, file.first_name, file.last_name, file.email, file.use_case)
    )


def load_document(path: Path) -> Item:
    """An item as `aws dynamodb put-item` takes it, alone or under `Item`: `{"pk": {"S": …}, …}`."""
    raw = _parsed(path, json.loads, dict[str, Any])
    attributes = raw["Item"] if isinstance(raw.get("Item"), dict) and "pk" not in raw else raw
    item = {name: _from_dynamodb(path, name, value) for name, value in attributes.items()}
    _valid(path, "", item, _TableItem)
    return item


def _prompt(path: Path) -> str:
    prompt = _text(path).strip()
    if not prompt:
        raise UseCaseError(f"{path}: is blank")
    return prompt


def _tools(path: Path, file: _UseCaseFile, tools: Mapping[str, ToolSpec]) -> list[ToolSpec]:
    for name in file.tools:
        if name not in tools and OTHERS not in name:
            raise UseCaseError(f"{path}: tools: there is no tool {name!r}")
    return [tools.get(name) or ToolSpec(name, "", "") for name in file.tools]


def _http_tools(path: Path, file: _UseCaseFile, tools: Mapping[str, ToolSpec]) -> str:
    """The declared tools as the record holds them, once they are known to be sound."""
    text = _json_text(file.http_tools)
    try:
        declared_tools(text, "http_tools", tools)
    except UseCaseError as error:
        raise UseCaseError(f"{path}: {error}") from error
    return text


def _desk(path: Path, file: _UseCaseFile) -> dict[str, Any] | None:
    """The table of the desk as it is, once it is known to be sound."""
    try:
        read_desk(file.desk, file.handoff_number, "handoff_number")
    except UseCaseError as error:
        raise UseCaseError(f"{path}: {error}") from error
    return file.desk


def _keypad(path: Path, file: _UseCaseFile) -> dict[str, KeyBinding]:
    for key, binding in file.keypad.items():
        if key not in KEYS:
            raise UseCaseError(f"{path}: keypad.{key}: is not a key")
        if binding.function and binding.function not in {*file.tools, *file.http_tools}:
            raise UseCaseError(
                f"{path}: keypad.{key}.function: {binding.function!r} is not in tools"
            )
    return {
        key: KeyBinding(binding.reply_text, binding.function)
        for key, binding in file.keypad.items()
    }


def _relay(path: Path, file: _UseCaseFile) -> dict[str, object]:
    if "welcomeGreeting" in file.relay:
        raise UseCaseError(f"{path}: relay.welcomeGreeting: is called greeting, above [relay]")
    greeting = {"welcomeGreeting": file.greeting} if file.greeting else {}
    return {**file.relay, **greeting}


def _phrases(path: Path, file: _UseCaseFile) -> dict[str, str | list[str]]:
    _valid(path, "phrases", file.phrases, Phrases)
    return file.phrases


def _offline(path: Path) -> str:
    """The script as it is, once it is known to be JSON."""
    return (
        json.dumps(_parsed(path, json.loads, object), ensure_ascii=False) if path.exists() else ""
    )


def _json_text(table: Mapping[str, object]) -> str:
    """As text, since tables of a database do not keep every number."""
    return msgspec.json.encode(table).decode() if table else ""


def _planned(path: Path, number: int, item: Item) -> Planned:
    left = _MARKER.search(json.dumps(item))
    if left:
        raise UseCaseError(f"{path}: [{number}]: {left[0]} is not DAY+n, or END+n as expireAt")
    key = _valid(path, f"[{number}]", item, _TableItem)
    item.pop("onlyUnlessIndexed", None)
    index = key.onlyUnlessIndexed
    return Planned(item, (index.pk1, index.sk1) if index else None)


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


def _parsed(path: Path, decode: Callable[[str], object], wanted: type[T]) -> T:
    try:
        raw = decode(_text(path))
    except ValueError as error:
        raise UseCaseError(f"{path}: cannot be read: {error}") from error
    return _valid(path, "", raw, wanted)


def _valid(path: Path, field: str, raw: object, wanted: type[T]) -> T:
    try:
        return convert(raw, wanted, field)
    except UseCaseError as error:
        raise UseCaseError(f"{path}: {error}") from error


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not UTF-8"
        raise UseCaseError(f"{path}: cannot be read: {reason}") from error
