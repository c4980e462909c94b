"""The tools of one process: what is built in, as far as it can be used here, and what others offer.

What a source offers may change at any time. A call is offered what is there when it is set up; a
tool that goes away while the call runs answers that it has.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from agent.conversation.messages import ToolSpec
from agent.conversation.usecase import UseCase
from agent.tools.context import CallContext
from agent.tools.declare import Tool
from agent.tools.toolbox import CallToolbox


class Source(Protocol):
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


class Toolkit:
    """What a use case may choose from."""

    def __init__(self, tools: Iterable[Tool], sources: Iterable[Source] = ()) -> None:
        self._tools = {tool.spec.name: tool for tool in tools}
        self._sources = tuple(sources)

    @property
    def specs(self) -> Mapping[str, ToolSpec]:
        """Every tool by name, as models and use cases know it."""
        return {name: tool.spec for name, tool in self._present().items()}

    @property
    def away(self) -> tuple[str, ...]:
        """The sources that cannot be reached, by name."""
        return tuple(source.name for source in self._sources if not source.is_up)

    def toolbox(self, use_case: UseCase, context: CallContext) -> CallToolbox:
        """The tools a use case offers, for one call."""
        present = self._present()
        offered = (present[spec.name] for spec in use_case.tools if spec.name in present)
        return CallToolbox(offered, context)

    def _present(self) -> dict[str, Tool]:
        """All that is there now; nobody takes the name of what is built in."""
        return {
            name: tool
            for tools in (*(source.tools for source in self._sources), self._tools)
            for name, tool in tools.items()
        }
