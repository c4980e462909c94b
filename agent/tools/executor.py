"""Runs the tools of one call.

Every fault becomes an outcome the model can act on. The text of a `ToolError` is given to the
model; any other exception is logged and given as a generic sentence, because its text may hold
personal data or a third party's words.

Unknown properties are refused, not ignored: a misspelled `topping` would become a wrong order. A
null for an optional parameter counts as left out, and "3" as 3; nothing else is converted.

A tool with side effects that was stopped or failed may be called again: each tool stores in the
table what it has done (`agent.tools.idempotency`).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import msgspec
import structlog

from agent.call.actions import NOWHERE, Standing, ToolOutcome
from agent.call.messages import SideEffect, ToolCall
from agent.call.text import whole_json
from agent.errors import ToolError
from agent.tools.tool import REST, CallContext, Tool, WithEffect

log = structlog.get_logger(__name__)

MAX_RESULT_CHARS = 4_000
_FAILED = "The tool failed because of a technical problem on our side."
_CUT = "The result was too long and is cut here: the rest is missing."


class _MissingError(ToolError):
    def __init__(self, tool: str, names: list[str]) -> None:
        super().__init__(f"{tool} also needs: {', '.join(names)}. Ask the caller if need be.")
        self.names = names


class CallToolExecutor:
    """`agent.ports.ToolExecutor` over a choice of tools."""

    def __init__(self, tools: Iterable[Tool], context: CallContext) -> None:
        self._tools: Mapping[str, Tool] = {each.spec.name: each for each in tools}
        self._context = context

    async def run(self, call: ToolCall, standing: Standing = NOWHERE) -> ToolOutcome:
        try:
            return await self._run(call, replace(self._context, standing=standing))
        except _MissingError as error:
            return _failure({"error": str(error), "missing_fields": error.names})
        except ToolError as error:
            return _failure({"error": str(error) or _FAILED})
        except Exception:  # the tool boundary: a failing tool must not end the call
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
    return f"{text} It is not known whether it took effect; calling it again the same way is safe."


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
