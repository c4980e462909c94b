"""One answer out of several models: limits, one retry, fallbacks, hedges.

`ResilientModel` is a `LanguageModel` over other ones. Its rules are practice section 10:

1. Whatever is repeated is repeated before the first word or tool call was given out. From then on
   an error is raised as it comes: a sentence is never begun anew. The conversation apologises.
2. Each model is asked once, in order; one of them may be asked a second time, once in a reply.
3. What follows a fault is this table:

    fault                   same model again              next model
    UNAVAILABLE, TIMEOUT    at once, first choice         second choice
    THROTTLED               after 100-300 ms, if last     first choice
    INTERNAL, TOO_LONG      no                            yes
    DENIED                  no; its breaker opens         yes
    REFUSED                 no                            once in a reply

4. A request without any event after `ModelHealth.hedge_after` gets a rival, if the budget allows:
   the next model, or the same one if none is left; once in a reply. Who first gives words
   or a call is heard; the other one is closed before they are given out. Nothing of it is seen,
   so its tools cannot run.
5. A model whose breaker is open is left out unless all are.

A *sign of life* is any piece, also a `TextPiece` without text: adapters give one for each event
that brings no words (a role, a thought, part of a call's arguments), so that a long call is not
taken for a stall. They end here.

A race is a coroutine with a `TaskGroup` of its own, begun and ended between two pieces; no task
lives while the reply waits for its reader. Once there is a winner its stream is read directly.
Every stream is closed by the `finally` of `reply`, wherever that is left. A stream passes from the
task of its race to the reader: no adapter may hold a task group or a time-out across a `yield`.

Silence (defaults): without words the caller hears a filler after 3 s and every 5 s; a lone model
that never answers has failed after 5 s, or 6.5 s with a rival, and each fallback adds 2.5 s.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass

import structlog

from agent.conversation.events import ReplyFault
from agent.conversation.messages import ReplyPiece, ReplyRequest, Stopped, TextPiece, ToolCall
from agent.llm.resilient_health import (
    Chance,
    HedgeBudget,
    ModelEvents,
    ModelHealth,
    Uncounted,
)
from agent.ports import LanguageModel, ModelError

log = structlog.get_logger(__name__)

_AGAIN_AT_ONCE = frozenset({ReplyFault.UNAVAILABLE, ReplyFault.TIMEOUT})


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model that may answer, and what is known of it."""

    model: LanguageModel
    health: ModelHealth


@dataclass(frozen=True, slots=True)
class ReplyLimits:
    """How long is waited, in seconds (practice section 23)."""

    first_event: float = 2.5
    between_events: float = 4.0
    throttled: tuple[float, float] = (0.1, 0.3)
    """Before a throttled model is asked again: between these."""


class ResilientModel:
    """`ports.LanguageModel` that answers if any of its models can.

    Args:
        candidates: In the order of preference; at least one. The first gives the name.
        budget: Of the process.
        events: Told of all that went wrong and was made good.
        limits: How long is waited.
        chance: Spreads the retries of many calls.
    """

    def __init__(
        self,
        candidates: Sequence[Candidate],
        budget: HedgeBudget,
        events: ModelEvents | None = None,
        limits: ReplyLimits | None = None,
        chance: Chance = random.uniform,
    ) -> None:
        self._candidates = tuple(candidates)
        self._budget = budget
        self._events = events or Uncounted()
        self._limits = limits or ReplyLimits()
        self._chance = chance

    @property
    def name(self) -> str:
        """The first model's."""
        return self._candidates[0].model.name

    async def warm(self) -> None:
        """Warm the model that would be asked now, and the one that would come next."""
        for candidate in self._available()[:2]:
            await candidate.model.warm()

    async def reply(self, request: ReplyRequest) -> AsyncGenerator[ReplyPiece, None]:
        """See `ports.LanguageModel`; raises the last fault when no model could answer."""
        attempts: list[_Attempt] = []
        try:
            winner = await self._open(request, attempts)
            for loser in attempts:
                if loser is not winner:
                    await loser.close()
            async with aclosing(winner.rest()) as pieces:
                async for piece in pieces:
                    if piece != TextPiece(""):
                        yield piece
        finally:
            for attempt in attempts:
                await attempt.close()

    async def _open(self, request: ReplyRequest, attempts: list[_Attempt]) -> _Attempt:
        """The attempt that has words or a call."""
        route = _Route(self._available())
        self._budget.earn()
        candidate = route.take()
        if candidate is not self._candidates[0]:
            self._events.fell_back(candidate.model.name)
        while True:
            raced = await self._race(candidate, request, route, attempts)
            if isinstance(raced, _Attempt):
                return raced
            step = route.after(raced)
            self._count(raced if step else raced[:-1])
            if step is None:
                raise raced[-1].error
            candidate = step.candidate
            note = self._events.retried if step.is_retry else self._events.fell_back
            note(candidate.model.name)
            if step.is_pause_due:
                await asyncio.sleep(self._chance(*self._limits.throttled))

    def _available(self) -> tuple[Candidate, ...]:
        closed = tuple(each for each in self._candidates if not each.health.is_open)
        return closed or self._candidates

    async def _race(
        self,
        candidate: Candidate,
        request: ReplyRequest,
        route: _Route,
        attempts: list[_Attempt],
    ) -> _Attempt | list[_Failure]:
        """Ask a model, and a rival if it is late: the first that has words, or why none has."""
        loop = asyncio.get_running_loop()
        racing: dict[asyncio.Task[ModelError | None], _Attempt] = {}
        failures: list[_Failure] = []

        async with asyncio.TaskGroup() as tasks:

            def ask(who: Candidate) -> _Attempt:
                attempt = _Attempt(who, request, self._limits, loop.time())
                attempts.append(attempt)
                racing[tasks.create_task(attempt.begin(), name="attempt")] = attempt
                return attempt

            first = ask(candidate)
            await asyncio.wait(racing, timeout=candidate.health.hedge_after)
            if first.is_silent and route.may_rival and self._budget.spend():
                self._events.hedged("started")
                ask(route.take_rival(candidate))
            while racing:
                done, _ = await asyncio.wait(racing, return_when=asyncio.FIRST_COMPLETED)
                for task in [each for each in racing if each in done]:
                    attempt, error = racing.pop(task), task.result()
                    if error is None:
                        self._count(failures)
                        self._settle(attempt, first, racing)
                        return attempt
                    self._note(attempt.candidate, error)
                    failures.append(_Failure(attempt.candidate, error))
        return failures

    def _settle(
        self,
        winner: _Attempt,
        first: _Attempt,
        losing: dict[asyncio.Task[ModelError | None], _Attempt],
    ) -> None:
        """End the race: who is still running has lost."""
        if winner is not first:
            self._events.hedged("won")
        for task, loser in losing.items():
            task.cancel()
            if loser is first and loser.is_silent:
                loser.candidate.health.overtaken()

    def _note(self, candidate: Candidate, error: ModelError) -> None:
        candidate.health.failed(error.fault)
        if error.fault is ReplyFault.THROTTLED:
            self._budget.pause()
        log.warning(
            "model.failed", model=candidate.model.name, fault=error.fault, pii_detail=str(error)
        )

    def _count(self, failures: Iterable[_Failure]) -> None:
        """Tell of faults the caller will not hear of; of the last one the session tells."""
        for failure in failures:
            self._events.failed(failure.candidate.model.name, failure.error.fault)


@dataclass(frozen=True, slots=True)
class _Failure:
    candidate: Candidate
    error: ModelError


@dataclass(frozen=True, slots=True)
class _Step:
    """Who is asked next."""

    candidate: Candidate
    is_retry: bool = False
    is_pause_due: bool = False


class _Route:
    """The way of one reply through the models."""

    def __init__(self, candidates: Iterable[Candidate]) -> None:
        self._unasked = list(candidates)
        self._may_ask_again = True
        self._was_refused = False
        self.may_rival = True
        """No rival was started yet."""

    def take(self) -> Candidate:
        """The next model that was not asked; there must be one."""
        return self._unasked.pop(0)

    def take_rival(self, candidate: Candidate) -> Candidate:
        """Who is asked beside this one."""
        self.may_rival = False
        return self.take() if self._unasked else candidate

    def after(self, failures: Iterable[_Failure]) -> _Step | None:
        """What to do when all that were asked have failed; None = nothing."""
        steps = (self._after(each.candidate, each.error.fault) for each in failures)
        return next((step for step in steps if step is not None), None)

    def _after(self, candidate: Candidate, fault: ReplyFault) -> _Step | None:
        if fault in _AGAIN_AT_ONCE and self._may_ask_again:
            self._may_ask_again = False
            return _Step(candidate, is_retry=True)
        if fault is ReplyFault.REFUSED:
            if self._was_refused:
                return None
            self._was_refused = True
        if self._unasked:
            return _Step(self.take())
        if fault is ReplyFault.THROTTLED and self._may_ask_again:
            self._may_ask_again = False
            return _Step(candidate, is_retry=True, is_pause_due=True)
        return None


class _Attempt:
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
        self._first: ReplyPiece | None = None

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
            async with asyncio.timeout(seconds):
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
