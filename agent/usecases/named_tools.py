"""The tools a record names and the keys that run them: JSON text of the table ↔ values.

The model sees the record's description and schema of a tool; side effect and filler come from the
code, or from the record's declaration (`agent.usecases.http_tool`). A tool that does not exist, or
cannot be used in this process, is left out with a remark.

A key whose tool the use case does not offer has no handler: its sentence ("one moment, I look")
would promise a result that never comes. Records of the predecessor have such keys, so they are
remarks; in a folder they are errors.
"""

from __future__ import annotations

import json
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any

import msgspec

from agent.call.config import KeyBinding
from agent.call.messages import ToolSpec
from agent.usecases.http_tool import HttpTool
from agent.usecases.validation import RecordErrors, convert, elements, table, tolerant

EXTERNAL_MARKER = "__"
"""Part of the name of a tool of an external server: `server__tool`."""
KEYS = frozenset("0123456789*#")


class _InputSchema(msgspec.Struct):
    json: dict[str, Any]


class NamedTool(msgspec.Struct):
    """A `toolSpec` of a record, in the spelling of the table."""

    name: str
    description: str = ""
    inputSchema: _InputSchema | None = None  # noqa: N815 the table's spelling, as all below


class _NamedToolTable(msgspec.Struct):
    toolSpec: dict[str, Any]  # noqa: N815


class _Handler(msgspec.Struct):
    replyWithText: bool = False  # noqa: N815
    replyText: str = ""  # noqa: N815
    replyWithFunction: bool = False  # noqa: N815
    replyFunction: str = ""  # noqa: N815


def usable_everywhere(_: HttpTool) -> str:
    """The `unusable_reason` of a reader of records that sends no requests: none."""
    return ""


@dataclass(frozen=True, slots=True)
class KnownTools:
    """The tools that a record may name."""

    usable: Mapping[str, ToolSpec]
    unavailable: Mapping[str, str]  # name and reason of tools that exist and cannot be used here
    unusable: Mapping[str, str]
    """Why a declared tool cannot be used here, `field: reason`; empty for one that is usable."""

    def offered(self, named: Iterable[NamedTool], errors: RecordErrors) -> tuple[ToolSpec, ...]:
        """The named tools that can be used, in the record's words; a remark on each other."""
        usable = []
        for each in named:
            if each.name in self.usable:
                usable.append(_with_words(each, self.usable[each.name], errors))
            elif each.name in self.unusable:
                errors.remark(f"httpTools.{each.name}.{self.unusable[each.name]}; left out")
            else:
                errors.remark(f"tools.{each.name}: {self._why_missing(each.name)}, left out")
        return tuple(usable)

    def keypad(
        self, raw: object, offered: Container[str], errors: RecordErrors
    ) -> dict[str, KeyBinding]:
        """The keys in `dtmfHandlers` of a record; a remark on each whose tool is not in `offered`.

        A key with a wrong handler has none.
        """
        keypad = {}
        for key, each in table(raw, "dtmfHandlers", errors).items():
            field = f"dtmfHandlers.{key}"
            if key not in KEYS:
                errors.add(f"{field}: is not a key")
                continue
            read = partial(tolerant, each, _Handler, field, errors)
            handler = errors.read_or(read, _Handler())
            function = handler.replyFunction if handler.replyWithFunction else ""
            text = handler.replyText if handler.replyWithText else ""
            keypad[key] = KeyBinding(text, function)
            if handler.replyWithFunction and function not in offered:
                keypad[key] = KeyBinding()
                if function:
                    why = self._why_missing(function)
                    errors.remark(f"{field}.replyFunction: {function} is {why}")
                else:
                    errors.add(f"{field}.replyFunction: is missing")
        return keypad

    def _why_missing(self, name: str) -> str:
        if name in self.usable:
            return "not a tool of this use case"
        return self.unavailable.get(name, "not implemented")


def named_tools(raw: object, errors: RecordErrors) -> list[NamedTool]:
    """The tools in the attribute `tools` of a record, each name once."""
    named: dict[str, NamedTool] = {}
    for index, each in enumerate(elements(raw, "tools", errors)):
        tool = errors.read_or(partial(_named, each, f"tools[{index}]", errors), None)
        if tool and tool.name in named:
            errors.add(f"tools.{tool.name}: is named twice")
        elif tool:
            named[tool.name] = tool
    return list(named.values())


def tools_text(tools: Iterable[ToolSpec], declared: Iterable[str] = ()) -> str:
    """The attribute `tools` of a record: JSON text of `toolSpec` objects.

    Only the name is written of a tool without a schema (its words are known when a call begins) and
    of `declared` tools (theirs are in `httpTools`).
    """
    return _tools_text(tuple(tools), tuple(declared))


@lru_cache(maxsize=64)  # each call stores it
def _tools_text(tools: tuple[ToolSpec, ...], declared: tuple[str, ...]) -> str:
    specs = [*map(_tool_spec, tools), *({"name": name} for name in declared)]
    return json.dumps([{"toolSpec": spec} for spec in specs], ensure_ascii=False)


def handlers_text(keypad: Mapping[str, KeyBinding]) -> str:
    """The attribute `dtmfHandlers` of a record: JSON text, four fields for each key."""
    handlers = {
        key: _Handler(bool(it.reply_text), it.reply_text, bool(it.function), it.function)
        for key, it in keypad.items()
    }
    return json.dumps(msgspec.to_builtins(handlers), ensure_ascii=False)


def _tool_spec(tool: ToolSpec) -> dict[str, object]:
    if not tool.parameters:
        return {"name": tool.name}
    schema = {"json": json.loads(tool.parameters)}
    return {"name": tool.name, "description": tool.description, "inputSchema": schema}


def _named(raw: object, field: str, errors: RecordErrors) -> NamedTool:
    spec = convert(raw, _NamedToolTable, field).toolSpec
    return tolerant(spec, NamedTool, f"{field}.toolSpec", errors)


def _with_words(named: NamedTool, implemented: ToolSpec, errors: RecordErrors) -> ToolSpec:
    described = replace(implemented, description=named.description or implemented.description)
    if named.inputSchema is None:
        return described
    if named.inputSchema.json.get("type") != "object":
        errors.add(f"tools.{named.name}.inputSchema.json.type: must be object")
        return described
    return replace(described, parameters=json.dumps(named.inputSchema.json, ensure_ascii=False))
