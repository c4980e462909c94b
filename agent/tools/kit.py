"""The tools of one process: what is built in, as far as it can be used here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from agent.conversation.messages import ToolSpec
from agent.conversation.usecase import UseCase
from agent.tools.context import CallContext
from agent.tools.declare import Tool
from agent.tools.toolbox import CallToolbox


class Toolkit:
    """What a use case may choose from."""

    def __init__(self, tools: Iterable[Tool]) -> None:
        self._tools = {tool.spec.name: tool for tool in tools}

    @property
    def specs(self) -> Mapping[str, ToolSpec]:
        """Every tool by name, as models and use cases know it."""
        return {name: tool.spec for name, tool in self._tools.items()}

    def toolbox(self, use_case: UseCase, context: CallContext) -> CallToolbox:
        """The tools a use case offers, for one call."""
        offered = (self._tools[spec.name] for spec in use_case.tools if spec.name in self._tools)
        return CallToolbox(offered, context)
