"""One HTTP/1.1 connection and the answers that arrive on it, one after another."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import cast

import httptools

_MOST_UNREAD = 32 * 1024 * 1024
"""Bytes of an answer; the longest of DynamoDB has 16 MB."""
_LENGTHS = frozenset({"content-length", "transfer-encoding"})
"""An answer without one of these ends with its connection."""
_OK = 200


class HttpAnswer:
    """The answer to one request. Read it and `release` it; made by `HttpConnections.ask`.

    Reading raises `OSError`: `TimeoutError` if nothing came in time, else the connection broke.
    """

    def __init__(self, connection: HttpConnection, seconds: float | None) -> None:
        self.status = 0
        """0 until the head has arrived."""
        self.headers: dict[str, str] = {}
        """By their names in lower case; of repeated ones the last."""
        self.is_complete = False
        self.may_be_followed = False
        """Whether the connection may be used for another request."""
        self._connection = connection
        self._loop = asyncio.get_running_loop()
        self._parts: list[bytes] = []
        self._unread = 0
        self._fault: OSError | None = None
        self._arrival: asyncio.Future[None] | None = None
        self._pause: asyncio.TimerHandle | None = None
        self._seconds = seconds
        self._arrived_at = self._loop.time()
        self._limit = self._loop.call_later(seconds, self._check_time) if seconds else None

    async def begun(self) -> None:
        """Wait for status and headers."""
        while not self.status:
            await self._wait()

    async def read_some(self) -> bytes:
        """Wait for a part of the body; empty at its end."""
        while not self._parts and not self.is_complete:
            await self._wait()
        data = b"".join(self._parts)
        self._parts.clear()
        self._unread = 0
        return data

    async def read(self) -> bytes:
        """Wait for the whole body."""
        while not self.is_complete:
            await self._wait()
        return await self.read_some()

    def pause(self, seconds: float) -> None:
        """Leave to the kernel what arrives within this time: the process is woken once for all."""
        transport = self._connection.transport
        if self._pause is None and not self.is_complete and not transport.is_closing():
            transport.pause_reading()
            self._pause = self._loop.call_later(seconds, self._resume)

    def release(self) -> None:
        """Give the connection back, or close it if the answer is not complete; harmless twice."""
        if self._limit is not None:
            self._limit.cancel()
        self._resume()
        self._connection.leave(self)

    def add(self, part: bytes) -> None:
        """A part of the body has arrived."""
        if self.is_complete:
            return
        self._parts.append(part)
        self._unread += len(part)
        if self._unread > _MOST_UNREAD:
            self.end(ConnectionResetError("the answer is too long"))

    def note_arrival(self) -> None:
        """Something has arrived, and is taken apart."""
        self._arrived_at = self._loop.time()
        if self.status:
            self._wake()

    def end(self, fault: Exception | None) -> None:
        """The connection has ended, with a fault or by the server."""
        if self.status and fault is None and not self.headers.keys() & _LENGTHS:
            self.is_complete = True
        elif self._fault is None:
            closed = ConnectionResetError("the connection was closed")
            self._fault = fault if isinstance(fault, OSError) else closed
        self._wake()

    async def _wait(self) -> None:
        if self._fault is not None:
            raise self._fault
        self._arrival = self._loop.create_future()
        await self._arrival

    def _wake(self) -> None:
        if self._arrival is not None and not self._arrival.done():
            self._arrival.set_result(None)

    def _resume(self) -> None:
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None
            if not self._connection.transport.is_closing():
                self._connection.transport.resume_reading()

    def _check_time(self) -> None:
        seconds = cast(float, self._seconds)
        left = self._arrived_at + seconds - self._loop.time()
        if left > 0:
            self._limit = self._loop.call_later(left, self._check_time)
        else:
            self.end(TimeoutError(f"nothing came within {seconds:g} s"))


class HttpConnection(asyncio.Protocol):
    """One request at a time.

    Args:
        on_free: Called when a request has ended; the connection may be closing.
        on_lost: Called when the connection has ended.
    """

    transport: asyncio.Transport
    _latest: HttpAnswer
    """What is read, or was read last."""

    def __init__(
        self,
        on_free: Callable[[HttpConnection], object],
        on_lost: Callable[[HttpConnection], object],
    ) -> None:
        self.used_at = 0.0
        self._on_free = on_free
        self._on_lost = on_lost
        self._answer: HttpAnswer | None = None
        self._parser = httptools.HttpResponseParser(self)

    def begin(self, request: bytes, seconds: float | None) -> HttpAnswer:
        """Send a request; its answer has to be released."""
        answer = self._answer = self._latest = HttpAnswer(self, seconds)
        if self.transport.is_closing():
            answer.end(None)
        else:
            self.transport.write(request)
        return answer

    def leave(self, answer: HttpAnswer) -> None:
        """The user of an answer has gone."""
        if self._answer is answer:
            self._answer = None
            if not answer.may_be_followed:
                self.transport.abort()
            self._on_free(self)

    async def begin_tls(self, tls: ssl.SSLContext, host: str) -> None:
        """Go on in the tunnel that the last request has asked for."""
        self._answer = None
        self._parser = httptools.HttpResponseParser(self)
        loop = asyncio.get_running_loop()
        inner = await loop.start_tls(self.transport, self, tls, server_hostname=host)
        self.transport = cast(asyncio.Transport, inner)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self._answer is None:  # nothing was asked
            self.transport.abort()
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._answer.end(ConnectionResetError(f"no HTTP: {type(error).__name__}"))
        self._answer.note_arrival()

    def connection_lost(self, error: Exception | None) -> None:
        self._on_lost(self)
        if self._answer is not None:
            self._answer.end(error)

    # What the parser calls while it is fed; without an answer it is fed nothing.

    def on_message_begin(self) -> None:
        self._latest.may_be_followed = False

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._latest.is_complete:
            self._latest.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if self._latest.is_complete:  # another message follows: ignored
            return
        if status >= _OK:
            self._latest.status = status
        else:  # 100 and 103 may come before
            self._latest.headers.clear()

    def on_body(self, body: bytes) -> None:
        self._latest.add(body)

    def on_message_complete(self) -> None:
        answer = self._latest
        if answer.status and not answer.is_complete:
            answer.is_complete = True
            answer.may_be_followed = self._parser.should_keep_alive()
