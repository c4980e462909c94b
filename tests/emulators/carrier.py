"""Twilio's Messages and SendGrid's mail, as far as this service uses them, on a loopback port.

Both check who asks and what is asked as strictly as the real ones, keep every request that got
through, and answer as they are told. `session` is a client's session whose requests to the real
addresses arrive here; nothing else of a request is touched, so what is checked is what was written.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self

import aiohttp
from aiohttp import web
from yarl import URL

ACCOUNT = "AC00000000000000000000000000000001"
MESSAGES = f"https://api.twilio.com/2010-04-01/Accounts/{ACCOUNT}/Messages.json"
MAIL = "https://api.sendgrid.com/v3/mail/send"
TIME_LIMIT_SECONDS = 0.3
_CONNECT_SECONDS = 0.1


class Conduct(StrEnum):
    """What happens to a request, besides an answer."""

    HANGS_UP = "hangs up"
    """It is read, and the connection is cut without an answer."""
    HANGS_UP_AMID = "hangs up amid"
    """The connection is cut in the middle of the answer."""
    STALLS = "stalls"
    """It is read and never answered."""
    WAITS = "waits"
    """It is read, `reached` is set, and it is answered when `gate` is."""
    BABBLES = "babbles"
    """The answer is a success that is not JSON."""


@dataclass(frozen=True, slots=True)
class Refused:
    """An answer with an error."""

    status: int
    code: int = 0
    """Twilio's."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A request that got through, whatever was answered."""

    url: str
    """As the client wrote it."""
    login: str
    """The header Authorization."""
    content: Mapping[str, Any]


class CarrierStandIn:
    """Async context manager; inside, `session` leads to it."""

    def __init__(self) -> None:
        self.taken: list[Taken] = []
        self.next: list[Refused | Conduct] = []
        """What becomes of the next requests, in order; then all goes well."""
        self.reached, self.gate = asyncio.Event(), asyncio.Event()
        self._left = asyncio.Event()
        app = web.Application()
        app.router.add_post(URL(MESSAGES).path, self._message)
        app.router.add_post(URL(MAIL).path, self._mail)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        self._base = URL()

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        host, port = self._runner.addresses[0][:2]
        self._base = URL(f"http://{host}:{port}")
        return self

    async def __aexit__(self, *_: object) -> None:
        self._left.set()
        await self._runner.cleanup()

    @property
    def url(self) -> str:
        """Where it listens."""
        return str(self._base.origin())

    @property
    def texts(self) -> list[Mapping[str, Any]]:
        return [each.content for each in self.taken if each.url == MESSAGES]

    @property
    def mails(self) -> list[Mapping[str, Any]]:
        return [each.content for each in self.taken if each.url == MAIL]

    def session(self, seconds: float = TIME_LIMIT_SECONDS) -> aiohttp.ClientSession:
        """A session that arrives here, with this limit; the caller closes it."""
        return rerouted(self._base, seconds)

    async def _message(self, request: web.Request) -> web.StreamResponse:
        form = await request.post()
        self._take(request, {name: str(value) for name, value in form.items()})
        if form.keys() - {"StatusCallback"} != {"To", "From", "Body"}:
            return _twilio_error(400, 21600)
        accepted = {"sid": f"SM{len(self.texts):032d}", "status": "queued", "error_code": None}
        return await self._answer(request, web.json_response(accepted, status=201))

    async def _mail(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self._take(request, body)
        if body.keys() != {"personalizations", "from", "subject", "content"}:
            return web.json_response({"errors": [{"message": "fields"}]}, status=400)
        return await self._answer(request, web.Response(status=202))

    def _take(self, request: web.Request, content: Mapping[str, Any]) -> None:
        url = f"https://{request.headers['Host']}{request.path_qs}"
        self.taken.append(Taken(url, request.headers.get("Authorization", ""), content))

    async def _answer(self, request: web.Request, success: web.Response) -> web.StreamResponse:
        match self.next.pop(0) if self.next else None:
            case Refused(status, code):
                return _twilio_error(status, code)
            case Conduct.HANGS_UP:
                _cut(request)
            case Conduct.HANGS_UP_AMID:
                begun = web.StreamResponse(status=201, headers={"Content-Length": "100"})
                await begun.prepare(request)
                await begun.write(b"{")
                _cut(request)
            case Conduct.STALLS:
                await self._left.wait()
            case Conduct.WAITS:
                self.reached.set()
                await self.gate.wait()
            case Conduct.BABBLES:
                return web.Response(text="<html>", status=success.status)
            case None:
                pass
        return success


def rerouted(base: URL, seconds: float = TIME_LIMIT_SECONDS) -> aiohttp.ClientSession:
    """A session like the service's own, whose requests go to another address."""

    async def reroute(
        request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        assert request.url.scheme == "https"
        request.url = base.join(request.url.relative())
        return await handler(request)

    timeout = aiohttp.ClientTimeout(total=seconds, connect=_CONNECT_SECONDS)
    connector = aiohttp.TCPConnector(force_close=True)
    return aiohttp.ClientSession(connector=connector, timeout=timeout, middlewares=(reroute,))


@asynccontextmanager
async def nobody(*, answers: bool) -> AsyncIterator[URL]:
    """An address where nobody listens, or one that accepts no connection and does not say so."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        host, port = listener.getsockname()
        if answers:  # refused: bound, and not listening
            yield URL(f"http://{host}:{port}")
            return
        listener.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting:  # they fill the queue of the listener, which nobody empties
            each.setblocking(False)
            each.connect_ex((host, port))
        yield URL(f"http://{host}:{port}")
        for each in waiting:
            each.close()


def _twilio_error(status: int, code: int) -> web.Response:
    told = {"code": code, "message": "The 'To' number +15550100001 is not good.", "status": status}
    return web.json_response(told, status=status)


def _cut(request: web.Request) -> None:
    assert request.transport is not None
    request.transport.abort()
