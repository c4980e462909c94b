"""The parts of the survival tests: the cable, the balancer, the model that goes on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from agent.simulator.carrier import Twilio
from tests.emulators.replies import Call, Json, Reply, Words
from tests.emulators.scripts import Request
from tests.survival import front
from tests.survival.link import linked
from tests.survival.model import PLACED, Sentence, guest_model
from tests.survival.stack import calling

ASKED = Sentence(3)
ORDERED = Sentence(4, is_order=True)


@dataclass(slots=True)
class Site:
    """A web server that says its name, and whether it is ready."""

    name: str
    is_ready: bool = True
    port: int = 0

    async def name_of(self, _: web.Request) -> web.Response:
        return web.Response(text=self.name)

    async def ready(self, _: web.Request) -> web.Response:
        return web.Response(status=200 if self.is_ready else 503)

    async def echo(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            await socket.send_str(f"{self.name} {message.data}")
        return socket


@asynccontextmanager
async def site(name: str) -> AsyncIterator[Site]:
    one = Site(name)
    application = web.Application()
    application.router.add_get("/", one.name_of)
    application.router.add_get("/health/ready", one.ready)
    application.router.add_get("/socket", one.echo)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        one.port = runner.addresses[0][1]
        yield one
    finally:
        await runner.cleanup()


async def test_cable_holds_bytes_back_or_breaks() -> None:
    """Stalled, it gives them later; refusing, it breaks connections and takes no others."""
    async with site("one") as one, linked(one.port) as link, aiohttp.ClientSession() as http:
        async with http.ws_connect(f"{link.url}/socket") as socket:
            link.stall()
            await socket.send_str("hello")
            with pytest.raises(TimeoutError):
                await socket.receive(timeout=0.2)
            link.flow()
            assert await socket.receive_str(timeout=5) == "one hello"

            await link.refuse()
            message = await socket.receive(timeout=5)
        with pytest.raises(aiohttp.ClientConnectorError):
            await http.get(link.url)

        await link.accept()

        assert message.type in {aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR}
        async with http.get(link.url) as response:
            assert await response.text() == "one"


@pytest.mark.needs("balancer")
async def test_balancer_sends_nothing_new_to_a_server_that_is_not_ready(tmp_path: Path) -> None:
    """A socket that runs through it is left alone; what Twilio signs is the public name."""
    async with (
        site("one") as one,
        site("other") as other,
        front.opened(tmp_path, [one.port, other.port]) as balancer,
        calling(balancer) as http,
    ):
        other.is_ready = False
        await balancer.until(True, False)
        async with http.ws_connect(f"{balancer.url}/socket") as socket:
            other.is_ready, one.is_ready = True, False
            await balancer.until(False, True)
            async with http.get(f"{balancer.url}/") as response:
                answered = await response.text()
            await socket.send_str("hello")

            assert await socket.receive_str(timeout=5) == "one hello"
        twilio = Twilio(http, balancer.url, "token", "https://voice.example.com")
        assert await twilio.handshake("wss://voice.example.com/socket", signature=None) == 101

    assert answered == "other"


@pytest.mark.needs("balancer")
async def test_balancer_deregisters_a_server_and_cuts_its_connections_later(
    tmp_path: Path,
) -> None:
    """Until then a socket goes on, and nothing new comes; the states are of a target group."""
    async with (
        site("one") as one,
        site("other") as other,
        front.opened(tmp_path, [one.port, other.port]) as balancer,
        calling(balancer) as http,
    ):
        await balancer.until(True, True)
        await balancer.deregister(1)
        async with http.ws_connect(f"{balancer.url}/socket") as socket:
            await balancer.deregister(0)
            await balancer.register(1)
            await balancer.until(False, True)
            states = await balancer.target_states()
            async with http.get(f"{balancer.url}/") as response:
                answered = await response.text()
            await socket.send_str("hello")
            said = await socket.receive_str(timeout=5)
            cut = await balancer.cut(0)
            message = await socket.receive(timeout=5)

    assert states == {("127.0.0.1", one.port): "draining", ("127.0.0.1", other.port): "healthy"}
    assert (answered, said, cut) == ("other", "one hello", 1)
    assert message.type in {aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR}


def test_model_says_what_it_has_not_said_and_orders_once() -> None:
    """With the right history it goes on where another stopped; a failed tool waits for words."""
    messages: list[Json] = [
        {"role": "user", "content": [{"text": Sentence(2).text}]},
        {"role": "assistant", "content": [{"text": " ".join(Sentence(2).answer)}]},
        {"role": "user", "content": [{"text": ASKED.text}]},
        {"role": "assistant", "content": [{"text": ASKED.answer[0] + " Part 2 of ans"}]},
        {"role": "user", "content": [{"text": "[The line broke off here.]"}]},
    ]
    wish: Json = {"role": "user", "content": [{"text": ORDERED.text}]}
    used: Json = {"role": "assistant", "content": [{"toolUse": {"name": "PlaceOrderFunction"}}]}

    def result(text: str) -> Json:
        return {"role": "user", "content": [{"toolResult": {"content": [{"text": text}]}}]}

    assert said(reply_to(messages)) == " ".join(ASKED.answer[1:])
    assert any(isinstance(part, Call) for part in reply_to([wish]).parts)
    assert "did not work" in said(reply_to([wish, used, result("Nothing was done.")]))
    assert said(reply_to([wish, used, result(PLACED)])) == " ".join(ORDERED.answer)


def reply_to(messages: list[Json]) -> Reply:
    request = Request(0, "model", {"messages": messages}, {}, 0.0)
    return guest_model(0.0)(request)


def said(reply: Reply) -> str:
    return "".join(part.text for part in reply.parts if isinstance(part, Words))
