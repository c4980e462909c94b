"""What a tool is, how a typed async function becomes one, and the call it runs for.

The signature is the JSON schema, the docstring is what the model reads, `Annotated[…,
Meta(description=…)]` describes a parameter, `Literal` lists its values. All of it is checked on
import, so a tool that a model family would refuse never reaches a call. A tool wraps blocking work
in `asyncio.to_thread` itself. What the model must not decide (who is calling, the time, the table)
is passed in a `CallContext`.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any, get_type_hints

import msgspec
from msgspec import UNSET, Struct, UnsetType

from agent.call.actions import NOWHERE, Effect, Standing
from agent.call.messages import SideEffect, ToolSpec
from agent.ports import Channel, Messenger, Store
from agent.tools.idempotency import IdempotencyStore
from agent.tools.json_schema import plain_schema
from agent.usecases import Profile


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
    standing: Standing = NOWHERE
    """Positions of the running tool call, see `agent.tools.builtin.read_back`."""

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


_NAME = re.compile(r"[A-Za-z0-9_]{1,64}")
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
    needs: Channel | None = None
    """A channel; while it is not configured, the tool is not offered."""


def tool(
    name: str,
    *,
    side_effect: SideEffect = SideEffect.NONE,
    filler: str = "",
    rename: Mapping[str, str] | None = None,
    needs: Channel | None = None,
) -> Callable[[Callable[..., Awaitable[object]]], Tool]:
    """Make a tool of an async function; `ValueError` or `TypeError` if no model could use it.

    `filler` is said to the caller when it takes long; empty = one of the use case. `rename` maps a
    parameter to its property, where that is no Python name.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is not a tool name: 1-64 letters, digits, underscores")

    def make(function: Callable[..., Awaitable[object]]) -> Tool:
        if not inspect.iscoroutinefunction(function):
            raise TypeError(f"{name}: a tool is an async function")
        description = " ".join((inspect.getdoc(function) or "").split())
        if not description:
            raise TypeError(f"{name}: the docstring is what the model reads, and it is missing")
        arguments = _arguments(name, function, rename or {})
        parameters = msgspec.json.encode(schema_of(name, arguments)).decode()
        spec = ToolSpec(name, description, parameters, side_effect, filler)

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
