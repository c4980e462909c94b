"""Tools that a use case declares as an HTTP request, see `agent.tools.http.http_tools`."""

from __future__ import annotations

from agent.tools.http.http_tools import HttpTools, fault_of
from agent.tools.http.outbound_http import OutboundHttp

__all__ = ["HttpTools", "OutboundHttp", "fault_of"]
