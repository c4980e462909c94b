"""Tools of a configuration tell events: declared requests, those of MCP servers, and Python."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Annotated, Any

import msgspec
import pytest
from msgspec import Meta

from agent.call.actions import ToolOutcome
from agent.call.messages import SideEffect, ToolCall
from agent.ports import Store
from agent.store.memory import MemoryStore
from agent.tools import CallContext, CallToolExecutor, HttpTools, Tool, ToolEvent, tool
from agent.tools.http.http_messages import HttpResponse
from agent.tools.http.outbound_http import HttpRequest
from agent.tools.idempotency import Plan, Result
from agent.tools.mcp.mcp_config import McpServerConfig
from agent.tools.mcp.mcp_tools import ListedTool, McpResult, offered_tools
from agent.usecases.host_allowlist import HostAllowlist
from tests.tools.builtin.test_told_events import FACTS, payloads, telling
from tests.tools.failing_processes import DEATHS, DiedError, Fate, Mortal, mortal_store
from tests.tools.http.stand_in import declared

EVENT = ToolEvent(
    "custom.table_reserved", {"reservation": "/id", "seats": "/seats"}, {"guest": "/guest/name"}
)
ANSWER: dict[str, object] = {"id": "R7", "seats": 4, "guest": {"name": "Ada"}, "note": "window"}
DECLARED: dict[str, Any] = {
    "url": "https://tables.example.com/reservations",
    "method": "POST",
    "body": {"seats": "{seats}"},
    "parameters": {"seats": {"description": "How many.", "type": "integer"}},
    "event": msgspec.to_builtins(EVENT),
}


class Tables:
    """The system behind the tools; it gives this answer and counts what was done."""

    def __init__(self, answer: object = ANSWER, status: int = 200) -> None:
        self.answer, self.status, self.done = answer, status, 0
        self.hosts = HostAllowlist.read("tables.example.com")

    async def send(self, _: HttpRequest, __: float) -> HttpResponse:
        self.done += self.status < 400
        body = json.dumps(self.answer).encode()
        return HttpResponse(self.status, "application/json", body=body)

    async def call_tool(self, _: str, __: Mapping[str, object]) -> McpResult:
        self.done += 1
        return McpResult(self.answer, is_error=self.status >= 400)

    async def perform(self, _: Plan) -> Result:
        self.done += 1
        return dict(ANSWER)


def by_http(tables: Tables, **more: object) -> Tool:
    return HttpTools(tables, {}).tool(declared("Reserve", **{**DECLARED, **more}))


def by_mcp(tables: Tables) -> Tool:
    tools, _ = offered_by_mcp(tables, is_read_only=False)
    return tools["shop__Reserve"]


def offered_by_mcp(tables: Tables, *, is_read_only: bool) -> tuple[dict[str, Tool], list[str]]:
    schema = {"type": "object", "properties": {"seats": {"type": "integer"}}}
    listed = ListedTool("Reserve", "Reserves.", schema, is_read_only, is_idempotent=False)
    config = McpServerConfig(url="http://127.0.0.1/mcp", events={"Reserve": EVENT})
    return offered_tools("shop", config, [listed], tables.call_tool)


def by_python(tables: Tables) -> Tool:
    @tool("Reserve", side_effect=SideEffect.ONCE)
    async def reserve(
        call: CallContext, seats: Annotated[int, Meta(description="How many.")]
    ) -> Result:
        """Reserve a table."""
        return await call.idempotency.once(
            "table",
            [seats],
            {},
            tables.perform,
            repeatable=False,
            beside=call.telling("Reserve", EVENT),
        )

    return reserve


WAYS = [by_http, by_mcp, by_python]


async def run(made: Tool, store: Store, seats: int = 4) -> ToolOutcome:
    """Run the tool in a process of its own."""
    call = ToolCall("call00001", made.spec.name, json.dumps({"seats": seats}))
    return await CallToolExecutor([made], telling(store)).run(call)


@pytest.mark.parametrize("way", WAYS)
async def test_a_tool_tells_the_named_values_of_its_result_once(
    way: Callable[[Tables], Tool],
) -> None:
    tables, store = Tables(), MemoryStore()
    made = way(tables)

    for _ in range(2):
        await run(made, store)

    assert tables.done == 1
    told = {"event": "table_reserved", "tool": made.spec.name}
    values = {"fields": {"reservation": "R7", "seats": 4}, "personalFields": {"guest": "Ada"}}
    assert await payloads(store) == [("custom.table_reserved", {**FACTS, **told, **values})]


@pytest.mark.parametrize("way", WAYS)
async def test_two_runs_with_an_effect_each_tell_two_events(way: Callable[[Tables], Tool]) -> None:
    store, made = MemoryStore(), way(Tables())

    for seats in (2, 4):
        await run(made, store, seats)

    assert [kind for kind, _ in await payloads(store)] == ["custom.table_reserved"] * 2
    items = await store.query(FACTS["call"], "event::")
    assert len({item["eventId"] for item in items}) == 2


@pytest.mark.parametrize("touch", range(3))
@pytest.mark.parametrize("fate", DEATHS)
@pytest.mark.parametrize("way", WAYS)
async def test_the_event_is_written_in_the_same_step_as_the_outcome(
    way: Callable[[Tables], Tool], touch: int, fate: Fate
) -> None:
    """A process that dies at any moment has told of an outcome if and only if it is stored."""
    store, made = MemoryStore(), way(Tables())

    with suppress(DiedError):  # it has no touch with the last numbers
        await run(made, mortal_store(store, Mortal({touch: fate})))

    done = [
        item for item in await store.query(FACTS["call"], "effect::") if item["state"] == "done"
    ]
    assert len(await payloads(store)) == len(done)


@pytest.mark.parametrize("way", [by_http, by_mcp])
async def test_a_run_that_has_failed_tells_nothing(way: Callable[[Tables], Tool]) -> None:
    store = MemoryStore()

    outcome = await run(way(Tables({"error": "full"}, status=409)), store)

    assert outcome.is_error
    assert await payloads(store) == []


@pytest.mark.parametrize("way", [by_http, by_mcp])
@pytest.mark.parametrize("answer", ["done", [1], {"other": 1}])
async def test_values_that_are_not_there_are_left_out(
    way: Callable[[Tables], Tool], answer: object
) -> None:
    store = MemoryStore()

    await run(way(Tables(answer)), store)

    [(kind, data)] = await payloads(store)
    assert kind == "custom.table_reserved"
    assert "fields" not in data
    assert "personalFields" not in data


async def test_a_booking_of_your_own_system_is_told_as_one() -> None:
    store = MemoryStore()
    booking = {"kind": "booking.made", "fields": {"booking": "/id", "seats": "/seats"}}

    await run(by_http(Tables(), event=booking), store)

    appointment = {"seats": "4"}
    assert await payloads(store) == [
        ("booking.made", {**FACTS, "booking": "R7", "appointment": appointment})
    ]


def test_a_tool_of_a_server_that_only_reads_has_no_event() -> None:
    tools, remarks = offered_by_mcp(Tables(), is_read_only=True)

    assert tools == {}
    assert remarks == ["shop__Reserve: events: needs a tool with a side effect, left out"]
