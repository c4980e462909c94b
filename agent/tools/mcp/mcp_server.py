"""One MCP server as a source of tools.

A task of its own connects, lists, listens for changes and connects again; it enters the connection
and leaves it (see `wire`). Calls never wait for any of that: they see a snapshot of the tools,
and a call of a tool whose server is away is refused at once. A server that is away offers
nothing, so a call that is set up meanwhile does without its tools and all others have theirs.

A connection may be dead without a sign: a child over pipes, an older protocol over HTTP. So the
list is also read again every now and then, and whenever a call got no answer.

A server may end our session (HTTP 404) at any time. Its tools stay offered meanwhile: the owner
connects again at once, and the call that was refused is made once more in the new session.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import structlog

from agent.errors import ToolError
from agent.ports import Count, uncounted
from agent.tools.mcp.mcp_config import McpServerConfig
from agent.tools.mcp.mcp_tools import OfferedTool, offer
from agent.tools.mcp.untrusted_results import McpResult, ServerUnavailableError, SessionOverError
from agent.tools.tool import Tool

if TYPE_CHECKING:
    from agent.tools.mcp.mcp_connection import McpConnection

log = structlog.get_logger(__name__)

_REFRESH_SECONDS = 15.0
_LISTEN_AGAIN_SECONDS = 0.5
_FIRST_WAIT_SECONDS = 0.5
_LONGEST_WAIT_SECONDS = 60.0
_STEADY_SECONDS = 30.0
"""A connection that has lasted so long was a good one: the next wait is the first again."""
_CLOSE_SECONDS = 10.0
"""Longer than the library takes to end a child that will not go."""
_RENEW_SECONDS = 3.0
"""How long a call waits for a new session in the place of one that the server has ended."""

_NOTHING = OfferedTool({}, ())
_AWAY = "The system behind this tool cannot be reached at the moment. Go on without it."

Chance = Callable[[float, float], float]


class McpServer:
    """`agent.tools.registry.Source`: the tools of one server, as long as it answers."""

    def __init__(
        self,
        name: str,
        entry: McpServerConfig,
        count: Count = uncounted,
        chance: Chance = random.uniform,
    ) -> None:
        self.name = name
        self._entry = entry
        self._count = count
        self._chance = chance
        self._connection: McpConnection | None = None
        self._offer = _NOTHING
        self._is_closing = False
        self._tried = asyncio.Event()
        self._has_settled = asyncio.Event()
        """The connection is there, or is not to be had: there is nothing to wait for."""
        self._lease = asyncio.timeout(None)
        """Of the connection; ends when its session is over."""
        self.fault = "it was not tried yet"
        """Why it is away, for operators; empty if it is not."""
        count("agent_tool_source_up", 0, source=name)
        self._owner = asyncio.create_task(self._own(), name=f"tool source {name}")
        self._owner.add_done_callback(self._note_end)

    @property
    def tools(self) -> Mapping[str, Tool]:
        """What it offers now, by our names."""
        return self._offer.tools

    @property
    def remarks(self) -> tuple[str, ...]:
        """A line for each of its tools that cannot be offered."""
        return self._offer.remarks

    @property
    def is_up(self) -> bool:
        """It answers."""
        return not self.fault

    async def tried(self) -> None:
        """Wait until the first attempt to connect has come to something."""
        await self._tried.wait()

    async def close(self) -> None:
        """Leave the connection and end the server's process, within a limit."""
        self._is_closing = True
        self._owner.cancel()
        _, late = await asyncio.wait([self._owner], timeout=_CLOSE_SECONDS)
        if late:
            log.error("tool_source.not_closed", source=self.name)

    async def _own(self) -> None:
        loop = asyncio.get_running_loop()
        wait, renewed = _FIRST_WAIT_SECONDS, -math.inf
        while not self._is_closing:
            began = loop.time()
            try:
                await self._connected()
            except TimeoutError:  # the session is over: connect again at once, but not for ever
                before, renewed = renewed, loop.time()
                if renewed - before > _RENEW_SECONDS:
                    continue
                self._lose("it ends each session at once")
            except ServerUnavailableError as error:
                self._lose(str(error))
            if loop.time() - began > _STEADY_SECONDS:
                wait = _FIRST_WAIT_SECONDS
            await asyncio.sleep(wait * self._chance(0.5, 1.0))
            wait = min(wait * 2, _LONGEST_WAIT_SECONDS)

    async def _connected(self) -> None:
        """Be connected, as long as that lasts."""
        from agent.tools.mcp.mcp_connection import connect  # noqa: PLC0415 (see that module)

        self._lease = asyncio.timeout(None)
        async with self._lease, connect(self._entry) as connection:
            while True:
                async with connection.notices() as heard:
                    await self._read(connection)
                    while await _until_due(heard):
                        await self._read(connection)
                await asyncio.sleep(_LISTEN_AGAIN_SECONDS)

    async def _read(self, connection: McpConnection) -> None:
        """Take over the list as it is now."""
        listing = await connection.tools()
        offered = offer(self.name, self._entry, listing.tools, self._ask)
        offered = replace(offered, remarks=(*offered.remarks, *listing.remarks))
        new = set(offered.remarks) - set(self._offer.remarks)
        for remark in sorted(new):
            log.warning("tool_source.tool_left_out", source=self.name, remark=remark)
        self._offer, self._connection = offered, connection
        self._has_settled.set()
        if self.fault:
            self.fault = ""
            self._count("agent_tool_source_up", 1, source=self.name)
            log.info("tool_source.up", source=self.name, tools=len(offered.tools))
        self._tried.set()

    def _lose(self, fault: str) -> None:
        self._connection, self._offer = None, _NOTHING
        is_news, self.fault = fault != self.fault, fault
        self._tried.set()
        self._has_settled.set()
        if is_news:
            self._count("agent_tool_source_up", 0, source=self.name)
            log.warning("tool_source.away", source=self.name, fault=fault)

    async def _ask(self, tool: str, arguments: Mapping[str, object]) -> McpResult:
        """Have a tool run. See `offers.Ask`."""
        connection = await self._present()
        try:
            return await connection.call(tool, arguments, self._entry.timeout)
        except SessionOverError:
            self._renew(connection)
            connection = await self._present()
            return await connection.call(tool, arguments, self._entry.timeout)

    async def _present(self) -> McpConnection:
        """The connection, waited for while it is renewed. Raises `ToolError` without one."""
        if self._connection is None and not self.fault:
            with suppress(TimeoutError):
                async with asyncio.timeout(_RENEW_SECONDS):
                    await self._has_settled.wait()
        if self._connection is None:
            raise ToolError(_AWAY)
        return self._connection

    def _renew(self, over: McpConnection) -> None:
        """Have the owner connect again; harmless when it has."""
        if self._connection is over:
            log.info("tool_source.session_over", source=self.name)
            self._connection = None
            self._has_settled.clear()
            self._lease.reschedule(asyncio.get_running_loop().time())

    def _note_end(self, owner: asyncio.Task[None]) -> None:
        """Nobody waits for the owner: if it has crashed, that has to be said here."""
        if not owner.cancelled() and (error := owner.exception()) is not None:
            self._lose("its task has crashed")
            log.error("tool_source.crashed", source=self.name, exc_info=error)


async def _until_due(heard: Callable[[], Awaitable[bool]]) -> bool:
    """Wait until the list has to be read; false if no notice of it can come any more."""
    try:
        async with asyncio.timeout(_REFRESH_SECONDS):
            return await heard()
    except TimeoutError:
        return True
