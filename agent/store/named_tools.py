"""The tools a record names and the keys that run them: JSON text of the table ↔ values of ours.

A tool of a record is our implementation with the record's words: description and schema are what
the model sees, side effect and filler are facts about our code and come from it. The same holds for
a tool that the record declares (`agent.store.http_tools`); one that cannot be used in this process
is left out with a warning, as is one that does not exist here.

A key that was to run a tool that does not exist here is a key like any other, told to the model:
the predecessor's sibling has such keys, and its line ("one moment, I look") would promise what
never comes. A key that runs a tool we have and the use case has not is wrong: somebody forgot the
tool, and the caller was told to press the key (D23). In a folder both are refused.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from agent.conversation.httptool import HttpTool
from agent.conversation.messages import ToolSpec
from agent.conversation.usecase import KeyBinding
from agent.ports import UseCaseError
from agent.store.http_tools import read_http_tools
from agent.store.validation import convert, decoded

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
    toolSpec: NamedTool  # noqa: N815


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

    def offered(self, named: Sequence[NamedTool]) -> tuple[tuple[ToolSpec, ...], list[str]]:
        """The named tools that can be used, in the record's words, and a remark on each other.

        Raises:
            UseCaseError: A schema that is none for arguments.
        """
        usable = tuple(
            _with_words(each, self.usable[each.name]) for each in named if each.name in self.usable
        )
        return usable, [self._remark(each.name) for each in named if each.name not in self.usable]

    def keypad(
        self, raw: object, offered: Container[str]
    ) -> tuple[dict[str, KeyBinding], list[str]]:
        """The keys, and a remark on each that was to run what does not exist here.

        Args:
            raw: `dtmfHandlers` of the record.
            offered: Names of the tools of the use case.

        Raises:
            UseCaseError: The first fault.
        """
        handlers = convert(decoded(raw, "dtmfHandlers") or {}, dict[str, _Handler], "dtmfHandlers")
        keypad, remarks = {}, []
        for key, handler in handlers.items():
            if key not in KEYS:
                raise UseCaseError(f"dtmfHandlers.{key}: is not a key")
            function = handler.replyFunction if handler.replyWithFunction else ""
            is_missing = handler.replyWithFunction and function not in offered
            if is_missing and (not function or function in self.usable):
                raise UseCaseError(
                    f"dtmfHandlers.{key}.replyFunction: no tool {function!r} in this use case"
                )
            if is_missing:
                keypad[key] = KeyBinding()
                remarks.append(
                    f"dtmfHandlers.{key}.replyFunction: {function} is {self._missing(function)}"
                )
            else:
                text = handler.replyText if handler.replyWithText else ""
                keypad[key] = KeyBinding(text, function)
        return keypad, remarks

    def _missing(self, name: str) -> str:
        """Why there is no such tool here."""
        return self.absent.get(name, "not implemented")

    def _remark(self, name: str) -> str:
        """That a tool is left out, and why."""
        if name in self.barred:
            return f"httpTools.{name}.{self.barred[name]}; left out"
        return f"tools.{name}: {self._missing(name)}, left out"


def named_tools(raw: object) -> list[NamedTool]:
    """What the attribute `tools` of a record names, none twice.

    Raises:
        UseCaseError: The first fault.
    """
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


def _with_words(named: NamedTool, implemented: ToolSpec) -> ToolSpec:
    """Our tool, described to the model as the record does."""
    described = replace(implemented, description=named.description or implemented.description)
    if named.inputSchema is None:
        return described
    if named.inputSchema.json.get("type") != "object":
        raise UseCaseError(f"tools.{named.name}.inputSchema.json.type: must be object")
    return replace(described, parameters=json.dumps(named.inputSchema.json, ensure_ascii=False))
