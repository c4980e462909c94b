"""The tools of a process: built-in ones, declared HTTP requests, and those of MCP servers.

A tool is a typed async function with `@tool`, in the `TOOLS` of a module, and named in a use case.
Modules are those of `agent.tools.builtin`, of the configuration folder and of installed packages
(`agent.tools.tool_modules`). `agent.tools.http` runs tools that a use case declares,
`agent.tools.mcp` those of other servers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Protocol

from agent.call.collector import Collector
from agent.call.messages import ToolSpec
from agent.ports import Channel
from agent.tools.builtin import TOOLS, language_of, planned_end, request_call_back
from agent.tools.http import HttpSender, HttpTools, OutboundHttp
from agent.tools.idempotency import IdempotencyStore
from agent.tools.tool import CallContext, CallToolExecutor, Tool, WithEffect, tool
from agent.tools.tool_modules import load_tools, specs_of
from agent.usecases import UseCase
from agent.usecases.call_events import KINDS, NO_OUTBOX, Outbox
from agent.usecases.http_tool import HttpTool
from agent.usecases.tool_event import ToolEvent

__all__ = [
    "SPECS",
    "TOOLS",
    "CallContext",
    "CallToolExecutor",
    "Collector",
    "HttpSender",
    "HttpTools",
    "IdempotencyStore",
    "OutboundHttp",
    "Tool",
    "ToolEvent",
    "ToolRegistry",
    "ToolSource",
    "WithEffect",
    "language_of",
    "load_tools",
    "planned_end",
    "request_call_back",
    "specs_of",
    "tool",
]

SPECS: Mapping[str, ToolSpec] = MappingProxyType(specs_of(TOOLS))


class ToolSource(Protocol):
    """A server whose tools can be offered. Its tools may change at any time."""

    @property
    def name(self) -> str: ...

    @property
    def tools(self) -> Mapping[str, Tool]:
        """The tools it offers now, by name; empty while it is unreachable."""
        ...

    @property
    def is_up(self) -> bool: ...


class ToolRegistry:
    """The tools a use case may choose from.

    A call is offered what is present when it is set up. A tool whose source becomes unreachable
    during the call answers with an error. `unconfigured` names the missing variable of a channel.
    """

    def __init__(
        self,
        tools: Iterable[Tool],
        unconfigured: Mapping[Channel, str],
        http: HttpTools,
        sources: Iterable[ToolSource] = (),
        outbox: Outbox = NO_OUTBOX,
    ) -> None:
        self._http = http
        self._sources = tuple(sources)
        self._outbox = outbox
        self._unconfigured = {str(channel): name for channel, name in unconfigured.items()}
        self.use(tools)

    def use(self, tools: Iterable[Tool]) -> None:
        """Offer these Python tools from now on; a call keeps those of its last set-up."""
        self._tools: dict[str, Tool] = {}
        self.unavailable: dict[str, str] = {}
        """Python tools that cannot be used in this process, each with the reason."""
        self.known: dict[str, ToolSpec] = {}
        """All Python tools, also those that cannot be used."""
        for each in tools:
            self.known[each.spec.name] = each.spec
            if variable := self._unconfigured.get(each.needs):
                self.unavailable[each.spec.name] = f"not configured here: {variable}"
            else:
                self._tools[each.spec.name] = each

    def choice_of(self, use_case: str) -> tuple[Mapping[str, ToolSpec], Mapping[str, str]]:
        """The tools that a use case may name, and those it cannot use here with the reason."""
        present = self._present()
        untold = {
            name: f"no receiver takes {each.needs}"
            for name, each in present.items()
            if each.needs in KINDS and not self._outbox.wants(each.needs, use_case)
        }
        usable = {name: each.spec for name, each in present.items() if name not in untold}
        return usable, {**self.unavailable, **untold}

    @property
    def unreachable(self) -> tuple[str, ...]:
        return tuple(source.name for source in self._sources if not source.is_up)

    def fault_of(self, tool: HttpTool) -> str:
        return self._http.fault_of(tool)

    async def look(self, tool: HttpTool, facts: Mapping[str, str]) -> dict[str, object]:
        """Make the request before a call; raises `ToolError`."""
        return await self._http.look(tool, facts)

    def executor(self, use_case: UseCase, context: CallContext) -> CallToolExecutor:
        declared = {tool.spec.name: self._http.tool(tool) for tool in use_case.http_tools}
        present = {**declared, **self._present()}
        offered = (present[spec.name] for spec in use_case.tools if spec.name in present)
        return CallToolExecutor(offered, context)

    def _present(self) -> dict[str, Tool]:
        """A Python tool wins over a source's of the same name."""
        sourced = (source.tools for source in self._sources)
        return {name: tool for tools in (*sourced, self._tools) for name, tool in tools.items()}
