"""The offline model: answers from the script of a use case, without account, network or chance.

It takes the place of a language model when somebody tries the service in a terminal, and in tests.
It understands only what its script lists and says so when it does not; `agent.llm.offline` has the
language and the engine. It keeps no state: the same request always gives the same reply, and the
caller's words are read anew each time. Rejected: replaying recorded replies. They fit one
conversation and no other, and say nothing about tools.

It summarises no call: asked for that, it says nothing, and an extract of the facts stands in when
the room is needed (`agent.call.summarization`). The script does not read that either.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator
from datetime import date

from agent.call.messages import (
    Message,
    ReplyPiece,
    ReplyRequest,
    Stopped,
    StopReason,
    TextPiece,
    ToolCall,
    ToolResult,
    Usage,
)
from agent.call.summarization import SUMMARIZE
from agent.llm.offline.dialogue import Answer, Dialogue
from agent.llm.offline.rules import load

OFFLINE_NOTICE = (
    "This is the offline model: a script that recognises some sentences, not a language model."
)
"""For whoever starts a conversation with it."""

NO_SCRIPT = """{
  "rules": [{"when": ["tool", "result.message"], "say": "{result.message}"}],
  "fallback": [
    "I am a script, and for this agent I have no lines. A language model would answer you here.",
    "I have no lines for this agent. Only a language model can answer you."
  ],
  "trouble": ["That did not work."],
  "done": ["That is done."]
}"""
"""For a use case that has none: it says so, and tells what a tool has answered."""
_WORD = re.compile(r"\S+\s*")
_LONG = 500
"""Characters of a message; shorter ones take no time to read."""


class OfflineModel:
    """`ports.LanguageModel` by script; deterministic, and never raises once it is built.

    Args:
        script_json: The script. Raises `UseCaseError` if it is broken.
        name: For metrics.
        today: The day it is when the system prompt does not say.
        seconds_per_piece: Pause before each piece of a reply, to speak at a human pace.
    """

    def __init__(
        self,
        script_json: str,
        *,
        name: str = "offline:",
        today: date | None = None,
        seconds_per_piece: float = 0.0,
    ) -> None:
        self._rules = load(script_json)
        self._name = name
        self._today = today
        self._seconds_per_piece = seconds_per_piece

    @property
    def name(self) -> str:
        """Always the same for a model, whatever its script."""
        return self._name

    async def warm(self) -> None:
        """Nothing to connect to."""

    async def reply(self, request: ReplyRequest) -> AsyncGenerator[ReplyPiece, None]:
        """Stream the one answer to this request, word by word, then the tool call if there is one.

        Between pieces it gives way, so that an interrupt gets in. Words count as tokens.
        """
        answer = await self._answer(request)
        for piece in _pieces(answer, len(request.messages)):
            await asyncio.sleep(self._seconds_per_piece)
            yield piece
        written = answer.text.split() + answer.arguments.split() * bool(answer.call)
        yield Usage(_words_in(request), len(written))

    async def _answer(self, request: ReplyRequest) -> Answer:
        """Give way after each long message, so that a long call does not hold the others up."""
        if request.system == SUMMARIZE:
            return Answer("")
        dialogue = Dialogue(self._rules, request, self._today)
        for message in request.messages:
            dialogue.read(message)
            if sum(map(len, _texts(message))) > _LONG:
                await asyncio.sleep(0)
        return dialogue.answer()


def _pieces(answer: Answer, message_count: int) -> list[ReplyPiece]:
    pieces: list[ReplyPiece] = [TextPiece(word) for word in _WORD.findall(answer.text)]
    if not answer.call:
        return [*pieces, Stopped(StopReason.END)]
    call = ToolCall(f"offline-{message_count}", answer.call, answer.arguments)
    return [*pieces, call, Stopped(StopReason.TOOLS)]


def _words_in(request: ReplyRequest) -> int:
    told = (request.system, request.context)
    texts = [*told, *(text for each in request.messages for text in _texts(each))]
    return sum(len(text.split()) for text in texts)


def _texts(message: Message) -> list[str]:
    return [
        part.arguments
        if isinstance(part, ToolCall)
        else part.content
        if isinstance(part, ToolResult)
        else part.text
        for part in message.parts
    ]
