"""The built-in tools. A new module is added to the tuple below."""

from __future__ import annotations

from agent.tools.builtin import (
    apartments,
    call_back,
    call_control,
    caller_profile,
    messaging,
    restaurant,
)
from agent.tools.builtin.call_back import request_call_back
from agent.tools.builtin.call_control import language_of, planned_end
from agent.tools.tool import Tool

__all__ = ["TOOLS", "language_of", "planned_end", "request_call_back"]

TOOLS: tuple[Tool, ...] = (
    *restaurant.TOOLS,
    *apartments.TOOLS,
    *messaging.TOOLS,
    *caller_profile.TOOLS,
    *call_control.TOOLS,
    *call_back.TOOLS,
)
