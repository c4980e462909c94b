"""Whole calls that end with a message, over real sockets, to a carrier on one's own machine."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from agent.app import messenger_options, twilio_account
from agent.call.messages import StopReason, ToolCall
from agent.messaging import CarrierMessenger
from agent.ports import Store
from agent.settings import Settings
from agent.simulator.simulated_call import TwilioCall
from agent.twilio.auth_tokens import AuthTokens
from agent.twilio.rest_client import TOTAL_SECONDS
from tests.emulators.carrier import ACCOUNT, TIME_LIMIT_SECONDS, CarrierStandIn, Conduct, Refused
from tests.scripted import ScriptedModel, Step
from tests.servers import TOKEN, OpenModel, Server, offline, seeded, serving, settings_for, staged

ADA, GRACE, NEW = "+15550100001", "+15550100002", "+15550100003"
NUMBER = "+15550100000"
CONFIGURED = {
    "TWILIO_ACCOUNT_SID": ACCOUNT,
    "SENDGRID_API_KEY": "SG.key",
    "EMAIL_FROM_ADDRESS": "orders@example.com",
}
ORDER_SMS = {
    "To": ADA,
    "From": NUMBER,
    "Body": "Harbor Oven: thank you for your order for pickup.\n"
    "Large Pepperoni with mushrooms: $23.50\n"
    "Total: $23.50",
    "StatusCallback": "https://voice.example.com/messages/status",
}
MAIL_TEXT = (
    "<body><p>Hello Ada,</p><p>thank you for your order at Harbor Oven, for pickup.</p>"
    "<ul><li>Large Pepperoni with mushrooms: $23.50</li></ul><p>Total: $23.50</p></body>"
)
ORDER_MAIL = {
    "personalizations": [{"to": [{"email": "ada@example.com", "name": "Ada Example"}]}],
    "from": {"email": "orders@example.com"},
    "subject": "Your order at Harbor Oven",
    "content": [{"type": "text/html", "value": MAIL_TEXT}],
}


@dataclass(frozen=True, slots=True)
class Stage:
    """A service, and the stand-in of Twilio and SendGrid."""

    server: Server
    carrier: CarrierStandIn

    @asynccontextmanager
    async def call(self, caller: str) -> AsyncIterator[TwilioCall]:
        twilio = self.server.twilio
        async with twilio.call(From=caller, To=NUMBER, AccountSid=ACCOUNT) as call:
            yield call

    async def ordered(self, call: TwilioCall) -> str:
        """The caller orders a pizza; what the agent says at last."""
        await call.say("a large pepperoni pizza with mushrooms for pickup")
        return (await call.say("yes", cycles=2)).text

    @property
    def texts(self) -> list[dict[str, str]]:
        """What Twilio was asked to send; without what distinguishes the status callbacks."""
        name = "StatusCallback"
        return [{**each, name: each[name].partition("?")[0]} for each in self.carrier.texts]

    async def sent(self, channel: str, status: str) -> float:
        """How many messages the metric counts."""
        return await self.server.metric("agent_messages_total", channel=channel, status=status)


@pytest.fixture
def patience() -> float:
    return TIME_LIMIT_SECONDS


@asynccontextmanager
async def sending(
    settings: Settings,
    store: Store,
    open_model: OpenModel = offline,
    *,
    patience: float = TIME_LIMIT_SECONDS,
) -> AsyncIterator[Stage]:
    """A service that sends by a stand-in, and waits so many seconds for its answer."""
    async with CarrierStandIn() as carrier, carrier.session(patience) as http:
        account = twilio_account(settings, AuthTokens(settings.twilio_auth_token))
        messenger = CarrierMessenger(messenger_options(settings, account), http)
        async with staged(settings, store, open_model, messenger=messenger) as server:
            yield Stage(server, carrier)


@pytest.fixture
async def stage(tmp_path: Path, patience: float) -> AsyncIterator[Stage]:
    settings = settings_for(tmp_path / "unused", **CONFIGURED)
    async with sending(settings, await seeded(), patience=patience) as stage:
        yield stage


@asynccontextmanager
async def scripted(tmp_path: Path, *replies: list[Step]) -> AsyncIterator[Stage]:
    """A service whose model gives these replies in turn."""
    model = ScriptedModel(replies)
    settings = settings_for(tmp_path / "unused", **CONFIGURED)
    async with sending(settings, await seeded(), lambda *_: model) as stage:
        yield stage


async def test_order_ends_with_one_sms_and_one_email(stage: Stage) -> None:
    async with stage.call(ADA) as call:
        offered = await stage.ordered(call)
        texted = await call.say("yes please")
        asked = await call.say("and e-mail it to me please")
        mailed = await call.say("yes")
        await call.say("text me the order")
        await call.say("e-mail it to me")
        await call.say("yes")

    assert "as a text message?" in offered or "text you the order?" in offered
    assert "I have sent you the text message." in texted.text
    assert "I have the address ada@example.com." in asked.text
    assert "I have sent the e-mail to ada@example.com." in mailed.text
    assert stage.texts == [ORDER_SMS]
    assert stage.carrier.mails == [ORDER_MAIL]
    assert [taken.login.split()[0] for taken in stage.carrier.taken] == ["Basic", "Bearer"]
    assert TOKEN not in str(stage.texts)
    assert [order["order_total"] for order in await stage.server.orders(ADA)] == [23.5]
    assert call.ledger.departures == []
    assert [await stage.sent(channel, "accepted") for channel in ("sms", "email")] == [1, 1]


async def say_more(call: TwilioCall, gate: asyncio.Event) -> None:
    """Ask for the message again while it is sent."""
    await call.prompt("text me the order")
    gate.set()
    await call.reply()


async def interrupt(call: TwilioCall, gate: asyncio.Event) -> None:
    """Break into the sentence that asks for patience."""
    await call.hear(characters=3)
    await call.interrupt(characters=3)
    gate.set()
    await call.settle()


@pytest.mark.parametrize(
    ("patience", "break_in"), [(TIME_LIMIT_SECONDS, say_more), (TOTAL_SECONDS, interrupt)]
)
async def test_caller_who_breaks_in_gets_one_sms(
    stage: Stage, break_in: Callable[[TwilioCall, asyncio.Event], Awaitable[None]]
) -> None:
    """A message that is being sent is finished; asking again later sends no second one."""
    async with stage.call(ADA) as call:
        await stage.ordered(call)
        await call.play_out()
        stage.carrier.next = [Conduct.WAITS]
        await call.prompt("yes please")
        await stage.carrier.reached.wait()
        await break_in(call, stage.carrier.gate)
        again = await call.say("text me the order please")

    assert "I have sent you the text message." in again.text
    assert stage.texts == [ORDER_SMS]
    assert call.ledger.departures == []


async def test_sms_whose_answer_never_comes_is_not_sent_again(stage: Stage) -> None:
    """The first attempt ran out of time, perhaps after it was obeyed: no second attempt."""
    async with stage.call(ADA) as call:
        await stage.ordered(call)
        stage.carrier.next = [Conduct.STALLS]
        for words in ("yes please", "text me the order"):
            reply = await call.say(words)
            assert "I cannot say for sure that the message went out" in reply.text

    assert stage.texts == [ORDER_SMS]
    assert await stage.sent("sms", "unknown") == 1


async def test_sms_that_was_refused_is_sent_when_asked_for_again(stage: Stage) -> None:
    """Nothing had been sent, so this is the first."""
    async with stage.call(ADA) as call:
        await stage.ordered(call)
        stage.carrier.next = [Refused(429, 20429)]
        await call.say("yes please")
        again = await call.say("text me the order")

    assert "I have sent you the text message." in again.text
    assert stage.texts == [ORDER_SMS, ORDER_SMS]


async def test_opening_hours_are_texted_on_request_but_not_abroad(stage: Stage) -> None:
    """Messages abroad can cost much; `SMS_NUMBERS` lists where they go nevertheless."""
    async with stage.call("+447700900001") as call:
        reply = await call.say("can you text me your opening hours")
    assert stage.texts == []
    async with stage.call(ADA) as call:
        await call.say("can you text me your opening hours")

    assert "sent" not in reply.text.lower() or "not" in reply.text.lower()
    (text,) = stage.texts
    assert text["Body"].startswith("Harbor Oven, opening hours: Monday closed, ")


async def test_booked_tour_is_texted(stage: Stage) -> None:
    async with stage.call(GRACE) as call:
        await call.say("i want to see the studio in person tomorrow")
        await call.say("at 10:30 am")
        booked = await call.say("yes please")
        sent = await call.say("yes please")

    assert "text message?" in booked.text
    assert "I have sent you the details." in sent.text
    (text,) = stage.texts
    assert (text["To"], text["From"]) == (GRACE, NUMBER)
    assert "at 10:30 AM, studio, in-person. Address: 500 Alder Way" in text["Body"]


async def test_service_that_cannot_send_promises_nothing(service_settings: Settings) -> None:
    """The tools are not offered, the log says why, once, and the caller hears so."""
    with capture_logs() as logs:
        async with serving(service_settings) as server, server.twilio.call(From=ADA) as call:
            await call.say("a large pepperoni pizza with mushrooms for pickup")
            placed = await call.say("yes", cycles=2)
            text = await call.say("text me the order")
            mail = await call.say("send me an e-mail")
            await server.relay(From=ADA)

    warnings = [log["warning"] for log in logs if log["event"] == "use_case.warning"]
    assert warnings == [
        "apartmentSearchUseCase.tools.SendAppointmentConfirmationSmsFunction:"
        " not configured here: TWILIO_ACCOUNT_SID, left out",
        "restaurantOrderingUseCase.tools.SendRestaurantSmsFunction:"
        " not configured here: TWILIO_ACCOUNT_SID, left out",
        "restaurantOrderingUseCase.tools.SendRestaurantEmailFunction:"
        " not configured here: SENDGRID_API_KEY, left out",
    ]
    assert "text" not in placed.text
    assert "I cannot send text messages." in text.text
    assert "I cannot send you an e-mail." in mail.text


async def test_service_that_is_configured_offers_the_tools(table: Path) -> None:
    async with serving(settings_for(table, **CONFIGURED)) as server:
        relay = await server.relay(From=ADA, AccountSid=ACCOUNT)
        (item,) = await server.items(relay.fields["CallSid"], "connection")

    for tool in ("SendRestaurantSmsFunction", "SendRestaurantEmailFunction"):
        assert tool in str(item["tools"])


async def test_key_of_a_tool_that_is_not_configured_is_a_key_like_any_other(
    server: Server,
) -> None:
    """Nothing is promised, and the model gets the key."""
    name, use_case = "SendRestaurantSmsFunction", "restaurantOrderingUseCase"
    words = {"replyWithText": True, "replyText": "I will text you."}
    handler = {**words, "replyWithFunction": True, "replyFunction": name}
    record = {"dtmfHandlers": json.dumps({"7": handler})}
    await server.store.merge(use_case, "configuration", record)

    with capture_logs() as logs:
        async with server.twilio.call(From=ADA) as call:
            await call.press("7")
            reply = await call.reply()

    assert "I will text you." not in reply.text
    fault = f"{name} is not configured here: TWILIO_ACCOUNT_SID"
    warning = f"{use_case}.dtmfHandlers.7.replyFunction: {fault}"
    assert warning in [log.get("warning") for log in logs]


def calls(name: str, **arguments: object) -> list[Step]:
    return [ToolCall("x", name, json.dumps(arguments)), StopReason.TOOLS]


def says(words: str) -> list[Step]:
    return [words, StopReason.END]


def places(item: str) -> list[Step]:
    return calls("PlaceOrderFunction", current_order=[{"line_item": item}], order_type="pickup")


SAVE, MAIL = "SaveEmailFunction", "SendRestaurantEmailFunction"
STRANGER = "stranger@example.net"


async def test_model_cannot_confirm_an_address_in_one_turn(tmp_path: Path) -> None:
    """It tries everything before the caller says a word; with the answer it works."""
    async with (
        scripted(
            tmp_path,
            says("A tomato soup for 8 dollars 50. Shall I place it?"),
            places("Tomato Soup"),
            calls(SAVE, email=STRANGER),
            calls(SAVE, email=STRANGER, confirmed=True),
            calls(MAIL, to_email=STRANGER),
            says("It is stranger at example dot net. Is that right?"),
            calls(SAVE, email=STRANGER, confirmed=True),
            says("It is saved. Shall I send the order to stranger at example dot net?"),
            calls(MAIL, to_email=STRANGER),
            says("I have sent it."),
        ) as stage,
        stage.call(NEW) as call,
    ):
        await call.say("A soup please.")
        await call.say("Yes.")
        before = await stage.server.store.get(NEW, "profile") or {}
        sent_before = list(stage.carrier.mails)
        await call.say("Yes, that is right.")
        await call.say("Yes please.")
        after = await stage.server.store.get(NEW, "profile") or {}

    assert (before, sent_before) == ({}, [])
    assert after.get("email") == STRANGER
    (mail,) = stage.carrier.mails
    assert mail["personalizations"] == [{"to": [{"email": STRANGER}]}]


async def test_second_order_is_texted_with_the_same_arguments(tmp_path: Path) -> None:
    """Each order once, however often the model asks."""
    text = calls("SendRestaurantSmsFunction", message_type="order confirmation")
    async with (
        scripted(
            tmp_path,
            says("A tomato soup for 8 dollars 50. Shall I place it?"),
            places("Tomato Soup"),
            text,
            text,
            says("I have texted you the soup. A house salad for 10 dollars, too?"),
            places("House Salad"),
            text,
            text,
            says("I have texted you the salad."),
        ) as stage,
        stage.call(ADA) as call,
    ):
        await call.say("A soup please, and text it to me.")
        await call.say("Yes.")
        await call.say("Yes, as a second order, and text me that as well.")

    lines = [text["Body"].splitlines()[1] for text in stage.texts]
    assert lines == ["Tomato Soup: $8.50", "House Salad: $10.00"]
