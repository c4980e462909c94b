"""A server that sends ConverseStream byte by byte as a test wants it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.emulators.eventstream import frame

Sent = bytes | Callable[[web.Request], Awaitable[None]]
"""Some bytes of an answer, or something to do between them."""


def event(kind: str, **payload: Any) -> bytes:
    return frame(json.dumps(payload).encode(), event_type=kind, message_type="event")


def fault(kind: str, message: str = "Words.") -> bytes:
    body = json.dumps({"message": message}).encode()
    return frame(body, exception_type=kind, message_type="exception")


def delta(text: str, index: int = 0) -> bytes:
    return event("contentBlockDelta", contentBlockIndex=index, delta={"text": text})


def tool(index: int, name: str, *inputs: str, is_closed: bool = True) -> bytes:
    used = {"toolUse": {"toolUseId": f"tooluse_{index}", "name": name}}
    sent = event("contentBlockStart", contentBlockIndex=index, start=used)
    for text in inputs:
        part = {"toolUse": {"input": text}}
        sent += event("contentBlockDelta", contentBlockIndex=index, delta=part)
    return sent + closed(index) if is_closed else sent


def closed(index: int) -> bytes:
    return event("contentBlockStop", contentBlockIndex=index)


def stop(reason: str) -> bytes:
    return event("messageStop", stopReason=reason)


def usage(**tokens: object) -> bytes:
    return event("metadata", usage=tokens, metrics={"latencyMs": 1})


START = event("messageStart", role="assistant")
USAGE = usage(inputTokens=7, outputTokens=2, totalTokens=9)
MESSAGE = START + delta("Hello") + closed(0) + stop("end_turn")
HELLO = MESSAGE + USAGE


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server sends to one request."""

    sent: tuple[Sent, ...] = (HELLO,)
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as it arrived."""

    method: str
    path: str  # raw, as on the wire
    headers: dict[str, str]  # by lower-case name
    body: bytes


@dataclass(slots=True)
class Bedrock:
    """A running server; answers in turn, the last one again and again."""

    answers: list[Answer] = field(default_factory=lambda: [Answer()])
    url: str = ""
    asked: list[Asked] = field(default_factory=list)  # requests to a model
    opened: int = 0
    """Connections so far."""
    left: asyncio.Queue[str] = field(default_factory=asyncio.Queue)
    """A word for each answer the client did not stay for."""

    def note_connection(self) -> None:
        self.opened += 1

    async def until_left(self, _: web.Request) -> None:
        """Wait, in the middle of an answer, until the client closes the connection."""
        try:
            await asyncio.Event().wait()
        finally:  # a disconnect cancels the handler
            self.left.put_nowait("left")

    async def handle(self, request: web.Request) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        body = await request.read()
        self.asked.append(Asked(request.method, request.raw_path, headers, body))
        answer = self.answers[min(len(self.asked), len(self.answers)) - 1]
        response = web.StreamResponse(status=answer.status, headers=answer.headers)
        await response.prepare(request)
        for part in answer.sent:
            if isinstance(part, bytes):
                await response.write(part)
            else:
                await part(request)
        return response


@asynccontextmanager
async def on_loopback(
    handle: Callable[[web.Request], Awaitable[web.StreamResponse]],
    on_connection: Callable[[], object] = lambda: None,
) -> AsyncIterator[str]:
    """The URL of a server on a free port; a client that leaves cancels its handler."""
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(
        application, access_log=None, handler_cancellation=True, shutdown_timeout=0.05
    )
    await runner.setup()
    make = runner.server
    assert make is not None

    def accepted() -> asyncio.BaseProtocol:
        on_connection()
        return make()

    server = await asyncio.get_running_loop().create_server(accepted, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await runner.cleanup()


@asynccontextmanager
async def bedrock(*answers: Answer) -> AsyncIterator[Bedrock]:
    serving = Bedrock(list(answers) or [Answer()])
    async with on_loopback(serving.handle, serving.note_connection) as serving.url:
        yield serving
