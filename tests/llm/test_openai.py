"""Chat completions, against an endpoint that refuses what the strictest server refuses."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

import pytest

from agent.call.events import ReplyFault
from agent.call.history import (
    AgentSaid,
    CallerSaid,
    Fact,
    History,
    InputMode,
    Note,
    SpeechSource,
    Summary,
    ToolUsed,
)
from agent.call.messages import (
    RESULTS_READ,
    Choice,
    ForcedTool,
    Message,
    ReplyPiece,
    ReplyRequest,
    Role,
    Stopped,
    StopReason,
    Text,
    TextPiece,
    ToolCall,
    ToolResult,
    Usage,
)
from agent.errors import ModelError
from agent.llm.openai import OpenAIClient, OpenAIModel
from agent.llm.openai.chat_request import body_of
from tests.emulators import replies
from tests.emulators.openai import OpenAIEmulator
from tests.emulators.replies import Reply, call, fail, say
from tests.llm import contract
from tests.waiting import until

ASKED = contract.request(contract.SMALL_TALK)
LIFE = contract.SIGN_OF_LIFE


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


async def answer(script: Reply, asked: ReplyRequest = ASKED) -> list[ReplyPiece]:
    """A whole reply, without its signs of life."""
    async with served(script) as (model, _):
        return contract.without_signs_of_life(await contract.pieces_of(model, asked))


async def test_words_come_as_they_are_written() -> None:
    """Then the end, then what it has cost."""
    assert await answer(say("Hello there.")) == [
        TextPiece("Hello "),
        TextPiece("there."),
        Stopped(StopReason.END),
        Usage(12, 5),
    ]


async def test_cached_tokens_are_counted_apart() -> None:
    """`input` excludes what the prompt cache gave."""
    spent = replies.Tokens(input=10, output=3, cache_read=1_024)

    pieces = await answer(say("Yes.", tokens=spent))

    assert pieces[-1] == Usage(10, 3, cache_read=1_024)


async def test_parallel_calls_keep_their_order_and_their_arguments() -> None:
    """Fragments belong together by index; a call without arguments has none."""
    pieces = await answer(
        say("One moment.") + call("menu", {"day": "today"}, id="a") + call("hours", id="b")
    )

    assert pieces[2:5] == [
        ToolCall("a", "menu", '{"day": "today"}'),
        ToolCall("b", "hours", "{}"),
        Stopped(StopReason.TOOLS),
    ]


async def test_thoughts_and_fragments_are_signs_of_life_only() -> None:
    """They are never spoken, and tell that the model is at work."""
    async with served(replies.think("Hm.") + call("menu", {"day": "today"}, id="a")) as (model, _):
        pieces = await contract.pieces_of(model, ASKED)

    assert pieces.count(LIFE) >= 4
    assert contract.said(pieces) == ""
    assert contract.calls(pieces) == [("menu", {"day": "today"})]


@pytest.mark.parametrize(
    ("reply", "stop", "calls"),
    [
        (say("Well", stop="max_tokens"), StopReason.LENGTH, 0),
        (say("Well", stop="content_filtered"), StopReason.BLOCKED, 0),
        (call("menu", '{"day": "to', stop="max_tokens"), StopReason.LENGTH, 0),
        (call("menu", '{"day": 1}', stop="max_tokens"), StopReason.LENGTH, 1),
        (call("menu", stop="content_filtered"), StopReason.BLOCKED, 0),
        (call("menu", stop="end_turn"), StopReason.TOOLS, 1),
        (call("menu", '{"day": "to'), StopReason.TOOLS, 1),
        (say("Well", stop="tool_use"), StopReason.MALFORMED, 0),
        (call(""), StopReason.MALFORMED, 0),
        (replies.empty(), StopReason.END, 0),
        (say("A") + replies.cite("Title", "source"), StopReason.END, 0),
        (say("A") + replies.unknown(is_delta=True) + replies.unknown(), StopReason.END, 0),
    ],
)
async def test_why_a_reply_ended(reply: Reply, stop: StopReason, calls: int) -> None:
    """A call that was cut is dropped; one that is complete but wrong is the tools' business."""
    pieces = await answer(reply)

    assert Stopped(stop) in pieces
    assert sum(isinstance(piece, ToolCall) for piece in pieces) == calls


@pytest.mark.parametrize(
    ("reply", "fault"),
    [
        (fail("rate_limit_exceeded"), ReplyFault.THROTTLED),
        (fail("insufficient_quota"), ReplyFault.DENIED),
        (fail("invalid_api_key"), ReplyFault.DENIED),
        (fail("permission_denied"), ReplyFault.DENIED),
        (fail("model_not_found"), ReplyFault.DENIED),
        (fail("context_length_exceeded"), ReplyFault.TOO_LONG),
        (
            fail("invalid_request_error", "This model's maximum context length is 8192 tokens."),
            ReplyFault.TOO_LONG,
        ),
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
    """Before and inside the stream; no error of the library crosses the port, none is retried."""
    async with served(reply) as (model, server):
        with pytest.raises(ModelError) as caught:
            await contract.pieces_of(model, ASKED)

        assert caught.value.fault is fault
        assert len(server.requests) == 1


async def test_server_that_is_not_there_is_unavailable() -> None:
    """Nobody listens; warming says nothing of it."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        base_url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"

        async with OpenAIClient.open(base_url=base_url) as client:
            model = OpenAIModel("openai:small", client)
            await model.warm()
            with pytest.raises(ModelError) as caught:
                await contract.pieces_of(model, ASKED)

    assert caught.value.fault is ReplyFault.UNAVAILABLE


async def test_wrong_key_is_denied() -> None:
    """The key that was configured is the one that is sent."""
    async with (
        OpenAIEmulator(say("Hi."), api_key="right") as server,
        OpenAIClient.open(base_url=server.base_url, api_key="wrong") as client,
    ):
        with pytest.raises(ModelError) as caught:
            await contract.pieces_of(OpenAIModel("openai:small", client), ASKED)

    assert caught.value.fault is ReplyFault.DENIED


async def test_connection_is_used_again() -> None:
    """A turn pays no handshake: neither after warming nor after a reply."""
    async with served(say("Hi.")) as (model, server):
        await model.warm()
        await model.warm()
        for _ in range(3):
            await contract.pieces_of(model, ASKED)

        assert server.connections == 1
        assert model.name == "openai:small"


async def test_closing_early_closes_the_stream_to_the_server() -> None:
    """An interrupt must not leave the server writing, nor a task here."""
    async with served(say("One two three four five.", gap=0.2)) as (model, server):
        before = asyncio.all_tasks()

        async with aclosing(model.reply(ASKED)) as pieces:
            await anext(pieces)
        await server.until_idle()

        assert [left.index for left in server.closed_early] == [0]
        assert contract.tasks_of_ours() <= before


async def test_cancelling_closes_the_stream_to_the_server() -> None:
    """Also while nothing has come yet."""
    async with served(replies.stall()) as (model, server):
        reading = asyncio.create_task(contract.pieces_of(model, ASKED))
        await until(lambda: bool(server.requests))
        reading.cancel()
        await asyncio.wait({reading})

        await server.until_idle()
        assert server.open_streams == 0


async def test_closing_after_the_end_loses_only_the_usage() -> None:
    """The reply is released when the model says that it is complete."""
    async with served(say("Hi.", metadata_after=5.0)) as (model, server):
        async with aclosing(model.reply(ASKED)) as pieces:
            async for piece in pieces:
                if isinstance(piece, Stopped):
                    break

        await server.until_idle()


HISTORY = (
    Message(Role.CALLER, (Text("Are you open?"),)),
    Message(Role.AGENT, (Text("Let me see."), ToolCall("tool00001", "hours", '{"day":1}'))),
    Message(
        Role.CALLER, (ToolResult("tool00001", '{"until":9}'), Text("And tomorrow?"), Text("Hello?"))
    ),
    Message(Role.AGENT, (ToolCall("tool00002", "hours", "{broken"),)),
    Message(Role.CALLER, (ToolResult("tool00002", "no", is_error=True),)),
)


async def test_history_becomes_messages_a_strict_server_accepts() -> None:
    """Results stand alone, the agent's word is between them and words; arguments are an object."""
    asked = ReplyRequest("Be kind.", HISTORY, contract.TOOLS, context="It is noon.", top_p=0.5)

    async with served(say("Yes.")) as (model, server):
        await contract.pieces_of(model, asked)
        body = server.requests[0].body

    assert body["messages"] == [
        {"role": "system", "content": "Be kind.\n\nIt is noon."},
        {"role": "user", "content": "Are you open?"},
        {
            "role": "assistant",
            "content": "Let me see.",
            "tool_calls": [
                {
                    "id": "tool00001",
                    "type": "function",
                    "function": {"name": "hours", "arguments": '{"day":1}'},
                }
            ],
        },
        {"role": "tool", "tool_call_id": "tool00001", "content": '{"until":9}'},
        {"role": "assistant", "content": RESULTS_READ},
        {"role": "user", "content": "And tomorrow?\nHello?"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {
                    "id": "tool00002",
                    "type": "function",
                    "function": {"name": "hours", "arguments": "{}"},
                }
            ],
        },
        {"role": "tool", "tool_call_id": "tool00002", "content": "no"},
    ]
    assert (body["model"], body["max_tokens"], body["top_p"]) == ("small", 300, 0.5)
    assert "temperature" not in body


@pytest.mark.parametrize(
    ("choice", "written"),
    [
        (Choice.AUTO, "auto"),
        (Choice.NONE, "none"),
        (
            ForcedTool("EndCallFunction"),
            {"type": "function", "function": {"name": "EndCallFunction"}},
        ),
    ],
)
async def test_choice_of_tools(choice: Choice | ForcedTool, written: object) -> None:
    """Every choice has a word of its own here."""
    async with served(say("Yes.")) as (model, server):
        await contract.pieces_of(model, contract.request("Hi", choice=choice))

        assert server.requests[0].body["tool_choice"] == written


def test_request_without_tools_speaks_of_none() -> None:
    """An empty list would be refused; an empty prompt too."""
    asked = ReplyRequest("", (Message(Role.CALLER, (Text("Hi"),)),), choice=Choice.NONE)

    assert body_of(asked, "small", "max_completion_tokens") == {
        "model": "small",
        "messages": [{"role": "user", "content": "Hi"}],
        "stream_options": {"include_usage": True},
        "max_completion_tokens": 300,
    }


def test_agents_words_stand_alone() -> None:
    """A turn of the agent without calls has only words."""
    asked = ReplyRequest("", (Message(Role.AGENT, (Text("Hello."),)),))

    assert body_of(asked, "small")["messages"] == [{"role": "assistant", "content": "Hello."}]


GREETED = (AgentSaid("Welcome.", SpeechSource.GREETING), CallerSaid("Are you open?"))
LOOKED = (ToolUsed(1, ToolCall("tool00001", "hours", "{}"), ToolResult("tool00001", "{}")),)
FACTS: dict[str, tuple[Fact, ...]] = {
    "an answer of which nothing was heard": (
        *(*GREETED, *LOOKED, AgentSaid("", is_cut=True)),
        CallerSaid("No, tomorrow."),
    ),
    "words while a tool runs": (
        *(*GREETED, ToolUsed(1, ToolCall("tool00001", "hours", "{}"))),
        CallerSaid("Hello?"),
    ),
    "a note after a result": (*GREETED, *LOOKED, Note("The caller hears a filler.")),
    "two calls, then keys": (
        *(*GREETED, *LOOKED),
        *(ToolUsed(1, ToolCall("tool00002", "menu", "{}")), CallerSaid("1", InputMode.KEYPAD)),
    ),
    "two rounds of calls": (
        *(*GREETED, *LOOKED),
        *(ToolUsed(2, ToolCall("tool00002", "menu", "{}")), CallerSaid("Well?")),
    ),
    "words before the calls": (
        *(*GREETED, AgentSaid("Let me see."), *LOOKED),
        *(AgentSaid("We", is_cut=True), CallerSaid("Wait."), CallerSaid("And on Monday?")),
    ),
    "a summary": (*GREETED, *LOOKED, CallerSaid("And then?"), Summary("Asked for hours.", 1)),
}


@pytest.mark.parametrize("happened", FACTS)
async def test_no_strict_server_refuses_the_order_of_roles(happened: str) -> None:
    """Whatever a call was interrupted in."""
    asked = ReplyRequest("Be kind.", History(FACTS[happened]).messages(10_000), contract.TOOLS)

    async with served(say("Yes.")) as (model, server):
        await contract.pieces_of(model, asked)

        assert server.refused == []


async def test_openai_itself_wants_the_newer_name_of_the_limit() -> None:
    """Its newer models refuse `max_tokens`."""
    async with OpenAIClient.open() as client:
        assert client.limit_field == "max_completion_tokens"
