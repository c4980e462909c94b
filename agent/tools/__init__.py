"""What an agent can do: every tool there is, listed.

A tool is one typed async function (`declare.tool`) in the tuple of its module; a use case names
those it offers, and may declare others that are HTTP requests (`agent.tools.http`).
`ToolRegistry` has
those that can be used in this process, `CallToolExecutor` runs them for one call.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from agent.call.messages import ToolSpec
from agent.tools.builtin import call_control as calls
from agent.tools.builtin import caller_profile as profiles
from agent.tools.builtin import messaging
from agent.tools.builtin.apartments import tours as apartments
from agent.tools.builtin.call_control import language_of
from agent.tools.builtin.restaurant import ordering
from agent.tools.executor import CallToolExecutor
from agent.tools.http import HttpTools, OutboundHttp
from agent.tools.idempotency import IdempotencyStore
from agent.tools.registry import ToolRegistry
from agent.tools.tool import CallContext, Tool, WithEffect, tool

__all__ = [
    "SPECS",
    "TOOLS",
    "CallContext",
    "CallToolExecutor",
    "HttpTools",
    "IdempotencyStore",
    "OutboundHttp",
    "Tool",
    "ToolRegistry",
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
