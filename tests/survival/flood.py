"""Unwanted clients: idle connections, forged handshakes, and more calls than the limit.

Requests that are not Twilio's are refused before they cost anything; genuine ones over the limit
get an answer that says so. An answer is counted by what Twilio would see of it.
"""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import aiohttp

from tests.survival.stack import ORIGIN, Stack
from tests.twilio_client.client import Answer, Relay, Twilio, call_fields

_AT_ONCE = 50
_STRANGER = "+15559999999"
_SHARE_OF_BALANCER = 0.4
"""Of the idle connections; the others reach the servers themselves."""


async def ring(twilio: Twilio, count: int) -> tuple[list[Relay], Counter[str]]:
    """So many calls at a time, whose sockets are not opened yet: who may open one, and the answers.

    Those who may have a place of their own, or share the last ones: that is seen when they dial.
    """

    async def post() -> Answer:
        return await twilio.post(f"{ORIGIN}/twiml", call_fields(From=_STRANGER))

    answers = await asyncio.gather(*(post() for _ in range(count)))
    seen = Counter(f"webhook {answer.status} {'+'.join(answer.verbs)}" for answer in answers)
    return [answer.relay for answer in answers if answer.relay is not None], seen


@asynccontextmanager
async def idling(stack: Stack, count: int) -> AsyncIterator[None]:
    """So many connections that say nothing."""
    ports, loop = [server.port for server in stack.servers], asyncio.get_running_loop()
    at_balancer = int(count * _SHARE_OF_BALANCER)
    async with AsyncExitStack() as exits:
        for number in range(count):
            port = stack.front.port if number < at_balancer else ports[number % len(ports)]
            idle = exits.enter_context(socket.socket())
            idle.setblocking(False)
            await loop.sock_connect(idle, ("127.0.0.1", port))
        yield


async def attempts(twilio: Twilio, count: int) -> Counter[str]:
    """So many handshakes without a signature, and as many with one and an invented token."""
    url = f"{ORIGIN.replace('https', 'wss')}/?callSid=CA{'0' * 32}&token=invented"
    gate = asyncio.Semaphore(_AT_ONCE)

    async def attempt(kind: str, signature: str | None) -> str:
        async with gate:
            return f"{kind} {await twilio.handshake(url, signature=signature)}"

    tries = [attempt("unsigned", None) for _ in range(count)]
    tries += [attempt("invented", twilio.sign(url)) for _ in range(count)]
    return Counter(await asyncio.gather(*tries))


@asynccontextmanager
async def dialling(twilio: Twilio, relays: Sequence[Relay]) -> AsyncIterator[Counter[str]]:
    """Open the sockets of these calls, all at once; they last until this is left."""
    async with AsyncExitStack() as exits:

        async def dial(relay: Relay) -> str:
            try:
                await exits.enter_async_context(twilio.connect(relay))
            except aiohttp.WSServerHandshakeError as refusal:
                return f"socket {refusal.status}"
            return "socket 101"

        yield Counter(await asyncio.gather(*(dial(relay) for relay in relays)))
