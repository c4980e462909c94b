"""Configuration files → items of the table.

    configuration/use-cases/<name>/use-case.toml   the record; the folder's name is its name
                                   prompt.md       the system prompt
                                   offline.json    optional: the script of the offline model
                                   offline.es.json optional: its script in Spanish, and so on
                                   items.json      optional: further items, such as free slots
    configuration/profiles/*.toml                  example callers

`configuration` is the folder that `CONFIGURATION` or `--config` names, else the shipped one.

Unlike in a record of the table, an unknown key is an error. Every function raises `UseCaseError`
for the first error, one line: `file: field: error`.

In `items.json`, `<<DAY+3>>` is the date in three days, `"expireAt": "<<END+3>>"` the end of that
day. An item with `onlyUnlessIndexed` is skipped if the index holds such an item, so that seeding
again does not bring back a booked slot.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from agent.call.config import KeyBinding
from agent.call.messages import ToolSpec
from agent.errors import UseCaseError
from agent.ports import Item
from agent.usecases import AudioFile, Profile, profile_from_item, profile_item
from agent.usecases.call_variables import read_before_call, read_variables
from agent.usecases.http_tool import read_http_tools
from agent.usecases.model_times import ModelTimes
from agent.usecases.named_tools import (
    EXTERNAL_MARKER,
    KEYS,
    handlers_text,
    tools_text,
)
from agent.usecases.opening_options import OpeningTable, RecordingOptions
from agent.usecases.outcome_schema import OutcomeTable, read_outcome
from agent.usecases.record import (
    CONFIGURATION,
    USE_CASE,
    BackupTranscription,
    BackupVoice,
    Guardrail,
    Latency,
    ServiceTier,
)
from agent.usecases.redaction import RedactionOptions
from agent.usecases.spending import SpendingLimits
from agent.usecases.transfer_target import read_transfer_target
from agent.usecases.turn_options import TurnOptions
from agent.usecases.validation import convert

_DAY = re.compile(r"<<DAY\+(\d{1,3})>>")
_MARKER = re.compile(r"<<(DAY|END)[^>]*>>")
_END = re.compile(r"<<END\+(\d{1,3})>>")

_SAME = (
    "greeting_known", "handoff_number", "desk", "voicemail", "backup_voice", "backup_transcription",
    "live_edits", "languages", "phrases", "turn_taking", "spending", "audio", "variables",
    "disclosure", "consent", "recording", "redaction",
)  # fmt: skip
"""Fields of a file that a record holds in camel case."""
_SAME_OF_MODEL = ("max_tokens", "temperature", "top_p", "guardrail", "service_tier")

SEEDED = "seeded"
"""Attribute of a profile that comes from a file."""

T = TypeVar("T")
_NUMBER: Any = int | float


@dataclass(frozen=True, slots=True)
class PlannedItem:
    """An item to be written."""

    item: Item
    unless: tuple[str, str] | None = None
    """`pk1` and `sk1`: not written if the index holds an item with these."""


class _Strict(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    pass


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
    times: ModelTimes = ModelTimes()


class _Key(_Strict):
    reply_text: str = ""
    function: str = ""


class UseCaseFile(_Strict):
    """`use-case.toml`; `docs/generate.py` makes its JSON schema."""

    title: str = ""
    description: str = ""
    greeting: str = ""
    greeting_known: str = ""
    tools: list[str] = []
    http_tools: dict[str, Any] = {}
    handoff_number: str = ""
    desk: dict[str, Any] | None = None
    voicemail: str = ""
    backup_voice: BackupVoice | None = None
    backup_transcription: BackupTranscription | None = None
    live_edits: bool = False
    model: _Model = msgspec.field(default_factory=_Model)
    relay: dict[str, str | bool | int | float] = {}
    languages: list[dict[str, str | bool]] = []
    keypad: dict[str, _Key] = {}
    phrases: dict[str, str | list[str] | dict[str, str | list[str]]] = {}
    turn_taking: TurnOptions = TurnOptions()
    spending: SpendingLimits = SpendingLimits()
    outcome: OutcomeTable = OutcomeTable()
    variables: dict[str, str] = {}
    before_call: dict[str, Any] = {}
    audio: dict[str, AudioFile] = {}
    disclosure: OpeningTable = {}
    consent: OpeningTable = {}
    recording: RecordingOptions | None = None
    redaction: RedactionOptions | None = None


class ProfileFile(_Strict):
    """A file in `profiles`."""

    caller: Annotated[str, Meta(min_length=1)]
    first_name: str = ""
    last_name: str = ""
    email: str = ""
    use_case: str = ""


class _Index(_Strict):
    pk1: str
    sk1: str


class _TableItem(msgspec.Struct):
    pk: Annotated[str, Meta(min_length=1)]
    sk: Annotated[str, Meta(min_length=1)]
    expireAt: int | float | None = None  # noqa: N815 the spelling of the table
    onlyUnlessIndexed: _Index | None = None  # noqa: N815


def configuration_folder(text: str) -> Path:
    """A folder with at least one use case; `ValueError` for any other."""
    if not use_case_folders(Path(text)):
        raise ValueError(f"must be a folder with a use case in use-cases/, unlike {text}")
    return Path(text)


def use_case_folders(configuration: Path) -> list[Path]:
    """The folders of all use cases, by name."""
    return sorted(path for path in (configuration / "use-cases").glob("*") if path.is_dir())


def profile_files(configuration: Path) -> list[Path]:
    """The files of all example callers, by name."""
    return sorted((configuration / "profiles").glob("*.toml"))


def load_folder(folder: Path, tools: Mapping[str, ToolSpec], now: datetime) -> list[PlannedItem]:
    """The record of a use case and its further items; `now` is aware, in the zone of its days."""
    return [PlannedItem(load_record(folder, tools)), *load_further(folder, now)]


def load_record(folder: Path, tools: Mapping[str, ToolSpec]) -> Item:
    """The record of a use case alone."""
    path = folder / "use-case.toml"
    file = _parsed(path, tomllib.loads, UseCaseFile)
    with _naming(path):
        given = msgspec.to_builtins(file)  # without what is not set
        _check(file, given, tools)
    greeting = {"welcomeGreeting": file.greeting} if file.greeting else {}
    keypad = {key: KeyBinding(it.reply_text, it.function) for key, it in file.keypad.items()}
    specs = [tools.get(name) or ToolSpec(name, "", "") for name in file.tools]
    same = [(given, name) for name in _SAME]
    same += [(given.get("model", {}), name) for name in _SAME_OF_MODEL]
    texts = {
        "llmModel": file.model.identifier,
        "performanceLatency": file.model.latency,
        "httpTools": _json_text(file.http_tools),
        "outcome": _json_text(given.get("outcome", {})),
        "beforeCall": _json_text(file.before_call),
        "additionalModelRequestFields": _json_text(file.model.additional),
        "requestMetadata": _json_text(file.model.metadata),
        "offlineScript": _offline(folder / "offline.json"),
        "modelTimes": given.get("model", {}).get("times"),
    }
    return {
        "pk": folder.name,
        "sk": CONFIGURATION,
        "pk1": USE_CASE,
        "sk1": folder.name,
        "title": file.title,
        "description": file.description,
        "prompt": _prompt(folder / "prompt.md"),
        "tools": tools_text(specs, file.http_tools),
        "dtmfHandlers": handlers_text(keypad),
        "conversationRelayParams": {**file.relay, **greeting},
        **{_camel_case(name): table[name] for table, name in same if name in table},
        **{name: text for name, text in texts.items() if text},
    }


def load_profile(path: Path) -> Item:
    """The item of an example caller."""
    file = _parsed(path, tomllib.loads, ProfileFile)
    item = {**profile_item(Profile(**msgspec.structs.asdict(file))), SEEDED: True}
    known = profile_from_item(item)
    for name in ("first_name", "last_name", "email"):
        if getattr(file, name) and not getattr(known, name):
            raise UseCaseError(f"{path}: {name}: cannot be used, calls would read it as not known")
    return item


def load_further(folder: Path, now: datetime) -> list[PlannedItem]:
    """The further items of a use case, with the days filled in; none if there is no such file."""
    path = folder / "items.json"
    raw = _parsed(path, json.loads, list[dict[str, Any]]) if path.exists() else []
    return [_planned(path, number, _filled(item, now)) for number, item in enumerate(raw)]


def load_document(path: Path) -> Item:
    """An item as `aws dynamodb put-item` takes it, alone or under `Item`: `{"pk": {"S": …}, …}`."""
    raw = _parsed(path, json.loads, dict[str, Any])
    attributes = raw["Item"] if isinstance(raw.get("Item"), dict) and "pk" not in raw else raw
    with _naming(path):
        item = {name: _from_dynamodb(name, value) for name, value in attributes.items()}
        convert(item, _TableItem)
    return item


def _check(file: UseCaseFile, given: Mapping[str, Any], tools: Mapping[str, ToolSpec]) -> None:
    """Check what the types of a file do not say: each value can be read from the record."""
    for name in file.tools:
        if name not in tools and EXTERNAL_MARKER not in name:
            raise UseCaseError(f"tools: there is no tool {name!r}")
    read_http_tools(_json_text(file.http_tools), "http_tools", tools)
    for key, binding in file.keypad.items():
        if key not in KEYS:
            raise UseCaseError(f"keypad.{key}: is not a key")
        if binding.function and binding.function not in {*file.tools, *file.http_tools}:
            raise UseCaseError(f"keypad.{key}.function: {binding.function!r} is not in tools")
    if "welcomeGreeting" in file.relay:
        raise UseCaseError("relay.welcomeGreeting: is called greeting, above [relay]")
    read_before_call(file.before_call, "before_call", read_variables(file.variables, "variables"))
    read_outcome(given.get("outcome"), "outcome", {*file.tools, *file.http_tools})
    read_transfer_target(file.desk, file.handoff_number, "handoff_number")


def _camel_case(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(map(str.capitalize, others))


def _prompt(path: Path) -> str:
    if prompt := _text_of(path).strip():
        return prompt
    raise UseCaseError(f"{path}: is blank")


def _offline(path: Path) -> str:
    """The script with those of other languages, `offline.es.json`, under `languages`."""
    if not path.exists():
        return ""
    script = _parsed(path, json.loads, dict[str, object])
    others = {
        file.name.split(".")[1]: _parsed(file, json.loads, object)
        for file in sorted(path.parent.glob("offline.*.json"))
    }
    script |= {"languages": others} if others else {}
    return json.dumps(script, ensure_ascii=False)


def _json_text(table: Mapping[str, object]) -> str:
    """JSON text, because tables of a database do not keep every number."""
    return msgspec.json.encode(table).decode() if table else ""


def _planned(path: Path, number: int, item: Item) -> PlannedItem:
    if left := _MARKER.search(json.dumps(item)):
        raise UseCaseError(f"{path}: [{number}]: {left[0]} is not DAY+n, or END+n as expireAt")
    with _naming(path):
        key = convert(item, _TableItem, f"[{number}]")
    item.pop("onlyUnlessIndexed", None)
    index = key.onlyUnlessIndexed
    return PlannedItem(item, (index.pk1, index.sk1) if index else None)


def _filled(raw: Mapping[str, Any], now: datetime) -> Item:
    def day(found: re.Match[str]) -> str:
        return (now.date() + timedelta(days=int(found[1]))).isoformat()

    item: Item = json.loads(_DAY.sub(day, json.dumps(raw)))
    if end := _END.fullmatch(str(item.get("expireAt"))):
        next_day = now.date() + timedelta(days=int(end[1]) + 1)
        item["expireAt"] = int(datetime.combine(next_day, time(), tzinfo=now.tzinfo).timestamp())
    return item


def _from_dynamodb(field: str, value: object) -> object:
    match value:
        case {"S": str(scalar)} | {"BOOL": bool(scalar)}:
            return scalar
        case {"N": str(number)}:
            return convert(number, _NUMBER, field, strict=False)
        case {"NULL": True}:
            return None
        case {"M": dict(inner)}:
            return {name: _from_dynamodb(f"{field}.{name}", of) for name, of in inner.items()}
        case {"L": list(inner)}:
            return [_from_dynamodb(f"{field}[{n}]", of) for n, of in enumerate(inner)]
        case _:
            raise UseCaseError(f"{field}: is no attribute of DynamoDB's JSON")


def _parsed(path: Path, decode: Callable[[str], object], wanted: type[T]) -> T:
    try:
        raw = decode(_text_of(path))
    except ValueError as error:
        raise UseCaseError(f"{path}: cannot be read: {error}") from error
    with _naming(path):
        return convert(raw, wanted)


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not UTF-8"
        raise UseCaseError(f"{path}: cannot be read: {reason}") from error


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    try:
        yield
    except UseCaseError as error:
        raise UseCaseError(f"{path}: {error}") from error
