"""What an agent can do: every tool there is, listed.

A tool is one typed async function (`declare.tool`) in the tuple of its module; a use case names
those it offers, and may declare others that are HTTP requests (`agent.tools.http`). `Toolkit` has
those that can be used in this process, `CallToolbox` runs them for one call.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from agent.conversation.messages import ToolSpec
from agent.tools import apartments, calls, messaging, ordering, profiles
from agent.tools.calls import language_of
from agent.tools.context import CallContext
from agent.tools.declare import Tool, WithEffect, tool
from agent.tools.http import HttpTools, Outside
from agent.tools.kit import Toolkit
from agent.tools.ledger import Ledger
from agent.tools.toolbox import CallToolbox

__all__ = [
    "SPECS",
    "TOOLS",
    "CallContext",
    "CallToolbox",
    "HttpTools",
    "Ledger",
    "Outside",
    "Tool",
    "Toolkit",
    "WithEffect",
    "language_of",
    "tool",
]

TOOLS: tuple[Tool, ...] = (
    *ordering.TOOLS,
    *apartments.TOOLS,
    *messaging.TOOLS,
    *profiles.TOOLS,
    *calls.TOOLS,
)

SPECS: Mapping[str, ToolSpec] = MappingProxyType({each.spec.name: each.spec for each in TOOLS})
"""Every tool by name, as models and use cases know it."""
