"""The tools of one process: what is built in, what use cases declare, and what others offer.

What a source offers may change at any time. A call is offered what is there when it is set up; a
tool that goes away while the call runs answers that it has.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from agent.call.messages import ToolSpec
from agent.ports import Channel
from agent.tools.executor import CallToolExecutor
from agent.tools.http import HttpTools
from agent.tools.tool import CallContext, Tool
from agent.usecases.http_tool import HttpTool
from agent.usecases.use_case import UseCase


class ToolSource(Protocol):
    """Somebody else who offers tools."""

    @property
    def name(self) -> str:
        """For operators and metrics: from a bounded set, and no secret."""
        ...

    @property
    def tools(self) -> Mapping[str, Tool]:
        """What it offers now, by name; nothing while it is away."""
        ...

    @property
    def is_up(self) -> bool:
        """It can be reached."""
        ...


class ToolRegistry:
    """What a use case may choose from.

    Args:
        tools: What is built in.
        lacking: What some of them need and is not there; see `Messenger.lacking`.
        http: Runs the HTTP tools that use cases declare.
        sources: Others who offer tools.
    """

    def __init__(
        self,
        tools: Iterable[Tool],
        lacking: Mapping[Channel, str],
        http: HttpTools,
        sources: Iterable[ToolSource] = (),
    ) -> None:
        self._http = http
        self._sources = tuple(sources)
        self._tools: dict[str, Tool] = {}
        self.absent: dict[str, str] = {}
        """The tools that exist and cannot be used here, each with the reason."""
        for tool in tools:
            if tool.needs is not None and tool.needs in lacking:
                self.absent[tool.spec.name] = f"not configured here: {lacking[tool.needs]}"
            else:
                self._tools[tool.spec.name] = tool

    @property
    def specs(self) -> Mapping[str, ToolSpec]:
        """Every tool by name, as models and use cases know it."""
        return {name: tool.spec for name, tool in self._present().items()}

    @property
    def away(self) -> tuple[str, ...]:
        """The sources that cannot be reached, by name."""
        return tuple(source.name for source in self._sources if not source.is_up)

    def fault_of(self, tool: HttpTool) -> str:
        """Why a declared tool cannot be used here; empty if it can."""
        return self._http.fault_of(tool)

    def toolbox(self, use_case: UseCase, context: CallContext) -> CallToolExecutor:
        """The tools a use case offers, for one call."""
        declared = {tool.spec.name: self._http.tool(tool) for tool in use_case.http_tools}
        present = {**declared, **self._present()}
        offered = (present[spec.name] for spec in use_case.tools if spec.name in present)
        return CallToolExecutor(offered, context)

    def _present(self) -> dict[str, Tool]:
        """All that is there now; nobody takes the name of what is built in."""
        return {
            name: tool
            for tools in (*(source.tools for source in self._sources), self._tools)
            for name, tool in tools.items()
        }
