"""Chat completions, against an endpoint that refuses what the strictest server refuses."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

import pytest

from agent.call.events import ReplyFault
from agent.call.messages import (
    RESULTS_READ,
    Choice,
    Message,
    ReplyRequest,
    Role,
    Text,
    ToolCall,
    ToolResult,
)
from agent.errors import ModelError
from agent.llm.openai import OpenAIClient, OpenAIModel
from agent.llm.openai.chat_request import body_of
from tests.emulators import replies
from tests.emulators.openai import OpenAIEmulator
from tests.emulators.replies import Reply, fail, say
from tests.llm import contract
from tests.waiting import until

ASKED = contract.request(contract.SMALL_TALK)


@asynccontextmanager
async def served(
    script: Reply, api_key: str = ""
) -> AsyncIterator[tuple[OpenAIModel, OpenAIEmulator]]:
    """A model and the server it talks to."""
    async with (
        OpenAIEmulator(script, api_key=api_key) as server,
        OpenAIClient.open(base_url=server.base_url, api_key=api_key) as client,
    ):
        yield OpenAIModel("openai:small", client), server


@pytest.mark.parametrize(
    ("reply", "fault"),
    [
        (fail("rate_limit_exceeded"), ReplyFault.THROTTLED),
        (fail("insufficient_quota"), ReplyFault.DENIED),
        (fail("invalid_api_key"), ReplyFault.DENIED),
        (fail("permission_denied"), ReplyFault.DENIED),
        (fail("model_not_found"), ReplyFault.DENIED),
        (fail("context_length_exceeded"), ReplyFault.TOO_LONG),
        (fail("invalid_request_error", "maximum context length is 8 tokens"), ReplyFault.TOO_LONG),
        (fail("invalid_request_error"), ReplyFault.REFUSED),
        (fail("invalid_request_error", status=422), ReplyFault.REFUSED),
        (fail("server_error"), ReplyFault.UNAVAILABLE),
        (fail("overloaded"), ReplyFault.UNAVAILABLE),
        (fail("server_error", status=408), ReplyFault.TIMEOUT),
        (fail("rate_limit_exceeded", in_stream=True), ReplyFault.THROTTLED),
        (say("Well, ") + fail("server_error"), ReplyFault.UNAVAILABLE),
        (say("Well, ") + replies.drop(), ReplyFault.UNAVAILABLE),
        (say("Well, ") + replies.cut(), ReplyFault.UNAVAILABLE),
        (say("Well, ") + replies.truncate(), ReplyFault.UNAVAILABLE),
        (say("Well, ") + replies.garble(), ReplyFault.UNAVAILABLE),
        (replies.drop(), ReplyFault.UNAVAILABLE),
    ],
)
async def test_each_error_has_its_fault(reply: Reply, fault: ReplyFault) -> None:
    """No library exception crosses the port, and nothing is repeated."""
    async with served(reply) as (model, server):
        with pytest.raises(ModelError) as caught:
            await contract.pieces_of(model, ASKED)

        assert caught.value.fault is fault
        assert len(server.requests) == 1


async def test_server_that_is_not_there_is_unavailable() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        base_url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"

        async with OpenAIClient.open(base_url=base_url) as client:
            model = OpenAIModel("openai:small", client)
            await model.warm()
            with pytest.raises(ModelError) as caught:
                await contract.pieces_of(model, ASKED)

    assert caught.value.fault is ReplyFault.UNAVAILABLE


async def test_connection_is_used_again() -> None:
    async with served(say("Hi.")) as (model, server):
        await model.warm()
        await model.warm()
        for _ in range(3):
            await contract.pieces_of(model, ASKED)

        assert server.connections == 1
        assert model.name == "openai:small"


async def test_closing_early_closes_the_stream_to_the_server() -> None:
    async with served(say("One two three four five.", gap=0.2)) as (model, server):
        before = asyncio.all_tasks()

        async with aclosing(model.reply(ASKED)) as reply:
            await anext(reply)
        await server.until_idle()

        assert [left.index for left in server.closed_early] == [0]
        assert contract.tasks_of_ours() <= before


async def test_cancelling_closes_the_stream_to_the_server() -> None:
    async with served(replies.stall()) as (model, server):
        reading = asyncio.create_task(contract.pieces_of(model, ASKED))
        await until(lambda: bool(server.requests))
        reading.cancel()
        await asyncio.wait({reading})

        await server.until_idle()
        assert server.open_streams == 0


HISTORY = (
    Message(Role.CALLER, (Text("Are you open?"),)),
    Message(Role.AGENT, (Text("Let me see."), ToolCall("tool00001", "hours", '{"day":1}'))),
    Message(
        Role.CALLER, (ToolResult("tool00001", '{"until":9}'), Text("And tomorrow?"), Text("Hello?"))
    ),
    Message(Role.AGENT, (ToolCall("tool00002", "hours", "{broken"),)),
    Message(Role.CALLER, (ToolResult("tool00002", "no", is_error=True),)),
)


def calling(words: str | None, call_id: str, arguments: str) -> dict[str, object]:
    function = {"name": "hours", "arguments": arguments}
    call = {"id": call_id, "type": "function", "function": function}
    return {"role": "assistant", "content": words, "tool_calls": [call]}


async def test_history_becomes_messages_a_strict_server_accepts() -> None:
    asked = ReplyRequest("Be kind.", HISTORY, contract.TOOLS, context="It is noon.", top_p=0.5)

    async with served(say("Yes.")) as (model, server):
        await contract.pieces_of(model, asked)
        body = server.requests[0].body

    assert body["messages"] == [
        {"role": "system", "content": "Be kind.\n\nIt is noon."},
        {"role": "user", "content": "Are you open?"},
        calling("Let me see.", "tool00001", '{"day":1}'),
        {"role": "tool", "tool_call_id": "tool00001", "content": '{"until":9}'},
        {"role": "assistant", "content": RESULTS_READ},
        {"role": "user", "content": "And tomorrow?\nHello?"},
        calling(None, "tool00002", "{}"),
        {"role": "tool", "tool_call_id": "tool00002", "content": "no"},
    ]
    assert (body["model"], body["max_tokens"], body["top_p"]) == ("small", 300, 0.5)
    assert "temperature" not in body


def test_request_without_tools_speaks_of_none() -> None:
    asked = ReplyRequest("", (Message(Role.CALLER, (Text("Hi"),)),), choice=Choice.NONE)

    assert body_of(asked, "small", "max_completion_tokens") == {
        "model": "small",
        "messages": [{"role": "user", "content": "Hi"}],
        "stream_options": {"include_usage": True},
        "max_completion_tokens": 300,
    }


async def test_openai_itself_wants_the_newer_name_of_the_limit() -> None:
    async with OpenAIClient.open() as client:
        assert client.limit_field == "max_completion_tokens"


async def test_what_arrives_in_a_pause_is_read_without_another() -> None:
    """Each token is a chunk of its own, and one pause for each would hold a fast model up."""
    pauses: list[float] = []

    def pause() -> float:
        pauses.append(0.01)
        return pauses[-1]

    words = [f"{number} " for number in range(200)]
    async with (
        served(say(words)) as (model, _),
        aclosing(model.reply(ASKED, pause)) as reply,
    ):
        pieces = [piece async for batch in reply for piece in batch]

    assert contract.said(pieces) == "".join(words)
    assert len(pauses) < 20
