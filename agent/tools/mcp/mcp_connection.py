"""One connection to an MCP server. Only this module and `raw_results` import the library.

It is imported with the first server, because importing the library takes most of a second.

The library's cancel scopes belong to tasks, so `connect` is entered and left by the one task that
owns the connection; `McpConnection.call` may be used from any task. When the connection breaks, the
library cancels the owner and gives the callers an error.

Defaults of the library that are changed here:

- It checks results against the server's schema, which blocks the loop. `send_request` does not.
- It reports a refusal over HTTP like an error after the tool has run. A status of 4xx, except 408,
  and 503 prove that nothing ran, so such an answer becomes an error of our own (`_REFUSED`). 404
  ends the session:
  https://modelcontextprotocol.io/specification/2025-06-18/basic/transports#session-management
- It refuses a list for one malformed tool (`agent.tools.mcp.raw_results`), and JSON that begins
  with a byte order mark (`_Bounded`).
- It reads an answer of any length. Over HTTP an answer is cut off at `_MOST_BYTES`, and refused if
  it is compressed. Over pipes nothing is bounded: the operator chose to run that program here.
- It logs what it could not read, and passes on a child's standard error. Both may hold personal
  words and are dropped.
"""

from __future__ import annotations

import asyncio
import codecs
import json
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from http import HTTPStatus
from typing import Any

import anyio
import httpx2
import mcp_types as types
import structlog
from mcp import Client, MCPError, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.client.subscriptions import SubscriptionLost

from agent.errors import ToolError, provider_kind
from agent.tools.mcp.mcp_config import McpServerConfig
from agent.tools.mcp.mcp_tools import (
    ListedTool,
    McpResult,
    ServerUnavailableError,
    SessionOverError,
    read_listed,
    read_result,
)
from agent.tools.mcp.raw_results import raw_of, raw_transport

log = structlog.get_logger(__name__)

_CONNECT_SECONDS = 10.0
_ASK_SECONDS = 10.0
"""For any request but a tool call, which has a limit of its own."""
_DIAL_SECONDS = 5.0
_GRACE_SECONDS = 1.0
"""Added to a tool call's limit, so that the caller's own limit expires first."""
_MOST_BYTES = 1024 * 1024
_MOST_PAGES = 20
_MOST_TOOLS = 200
_ERROR_CHARS = 500

_FAULTS = (
    ExceptionGroup, MCPError, httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError, OSError,
    ValueError, RuntimeError, anyio.BrokenResourceError, anyio.ClosedResourceError,
    anyio.EndOfStream,
)  # fmt: skip
"""What the library raises for a faulty server."""
_NOT_BEGUN = frozenset({types.INVALID_PARAMS, types.METHOD_NOT_FOUND})
"""The server refused the request itself. All other codes may also be the library's own."""
_REFUSED = -32_060
"""Our code for a refusal over HTTP; its data is the status. Not used by JSON-RPC or MCP."""
_SESSION_OVER = (
    "The system behind this tool has to be connected again. It may be tried again later."
)

WaitForChange = Callable[[], Awaitable[bool]]
"""Waits until the server says that its tools have changed; false if it cannot any more."""


class McpConnection:
    """A connection to a server that answers."""

    def __init__(self, client: Client, changed: asyncio.Event) -> None:
        self._client = client
        self._changed = changed

    async def tools(self) -> tuple[list[ListedTool], list[str]]:
        """The tools of the server, at most `_MOST_TOOLS`, and a remark on unreadable ones.

        Raises:
            ServerUnavailableError: The server does not answer as it should.
        """
        listed: list[object] = []
        cursor: str | None = None
        try:
            async with asyncio.timeout(_ASK_SECONDS):
                for _ in range(_MOST_PAGES):
                    page = await self._client.list_tools(cursor=cursor)
                    entries = raw_of(page).get("tools")
                    listed += entries if isinstance(entries, list) else []
                    cursor = page.next_cursor
                    if not cursor or len(listed) >= _MOST_TOOLS:
                        break
        except _FAULTS as error:
            raise ServerUnavailableError(_reason(error)) from error
        read = [read_listed(entry) for entry in listed[:_MOST_TOOLS]]
        remarks = ["a tool that it lists cannot be read, left out"] if None in read else []
        return [tool for tool in read if tool is not None], remarks

    async def call(self, tool: str, arguments: Mapping[str, object], seconds: float) -> McpResult:
        """Run a tool.

        Raises:
            SessionOverError: The server did not begin it, because it wants a new session.
            ToolError: The server did not begin it.
            ServerUnavailableError: It is not known whether it ran.
        """
        params = types.CallToolRequestParams(name=tool, arguments=dict(arguments))
        try:
            result = await self._client.session.send_request(
                types.CallToolRequest(params=params),
                types.CallToolResult,
                request_read_timeout_seconds=seconds + _GRACE_SECONDS,
            )
        except _FAULTS as error:
            if isinstance(error, MCPError) and error.code in _NOT_BEGUN:
                raise ToolError(error.message[:_ERROR_CHARS]) from error
            if isinstance(error, MCPError) and error.code == _REFUSED:
                raise _refusal(error.data) from error
            self._changed.set()
            raise ServerUnavailableError(_reason(error)) from error
        return read_result(raw_of(result))

    @asynccontextmanager
    async def notices(self) -> AsyncIterator[WaitForChange]:
        """Listen for changes of the tools; only for the owner of the connection."""
        async with AsyncExitStack() as stack:
            try:
                subscription = await stack.enter_async_context(
                    self._client.listen(tools_list_changed=True)
                )
            except (MCPError, RuntimeError, TimeoutError):
                # An older protocol, or the server refuses: notifications come unasked.
                yield self._notice
                return

            async def event() -> bool:
                try:
                    await anext(subscription)
                except (StopAsyncIteration, SubscriptionLost):
                    return False
                return True

            yield event

    async def _notice(self) -> bool:
        await self._changed.wait()
        self._changed.clear()
        return True


@asynccontextmanager
async def connect(entry: McpServerConfig) -> AsyncIterator[McpConnection]:
    """Connect to a server; leaving closes the connection and ends the child process.

    Raises:
        ServerUnavailableError: The server cannot be reached, or the connection broke.
    """
    for name in ("mcp", "client", "httpx2", "httpcore2"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    refusals = _Refusals()
    changed = asyncio.Event()

    async def notified(message: object) -> None:
        if isinstance(message, types.ToolListChangedNotification):
            changed.set()

    try:
        async with AsyncExitStack() as stack:
            transport = await _transport(stack, entry, refusals)
            client = Client(
                raw_transport(transport),
                client_info=types.Implementation(name="voice-agent", version="1"),
                message_handler=notified,
                read_timeout_seconds=_ASK_SECONDS,
                cache=None,
            )
            async with asyncio.timeout(_CONNECT_SECONDS):
                await stack.enter_async_context(client)
            yield McpConnection(client, changed)
    except _FAULTS as error:
        raise ServerUnavailableError(refusals.reason or _reason(error)) from error


async def _transport(stack: AsyncExitStack, entry: McpServerConfig, refusals: _Refusals) -> Any:
    """The library's transport, not entered; `stack` closes what it needs."""
    if entry.command:
        dropped = stack.enter_context(open(os.devnull, "w"))  # noqa: SIM115, ASYNC230, PTH123 (the stack closes it)
        child = StdioServerParameters(command=entry.command, args=entry.args, env=entry.env)
        return stdio_client(child, errlog=dropped)
    http = httpx2.AsyncClient(
        headers={**entry.headers, "Accept-Encoding": "identity"},
        timeout=httpx2.Timeout(_DIAL_SECONDS, read=None),
        event_hooks={"response": [refusals.note, _bound, _settle]},
    )
    await stack.enter_async_context(http)
    return streamable_http_client(entry.url, http_client=http, max_sse_event_size=_MOST_BYTES)


class _Refusals:
    """Stores the last refusal over HTTP, which the library does not report."""

    def __init__(self) -> None:
        self.reason = ""

    async def note(self, response: httpx2.Response) -> None:
        """Response hook."""
        refused = response.status_code in {401, 403} or response.status_code >= 500
        self.reason = f"it answers with HTTP {response.status_code}" if refused else ""


async def _bound(response: httpx2.Response) -> None:
    """Response hook: limit how much of the body is read."""
    is_stream = response.headers.get("content-type", "").startswith("text/event-stream")
    is_packed = response.headers.get("content-encoding", "identity") != "identity"
    if is_packed or not is_stream:
        limit = 0 if is_packed else _MOST_BYTES
        response.stream = _Bounded(response.stream, limit)


class _Bounded(httpx2.AsyncByteStream):
    """A body of bounded length, without a byte order mark."""

    def __init__(self, stream: Any, limit: int) -> None:
        self._stream = stream
        self._left = limit

    async def __aiter__(self) -> AsyncIterator[bytes]:
        begun, is_begun = b"", False
        async for chunk in self._stream:
            self._left -= len(chunk)
            if self._left < 0:
                raise httpx2.StreamError("the answer is too long, or compressed")
            if is_begun:
                yield chunk
                continue
            begun += chunk
            is_begun = len(begun) >= len(codecs.BOM_UTF8)
            if is_begun:
                yield begun.removeprefix(codecs.BOM_UTF8)
        if not is_begun:
            yield begun

    async def aclose(self) -> None:
        await self._stream.aclose()


async def _settle(response: httpx2.Response) -> None:
    """Response hook: turn a refusal of a tool call into the error `_REFUSED`."""
    status, request = response.status_code, response.request
    is_refusal = status == 503 or (400 <= status < 500 and status != 408)
    if not (is_refusal and request.method == "POST" and b'"tools/call"' in request.content):
        return
    body = await _body(response)
    if not _has_code(body, _NOT_BEGUN):
        error = {"code": _REFUSED, "message": "refused", "data": response.status_code}
        body = json.dumps({"jsonrpc": "2.0", "id": None, "error": error}).encode()
        response.headers["Content-Type"] = "application/json"
    response.stream = httpx2.ByteStream(body)


async def _body(response: httpx2.Response) -> bytes:
    parts = list[bytes]()
    try:
        async for part in response.stream:  # type: ignore[union-attr] # the client's are asynchronous
            parts.append(part)
    except httpx2.HTTPError:
        return b""
    finally:
        await response.stream.aclose()  # type: ignore[union-attr] # likewise
    return b"".join(parts)


def _has_code(body: bytes, codes: frozenset[int]) -> bool:
    try:
        match json.loads(body):
            case {"error": {"code": int(code), "message": str()}}:
                return code in codes
            case _:
                return False
    except (ValueError, RecursionError):
        return False


def _refusal(status: object) -> ToolError:
    if status == HTTPStatus.NOT_FOUND:
        return SessionOverError(_SESSION_OVER)
    return ToolError(
        f"The system behind this tool refused this with HTTP status {status}: nothing was done."
    )


def _reason(error: BaseException) -> str:
    """The reason for operators; never the text of an error, which may hold personal data."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    match error:
        case ServerUnavailableError():
            return str(error)
        case FileNotFoundError() | PermissionError():
            return "its command cannot be run"
        case TimeoutError():
            return "it does not answer in time"
        case MCPError():
            return f"it answers with an error ({provider_kind(error.code)})"
        case httpx2.HTTPError() | OSError():
            return f"it cannot be reached ({type(error).__name__})"
        case _:
            log.error("tool_source.failed_unexpectedly", exc_info=error)
            return f"it does not behave as it should ({type(error).__name__})"
