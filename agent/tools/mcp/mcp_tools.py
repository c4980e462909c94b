"""From what a server lists to tools that a use case can name.

A tool's name is `server__tool`, of the characters every model family takes. Names that were one
before and are the same afterwards get a number that depends on the original name alone, so that no
order of listing and no process gives them different names; the tool that had the name by itself
keeps it.

What running a tool twice would do is the operator's word first, then the server's hint, which can
only be trusted as far as the server is; without either a tool counts as one that must not be run
twice. What has an effect goes through the ledger of the call:

| the server says | a tool that may be repeated | any other |
|---|---|---|
| it is done | done | done |
| it ran and failed | not done, may be tried again | that is its result, not run again |
| it will not begin it | not done, may be tried again | the same |
| nothing, or something unreadable | completed by asking again | unknown, never again by itself |

A failure told by the server is a result for the ledger, because it does not say how far the tool
had come. With other arguments it is another effect, so that a model can correct itself.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256

import msgspec

from agent.call.messages import SideEffect, ToolSpec
from agent.errors import ToolError
from agent.tools.idempotency import PERFORM_SECONDS, Plan, Result
from agent.tools.mcp import schema_mapping as schemas
from agent.tools.mcp.mcp_config import McpServerConfig
from agent.tools.mcp.untrusted_results import ListedTool, McpResult, ServerUnavailableError
from agent.tools.tool import CallContext, Tool, ToolFunction

_LONGEST_NAME = 64
_MOST_RESULT_CHARS = 4_000
_NO_ANSWER = "The system behind this tool did not answer. It may be tried again later."
_LEDGER_SECONDS = PERFORM_SECONDS + 2.0
"""Longer than performing and writing its outcome down may take, so that the ledger has its say."""

Ask = Callable[[str, Mapping[str, object]], Awaitable[McpResult]]
"""Run a server's tool. Raises `ToolError` (not begun) or `ServerUnavailableError` (unknown)."""


@dataclass(frozen=True, slots=True)
class OfferedTool:
    """The tools of a server by the names we give them, and a line for each one left out."""

    tools: Mapping[str, Tool]
    remarks: tuple[str, ...]


def offer(
    server: str, entry: McpServerConfig, listed: Iterable[ListedTool], ask: Ask
) -> OfferedTool:
    """What this server offers, as far as it is wanted and can be used."""
    found = {each.name: each for each in reversed(list(listed))}
    wanted = found if entry.tools is None else {name: found.get(name) for name in entry.tools}
    tools, remarks = {}, []
    for original, ours in sorted(names(server, wanted).items()):
        if (each := wanted[original]) is None:
            remarks.append(f"{ours}: the server does not have it")
            continue
        try:
            tools[ours] = _tool(ours, each, entry, ask)
        except schemas.SchemaError as error:
            remarks.append(f"{ours}: {error}, left out")
    return OfferedTool(tools, tuple(remarks))


def names(server: str, originals: Iterable[str]) -> dict[str, str]:
    """The name of each tool, by the server's own."""
    plain = {original: f"{server}__{_safe(original)}" for original in originals}
    seen = list(plain.values())
    return {
        original: ours
        if len(ours) <= _LONGEST_NAME and (seen.count(ours) == 1 or ours == f"{server}__{original}")
        else _numbered(ours, original)
        for original, ours in plain.items()
    }


def _safe(original: str) -> str:
    return re.sub(r"[^A-Za-z0-9_]", "_", original) or "_"


def _numbered(ours: str, original: str) -> str:
    number = sha256(original.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{ours[: _LONGEST_NAME - len(number) - 1]}_{number}"


def _tool(name: str, listed: ListedTool, entry: McpServerConfig, ask: Ask) -> Tool:
    schema = schemas.parameters(listed.schema)
    arguments, properties = schemas.arguments(name, schema)
    effect = _side_effect(listed, entry)
    spec = ToolSpec(
        name=name,
        description=schemas.description(listed.description, f"The tool {name}."),
        parameters=msgspec.json.encode(schema).decode(),
        side_effect=effect,
    )
    running = _Running(name, listed.name, properties, entry.timeout, ask)
    function, seconds = running.function(effect)
    rest = schemas.REST if schema.get("additionalProperties") else ""
    return Tool(spec, arguments, function, seconds, _MOST_RESULT_CHARS, rest=rest)


def _side_effect(listed: ListedTool, entry: McpServerConfig) -> SideEffect:
    if (said := entry.side_effects.get(listed.name)) is not None:
        return said
    if listed.is_read_only:
        return SideEffect.NONE
    return SideEffect.IDEMPOTENT if listed.is_idempotent else SideEffect.ONCE


@dataclass(frozen=True, slots=True)
class _Running:
    """Running one tool of a server."""

    name: str
    original: str
    properties: Mapping[str, str]
    """The property behind each argument of the function."""
    timeout: float
    ask: Ask

    def function(self, effect: SideEffect) -> tuple[ToolFunction, float]:
        """What the toolbox calls, and how many seconds it gives it."""
        if effect is SideEffect.NONE:
            return self.look, self.timeout
        is_repeatable = effect is SideEffect.IDEMPOTENT

        async def act(call: CallContext, **given: object) -> object:
            return await self.act(call, given, repeatable=is_repeatable)

        return act, _LEDGER_SECONDS

    async def look(self, _: CallContext, **given: object) -> object:
        """Have it run; nothing happens by it."""
        try:
            answer = await self.ask(self.original, self._arguments(given))
        except ServerUnavailableError as error:
            raise ToolError(_NO_ANSWER) from error
        return _value(_result(answer))

    async def act(
        self, call: CallContext, given: Mapping[str, object], *, repeatable: bool
    ) -> object:
        """Have it run once in this call, however often it is asked for."""

        async def perform(plan: Plan) -> Result:
            arguments = msgspec.convert(plan["arguments"], dict[str, object])
            async with asyncio.timeout(self.timeout):
                answer = await self.ask(self.original, arguments)
            if answer.is_error and repeatable:
                _value(_result(answer))
            return _result(answer)

        arguments = self._arguments(given)
        plan: Plan = {"arguments": arguments}
        effect = f"mcp.{self.name}"
        return _value(
            await call.ledger.once(effect, arguments, plan, perform, repeatable=repeatable)
        )

    def _arguments(self, given: Mapping[str, object]) -> dict[str, object]:
        named = {
            self.properties[name]: value
            for name, value in given.items()
            if name in self.properties and value is not msgspec.UNSET
        }
        rest = given.get(schemas.REST)
        return {**(rest if isinstance(rest, dict) else {}), **named}


def _result(answer: McpResult) -> Result:
    """An answer as it may be kept: bounded, and of types that can be written."""
    try:
        text = msgspec.json.encode(answer.value).decode()
    except (ValueError, TypeError, OverflowError, RecursionError):
        return {"told": "It answered with something that cannot be read.", "failed": True}
    if len(text) <= _MOST_RESULT_CHARS:
        return {"told": msgspec.json.decode(text), "failed": answer.is_error}
    kept = answer.value if isinstance(answer.value, str) else text
    cut = {"note": "The answer was too long: the rest is missing.", "beginning": kept[:3_000]}
    return {"told": cut, "failed": answer.is_error}


def _value(result: Result) -> object:
    """What the model is told of a result. Raises `ToolError` if the server called it a failure."""
    told = result["told"]
    if not result["failed"]:
        return told if told not in ("", None) else "done"
    if isinstance(told, dict):
        told = told.get("beginning", "")
    raise ToolError(str(told) or "The tool says that it failed, and not why.")
