"""The built-in tools.

To add a tool, write it in a module of this package (or a new one), list it in that module's
`TOOLS`, and add a new module to the tuple below. A use case offers it by its name.
"""

from __future__ import annotations

from agent.tools.builtin import apartments, call_control, caller_profile, messaging, restaurant
from agent.tools.builtin.call_control import language_of
from agent.tools.tool import Tool

__all__ = ["TOOLS", "language_of"]

TOOLS: tuple[Tool, ...] = (
    *restaurant.TOOLS,
    *apartments.TOOLS,
    *messaging.TOOLS,
    *caller_profile.TOOLS,
    *call_control.TOOLS,
)
