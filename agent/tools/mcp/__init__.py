"""MCP servers as sources of tools (practice section 6).

    file.py      which servers there are: the operator's file
    server.py    one server: a task that keeps it connected, and a snapshot of its tools
    offers.py    from what it lists to tools a use case can name
    schemas.py   descriptions and schemas of strangers, made safe
    wire.py      the connection; knows the library, and is imported with the first one
    peer.py      the words between these

Whatever a server says (names, descriptions, schemas, hints, results, errors) is hearsay: bounded,
put into our forms, and never followed. A result reaches the model as any other result does, as
data inside JSON.

A service starts whether its servers answer or not: it waits `_START_SECONDS` for them, and
connects the others in the background.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from agent.call.messages import ToolSpec
from agent.ports import Count, uncounted
from agent.tools.mcp.mcp_config import McpFileError, read
from agent.tools.mcp.mcp_server import McpServer
from agent.tools.registry import ToolSource
from agent.tools.tool import Tool

__all__ = ["McpFileError", "open_sources", "survey"]

log = structlog.get_logger(__name__)

_START_SECONDS = 5.0
_SURVEY_SECONDS = 15.0
"""Longer than one attempt to connect, so that its reason is known."""


@dataclass(frozen=True, slots=True)
class _LeftOut:
    """A server that cannot even be tried."""

    name: str
    fault: str
    tools: Mapping[str, Tool] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    is_up: bool = False


@asynccontextmanager
async def open_sources(path: str, count: Count) -> AsyncIterator[tuple[ToolSource, ...]]:
    """The servers of this file; on leaving, connections are closed and children ended.

    Args:
        path: Of the file; empty = there are none.
        count: For which servers answer.

    Raises:
        McpFileError: The file has a fault.
    """
    async with _servers(path, count, _START_SECONDS) as servers:
        yield servers


async def survey(path: str) -> tuple[dict[str, ToolSpec], list[str], list[str]]:
    """Connect each server of the file once, for a check of the configuration.

    Returns:
        All tools found; a line for each server that is away; a line for each tool left out.

    Raises:
        McpFileError: The file has a fault.
    """
    async with _servers(path, uncounted, _SURVEY_SECONDS) as servers:
        specs = {name: tool.spec for server in servers for name, tool in server.tools.items()}
        faults = [
            f"MCP_CONFIG: {server.name}: {server.fault}" for server in servers if not server.is_up
        ]
        remarks = [f"MCP_CONFIG: {remark}" for server in servers for remark in server.remarks]
    return specs, faults, remarks


@asynccontextmanager
async def _servers(
    path: str, count: Count, seconds: float
) -> AsyncIterator[tuple[McpServer | _LeftOut, ...]]:
    """All servers of the file, once each has been tried or so much time has passed."""
    if not path:
        yield ()
        return
    entries, left_out = await asyncio.to_thread(read, Path(path), os.environ)
    for name, fault in left_out.items():
        count("agent_tool_source_up", 0, source=name)
        log.error("tool_source.left_out", source=name, fault=fault)
    servers = [McpServer(name, entry, count) for name, entry in entries.items()]
    try:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                for server in servers:
                    await server.tried()
        yield (*servers, *(_LeftOut(name, fault) for name, fault in left_out.items()))
    finally:
        async with asyncio.TaskGroup() as closing:
            for server in servers:
                closing.create_task(server.close(), name=f"close tool source {server.name}")
