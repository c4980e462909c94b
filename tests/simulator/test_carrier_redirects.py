"""Redirects are not followed: what was agreed for one server holds for no other."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from agent.simulator.carrier import CallRefusedError, Twilio, call_fields
from agent.simulator.phone_call import Outcome, PhoneCall

MOVED = "/moved"


@asynccontextmanager
async def moving() -> AsyncIterator[tuple[str, list[str]]]:
    """A server that has moved, all of it; with the paths that were asked for."""
    asked = list[str]()

    async def move(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.Response(status=307, headers={"Location": MOVED})

    async def voice(request: web.Request) -> web.Response:
        asked.append(request.path)
        relay = f'<ConversationRelay url="ws://{request.host}/relay"/>'
        text = f"<Response><Connect>{relay}</Connect></Response>"
        return web.Response(text=text, content_type="text/xml")

    async def socket(request: web.Request) -> web.WebSocketResponse:
        asked.append(request.path)
        opened = web.WebSocketResponse()
        await opened.prepare(request)
        return opened

    app = web.Application()
    app.add_routes([web.post("/twiml", move), web.get("/relay", move)])
    app.add_routes([web.post("/voice", voice), web.post(MOVED, voice), web.get(MOVED, socket)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}", asked
    finally:
        await runner.cleanup()


async def test_redirect_of_a_webhook_is_its_answer() -> None:
    async with moving() as (url, asked), Twilio.open(url, "abc") as twilio:
        with pytest.raises(CallRefusedError) as refused:
            await twilio.webhook(call_fields())
        phone = PhoneCall(twilio, call_fields())
        assert [leg async for leg in phone.sessions()] == []

    assert refused.value.answer.status == 307
    assert (phone.outcome, phone.detail) == (Outcome.FAILED, "webhook: status 307")
    assert asked == ["/twiml", "/twiml"]


async def test_redirect_of_a_socket_is_a_refusal() -> None:
    async with moving() as (url, asked), Twilio.open(url, "abc") as twilio:
        relay = (await twilio.post(f"{url}/voice", call_fields())).relay
        assert relay is not None
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            async with twilio.dial(relay):
                pass
        assert await twilio.handshake(relay.url, signature=None) == 307

    assert refused.value.status == 307
    assert asked == ["/voice", "/relay", "/relay"]
