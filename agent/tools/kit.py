"""The tools of one process: what is built in, as far as it can be used here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from agent.conversation.messages import ToolSpec
from agent.conversation.usecase import UseCase
from agent.ports import Channel
from agent.tools.context import CallContext
from agent.tools.declare import Tool
from agent.tools.toolbox import CallToolbox


class Toolkit:
    """What a use case may choose from."""

    def __init__(self, tools: Iterable[Tool], lacking: Mapping[Channel, str]) -> None:
        """The tools, without those that need what is lacking; see `Messenger.lacking`."""
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

    def toolbox(self, use_case: UseCase, context: CallContext) -> CallToolbox:
        """The tools a use case offers, for one call."""
        offered = (self._tools[spec.name] for spec in use_case.tools if spec.name in self._tools)
        return CallToolbox(offered, context)
