"""Servers that break the protocol: usable parts are used, nothing raises."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from agent.call.actions import ToolOutcome
from agent.call.messages import ToolCall
from agent.errors import AgentError, ToolError
from agent.store.memory import MemoryStore
from agent.tools import CallToolExecutor, ToolSource
from agent.tools.mcp import open_sources
from agent.tools.mcp.mcp_config import McpServerConfig
from agent.tools.mcp.mcp_connection import RAW, McpConnection, carried, connect
from agent.tools.mcp.mcp_tools import (
    McpResult,
    ServerUnavailableError,
    offered_tools,
    read_listed,
    read_result,
)
from tests.fakes import Counted
from tests.fuzzing import FEW_RUNS, RUNS
from tests.tools.mcp_servers import written
from tests.tools.raw_mcp_server import TOOL, Raw, RawPeer, Script, raw_peering, refused, result
from tests.tools.worlds import call_of

pytestmark = pytest.mark.needs("time")

BOOKED = {"content": [{"type": "text", "text": "Booked, number 7."}]}
BYTE_ORDER_MARK = "\ufeff"


@pytest.fixture
async def peer() -> AsyncIterator[RawPeer]:
    async with raw_peering() as running:
        yield running


@asynccontextmanager
async def connected(folder: Path, peer: RawPeer) -> AsyncIterator[ToolSource]:
    async with open_sources(written(folder, shop={"url": peer.url}), Counted()) as (source,):
        assert source.is_up
        yield source


def calls_of(source: ToolSource) -> CallToolExecutor:
    """The tools of one call, with an idempotency store of its own."""
    return CallToolExecutor(source.tools.values(), call_of(MemoryStore()))


async def book(toolbox: CallToolExecutor, **arguments: object) -> ToolOutcome:
    return await toolbox.run(ToolCall("call00001", "shop__book", json.dumps(arguments)))


def refused_with(code: int, message: str) -> Script:
    error = {"jsonrpc": "2.0", "id": None, "error": {"code": code, "message": message}}
    return refused(400, json.dumps(error), "application/json")


WORDS = "guests must be a number"
WITH_WORDS = refused_with(-32602, WORDS)
NO_SUCH_SESSION = refused_with(-32000, "No session")


@pytest.mark.parametrize(
    ("answer", "proves_that_nothing_was_done"),
    [
        (refused(400), True),
        (refused(401), True),
        (refused(403, "<html>no</html>", "text/html"), True),
        (refused(429, '{"error": "slow down"}', "application/json"), True),
        (refused(503, "busy"), True),
        (NO_SUCH_SESSION, True),
        (WITH_WORDS, True),
        (refused(409, "[", "application/json"), True),
        (refused(422, "data: {}\n\n", "text/event-stream"), True),
        (refused(500), False),
        (refused(502, "bad gateway"), False),
        (refused(504), False),
        (refused(408), False),
        (lambda _: Raw(b"{"), False),
    ],
)
async def test_booking_is_repeated_only_if_a_refusal_proves_that_nothing_was_done(
    tmp_path: Path, peer: RawPeer, answer: Script, proves_that_nothing_was_done: bool
) -> None:
    async with connected(tmp_path, peer) as source:
        toolbox = calls_of(source)
        peer.answers = answer
        first = await book(toolbox)
        peer.answers = result(BOOKED)
        second = await book(toolbox)

    assert first.is_error
    assert second.is_error is not proves_that_nothing_was_done
    assert len(peer.calls) == (2 if proves_that_nothing_was_done else 1)
    if proves_that_nothing_was_done:
        reason = WORDS if answer is WITH_WORDS else "nothing was done"
        assert reason in first.content
        assert json.loads(second.content) == {"result": "Booked, number 7."}


async def test_session_that_is_over_is_opened_again_once_and_each_call_made_once(
    tmp_path: Path, peer: RawPeer
) -> None:
    peer.answers = result(BOOKED)
    async with connected(tmp_path, peer) as source:
        offered = source.tools.keys()
        peer.sessions.clear()
        outcomes = [await book(calls_of(source)) for _ in range(10)]
        kept, is_up = source.tools.keys(), source.is_up

    told = [json.loads(outcome.content) for outcome in outcomes]
    assert told == [{"result": "Booked, number 7."}] * 10
    assert (len(peer.calls), peer.opened) == (10, 2)
    assert kept == offered and is_up


async def test_server_that_ends_every_session_is_not_asked_for_ever(
    tmp_path: Path, peer: RawPeer
) -> None:
    async with connected(tmp_path, peer) as source:
        peer.answers = refused(404)
        told = await book(calls_of(source))

    assert told.is_error
    assert "again later" in told.content or "cannot be reached" in told.content
    assert len(peer.calls) <= 2


async def test_malformed_tools_are_left_out_and_all_others_offered(
    tmp_path: Path, peer: RawPeer
) -> None:
    peer.lists = result(
        {
            "tools": [
                None,
                "tool",
                {"name": 7, "inputSchema": {"type": "object"}},
                {"inputSchema": {"type": "object"}},
                {"name": "listed", "inputSchema": []},
                {"name": "odd", "inputSchema": {"type": "object"}, "description": 5,
                 "annotations": {"readOnlyHint": "yes"}, "icons": "none", "outputSchema": 1},
                {"name": "bare"},
                {"name": "untyped", "inputSchema": {}},
                TOOL,
            ],
            "nextCursor": 4,
        }
    )  # fmt: skip
    peer.answers = result(BOOKED)
    with capture_logs() as logs:
        async with connected(tmp_path, peer) as source:
            tools = sorted(source.tools)
            told = await book(calls_of(source))
    remarks = [one["remark"] for one in logs if one["event"] == "tool_source.tool_left_out"]

    assert tools == ["shop__bare", "shop__book", "shop__odd", "shop__untyped"]
    assert remarks == ["a tool that it lists cannot be read, left out"]
    assert not told.is_error


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ({"content": [{"type": "video", "url": "x"}, *BOOKED["content"]]},
         "[video, not included]\nBooked, number 7."),
        ({"content": [None, 5, *BOOKED["content"]]},
         "[something unknown, not included]\nBooked, number 7."),
        ({"content": [{"text": "Booked, number 7."}]}, "Booked, number 7."),
        ({"content": {"type": "text", "text": "Booked, number 7."}}, "Booked, number 7."),
        ({"content": "Booked, number 7."}, "Booked, number 7."),
        ({"content": [{"type": "text", "text": "Booked, number 7.", "annotations": "none"}]},
         "Booked, number 7."),
        ({**BOOKED, "isError": "false"}, "Booked, number 7."),
        ({**BOOKED, "_meta": 7}, "Booked, number 7."),
        ({"structuredContent": ["Booked", 7]}, ["Booked", 7]),
        ({}, "done"),
    ],
)  # fmt: skip
async def test_what_was_done_is_told_beside_malformed_parts(
    tmp_path: Path, peer: RawPeer, answer: object, told: object
) -> None:
    peer.answers = result(answer)
    async with connected(tmp_path, peer) as source:
        outcome = await book(calls_of(source))

    assert json.loads(outcome.content) == {"result": told}


async def test_unnamed_arguments_reach_the_server_and_byte_order_marks_are_no_fault(
    tmp_path: Path, peer: RawPeer
) -> None:
    schema = {"type": "object", "properties": {"rest": {"type": "string"}},
              "additionalProperties": True}  # fmt: skip
    peer.lists = result({"tools": [{**TOOL, "inputSchema": schema}]}, prefix=BYTE_ORDER_MARK)
    peer.answers = result(BOOKED, prefix=BYTE_ORDER_MARK)
    async with connected(tmp_path, peer) as source:
        outcome = await book(calls_of(source), rest="a", guests=2, **{"*": [1]})

    assert json.loads(outcome.content) == {"result": "Booked, number 7."}
    assert peer.calls[0]["arguments"] == {"rest": "a", "guests": 2, "*": [1]}


_NAMES = st.sampled_from([
    "tools", "name", "inputSchema", "description", "annotations", "type", "properties", "items",
    "additionalProperties", "anyOf", "enum", "required", "$ref", "content", "text", "isError",
    "structuredContent", "resource", "mimeType", "nextCursor", "_meta", "resultType", "ttlMs",
]) | st.text(max_size=4)  # fmt: skip
"""Names of members, mostly meaningful ones."""
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_NAMES, inner, max_size=5),
    max_leaves=12,
)


@settings(max_examples=RUNS)
@given(st.dictionaries(_NAMES, JSON, max_size=6), st.sampled_from(["tools/list", "tools/call"]))
@example(
    {"tools": [{"name": "a", "inputSchema": {"properties": {"x": {"$ref": "#"}}}}]}, "tools/list"
)
def test_no_answer_of_a_server_is_more_than_it_can_be(answer: dict[str, Any], method: str) -> None:
    async def ask(_: str, __: object) -> McpResult:
        return read

    given_to_library = carried(method, answer)
    read = read_result(answer)
    tools = answer.get("tools")
    listed = [one for one in map(read_listed, tools if isinstance(tools, list) else []) if one]
    offered, remarks = offered_tools(
        "shop", McpServerConfig(url="https://example.com"), listed, ask
    )

    assert given_to_library["_meta"][RAW] is answer
    assert len(offered) + len(remarks) <= len(listed)
    assert all(json.loads(tool.spec.parameters)["type"] == "object" for tool in offered.values())


class Wire:
    """A connection to a raw peer on its own loop; reopened after it broke."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner()
        self._stack = AsyncExitStack()
        self._peer: RawPeer | None = None
        self._connection: McpConnection | None = None
        self._owner: asyncio.Task[None] | None = None

    def ask(self, script: Script, seconds: float = 0.5) -> McpResult | AgentError:
        """The outcome of a call with this answer, which is waited for so long."""
        return self._runner.run(self._ask(script, seconds))

    async def _ask(self, script: Script, seconds: float) -> McpResult | AgentError:
        if self._peer is None:
            self._peer = await self._stack.enter_async_context(raw_peering())
        if self._owner is None or self._owner.done():
            opened = asyncio.Event()
            self._owner = asyncio.create_task(self._own(self._peer.url, opened))
            await opened.wait()
        self._peer.answers = script
        assert self._connection is not None
        try:
            return await self._connection.call("book", {}, seconds)
        except (ServerUnavailableError, ToolError) as error:
            return error

    async def _own(self, url: str, opened: asyncio.Event) -> None:
        async with connect(McpServerConfig(url=url)) as self._connection:
            opened.set()
            await asyncio.Event().wait()

    def close(self) -> None:
        async def leave() -> None:
            if self._owner is not None:
                self._owner.cancel()
                await asyncio.wait([self._owner])
            await self._stack.aclose()

        self._runner.run(leave())
        self._runner.close()


@pytest.fixture(scope="module")
def wire() -> Iterator[Wire]:
    """Shared by all examples, because a handshake takes longer than a call."""
    opened = Wire()
    yield opened
    opened.close()


@settings(max_examples=FEW_RUNS)
@given(
    st.binary(max_size=64).map(lambda body: lambda _: body)
    | JSON.map(lambda value: lambda _: json.dumps(value).encode())
    | st.dictionaries(_NAMES, JSON, max_size=6).map(
        lambda value: lambda id_: result(value)(id_).body
    ),
    st.sampled_from([200, 200, 200, 202, 204, 301, 400, 404, 429, 500, 503]),
    st.sampled_from(["application/json", "text/event-stream", "text/html", ""]),
)
def test_no_bytes_of_a_server_raise_anything_but_our_errors(
    wire: Wire, body: Callable[[Any], bytes], status: int, media_type: str
) -> None:
    is_refusal = status in {400, 404, 429, 503}
    seconds = 30.0 if is_refusal else 0.5  # some of the others are no answer at all
    told = wire.ask(lambda number: Raw(body(number), status, media_type), seconds)

    assert isinstance(told, McpResult | ServerUnavailableError | ToolError)
    if is_refusal:
        assert isinstance(told, ToolError)
