"""A service with calls of every kind, for the tests of dashboards and rules.

The service is a process of its own, with an embedded table. Its first model is an emulator that
fails and once hangs; the second one is the offline model, so that callers notice nothing. One use
case has a model of its own, which answers slowly enough to have a speed. A source of tools is away.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp

from agent.simulator.carrier import CallRefusedError, Twilio, call_fields
from agent.store.sqlite import SqliteStore
from benchmarks.service import Server, serving
from tests.dynamodb import free_port
from tests.emulators.openai import OpenAIEmulator
from tests.emulators.replies import fail, say, stall
from tests.emulators.scripts import by_model, by_text

ADA = "+15550100001"
GRACE = "+15550100002"
_TOKEN = "12345678901234567890123456789012"
_SECRET = "a secret of an operator"
_USE_CASE = "restaurantOrderingUseCase"
_SLOW_USE_CASE = "albertEinsteinUseCase"
_MAX_CALLS = 3
_LATE = "where are you"
"""What the first model does not answer at all."""
_TURNS_OF_A_LONG_CALL = 22
"""Older turns are summarised after 20."""
_MOST_LINES = 6
"""A call is given up before."""


@asynccontextmanager
async def service(folder: Path) -> AsyncIterator[Server]:
    """The service, ready for calls."""
    sources = folder / "mcp.json"
    away = {"crm": {"url": f"http://127.0.0.1:{free_port()}/mcp", "timeout": 1}}
    sources.write_text(json.dumps({"mcpServers": away}))
    slow = say("He was born in Ulm, on the Danube.", gap=0.1)
    script = by_model({"slow": slow}, by_text({_LATE: stall()}, otherwise=fail("overloaded")))
    async with OpenAIEmulator(script) as emulator:
        variables = {
            "MODEL_IDENTIFIER": "openai:shaky",
            "FALLBACK_MODEL_IDENTIFIERS": "offline:",
            "OPENAI_BASE_URL": emulator.base_url,
            "OPENAI_API_KEY": "any",
            "MODEL_FIRST_EVENT_SECONDS": "2.5",
            "MODEL_HEDGE_SECONDS": "1.5",
            "MAX_CALLS": str(_MAX_CALLS),
            "MCP_CONFIG": str(sources),
            "DIAL_API_KEYS": _SECRET,
        }
        callers = {ADA: _USE_CASE, GRACE: _SLOW_USE_CASE}
        async with serving(folder, _TOKEN, callers, **variables) as server:
            store = await SqliteStore.open(folder / "agent.db")
            await store.merge(_SLOW_USE_CASE, "configuration", {"llmModel": "openai:slow"})
            await store.close()
            yield server


async def play(server: Server) -> None:
    """One of each kind, one after the other."""
    async with aiohttp.ClientSession() as http:
        twilio = Twilio(http, server.base, _TOKEN)
        for happen in (_order, _break_in, _lose_lines, _send_nonsense, _find_no_line):
            await happen(twilio)
        await _ask_for_other_things(twilio, server)
    await hear_slowly(server)


async def play_once(server: Server) -> None:
    """What takes long and need not be seen twice."""
    async with aiohttp.ClientSession() as http:
        twilio = Twilio(http, server.base, _TOKEN)
        async with twilio.call(From=ADA) as call:
            await call.say(_LATE)
            for _ in range(_TURNS_OF_A_LONG_CALL):
                await call.say("are you open")


async def hear_slowly(server: Server) -> None:
    """A reply that takes long enough to have a speed, of the slow model."""
    async with (
        aiohttp.ClientSession() as http,
        Twilio(http, server.base, _TOKEN).call(From=GRACE) as call,
    ):
        await call.say("where was he born")


async def _order(twilio: Twilio) -> None:
    """Turns, and tools that work; the first of them is spoken by a voice that is reported."""
    async with twilio.call(From=ADA) as call:
        await call.play_out()
        await call.send(type="info", name="clientSpeaking", value="on")
        await call.send(type="info", name="clientSpeaking", value="off")
        await call.say("a large pepperoni pizza with mushrooms for pickup")
        await call.say("yes", cycles=2)


async def _break_in(twilio: Twilio) -> None:
    async with twilio.call(From=ADA) as call:
        await call.play_out()
        await call.prompt("tell me about the pizzas")
        await call.hear(40)
        await call.interrupt(characters=20)
        await call.settle()


async def _lose_lines(twilio: Twilio) -> None:
    """Given new lines, until there are too many."""
    relay = await twilio.webhook(call_fields(From=ADA))
    for _ in range(_MOST_LINES):
        async with twilio.connect(relay) as call:
            await call.settle()
            ending = await call.fail()
        if ending.answer is None or ending.answer.relay is None:
            return
        relay = ending.answer.relay
    raise AssertionError("the call was given a line again and again")


async def _send_nonsense(twilio: Twilio) -> None:
    """The relay reports an error, and sends what is no frame."""
    async with twilio.call(From=ADA) as call:
        await call.send(type="error", description="Invalid message received.")
        await call.send_raw("this is no frame")
        await call.say("are you open")


async def _find_no_line(twilio: Twilio) -> None:
    async with AsyncExitStack() as calls:
        for _ in range(_MAX_CALLS):
            await calls.enter_async_context(twilio.call(From=ADA))
        try:
            await twilio.webhook(call_fields(From=ADA))
        except CallRefusedError:
            return
    raise AssertionError("a call beyond the limit was taken")


async def _ask_for_other_things(twilio: Twilio, server: Server) -> None:
    """A report of a delivery; a token and a call of ours, which are not to be had."""
    report = {"MessageSid": f"SM{'0' * 32}", "MessageStatus": "delivered"}
    await twilio.post(f"{server.base}/messages/status", report)
    await _post(twilio.http, f"{server.base}/token")
    await _post(twilio.http, server.metrics.replace("/metrics", "/dial"))


async def _post(http: aiohttp.ClientSession, url: str) -> None:
    headers = {"Authorization": f"Bearer {_SECRET}"}
    async with http.post(url, json={}, headers=headers) as response:
        assert response.status >= 400
