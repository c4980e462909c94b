"""The tools of one process: what is built in, and what use cases declare."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from agent.conversation.httptool import HttpTool
from agent.conversation.messages import ToolSpec
from agent.conversation.usecase import UseCase
from agent.tools.context import CallContext
from agent.tools.declare import Tool
from agent.tools.http import HttpTools
from agent.tools.toolbox import CallToolbox


class Toolkit:
    """What a use case may choose from.

    Args:
        tools: What is built in.
        http: Runs the HTTP tools that use cases declare.
    """

    def __init__(self, tools: Iterable[Tool], http: HttpTools) -> None:
        self._tools = {tool.spec.name: tool for tool in tools}
        self._http = http

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
