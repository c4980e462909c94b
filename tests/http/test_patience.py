"""Long calls and silent peers, over real sockets on virtual time.

The table is in memory, because the clock would overtake a thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from agent.call.config import Phrases
from agent.http.relay_socket import HEARTBEAT_SECONDS, SETUP_SECONDS
from agent.simulator.virtual_time import run_virtually
from agent.store.memory import MemoryStore
from tests.fakes import Clock
from tests.servers import Server, heard_out, offline, seeded, settings_for, staged

ADA = "+15550100001"
GRACE = "+15550100002"


def played(script: Callable[[Server], Awaitable[None]]) -> Callable[[Path], None]:
    """Decorate a test that plays against a service on virtual time."""

    def run(tmp_path: Path) -> None:
        store = asyncio.run(seeded(MemoryStore()))

        async def main() -> None:
            async with staged(settings_for(tmp_path / "unused"), store, offline) as server:
                await script(server)

        run_virtually(main())

    return run


@played
async def test_quiet_call_outlives_many_heartbeats(server: Server) -> None:
    """A peer that answers pings is alive."""
    async with server.twilio.call(From=ADA) as call:
        for _ in range(30):
            await call.say("are you open")
            await call.play_out()
            await asyncio.sleep(7)

    assert asyncio.get_running_loop().time() > 10 * HEARTBEAT_SECONDS
    assert call.ending and call.ending.status == "completed"
    assert call.ledger.departures == []


@played
async def test_peer_that_answers_no_ping_is_gone(server: Server) -> None:
    relay = await server.relay(From=ADA)
    twilio = server.twilio
    headers = {"X-Twilio-Signature": twilio.sign(relay.url)}
    local = relay.url.replace("wss://voice.example.com", twilio.base)
    async with twilio.http.ws_connect(local, headers=headers, autoping=False) as socket:
        await socket.send_json({"type": "setup", "callSid": relay.fields["CallSid"]})
        while not socket.closed:
            await socket.receive()
    await server.calls.until_quiet()

    assert asyncio.get_running_loop().time() <= 2 * HEARTBEAT_SECONDS
    reason = await server.metric("agent_calls_total", end_reason="error_relay")
    assert reason == 1


@played
async def test_closing_one_call_leaves_the_timers_of_another(server: Server) -> None:
    async with server.twilio.call(From=GRACE) as staying:
        await staying.say("do you allow cats")
        async with server.twilio.call(From=ADA) as leaving:
            await leaving.say("are you open")
        assert leaving.ending and leaving.ending.status == "completed"
        await staying.play_out()
        asked = await staying.reply(cycles=2)
        await staying.play_out()
        await asyncio.sleep(HEARTBEAT_SECONDS / 3)
        reply = await staying.say("do you allow cats")

    assert asked.cycles[1] == f"{Phrases().still_there[0]} For which layout would you like to know?"
    assert "Cats and dogs" in reply.text


@played
async def test_silent_caller_hears_re_prompts_and_a_goodbye(server: Server) -> None:
    async with server.twilio.call(From=ADA) as call:
        ending = await heard_out(call)

    phrases = Phrases()
    assert [cycle.text for cycle in call.ledger.cycles] == [
        f"{phrases.still_there[0]} How can I help you today?",
        phrases.still_there[1],
        phrases.goodbye_idle,
    ]
    assert ending.status == "ended"
    assert await server.metric("agent_calls_total", end_reason="idle") == 1


@played
async def test_socket_without_setup_is_closed_in_time(server: Server) -> None:
    relay = await server.relay(From=ADA)
    async with server.twilio.dial(relay) as call:
        await asyncio.sleep(SETUP_SECONDS + 1)
        await call.settle()

    assert call.ending and call.ending.status == "failed"
    assert await server.metric("agent_calls_refused_total", reason="setup") == 1


@pytest.mark.parametrize(("seconds", "status"), [(119, 101), (121, 403)])
async def test_token_expires_after_two_minutes(tmp_path: Path, seconds: int, status: int) -> None:
    store = await seeded(MemoryStore())
    clock = Clock(1_900_000_000.0)

    async with staged(settings_for(tmp_path / "unused"), store, offline, clock=clock) as server:
        relay = await server.relay(From=ADA)
        clock.seconds += seconds
        signature = server.twilio.sign(relay.url)

        assert await server.twilio.handshake(relay.url, signature=signature) == status
