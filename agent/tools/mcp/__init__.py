"""MCP servers as sources of tools.

Each server has a task that connects, lists the tools, listens for changes, and connects again.
Calls use a snapshot of the tools; an unreachable server offers nothing and refuses calls at once.
The service waits `_START_SECONDS` for its servers and connects the others in the background.

A connection may be dead without a sign, so the list is also read again regularly, and whenever a
call got no answer. A server may end the session (HTTP 404) at any time: its tools stay offered, the
task connects again at once, and the refused call is made once more in the new session.
"""

from __future__ import annotations

import asyncio
import math
import os
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import structlog

from agent.call.messages import ToolSpec
from agent.errors import ToolError
from agent.ports import Count, uncounted
from agent.tools.mcp.mcp_config import McpFileError, McpServerConfig, place, read
from agent.tools.mcp.mcp_tools import (
    McpResult,
    ServerUnavailableError,
    SessionOverError,
    offered_tools,
)
from agent.tools.tool import Tool

if TYPE_CHECKING:
    from agent.tools.mcp.mcp_connection import McpConnection, WaitForChange

__all__ = ["McpFileError", "open_sources", "place", "survey"]

log = structlog.get_logger(__name__)

_START_SECONDS = 5.0
_SURVEY_SECONDS = 15.0
_REFRESH_SECONDS = 15.0
_LISTEN_AGAIN_SECONDS = 0.5
_FIRST_WAIT_SECONDS = 0.5
_LONGEST_WAIT_SECONDS = 60.0
_STEADY_SECONDS = 30.0
"""After a connection that lasted this long, the back-off starts from the beginning."""
_CLOSE_SECONDS = 10.0
_RENEW_SECONDS = 3.0
"""How long a call waits for a new session after the server has ended the old one."""

_AWAY = "The system behind this tool cannot be reached at the moment. Go on without it."


class McpServer:
    """A `ToolSource`; `fault` says why it is unreachable."""

    def __init__(self, name: str, config: McpServerConfig, count: Count) -> None:
        self.name = name
        self._config = config
        self._count = count
        self._connection: McpConnection | None = None
        self.tools: Mapping[str, Tool] = {}
        self.remarks: Sequence[str] = ()
        """A line for each tool left out."""
        self._is_closing = False
        self.has_settled = asyncio.Event()
        """Set while no attempt to connect is awaited: it is connected, or unreachable."""
        self._session = asyncio.timeout(None)
        """The scope of the connection; it expires when the server has ended the session."""
        self.fault = "it was not tried yet"
        count("agent_tool_source_up", 0, source=name)
        self._owner = asyncio.create_task(self._keep_connected(), name=f"tool source {name}")
        self._owner.add_done_callback(self._report_crash)

    @property
    def is_up(self) -> bool:
        return not self.fault

    async def close(self) -> None:
        """Close the connection within `_CLOSE_SECONDS`; this ends the server's process."""
        self._is_closing = True
        self._owner.cancel()
        _, late = await asyncio.wait([self._owner], timeout=_CLOSE_SECONDS)
        if late:
            log.error("tool_source.close_timed_out", source=self.name)

    async def _keep_connected(self) -> None:
        loop = asyncio.get_running_loop()
        wait, renewed = _FIRST_WAIT_SECONDS, -math.inf
        while not self._is_closing:
            began = loop.time()
            try:
                await self._connected()
            except TimeoutError:  # the session is over: connect again at once, unless it recurs
                before, renewed = renewed, loop.time()
                if renewed - before > _RENEW_SECONDS:
                    continue
                self._lose("it ends each session at once")
            except ServerUnavailableError as error:
                self._lose(str(error))
            if loop.time() - began > _STEADY_SECONDS:
                wait = _FIRST_WAIT_SECONDS
            await asyncio.sleep(wait * random.uniform(0.5, 1.0))  # noqa: S311 (spreads reconnects)
            wait = min(wait * 2, _LONGEST_WAIT_SECONDS)

    async def _connected(self) -> None:
        from agent.tools.mcp.mcp_connection import connect  # noqa: PLC0415 (see that module)

        self._session = asyncio.timeout(None)
        async with self._session, connect(self._config) as connection:
            while True:
                async with connection.notices() as wait_for_change:
                    await self._list(connection)
                    while await _until_due(wait_for_change):
                        await self._list(connection)
                await asyncio.sleep(_LISTEN_AGAIN_SECONDS)

    async def _list(self, connection: McpConnection) -> None:
        listed, unreadable = await connection.tools()
        tools, remarks = offered_tools(self.name, self._config, listed, self._call_tool)
        remarks += unreadable
        for remark in sorted(set(remarks) - set(self.remarks)):
            log.warning("tool_source.tool_left_out", source=self.name, remark=remark)
        self.tools, self.remarks, self._connection = tools, remarks, connection
        if self.fault:
            self.fault = ""
            self._count("agent_tool_source_up", 1, source=self.name)
            log.info("tool_source.connected", source=self.name, tools=len(tools))
        self.has_settled.set()

    def _lose(self, fault: str) -> None:
        self._connection, self.tools, self.remarks = None, {}, ()
        is_new, self.fault = fault != self.fault, fault
        self.has_settled.set()
        if is_new:
            self._count("agent_tool_source_up", 0, source=self.name)
            log.warning("tool_source.disconnected", source=self.name, fault=fault)

    async def _call_tool(self, tool: str, arguments: Mapping[str, object]) -> McpResult:
        connection = await self._current_connection()
        try:
            return await connection.call(tool, arguments, self._config.timeout)
        except SessionOverError:
            self._renew(connection)
            connection = await self._current_connection()
            return await connection.call(tool, arguments, self._config.timeout)

    async def _current_connection(self) -> McpConnection:
        if self._connection is None and not self.fault:
            with suppress(TimeoutError):
                async with asyncio.timeout(_RENEW_SECONDS):
                    await self.has_settled.wait()
        if self._connection is None:
            raise ToolError(_AWAY)
        return self._connection

    def _renew(self, over: McpConnection) -> None:
        if self._connection is over:
            log.info("tool_source.session_ended", source=self.name)
            self._connection = None
            self.has_settled.clear()
            self._session.reschedule(asyncio.get_running_loop().time())

    def _report_crash(self, owner: asyncio.Task[None]) -> None:
        if not owner.cancelled() and (error := owner.exception()) is not None:
            self._lose("its task has crashed")
            log.error("tool_source.crashed", source=self.name, exc_info=error)


async def _until_due(wait_for_change: WaitForChange) -> bool:
    """Wait until the list has to be read; false if no change can be reported any more."""
    with suppress(TimeoutError):
        async with asyncio.timeout(_REFRESH_SECONDS):
            return await wait_for_change()
    return True


@dataclass(frozen=True, slots=True)
class _LeftOut:
    """A server that is not tried, because a secret is missing."""

    name: str
    fault: str
    tools: Mapping[str, Tool] = field(default_factory=dict)
    remarks: Sequence[str] = ()
    is_up: bool = False


async def survey(config: str) -> tuple[dict[str, ToolSpec], list[str], list[str]]:
    """Connect each server of `MCP_CONFIG` once, to check the configuration. Raises `McpFileError`.

    Returns the tools found, and a line for each unreachable server and for each tool left out.
    """
    async with open_sources(config, uncounted, _SURVEY_SECONDS) as servers:
        specs = {name: tool.spec for server in servers for name, tool in server.tools.items()}
        faults = [
            f"MCP_CONFIG: {server.name}: {server.fault}" for server in servers if not server.is_up
        ]
        remarks = [f"MCP_CONFIG: {remark}" for server in servers for remark in server.remarks]
    return specs, faults, remarks


@asynccontextmanager
async def open_sources(
    config: str, count: Count, seconds: float = _START_SECONDS
) -> AsyncIterator[tuple[McpServer | _LeftOut, ...]]:
    """All servers of `MCP_CONFIG` (empty = none), once each was tried or `seconds` have passed.

    Leaving closes them. Raises `McpFileError`.
    """
    if not config:
        yield ()
        return
    configs, left_out = await asyncio.to_thread(read, config, os.environ)
    for name, fault in left_out.items():
        count("agent_tool_source_up", 0, source=name)
        log.error("tool_source.left_out", source=name, fault=fault)
    servers = [McpServer(name, config, count) for name, config in configs.items()]
    try:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                for server in servers:
                    await server.has_settled.wait()
        yield (*servers, *(_LeftOut(name, fault) for name, fault in left_out.items()))
    finally:
        async with asyncio.TaskGroup() as closing:
            for server in servers:
                closing.create_task(server.close(), name=f"close tool source {server.name}")
