"""Bedrock as light as it can be, so that a measurement is not of it.

It runs in the process of the callers, whose clock stamps its requests and first deltas. No
signature and no request is checked: `tests/emulators` is strict.
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import cast
from zlib import crc32

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.emulators.eventstream import event

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
BACKLOG = 4_096


class HttpConnection(asyncio.Protocol):
    """Reads requests with a body of a known length, one after the other."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self._unread = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # a TCP socket

    def data_received(self, data: bytes) -> None:
        self._unread += data
        while (end := self._unread.find(b"\r\n\r\n")) >= 0:
            head = self._unread[:end]
            found = _LENGTH.search(head)
            until = end + 4 + (int(found[1]) if found else 0)
            if len(self._unread) < until:
                return
            body, self._unread = self._unread[end + 4 : until], self._unread[until:]
            self.answer(head, body)

    def answer(self, head: bytes, body: bytes) -> None:
        """Write the response; now or later."""
        raise NotImplementedError


def response(status: bytes, body: bytes, kind: bytes = b"application/json") -> bytes:
    """A whole response with a checksum as DynamoDB gives it."""
    return (
        b"HTTP/1.1 %b\r\nContent-Type: %b\r\nx-amzn-RequestId: stub\r\nx-amz-crc32: %d\r\n"
        b"Content-Length: %d\r\n\r\n%b" % (status, kind, crc32(body), len(body), body)
    )


_MARK = b"question q"
_MARKED = re.compile(rb"q\d+x(\d+)")
_STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.amazon.eventstream\r\n"
    b"x-amzn-RequestId: stub\r\nTransfer-Encoding: chunked\r\n\r\n"
)
_TEXTS = (
    "Sure, I can help you with that order. Would you like a small, medium or large pizza, and do"
    " you want to add any extra toppings such as mushroom, fresh basil or garlic? Please take your"
    " time with that.",
    "We have several apartments near the river. Some of them come with a balcony, others with a"
    " garden, and all have a modern kitchen. Shall I tell you more about the neighborhood, or"
    " would you rather hear about parking?",
    "That is a good question about physics. Light behaves like a wave when it travels, yet it"
    " arrives in little packets of energy, and both pictures are needed. Which part of this story"
    " would you like to explore further?",
)
"""A model that gives its last answer again is held up by the service."""
_PADDING = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOP"
"""Bedrock pads its events by a random length."""


@dataclass(slots=True)
class Answered:
    """When a request was read and when its first delta was written, by the monotonic clock."""

    read: float
    began: float = 0.0


@dataclass(slots=True)
class ModelStub:
    """ConverseStream: so many tokens, the first after a while, the others at a steady pace.

    Args:
        tokens: Deltas of a reply.
        first: Seconds to the first one.
        gap: Seconds between two. Without any time a reply is written in one piece.
    """

    tokens: int = 40
    first: float = 0.3
    gap: float = 0.02
    answered: dict[str, Answered] = field(default_factory=dict)
    """By the mark of the question that was asked last; of the first request with it."""
    requests: int = 0

    def pieces(self, text: str) -> list[bytes]:
        """What is written for a reply, piece by piece; the last one has the end."""
        deltas = [
            _event("contentBlockDelta", contentBlockIndex=0, delta={"text": f"{word} "}, number=n)
            for n, word in enumerate((text.split() * self.tokens)[: self.tokens])
        ]
        deltas[0] = _STREAM_HEAD + _event("messageStart", role="assistant") + deltas[0]
        usage = {"inputTokens": 1200, "outputTokens": self.tokens}
        usage["totalTokens"] = sum(usage.values())
        end = (
            _event("contentBlockStop", contentBlockIndex=0),
            _event("messageStop", stopReason="end_turn"),
            _event("metadata", usage=usage, metrics={"latencyMs": 900}),
            b"0\r\n\r\n",
        )
        deltas[-1] += b"".join(end)
        return deltas

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        """Serve in this loop; gives the URL."""
        replies = [self.pieces(text) for text in _TEXTS]
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            lambda: _ModelConnection(self, replies), "127.0.0.1", backlog=BACKLOG
        )
        try:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        finally:
            server.close()

    def read(self, body: bytes) -> tuple[Answered, int]:
        """Note a request; the number is of the turn that it is about."""
        self.requests += 1
        now = Answered(monotonic())
        found = _MARKED.match(body, body.rfind(_MARK) + len(_MARK) - 1)
        if not found:
            return now, 0
        return self.answered.setdefault(found[0].decode(), now), int(found[1])


class _ModelConnection(HttpConnection):
    def __init__(self, model: ModelStub, replies: list[list[bytes]]) -> None:
        super().__init__()
        self._model = model
        self._replies = replies

    def answer(self, head: bytes, body: bytes) -> None:
        if b"/converse-stream" not in head.partition(b"\r\n")[0]:
            self.transport.write(response(b"404 Not Found", b"{}"))
            return
        answered, turn = self._model.read(body)
        pieces = self._replies[turn % len(self._replies)]
        loop = asyncio.get_running_loop()
        if self._model.first or self._model.gap:
            begin = loop.time() + self._model.first
            loop.call_at(begin, self._send, loop, begin, 0, answered, pieces)
        else:
            answered.began = answered.began or monotonic()
            self.transport.write(b"".join(pieces))

    def _send(
        self,
        loop: asyncio.AbstractEventLoop,
        begin: float,
        number: int,
        answered: Answered,
        pieces: list[bytes],
    ) -> None:
        if self.transport.is_closing():
            return
        answered.began = answered.began or monotonic()
        self.transport.write(pieces[number])
        if (number := number + 1) < len(pieces):
            at = begin + number * self._model.gap
            loop.call_at(at, self._send, loop, begin, number, answered, pieces)


def _event(kind: str, *, number: int = 0, **payload: object) -> bytes:
    """A chunk with one event."""
    framed = event(kind, {**payload, "p": _PADDING[: 2 + 7 * number % 40]})
    return b"%x\r\n%b\r\n" % (len(framed), framed)
