"""Whole calls over real sockets: Twilio rings, talks, presses keys, breaks in and hangs up."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from agent.call.config import Phrases
from agent.call.events import ReplyFault
from agent.call.history import KEYS_PRESSED, ToolUsed
from agent.call.messages import StopReason
from agent.errors import ModelError, StoreError
from agent.ports import Item
from agent.simulator.simulated_call import TwilioCall
from agent.store.call_state.history_loader import read_items
from agent.store.memory import MemoryStore
from tests.scripted import ScriptedModel, Step
from tests.servers import Server, heard_out, offline, seeded, serving, settings_for, staged
from tests.waiting import until

ADA, GRACE, STRANGER = "+15550100001", "+15550100002", "+15550100050"
"""Ada has a name and orders pizza, Grace has one and looks for an apartment."""


def says(words: str) -> list[Step]:
    return [words, StopReason.END]


@asynccontextmanager
async def scripted(
    *replies: list[Step], store: MemoryStore | None = None
) -> AsyncIterator[tuple[Server, TwilioCall, ScriptedModel]]:
    """A call in front of a model that gives these replies in turn."""
    store = store or await seeded()
    model = ScriptedModel(replies)
    async with (
        staged(settings_for(Path("unused")), store, lambda *_: model) as server,
        server.twilio.call(From=ADA) as call,
    ):
        yield server, call, model


async def order_salad(call: TwilioCall) -> str:
    """Order a salad for pickup; the agent's last answer."""
    await call.say("a house salad for pickup")
    return (await call.say("yes", cycles=2)).text


async def greeted(server: Server, caller: str) -> tuple[str, str]:
    """How this caller is greeted, and what the model is told."""
    relay = await server.relay(From=caller)
    (item,) = await server.items(relay.fields["CallSid"], "connection")
    return relay.attributes["welcomeGreeting"], str(item["systemPrompt"])


async def test_goodbye_is_heard_before_the_call_is_ended(server: Server) -> None:
    async with server.twilio.call(From=ADA) as call:
        goodbye = await call.say("no bye")
        ended_at_once = call.ending
        ending = await heard_out(call)

    assert goodbye.text == "Thank you for calling Harbor Oven. Goodbye!"
    assert ended_at_once is None
    assert ending.fields["HandoffData"] == '{"reasonCode": "goodbye"}'
    assert ending.answer and ending.answer.verbs == ("Hangup",)
    assert call.ledger.departures == []
    assert await server.metric("agent_calls_total", end_reason="agent_end") == 1


async def test_caller_who_asks_for_a_person_gets_one(server: Server) -> None:
    record = {"handoffNumber": "+15550100999"}
    await server.store.merge("restaurantOrderingUseCase", "configuration", record)

    async with server.twilio.call(From=ADA, To="+15550100000") as call:
        reply = await call.say("i want to talk to a person")
        ending = await heard_out(call)

    handoff = json.loads(ending.fields["HandoffData"])
    assert "I will connect you with a person" in reply.text
    assert (handoff["reasonCode"], handoff["reason"]) == ("live-agent-handoff", "user-requested")
    assert ending.answer and ending.answer.verbs == ("Dial",)
    assert "<Number>+15550100999</Number>" in ending.answer.xml
    assert 'callerId="+15550100000"' in ending.answer.xml
    assert await server.metric("agent_calls_total", end_reason="transfer") == 1


async def test_caller_who_asks_for_a_person_without_a_transfer_target_hears_so(
    server: Server,
) -> None:
    async with server.twilio.call(From=ADA) as call:
        refused = await call.say("i want to talk to a person")
        answer = await call.say("What are your opening hours?")

    assert refused.text == Phrases().no_person
    assert "Monday" in answer.text


async def test_key_speaks_its_line_and_then_runs_its_tool(server: Server) -> None:
    async with server.twilio.call(From=GRACE) as call:
        await call.play_out()
        await call.press("1")
        reply = await call.reply(cycles=2)

    assert reply.cycles[0] == "Let me see which apartments are free."
    assert reply.cycles[1].startswith("We have a studio for $1,250")


async def test_keys_without_a_binding_are_input_like_words(server: Server) -> None:
    async with server.twilio.call(From=GRACE) as call:
        for key in "*#":
            await call.press(key)
        reply = await call.say("do you allow cats")
        await call.press("3")
        await call.reply()

    items = await server.items(call.relay.fields["CallSid"], "chat::")
    keys = {"role": "user", "content": [{"text": KEYS_PRESSED.format("3")}]}
    assert "Cats and dogs are welcome" in reply.text
    assert keys in [item.get("chat") for item in items]


async def test_interrupt_leaves_in_the_history_what_was_heard(server: Server) -> None:
    await server.know(STRANGER, useCase="albertEinsteinUseCase")

    async with server.twilio.call(From=STRANGER) as call:
        await call.play_out()
        await call.prompt("what is relativity")
        await call.reply()
        heard = await call.interrupt(words=7)
        await call.say("tell me more")

    assert heard == "Imagine you ride along with a beam"
    greeting = "Hello, I am your guide to Albert Einstein. What would you like to know about him?"
    assert (await server.said(call))[:4] == [
        ("agentSaid", greeting),
        ("callerSaid", "what is relativity"),
        ("agentSaid", heard),
        ("callerSaid", "tell me more"),
    ]
    assert call.ledger.departures == []
    assert await server.metric("agent_interrupts_total", kind="speech") == 1


async def test_interrupt_stops_the_model_and_every_further_word() -> None:
    endless: list[Step] = ["Well, that is a long story. ", 3_600.0, "Too late. ", StopReason.END]

    async with scripted(endless, says("Short, then.")) as (_, call, model):
        await call.play_out()
        await call.prompt("tell me everything")
        await call.hear(10)
        await call.interrupt(words=3)
        await until(lambda: model.open_streams == 0)
        reply = await call.say("make it short")

    assert reply.text == "Short, then."
    assert "Too late" not in "".join(cycle.text for cycle in call.ledger.cycles)
    assert call.ledger.departures == []


async def test_answer_after_tools_is_said_and_stored(server: Server) -> None:
    async with server.twilio.call(From=ADA) as call:
        await order_salad(call)

    facts = read_items(await server.items(call.relay.fields["CallSid"], "chat::")).facts
    tools = [fact for fact in facts if isinstance(fact, ToolUsed)]
    assert [(fact.call.name, fact.result is not None) for fact in tools] == [
        ("PlaceOrderFunction", True),
        ("CheckRestaurantPickUpTime", True),
    ]
    kind, text = (await server.said(call))[-1]
    assert kind == "agentSaid"
    assert text.startswith("It will be ready")


class LeavingStore(MemoryStore):
    """A table that facts do not reach while it is away."""

    is_away = False

    async def put_newer(
        self, item: Item, *, may_wait: bool = False, beside: Sequence[Item] = ()
    ) -> bool:
        if self.is_away:
            raise StoreError("the table is away")
        return await super().put_newer(item, may_wait=may_wait, beside=beside)


async def test_call_goes_on_from_memory_while_the_table_is_away() -> None:
    store = LeavingStore()
    await seeded(store)
    replies = [says("Yes."), says("You are welcome.")]

    async with scripted(*replies, store=store) as (server, call, _):
        store.is_away = True
        first = await call.say("are you open")
        second = await call.say("thank you")
        await server.until_metric("agent_journal_calls_delayed", 1)
        store.is_away = False
        said = await server.said(call)
        await server.until_metric("agent_journal_calls_delayed", 0)

    assert (first.cycles, second.cycles) == (("Yes.",), ("You are welcome.",))
    words = ["are you open", "Yes.", "thank you", "You are welcome."]
    assert [text for _, text in said][-4:] == words


async def test_use_case_without_tools_offers_none() -> None:
    store = await seeded()
    record = {"tools": "[]", "dtmfHandlers": "{}"}
    await store.merge("restaurantOrderingUseCase", "configuration", record)

    async with scripted(says("Yes."), store=store) as (_, call, model):
        await call.say("are you open")

    assert model.requests[0].tools == ()


async def test_facts_of_one_moment_keep_their_order(tmp_path: Path) -> None:
    store = await seeded()
    settings = settings_for(tmp_path / "unused", STACK_USE_CASE="albertEinsteinUseCase")

    async with (
        staged(settings, store, offline, clock=lambda: 1_900_000_000.0) as server,
        server.twilio.call(From=STRANGER) as call,
    ):
        await call.say("what is relativity")
        await call.say("tell me more")

    said = await server.said(call)
    assert [kind for kind, _ in said] == ["agentSaid", "callerSaid"] * 2 + ["agentSaid"]
    assert (said[1][1], said[3][1]) == ("what is relativity", "tell me more")


class _GatedStore(MemoryStore):
    def __init__(self) -> None:
        super().__init__()
        self.is_reached = asyncio.Event()
        self.gate = asyncio.Event()

    async def put(
        self, item: Item, *, only_if_absent: bool = False, beside: Sequence[Item] = ()
    ) -> bool:
        if str(item["sk"]).startswith("restaurantOrder::"):
            self.is_reached.set()
            await self.gate.wait()
        return await super().put(item, only_if_absent=only_if_absent, beside=beside)


async def test_hang_up_while_an_order_is_placed_keeps_the_order(tmp_path: Path) -> None:
    store = _GatedStore()
    await seeded(store)

    async with staged(settings_for(tmp_path / "unused"), store, offline) as server:
        async with server.twilio.call(From=ADA) as call:
            await call.say("a house salad for pickup")
            await call.play_out()
            await call.prompt("yes")
            await store.is_reached.wait()
            ending = await call.hang_up()
            active = server.calls.active_calls.count
            store.gate.set()
        await server.calls.until_quiet()
        (order,) = await server.orders(ADA)

    assert ending.status == "completed"
    assert active == 1
    assert order["order_total"] == 10.0
    items = await store.query(call.relay.fields["CallSid"], "chat::")
    assert any("chatResult" in item for item in items)


@pytest.mark.parametrize("caller", [ADA, "client:ada.example"])
async def test_known_caller_is_greeted_by_name_and_named_in_the_prompt(
    server: Server, caller: str
) -> None:
    await server.know(caller, firstName="Ada", lastName="Example", email="ada@example.com")

    greeting, prompt = await greeted(server, caller)

    assert greeting == "Hello Ada, this is Harbor Oven. How can I help you today?"
    assert f'The caller is "Ada Example", phone number "{caller}".' in prompt
    assert '"ada@example.com"' in prompt
    assert "<<" not in prompt


@pytest.mark.parametrize(
    "caller",
    ["+15550100051", "anonymous", "Restricted", "+266696687", "sip:ada@example.com", "whatsapp:+1"],
)
async def test_unknown_caller_gets_the_greeting_for_strangers(server: Server, caller: str) -> None:
    greeting, prompt = await greeted(server, caller)

    assert greeting == "Hello, this is Harbor Oven. How can I help you today?"
    assert "You do not know yet who is calling." in prompt


async def test_callers_without_a_number_share_nothing(server: Server) -> None:
    """Orders of one withheld number are not found by the next caller."""
    async with server.twilio.call(From="anonymous") as first:
        await order_salad(first)
    async with server.twilio.call(From="anonymous") as second:
        usual = await second.say("the usual")

    assert len(await server.orders(first.relay.fields["CallSid"])) == 1
    assert await server.items("anonymous") == []
    assert "Salad" not in usual.text


async def test_name_of_a_caller_without_a_number_is_not_kept(table: Path) -> None:
    async with (
        serving(settings_for(table, STACK_USE_CASE="defaultUseCase")) as server,
        server.twilio.call(From="anonymous") as call,
    ):
        await call.say("my name is ada lovelace")
        reply = await call.say("yes")
        profiles = [item["pk"] for item in await server.store.query_index("profile")]

    assert "could not keep your name" in reply.text
    assert profiles == [ADA, GRACE]


async def test_model_that_fails_is_answered_for() -> None:
    failing: list[Step] = [ModelError(ReplyFault.UNAVAILABLE)]

    async with scripted(failing, says("Now it works.")) as (_, call, _):
        apology = await call.say("are you open")
        reply = await call.say("are you open")

    assert apology.text.startswith("I am sorry")
    assert reply.text == "Now it works."
    assert call.ledger.departures == []


async def test_failed_relay_session_is_connected_again(server: Server) -> None:
    async with server.twilio.call(From=ADA) as call:
        await call.say("are you open")
        ending = await call.fail()

    assert ending.answer and ending.answer.verbs == ("Connect",)
    await server.calls.until_quiet()
    assert await server.metric("agent_active_calls") == 0
