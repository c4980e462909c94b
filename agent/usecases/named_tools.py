"""The tools a record names and the keys that run them: JSON text of the table ↔ values of ours.

A tool of a record is our implementation with the record's words: description and schema are what
the model sees, side effect and filler are facts about our code and come from it. The same holds for
a tool that the record declares (`agent.usecases.http_tool_reader`); one that cannot be used in
this process is left out with a warning, as is one that does not exist here.

A key that was to run a tool the use case does not offer is a key without a handler, told to the
model: its line ("one moment, I look") would promise what never comes. The records of the
predecessor have such keys. They are remarked on; in a folder they are refused.

Every other fault leaves out the one tool, schema or key it is found in.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import msgspec

from agent.call.config import KeyBinding
from agent.call.messages import ToolSpec
from agent.usecases.http_tool import HttpTool
from agent.usecases.http_tool_reader import read_http_tools
from agent.usecases.validation import Faults, Refusing, convert, elements, table, tolerant

OTHERS = "__"
"""In the name of a tool that is not ours and may come and go: `server__tool`."""
KEYS = frozenset("0123456789*#")


class _InputSchema(msgspec.Struct):
    json: dict[str, Any]


class NamedTool(msgspec.Struct):
    """A tool in a record's words, in the spelling of the table."""

    name: str
    description: str = ""
    inputSchema: _InputSchema | None = None  # noqa: N815 the table's spelling, as all below


class _Tool(msgspec.Struct):
    toolSpec: dict[str, Any]  # noqa: N815


class _Handler(msgspec.Struct):
    replyWithText: bool = False  # noqa: N815
    replyText: str = ""  # noqa: N815
    replyWithFunction: bool = False  # noqa: N815
    replyFunction: str = ""  # noqa: N815


def usable_everywhere(_: HttpTool) -> str:
    """For whoever only looks at a record and sends nothing."""
    return ""


@dataclass(frozen=True, slots=True)
class KnownTools:
    """What a record may name."""

    usable: Mapping[str, ToolSpec]
    """What can be used here, by name."""
    absent: Mapping[str, str]
    """Why a tool that exists cannot be used here, by name; any other does not exist."""
    fault_of: Callable[[HttpTool], str]
    """Why a declared tool cannot be used here, `field: fault`; empty if it can."""
    barred: Mapping[str, str] = field(default_factory=dict)
    """Declared, and of no use here: name and fault."""

    @property
    def built_in(self) -> Container[str]:
        """Names no declared tool may have."""
        return {*self.usable, *self.absent}

    def with_declared(self, declared: Iterable[HttpTool]) -> KnownTools:
        """These and those that the record itself declares."""
        faults = {tool.spec.name: self.fault_of(tool) for tool in declared}
        specs = {tool.spec.name: tool.spec for tool in declared if not faults[tool.spec.name]}
        barred = {name: fault for name, fault in faults.items() if fault}
        return replace(self, usable={**self.usable, **specs}, barred=barred)

    def offered(
        self, named: Sequence[NamedTool], faults: Faults
    ) -> tuple[tuple[ToolSpec, ...], list[str]]:
        """The named tools that can be used, in the record's words, and a remark on each other."""
        usable = tuple(
            _with_words(each, self.usable[each.name], faults)
            for each in named
            if each.name in self.usable
        )
        return usable, [self._remark(each.name) for each in named if each.name not in self.usable]

    def keypad(
        self, raw: object, offered: Container[str], faults: Faults
    ) -> tuple[dict[str, KeyBinding], list[str]]:
        """The keys, and a remark on each that was to run what the use case does not offer.

        Args:
            raw: `dtmfHandlers` of the record.
            offered: Names of the tools of the use case.
            faults: Notes each handler that cannot be read; its key has none.
        """
        keypad, remarks = {}, []
        for key, handler in _handlers(raw, faults).items():
            function = handler.replyFunction if handler.replyWithFunction else ""
            if handler.replyWithFunction and function not in offered:
                keypad[key] = KeyBinding()
                field = f"dtmfHandlers.{key}.replyFunction"
                if function:
                    remarks.append(f"{field}: {function} is {self._missing(function)}")
                else:
                    faults.add(f"{field}: is missing")
            else:
                text = handler.replyText if handler.replyWithText else ""
                keypad[key] = KeyBinding(text, function)
        return keypad, remarks

    def _missing(self, name: str) -> str:
        """Why a key cannot run this tool."""
        if name in self.usable:
            return "not a tool of this use case"
        return self.absent.get(name, "not implemented")

    def _remark(self, name: str) -> str:
        """That a tool is left out, and why."""
        if name in self.barred:
            return f"httpTools.{name}.{self.barred[name]}; left out"
        return f"tools.{name}: {self._missing(name)}, left out"


def named_tools(raw: object, faults: Faults) -> list[NamedTool]:
    """What the attribute `tools` of a record names, none twice."""
    listed = elements(raw, "tools", faults)
    named: dict[str, NamedTool] = {}
    for index, each in enumerate(listed):
        tool = faults.unless(partial(_named, each, f"tools[{index}]", faults), None)
        if tool and tool.name in named:
            faults.add(f"tools.{tool.name}: is named twice")
        elif tool:
            named[tool.name] = tool
    return list(named.values())


def declared_tools(
    raw: object, field: str, built_in: Container[str], faults: Faults | None = None
) -> tuple[HttpTool, ...]:
    """The tools a use case declares, none by the name of one that is built in.

    Args:
        raw: As for `read_http_tools`.
        field: As for `read_http_tools`.
        built_in: Names that are taken.
        faults: As for `read_http_tools`.

    Raises:
        UseCaseError: As of `read_http_tools`.
    """
    faults = faults or Refusing()
    declared = []
    for tool in read_http_tools(raw, field, faults):
        if tool.spec.name in built_in:
            faults.add(f"{field}.{tool.spec.name}: is the name of a built-in tool")
        else:
            declared.append(tool)
    return tuple(declared)


def tools_text(tools: Iterable[ToolSpec], declared: Iterable[str] = ()) -> str:
    """Tools as the attribute `tools` holds them: JSON text of `toolSpec` objects.

    Args:
        tools: With their words; of one without a schema only the name is written, as what it is, is
            known when a call begins.
        declared: Further ones by name, whose words are in `httpTools` alone.
    """
    specs = [*map(_tool_spec, tools), *({"name": name} for name in declared)]
    return json.dumps([{"toolSpec": spec} for spec in specs], ensure_ascii=False)


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


def _tool_spec(tool: ToolSpec) -> dict[str, object]:
    if not tool.parameters:
        return {"name": tool.name}
    return {
        "name": tool.name,
        "description": tool.description,
        "inputSchema": {"json": json.loads(tool.parameters)},
    }


def _named(raw: object, field: str, faults: Faults) -> NamedTool:
    spec = convert(raw, _Tool, field).toolSpec
    return tolerant(spec, NamedTool, f"{field}.toolSpec", faults)


def _handlers(raw: object, faults: Faults) -> dict[str, _Handler]:
    """Those of keys; one that cannot be read is one that does nothing of its own."""
    field = "dtmfHandlers"
    given = table(raw, field, faults)
    for key in (key for key in given if key not in KEYS):
        faults.add(f"{field}.{key}: is not a key")
    return {
        key: faults.unless(partial(tolerant, each, _Handler, f"{field}.{key}", faults), _Handler())
        for key, each in given.items()
        if key in KEYS
    }


def _with_words(named: NamedTool, implemented: ToolSpec, faults: Faults) -> ToolSpec:
    """Our tool, described to the model as the record does; with our schema if its is none."""
    described = replace(implemented, description=named.description or implemented.description)
    if named.inputSchema is None:
        return described
    if named.inputSchema.json.get("type") != "object":
        faults.add(f"tools.{named.name}.inputSchema.json.type: must be object")
        return described
    return replace(described, parameters=json.dumps(named.inputSchema.json, ensure_ascii=False))
