"""Use-case and profile records: items of the table ↔ values of the domain (seed sections A8, A9).

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
all) is left out with a warning. A key that was to run a tool that does not exist here is a key
like any other, told to the model: the predecessor's sibling has such keys, and its line ("one
moment, I look") would promise what never comes. A key that runs a tool we have and the use case
has not is wrong: somebody forgot the tool, and the caller was told to press the key (D23). In a
folder both are refused.

A tool of a record is our implementation with the record's words: description and schema are what
the model sees, side effect and filler are facts about our code and come from it. The same holds for
a declared tool; one that cannot be used in this process is left out with a warning.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from types import MappingProxyType
from typing import Annotated, Any, Literal, Protocol

import msgspec
from msgspec import Meta

from agent.conversation.httptool import HttpTool
from agent.conversation.messages import ToolSpec
from agent.conversation.usecase import (
    KeyBinding,
    ModelSettings,
    Phrases,
    Profile,
    UseCase,
    use_case_name,
)
from agent.ports import Item, Store, UseCaseError
from agent.store.desks import read_desk
from agent.store.http_tools import read_http_tools
from agent.store.validation import convert, decoded

PROFILE = "profile"
CONFIGURATION = "configuration"
USE_CASE = "use-case"
OTHERS = "__"
"""In the name of a tool that is not ours and may come and go: `server__tool`."""
KEYS = frozenset("0123456789*#")

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


class _InputSchema(msgspec.Struct):
    json: dict[str, Any]


class _ToolSpec(msgspec.Struct):
    name: str
    description: str = ""
    inputSchema: _InputSchema | None = None  # noqa: N815


class _Tool(msgspec.Struct):
    toolSpec: _ToolSpec  # noqa: N815


class _Handler(msgspec.Struct):
    replyWithText: bool = False  # noqa: N815
    replyText: str = ""  # noqa: N815
    replyWithFunction: bool = False  # noqa: N815
    replyFunction: str = ""  # noqa: N815


async def profile(store: Store, caller: str) -> Profile | None:
    """What is known about a caller; `None` for one who never was."""
    item = await store.get(caller, PROFILE) if caller else None
    return None if item is None else profile_from_item(item)


def profile_from_item(item: Mapping[str, object]) -> Profile:
    """A profile, with what is missing or no text left empty: it must never stop a call."""
    return Profile(
        caller=_text(item, "pk"),
        first_name=_text(item, "firstName"),
        last_name=_text(item, "lastName"),
        email=_text(item, "email"),
        use_case=use_case_name(item.get("useCase")),
    )


def profile_item(profile: Profile) -> Item:
    """The item of a profile; what is empty is left out, so that merging it erases nothing."""
    attributes = {
        "firstName": profile.first_name,
        "lastName": profile.last_name,
        "email": profile.email,
        "useCase": profile.use_case,
    }
    known = {name: value for name, value in attributes.items() if value}
    caller = profile.caller
    return {"pk": caller, "sk": PROFILE, "pk1": PROFILE, "sk1": caller, **known}


async def use_cases(store: Store) -> list[tuple[str, str, str]]:
    """Name, title and description of all use cases, in the order of their names.

    Records are not parsed, so that a broken one does not hide the others.
    """
    return [
        (_text(item, "pk"), _text(item, "title"), _text(item, "description"))
        for item in await store.query_index(USE_CASE)
    ]


def has_live_edits(record: Mapping[str, object]) -> bool:
    """Calls follow edits of this record while they run."""
    return record.get("liveEdits") is True


def usable_everywhere(_: HttpTool) -> str:
    """For whoever only looks at a record and sends nothing."""
    return ""


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
    name = _text(item, "pk")
    try:
        return _use_case(name, item, _Tools(tools, absent, fault_of), relay)
    except UseCaseError as error:
        raise UseCaseError(f"{name}.{error}") from error


def tools_text(tools: Iterable[ToolSpec], declared: Iterable[str] = ()) -> str:
    """Tools as the attribute `tools` holds them: JSON text of `toolSpec` objects.

    Args:
        tools: With their words; of one without a schema only the name is written, as what it is, is
            known when a call begins.
        declared: Further ones by name, whose words are in `httpTools` alone.
    """
    specs = [*map(_tool_spec, tools), *({"name": name} for name in declared)]
    return json.dumps([{"toolSpec": spec} for spec in specs], ensure_ascii=False)


def _tool_spec(tool: ToolSpec) -> dict[str, object]:
    if not tool.parameters:
        return {"name": tool.name}
    return {
        "name": tool.name,
        "description": tool.description,
        "inputSchema": {"json": json.loads(tool.parameters)},
    }


def handlers_text(keypad: Mapping[str, KeyBinding]) -> str:
    """Keys as the attribute `dtmfHandlers` holds them: JSON text, four fields each (A13)."""
    return json.dumps(
        {
            key: {
                "replyWithText": bool(binding.reply_text),
                "replyText": binding.reply_text,
                "replyWithFunction": bool(binding.function),
                "replyFunction": binding.function,
            }
            for key, binding in keypad.items()
        },
        ensure_ascii=False,
    )


@dataclass(frozen=True, slots=True)
class _Tools:
    """What a record may name."""

    usable: Mapping[str, ToolSpec]
    absent: Mapping[str, str]
    fault_of: Callable[[HttpTool], str]
    barred: Mapping[str, str] = field(default_factory=dict)
    """Declared, and of no use here: name and fault."""

    def with_declared(self, declared: Iterable[HttpTool]) -> _Tools:
        """These and those that the record itself declares."""
        faults = {tool.spec.name: self.fault_of(tool) for tool in declared}
        specs = {tool.spec.name: tool.spec for tool in declared if not faults[tool.spec.name]}
        barred = {name: fault for name, fault in faults.items() if fault}
        return replace(self, usable={**self.usable, **specs}, barred=barred)

    def missing(self, name: str) -> str:
        """Why there is no such tool here."""
        return self.absent.get(name, "not implemented")

    def remark(self, name: str) -> str:
        """That a tool is left out, and why."""
        if name in self.barred:
            return f"httpTools.{name}.{self.barred[name]}; left out"
        return f"tools.{name}: {self.missing(name)}, left out"


def _use_case(
    name: str, item: Mapping[str, object], tools: _Tools, relay: RelayRules
) -> tuple[UseCase, tuple[str, ...]]:
    given = {field: value for field, value in item.items() if value is not None}
    record = convert(given, _Record)
    spoken = relay.relay_attributes(record.conversationRelayParams)
    further = relay.language_settings(record.languages, spoken.attributes)
    named = _named_tools(record.tools)
    declared = declared_tools(record.httpTools, "httpTools", {*tools.usable, *tools.absent})
    tools = tools.with_declared(declared)
    decoded(record.offlineScript, "offlineScript")
    usable = tuple(
        _with_words(spec, tools.usable[spec.name]) for spec in named if spec.name in tools.usable
    )
    unknown = [tools.remark(spec.name) for spec in named if spec.name not in tools.usable]
    offered = {spec.name for spec in usable}
    keypad, silent = _keypad(record.dtmfHandlers, offered, tools)
    parsed = UseCase(
        name=name,
        prompt=_prompt(record.prompt),
        context="\n".join(block.text for block in record.promptContext),
        title=record.title,
        description=record.description,
        greeting=spoken.greeting,
        greeting_known=record.greetingKnown,
        tools=usable,
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


def _named_tools(raw: object) -> list[_ToolSpec]:
    named = [tool.toolSpec for tool in convert(decoded(raw, "tools") or [], list[_Tool], "tools")]
    names = [spec.name for spec in named]
    for name in names:
        if names.count(name) > 1:
            raise UseCaseError(f"tools.{name}: is named twice")
    return named


def declared_tools(raw: object, field: str, built_in: Container[str]) -> tuple[HttpTool, ...]:
    """The tools a use case declares, none by the name of one that is built in.

    Raises:
        UseCaseError: The first fault, `field.NAME.…: fault`.
    """
    declared = read_http_tools(raw, field)
    for tool in declared:
        if tool.spec.name in built_in:
            raise UseCaseError(f"{field}.{tool.spec.name}: is the name of a built-in tool")
    return declared


def _with_words(spec: _ToolSpec, implemented: ToolSpec) -> ToolSpec:
    """Our tool, described to the model as the record does."""
    described = replace(implemented, description=spec.description or implemented.description)
    if spec.inputSchema is None:
        return described
    if spec.inputSchema.json.get("type") != "object":
        raise UseCaseError(f"tools.{spec.name}.inputSchema.json.type: must be object")
    return replace(described, parameters=json.dumps(spec.inputSchema.json, ensure_ascii=False))


def _keypad(
    raw: object, usable: set[str], tools: _Tools
) -> tuple[dict[str, KeyBinding], list[str]]:
    """The keys, and a remark on each that was to run what does not exist here."""
    handlers = convert(decoded(raw, "dtmfHandlers") or {}, dict[str, _Handler], "dtmfHandlers")
    keypad, remarks = {}, []
    for key, handler in handlers.items():
        if key not in KEYS:
            raise UseCaseError(f"dtmfHandlers.{key}: is not a key")
        function = handler.replyFunction if handler.replyWithFunction else ""
        is_missing = handler.replyWithFunction and function not in usable
        if is_missing and (not function or function in tools.usable):
            raise UseCaseError(
                f"dtmfHandlers.{key}.replyFunction: no tool {function!r} in this use case"
            )
        if is_missing:
            keypad[key] = KeyBinding()
            remarks.append(
                f"dtmfHandlers.{key}.replyFunction: {function} is {tools.missing(function)}"
            )
        else:
            keypad[key] = KeyBinding(handler.replyText if handler.replyWithText else "", function)
    return keypad, remarks


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


def _text(item: Mapping[str, object], field: str) -> str:
    value = item.get(field)
    return value if isinstance(value, str) else ""
