"""Passes the answers to `tools/list` and `tools/call` around the checks of the library.

The library refuses a whole list for one malformed tool, and a whole result for one unknown content
block, so a booking that was made would count as unknown. It is therefore given a part that it
accepts, and the answer as the server sent it travels in `_meta`; `agent.tools.mcp.mcp_tools` reads
it.

Rejected: repairing the answer, because the checks differ between revisions of the protocol.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import mcp_types as types
from mcp.client import Transport
from mcp.shared.message import SessionMessage
from mcp_types import methods
from mcp_types.version import KNOWN_PROTOCOL_VERSIONS

RAW = "voice-agent/raw"
"""Key in `_meta`."""
_LIST = "tools/list"
_COMPLETE = {"resultType": "complete", "cacheScope": "private", "ttlMs": 0}
"""Fields that the newest revision requires of a list."""

Incoming = SessionMessage | Exception


def raw_of(result: types.Result) -> Mapping[str, Any]:
    """The answer as the server sent it."""
    raw = (result.meta or {}).get(RAW)
    return raw if isinstance(raw, dict) else {}


def carried(method: str, result: dict[str, Any]) -> dict[str, Any]:
    """What the library is given for an answer; answers to other methods are unchanged."""
    meta = {RAW: result}
    match method:
        case "tools/list":
            cursor = result.get("nextCursor")
            tools = result.get("tools")
            listed: list[object] = tools if isinstance(tools, list) else []
            more = {"nextCursor": cursor if isinstance(cursor, str) else None}
            return {**result, **more, "tools": list(filter(_is_accepted, listed)), "_meta": meta}
        case "tools/call":
            empty: dict[str, Any] = {"content": [], "structuredContent": None, "isError": False}
            return {**result, **empty, "_meta": meta}
        case _:
            return result


def _is_accepted(tool: object) -> bool:
    """Whether the library accepts a tool in each revision of the protocol."""
    for version in KNOWN_PROTOCOL_VERSIONS:
        try:
            methods.validate_server_result(_LIST, version, {**_COMPLETE, "tools": [tool]})
        except (ValueError, RecursionError):
            return False
    return True


@asynccontextmanager
async def raw_transport(transport: Transport) -> AsyncIterator[tuple[_Reading, _Writing]]:
    """A transport around another one, whose answers are `carried`."""
    async with transport as (reading, writing):
        asked: dict[object, str] = {}
        yield _Reading(reading, asked), _Writing(writing, asked)


class _Stream:
    """One direction of the transport; closes the stream inside."""

    def __init__(self, inner: Any, asked: dict[object, str]) -> None:
        self._inner = inner
        self._asked = asked
        """The methods of unanswered requests by id."""

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def __aenter__(self) -> Any:
        await self._inner.__aenter__()
        return self

    async def __aexit__(self, *fault: Any) -> bool | None:
        closed: bool | None = await self._inner.__aexit__(*fault)
        return closed


class _Writing(_Stream):
    async def send(self, item: SessionMessage, /) -> None:
        if isinstance(item.message, types.JSONRPCRequest):
            self._asked[item.message.id] = item.message.method
        await self._inner.send(item)


class _Reading(_Stream):
    @property
    def last_context(self) -> Any:
        return getattr(self._inner, "last_context", None)

    async def receive(self) -> Incoming:
        return self._passed(await self._inner.receive())

    def __aiter__(self) -> _Reading:
        return self

    async def __anext__(self) -> Incoming:
        return self._passed(await self._inner.__anext__())

    def _passed(self, item: Incoming) -> Incoming:
        if isinstance(item, SessionMessage):
            match item.message:
                case types.JSONRPCResponse(id=number, result=result):
                    item.message.result = carried(self._asked.pop(number, ""), result)
                case types.JSONRPCError(id=number):
                    self._asked.pop(number, "")
                case _:
                    pass
        return item
