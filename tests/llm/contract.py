"""The contract of every language model, as functions over any model; see `test_contract`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from contextlib import aclosing

from agent.call.messages import (
    Choice,
    Message,
    ReplyPiece,
    ReplyRequest,
    Role,
    Stopped,
    Text,
    TextPiece,
    ToolCall,
    ToolChoice,
    ToolSpec,
    Usage,
)
from agent.ports import LanguageModel

SIGN_OF_LIFE = TextPiece("")
SMALL_TALK = "hello, how are you?"
ASKS_FOR_A_PERSON = "can i talk to a human please"
TOOLS = (
    ToolSpec("LiveAgentHandoffFunction", "Passes the call to a person.", '{"type":"object"}'),
    ToolSpec("EndCallFunction", "Ends the call.", '{"type":"object"}'),
)


def request(
    text: str, *, tools: tuple[ToolSpec, ...] = TOOLS, choice: ToolChoice = Choice.AUTO
) -> ReplyRequest:
    """A first turn of a caller."""
    message = Message(Role.CALLER, (Text(text),))
    return ReplyRequest("Today is March 05, 2026.", (message,), tools, choice)


async def pieces_of(model: LanguageModel, asked: ReplyRequest) -> list[ReplyPiece]:
    """A whole reply."""
    async with aclosing(model.reply(asked)) as reply:
        return [piece async for pieces in reply for piece in pieces]


def without_signs_of_life(pieces: Iterable[ReplyPiece]) -> list[ReplyPiece]:
    """A reply without the pieces that only show that the stream has not stalled."""
    return [piece for piece in pieces if piece != SIGN_OF_LIFE]


def said(pieces: list[ReplyPiece]) -> str:
    return "".join(piece.text for piece in pieces if isinstance(piece, TextPiece))


def calls(pieces: list[ReplyPiece]) -> list[tuple[str, dict[str, object]]]:
    """Tool calls with parsed arguments; each must be a JSON object."""
    found = [piece for piece in pieces if isinstance(piece, ToolCall)]
    parsed = [(call.name, json.loads(call.arguments)) for call in found]
    assert all(isinstance(arguments, dict) for _, arguments in parsed)
    return parsed


def assert_well_formed(pieces: list[ReplyPiece], asked: ReplyRequest) -> None:
    """Pieces, exactly one `Stopped`, then at most one `Usage`; only tools that were offered."""
    stops = [position for position, piece in enumerate(pieces) if isinstance(piece, Stopped)]
    assert len(stops) == 1
    after = pieces[stops[0] + 1 :]
    assert len(after) <= 1
    assert all(isinstance(piece, Usage) for piece in after)
    names = {tool.name for tool in asked.tools}
    assert all(name in names for name, _ in calls(pieces))
    assert said(pieces).strip() or calls(pieces)


async def tasks_left_after_closing(model: LanguageModel, asked: ReplyRequest) -> int:
    """Take one piece, close, and count tasks that were not there before."""
    before = tasks_of_ours()
    async with aclosing(model.reply(asked)) as reply:
        await anext(reply)
    return len(tasks_of_ours() - before)


def tasks_of_ours() -> set[asyncio.Task[object]]:
    """All tasks but those of a server in this process, which live with its connections."""
    return {task for task in asyncio.all_tasks() if "RequestHandler" not in repr(task.get_coro())}
