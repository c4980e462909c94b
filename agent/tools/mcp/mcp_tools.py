"""Tools for use cases, made of what an MCP server lists and answers.

All server output is untrusted: it is bounded, converted to our forms and never followed. A tool
that cannot be read is left out with a remark, and nothing in an answer raises an error.

A tool's name is `server__tool`, of the characters every model family takes. Names that become equal
by this get a number that depends on the original name alone, so that all processes agree.

What running a tool twice would do is decided by the operator's file, then by the server's hint;
without either it must not be run twice. A tool with effects goes through the idempotency store:

| the server's answer | a tool that may be repeated | any other |
|---|---|---|
| done | done | done |
| it ran and failed | not done, may be tried again | stored as its result, not run again |
| it refuses to begin | not done, may be tried again | the same |
| none, or unreadable | completed by asking again | unknown, not run again |

A failure is stored as a result because it does not say how far the tool came.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import msgspec

from agent.call.messages import SideEffect, ToolSpec, tool_name_of
from agent.errors import AgentError, ToolError, UseCaseError
from agent.tools.idempotency import PERFORM_SECONDS, Plan, Result
from agent.tools.json_schema import SchemaError, one_line, plain_schema
from agent.tools.mcp.mcp_config import McpServerConfig
from agent.tools.tool import MAX_RESULT_CHARS, REST, CallContext, Tool, struct_of

_LONGEST_NAME = 64
_DESCRIPTION_CHARS = 1_000
_SHOWN_CHARS = 100
_NOT_INCLUDED = "[{}, not included]"
_NO_ANSWER = "The system behind this tool did not answer. It may be tried again later."
_EFFECT_SECONDS = PERFORM_SECONDS + 2.0
_KINDS: Mapping[str, Any] = {
    "string": str, "integer": int, "number": int | float, "boolean": bool, "array": list[Any],
    "object": dict[str, Any],
}  # fmt: skip


class ServerUnavailableError(AgentError):
    """A tool that was called may or may not have run; the text quotes nothing from the server."""


class SessionOverError(ToolError):
    """The server has ended the session: the tool did not run, and a new session may run it."""


@dataclass(frozen=True, slots=True)
class ListedTool:
    """A tool as its server lists it; untrusted."""

    name: str
    description: str
    schema: dict[str, Any]
    is_read_only: bool
    is_idempotent: bool


@dataclass(frozen=True, slots=True)
class McpResult:
    """The result of a server's tool, of JSON's types, or the failure that it reports."""

    value: object
    is_error: bool


CallTool = Callable[[str, Mapping[str, object]], Awaitable[McpResult]]
"""Runs a server's tool. Raises `ToolError` (not begun) or `ServerUnavailableError` (unknown)."""


def read_listed(raw: object) -> ListedTool | None:
    """A tool of a list; `None` if its name or its arguments cannot be read."""
    if not isinstance(raw, dict) or not isinstance(name := raw.get("name"), str) or not name:
        return None
    if not isinstance(schema := raw.get("inputSchema"), dict | None):
        return None
    about = raw.get("annotations")
    hints: dict[str, Any] = about if isinstance(about, dict) else {}
    texts = (raw.get("description"), raw.get("title"), hints.get("title"))
    return ListedTool(
        name=name,
        description=next((each for each in texts if isinstance(each, str) and each), ""),
        schema={"type": "object"} if schema is None else schema,
        is_read_only=hints.get("readOnlyHint") is True,
        is_idempotent=hints.get("idempotentHint") is True,
    )


def read_result(raw: Mapping[str, Any]) -> McpResult:
    """The result of a call: its structured content, otherwise its text."""
    is_error = raw.get("isError") is True
    structured = raw.get("structuredContent")
    if structured is not None and not is_error:
        return McpResult(structured, is_error=False)
    content = raw.get("content")
    blocks = content if isinstance(content, list) else [content]
    return McpResult("\n".join(filter(None, map(_block_text, blocks))), is_error=is_error)


def _block_text(block: object) -> str:
    match block:
        case None:
            return ""
        case str():
            return block
        case {"text": str(text)} | {"resource": {"text": str(text)}}:
            return text
        case {"type": "image" | "audio" as kind, "mimeType": str(media)}:
            return _NOT_INCLUDED.format(f"{kind}: {media[:_SHOWN_CHARS]}")
        case {"type": "resource_link", "name": str(name)}:
            return _NOT_INCLUDED.format(f"link: {name[:_SHOWN_CHARS]}")
        case {"type": str(kind)}:
            return _NOT_INCLUDED.format(kind[:_SHOWN_CHARS])
        case _:
            return _NOT_INCLUDED.format("something unknown")


def offered_tools(
    server: str, config: McpServerConfig, listed: Iterable[ListedTool], call_tool: CallTool
) -> tuple[dict[str, Tool], list[str]]:
    """The wanted tools of a server by their names here, and a remark for each one left out."""
    found = {each.name: each for each in reversed(list(listed))}
    wanted = found if config.tools is None else {name: found.get(name) for name in config.tools}
    tools = dict[str, Tool]()
    remarks = list[str]()
    for original, ours in sorted(names(server, wanted).items()):
        if (each := wanted[original]) is None:
            remarks.append(f"{ours}: the server does not have it")
            continue
        try:
            tools[ours] = _tool(ours, each, config, call_tool)
        except SchemaError as error:
            remarks.append(f"{ours}: {error}, left out")
    return tools, remarks


def _properties(schema: object) -> Iterator[str]:
    """The names of the properties of a schema, at any depth."""
    if isinstance(schema, dict):
        properties = schema.get("properties")
        yield from properties if isinstance(properties, dict) else ()
        schema = list(schema.values())
    for each in schema if isinstance(schema, list) else ():
        yield from _properties(each)


def names(server: str, originals: Iterable[str]) -> dict[str, str]:
    """The name of each tool here, by the server's own name."""
    plain = {original: f"{server}__{tool_name_of(original) or '_'}" for original in originals}
    seen = Counter(plain.values())
    return {
        original: ours
        if len(ours) <= _LONGEST_NAME and (seen[ours] == 1 or ours == f"{server}__{original}")
        else f"{ours[: _LONGEST_NAME - 9]}_{_number(original)}"
        for original, ours in plain.items()
    }


def _number(original: str) -> str:
    return sha256(original.encode("utf-8", "surrogatepass")).hexdigest()[:8]


def _tool(name: str, listed: ListedTool, config: McpServerConfig, call_tool: CallTool) -> Tool:
    schema = plain_schema(listed.schema)
    effect = _side_effect(listed, config)
    description = one_line(listed.description, _DESCRIPTION_CHARS) or f"The tool {name}."
    read_back = config.read_back.get(listed.name)
    if unknown := {*(read_back or ())} - {*_properties(schema)}:
        raise SchemaError(f"readBack: it has no argument {min(unknown)!r}")
    spec = ToolSpec(
        name,
        description,
        msgspec.json.encode(schema).decode(),
        effect,
        needs_heard_confirmation=read_back is not None,
        read_back=tuple(read_back or ()),
    )
    is_repeatable = effect is SideEffect.IDEMPOTENT
    if (event := config.events.get(listed.name)) is not None:
        try:
            event.check("events", effect)
        except UseCaseError as error:
            raise SchemaError(str(error)) from error

    async def look(_: CallContext, given: msgspec.Struct) -> object:
        try:
            answer = await call_tool(listed.name, _given(given))
        except ServerUnavailableError as error:
            raise ToolError(_NO_ANSWER) from error
        return _value(_storable(answer))

    async def perform(plan: Plan) -> Result:
        planned = msgspec.convert(plan["arguments"], dict[str, object])
        async with asyncio.timeout(config.timeout):
            answer = await call_tool(listed.name, planned)
        result = _storable(answer)
        if answer.is_error and is_repeatable:
            _value(result)
        return result

    async def act(call: CallContext, given: msgspec.Struct) -> object:
        arguments = _given(given)
        result = await call.idempotency.once(
            f"mcp.{name}",
            arguments,
            {"arguments": arguments},
            perform,
            repeatable=is_repeatable,
            beside=call.telling(
                name, event, lambda result: None if result["failed"] else result["told"]
            ),
        )
        return _value(result)

    has_effect = effect is not SideEffect.NONE
    return Tool(
        spec,
        arguments_of(name, schema),
        act if has_effect else look,
        _EFFECT_SECONDS if has_effect else config.timeout,
    )


def _given(arguments: msgspec.Struct) -> dict[str, object]:
    named: dict[str, object] = msgspec.to_builtins(arguments)
    rest = msgspec.convert(named.pop(REST, {}), dict[str, object])
    return {**rest, **named}


def _side_effect(listed: ListedTool, config: McpServerConfig) -> SideEffect:
    if (configured := config.side_effects.get(listed.name)) is not None:
        return configured
    if listed.is_read_only:
        return SideEffect.NONE
    return SideEffect.IDEMPOTENT if listed.is_idempotent else SideEffect.ONCE


def arguments_of(tool: str, schema: Mapping[str, Any]) -> type[msgspec.Struct]:
    """The struct for the model's arguments.

    Only the outermost level is checked, enough to correct or report a model's slip early; the
    server checks the rest.
    """
    required = schema.get("required", ())
    properties = [
        (name, _KINDS.get(node.get("type", ""), Any), name in required)
        for name, node in schema["properties"].items()
    ]
    if schema.get("additionalProperties"):
        properties.append((REST, dict[str, Any], False))
    return struct_of(tool, properties)


def _storable(answer: McpResult) -> Result:
    try:
        text = msgspec.json.encode(answer.value).decode()
    except (ValueError, TypeError, OverflowError, RecursionError):
        return {"told": "It answered with something that cannot be read.", "failed": True}
    told = msgspec.json.decode(text)
    if len(text) > MAX_RESULT_CHARS:
        kept = told if isinstance(told, str) else text
        told = {"note": "The answer was too long: the rest is missing.", "beginning": kept[:3_000]}
    return {"told": told, "failed": answer.is_error}


def _value(result: Result) -> object:
    """The result for the model. Raises `ToolError` if the server reported a failure."""
    value = result["told"]
    if not result["failed"]:
        return value if value not in ("", None) else "done"
    if isinstance(value, dict):
        value = value.get("beginning", "")
    raise ToolError(str(value) or "The tool says that it failed, and not why.")
