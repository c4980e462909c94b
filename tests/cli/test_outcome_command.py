"""The `outcome` command: outcomes of calls that are over, worked out from the table."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from agent.call.messages import StopReason, ToolCall
from agent.cli.outcome_command import due_calls, worked_out
from agent.messaging.kept_messages import MemoryMessenger
from agent.observability import Telemetry
from agent.ports import Item
from agent.session import Resources
from agent.session.call_manager import CallManager
from agent.store.call_state.call_list import listing
from agent.store.call_state.journal import Journals, fact_item
from agent.store.memory import MemoryStore
from agent.store.write_behind import WriteBehindQueue
from agent.usecases.outcome_schema import RECORD_TOOL
from tests.fakes import TOOL_REGISTRY, UNREACHABLE, Clock
from tests.scripted import ScriptedModel
from tests.servers import opening, settings_for
from tests.session.test_call_setup import publish
from tests.session.test_outcome_queue import TALK

SHOP: Item = {
    "pk": "shop",
    "prompt": "You sell soup.",
    "tools": [{"toolSpec": {"name": "PlaceOrder"}}],
    "outcome": {
        "success": "placed",
        "fields": {
            "placed": {"type": "yes/no", "description": "x", "from": {"tool": "PlaceOrder"}},
            "glad": {"type": "yes/no", "description": "x"},
        },
    },
}
PLAIN: Item = {"pk": "plain", "prompt": "You talk."}
NOW = 1_900_000_000.0
SOLD, KILLED, PLAIN_CALL = "CA01", "CA02", "CA03"


async def table() -> MemoryStore:
    """A call that sold soup, one whose process was killed, and one without a declared outcome."""
    store = MemoryStore()
    for record in (SHOP, PLAIN):
        await publish(store, record)
    for call_sid, use_case, reason in (
        (SOLD, "shop", "agent_end"), (KILLED, "shop", ""), (PLAIN_CALL, "plain", "agent_end"),
    ):  # fmt: skip
        item: Item = {
            "pk": call_sid, "sk": "connection", "useCase": use_case, "startedMs": int(NOW * 1000),
            "systemPrompt": [{"text": "You sell soup."}], "tools": SHOP.get("tools", []),
            "dtmfHandlers": {}, "llmModel": "big", "expireAt": int(NOW) + 500,
        }  # fmt: skip
        await store.put(item)
        await store.put_newer(listing(item, NOW + 60, reason))
        for position, fact in enumerate(TALK):
            await store.put(fact_item(call_sid, 1, position, fact, position, 1))
    return store


def calls_over(store: MemoryStore, model: ScriptedModel, clock: Clock) -> CallManager:
    queue = WriteBehindQueue("j", 9, lambda _: None, lambda *_: None)
    resources = Resources(
        store,
        Journals(store, clock, queue),
        opening(lambda *_: model),
        TOOL_REGISTRY,
        MemoryMessenger(UNREACHABLE),
        Telemetry(),
    )
    return CallManager(settings_for(Path("unused")), resources, clock)


def answering(answer: str) -> ScriptedModel:
    return ScriptedModel([[ToolCall("x", RECORD_TOOL, answer), StopReason.TOOLS]], "big")


@pytest.mark.parametrize(
    ("call_sid", "line"),
    [
        (SOLD, "CA01; success yes; end agent_end; placed yes; glad yes; model answered"),
        (KILLED, "CA02; success yes; end error_relay; placed yes; glad yes; model answered"),
        (PLAIN_CALL, ""),
        ("CA99", ""),
    ],
)
def test_an_outcome_is_worked_out_again(call_sid: str, line: str) -> None:
    async def again() -> str:
        store = await table()
        calls = calls_over(store, answering('{"glad": true}'), Clock(NOW))
        return await worked_out(calls, call_sid)

    assert asyncio.run(again()) == line


def test_calls_are_due_until_a_model_has_told_the_rest() -> None:
    async def due() -> list[list[str]]:
        store, clock = await table(), Clock(NOW + 100)
        found = []
        for answer in ("{", '{"glad": true}', "{}"):
            calls = calls_over(store, answering(answer), clock)
            found.append(await due_calls(calls, timedelta(hours=2), 10))
            await worked_out(calls, SOLD)
            clock.seconds += 2_000
        return found

    assert asyncio.run(due()) == [[PLAIN_CALL, SOLD], [PLAIN_CALL, SOLD], [KILLED, PLAIN_CALL]]
