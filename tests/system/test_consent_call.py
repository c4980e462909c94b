"""Whole calls with a disclosure, a question and a recording, over real sockets."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

from agent.call.consent import text_version
from agent.observability.recording.replay import replay
from agent.observability.recording.serialization import read_record
from agent.ports import Item
from agent.simulator.simulated_call import TwilioCall
from agent.usecases.versions import Versions
from tests.servers import Server, serving, settings_for
from tests.twilio_api import ACCOUNT, TwilioApi, twilio_api

NAME = "restaurantOrderingUseCase"
TOLD, ASKED = "You are speaking with an assistant.", "May we record? Say yes or press 1."
VERSION = text_version(TOLD, ASKED)
RECORD: Item = {
    "pk": NAME,
    "prompt": "You sell pizza.",
    "tools": "[]",
    "dtmfHandlers": "{}",
    "conversationRelayParams": {"welcomeGreeting": "Harbor Oven, hello."},
    "disclosure": {"text": TOLD},
    "consent": {"question": ASKED},
    "recording": {"channels": "dual"},
}


@asynccontextmanager
async def service(table: Path) -> AsyncIterator[tuple[Server, TwilioApi]]:
    async with twilio_api(ACCOUNT, "12345678901234567890123456789012") as api:
        account = {"TWILIO_ACCOUNT_SID": ACCOUNT, "TWILIO_API_URL": api.url}
        async with serving(settings_for(table, RECORD_CALLS="true", **account)) as server:
            await Versions(server.store, NAME, datetime(2030, 1, 1, tzinfo=UTC)).publish(RECORD)
            yield server, api


def cycles(call: TwilioCall) -> list[str]:
    return [cycle.text for cycle in call.ledger.cycles]


async def test_a_caller_who_agrees_is_recorded_and_then_greeted(table: Path) -> None:
    async with service(table) as (server, api):
        async with server.twilio.call() as call:
            await call.wait_until(lambda: cycles(call)[1:] == [ASKED], 5.0)
            before = dict(api.recordings)
            await call.play_out()
            await call.prompt("Yes, my name is Zelda.")
            await call.wait_until(lambda: "Harbor Oven, hello." in cycles(call), 5.0)
            await call.say("Two pizzas please.")
        call_sid = call.relay.fields["CallSid"]
        await server.calls.until_written()
        (item,) = await server.items(call_sid, "connection")
        facts = await server.said(call)
        replayed = replay(await read_record(server.store, call_sid))
        kept = str(await server.items(call_sid))
        deleted = await server.calls.recordings.delete(call_sid)

    assert "welcomeGreeting" not in call.relay.attributes
    assert cycles(call)[:3] == [TOLD, ASKED, "Harbor Oven, hello."]
    assert before == {}
    assert [of for of, _ in api.recordings.values()] == []
    assert deleted == 1
    stamp = item["consent"]
    assert isinstance(stamp, dict)
    assert (stamp["state"], stamp["means"], stamp["text"]) == ("given", "word", VERSION)
    assert ("note", f"The caller has given consent (word, text {VERSION}).") in facts
    assert "Zelda" not in kept
    assert replayed.is_same


async def test_a_caller_who_refuses_is_not_recorded(table: Path) -> None:
    async with service(table) as (server, api):
        async with server.twilio.call() as call:
            await call.wait_until(lambda: cycles(call)[1:] == [ASKED], 5.0)
            await call.play_out()
            await call.press("2")
            await call.wait_until(lambda: "Harbor Oven, hello." in cycles(call), 5.0)
        await server.calls.until_written()
        listed = await server.items(call.relay.fields["CallSid"], "listing")

    assert api.recording_requests == []
    assert [item["consent"]["state"] for item in listed] == ["refused"]  # type: ignore[index]
