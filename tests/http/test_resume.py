"""A call whose session is lost or given up goes on in a new one."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs

from agent.call.after_session import MOST_ATTEMPTS
from agent.call.config import Phrases
from agent.call.events import ShutdownMode
from agent.call.messages import StopReason, ToolCall
from agent.call.resumption import BROKEN_OFF
from agent.errors import StoreError
from agent.http.action_webhook import LOST, PATIENCE
from agent.ports import Item
from agent.session.resume import MOST_CONNECTIONS
from agent.simulator.carrier import call_fields
from agent.simulator.simulated_call import SessionReport
from agent.simulator.twiml_reader import RelayInvitation, TwimlAnswer
from agent.store.memory import MemoryStore
from agent.tools import SPECS
from agent.usecases.named_tools import tools_text
from tests.scripted import ScriptedModel
from tests.servers import ACTION_URL, Server, heard_out, offline, seeded, settings_for, staged
from tests.waiting import until

ADA = "+15550100001"
RESTAURANT = "restaurantOrderingUseCase"
PHRASES = Phrases()
END = StopReason.END


def new_line(ending: SessionReport) -> RelayInvitation:
    """The relay that the action URL answered with."""
    assert ending.answer is not None
    assert ending.answer.relay is not None, ending.answer.xml
    return ending.answer.relay


def unheard(relay: RelayInvitation) -> RelayInvitation:
    """The same socket without greeting and action URL."""
    attributes = {**relay.attributes, "welcomeGreeting": ""}
    return replace(relay, attributes=attributes, action="")


async def test_call_whose_socket_is_lost_goes_on(server: Server) -> None:
    """With its history, a new token and no greeting; the order is placed once."""
    async with server.twilio.call(From=ADA) as call:
        await call.say("a large pepperoni pizza with mushrooms for pickup")
        first = call.relay
        relay = new_line(await call.fail())
    async with server.twilio.connect(relay) as call:
        resumed = await call.reply(cycles=2)
        placed = await call.say("yes", cycles=2)
    (order,) = await server.orders(ADA)

    assert "welcomeGreeting" not in relay.attributes
    assert relay.url != first.url
    assert relay.action == first.action
    assert resumed.cycles[0] == PHRASES.resumed
    assert "Your order is placed" in placed.text
    assert order["order_total"] == 23.5
    assert await server.metric("agent_call_resumes_total", cause="lost", outcome="resumed") == 1
    assert await server.metric("agent_calls_total", end_reason="error_relay") == 1


async def test_words_before_the_loss_are_answered_after_it(tmp_path: Path) -> None:
    """The model was still thinking."""
    store = await seeded(MemoryStore())
    model = ScriptedModel([[3_600.0], ["Until nine.", END]])

    async with staged(settings_for(tmp_path / "unused"), store, lambda *_: model) as server:
        async with server.twilio.call(From=ADA) as call:
            await call.prompt("how long are you open")
            await until(lambda: len(model.requests) == 1)
            relay = new_line(await call.fail())
        async with server.twilio.connect(relay) as call:
            answered = await call.reply(cycles=2)

    assert answered.cycles == (PHRASES.resumed, "Until nine.")
    assert len(model.requests) == 2


async def test_caller_who_was_cut_off_is_asked_again(server: Server) -> None:
    """`clientSpeaking` came, the words did not."""
    async with server.twilio.call(From=ADA) as call:
        await call.say("are you open")
        await call.play_out()
        await call.send(type="info", name="clientSpeaking", value="on")
        await call.settle()
        relay = new_line(await call.fail())
    async with server.twilio.connect(relay) as call:
        resumed = await call.reply()

    assert resumed.text == PHRASES.resumed_unheard


async def test_call_that_was_handed_over_goes_on_in_another_process(
    tmp_path: Path,
) -> None:
    store = await seeded(MemoryStore())
    settings = settings_for(tmp_path / "unused")
    async with staged(settings, store, offline) as one, staged(settings, store, offline) as other:
        async with one.twilio.call(From=ADA) as call:
            await call.say("a large pepperoni pizza for pickup")
            one.calls.active_calls.drain()
            relay = new_line(await heard_out(call))
        async with other.twilio.connect(relay) as call:
            resumed = await call.reply()
            placed = await call.say("yes", cycles=2)
        refused = await one.twilio.handshake(relay.url, signature=one.twilio.sign(relay.url))

    assert resumed.text == PHRASES.resumed_quiet
    assert "Your order is placed" in placed.text
    assert refused == 503


async def test_call_given_up_in_mid_sentence_goes_on_in_another_process(tmp_path: Path) -> None:
    """The model there learns that the sentence was cut."""
    store = await seeded(MemoryStore())
    settings = settings_for(tmp_path / "unused")
    endless = ScriptedModel([["We have three kinds of pizza: ", 3_600.0]])
    short = ScriptedModel([["Three kinds.", END]])
    async with (
        staged(settings, store, lambda *_: endless) as one,
        staged(settings, store, lambda *_: short) as other,
    ):
        async with one.twilio.call(From=ADA) as call:
            await call.prompt("what do you have")
            await call.hear(10)
            one.calls.active_calls.drain(ShutdownMode.AT_ONCE)
            relay = new_line(await heard_out(call))
        async with other.twilio.connect(relay) as call:
            resumed = await call.reply(cycles=2)

    said = [part for message in short.requests[0].messages for part in message.parts]
    assert resumed.cycles == (PHRASES.resumed, "Three kinds.")
    assert any(BROKEN_OFF in getattr(part, "text", "") for part in said)


async def test_running_order_is_neither_lost_nor_placed_twice(tmp_path: Path) -> None:
    """The socket is lost while the tool writes."""
    gate = asyncio.Event()

    class Slow(MemoryStore):
        async def put(
            self, item: Item, *, only_if_absent: bool = False, beside: Sequence[Item] = ()
        ) -> bool:
            if str(item.get("sk", "")).startswith("restaurantOrder::"):
                await gate.wait()
            return await super().put(item, only_if_absent=only_if_absent, beside=beside)

    store = Slow()
    await seeded(store)
    async with staged(settings_for(tmp_path / "unused"), store, offline) as server:
        async with server.twilio.call(From=ADA) as call:
            await call.say("a large pepperoni pizza with mushrooms for pickup")
            await call.prompt("yes")
            await call.settle()
            relay = new_line(await call.fail())
        async with server.twilio.connect(relay) as call:
            await call.settle()
            gate.set()
            resumed = await call.reply(cycles=2)
        orders = await server.orders(ADA)

    assert "Your order is placed" in resumed.text
    assert len(orders) == 1


@pytest.mark.parametrize(
    ("record", "verbs"),
    [({}, ("Say", "Hangup")), ({"handoffNumber": "+15550007777"}, ("Dial",))],
    ids=["no transfer target", "transfer target"],
)
async def test_call_that_fails_again_and_again_is_transferred_or_hears_an_apology(
    server: Server, record: Item, verbs: tuple[str, ...]
) -> None:
    """At most `MOST_CONNECTIONS` new sessions in two minutes."""
    await server.store.merge(RESTAURANT, "configuration", record)
    relay = await server.relay(From=ADA)
    for _ in range(MOST_CONNECTIONS):
        async with server.twilio.connect(relay) as call:
            relay = new_line(await call.fail())
    async with server.twilio.connect(relay) as call:
        ending = await call.fail()

    assert ending.answer is not None
    assert ending.answer.verbs == verbs
    assert (LOST in ending.answer.xml) == (not record)
    assert await server.metric("agent_call_resumes_total", outcome="refused") == 1


async def test_repairs_of_the_history_are_counted(server: Server) -> None:
    async with server.twilio.call(From=ADA) as call:
        await call.say("are you open")
        relay = new_line(await call.fail())
    sid = relay.fields["CallSid"]
    await server.store.put({"pk": sid, "sk": "chat::99", "position": 50, "chat": {}})

    async with server.twilio.connect(relay) as call:
        await call.settle()

    for kind in ("missing", "unreadable"):
        assert await server.metric("agent_history_repairs_total", kind=kind) == 1, kind


async def test_log_lines_of_a_request_have_its_call_sid(server: Server) -> None:
    """Not that of an earlier request on the same connection."""
    with capture_logs([merge_contextvars]) as logs:
        async with server.twilio.call(From=ADA) as call:
            await call.fail()
        await server.twilio.post(ACTION_URL, {"CallSid": "CA2", "SessionStatus": "failed"})
        await server.twilio.post(ACTION_URL, {"CallSid": "CA3"}, signature="forged")

    told = [line for line in logs if line["event"] in {"session.failed", "call.refused"}]
    assert [line.get("call_sid") for line in told] == [call.relay.fields["CallSid"], "CA2", None]


async def test_caller_of_an_unanswered_transfer_comes_back(server: Server) -> None:
    async with server.twilio.call(From=ADA) as call:
        await call.say("are you open")
    told = {**call.relay.fields, "CallStatus": "in-progress", "DialCallStatus": "busy"}
    answer = await server.twilio.post(call.relay.action, told)
    assert answer.relay is not None
    async with server.twilio.connect(answer.relay) as call:
        resumed = await call.reply()
        going_on = await call.say("are you open")

    assert resumed.text == PHRASES.nobody_free
    assert going_on.text


async def test_refused_speech_settings_are_left_out(server: Server) -> None:
    relay = {"ttsProvider": "Amazon", "voice": "Joanna-Neural", "dtmfDetection": True}
    await server.store.merge(RESTAURANT, "configuration", {"conversationRelayParams": relay})
    async with server.twilio.call(From=ADA) as call:
        ending = await call.fail("64101")

    attributes = new_line(ending).attributes
    assert call.relay.attributes["voice"] == "Joanna-Neural"
    assert "voice" not in attributes
    assert attributes["dtmfDetection"] == "true"


@pytest.mark.parametrize("configured", [True, False])
@pytest.mark.parametrize("code", ["64111", "64114"])
async def test_failed_speech_provider_is_replaced(
    server: Server, code: str, *, configured: bool
) -> None:
    """In this call and in the next."""
    backups = {
        "backupVoice": {"provider": "Google", "voice": "en-US-Journey-O"},
        "backupTranscription": {"provider": "Google", "model": "telephony"},
    }
    if configured:
        await server.store.merge(RESTAURANT, "configuration", backups)
    async with server.twilio.call(From=ADA) as call:
        with capture_logs() as logs:
            ending = await call.fail(code)
    following = await server.relay(From="+15550100077")

    name = "transcriptionProvider" if code == "64114" else "ttsProvider"
    first = call.relay.attributes[name]
    assert new_line(ending).attributes[name] == following.attributes[name] != first
    if configured:
        assert following.attributes[name] == "Google" or first == "Google"
    [line] = [line for line in logs if line["event"] == "speech.provider_failed"]
    assert line["provider"] == first


async def test_running_call_goes_on_when_twilio_asks_the_fallback_url(server: Server) -> None:
    """The action URL could not be reached. An unknown call starts as a new one."""
    async with server.twilio.call(From=ADA) as call:
        await call.say("are you open")
    failed = {"CallStatus": "in-progress", "ErrorCode": "11200", "ErrorUrl": ACTION_URL}
    answer = await server.ring({**call.relay.fields, **failed})
    unknown = await server.ring(call_fields(From=ADA, **failed))
    assert answer.relay is not None
    assert unknown.relay is not None
    async with server.twilio.connect(answer.relay) as call:
        resumed = await call.reply(cycles=2)

    assert unknown.relay.attributes["welcomeGreeting"]
    assert "welcomeGreeting" not in answer.relay.attributes
    assert resumed.cycles[0] == PHRASES.resumed


class Forgetful(MemoryStore):
    """A table that can be unavailable."""

    is_away = False

    async def get(self, pk: str, sk: str) -> Item | None:
        if self.is_away:
            raise StoreError("the table is away")
        return await super().get(pk, sk)


async def test_caller_waits_while_the_table_is_unavailable(tmp_path: Path) -> None:
    """Twilio repeats the request; the URL carries what it sent first; the last one apologizes."""
    store = Forgetful()
    await seeded(store)
    async with staged(settings_for(tmp_path / "unused"), store, offline) as server:
        async with server.twilio.call(From=ADA) as call:
            await call.say("are you open")
            store.is_away = True
            first = (await call.fail()).answer
        assert first is not None
        fields = {**call_fields(), "CallSid": call.relay.fields["CallSid"]}
        second = await server.twilio.post(_address(first), fields)
        late = f"{ACTION_URL}?useCase={RESTAURANT}&cause=lost&session=&attempt={MOST_ATTEMPTS}"
        last = await server.twilio.post(late, fields)
        store.is_away = False
        third = await server.twilio.post(_address(second), fields)
        assert third.relay is not None
        async with server.twilio.connect(third.relay) as call:
            resumed = await call.reply(cycles=2)

    assert (first.verbs, second.verbs) == (("Say", "Pause", "Redirect"), ("Pause", "Redirect"))
    assert PATIENCE in first.xml
    assert last.verbs == ("Say", "Hangup")
    assert LOST in last.xml
    assert resumed.cycles[0] == PHRASES.resumed


def _address(answer: TwimlAnswer) -> str:
    """The URL that Twilio is redirected to."""
    redirect = ET.fromstring(answer.xml).find("Redirect")  # noqa: S314 (our own answer)
    assert redirect is not None
    return redirect.text or ""


@pytest.fixture
async def reconnecting(server: Server) -> Server:
    """A use case with `applicationReconnect`."""
    relay = {"applicationReconnect": True, "events": "speaker-events"}
    await server.store.merge(RESTAURANT, "configuration", {"conversationRelayParams": relay})
    return server


@pytest.mark.parametrize("brings_setup", [True, False])
async def test_reconnected_socket_delivers_the_words_in_between(
    reconnecting: Server, brings_setup: bool
) -> None:
    """With the same URL and token, with or without a second `setup`."""
    server = reconnecting
    relay = await server.relay(From=ADA)
    async with server.twilio.connect(unheard(relay)) as call:
        await call.say("a large pepperoni pizza for pickup")
        await call.play_out()
        await call.fail()
    async with server.twilio.dial(unheard(relay)) as call:
        if brings_setup:
            await call.set_up()
        asked = await call.say("and a house salad")
        placed = await call.say("yes", cycles=2)
    (order,) = await server.orders(ADA)

    assert relay.attributes["applicationReconnect"] == "true"
    assert asked.text
    assert "Your order is placed" in placed.text
    assert order["order_total"] == 31.5
    resumed = {"cause": "reconnected", "outcome": "resumed"}
    assert await server.metric("agent_call_resumes_total", **resumed) == 1


async def test_reconnected_socket_replaces_one_that_is_still_open(reconnecting: Server) -> None:
    server = reconnecting
    async with server.twilio.call(From=ADA) as first:
        await first.say("a large pepperoni pizza for pickup")
        await first.play_out()
        async with server.twilio.dial(first.relay) as again:
            await again.say("yes", cycles=2)
        await first.settle()
    orders = await server.orders(ADA)

    assert len(orders) == 1
    assert await server.metric("agent_active_calls") == 0


async def test_number_of_reconnects_is_limited(reconnecting: Server) -> None:
    server = reconnecting
    relay = await server.relay(From=ADA)
    async with server.twilio.connect(relay) as call:
        await call.say("are you open")
    for _ in range(MOST_CONNECTIONS + 1):
        async with server.twilio.dial(relay) as call:
            await call.settle()

    refused = {"cause": "reconnected", "outcome": "refused"}
    assert await server.metric("agent_call_resumes_total", **refused) == 1


async def test_language_the_call_had_switched_to_is_kept(tmp_path: Path) -> None:
    store = await seeded(MemoryStore())
    languages = [{"code": "es-US", "ttsProvider": "Amazon", "voice": "Lupe-Neural"}]
    switch = ToolCall("x", "SwitchLanguageFunction", '{"language": "es-US"}')
    tools = tools_text([SPECS["SwitchLanguageFunction"]])
    offered = {"tools": tools, "dtmfHandlers": "{}", "languages": languages}
    await store.merge(RESTAURANT, "configuration", offered)
    model = ScriptedModel([[switch, StopReason.TOOLS], ["Hola.", END]])

    async with staged(settings_for(tmp_path / "unused"), store, lambda *_: model) as server:
        async with server.twilio.call(From=ADA) as call:
            await call.say("spanish please")
            relay = new_line(await call.fail())
        async with server.twilio.connect(relay) as call:
            await call.reply(cycles=2)

    assert call.session.languages[-1] == "es-US"
