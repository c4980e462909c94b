"""The relay socket: handshakes that are refused, and frames that are ignored."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agent.errors import StoreError
from agent.http.middleware import TROUBLE
from agent.ports import Item
from agent.simulator.simulated_call import Manner
from agent.simulator.talk_cycles import Departure
from agent.store.memory import MemoryStore
from tests.servers import Server, heard_out, offline, seeded, serving, settings_for, staged

ADA = "+15550100001"
BARE = "wss://voice.example.com/"


@pytest.mark.parametrize("signature", [None, "", "Zm9yZ2Vk"])
async def test_handshake_without_twilios_signature_is_refused(
    server: Server, signature: str | None
) -> None:
    """Before the upgrade, and the token stays valid."""
    relay = await server.relay(From=ADA)

    status = await server.twilio.handshake(relay.url, signature=signature)

    assert status == 403
    assert await server.metric("agent_calls_refused_total", reason="signature") == 1
    async with server.twilio.connect(relay) as call:
        assert (await call.say("are you open")).text


async def test_call_that_begins_while_the_service_drains_is_handed_over(server: Server) -> None:
    """The socket was opened before the drain; `setup` comes after it."""
    relay = await server.relay(From=ADA)
    async with server.twilio.dial(relay) as call:
        server.calls.active_calls.drain()
        await call.set_up()
        ending = await heard_out(call)

    assert ending.fields["HandoffData"] == '{"reasonCode": "server-drain", "reason": "quiet"}'


async def test_handshake_while_the_table_is_away_is_refused_and_counted(tmp_path: Path) -> None:
    class Away(MemoryStore):
        async def get(self, pk: str, sk: str) -> Item | None:
            raise StoreError("the table is away")

    url = f"{BARE}?callSid=CA0&token=abc"
    async with staged(settings_for(tmp_path / "t.db"), Away(), offline) as server:
        status = await server.twilio.handshake(url, signature=server.twilio.sign(url))

        assert status == 503
        assert await server.metric("agent_calls_refused_total", reason="store") == 1


async def test_signature_of_a_webhook_opens_no_socket(server: Server) -> None:
    relay = await server.relay(From=ADA)
    signature = server.twilio.sign(relay.url.replace("wss://", "https://"))

    assert await server.twilio.handshake(relay.url, signature=signature) == 403


@pytest.mark.parametrize(
    "query",
    ["", "?callSid=CA0", "?token=abc", "?callSid=CA0&token=abc", "?callSid=&token="],
)
async def test_socket_without_a_call_that_was_set_up_is_refused(server: Server, query: str) -> None:
    """A signature never expires, so the token is needed as well."""
    url = f"{BARE}{query}"

    status = await server.twilio.handshake(url, signature=server.twilio.sign(url))

    assert status == 403
    assert await server.metric("agent_calls_refused_total", reason="token") == 1
    assert await server.items("CA0") == []


async def test_setup_that_names_another_call_closes_the_socket(server: Server) -> None:
    other = await server.relay(From="+15550100002")
    manner = Manner(setup={"callSid": other.fields["CallSid"]})

    async with server.twilio.call(manner=manner, From=ADA) as call:
        await call.settle()
        ending = await call.hang_up()

    assert [each.kind for each in call.ledger.departures] == [Departure.HUNG_UP_ON]
    assert ending.status == "failed"
    assert ending.answer and ending.answer.verbs == ("Connect",)
    assert await server.metric("agent_calls_refused_total", reason="setup") == 1
    assert await server.items(other.fields["CallSid"], "chat::") == []


async def test_setup_of_another_account_closes_the_socket(table: Path) -> None:
    settings = settings_for(table, TWILIO_ACCOUNT_SID="AC" + "0" * 32)

    async with serving(settings) as server:
        manner = Manner(setup={"accountSid": "AC" + "1" * 32})
        async with server.twilio.call(manner=manner, From=ADA) as call:
            await call.settle()
        refused = await server.metric("agent_calls_refused_total", reason="setup")

    assert refused == 1
    assert call.ending and call.ending.status == "failed"


@pytest.mark.parametrize(
    ("frame", "kind"),
    [
        ("{", "not_json"),
        ('{"type": "prompt", "x": ' + "[" * 60_000, "not_json"),
        ("null", "no_type"),
        ('{"type": 7}', "no_type"),
        ('{"type": "prompt", "voicePrompt": null}', "bad_field"),
        ('{"type": "dtmf", "digit": "A"}', "bad_field"),
        ('{"type": "connected"}', "unknown_type"),
        ('{"type": "info", "name": "weather", "value": 1}', "unknown_info"),
        (json.dumps({"type": "prompt", "voicePrompt": "x" * 65_536, "last": True}), "too_large"),
        (
            '{"type": "setup", "callSid": "CA2", "accountSid": "AC", "sessionId": "VX"}',
            "repeated_setup",
        ),
        (b'{"type": "dtmf", "digit": "1"}', "binary"),
    ],
)
async def test_frame_that_cannot_be_used_is_counted_and_ignored(
    server: Server, frame: str | bytes, kind: str
) -> None:
    async with server.twilio.call(From=ADA) as call:
        await (call.send_raw(frame) if isinstance(frame, str) else call.send_binary(frame))
        reply = await call.say("are you open")

    assert reply.text
    assert call.ledger.departures == []
    assert await server.metric("agent_relay_frames_ignored_total", kind=kind) == 1
    assert [text for said, text in await server.said(call) if said == "callerSaid"] == [
        "are you open"
    ]


async def test_frames_before_setup_are_counted_and_ignored(server: Server) -> None:
    relay = await server.relay(From=ADA)

    async with server.twilio.dial(relay) as call:
        await call.send(type="prompt", voicePrompt="too early", lang="en-US", last=True)
        await call.send(type="dtmf", digit="1")
        await call.set_up()
        reply = await call.say("are you open")

    assert reply.text
    assert await server.metric("agent_relay_frames_ignored_total", kind="before_setup") == 2
    assert ("callerSaid", "too early") not in await server.said(call)


@pytest.mark.parametrize(
    ("code", "replaced"),
    [(None, set()), ("64111", {"ttsProvider"}), (64114, {"transcriptionProvider"})],
)
async def test_error_that_the_relay_reports_is_counted_and_its_provider_avoided(
    server: Server, code: object, replaced: set[str]
) -> None:
    """By new calls."""
    async with server.twilio.call(From=ADA) as call:
        await call.send(type="error", description="Trouble.", code=code)
        await call.send(type="info", name="roundTripDelayMs", value="121")
        reply = await call.say("are you open")
    following = (await server.relay(From="+15550100077")).attributes

    names, before = ("ttsProvider", "transcriptionProvider"), call.relay.attributes
    assert reply.text
    assert await server.metric("agent_relay_errors_total") == 1
    assert {name for name in names if following[name] != before[name]} == replaced


async def test_socket_route_without_an_upgrade_answers_426(server: Server) -> None:
    status, _ = await server.get(server.url("/"))

    assert status == 426


async def test_named_route_of_the_socket_serves_as_well(server: Server) -> None:
    """The predecessor's path."""
    relay = await server.relay(From=ADA)
    url = relay.url.replace("example.com/?", "example.com/conversation-relay?")

    assert await server.twilio.handshake(url, signature=server.twilio.sign(url)) == 101


class _ForgetfulStore(MemoryStore):
    """Loses everything except the session, or raises a fault."""

    fault: Exception | None = None
    is_forgetful = False

    async def get(self, pk: str, sk: str) -> Item | None:
        if self.is_forgetful and sk != "connection":
            if self.fault:
                raise self.fault
            return None
        return await super().get(pk, sk)


@pytest.mark.parametrize("fault", [None, RuntimeError("a fault of ours")])
async def test_call_that_cannot_start_closes_the_socket(
    tmp_path: Path, fault: Exception | None
) -> None:
    """The action URL then answers with an apology."""
    store = _ForgetfulStore()
    await seeded(store)

    async with staged(settings_for(tmp_path / "unused"), store, offline) as server:
        relay = await server.relay(From=ADA)
        store.is_forgetful, store.fault = True, fault
        async with server.twilio.connect(relay) as call:
            await call.settle()
        active = await server.metric("agent_active_calls")

    assert call.ending and call.ending.status == "failed"
    assert call.ending.answer and TROUBLE in call.ending.answer.xml
    assert active == 0
