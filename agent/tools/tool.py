"""What a tool is, how a typed async function becomes one, and how the tools of a call are run.

The signature is the JSON schema, the docstring is what the model reads, `Annotated[…,
Meta(description=…)]` describes a parameter, `Literal` lists its values. All of it is checked on
import, so a tool that a model family would refuse never reaches a call. A tool wraps blocking work
in `asyncio.to_thread` itself. What the model must not decide (who is calling, the time, the table)
is passed in a `CallContext`.

Every fault of a run becomes an outcome the model can act on. The text of a `ToolError` is given to
the model; any other exception is logged and given as a generic sentence, because its text may hold
personal data or a third party's words. Unknown properties are refused, not ignored: a misspelled
`topping` would become a wrong order. A null for an optional parameter counts as left out, and "3"
as 3; nothing else is converted. A tool with side effects that was stopped or failed may be called
again: each tool stores in the table what it has done (`agent.tools.idempotency`).
"""

from __future__ import annotations

import asyncio
import inspect
import json
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, tzinfo
from typing import Any, get_type_hints

import msgspec
import structlog
from msgspec import UNSET, Struct, UnsetType

from agent.call.actions import Effect, Entry, ToolOutcome
from agent.call.answer_kind import expected_answers
from agent.call.collector import MARK, Collector
from agent.call.messages import TOOL_NAME, SideEffect, ToolCall, ToolSpec
from agent.call.text import whole_json
from agent.errors import ToolError
from agent.ports import Item, Messenger, Store
from agent.tools.idempotency import (
    DOUBT,
    Beside,
    EffectState,
    IdempotencyRecord,
    IdempotencyStore,
    Result,
)
from agent.tools.json_schema import plain_schema, resolve_pointer
from agent.usecases import AudioFile, Profile
from agent.usecases.call_events import NO_OUTBOX, Outbox
from agent.usecases.tool_event import ToolEvent

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class CallContext:
    """The call a tool runs for, and the services it may use."""

    call_id: str
    caller: str
    """E.164 number or `client:identity`; empty if the number is withheld."""
    to: str
    """The called number."""
    use_case: str
    profile: Profile
    store: Store
    idempotency: IdempotencyStore
    messenger: Messenger
    clock: Callable[[], float]
    """Epoch seconds."""
    time_zone: tzinfo
    language: str = "en-US"
    """The language the call began in, BCP 47."""
    languages: tuple[str, ...] = ()
    """The other languages of the use case."""
    digits: str = field(default="", repr=False)
    """What the caller has entered for the running tool, if it has a collector. If that is
    sensitive, they belong into no result, item, plan or content of an effect, log line or error."""
    audio: Mapping[str, AudioFile] = field(default_factory=dict)
    """The audio files of the use case, by name."""
    order_days: int = 7
    """Days until an order, or a booking that is over, is to expire."""
    outbox: Outbox = NO_OUTBOX

    @property
    def is_caller_known(self) -> bool:
        return bool(self.caller)

    @property
    def owner(self) -> str:
        """The partition of the caller's items: the number, or the call's if it is withheld."""
        return self.caller if self.is_caller_known else self.call_id

    @property
    def now(self) -> datetime:
        return datetime.fromtimestamp(self.clock(), self.time_zone)

    def telling(
        self,
        tool: str,
        event: ToolEvent | None,
        result_of: Callable[[Result], object] = lambda result: result,
    ) -> Beside:
        """The `beside` of `IdempotencyStore.once` that tells an event of an effect that is done.

        Args:
            tool: The name of the tool.
            event: What it tells; None = nothing.
            result_of: The value into which the pointers of the event lead; None = nothing is told.
        """

        def beside(record: IdempotencyRecord) -> Sequence[Item]:
            if event is None or record.state is not EffectState.DONE:
                return ()
            if (result := result_of(record.result)) is None:
                return ()
            call = {"call": self.call_id, "use_case": self.use_case, "caller": self.caller}
            values = (_picked(result, each) for each in (event.fields, event.personal_fields))
            told = event.of(call, tool, *values)
            return self.outbox.items(told, [record.effect, record.owner])

        return beside


def _picked(result: object, pointers: Mapping[str, str]) -> dict[str, object]:
    """The values at these pointers by name; one that is not there is left out."""
    found = {name: resolve_pointer(result, pointer) for name, pointer in pointers.items()}
    return {name: value for name, value in found.items() if value is not None}


MAX_RESULT_CHARS = 4_000
_FAILED = "The tool failed because of a technical problem on our side."
_CUT = "The result was too long and is cut here: the rest is missing."
_BUILTIN_SECONDS = 8.0
REST = "*"
"""The property for arguments that a schema allows without naming them."""


@dataclass(frozen=True, slots=True)
class WithEffect:
    """A tool's result together with an effect on the call, such as a transfer."""

    result: object
    effect: Effect


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool that can be offered and run."""

    spec: ToolSpec
    arguments: type[Struct]
    """The model's arguments are parsed into this."""
    function: Callable[[CallContext, Any], Awaitable[object]]
    """Takes the call and the parsed arguments."""
    timeout: float = _BUILTIN_SECONDS
    """Seconds."""
    needs: str = ""
    """A channel that is configured, or a kind of event that a receiver wants of the use case; else
    the tool is not offered."""


def tool(  # noqa: PLR0913 (each is one property of the tool)
    name: str,
    *,
    side_effect: SideEffect = SideEffect.NONE,
    filler: str = "",
    expects: Mapping[str, str] | None = None,
    rename: Mapping[str, str] | None = None,
    needs: str = "",
    collects: Collector | None = None,
    read_back: tuple[str, ...] | None = None,
) -> Callable[[Callable[..., Awaitable[object]]], Tool]:
    """Make a tool of an async function; `ValueError` or `TypeError` if no model could use it.

    `filler` is said to the caller when it takes long; empty = one of the use case. `expects` says
    what a complete answer to a question of the agent is, by words of the question, as in
    `{"order number": "6 digits"}` (`agent.call.answer_kind`). `rename` maps a parameter to its
    property, where that is no Python name. With `collects` the tool runs when the caller has
    entered the digits, which are in `CallContext.digits`. A tool with `read_back`,
    also an empty one, needs a heard confirmation: a question that names the values of these
    properties, at any depth, and a yes to it (`agent.call.heard_confirmation`).
    """
    if not TOOL_NAME.fullmatch(name):
        raise ValueError(f"{name!r} is not a tool name: 1-64 letters, digits, underscores")
    expected_answers(expects or {})

    def make(function: Callable[..., Awaitable[object]]) -> Tool:
        if not inspect.iscoroutinefunction(function):
            raise TypeError(f"{name}: a tool is an async function")
        description = " ".join((inspect.getdoc(function) or "").split())
        if not description:
            raise TypeError(f"{name}: the docstring is what the model reads, and it is missing")
        arguments = _arguments(name, function, rename or {})
        parameters = msgspec.json.encode(schema_of(name, arguments)).decode()
        asked = tuple((expects or {}).items())
        spec = ToolSpec(
            name,
            description,
            parameters,
            side_effect,
            filler,
            collects,
            asked,
            read_back is not None,
            read_back or (),
        )

        async def run(call: CallContext, given: Struct) -> object:
            return await function(call, **msgspec.structs.asdict(given))

        return Tool(spec, arguments, run, needs=needs)

    return make


def _arguments(
    name: str, function: Callable[..., object], rename: Mapping[str, str]
) -> type[Struct]:
    hints = get_type_hints(function, include_extras=True)
    first, *rest = inspect.signature(function).parameters.values()
    if hints.get(first.name) is not CallContext:
        raise TypeError(f"{name}: the first parameter is the CallContext")
    fields = [
        (each.name, hints[each.name], *(() if each.default is each.empty else (each.default,)))
        for each in rest
    ]
    return msgspec.defstruct(name, fields, rename=rename, kw_only=True, forbid_unknown_fields=True)


def struct_of(name: str, properties: Iterable[tuple[str, Any, bool]]) -> type[Struct]:
    """The struct for arguments of these properties: name, type, and whether it is required.

    Its fields are numbered, because a property may have any name. What is left out is `UNSET`.
    """
    fields: list[Any] = []
    rename = {}
    for number, (each, kind, is_required) in enumerate(properties):
        field = f"p{number}"
        rename[field] = each
        fields.append((field, kind) if is_required else (field, kind | UnsetType, UNSET))
    return msgspec.defstruct(name, fields, rename=rename, kw_only=True, forbid_unknown_fields=True)


def schema_of(name: str, arguments: type[Struct]) -> dict[str, Any]:
    """The JSON schema of a tool's arguments. Raises `TypeError` for an undescribed property."""
    (reference,), definitions = msgspec.json.schema_components([arguments])
    schema = plain_schema({**reference, "$defs": definitions}, keeps_closed=True)
    _require_descriptions(name, schema)
    return schema


def _require_descriptions(name: str, schema: Mapping[str, Any]) -> None:
    for key, node in schema.get("properties", {}).items():
        if not node.get("description"):
            raise TypeError(f"{name}: the parameter {key} has no description")
        _require_descriptions(name, node)
    if "items" in schema:
        _require_descriptions(name, schema["items"])


class _MissingError(ToolError):
    def __init__(self, tool: str, names: list[str]) -> None:
        super().__init__(f"{tool} also needs: {', '.join(names)}. Ask the caller if need be.")
        self.names = names


class CallToolExecutor:
    """`agent.ports.ToolExecutor` over a choice of tools."""

    def __init__(self, tools: Iterable[Tool], context: CallContext) -> None:
        self._tools: Mapping[str, Tool] = {each.spec.name: each for each in tools}
        self._context = context

    async def run(self, call: ToolCall, entry: Entry | None = None) -> ToolOutcome:
        digits = entry.digits if entry else ""
        context = replace(self._context, digits=digits)
        outcome = await self._outcome(call, context, is_secret=bool(entry and entry.is_sensitive))
        if entry is None or not entry.is_sensitive:
            return outcome
        return replace(outcome, content=without_digits(outcome.content, digits))

    async def _outcome(
        self, call: ToolCall, context: CallContext, *, is_secret: bool
    ) -> ToolOutcome:
        try:
            return await self._run(call, context)
        except _MissingError as error:
            return _failure({"error": str(error), "missing_fields": error.names})
        except ToolError as error:
            return _failure({"error": str(error) or _FAILED})
        except Exception as error:  # the tool boundary: a failing tool must not end the call
            if is_secret:  # its text may hold the digits
                kind = type(error).__name__
                log.error("tool.failed", tool=call.name, tool_call_id=call.id, error=kind)
            else:
                log.exception("tool.failed", tool=call.name, tool_call_id=call.id)
            return _failure({"error": _with_doubt(_FAILED, self._tools[call.name])})

    async def _run(self, call: ToolCall, context: CallContext) -> ToolOutcome:
        if (tool := self._tools.get(call.name)) is None:
            names = ", ".join(self._tools) or "none"
            raise ToolError(f"There is no tool {call.name[:64]!r}. The tools are: {names}.")
        match await _run_with_timeout(tool, _parse(tool, call.arguments), context):
            case WithEffect(result, effect):
                return ToolOutcome(_text(result), effect=effect)
            case result:
                return ToolOutcome(_text(result))


async def _run_with_timeout(tool: Tool, arguments: msgspec.Struct, context: CallContext) -> object:
    limit = asyncio.timeout(tool.timeout)
    try:
        async with limit:
            return await tool.function(context, arguments)
    except TimeoutError:
        if not limit.expired():
            raise
        log.warning("tool.timed_out", tool=tool.spec.name, seconds=tool.timeout)
        text = f"{tool.spec.name} took longer than {tool.timeout:g} seconds and was stopped."
        raise ToolError(_with_doubt(text, tool)) from None


def _parse(tool: Tool, text: str) -> msgspec.Struct:
    name = tool.spec.name
    try:
        given: Any = msgspec.json.decode(text) if text.strip() else {}
    except (ValueError, RecursionError) as error:
        raise ToolError(f"The arguments of {name} are not valid JSON: {error}") from error
    if not isinstance(given, dict):
        raise ToolError(f"The arguments of {name} must be a JSON object.")
    fields = msgspec.structs.fields(tool.arguments)
    is_required = {field.encode_name: field.required for field in fields}
    given = {k: v for k, v in given.items() if v is not None or is_required.get(k, True)}
    if REST in is_required:
        named = {name: given.pop(name) for name in given.keys() & is_required.keys() - {REST}}
        given = {**named, REST: given}
    if missing := [name for name in is_required if is_required[name] and name not in given]:
        raise _MissingError(name, missing)
    try:
        return msgspec.convert(given, tool.arguments, strict=False)
    except msgspec.ValidationError as error:
        raise ToolError(f"The arguments of {name} do not fit: {error}") from error


def _with_doubt(text: str, tool: Tool) -> str:
    if tool.spec.side_effect is SideEffect.NONE:
        return text
    return f"{text} {DOUBT} whether it took effect; calling it again the same way is safe."


def without_digits(text: str, digits: str) -> str:
    """The text with marks for digits that were entered, also where they stand in groups."""
    return re.sub(rf"(?<!\d){r'[ .-]?'.join(digits)}(?!\d)", MARK * len(digits), text)


def _failure(content: Mapping[str, object]) -> ToolOutcome:
    return ToolOutcome(_text(content, 1_000), is_error=True)


def _text(value: object, limit: int = MAX_RESULT_CHARS) -> str:
    text = _encoded(value)
    if not text.startswith("{"):
        text = _encoded({"result": value})
    return text if len(text) <= limit else _cut(text, limit)


def _encoded(value: object) -> str:
    try:
        return msgspec.json.encode(value).decode()
    except UnicodeEncodeError:  # a lone surrogate, see `agent.call.text`
        return whole_json(json.dumps(msgspec.to_builtins(value)))


def _cut(text: str, limit: int) -> str:
    kept, cut = text[:limit], text
    while len(cut) > limit:
        cut = msgspec.json.encode({"note": _CUT, "beginning": kept}).decode()
        # A character is escaped to at most two, so this never removes too many.
        kept = kept[: len(kept) - (len(cut) - limit + 1) // 2]
    return cut
