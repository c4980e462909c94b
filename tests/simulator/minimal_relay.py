"""A small server of ConversationRelay that shares no code with the simulator or the service.

Sockets are those of `websockets`, webhooks are answered by the standard library. It repeats what
the caller says; some words make it do something else, right or wrong. Each frame that it gets must
fit the schemas, and each request must be signed.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import http
import json
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum
from typing import Any
from urllib.parse import parse_qsl
from xml.sax.saxutils import quoteattr

import aiohttp
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from agent.simulator.carrier import Twilio
from agent.simulator.simulated_call import Manner
from tests.twilio.schemas import check_inbound

TOKEN = "12345678901234567890123456789012"
HANG_UP = "<Response><Hangup/></Response>"
_LAST: dict[str, object] = {"type": "text", "token": "", "last": True}
_END: dict[str, object] = {"type": "end", "handoffData": '{"reason": "human"}'}


class Cue(Enum):
    """What the server does between frames."""

    BROKEN = "wait until the caller breaks in"
    LATER = "wait for a moment"
    SLAM = "close the socket"


Step = str | bytes | Mapping[str, object] | Cue
SCRIPTS: Mapping[str, tuple[Step, ...]] = {
    "be silent": (),
    "close twice": ("Right.", _LAST, _LAST),
    "send a bad frame": ({"type": "text", "token": None, "last": True}, "Right.", _LAST),
    "send ten bad frames": ({"type": "text"},) * 10,
    "send bytes": (b"Right.", "Right.", _LAST),
    "replace it": (
        {**_LAST, "token": "One moment. " * 9, "preemptible": True},
        "Bye.",
        _LAST,
        _END,
    ),
    "be interrupted": ("One two ", "three four ", Cue.BROKEN, "five ", _LAST),
    "talk on": ("One two ", Cue.BROKEN, Cue.LATER, "three ", _LAST),
    "leave it open": ("One moment.",),
    "say goodbye": ("Goodbye.", _LAST, _END),
    "talk after the end": ("Goodbye.", _LAST, _END, "Wait.", _LAST),
    "hang up": (Cue.SLAM,),
}
"""The answer by the caller's words; any other words are repeated."""


@dataclass(slots=True)
class MinimalRelay:
    """A server whose behaviour its fields and the caller's words choose."""

    attributes: Mapping[str, str] = field(default_factory=dict)
    """Of `<ConversationRelay>`."""
    answers: dict[str, deque[str]] = field(default_factory=dict)
    """TwiML by path, a status, or nothing; then `/voice` connects, and others hang up."""
    refusals: int = 0
    """Sockets that are refused before one is accepted."""
    url: str = ""
    received: list[dict[str, Any]] = field(default_factory=list)
    posted: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    """Path and form of each webhook."""
    close_codes: list[int | None] = field(default_factory=list)
    _socket_url: str = ""
    _broken: asyncio.Event = field(default_factory=asyncio.Event)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[MinimalRelay]:
        """Listen at `url`."""
        async with (
            await asyncio.start_server(self._webhook, "127.0.0.1", 0) as webhooks,
            serve(
                self._talk, "127.0.0.1", 0, process_request=self._check, ping_interval=None
            ) as sockets,
        ):
            self.url = f"http://127.0.0.1:{_port(webhooks)}"
            self._socket_url = f"ws://127.0.0.1:{_port(sockets)}"
            yield self

    @property
    def actions(self) -> list[dict[str, str]]:
        """The forms for the action URL."""
        return [fields for path, fields in self.posted if path == "/action"]

    def relay(self, **more: str) -> str:
        """TwiML that connects to the socket."""
        url = f"{self._socket_url}/relay?t=a%2Fb&c=1"
        attributes = {"url": url, **self.attributes, **more}
        written = " ".join(f"{name}={quoteattr(text)}" for name, text in attributes.items())
        connect = f'<Connect action="/action"><ConversationRelay {written}/></Connect>'
        return f"<Response>{connect}</Response>"

    async def _webhook(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {line.partition(": ")[0].lower(): line.partition(": ")[2] for line in lines}
        body = await reader.readexactly(int(headers["content-length"]))
        path, fields = request.split()[1], dict(parse_qsl(body.decode(), keep_blank_values=True))
        signed = "".join([f"{self.url}{path}", *(f"{n}{fields[n]}" for n in sorted(fields))])
        answer = "403"
        if headers.get("x-twilio-signature") == _signature(signed):
            self.posted.append((path, fields))
            answer = self._answer(path)
        status, text = (answer, "") if answer.isdigit() else ("200", answer)
        if answer:
            head = f"HTTP/1.1 {status}\r\nContent-Length: {len(text)}\r\nConnection: close"
            writer.write(f"{head}\r\n\r\n{text}".encode("ascii"))
        writer.close()

    def _answer(self, path: str) -> str:
        if self.answers.get(path):
            return self.answers[path].popleft()
        return self.relay() if path == "/voice" else HANG_UP

    def _check(self, socket: ServerConnection, request: Request) -> Response | None:
        signed = f"{self._socket_url}{request.path}"
        if request.headers.get("X-Twilio-Signature") != _signature(signed):
            return socket.respond(http.HTTPStatus.FORBIDDEN, "")
        if self.refusals:
            self.refusals -= 1
            return socket.respond(http.HTTPStatus.SERVICE_UNAVAILABLE, "")
        return None

    async def _talk(self, socket: ServerConnection) -> None:
        async with asyncio.TaskGroup() as replies:
            with suppress(ConnectionClosed):
                async for message in socket:
                    assert isinstance(message, str)
                    check_inbound(message)
                    frame = json.loads(message)
                    self.received.append(frame)
                    if frame["type"] == "interrupt":
                        self._broken.set()
                    elif frame["type"] == "prompt" and frame["last"]:
                        replies.create_task(self._reply(socket, frame["voicePrompt"]))
            self.close_codes.append(socket.close_code)
            self._broken.set()

    async def _reply(self, socket: ServerConnection, words: str) -> None:
        for step in SCRIPTS.get(words, ("You said ", f"{words}.", _LAST)):
            if step is Cue.BROKEN:
                await self._broken.wait()
            elif step is Cue.LATER:
                await asyncio.sleep(5.0)  # virtual time
            elif step is Cue.SLAM:
                await socket.close()
            else:
                frame = {"type": "text", "token": step} if isinstance(step, str) else step
                with suppress(ConnectionClosed):
                    await socket.send(frame if isinstance(frame, bytes) else json.dumps(frame))


def _port(server: asyncio.Server | Server) -> int:
    port: int = next(iter(server.sockets)).getsockname()[1]
    return port


def _signature(signed: str) -> str:
    digest = hmac.digest(TOKEN.encode(), signed.encode(), "sha1")
    return base64.b64encode(digest).decode()


@asynccontextmanager
async def calling(relay: MinimalRelay, manner: Manner | None = None) -> AsyncIterator[Twilio]:
    """The server, and Twilio with a number of it."""
    async with relay.serving(), aiohttp.ClientSession() as client:
        yield Twilio(client, relay.url, TOKEN, manner=manner or Manner(), path="/voice")
