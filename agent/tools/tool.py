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
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any, get_type_hints

import msgspec

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


ToolFunction = Callable[..., Awaitable[object]]
_NAME = re.compile(r"[A-Za-z0-9_]{1,64}")


@dataclass(frozen=True, slots=True)
class WithEffect:
    """A tool's result together with an effect on the call, such as a transfer."""

    result: object
    effect: Effect


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool that can be offered and run."""

    spec: ToolSpec
    arguments: type[msgspec.Struct]
    """The model's arguments are parsed into this; its fields are the function's parameters."""
    function: ToolFunction
    timeout: float
    """Seconds."""
    max_result_chars: int
    needs: Channel | None = None
    """A channel; while it is not configured, the tool is not offered."""
    rest: str = ""
    """The field for arguments that the schema does not name; empty = such arguments are refused."""


def tool(  # noqa: PLR0913 (all that a tool may declare, by keyword)
    name: str,
    *,
    side_effect: SideEffect = SideEffect.NONE,
    timeout: float = 8.0,
    filler: str = "",
    max_result_chars: int = 4_000,
    rename: Mapping[str, str] | None = None,
    needs: Channel | None = None,
) -> Callable[[ToolFunction], Tool]:
    """Make a tool of an async function; `ValueError` or `TypeError` if no model could use it.

    It is stopped after `timeout` seconds, and a result above `max_result_chars` (at least 200) is
    cut. `filler` is said to the caller when it takes long; empty = one of the use case. `rename`
    maps a parameter to its property, where that is no Python name.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is not a tool name: 1-64 letters, digits, underscores")

    def make(function: ToolFunction) -> Tool:
        if not inspect.iscoroutinefunction(function):
            raise TypeError(f"{name}: a tool is an async function")
        description = " ".join((inspect.getdoc(function) or "").split())
        if not description:
            raise TypeError(f"{name}: the docstring is what the model reads, and it is missing")
        arguments = _arguments(name, function, rename or {})
        parameters = msgspec.json.encode(schema_of(name, arguments)).decode()
        spec = ToolSpec(name, description, parameters, side_effect, filler)
        return Tool(spec, arguments, function, timeout, max_result_chars, needs)

    return make


def _arguments(
    name: str, function: ToolFunction, rename: Mapping[str, str]
) -> type[msgspec.Struct]:
    hints = get_type_hints(function, include_extras=True)
    first, *rest = inspect.signature(function).parameters.values()
    if hints.get(first.name) is not CallContext:
        raise TypeError(f"{name}: the first parameter is the CallContext")
    fields = [
        (each.name, hints[each.name], *(() if each.default is each.empty else (each.default,)))
        for each in rest
    ]
    return msgspec.defstruct(name, fields, rename=rename, kw_only=True, forbid_unknown_fields=True)


def schema_of(name: str, arguments: type[msgspec.Struct]) -> dict[str, Any]:
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
