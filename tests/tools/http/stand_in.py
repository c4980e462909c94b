"""A scripted HTTP server for declared tools that records its requests."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult

from agent.call.actions import ToolOutcome
from agent.call.messages import ToolCall
from agent.ports import Store
from agent.store.memory import MemoryStore
from agent.tools import CallToolExecutor, HttpTools, OutboundHttp
from agent.usecases.host_allowlist import HostAllowlist, Secret, SecretRule
from agent.usecases.http_tool import HttpTool, read_http_tools
from tests.tools.worlds import ADA, call_of

DROP = b""
"""Closes the connection without a response."""
HANG = b"hang"
"""Sends nothing and keeps the connection open."""
SECRETS = {"ORDERS_TOKEN": Secret("t0ken", (SecretRule("ORDERS_TOKEN"),))}


def reply(
    status: int = 200, body: str | bytes = "", kind: str = "application/json", extra: str = ""
) -> bytes:
    """The bytes of a response."""
    content = body if isinstance(body, bytes) else body.encode()
    head = f"HTTP/1.1 {status} X\r\nContent-Length: {len(content)}\r\n{extra}"
    return (head + (f"Content-Type: {kind}\r\n" if kind else "") + "\r\n").encode() + content


@dataclass(frozen=True, slots=True)
class Asked:
    """A received request."""

    line: str
    headers: dict[str, str]
    """Names in lower case."""
    body: str


@dataclass(slots=True)
class StandIn:
    """The scripted server."""

    answers: Sequence[bytes] = (reply(body='{"ok": true}'),)
    """In order; the last one for all further requests."""
    port: int = 0
    asked: list[Asked] = field(default_factory=list)
    hung: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            self.asked.append(await _read(reader))
            answer = self.answers[min(len(self.asked), len(self.answers)) - 1]
            if answer.endswith(HANG):
                writer.write(answer.removesuffix(HANG))
                await writer.drain()
                self.hung.set()
                await reader.read()
            writer.write(answer.removesuffix(HANG))
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


async def _read(reader: asyncio.StreamReader) -> Asked:
    line, *rest = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
    pairs = [each.partition(": ") for each in rest]
    headers = {name.lower(): value for name, _, value in pairs}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Asked(line, headers, body.decode())


@asynccontextmanager
async def standing_in(*answers: bytes) -> AsyncIterator[StandIn]:
    """A server on a port of this machine."""
    stand_in = StandIn(answers) if answers else StandIn()
    server = await asyncio.start_server(stand_in.serve, "127.0.0.1", 0)
    stand_in.port = server.sockets[0].getsockname()[1]
    try:
        yield stand_in
    finally:
        server.close()


class Names(AbstractResolver):
    """A resolver with a new answer for each request."""

    def __init__(self, *answers: list[str]) -> None:
        self._answers = list(answers)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [
            {"hostname": host, "host": address, "port": port, "proto": 0, "flags": 0,
             "family": socket.AF_INET6 if ":" in address else socket.AF_INET}
            for address in self._answers.pop(0)
        ]  # fmt: skip

    async def close(self) -> None:
        pass


def declared(name: str = "T", /, **table: object) -> HttpTool:
    """A declared tool, read from its TOML table."""
    (tool,) = read_http_tools({name: {"description": "Looks.", **table}}, "http_tools")
    return tool


@asynccontextmanager
async def offering(
    tool: HttpTool,
    hosts: str = "",
    store: Store | None = None,
    caller: str = ADA,
    clock: Callable[[], float] = monotonic,
) -> AsyncIterator[CallToolExecutor]:
    """An executor of one declared tool, whose host is listed."""
    async with OutboundHttp.open(HostAllowlist.read(hosts or tool.url.origin)) as outbound:
        http = HttpTools(outbound, SECRETS, clock)
        yield CallToolExecutor([http.tool(tool)], call_of(store or MemoryStore(), caller=caller))


@asynccontextmanager
async def offered(
    *answers: bytes,
    store: Store | None = None,
    caller: str = ADA,
    clock: Callable[[], float] = monotonic,
    url: str = "",
    **table: Any,
) -> AsyncIterator[tuple[StandIn, CallToolExecutor]]:
    """A server with these responses, and an executor of one tool that requests its `url`."""
    async with standing_in(*answers) as other:
        tool = declared(url=other.origin + url, **table)
        async with offering(tool, store=store, caller=caller, clock=clock) as toolbox:
            yield other, toolbox


async def run(toolbox: CallToolExecutor, name: str = "T", /, **arguments: object) -> ToolOutcome:
    """Run a tool with JSON arguments."""
    return await toolbox.run(ToolCall("call00001", name, json.dumps(arguments)))


def said(outcome: ToolOutcome) -> Any:
    """The result that the model gets."""
    return json.loads(outcome.content)
