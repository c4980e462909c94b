"""An MCP server that answers with bytes: what a library for servers would never send.

It speaks revision 2025-06-18 over HTTP, with sessions. A test says what it answers to
`tools/list` and `tools/call`; all else it answers as it should.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

REVISION = "2025-06-18"
TOOL = {"name": "book", "description": "Books.", "inputSchema": {"type": "object"}}
"""Counts as a tool with an effect, because it has no annotations."""


@dataclass(frozen=True, slots=True)
class Raw:
    """An answer to one request."""

    body: bytes = b""
    status: int = 200
    media_type: str = "application/json"


Script = Callable[[Any], Raw]
"""Answers the request with this id."""


def result(value: object, *, prefix: str = "") -> Script:
    """A JSON-RPC result; `prefix` stands before the JSON."""

    def answer(number: Any) -> Raw:
        message = {"jsonrpc": "2.0", "id": number, "result": value}
        return Raw(f"{prefix}{json.dumps(message)}".encode())

    return answer


def refused(status: int, body: str = "", media_type: str = "text/plain") -> Script:
    """A refusal over HTTP."""
    return lambda _: Raw(body.encode(), status, media_type)


@dataclass(slots=True)
class RawPeer:
    """The server; `lists` and `answers` are scripted."""

    lists: Script = field(default_factory=lambda: result({"tools": [TOOL]}))
    answers: Script = field(default_factory=lambda: result({"content": []}))
    url: str = ""
    calls: list[dict[str, Any]] = field(default_factory=list)
    """Parameters of each call that was answered by the script."""
    sessions: set[str] = field(default_factory=set)
    opened: int = 0
    """Sessions so far."""

    async def serve(self, request: web.Request) -> web.Response:
        if request.method != "POST":
            return web.Response(status=405)
        message = await request.json()
        method, number = message["method"], message.get("id")
        if method == "initialize":
            return self._begin(number)
        if request.headers.get("Mcp-Session-Id") not in self.sessions:
            return web.Response(status=404, text="no such session")
        if number is None:
            return web.Response(status=202)
        match method:
            case "tools/list":
                return _response(self.lists(number))
            case "tools/call":
                self.calls.append(message["params"])
                return _response(self.answers(number))
            case _:
                error = {"code": -32601, "message": "Method not found"}
                return web.json_response({"jsonrpc": "2.0", "id": number, "error": error})

    def _begin(self, number: object) -> web.Response:
        session = secrets.token_hex(8)
        self.sessions.add(session)
        self.opened += 1
        about = {
            "protocolVersion": REVISION,
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "raw", "version": "1"},
        }
        return web.json_response(
            {"jsonrpc": "2.0", "id": number, "result": about}, headers={"Mcp-Session-Id": session}
        )


def _response(raw: Raw) -> web.Response:
    return web.Response(body=raw.body, status=raw.status, headers={"Content-Type": raw.media_type})


@asynccontextmanager
async def raw_peering() -> AsyncIterator[RawPeer]:
    """A raw peer on a port of this process."""
    peer = RawPeer()
    application = web.Application()
    application.router.add_route("*", "/mcp", peer.serve)
    runner = web.AppRunner(application, shutdown_timeout=0)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        peer.url = f"http://127.0.0.1:{runner.addresses[0][1]}/mcp"
        yield peer
    finally:
        await runner.cleanup()
