"""Who is asked next: the way of one reply through the models.

Each model is asked once, in order; one of them may be asked a second time, once in a reply.

    fault                   same model again              next model
    UNAVAILABLE, TIMEOUT    at once, first choice         second choice
    THROTTLED               after 100-300 ms, if last     first choice
    INTERNAL, TOO_LONG      no                            yes
    DENIED                  no; its breaker opens         yes
    REFUSED                 no                            yes; what one refuses another may take

One request to one model, from its start to its end: what is waited for, and how long.

A *sign of life* is any piece, also a `TextPiece` without text: adapters give one for each event
that brings no words (a role, a thought, part of a call's arguments), so that a long call is not
taken for a stall. `ResilientModel` keeps those without text to itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable
from dataclasses import dataclass

from agent.call.events import ReplyFault
from agent.call.messages import ReplyPiece, ReplyRequest, Stopped, TextPiece, ToolCall
from agent.errors import ModelError
from agent.llm.failover.circuit_breaker import ModelCircuit
from agent.llm.timeouts import StreamDeadline, TimeLimits
from agent.ports import LanguageModel

_AGAIN_AT_ONCE = frozenset({ReplyFault.UNAVAILABLE, ReplyFault.TIMEOUT})


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model that may answer, and what is known of it."""

    model: LanguageModel
    health: ModelCircuit


@dataclass(frozen=True, slots=True)
class Failure:
    """Who was asked, and why there is no answer."""

    candidate: Candidate
    error: ModelError


@dataclass(frozen=True, slots=True)
class RouteStep:
    """Who is asked next."""

    candidate: Candidate
    is_retry: bool = False
    is_pause_due: bool = False


class Route:
    """The way of one reply through the models."""

    def __init__(self, candidates: Iterable[Candidate]) -> None:
        self._unasked = list(candidates)
        self._may_ask_again = True
        self.may_rival = True
        """No rival was started yet."""

    @property
    def has_more(self) -> bool:
        """There is a model that was not asked."""
        return bool(self._unasked)

    def take(self) -> Candidate:
        """The next model that was not asked; there must be one."""
        return self._unasked.pop(0)

    def take_rival(self, candidate: Candidate) -> Candidate:
        """Who is asked beside this one."""
        self.may_rival = False
        return self.take() if self._unasked else candidate

    def after(self, failures: Iterable[Failure]) -> RouteStep | None:
        """What to do when all that were asked have failed; None = nothing."""
        steps = (self._after(each.candidate, each.error.fault) for each in failures)
        return next((step for step in steps if step is not None), None)

    def _after(self, candidate: Candidate, fault: ReplyFault) -> RouteStep | None:
        if fault in _AGAIN_AT_ONCE and self._may_ask_again:
            self._may_ask_again = False
            return RouteStep(candidate, is_retry=True)
        if self._unasked:
            return RouteStep(self.take())
        if fault is ReplyFault.THROTTLED and self._may_ask_again:
            self._may_ask_again = False
            return RouteStep(candidate, is_retry=True, is_pause_due=True)
        return None


class Attempt:
    """One request to one model, from its start to its end.

    Args:
        candidate: The model.
        request: What it is asked.
        patience: How long is waited for it.
        may_load: Whether to wait longer for a model that may have to be loaded.
    """

    def __init__(
        self, candidate: Candidate, request: ReplyRequest, patience: TimeLimits, *, may_load: bool
    ) -> None:
        self.candidate = candidate
        self.is_silent = True
        """There was no sign of life yet, nor an end."""
        self._patience = patience
        self._may_load = may_load
        self._started = asyncio.get_running_loop().time()
        self._stream = candidate.model.reply(request)
        self._timeouts = StreamDeadline()
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
                piece = await self._next(self._patience.gap)
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
            self.candidate.health.wake()  # a server gives up loading when the last one leaves
        self._timeouts.close()
        await self._stream.aclose()

    async def _first_of_interest(self) -> ReplyPiece:
        longest = self.candidate.health.longest_wait
        limit = longest if self._may_load else self._patience.first_event
        while (piece := await self._next(limit)) is not None:
            if self.is_silent:
                self.is_silent = False
                now = asyncio.get_running_loop().time()
                self.candidate.health.began(now - self._started)
                limit = self._patience.gap
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
