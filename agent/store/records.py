"""Use-case records: items of the table → values of the domain (seed section A8).

Records are read as the predecessor's loaders wrote them: `tools` and `dtmfHandlers` as JSON text,
`prompt` plain or JSON-encoded. Ours may hold more attributes, all optional: `greetingKnown`,
`languages`, `phrases`, `llmModel`, `maxTokens`, `temperature`, `topP`, `offlineScript`,
`desk` (see `agent.store.desks`) or its short form `handoffNumber`, `liveEdits` (calls follow edits
of the record while they run), `httpTools` (tools it declares, see `agent.store.http_tools`;
`tools` names those it offers), and for Bedrock `additionalModelRequestFields` and
`requestMetadata` (maps, or JSON text), `guardrail`, `performanceLatency`, `serviceTier`. Attributes
nobody knows are ignored.
`promptContext` stands only in a record as one call has it (`session.record_of_call`).

What is wrong is a `UseCaseError` of one line, `<use case>.<field>: <fault>`; what can be left out
without harm (a tool that does not exist here, an attribute of the relay that does not exist at
all) is left out with a warning. What that means for tools and keys stands in
`agent.store.named_tools`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from types import MappingProxyType
from typing import Annotated, Any, Literal, Protocol

import msgspec
from msgspec import Meta

from agent.conversation.httptool import HttpTool
from agent.conversation.messages import ToolSpec
from agent.conversation.usecase import ModelSettings, Phrases, UseCase
from agent.ports import Store, UseCaseError
from agent.store.desks import read_desk
from agent.store.named_tools import KnownTools, declared_tools, named_tools, usable_everywhere
from agent.store.validation import convert, decoded, text_in

CONFIGURATION = "configuration"
USE_CASE = "use-case"

Guardrail = Annotated[str, Meta(pattern=r"^$|^\S+:(\d+|DRAFT)$")]
"""`ID:VERSION`, the id perhaps an ARN."""
Latency = Literal["", "standard", "optimized"]
ServiceTier = Literal["", "default", "priority", "reserved"]
"""Without `flex`, which is cheap because it waits."""


class RelaySettings(Protocol):
    """A record's `conversationRelayParams` after validation."""

    @property
    def attributes(self) -> Mapping[str, str]:
        """As they will stand in the TwiML."""
        ...

    @property
    def greeting(self) -> str:
        """The record's `welcomeGreeting`."""
        ...

    @property
    def warnings(self) -> tuple[str, ...]:
        """What was left out or may not work, `field: remark`."""
        ...


class LanguageSettings(Protocol):
    """A record's `languages` after validation."""

    @property
    def languages(self) -> tuple[Mapping[str, str], ...]:
        """The attributes of each, as they will stand in the TwiML."""
        ...

    @property
    def warnings(self) -> tuple[str, ...]:
        """As in `RelaySettings`."""
        ...


class RelayRules(Protocol):
    """What the relay accepts: the functions of `agent.relay.attributes`, which is passed as it is.

    Both raise `UseCaseError` as `field: fault`, the field in the spelling of the record.
    """

    def relay_attributes(self, params: Mapping[str, object], /) -> RelaySettings:
        """Check the attributes of the relay."""
        ...

    def language_settings(
        self, records: Iterable[Mapping[str, object]], inherited: Mapping[str, str], /
    ) -> LanguageSettings:
        """Check the further languages."""
        ...


class _TextBlock(msgspec.Struct):
    text: str


class _Record(msgspec.Struct):
    """The attributes of a use-case item, in the spelling of the table."""

    prompt: Any = ""
    promptContext: list[_TextBlock] = []  # noqa: N815 the table's spelling, as all below
    title: str = ""
    description: str = ""
    tools: Any = ()
    dtmfHandlers: Any = {}  # noqa: N815
    conversationRelayParams: dict[str, Any] = {}  # noqa: N815
    greetingKnown: str = ""  # noqa: N815
    languages: list[dict[str, Any]] = []
    phrases: dict[str, Any] = {}
    llmModel: str = ""  # noqa: N815
    maxTokens: Annotated[int, Meta(ge=1)] = ModelSettings().max_tokens  # noqa: N815
    temperature: Annotated[float, Meta(ge=0, le=1)] | None = None
    topP: Annotated[float, Meta(ge=0, le=1)] | None = None  # noqa: N815
    additionalModelRequestFields: Any = None  # noqa: N815
    requestMetadata: Any = None  # noqa: N815
    guardrail: Guardrail = ""
    performanceLatency: Latency = ""  # noqa: N815
    serviceTier: ServiceTier = ""  # noqa: N815
    offlineScript: str = ""  # noqa: N815
    handoffNumber: str = ""  # noqa: N815
    desk: Any = None
    voicemail: str = ""
    liveEdits: bool = False  # noqa: N815
    httpTools: Any = None  # noqa: N815


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
    return record.get("liveEdits") is True


def parse_use_case(
    item: Mapping[str, object],
    tools: Mapping[str, ToolSpec],
    relay: RelayRules,
    absent: Mapping[str, str] = MappingProxyType({}),
    fault_of: Callable[[HttpTool], str] = usable_everywhere,
) -> tuple[UseCase, tuple[str, ...]]:
    """Validate a record whole.

    Args:
        item: As it stands in the table.
        tools: What can be used here, by name.
        relay: Validates the attributes of the relay.
        absent: Why a tool that exists cannot be used here, by name; any other does not exist.
        fault_of: Why a declared tool cannot be used here, `field: fault`; empty if it can.

    Returns:
        The use case, and a line for each thing of the record that was left out or may not work.

    Raises:
        UseCaseError: The first fault.
    """
    name = text_in(item, "pk")
    try:
        return _use_case(name, item, KnownTools(tools, absent, fault_of), relay)
    except UseCaseError as error:
        raise UseCaseError(f"{name}.{error}") from error


def _use_case(
    name: str, item: Mapping[str, object], known: KnownTools, relay: RelayRules
) -> tuple[UseCase, tuple[str, ...]]:
    given = {field: value for field, value in item.items() if value is not None}
    record = convert(given, _Record)
    spoken = relay.relay_attributes(record.conversationRelayParams)
    further = relay.language_settings(record.languages, spoken.attributes)
    named = named_tools(record.tools)
    declared = declared_tools(record.httpTools, "httpTools", known.built_in)
    known = known.with_declared(declared)
    decoded(record.offlineScript, "offlineScript")
    tools, unknown = known.offered(named)
    offered = {spec.name for spec in tools}
    keypad, silent = known.keypad(record.dtmfHandlers, offered)
    parsed = UseCase(
        name=name,
        prompt=_prompt(record.prompt),
        context="\n".join(block.text for block in record.promptContext),
        title=record.title,
        description=record.description,
        greeting=spoken.greeting,
        greeting_known=record.greetingKnown,
        tools=tools,
        http_tools=tuple(tool for tool in declared if tool.spec.name in offered),
        keypad=keypad,
        relay=spoken.attributes,
        languages=further.languages,
        model=_model(record),
        phrases=_phrases(record.phrases),
        offline_script=record.offlineScript,
        desk=read_desk(record.desk, record.handoffNumber, "handoffNumber"),
        voicemail=record.voicemail,
    )
    warnings = (*spoken.warnings, *further.warnings, *unknown, *silent)
    return parsed, tuple(f"{name}.{warning}" for warning in warnings)


def _prompt(raw: object) -> str:
    """Plain text; or a JSON string; or text blocks of Converse, as JSON or as they are."""
    if isinstance(raw, str):
        try:
            decoded = json.loads(raw, strict=False)
        except ValueError:
            decoded = raw
        raw = decoded if isinstance(decoded, str | list) else raw
    if isinstance(raw, list):
        raw = "\n".join(block.text for block in convert(raw, list[_TextBlock], "prompt"))
    prompt = convert(raw, str, "prompt")
    if not prompt.strip():
        raise UseCaseError("prompt: is missing or blank")
    return prompt


def _model(record: _Record) -> ModelSettings:
    return ModelSettings(
        identifier=record.llmModel,
        max_tokens=record.maxTokens,
        temperature=record.temperature,
        top_p=record.topP,
        additional=_object_text(
            "additionalModelRequestFields", record.additionalModelRequestFields, dict[str, Any]
        ),
        metadata=_object_text("requestMetadata", record.requestMetadata, dict[str, str]),
        guardrail=record.guardrail,
        latency=record.performanceLatency,
        service_tier=record.serviceTier,
    )


def _object_text(field: str, raw: object, wanted: type[dict[str, Any]]) -> str:
    """JSON text of an object, or nothing."""
    options = convert(decoded(raw, field) or {}, wanted, field)
    return json.dumps(options, ensure_ascii=False) if options else ""


def _phrases(raw: Mapping[str, object]) -> Phrases:
    """Our sentences with the record's own in their place; a blank one could not be spoken."""
    phrases = convert(raw, Phrases, "phrases")
    names = {field.name for field in fields(Phrases)}
    for name in raw:
        if name not in names:
            raise UseCaseError(f"phrases.{name}: there is no such sentence")
        said = getattr(phrases, name)
        sentences = (said,) if isinstance(said, str) else said
        if not (sentences and all(sentence.strip() for sentence in sentences)):
            raise UseCaseError(f"phrases.{name}: is blank")
    return phrases
