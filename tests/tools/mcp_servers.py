"""MCP servers made with the official library: on a port of this process, or a child over pipes.

`Peer` is what a test scripts: its tools and what they answer may change while it runs, and it can
be killed and started again on the same port. The children are `stdio_mcp_server.py`
and `older_mcp_server.py`.
"""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import mcp_types as types
import uvicorn
from mcp import MCPError
from mcp.server import Server, ServerRequestContext
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler, ToolsListChanged

from tests.waiting import until

Context = ServerRequestContext[Any, Any]
Run = Callable[[dict[str, Any]], Awaitable[types.CallToolResult]]

EMPTY: dict[str, Any] = {"type": "object", "properties": {}}
READS = types.ToolAnnotations(read_only_hint=True)


def said(*texts: str, is_error: bool = False) -> types.CallToolResult:
    """A result with these texts."""
    content: list[types.ContentBlock] = [types.TextContent(type="text", text=t) for t in texts]
    return types.CallToolResult(content=content, is_error=is_error)


def listed(name: str, schema: dict[str, Any] | None = None, **more: Any) -> types.Tool:
    """A read-only tool, unless `annotations` say otherwise."""
    more = {"description": f"Does {name}.", "annotations": READS, **more}
    return types.Tool(name=name, input_schema=schema or EMPTY, **more)


class Peer:
    """A server that a test scripts."""

    def __init__(self) -> None:
        self.port = _free_port()
        self.tools: list[types.Tool] = []
        self.runs: dict[str, Run] = {}
        self.calls: list[tuple[str, dict[str, Any]]] = []
        """Each call that reached it."""
        self.pages = 1_000
        """Tools on one page of the list."""
        self.headers: list[str] = []
        """`Authorization` of each request."""
        self._bus = InMemorySubscriptionBus()
        self._listeners = ListenHandler(self._bus)
        self._serving: tuple[uvicorn.Server, asyncio.Task[None]] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/mcp"

    def offers(self, tool: types.Tool, run: Run | types.CallToolResult) -> None:
        """Add a tool without a notification."""
        answer = run

        async def always(_: dict[str, Any]) -> types.CallToolResult:
            assert isinstance(answer, types.CallToolResult)
            return answer

        self.tools.append(tool)
        self.runs[tool.name] = always if isinstance(answer, types.CallToolResult) else answer

    def withdraws(self, name: str) -> None:
        """Remove a tool without a notification."""
        self.tools = [tool for tool in self.tools if tool.name != name]
        del self.runs[name]

    async def tell_of_changes(self) -> None:
        await self._bus.publish(ToolsListChanged())

    def ends_subscriptions(self) -> None:
        """End all subscriptions, as a proxy does with idle streams."""
        self._listeners.close()

    async def start(self) -> None:
        for name in ("mcp", "uvicorn", "sse_starlette"):
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)
        server: Server[Any] = Server(
            "peer",
            on_list_tools=self._list,
            on_call_tool=self._call,
            on_subscriptions_listen=self._listeners,
        )
        application = server.streamable_http_app(stateless_http=False)

        async def noted(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "http":
                self.headers.append(dict(scope["headers"]).get(b"authorization", b"").decode())
            await application(scope, receive, send)

        config = uvicorn.Config(
            noted, "127.0.0.1", self.port, log_config=None, timeout_graceful_shutdown=0
        )
        running = uvicorn.Server(config)
        task = asyncio.create_task(running._serve(), name="peer")  # noqa: SLF001 (no signals)
        self._serving = running, task
        await until(lambda: running.started)

    async def kill(self) -> None:
        """Stop at once; streams are cut."""
        if self._serving is None:
            return
        running, task = self._serving
        self._serving = None
        running.should_exit = True
        with suppress(asyncio.CancelledError):
            await task

    async def _list(
        self, _: Context, params: types.PaginatedRequestParams | None
    ) -> types.ListToolsResult:
        begin = int((params and params.cursor) or 0)
        end = begin + self.pages
        more = str(end) if end < len(self.tools) else None
        return types.ListToolsResult(tools=self.tools[begin:end], next_cursor=more)

    async def _call(self, _: Context, params: types.CallToolRequestParams) -> types.CallToolResult:
        arguments = dict(params.arguments or {})
        self.calls.append((params.name, arguments))
        if params.name not in self.runs:
            raise MCPError(types.INVALID_PARAMS, "Unknown tool.")
        return await self.runs[params.name](arguments)


@asynccontextmanager
async def peering() -> AsyncIterator[Peer]:
    """A peer on a port of this process."""
    peer = Peer()
    await peer.start()
    try:
        yield peer
    finally:
        await peer.kill()


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def over_pipes(program: str = "stdio_mcp_server.py", **environment: str) -> dict[str, Any]:
    """The configuration of a child process that runs a program of this folder."""
    file = Path(__file__).with_name(program)
    return {"command": sys.executable, "args": [str(file)], "env": environment}


def written(folder: Path, **servers: dict[str, Any]) -> str:
    """Write a file with these servers; its path."""
    path = folder / "mcp.json"
    path.write_text(json.dumps({"mcpServers": servers}))
    return str(path)
