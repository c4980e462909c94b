"""Use-case records: items of the table → values of the domain (seed section A8).

Records are read as the predecessor's loaders wrote them: `tools` and `dtmfHandlers` as JSON text,
`prompt` plain or JSON-encoded. Ours may hold more attributes, all optional: `greetingKnown`,
`languages`, `phrases`, `llmModel`, `maxTokens`, `temperature`, `topP`, `offlineScript`,
`desk` (see `agent.usecases.transfer_target`) or its short form `handoffNumber`, `liveEdits`
(calls follow edits of the record while they run), `httpTools` (tools it declares, see
`agent.usecases.http_tool_reader`;
`tools` names those it offers), `backupVoice` and `backupTranscription` (see
`agent.usecases.speech_backup`), and for Bedrock `additionalModelRequestFields` and
`requestMetadata` (maps, or JSON text), `guardrail`, `performanceLatency`, `serviceTier`. Attributes
nobody knows are ignored.
`promptContext` stands only in a record as one call has it (`session.record_of_call`).

A call needs a name and a prompt: without one of these a record is a `UseCaseError` of one line,
`<use case>.<field>: <fault>`. Nothing else of a record refuses a call. There are two kinds of
warnings, one line each:

- a fault (`UseCase.faults`): what cannot be read, by its type or its value. It is left out, as if
  the record did not hold it. `seed` and an edit of a running call refuse it.
- a remark: what is sound and has no effect here, such as an attribute the relay does not know, a
  tool that does not exist here, or a key for a tool the use case does not offer.

What that means for tools and keys stands in `agent.usecases.named_tools`, for the relay in
`agent.usecases.relay_attributes`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from functools import partial
from types import MappingProxyType
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from agent.call.config import Phrases
from agent.call.messages import ToolSpec
from agent.errors import UseCaseError
from agent.ports import Store
from agent.usecases.http_tool import HttpTool
from agent.usecases.named_tools import KnownTools, declared_tools, named_tools, usable_everywhere
from agent.usecases.relay_attributes import (
    LanguageSettings,
    RelaySettings,
    language_settings,
    relay_attributes,
)
from agent.usecases.speech_backup import BackupTranscription, BackupVoice, read_backup
from agent.usecases.transfer_target import TransferTarget, read_desk
from agent.usecases.use_case import ModelSettings, UseCase
from agent.usecases.validation import (
    Faults,
    convert,
    decoded,
    elements,
    plain,
    table,
    text_in,
    tolerant,
)

CONFIGURATION = "configuration"
USE_CASE = "use-case"

LONGEST_GREETING = 4_000
"""Characters. All attributes of the relay share a document of 64 kB."""
Guardrail = Annotated[str, Meta(pattern=r"^$|^\S+:(\d+|DRAFT)$")]
"""`ID:VERSION`, the id perhaps an ARN."""
Latency = Literal["", "standard", "optimized"]
ServiceTier = Literal["", "default", "priority", "reserved"]
"""Without `flex`, which is cheap because it waits."""


class _TextBlock(msgspec.Struct):
    text: str


class _Record(msgspec.Struct):
    """The attributes of a use-case item, in the spelling of the table."""

    prompt: Any = ""
    promptContext: Any = ()  # noqa: N815 the table's spelling, as all below
    title: str = ""
    description: str = ""
    tools: Any = ()
    dtmfHandlers: Any = {}  # noqa: N815
    conversationRelayParams: Any = {}  # noqa: N815
    greetingKnown: Annotated[str, Meta(max_length=LONGEST_GREETING)] = ""  # noqa: N815
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
    offlineScript: Any = ""  # noqa: N815
    handoffNumber: str = ""  # noqa: N815
    desk: Any = None
    voicemail: str = ""
    liveEdits: bool = False  # noqa: N815
    httpTools: Any = None  # noqa: N815
    backupVoice: Any = None  # noqa: N815
    backupTranscription: Any = None  # noqa: N815


async def use_cases(store: Store) -> list[tuple[str, str, str]]:
    """Name, title and description of all use cases, in the order of their names.

    Records are not parsed, so that a broken one does not hide the others.
    """
    return [
        (text_in(item, "pk"), text_in(item, "title"), text_in(item, "description"))
        for item in await store.query_index(USE_CASE)
    ]


def has_live_edits(record: Mapping[str, object]) -> bool:
    """Calls follow edits of this record while they run."""
    value = record.get("liveEdits")
    return bool(value) and Faults().unless(partial(convert, value, bool, strict=False), False)


def parse_use_case(
    item: Mapping[str, object],
    tools: Mapping[str, ToolSpec],
    absent: Mapping[str, str] = MappingProxyType({}),
    fault_of: Callable[[HttpTool], str] = usable_everywhere,
) -> tuple[UseCase, tuple[str, ...]]:
    """Read a record; what is wrong and not essential is left out.

    Args:
        item: As it stands in the table.
        tools: What can be used here, by name.
        absent: Why a tool that exists cannot be used here, by name; any other does not exist.
        fault_of: Why a declared tool cannot be used here, `field: fault`; empty if it can.

    Returns:
        The use case, and a line for each thing of the record that was left out or may not work.

    Raises:
        UseCaseError: What a call cannot do without is missing.
    """
    name = text_in(item, "pk")
    try:
        prompt = _prompt(item.get("prompt"))
    except UseCaseError as error:
        raise UseCaseError(f"{name}.{error}") from error
    faults = Faults()
    known = KnownTools(tools, absent, fault_of)
    use_case, remarks = _use_case(name, prompt, item, known, faults)
    found = tuple(f"{name}.{fault}" for fault in faults.lines)
    told = Faults()
    for remark in remarks:
        told.add(remark)
    warnings = (
        *(f"{name}.{remark}" for remark in told.lines),
        *(f"{fault}; left out" for fault in found),
    )
    return replace(use_case, faults=found), warnings


def _use_case(
    name: str,
    prompt: str,
    item: Mapping[str, object],
    known: KnownTools,
    faults: Faults,
) -> tuple[UseCase, tuple[str, ...]]:
    """All but the prompt; and the remarks."""
    record = _fields(item, faults)
    spoken, further = _relay(record, faults)
    named = named_tools(record.tools, faults)
    declared = _declared(record.httpTools, known, faults)
    known = known.with_declared(declared)
    tools, unknown = known.offered(named, faults)
    offered = {spec.name for spec in tools}
    keypad, silent = known.keypad(record.dtmfHandlers, offered, faults)
    parsed = UseCase(
        name=name,
        prompt=prompt,
        context="\n".join(_texts(record.promptContext, "promptContext", faults)),
        title=record.title,
        description=record.description,
        greeting=spoken.greeting,
        greeting_known=record.greetingKnown,
        tools=tools,
        http_tools=tuple(tool for tool in declared if tool.spec.name in offered),
        keypad=keypad,
        relay=spoken.attributes,
        languages=further.languages,
        model=_model(record, faults),
        phrases=_phrases(record.phrases, faults),
        offline_script=_script(record.offlineScript, faults),
        desk=_desk(record, faults),
        voicemail=record.voicemail,
        backup_voice=read_backup(record.backupVoice, "backupVoice", BackupVoice, faults),
        backup_transcription=read_backup(
            record.backupTranscription, "backupTranscription", BackupTranscription, faults
        ),
    )
    return parsed, (*spoken.warnings, *further.warnings, *unknown, *silent)


def _fields(item: Mapping[str, object], faults: Faults) -> _Record:
    """The attributes of the table that are ours, those of the prompt aside."""
    return tolerant({**item, "prompt": None}, _Record, "", faults)


def _relay(record: _Record, faults: Faults) -> tuple[RelaySettings, LanguageSettings]:
    params = table(record.conversationRelayParams, "conversationRelayParams", faults)
    spoken = relay_attributes(params)
    further = language_settings(_tables(record.languages, "languages", faults), spoken.attributes)
    for fault in (*spoken.faults, *further.faults):
        faults.add(fault)
    return spoken, further


def _tables(raw: object, field: str, faults: Faults) -> list[dict[str, Any]]:
    """A list of objects; what is no object is empty."""
    listed = enumerate(elements(raw, field, faults))
    return [table(each, f"{field}[{index}]", faults) for index, each in listed]


def _declared(raw: object, known: KnownTools, faults: Faults) -> tuple[HttpTool, ...]:
    return faults.unless(lambda: declared_tools(raw, "httpTools", known.built_in, faults), ())


def _desk(record: _Record, faults: Faults) -> TransferTarget | None:
    """The desk; the number alone if the desk is wrong or there is none."""
    if record.desk and record.handoffNumber:
        faults.add("handoffNumber: there is a desk as well")
    desk = faults.unless(lambda: read_desk(record.desk, "", ""), None)
    return desk or faults.unless(
        lambda: read_desk(None, record.handoffNumber, "handoffNumber"), None
    )


def _script(raw: object, faults: Faults) -> str:
    """JSON text of the offline model, which reads it."""

    def read() -> str:
        script = decoded(raw, "offlineScript")
        return raw if isinstance(raw, str) else json.dumps(plain(script)) if script else ""

    return faults.unless(read, "")


def _prompt(raw: object) -> str:
    """Plain text; or a JSON string; or text blocks of Converse, as JSON or as they are."""
    if isinstance(raw, str):
        try:
            decoded = json.loads(raw, strict=False)
        except (ValueError, RecursionError):
            decoded = raw
        raw = decoded if isinstance(decoded, str | list) else raw
    if isinstance(raw, list):
        raw = "\n".join(_texts(raw, "prompt", Faults()))
    if raw is None or not convert(raw, str, "prompt").strip():
        raise UseCaseError("prompt: is missing or blank")
    return convert(raw, str, "prompt")


def _texts(raw: object, field: str, faults: Faults) -> list[str]:
    """Of text blocks; one that is none is left out."""
    read = (
        faults.unless(partial(convert, block, _TextBlock, f"{field}[{index}]"), None)
        for index, block in enumerate(elements(raw, field, faults))
    )
    return [block.text for block in read if block]


def _model(record: _Record, faults: Faults) -> ModelSettings:
    return ModelSettings(
        identifier=record.llmModel,
        max_tokens=record.maxTokens,
        temperature=record.temperature,
        top_p=record.topP,
        additional=_object_text(
            "additionalModelRequestFields", record.additionalModelRequestFields, Any, faults
        ),
        metadata=_object_text("requestMetadata", record.requestMetadata, str, faults),
        guardrail=record.guardrail,
        latency=record.performanceLatency,
        service_tier=record.serviceTier,
    )


def _object_text(field: str, raw: object, wanted: Any, faults: Faults) -> str:
    """JSON text of an object, or nothing; without the values that are not what is wanted."""
    options = {
        name: faults.unless(partial(convert, value, wanted, f"{field}.{name}"), None)
        for name, value in table(raw, field, faults).items()
    }
    sound = {name: value for name, value in options.items() if value is not None}
    return json.dumps(sound, ensure_ascii=False) if sound else ""


def _phrases(raw: object, faults: Faults) -> Phrases:
    """Our sentences with the record's own in their place."""
    given = table(raw, "phrases", faults)
    names = {field.name for field in fields(Phrases)}
    for name in (name for name in given if name not in names):
        faults.add(f"phrases.{name}: there is no such sentence")
    phrases = Phrases()
    for name in (name for name in given if name in names):
        phrases = faults.unless(partial(_with_phrase, phrases, name, given[name]), phrases)
    return phrases


def _with_phrase(phrases: Phrases, name: str, raw: object) -> Phrases:
    """A blank sentence could not be spoken."""
    said = getattr(convert({name: raw}, Phrases, "phrases"), name)
    sentences = (said,) if isinstance(said, str) else said
    if not (sentences and all(sentence.strip() for sentence in sentences)):
        raise UseCaseError(f"phrases.{name}: is blank")
    return replace(phrases, **{name: said})
