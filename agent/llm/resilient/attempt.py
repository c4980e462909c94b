"""One request to one model, from its start to its end: what is waited for, and how long.

A *sign of life* is any piece, also a `TextPiece` without text: adapters give one for each event
that brings no words (a role, a thought, part of a call's arguments), so that a long call is not
taken for a stall. `ResilientModel` keeps those without text to itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from agent.conversation.events import ReplyFault
from agent.conversation.messages import ReplyPiece, ReplyRequest, Stopped, TextPiece, ToolCall
from agent.llm.resilient.route import Candidate
from agent.llm.timeouts import Timeouts
from agent.ports import ModelError


@dataclass(frozen=True, slots=True)
class ReplyLimits:
    """How long is waited, in seconds (practice section 23)."""

    first_event: float = 2.5
    between_events: float = 4.0
    throttled: tuple[float, float] = (0.1, 0.3)
    """Before a throttled model is asked again: between these."""


class Attempt:
    """One request to one model, from its start to its end."""

    def __init__(
        self, candidate: Candidate, request: ReplyRequest, limits: ReplyLimits, now: float
    ) -> None:
        self.candidate = candidate
        self.is_silent = True
        """There was no sign of life yet, nor an end."""
        self._limits = limits
        self._started = now
        self._stream = candidate.model.reply(request)
        self._timeouts = Timeouts()
        self._first: ReplyPiece | None = None
        self._is_open = True
        candidate.health.asked(with_tools=bool(request.tools))

    async def begin(self) -> ModelError | None:
        """Read up to the first words, call or end; the fault if none came."""
        try:
            self._first = await self._first_of_interest()
        except ModelError as error:
            return error
        finally:
            self.is_silent = False
        return None

    async def rest(self) -> AsyncGenerator[ReplyPiece, None]:
        """The reply from its first words on. What follows its end may fail unnoticed."""
        piece, has_stopped = self._first, False
        try:
            while piece is not None:
                yield piece
                has_stopped = has_stopped or isinstance(piece, Stopped)
                piece = await self._next(self._limits.between_events)
        except ModelError as error:
            if has_stopped:
                return
            self.candidate.health.failed(error.fault)
            raise
        if not has_stopped:
            self.candidate.health.failed(ReplyFault.UNAVAILABLE)

    async def close(self) -> None:
        """Close the stream to the provider; harmless if it is closed."""
        if self._is_open:
            self._is_open = False
            self.candidate.health.left()
        self._timeouts.close()
        await self._stream.aclose()

    async def _first_of_interest(self) -> ReplyPiece:
        limit = self._limits.first_event
        while (piece := await self._next(limit)) is not None:
            if self.is_silent:
                self.is_silent = False
                now = asyncio.get_running_loop().time()
                self.candidate.health.began(now - self._started)
                limit = self._limits.between_events
            if _tells(piece):
                return piece
        raise ModelError(ReplyFault.UNAVAILABLE, "the stream ended before it began")

    async def _next(self, seconds: float) -> ReplyPiece | None:
        try:
            with self._timeouts.at(asyncio.get_running_loop().time() + seconds):
                return await anext(self._stream, None)
        except TimeoutError as error:
            raise ModelError(ReplyFault.TIMEOUT, f"nothing for {seconds} s") from error


def _tells(piece: ReplyPiece) -> bool:
    """Whether what came is an answer, or the end of one, and not only a sign of life."""
    match piece:
        case TextPiece(text):
            return bool(text.strip())
        case ToolCall() | Stopped():
            return True
        case _:
            return False
