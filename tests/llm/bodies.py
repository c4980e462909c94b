"""Answers of servers that imitate OpenAI, byte for byte, and a server that gives them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from agent.call.messages import ReplyPiece, ToolSpec
from agent.llm.openai import OpenAIClient, OpenAIModel
from tests.llm import contract
from tests.llm.eventstream import on_loopback

Json = dict[str, Any]

NAMES = ("menu", "hours", "get_weather")
TOOLS = tuple(ToolSpec(name, "Looks.", '{"type":"object"}') for name in NAMES)
ASKED = contract.request(contract.SMALL_TALK, tools=TOOLS)
DONE = b"data: [DONE]\n\n"


def event(value: object) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def chunk(delta: object, finish_reason: object = None, **more: object) -> bytes:
    """A chunk with one choice."""
    return event(
        {"choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}], **more}
    )


def words(content: object) -> bytes:
    return chunk({"content": content})


def stop(reason: object = "stop") -> bytes:
    return chunk({}, reason)


def calls(*entries: object) -> bytes:
    """A delta with fragments of calls."""
    return chunk({"tool_calls": list(entries)})


def part(
    name: object = None,
    arguments: object = None,
    *,
    index: object = None,
    id: object = None,  # noqa: A002 - the wire's own word
) -> Json:
    """A fragment of a call, with the fields that are given."""
    fields = {"name": name, "arguments": arguments}
    function = {key: value for key, value in fields.items() if value is not None}
    marks = {"index": index, "id": id}
    given = {key: value for key, value in marks.items() if value is not None}
    return {**given, "type": "function", "function": function}


class RawServer:
    """Answers each request with `body`."""

    def __init__(self) -> None:
        self.body = b""
        self.headers = {"Content-Type": "text/event-stream"}
        self.status = 200
        self.requests: list[Json] = []

    async def answer(self, request: web.Request) -> web.Response:
        self.requests.append(await request.json())
        return web.Response(body=self.body, headers=self.headers, status=self.status)


@asynccontextmanager
async def raw_server() -> AsyncIterator[tuple[RawServer, OpenAIModel]]:
    """A server on a loopback port, and a model that asks it."""
    server = RawServer()
    async with (
        on_loopback(server.answer) as url,
        OpenAIClient.open(base_url=f"{url}/v1") as client,
    ):
        yield server, OpenAIModel("openai:small", client)


async def pieces_of(body: bytes) -> list[ReplyPiece]:
    """The reply that a body is read as, without its signs of life."""
    async with raw_server() as (server, model):
        server.body = body
        return contract.without_signs_of_life(await contract.pieces_of(model, ASKED))
