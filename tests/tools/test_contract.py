"""The contract of every tool, built-in or declared."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import jsonschema
import pytest

from agent.call.actions import ToolOutcome
from agent.call.messages import SideEffect, ToolCall
from agent.events.outbox import TableOutbox
from agent.store.memory import MemoryStore
from agent.tools import TOOLS, CallContext, CallToolExecutor, HttpTools, Tool
from agent.tools.http.http_messages import HttpResponse
from agent.tools.http.outbound_http import HttpRequest
from agent.tools.tool import MAX_RESULT_CHARS, schema_of
from agent.usecases import Profile
from agent.usecases.host_allowlist import HostAllowlist
from agent.usecases.receivers import Receiver
from tests.tools.http.stand_in import declared
from tests.tools.worlds import ADA, AFTERNOON, call_of, contents, seeded, told

SLOT: dict[str, object] = {
    "date": "2026-03-06",
    "time": "4:30 PM",
    "type": "in-person",
    "apartmentType": "studio",
}

TOUR: dict[str, object] = {**SLOT, "time": "10:30 AM"}

FITTING: Mapping[str, dict[str, object]] = {
    "PlaceOrderFunction": {
        "current_order": [{"line_item": "Lighthouse", "size": "large", "line_amount": 24}],
        "order_type": "pickup",
        "order_total": 24,
    },
    "CheckRestaurantPickUpTime": {"order_type": "pickup"},
    "CheckRestaurantDeliveryTime": {"order_type": "delivery"},
    "CheckPastOrdersFunction": {},
    "ListAvailableApartmentsFunction": {},
    "CheckAvailabilityFunction": SLOT,
    "ScheduleTourFunction": SLOT,
    "CheckExistingAppointmentsFunction": {},
    "CommonInquiriesFunction": {"inquiryType": "parking"},
    "SendRestaurantSmsFunction": {"message_type": "order confirmation"},
    "SendRestaurantEmailFunction": {"to_email": "ada@example.com"},
    "SendAppointmentConfirmationSmsFunction": {"appointmentDetails": TOUR},
    "DefaultSaveFirstAndLastName": {"firstName": "Ada", "lastName": "Example"},
    "DefaultSaveUseCase": {"useCase": "albertEinsteinUseCase"},
    "SaveEmailFunction": {"email": "ada at example dot com"},
    "LiveAgentHandoffFunction": {"reason": "user-requested"},
    "EndCallFunction": {},
    "SwitchLanguageFunction": {"language": "en-US"},
    "CollectDigitsFunction": {"min_digits": 4, "max_digits": 6},
    "SendDigitsFunction": {"digits": "1w2#"},
    "PlayAudioFunction": {"audio": "jingle"},
    "RepeatLastFunction": {},
    "HoldFunction": {},
    "SkipTurnFunction": {},
    "RequestCallBackFunction": {"topic": "A late order."},
    "ConfiguredLook": {"number": "123456"},
    "ConfiguredDeed": {"number": "123456"},
    "ConfiguredRepeatable": {"number": "123456", "urgent": True},
}


class Agreeing:
    """An `HttpSender` whose server accepts everything."""

    hosts = HostAllowlist.read("api.example.com")

    async def send(self, request: HttpRequest, seconds: float) -> HttpResponse:
        await asyncio.sleep(0)
        return HttpResponse(200, "application/json", body=b'{"ok": true}')


def _configured(name: str, path: str = "", **table: object) -> Tool:
    tool = declared(name, url=f"https://api.example.com/orders{path}", **table)
    return HttpTools(Agreeing(), {}).tool(tool)


_NUMBER = {"number": {"description": "The number."}}
_LOOK = {
    **_NUMBER,
    "language": {"description": "Of the answer.", "required": False},
    "count": {"description": "How many.", "type": "integer", "required": False},
}
CONFIGURED = (
    _configured("ConfiguredLook", "/{number}?lang={language}&n={count}", parameters=_LOOK),
    _configured("ConfiguredDeed", method="POST", body={"number": "{number}"}, parameters=_NUMBER),
    _configured(
        "ConfiguredRepeatable",
        "/{number}",
        method="PUT",
        side_effect="idempotent",
        body={"from": "{call.caller}", "urgent": "{urgent}"},
        parameters={**_NUMBER, "urgent": {"description": "Now?", "type": "boolean"}},
    ),
)
"""Declared tools keep the same contract."""
EVERY = (*TOOLS, *CONFIGURED)

GARBAGE = [
    "{", "null", "[]", '"text"', "3", "{} trailing", '{"a": NaN}', '{"unknown_field": 1}',
    "[" * 100_000, '{"n": ' + "9" * 5_000 + "}", '{"a": "\ud800"}',
]  # fmt: skip

every_tool = pytest.mark.parametrize("tool", EVERY, ids=lambda tool: tool.spec.name)


def properties(schema: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name, node in schema.get("properties", {}).items():
        yield name, node
        yield from properties(node)
    if "items" in schema:
        yield from properties(schema["items"])


def caller_of(store: MemoryStore, at: float = AFTERNOON) -> CallContext:
    """A caller whose e-mail address is on file, of a use case whose events a receiver takes."""
    outbox = TableOutbox(store, lambda: at)
    outbox.receivers = (Receiver(event_bus="default", name="bus"),)
    profile = Profile(ADA, "Ada", "Example", "ada@example.com")
    return replace(call_of(store, at=at, profile=profile), outbox=outbox)


async def served() -> MemoryStore:
    """The table during a call that has placed an order and booked a tour."""
    store = await seeded()
    salad = [{"line_item": "House Salad"}]
    await told(caller_of(store), "PlaceOrderFunction", current_order=salad, order_type="pickup")
    await told(caller_of(store), "ScheduleTourFunction", **TOUR)
    return store


async def run(tool: Tool, arguments: str) -> ToolOutcome:
    toolbox = CallToolExecutor(EVERY, caller_of(await served()))
    return await toolbox.run(ToolCall("call00001", tool.spec.name, arguments))


def test_every_tool_has_an_example_here() -> None:
    assert list(FITTING) == [tool.spec.name for tool in EVERY]


@every_tool
def test_the_schema_is_one_object_that_every_model_family_reads(tool: Tool) -> None:
    """It is described throughout, and arguments are checked against it."""
    schema = json.loads(tool.spec.parameters)

    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["type"] == "object"
    assert not re.search(r'"(\$defs|\$ref|anyOf|title)"', tool.spec.parameters)
    assert re.fullmatch(r"[A-Za-z0-9_]{1,64}", tool.spec.name)
    assert tool.spec.description
    for name, node in properties(schema):
        assert node.get("description") and node.get("type"), name
    assert schema == schema_of(tool.spec.name, tool.arguments)


@every_tool
async def test_fitting_arguments_give_an_answer(tool: Tool) -> None:
    """Also with a null for each that may be left out."""
    arguments, schema = FITTING[tool.spec.name], json.loads(tool.spec.parameters)
    nulls = dict.fromkeys(schema["properties"].keys() - set(schema["required"]))
    jsonschema.validate(arguments, schema)

    for given in (arguments, {**nulls, **arguments}):
        outcome = await run(tool, json.dumps(given))

        assert not outcome.is_error, outcome.content
        assert json.loads(outcome.content)
        assert len(outcome.content) <= MAX_RESULT_CHARS


@every_tool
async def test_garbage_is_an_error_the_model_can_read(tool: Tool) -> None:
    for text in GARBAGE:
        outcome = await run(tool, text)

        assert outcome.is_error, text[:40]
        assert tool.spec.name in json.loads(outcome.content)["error"]


@every_tool
async def test_empty_arguments_are_an_empty_object(tool: Tool) -> None:
    required = json.loads(tool.spec.parameters)["required"]

    for text in ("", " ", "{}"):
        outcome = await run(tool, text)

        assert outcome.is_error == bool(required)
        assert json.loads(outcome.content).get("missing_fields", []) == required


@every_tool
async def test_values_of_a_wrong_type_are_an_error(tool: Tool) -> None:
    for name in json.loads(tool.spec.parameters)["properties"]:
        arguments = {**FITTING[tool.spec.name], name: {"unexpected": True}}

        outcome = await run(tool, json.dumps(arguments))

        assert outcome.is_error
        assert f"$.{name}" in outcome.content


@every_tool
async def test_a_repeat_changes_nothing_more(tool: Tool) -> None:
    """And a tool without side effects changes nothing at all."""
    store, once = await served(), await served()
    before = await contents(once)
    call = ToolCall("call00001", tool.spec.name, json.dumps(FITTING[tool.spec.name]))
    await CallToolExecutor(EVERY, caller_of(once)).run(call)

    toolbox = CallToolExecutor(EVERY, caller_of(store))
    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(toolbox.run(call))
    later = caller_of(store, at=caller_of(store).clock() + 600)
    await CallToolExecutor(EVERY, later).run(call)

    assert await contents(store) == await contents(once)
    if tool.spec.side_effect is SideEffect.NONE:
        assert await contents(store) == before


async def test_all_tools_run_side_by_side() -> None:
    toolbox = CallToolExecutor(EVERY, caller_of(await served()))

    async with asyncio.TaskGroup() as group:
        running = [
            group.create_task(toolbox.run(ToolCall(name, name, json.dumps(arguments))))
            for name, arguments in FITTING.items()
        ]

    assert [task.result().is_error for task in running] == [False] * len(EVERY)
