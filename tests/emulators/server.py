"""A model endpoint on a free loopback port: what both emulators share.

The server is aiohttp's own (`AppRunner`, `TCPSite`), so clients meet real sockets, chunks and
resets. A handler is cancelled the moment its client leaves; that is how an abandoned stream is
noticed without writing to it.
"""

from __future__ import annotations

import asyncio
import json
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, Self

from aiohttp import web

from tests.emulators.replies import (
    BadFrame,
    Broken,
    Call,
    Fault,
    HalfFrame,
    HangUp,
    Json,
    Reply,
    Stall,
    Thought,
    Words,
)
from tests.emulators.scripts import Request, Script, as_rule
from tests.waiting import no_longer

_STALL_SECONDS = 60.0
_MAX_BODY_BYTES = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Send:
    """Bytes of the stream."""

    data: bytes
    after: float = 0.0


Step = Send | Stall | HangUp


class Dialect(Protocol):
    """Writes one reply in the form of a provider."""

    def start(self) -> bytes: ...

    def part(self, part: Words | Thought | Call) -> Iterator[Send]: ...

    def broken(self, part: Broken) -> bytes: ...

    def finish(self, reply: Reply) -> Iterator[Send]: ...


def steps(reply: Reply, dialect: Dialect) -> Iterator[Step]:
    """What to send for a reply, up to a fault that ends it; the start comes with the first part."""
    start = dialect.start()
    for step in _steps(reply, dialect):
        if isinstance(step, Send):
            yield Send(start + step.data, step.after)
            start = b""
        else:
            yield step


def _steps(reply: Reply, dialect: Dialect) -> Iterator[Step]:
    for part in reply.parts:
        match part:
            case Words() | Thought() | Call():
                yield from dialect.part(part)
            case Stall() | HangUp():
                yield part
                return
            case BadFrame():
                yield Send(dialect.broken(part))
            case Fault() | HalfFrame():
                yield Send(dialect.broken(part))
                return
    yield from dialect.finish(reply)


Validator = Callable[[Mapping[str, Any], str], list[str]]
"""From the body and the model, what is wrong with a request, the worst first."""


class Refused(Exception):  # noqa: N818 - it is an answer, not an error of the emulator
    """The request is answered with an error."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(f"{kind}: {message}")
        self.fault = Fault(kind, message)


class Emulator(ABC):
    """An async context manager; inside, `url` answers.

    Attributes of use to tests are `requests`, `closed_early`, `max_open` and the properties.
    """

    content_type: str
    invalid: str
    """The kind of error an invalid request gets, with the first thing found."""

    def __init__(self, script: Script, validator: Validator) -> None:
        self.requests: list[Request] = []
        """Every request a known caller made, invalid ones too."""
        self.refused: list[Fault] = []
        """Every error given because of the request itself, not because of the script."""
        self.closed_early: list[Request] = []
        """Those whose client left before the end of the answer."""
        self.max_open = 0
        """The most answers ever open at one time."""
        self.url = ""
        self._rule = as_rule(script)
        self._validator = validator
        self._open: set[int] = set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._is_closing = False
        app = web.Application(client_max_size=_MAX_BODY_BYTES)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(
            app, handler_cancellation=True, access_log=None, shutdown_timeout=0.05
        )

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._is_closing = True
        await self._runner.cleanup()

    @property
    def open_streams(self) -> int:
        """Answers begun and not ended."""
        return len(self._open)

    @property
    def connections(self) -> int:
        """TCP connections open now, idle ones too."""
        server = self._runner.server
        return len(server.connections) if server else 0

    def answer_with(self, script: Script) -> None:
        """Follow another script from the next request on."""
        self._rule = as_rule(script)

    async def until_idle(self) -> None:
        """Wait until no answer is open."""
        async with no_longer():
            await self._idle.wait()

    @abstractmethod
    def _model(self, incoming: web.Request, body: Json) -> str:
        """Give the model asked for; `Refused` when the address or method is not served."""

    @abstractmethod
    def _authorize(self, incoming: web.Request, raw: bytes) -> None:
        """Raise `Refused` for a caller who may not ask."""

    @abstractmethod
    def _error(self, fault: Fault) -> web.Response:
        """Put an error before the stream into the provider's words."""

    @abstractmethod
    def _dialect(self, request: Request) -> Dialect:
        """How this answer is written."""

    async def _handle(self, incoming: web.Request) -> web.StreamResponse:
        try:
            request = await self._read(incoming)
        except Refused as refused:
            self.refused.append(refused.fault)
            return self._error(refused.fault)
        self._open.add(request.index)
        self._idle.clear()
        self.max_open = max(self.max_open, len(self._open))
        try:
            return await self._answer(incoming, request)
        except asyncio.CancelledError:
            self._note_closed(request)
            raise
        except ConnectionResetError:  # the client has left and the handler is not cancelled yet
            self._note_closed(request)
            return web.Response()
        finally:
            self._open.discard(request.index)
            if not self._open:
                self._idle.set()

    def _note_closed(self, request: Request) -> None:
        if not self._is_closing:
            self.closed_early.append(request)

    async def _read(self, incoming: web.Request) -> Request:
        raw = await incoming.read()
        body = _json(raw)
        model = self._model(incoming, body)
        self._authorize(incoming, raw)
        found = self._validator(body, model)
        headers = {name.lower(): value for name, value in incoming.headers.items()}
        index, now = len(self.requests), time.monotonic()
        self.requests.append(Request(index, model, body, headers, now, tuple(found)))
        if found:
            raise Refused(self.invalid, found[0])
        return self.requests[index]

    async def _answer(self, incoming: web.Request, request: Request) -> web.StreamResponse:
        reply = self._rule(request)
        if (refusal := reply.refusal) is not None:
            return self._error(refusal)
        response = web.StreamResponse(headers=self._headers(request))
        response.content_type = self.content_type
        response.enable_chunked_encoding()
        for step in steps(reply, self._dialect(request)):
            match step:
                case Send(data, after):
                    if after:
                        await asyncio.sleep(after)
                    await _begin(response, incoming)
                    await response.write(data)
                case Stall():
                    await asyncio.sleep(_STALL_SECONDS)
                case HangUp(by_reset):
                    if by_reset and incoming.transport is not None:
                        incoming.transport.abort()
                    return response
        await _begin(response, incoming)
        return response

    def _headers(self, request: Request) -> Mapping[str, str]:
        return {"x-request-id": f"emulated-{request.index}"}


def _json(raw: bytes) -> Json:
    try:
        body = json.loads(raw)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


async def _begin(response: web.StreamResponse, incoming: web.Request) -> None:
    if not response.prepared:
        await response.prepare(incoming)
