"""Configuration as people write it: folders and files → items of the table.

    configuration/use-cases/<name>/use-case.toml   the record; the folder's name is its name
                                   prompt.md       the system prompt
                                   offline.json    optional: the script of the offline model
                                   items.json      optional: further items, such as free slots; see
                                                   `agent.usecases.seed_items`
    configuration/profiles/*.toml                  example callers

The record is written in the predecessor's shape, so that one table serves both. A key that is not
known is a fault: in a file that people edit it is a slip of the pen. Faults are `UseCaseError`, one
line: `file: field: fault`.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from agent.call.config import KeyBinding, Phrases
from agent.call.messages import ToolSpec
from agent.errors import UseCaseError
from agent.ports import Item
from agent.usecases.named_tools import KEYS, OTHERS, declared_tools, handlers_text, tools_text
from agent.usecases.profiles import profile_from_item, profile_item
from agent.usecases.record import CONFIGURATION, USE_CASE, Guardrail, Latency, ServiceTier
from agent.usecases.seed_items import PlannedItem, faults_of, load_further, parsed, text_of
from agent.usecases.speech_backup import BackupTranscription, BackupVoice, read_backup
from agent.usecases.transfer_target import read_desk
from agent.usecases.use_case import Profile
from agent.usecases.validation import Refusing, convert


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
    backup_voice: dict[str, Any] = {}
    backup_transcription: dict[str, Any] = {}
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


def use_case_folders(configuration: Path) -> list[Path]:
    """All folders of use cases, by name."""
    return sorted(path for path in (configuration / "use-cases").glob("*") if path.is_dir())


def profile_files(configuration: Path) -> list[Path]:
    """All files of example callers, by name."""
    return sorted((configuration / "profiles").glob("*.toml"))


def load_folder(folder: Path, tools: Mapping[str, ToolSpec], now: datetime) -> list[PlannedItem]:
    """The record of a use case and its further items.

    Args:
        folder: Of one use case.
        tools: What is implemented, by name.
        now: Aware; its date is today, its zone decides when a day ends.

    Raises:
        UseCaseError: The first fault.
    """
    return [PlannedItem(load_record(folder, tools)), *load_further(folder, now)]


def load_record(folder: Path, tools: Mapping[str, ToolSpec]) -> Item:
    """The record alone; see `load_folder`."""
    path = folder / "use-case.toml"
    file = parsed(path, tomllib.loads, _UseCaseFile)
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
        "backupVoice": _backup(path, file.backup_voice, "backup_voice", BackupVoice),
        "backupTranscription": _backup(
            path, file.backup_transcription, "backup_transcription", BackupTranscription
        ),
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


def load_profile(path: Path) -> Item:
    """The item of an example caller.

    Raises:
        UseCaseError: The first fault.
    """
    file = parsed(path, tomllib.loads, _ProfileFile)
    item = profile_item(
        Profile(file.caller, file.first_name, file.last_name, file.email, file.use_case)
    )
    known = profile_from_item(item)
    for name in ("first_name", "last_name", "email"):
        if getattr(file, name) and not getattr(known, name):
            raise UseCaseError(f"{path}: {name}: cannot be used, calls would read it as not known")
    return item


def _prompt(path: Path) -> str:
    prompt = text_of(path).strip()
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
    with faults_of(path):
        declared_tools(text, "http_tools", tools)
    return text


def _desk(path: Path, file: _UseCaseFile) -> dict[str, Any] | None:
    """The table of the desk as it is, once it is known to be sound."""
    with faults_of(path):
        read_desk(file.desk, file.handoff_number, "handoff_number")
    return file.desk


def _backup(
    path: Path,
    given: dict[str, Any],
    field: str,
    wanted: type[BackupVoice] | type[BackupTranscription],
) -> dict[str, Any]:
    """The table as it is, once it is known to be sound."""
    with faults_of(path):
        for name in given.keys() - {each.name for each in msgspec.structs.fields(wanted)}:
            raise UseCaseError(f"{field}.{name}: there is no such field")
        read_backup(given, field, wanted, Refusing())
    return given


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
    with faults_of(path):
        convert(file.phrases, Phrases, "phrases")
    return file.phrases


def _offline(path: Path) -> str:
    """The script as it is, once it is known to be JSON."""
    return json.dumps(parsed(path, json.loads, object), ensure_ascii=False) if path.exists() else ""


def _json_text(table: Mapping[str, object]) -> str:
    """As text, since tables of a database do not keep every number."""
    return msgspec.json.encode(table).decode() if table else ""
