"""A call that is edited while it runs, over the real socket."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent.call.messages import StopReason
from agent.ports import Item
from agent.usecases.versions import Versions
from tests.fakes import MemoryStore
from tests.scripted import ScriptedModel
from tests.servers import Server, settings_for, staged
from tests.twilio_client.call import TwilioCall

NAME = "restaurantOrderingUseCase"
OF_THE_PROCESS = "offline:"
KEY = {"replyWithText": True, "replyText": "We are open.", "replyWithFunction": False}
RECORD: Item = {
    "pk": NAME,
    "prompt": "You sell pizza.",
    "tools": json.dumps([{"toolSpec": {"name": "EndCallFunction"}}]),
    "dtmfHandlers": "{}",
    "conversationRelayParams": {"welcomeGreeting": "Hello."},
}


class Stage:
    """A running service, its table, and the models it answers with, by identifier."""

    def __init__(self, server: Server, store: MemoryStore, models: dict[str, ScriptedModel]):
        self.server = server
        self.store = store
        self.models = models

    async def publish(self, record: Item) -> None:
        await Versions(self.store, NAME, datetime(2030, 1, 1, tzinfo=UTC)).publish(record)

    async def edit_session(self, call: TwilioCall, **attributes: object) -> None:
        await self.server.calls.until_quiet()
        await self.store.merge(call.relay.fields["CallSid"], "connection", attributes)

    def told(self, model: str = OF_THE_PROCESS) -> list[str]:
        """The system prompt of each request."""
        return [request.system for request in self.models[model].requests]


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    store, models = MemoryStore(), dict[str, ScriptedModel]()

    def open_model(identifier: str, _: str) -> ScriptedModel:
        name = identifier or OF_THE_PROCESS
        return models.setdefault(name, ScriptedModel([["Sure. ", StopReason.END]], name))

    async with staged(settings_for(tmp_path / "unused"), store, open_model) as server:
        yield Stage(server, store, models)


async def test_a_rewritten_session_leads_the_next_turn(stage: Stage) -> None:
    await stage.publish(RECORD)

    async with stage.server.twilio.call() as call:
        await call.say("hello")
        await stage.store.merge(
            call.relay.fields["CallSid"],
            "connection",
            {
                "systemPrompt": [{"text": "You sell pasta."}],
                "tools": "[]",
                "llmModel": "other",
                "dtmfHandlers": json.dumps({"7": KEY}),
            },
        )
        await call.say("what do you sell")
        await call.press("7")
        await call.reply()

    assert stage.told() == ["You sell pizza."]
    assert stage.told("other") == ["You sell pasta."] * 2
    assert [len(one.tools) for one in stage.models["other"].requests] == [0, 0]
    assert "We are open." in str(stage.models["other"].requests[1].messages[-1])


async def test_a_broken_edit_is_refused_and_what_was_in_force_stays(stage: Stage) -> None:
    await stage.publish(RECORD)

    async with stage.server.twilio.call() as call:
        call_sid = call.relay.fields["CallSid"]
        await call.say("hello")
        for broken in ("[{", json.dumps({"7": {"replyWithFunction": True}})):
            field = "tools" if broken == "[{" else "dtmfHandlers"
            await stage.store.merge(
                call_sid, "connection", {field: broken, "systemPrompt": [{"text": "Never."}]}
            )
            await call.say("and now")
        whole = {"tools": "[]", "dtmfHandlers": "{}", "systemPrompt": [{"text": "At last."}]}
        await stage.store.merge(call_sid, "connection", whole)
        await call.say("and now")

    assert stage.told() == ["You sell pizza."] * 3 + ["At last."]


async def test_a_call_stays_with_the_version_it_began_with(stage: Stage) -> None:
    await stage.publish(RECORD)

    async with stage.server.twilio.call() as call:
        await call.say("hello")
        await stage.publish({**RECORD, "prompt": "You sell pasta."})
        await call.say("what do you sell")
        async with stage.server.twilio.call() as next_call:
            await next_call.say("hello")

    assert stage.told() == ["You sell pizza.", "You sell pizza.", "You sell pasta."]


async def test_a_record_may_ask_that_calls_follow_its_edits(stage: Stage) -> None:
    await stage.publish({**RECORD, "liveEdits": True})

    async with stage.server.twilio.call() as call:
        await call.say("hello")
        edited = {"prompt": "You sell pasta. <<USER_CONTEXT>>"}
        await stage.store.merge(NAME, "configuration", edited)
        await call.say("what do you sell")
        await stage.store.merge(NAME, "configuration", {"prompt": "", "tools": "[{"})
        await call.say("and now")
        item = await stage.store.get(call.relay.fields["CallSid"], "connection")

    first, second, third = stage.told()
    assert first == "You sell pizza."
    assert second.startswith("You sell pasta. You do not know yet who is calling.")
    assert third == second
    assert item is not None and item["systemPrompt"] == [{"text": second}]


async def test_a_record_that_begins_to_ask_is_told_what_the_caller_did(stage: Stage) -> None:
    tools = json.dumps([{"toolSpec": {"name": "CheckPastOrdersFunction"}}])
    await stage.publish({**RECORD, "tools": tools, "liveEdits": True})
    order = {"order_items": [{"line_item": "Tomato Soup"}], "order_total": 8.5}
    caller = "+15550100001"
    await stage.store.put({"pk": caller, "sk": "restaurantOrder::1::1772733606", "order": order})

    async with stage.server.twilio.call(From=caller) as call:
        await call.say("hello")
        await stage.store.merge(NAME, "configuration", {"prompt": "<<CALLER_HISTORY>>"})
        await call.say("what do you sell")

    assert '1. Thursday, March 5, 2026, order: "Tomato Soup"; 8.50 dollars' in stage.told()[1]


async def test_an_edit_of_the_session_outlasts_an_unchanged_record(stage: Stage) -> None:
    """The last edit wins, and only a change is an edit."""
    await stage.publish({**RECORD, "liveEdits": True})

    async with stage.server.twilio.call() as call:
        await call.say("hello")
        prompt = {"systemPrompt": [{"text": "You sell soup."}]}
        await stage.store.merge(call.relay.fields["CallSid"], "connection", prompt)
        await call.say("what do you sell")
        await call.say("really")

    assert stage.told() == ["You sell pizza.", "You sell soup.", "You sell soup."]


async def test_a_broken_record_does_not_keep_good_edits_out(stage: Stage) -> None:
    await stage.publish({**RECORD, "liveEdits": True})

    async with stage.server.twilio.call() as call:
        await call.say("hello")
        broken = {"conversationRelayParams": "none", "liveEdits": False}
        await stage.store.merge(NAME, "configuration", broken)
        await call.say("and now")
        prompt = {"systemPrompt": [{"text": "You sell soup."}]}
        await stage.store.merge(call.relay.fields["CallSid"], "connection", prompt)
        await call.say("what do you sell")
        await stage.store.put({**RECORD, "sk": "configuration", "prompt": "You sell tea."})
        await call.say("and now")

    assert stage.told() == [
        "You sell pizza.", "You sell pizza.", "You sell soup.", "You sell tea.",
    ]  # fmt: skip
