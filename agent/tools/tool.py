"""The call a tool runs for.

It is passed to every tool as its first argument and holds what the model must not decide: who is
calling, what the time is, where things are kept (practice section 19).

How a typed async function becomes a tool.

The signature is the JSON schema, the docstring is what the model reads, `Annotated[…,
Meta(description=…)]` describes a parameter, `Literal` lists its values. All of it is checked when
the module is imported: a tool that a model family would refuse never reaches a call.

The schema is written without `$defs`, `anyOf` with null, and titles, because some model families
read none of them; a parameter that may be left out is simply not required. Functions that block
are not taken: a tool wraps its blocking part in `asyncio.to_thread` itself.
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
from agent.usecases.use_case import Profile


@dataclass(frozen=True, slots=True)
class CallContext:
    """Who calls whom about what, and the means to serve them."""

    call_id: str
    caller: str
    """E.164 number or `client:identity`; empty for a caller who cannot be recognised."""
    to: str
    """The called number."""
    use_case: str
    profile: Profile
    store: Store
    ledger: IdempotencyStore
    """What the call has done to the world; whatever must not be done twice goes through it."""
    messenger: Messenger
    clock: Callable[[], float]
    """Seconds since the epoch."""
    time_zone: tzinfo
    language: str = "en-US"
    """The language the call began in, BCP 47."""
    languages: tuple[str, ...] = ()
    """The other languages the use case speaks."""

    standing: Standing = NOWHERE
    """Of the tool call that runs; see `agent.tools.builtin.read_back`."""

    @property
    def is_caller_known(self) -> bool:
        """The caller can be recognised when they ring again."""
        return bool(self.caller)

    @property
    def owner(self) -> str:
        """The partition of what belongs to the caller: their number, else this call alone."""
        return self.caller if self.is_caller_known else self.call_id

    @property
    def now(self) -> datetime:
        """The time where the agent's business is."""
        return datetime.fromtimestamp(self.clock(), self.time_zone)


ToolFunction = Callable[..., Awaitable[object]]

_NAME = re.compile(r"[A-Za-z0-9_]{1,64}")


@dataclass(frozen=True, slots=True)
class WithEffect:
    """What a tool returns that also does something to the call."""

    result: object
    effect: Effect


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool, ready to be offered and run."""

    spec: ToolSpec
    arguments: type[msgspec.Struct]
    """What the model's arguments are parsed into; its fields are the function's parameters."""
    function: ToolFunction
    timeout: float
    """Seconds."""
    max_result_chars: int
    needs: Channel | None = None
    """What must be configured; where it is not, the tool is not offered."""
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
    """Make a tool of an async function.

    Args:
        name: What models call it, 1-64 of `[A-Za-z0-9_]`.
        side_effect: What running it twice would do.
        timeout: Seconds after which the model is told that it took too long.
        filler: Said to the caller when it takes long; empty = one of the use case's own.
        max_result_chars: A longer result is cut, and says so; at least 200.
        rename: Parameter → property, where the schema's name is not one for Python.
        needs: The channel without which it cannot be offered.

    Raises:
        ValueError: The name cannot be used with every model family.
        TypeError: Not async, no `CallContext` first, or something has no description.
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
        (each.name, hints[each.name])
        if each.default is each.empty
        else (each.name, hints[each.name], each.default)
        for each in rest
    ]
    return msgspec.defstruct(name, fields, rename=rename, kw_only=True, forbid_unknown_fields=True)


def schema_of(name: str, arguments: type[msgspec.Struct]) -> dict[str, Any]:
    """What a model is told of the arguments of a tool.

    Raises:
        TypeError: A property has no description.
    """
    (reference,), definitions = msgspec.json.schema_components([arguments], ref_template="{name}")
    schema: dict[str, Any] = _inline(reference, definitions)
    _refuse_undescribed(name, schema)
    return schema


def _inline(node: Any, definitions: Mapping[str, Any]) -> Any:
    """The schema with each reference replaced by its target, in the plainest words."""
    if isinstance(node, list):
        return [_inline(each, definitions) for each in node]
    if not isinstance(node, dict):
        return node
    plain = {key: value for key, value in node.items() if key != "title"}
    if (target := plain.pop("$ref", None)) is not None:
        plain = {**definitions[target], **plain}
        return _inline(plain, definitions)
    if plain.get("default", 0) in (None, "", ()):
        del plain["default"]
    present = [each for each in plain.get("anyOf", ()) if each != {"type": "null"}]
    if len(present) == 1:
        del plain["anyOf"]
        return _inline({**present[0], **plain}, definitions)
    if "enum" in plain:
        plain = {"type": "string", **plain}
    return {key: _inline(value, definitions) for key, value in plain.items()}


def _refuse_undescribed(name: str, schema: Mapping[str, Any]) -> None:
    """Every property, at any depth, says what it is for."""
    for key, node in schema.get("properties", {}).items():
        if not node.get("description"):
            raise TypeError(f"{name}: the parameter {key} has no description")
        _refuse_undescribed(name, node)
    if "items" in schema:
        _refuse_undescribed(name, schema["items"])
