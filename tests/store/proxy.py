"""A proxy in front of a DynamoDB that does to requests what a test has planned.

Throttling, lost answers, conflicts of transactions and closed connections cannot be had from an
engine on demand. A fault is used up by one request of its operation; without one, requests and
answers pass unchanged.
"""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from aiohttp import web

SECRET = "what Ada has said"
"""Stands in every text of a refusal, as DynamoDB's own may quote an item."""
_JSON = "application/x-amz-json-1.0"


class Exchange:
    """One request of a client, and what may be done to it."""

    def __init__(self, request: web.Request, body: bytes, forward: Forward) -> None:
        self._request = request
        self._body = body
        self._forward = forward
        self.operation = request.headers.get("X-Amz-Target", "").rpartition(".")[2]

    @property
    def body(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads(self._body)
        return content

    async def forward(self, body: dict[str, Any] | None = None) -> web.Response:
        """The answer of the engine, to this body or the client's own."""
        return await self._forward(
            self._request, self._body if body is None else json.dumps(body).encode()
        )

    async def begin_answer(self, answer: web.Response, promised: int) -> web.StreamResponse:
        """Send an answer that lacks so many bytes at its end, and close the connection."""
        assert isinstance(answer.body, bytes)
        begun = web.StreamResponse(headers={"Content-Type": _JSON})
        begun.content_length = len(answer.body) + promised
        await begun.prepare(self._request)
        await begun.write(answer.body)
        assert self._request.transport is not None
        self._request.transport.close()
        return begun

    def abort(self) -> web.Response:
        """Close the connection without a word."""
        assert self._request.transport is not None
        self._request.transport.abort()
        return web.Response()


Forward = Callable[[web.Request, bytes], Awaitable[web.Response]]
Fault = Callable[[Exchange], Awaitable[web.StreamResponse]]


def refuse(code: str, status: int = 400, **further: object) -> Fault:
    """Answer with an error of DynamoDB."""

    async def answer(_: Exchange) -> web.StreamResponse:
        fault = {"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": SECRET}
        return web.json_response({**fault, **further}, status=status, content_type=_JSON)

    return answer


def cancel(*reasons: str) -> Fault:
    """Cancel a transaction for these reasons."""
    return refuse(
        "TransactionCanceledException", CancellationReasons=[{"Code": each} for each in reasons]
    )


async def fail(_: Exchange) -> web.StreamResponse:
    """Answer as a load balancer does without a target."""
    return web.Response(status=503, text="<html>Service Unavailable</html>")


async def hang_up(exchange: Exchange) -> web.StreamResponse:
    """Close the connection; the engine gets nothing."""
    return exchange.abort()


async def lose_answer(exchange: Exchange) -> web.StreamResponse:
    """Close the connection after the engine has done what was asked."""
    await exchange.forward()
    return exchange.abort()


async def keep_answer(exchange: Exchange) -> web.StreamResponse:
    """Do what was asked and never say so."""
    await exchange.forward()
    await asyncio.Event().wait()
    raise AssertionError


async def cut_answer(exchange: Exchange) -> web.StreamResponse:
    """Close the connection in the middle of the answer."""
    answer = await exchange.forward()
    return await exchange.begin_answer(answer, promised=1)


async def read_none(exchange: Exchange) -> web.StreamResponse:
    """Say of all keys that they were not read."""
    return _read({}, exchange.body["RequestItems"])


async def leave_unread(exchange: Exchange) -> web.StreamResponse:
    """Read the first of the keys, and say that of the others none was read."""
    ((table, asked),) = exchange.body["RequestItems"].items()
    first, *others = asked["Keys"]
    answer = await exchange.forward({"RequestItems": {table: {**asked, "Keys": [first]}}})
    unread = {table: {**asked, "Keys": others}} if others else {}
    return _read(json.loads(answer.text or "")["Responses"], unread)


def _read(responses: object, unread: object) -> web.Response:
    answer = {"Responses": responses, "UnprocessedKeys": unread}
    return web.json_response(answer, content_type=_JSON)


class Proxy:
    """What was asked, and what is to happen next."""

    def __init__(self, forward: Forward) -> None:
        self.url = ""
        self.operations: list[str] = []
        """Of all requests, in the order they came in."""
        self.each: Callable[[Exchange], Fault | None] = lambda _: None
        """What happens to requests for which nothing is planned."""
        self._forward = forward
        self._planned: defaultdict[str, deque[Fault]] = defaultdict(deque)

    def plan(self, operation: str, *faults: Fault) -> None:
        """Let these happen to the next requests of the operation, one each."""
        self._planned[operation].extend(faults)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        exchange = Exchange(request, await request.read(), self._forward)
        self.operations.append(exchange.operation)
        planned = self._planned[exchange.operation]
        fault = planned.popleft() if planned else self.each(exchange)
        return await (exchange.forward() if fault is None else fault(exchange))


@asynccontextmanager
async def proxying(target: str) -> AsyncIterator[Proxy]:
    """A proxy in front of the engine at this address."""
    async with aiohttp.ClientSession(auto_decompress=False) as http:

        async def forward(request: web.Request, body: bytes) -> web.Response:
            headers = request.headers.copy()
            for name in ("Host", "Content-Length", "Transfer-Encoding"):
                headers.popall(name, None)
            async with http.post(target, data=body, headers=headers) as answer:
                body, kind = await answer.read(), answer.content_type
                return web.Response(status=answer.status, body=body, content_type=kind)

        proxy = Proxy(forward)
        application = web.Application(client_max_size=2**24)
        application.router.add_post("/", proxy.handle)
        runner = web.AppRunner(
            application, access_log=None, handler_cancellation=True, shutdown_timeout=0.1
        )
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            proxy.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            yield proxy
        finally:
            await runner.cleanup()
