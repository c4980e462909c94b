"""One connection to an MCP server.

Only this module imports the library, which takes most of a second: import it with the first server.

The library's cancel scopes belong to tasks, so the task that enters `connect` must leave it;
`McpConnection.call` may be used from any task. When the connection breaks, the library cancels the
owner and gives the callers an error.

Defaults of the library that are changed here:

- It checks results against the server's schema, which blocks the loop. `send_request` does not.
- It reports a refusal over HTTP like an error after the tool has run. A status of 4xx, except 408,
  and 503 prove that nothing ran: it becomes an error of our own (`_REFUSED`). 404 ends the session:
  https://modelcontextprotocol.io/specification/2025-06-18/basic/transports#session-management
- It refuses a list for one malformed tool, and a result for one unknown content block, so a booking
  that was made would count as unknown. It is given a part that it accepts; the answer as sent
  travels in `_meta` (`carried`). Rejected: repairing it, because revisions check differently.
- It refuses JSON that begins with a byte order mark, and reads an answer of any length. Over HTTP
  an answer is cut off at `_MOST_BYTES`, and refused if it is compressed (`_Bounded`). Over pipes
  nothing is bounded: the operator chose to run that program here.
- It logs what it could not read, and passes on a child's standard error. Both are dropped.
"""

from __future__ import annotations

import asyncio
import codecs
import json
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from http import HTTPStatus
from typing import Any

import anyio
import httpx2
import mcp_types as types
import structlog
from mcp import Client, MCPError, StdioServerParameters
from mcp.client import Transport
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.client.subscriptions import SubscriptionLost
from mcp.shared.message import SessionMessage
from mcp_types import methods
from mcp_types.version import KNOWN_PROTOCOL_VERSIONS

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

log = structlog.get_logger(__name__)

_CONNECT_SECONDS = 10.0
_ASK_SECONDS = 10.0
"""For any request but a tool call, which has a limit of its own."""
_DIAL_SECONDS = 5.0
_GRACE_SECONDS = 1.0
"""So that the caller's own limit expires first."""
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
_NOT_BEGUN = {types.INVALID_PARAMS, types.METHOD_NOT_FOUND}
"""The server refused the request itself. All other codes may also be the library's own."""
_REFUSED = -32_060
"""Our code for a refusal over HTTP; its data is the status. Not used by JSON-RPC or MCP."""

_REFUSAL = "The system behind this tool refused this with HTTP status {}: nothing was done."
_SESSION_OVER = (
    "The system behind this tool has to be connected again. It may be tried again later."
)

RAW = "voice-agent/raw"
WaitForChange = Callable[[], Awaitable[bool]]
"""Waits until the server says that its tools have changed; false if it cannot any more."""


class McpConnection:
    """A connection to a server that answers."""

    def __init__(self, client: Client, changed: asyncio.Event) -> None:
        self._client = client
        self._changed = changed

    async def tools(self) -> tuple[list[ListedTool], list[str]]:
        """At most `_MOST_TOOLS`, a remark on unreadable ones; raises `ServerUnavailableError`."""
        listed: list[object] = []
        cursor: str | None = None
        try:
            async with asyncio.timeout(_ASK_SECONDS):
                for _ in range(_MOST_PAGES):
                    page = await self._client.list_tools(cursor=cursor)
                    entries = _raw_of(page).get("tools")
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
        """Run a tool; raises as `CallTool`, and `SessionOverError`."""
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
                if error.data == HTTPStatus.NOT_FOUND:
                    raise SessionOverError(_SESSION_OVER) from error
                raise ToolError(_REFUSAL.format(error.data)) from error
            self._changed.set()
            raise ServerUnavailableError(_reason(error)) from error
        return read_result(_raw_of(result))

    @asynccontextmanager
    async def notices(self) -> AsyncIterator[WaitForChange]:
        """Listen for changes of the tools; for the task that has entered `connect`."""
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
                with suppress(StopAsyncIteration, SubscriptionLost):
                    await anext(subscription)
                    return True
                return False

            yield event

    async def _notice(self) -> bool:
        await self._changed.wait()
        self._changed.clear()
        return True


@asynccontextmanager
async def connect(entry: McpServerConfig) -> AsyncIterator[McpConnection]:
    """Connect; leaving ends the child process. `ServerUnavailableError` also when it breaks."""
    for name in ("mcp", "client", "httpx2", "httpcore2"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    refusal = ""
    changed = asyncio.Event()

    async def note(response: httpx2.Response) -> None:
        nonlocal refusal
        refused = response.status_code in {401, 403} or response.status_code >= 500
        refusal = f"it answers with HTTP {response.status_code}" if refused else ""

    async def notified(message: object) -> None:
        if isinstance(message, types.ToolListChangedNotification):
            changed.set()

    try:
        async with AsyncExitStack() as stack:
            client = Client(
                _raw_transport(await _transport(stack, entry, note)),
                client_info=types.Implementation(name="voice-agent", version="1"),
                message_handler=notified,
                read_timeout_seconds=_ASK_SECONDS,
                cache=None,
            )
            async with asyncio.timeout(_CONNECT_SECONDS):
                await stack.enter_async_context(client)
            yield McpConnection(client, changed)
    except _FAULTS as error:
        raise ServerUnavailableError(refusal or _reason(error)) from error


async def _transport(
    stack: AsyncExitStack, entry: McpServerConfig, note: Callable[[httpx2.Response], Any]
) -> Any:
    if entry.command:
        dropped = stack.enter_context(open(os.devnull, "w"))  # noqa: SIM115, ASYNC230, PTH123 (the stack closes it)
        child = StdioServerParameters(command=entry.command, args=entry.args, env=entry.env)
        return stdio_client(child, errlog=dropped)
    http = httpx2.AsyncClient(
        headers={**entry.headers, "Accept-Encoding": "identity"},
        timeout=httpx2.Timeout(_DIAL_SECONDS, read=None),
        event_hooks={"response": [note, _bound, _settle]},
    )
    await stack.enter_async_context(http)
    return streamable_http_client(entry.url, http_client=http, max_sse_event_size=_MOST_BYTES)


async def _bound(response: httpx2.Response) -> None:
    is_packed = response.headers.get("content-encoding", "identity") != "identity"
    if is_packed or not response.headers.get("content-type", "").startswith("text/event-stream"):
        response.stream = _Bounded(response.stream, 0 if is_packed else _MOST_BYTES)


class _Bounded(httpx2.AsyncByteStream):
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
            if is_begun := len(begun) >= len(codecs.BOM_UTF8):
                yield begun.removeprefix(codecs.BOM_UTF8)
        if not is_begun:
            yield begun

    async def aclose(self) -> None:
        await self._stream.aclose()


async def _settle(response: httpx2.Response) -> None:
    """Turn a refusal of a tool call into the error `_REFUSED`."""
    status, request = response.status_code, response.request
    is_refusal = status == 503 or (400 <= status < 500 and status != 408)
    if not (is_refusal and request.method == "POST" and b'"tools/call"' in request.content):
        return
    stream: Any = response.stream
    try:
        body = b"".join([part async for part in stream])
    except httpx2.HTTPError:
        body = b""
    finally:
        await stream.aclose()
    if not _is_not_begun(body):
        error = {"code": _REFUSED, "message": "refused", "data": status}
        body = json.dumps({"jsonrpc": "2.0", "id": None, "error": error}).encode()
        response.headers["Content-Type"] = "application/json"
    response.stream = httpx2.ByteStream(body)


def _is_not_begun(body: bytes) -> bool:
    with suppress(ValueError, RecursionError):
        match json.loads(body):
            case {"error": {"code": int(code), "message": str()}}:
                return code in _NOT_BEGUN
            case _:
                pass
    return False


def _reason(error: BaseException) -> str:
    """Never the text of an error, which may hold personal data."""
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


def _raw_of(result: types.Result) -> Mapping[str, Any]:
    raw = (result.meta or {}).get(RAW)
    return raw if isinstance(raw, dict) else {}


def carried(method: str, result: dict[str, Any]) -> dict[str, Any]:
    """What the library is given for an answer; answers to other methods are unchanged."""
    match method:
        case "tools/list":
            cursor, tools = result.get("nextCursor"), result.get("tools")
            listed: list[object] = tools if isinstance(tools, list) else []
            given: dict[str, Any] = {
                "nextCursor": cursor if isinstance(cursor, str) else None,
                "tools": list(filter(_is_accepted, listed)),
            }
        case "tools/call":
            given = {"content": [], "structuredContent": None, "isError": False}
        case _:
            return result
    return {**result, **given, "_meta": {RAW: result}}


def _is_accepted(tool: object) -> bool:
    """Whether each revision accepts a tool; the newest one requires these fields of a page."""
    page = {"resultType": "complete", "cacheScope": "private", "ttlMs": 0, "tools": [tool]}
    try:
        for version in KNOWN_PROTOCOL_VERSIONS:
            methods.validate_server_result("tools/list", version, page)
    except (ValueError, RecursionError):
        return False
    return True


@asynccontextmanager
async def _raw_transport(transport: Transport) -> AsyncIterator[tuple[Any, Any]]:
    async with transport as (reading, writing):
        asked: dict[object, str] = {}
        yield _Stream(reading, asked), _Stream(writing, asked)


class _Stream:
    """One direction of the transport; `asked` holds the methods of unanswered requests by id."""

    def __init__(self, inner: Any, asked: dict[object, str]) -> None:
        self._inner = inner
        self._asked = asked

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def __aenter__(self) -> Any:
        await self._inner.__aenter__()
        return self

    async def __aexit__(self, *fault: Any) -> Any:
        return await self._inner.__aexit__(*fault)

    async def send(self, item: SessionMessage, /) -> None:
        if isinstance(item.message, types.JSONRPCRequest):
            self._asked[item.message.id] = item.message.method
        await self._inner.send(item)

    def __aiter__(self) -> _Stream:
        return self

    async def __anext__(self) -> SessionMessage | Exception:
        item: SessionMessage | Exception = await self._inner.__anext__()
        message = item.message if isinstance(item, SessionMessage) else None
        if isinstance(message, types.JSONRPCResponse | types.JSONRPCError):
            method = self._asked.pop(message.id, "")
            if isinstance(message, types.JSONRPCResponse):
                message.result = carried(method, message.result)
        return item
