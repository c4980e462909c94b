"""The tools of one process: what is built in, and what use cases declare."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from agent.conversation.httptool import HttpTool
from agent.conversation.messages import ToolSpec
from agent.conversation.usecase import UseCase
from agent.ports import Channel
from agent.tools.context import CallContext
from agent.tools.declare import Tool
from agent.tools.http import HttpTools
from agent.tools.toolbox import CallToolbox


class Toolkit:
    """What a use case may choose from.

    Args:
        tools: What is built in.
        lacking: What some of them need and is not there; see `Messenger.lacking`.
        http: Runs the HTTP tools that use cases declare.
    """

    def __init__(
        self, tools: Iterable[Tool], lacking: Mapping[Channel, str], http: HttpTools
    ) -> None:
        self._http = http
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
        return {name: tool.spec for name, tool in self._tools.items()}

    def fault_of(self, tool: HttpTool) -> str:
        """Why a declared tool cannot be used here; empty if it can."""
        return self._http.fault_of(tool)

    def toolbox(self, use_case: UseCase, context: CallContext) -> CallToolbox:
        """The tools a use case offers, for one call."""
        declared = {tool.spec.name: self._http.tool(tool) for tool in use_case.http_tools}
        tools = {**declared, **self._tools}
        offered = (tools[spec.name] for spec in use_case.tools if spec.name in tools)
        return CallToolbox(offered, context)
