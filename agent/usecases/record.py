"""Use-case records: items of the table → `UseCase`.

Records are read as the predecessor's loaders wrote them: `tools` and `dtmfHandlers` as JSON text,
`prompt` plain or JSON-encoded. Unknown attributes are ignored. `promptContext` exists only in the
record of one call (`agent.store.call_state.call_item.record_of_call`).

A record without a name or a prompt raises a `UseCaseError` of one line, `<use case>.<field>:
<error>`. Nothing else in a record stops a call. There are two kinds of warnings, one line each:

- an error (`UseCase.errors`): a value of the wrong type, or out of range. It is left out, as if the
  record did not hold it. `seed` and an edit during a call refuse it.
- a remark: a valid value without effect here, such as an attribute the relay does not know, a tool
  that does not exist, or a key for a tool the use case does not offer; or one that is not safe.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Container, Mapping
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta

from agent.call.messages import ToolSpec
from agent.errors import UseCaseError
from agent.ports import Item, Store
from agent.usecases import AudioFile, ModelSettings, UseCase
from agent.usecases.call_variables import read_before_call, read_variables
from agent.usecases.http_tool import HttpTool, read_http_tools
from agent.usecases.model_times import ModelTimes
from agent.usecases.named_tools import KnownTools, named_tools, usable_everywhere
from agent.usecases.opening_options import opening_remarks, read_opening
from agent.usecases.outcome_schema import OutcomeSchema, path_faults, read_outcome
from agent.usecases.redaction import read_redaction
from agent.usecases.relay_attributes import (
    LANGUAGES_FIELD,
    RECORD_FIELD,
    language_of_voice,
    language_settings,
    relay_attributes,
)
from agent.usecases.spending import SpendingLimits
from agent.usecases.transfer_target import TransferTarget, read_transfer_target
from agent.usecases.translations import read_translations
from agent.usecases.turn_options import TurnOptions
from agent.usecases.validation import (
    RecordErrors,
    convert,
    decoded,
    elements,
    plain,
    table,
    text_in,
    tolerant,
)

CONFIGURATION = "configuration"  # sort key of a record
USE_CASE = "use-case"  # index key of all records

Guardrail = Annotated[str, Meta(pattern=r"^$|^\S+:(\d+|DRAFT)$")]
"""`ID:VERSION`; the id may be an ARN."""
Latency = Literal["", "standard", "optimized"]
ServiceTier = Literal["", "default", "priority", "reserved"]  # `flex` delays requests
_BackupText = Annotated[str, Meta(max_length=500)]
_CONTENT = msgspec.msgpack.Encoder(decimal_format="number", enc_hook=repr)


class _TextBlock(msgspec.Struct):
    text: str


class _Backup(
    msgspec.Struct,
    forbid_unknown_fields=True,
    omit_defaults=True,
    rename={
        **dict.fromkeys(("ttsProvider", "transcriptionProvider"), "provider"),
        **dict.fromkeys(("ttsLanguage", "transcriptionLanguage"), "language"),
        "speechModel": "model",
    },
):
    """Attributes of the relay while a provider is down, read from a table."""


class BackupVoice(_Backup):
    """Text to speech."""

    ttsProvider: Literal["ElevenLabs", "Google", "Amazon"]  # noqa: N815 the spelling of the relay
    voice: _BackupText = ""
    ttsLanguage: _BackupText = ""  # noqa: N815


class BackupTranscription(_Backup):
    """Speech to text."""

    transcriptionProvider: Literal["Deepgram", "Google"]  # noqa: N815
    speechModel: _BackupText = ""  # noqa: N815
    transcriptionLanguage: _BackupText = ""  # noqa: N815


class _Record(msgspec.Struct):
    title: str = ""
    description: str = ""
    tools: Any = ()
    dtmfHandlers: Any = {}  # noqa: N815 the table's spelling, as all below
    conversationRelayParams: Any = {}  # noqa: N815
    greetingKnown: Annotated[str, Meta(max_length=4_000)] = ""  # noqa: N815
    languages: Any = ()
    phrases: Any = {}
    llmModel: Annotated[str, Meta(max_length=2_048)] = ""  # noqa: N815
    maxTokens: Annotated[int, Meta(ge=1, le=1_000_000)] = ModelSettings().max_tokens  # noqa: N815
    temperature: Annotated[float, Meta(ge=0, le=1)] | None = None
    topP: Annotated[float, Meta(ge=0, le=1)] | None = None  # noqa: N815
    additionalModelRequestFields: Any = None  # noqa: N815
    requestMetadata: Any = None  # noqa: N815
    guardrail: Guardrail = ""
    performanceLatency: Latency = ""  # noqa: N815
    serviceTier: ServiceTier = ""  # noqa: N815
    modelTimes: Any = None  # noqa: N815
    offlineScript: Any = ""  # noqa: N815
    handoffNumber: str = ""  # noqa: N815
    desk: Any = None
    voicemail: str = ""
    liveEdits: bool = False  # noqa: N815
    httpTools: Any = None  # noqa: N815
    turnTaking: Any = None  # noqa: N815
    spending: Any = None
    disclosure: Any = None
    consent: Any = None
    recording: Any = None
    redaction: Any = None
    outcome: Any = None
    variables: Any = None
    beforeCall: Any = None  # noqa: N815
    audio: Any = None
    backupVoice: Any = None  # noqa: N815
    backupTranscription: Any = None  # noqa: N815


_Options = TypeVar("_Options", bound=msgspec.Struct)

ParsedRecord = tuple[UseCase, tuple[str, ...]]
"""A use case, and a line for each value that was left out or has no effect."""


def without_prompt(item: Mapping[str, object]) -> Item:
    """What `parse_rest` reads of a record."""
    return {name: each for name, each in item.items() if name not in {"prompt", "promptContext"}}


def content_digest(item: Mapping[str, object]) -> bytes:
    """Equal for equal items; a list and a set are the same. Empty for what cannot be encoded."""
    try:
        return hashlib.blake2b(_CONTENT.encode(item), digest_size=16).digest()
    except (ValueError, TypeError, OverflowError, RecursionError):
        return b""


async def use_cases(store: Store) -> list[tuple[str, str, str]]:
    """Name, title and description of all use cases, by name; also of broken records."""
    return [
        (text_in(item, "pk"), text_in(item, "title"), text_in(item, "description"))
        for item in await store.query_index(USE_CASE)
    ]


def has_live_edits(record: Mapping[str, object]) -> bool:
    """Whether running calls follow edits of this record."""
    value = record.get("liveEdits")
    return bool(value) and RecordErrors().read_or(
        partial(convert, value, bool, strict=False), default=False
    )


def parse_use_case(
    item: Mapping[str, object],
    tools: Mapping[str, ToolSpec],
    unavailable: Mapping[str, str] = MappingProxyType({}),
    unusable_reason: Callable[[HttpTool], str] = usable_everywhere,
) -> ParsedRecord:
    """Read a record; what is wrong and not essential is left out.

    Args:
        item: As it stands in the table.
        tools: What can be used here, by name.
        unavailable: Why a tool that exists cannot be used here, by name.
        unusable_reason: Why a declared tool cannot be used here, `field: reason`; empty if it can.

    Returns:
        The use case, and a line for each value that was left out or has no effect.

    Raises:
        UseCaseError: The prompt is missing or wrong.
    """
    return with_prompt(parse_rest(item, tools, unavailable, unusable_reason), item)


def with_prompt(parsed: ParsedRecord, item: Mapping[str, object]) -> ParsedRecord:
    """What `parse_rest` has made of a record, with the prompt of this one; as `parse_use_case`."""
    use_case, warnings = parsed
    prompt = _prompt(item.get("prompt"), f"{use_case.name}.prompt")
    errors = RecordErrors()
    context = "\n".join(_texts(item.get("promptContext") or (), "promptContext", errors))
    lines = tuple(f"{use_case.name}.{error}" for error in errors.errors)
    whole = replace(use_case, prompt=prompt, context=context, errors=(*use_case.errors, *lines))
    return whole, (*warnings, *(f"{line}; left out" for line in lines))


def parse_rest(
    item: Mapping[str, object],
    tools: Mapping[str, ToolSpec],
    unavailable: Mapping[str, str],
    unusable_reason: Callable[[HttpTool], str],
) -> ParsedRecord:
    """The same without the prompt, which differs in each call; never raises `UseCaseError`."""
    name = text_in(item, "pk")
    errors = RecordErrors()
    record = tolerant(without_prompt(item), _Record, "", errors)
    params = table(record.conversationRelayParams, RECORD_FIELD, errors)
    relay, greeting = relay_attributes(params, errors)
    languages = [
        table(each, f"{LANGUAGES_FIELD}[{index}]", errors)
        for index, each in enumerate(elements(record.languages, LANGUAGES_FIELD, errors))
    ]
    further = language_settings(languages, relay, errors)
    tags = tuple(dict.fromkeys([language_of_voice(relay), *(each["code"] for each in further)]))
    named = named_tools(record.tools, errors)
    built_in = {*tools, *unavailable}
    read = partial(read_http_tools, record.httpTools, "httpTools", built_in, errors)
    declared = errors.read_or(read, tuple[HttpTool, ...]())
    reasons = {tool.spec.name: unusable_reason(tool) for tool in declared}
    usable = {tool.spec.name: tool.spec for tool in declared if not reasons[tool.spec.name]}
    known = KnownTools({**tools, **usable}, unavailable, reasons)
    offered = known.offered(named, errors)
    names = {spec.name for spec in offered}
    has_secrets = any(spec.collects and spec.collects.is_sensitive for spec in offered)
    if has_secrets and relay.get("intelligenceService"):
        errors.remark(f"{RECORD_FIELD}.intelligenceService: keeps sensitive digits at Twilio")
    variables = errors.read_or(
        partial(read_variables, record.variables, "variables"), dict[str, str]()
    )
    use_case = UseCase(
        name,
        prompt="",
        title=record.title,
        description=record.description,
        greeting=greeting,
        greeting_known=record.greetingKnown,
        tools=offered,
        http_tools=tuple(tool for tool in declared if tool.spec.name in names),
        keypad=known.keypad(record.dtmfHandlers, names, errors),
        relay=relay,
        languages=further,
        model=_model(record, errors),
        translations=read_translations(record.phrases, tags, errors),
        turn_taking=_options(record.turnTaking, "turnTaking", TurnOptions, errors),
        opening=read_opening(record.disclosure, record.consent, record.recording, tags, errors),
        spending=_options(record.spending, "spending", SpendingLimits, errors),
        outcome=_outcome(record, {each.name for each in named}, known.usable, errors),
        variables=variables,
        before_call=_before_call(record, variables, errors, unusable_reason),
        redaction=read_redaction(record.redaction, record.recording, errors),
        audio=_audio(record.audio, errors),
        offline_script=errors.read_or(partial(_script, record.offlineScript), ""),
        transfer_target=_transfer_target(record, errors),
        voicemail=record.voicemail,
        backup_voice=_backup(record.backupVoice, "backupVoice", BackupVoice, errors),
        backup_transcription=_backup(
            record.backupTranscription, "backupTranscription", BackupTranscription, errors
        ),
    )
    desk = use_case.transfer_target is not None
    for line in opening_remarks(
        use_case.opening, relay, can_hand_off=desk, has_secrets=has_secrets
    ):
        errors.remark(line)
    lines = tuple(f"{name}.{error}" for error in errors.errors)
    remarks = [f"{name}.{remark}" for remark in errors.remarks]
    return replace(use_case, errors=lines), (*remarks, *(f"{line}; left out" for line in lines))


def _transfer_target(record: _Record, errors: RecordErrors) -> TransferTarget | None:
    """The table `desk`; `handoffNumber` if the table is wrong or missing."""
    if record.desk and record.handoffNumber:
        errors.add("handoffNumber: there is a desk as well")
    target = errors.read_or(lambda: read_transfer_target(record.desk, "", ""), None)
    return target or errors.read_or(
        lambda: read_transfer_target(None, record.handoffNumber, "handoffNumber"), None
    )


def _outcome(
    record: _Record, names: Container[str], specs: Mapping[str, ToolSpec], errors: RecordErrors
) -> OutcomeSchema | None:
    schema = errors.read_or(partial(read_outcome, record.outcome, "outcome", names), None)
    for fault in path_faults(schema, specs) if schema else ():
        errors.remark(f"outcome.fields.{fault}")
    return schema


def _before_call(
    record: _Record,
    variables: Mapping[str, str],
    errors: RecordErrors,
    unusable_reason: Callable[[HttpTool], str],
) -> HttpTool | None:
    read = partial(read_before_call, record.beforeCall, "beforeCall", variables)
    tool = errors.read_or(read, None)
    if tool and (reason := unusable_reason(tool)):
        errors.remark(f"beforeCall.{reason}; left out")
        return None
    return tool


def _script(raw: object) -> str:
    """JSON text for the offline model, which validates the content."""
    script = decoded(raw, "offlineScript")
    return raw if isinstance(raw, str) else json.dumps(plain(script)) if script else ""


def _prompt(raw: object, field: str) -> str:
    """Plain text; or a JSON string; or text blocks of Converse, as JSON or as they are."""
    if isinstance(raw, str):
        try:
            parsed = json.loads(raw, strict=False)
        except (ValueError, RecursionError):
            parsed = raw
        raw = parsed if isinstance(parsed, str | list) else raw
    if isinstance(raw, list):
        raw = "\n".join(_texts(raw, field, RecordErrors()))
    if raw is None or not convert(raw, str, field).strip():
        raise UseCaseError(f"{field}: is missing or blank")
    return convert(raw, str, field)


def _texts(raw: object, field: str, errors: RecordErrors) -> list[str]:
    """The texts of text blocks; a block that is none is left out."""
    read = (
        errors.read_or(partial(convert, block, _TextBlock, f"{field}[{index}]"), None)
        for index, block in enumerate(elements(raw, field, errors))
    )
    return [block.text for block in read if block]


def _model(record: _Record, errors: RecordErrors) -> ModelSettings:
    return ModelSettings(
        identifier=record.llmModel,
        max_tokens=record.maxTokens,
        temperature=record.temperature,
        top_p=record.topP,
        additional=_object_text(
            "additionalModelRequestFields", record.additionalModelRequestFields, Any, errors
        ),
        metadata=_object_text("requestMetadata", record.requestMetadata, str, errors),
        guardrail=record.guardrail,
        latency=record.performanceLatency,
        service_tier=record.serviceTier,
        times=_options(record.modelTimes, "modelTimes", ModelTimes, errors),
    )


def _object_text(field: str, raw: object, wanted: Any, errors: RecordErrors) -> str:
    """JSON text of an object without the values of another type; empty if there are none."""
    options = {
        name: errors.read_or(partial(convert, value, wanted, f"{field}.{name}"), None)
        for name, value in table(raw, field, errors).items()
    }
    valid = {name: value for name, value in options.items() if value is not None}
    return json.dumps(valid, ensure_ascii=False) if valid else ""


def _options(raw: object, field: str, wanted: type[_Options], errors: RecordErrors) -> _Options:
    """A table of options; each that is wrong is left out."""
    given = table(raw, field, errors)
    return errors.read_or(partial(tolerant, given, wanted, field, errors), wanted())


def _audio(raw: object, errors: RecordErrors) -> Mapping[str, AudioFile]:
    read = {
        name: errors.read_or(partial(convert, each, AudioFile, f"audio.{name}"), None)
        for name, each in table(raw, "audio", errors).items()
    }
    return {name: file for name, file in read.items() if file is not None}


def _backup(
    raw: object, field: str, wanted: type[_Backup], errors: RecordErrors
) -> Mapping[str, str]:
    """A backup as attributes of the relay; empty if it is missing."""
    given = table(raw, field, errors)
    read = partial(tolerant, given, wanted, field, errors)
    backup = errors.read_or(read, None) if given else None
    found = msgspec.structs.asdict(backup) if backup else {}
    return {name: text.strip() for name, text in found.items() if text.strip()}
