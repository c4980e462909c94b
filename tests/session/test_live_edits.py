"""A call that is edited while it runs, over the real socket."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent.call.messages import StopReason
from agent.ports import Item
from agent.simulator.simulated_call import TwilioCall
from agent.store.memory import MemoryStore
from agent.usecases.versions import Versions
from tests.scripted import ScriptedModel
from tests.servers import Server, settings_for, staged

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


@dataclass(frozen=True, slots=True)
class Stage:
    """A running service, its table, and the models it answers with, by identifier."""

    server: Server
    store: MemoryStore
    models: dict[str, ScriptedModel]

    async def publish(self, record: Item) -> None:
        await Versions(self.store, NAME, datetime(2030, 1, 1, tzinfo=UTC)).publish(record)

    async def edit(self, call: TwilioCall, **attributes: object) -> None:
        """Edit the session item."""
        await self.store.merge(call.relay.fields["CallSid"], "connection", attributes)

    async def edit_record(self, **attributes: object) -> None:
        await self.store.merge(NAME, "configuration", attributes)

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
        pasta, keys = [{"text": "You sell pasta."}], json.dumps({"7": KEY})
        edit = {"systemPrompt": pasta, "tools": "[]", "llmModel": "other", "dtmfHandlers": keys}
        await stage.edit(call, **edit)
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
        await call.say("hello")
        keys = json.dumps({"7": {"replyWithFunction": True}})
        for broken in ({"tools": "[{"}, {"dtmfHandlers": keys}):
            await stage.edit(call, **broken, systemPrompt=[{"text": "Never."}])
            await call.say("and now")
        whole = [{"text": "At last."}]
        await stage.edit(call, tools="[]", dtmfHandlers="{}", systemPrompt=whole)
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
        await stage.edit_record(prompt="You sell pasta. <<USER_CONTEXT>>")
        await call.say("what do you sell")
        await stage.edit_record(prompt="", tools="[{")
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
        await stage.edit_record(prompt="<<CALLER_HISTORY>>")
        await call.say("what do you sell")

    assert '1. Thursday, March 5, 2026, order: "Tomato Soup"; 8.50 dollars' in stage.told()[1]


async def test_an_edit_of_the_session_outlasts_an_unchanged_record(stage: Stage) -> None:
    """The last edit wins, and only a change is an edit."""
    await stage.publish({**RECORD, "liveEdits": True})

    async with stage.server.twilio.call() as call:
        await call.say("hello")
        await stage.edit(call, systemPrompt=[{"text": "You sell soup."}])
        await call.say("what do you sell")
        await call.say("really")

    assert stage.told() == ["You sell pizza.", "You sell soup.", "You sell soup."]


async def test_a_broken_record_does_not_keep_good_edits_out(stage: Stage) -> None:
    await stage.publish({**RECORD, "liveEdits": True})

    async with stage.server.twilio.call() as call:
        await call.say("hello")
        await stage.edit_record(conversationRelayParams="none", liveEdits=False)
        await call.say("and now")
        await stage.edit(call, systemPrompt=[{"text": "You sell soup."}])
        await call.say("what do you sell")
        await stage.store.put({**RECORD, "sk": "configuration", "prompt": "You sell tea."})
        await call.say("and now")

    assert stage.told() == [
        "You sell pizza.", "You sell pizza.", "You sell soup.", "You sell tea.",
    ]  # fmt: skip
