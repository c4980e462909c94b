"""One reply out of several models: time limits, one retry, fallbacks, hedges.

`FailoverModel` is a `LanguageModel` over other ones. Its rules:

1. Requests are repeated only before the first text or tool call was given out. Afterwards an error
   is raised as it comes, as a sentence must not begin again.
2. Each model is asked once, in order; one of them may be asked again, once in a reply:

       fault                   same model again              next model
       UNAVAILABLE, TIMEOUT    at once, first choice         second choice
       THROTTLED               after 100-300 ms, if last     first choice
       INTERNAL, TOO_LONG      no                            yes
       DENIED                  no; its circuit opens         yes
       REFUSED                 no                            yes, another may accept the request

3. A request without any event after `ModelCircuit.hedge_after` gets a hedge, if the budget allows,
   once in a reply: the next model, or the same one if none is left. The first that gives text or a
   call wins; the others are closed unseen, so that their tools cannot run.
4. A model with an open circuit is left out unless all circuits are open.
5. A piece without text only shows that a stream has not stalled (a role, a thought, a part of a
   call's arguments). Such pieces are not given out.

The stream of the winner passes from the task of its race to the reader: no adapter may hold a task
group or a timeout across a `yield`. All streams are closed by the `finally` of `reply`.

A single model that never answers fails after 5 s, or 6.5 s with a hedge; each fallback adds 2.5 s.
Each model has limits of its own, and the whole reply that of the first choice.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import dropwhile
from typing import Self

import structlog

from agent.call.events import ReplyFault
from agent.call.messages import ReplyPiece, ReplyRequest, Stopped, TextPiece, Usage
from agent.errors import ModelError
from agent.llm.failover.circuit_breaker import Chance, HedgeBudget, ModelCircuit
from agent.llm.reasoning import ReasoningHabits, ThoughtFilter
from agent.llm.timeouts import StreamDeadline
from agent.ports import Count, LanguageModel, Pause, no_pause, uncounted
from agent.usecases.model_times import USUAL_LIMITS, TimeLimits

__all__ = ["Candidate", "FailoverModel", "HedgeBudget", "ModelCircuit"]

log = structlog.get_logger(__name__)

_RETRIED_AT_ONCE = frozenset({ReplyFault.UNAVAILABLE, ReplyFault.TIMEOUT})
_THROTTLED_SECONDS = (0.1, 0.3)  # shortest and longest pause before it is asked again


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model that may answer; with `habits` its thoughts that have only an end are left out."""

    model: LanguageModel
    circuit: ModelCircuit
    habits: ReasoningHabits | None = None
    limits: TimeLimits = USUAL_LIMITS


class FailoverModel:
    """`ports.LanguageModel` over candidates in the order of preference; at least one.

    The usage has the name of the model that answered. If none did, the error of the model that was
    asked first is raised.
    """

    def __init__(
        self,
        candidates: Sequence[Candidate],
        budget: HedgeBudget,
        count: Count = uncounted,
        chance: Chance = random.uniform,
    ) -> None:
        self.name = candidates[0].model.name
        self._candidates = tuple(candidates)
        self._budget = budget
        self._count = count
        self._chance = chance

    async def warm(self) -> None:
        for candidate in self._available()[:2]:
            candidate.circuit.wake()
            await candidate.model.warm()

    async def reply(
        self, request: ReplyRequest, pause: Pause = no_pause
    ) -> AsyncGenerator[Sequence[ReplyPiece], None]:
        attempts: list[_Attempt] = []
        try:
            limit = asyncio.get_running_loop().time() + self._candidates[0].limits.reply
            route = _Route(self._available(), request, pause, limit)
            winner = await self._winner(route, attempts)
            for loser in attempts:
                if loser is not winner:
                    await loser.close()
            pieces: list[ReplyPiece] | None = winner.first
            while pieces is not None:
                if pieces:
                    yield pieces
                pieces = await winner.next()
        finally:
            for attempt in attempts:
                await attempt.close()

    async def _winner(self, route: _Route, attempts: list[_Attempt]) -> _Attempt:
        self._budget.earn()
        candidate, raised = route.unasked.pop(0), None
        if candidate is not self._candidates[0]:
            self._count("agent_llm_fallbacks_total", model=candidate.model.name)
        try:
            while True:
                raced = await self._race(candidate, route, attempts)
                if isinstance(raced, _Attempt):
                    return raced
                if (step := route.after(raced)) is None:
                    raised = attempts[0]
                    raise raised.error
                candidate, repeated = step
                if repeated is None:
                    self._count("agent_llm_fallbacks_total", model=candidate.model.name)
                else:
                    self._count("agent_llm_retries_total", model=candidate.model.name)
                    if repeated.error.fault is ReplyFault.THROTTLED:
                        await asyncio.sleep(self._chance(*_THROTTLED_SECONDS))
        finally:
            self._count_failures(each for each in route.failed if each is not raised)

    def _available(self) -> tuple[Candidate, ...]:
        closed = tuple(each for each in self._candidates if not each.circuit.is_open)
        return closed or self._candidates

    async def _race(
        self, candidate: Candidate, route: _Route, attempts: list[_Attempt]
    ) -> _Attempt | list[_Attempt]:
        racing: list[asyncio.Task[_Attempt]] = []
        failed: list[_Attempt] = []

        async with asyncio.TaskGroup() as tasks:

            def ask(asked: Candidate) -> _Attempt:
                attempt = _Attempt(asked, route)
                attempts.append(attempt)
                racing.append(tasks.create_task(attempt.begin(), name="attempt"))
                return attempt

            first = ask(candidate)
            await asyncio.wait(racing, timeout=candidate.circuit.hedge_after(candidate.limits))
            may_hedge = route.may_hedge and (route.unasked or not candidate.circuit.is_cold)
            if first.is_silent and may_hedge and self._budget.spend():
                self._count("agent_llm_hedges_total", outcome="started")
                route.may_hedge = False
                ask(route.unasked.pop(0) if route.unasked else candidate)
            while racing:
                done = {task for task in racing if task.done()}
                if not done:  # most replies have begun by now, and each wait is two more wakings
                    done, _ = await asyncio.wait(racing, return_when=asyncio.FIRST_COMPLETED)
                for attempt in [task.result() for task in racing if task in done]:
                    if attempt.first:
                        self._end_race(attempt, first, racing)
                        return attempt
                    self._note(attempt)
                    failed.append(attempt)
                    route.failed.append(attempt)
                racing = [task for task in racing if task not in done]
        return failed

    def _end_race(
        self, winner: _Attempt, first: _Attempt, racing: list[asyncio.Task[_Attempt]]
    ) -> None:
        for task in racing:
            task.cancel()
        if winner is not first:
            self._count("agent_llm_hedges_total", outcome="won")
            if first.is_silent:
                first.candidate.circuit.overtaken()

    def _note(self, failed: _Attempt) -> None:
        name, fault = failed.candidate.model.name, failed.error.fault
        if not failed.ran_out:
            failed.candidate.circuit.failed(fault)
        if fault is ReplyFault.THROTTLED:
            self._budget.pause()
        error = failed.error
        log.warning(
            "llm.request_failed",
            model=name,
            fault=fault,
            reason=str(error),
            pii_detail=error.detail,
        )

    def _count_failures(self, failed: Iterable[_Attempt]) -> None:
        """Count errors that the caller does not notice; the session counts an error it gets."""
        for each in failed:
            model, fault = each.candidate.model.name, each.error.fault
            self._count("agent_llm_errors_total", model=model, kind=fault)


class _Route:
    def __init__(
        self, candidates: Iterable[Candidate], request: ReplyRequest, pause: Pause, limit: float
    ) -> None:
        self.request = request
        self.pause = pause
        self.limit = limit  # of the whole reply, on the loop's clock
        self.unasked = list(candidates)
        self.failed: list[_Attempt] = []
        self.may_hedge = True
        self._may_retry = True

    def after(self, failed: Iterable[_Attempt]) -> tuple[Candidate, _Attempt | None] | None:
        """The next model after a race, and the attempt that it repeats; None = there is none."""
        if asyncio.get_running_loop().time() >= self.limit:
            return None
        for each in failed:
            fault = each.error.fault
            is_last = fault is ReplyFault.THROTTLED and not self.unasked
            if self._may_retry and (fault in _RETRIED_AT_ONCE or is_last):
                self._may_retry = False
                return each.candidate, each
            if self.unasked:
                return self.unasked.pop(0), None
        return None


class _Attempt:
    def __init__(self, candidate: Candidate, route: _Route) -> None:
        self.candidate = candidate
        self.ran_out = False  # of the time for the whole reply; not a fault of this model alone
        self.is_silent = True  # the stream has neither begun nor ended
        self.first: list[ReplyPiece] = []  # from the first text, call or end; else see `error`
        self.error = ModelError(ReplyFault.UNAVAILABLE, "the stream ended before it began")
        self._limits = candidate.limits
        self._reply_limit = route.limit
        self._may_load = not route.unasked
        self._started = asyncio.get_running_loop().time()
        self._stream = candidate.model.reply(route.request, route.pause)
        habits = candidate.habits
        self._thoughts = ThoughtFilter(habits) if habits is not None else None
        self._deadline = StreamDeadline()
        self._has_stopped = False
        self._is_open = True
        candidate.circuit.stream_opened(with_tools=bool(route.request.tools))

    async def begin(self) -> Self:
        longest = self.candidate.circuit.longest_wait(self._limits)
        limit = longest if self._may_load else self._limits.first_event
        try:
            while not self.first and (pieces := await self._read(limit)) is not None:
                if self.is_silent:
                    self.is_silent, limit = False, self._limits.gap
                    now = asyncio.get_running_loop().time()
                    self.candidate.circuit.stream_began(now - self._started, self._limits)
                self.first = list(dropwhile(_is_blank, pieces))
        except ModelError as error:
            self.error = error
        finally:
            self.is_silent = False
        return self

    async def next(self) -> list[ReplyPiece] | None:
        """The next pieces, perhaps none; None at the end, which an error after `Stopped` is too."""
        try:
            pieces = await self._read(self._limits.gap)
        except ModelError as error:
            if self._has_stopped:
                return None
            if not self.ran_out:
                self.candidate.circuit.failed(error.fault)
            raise
        if pieces is None and not self._has_stopped:
            self.candidate.circuit.failed(ReplyFault.UNAVAILABLE)
        return pieces

    async def close(self) -> None:
        """Close the stream to the provider; may be called twice."""
        if self._is_open:
            self._is_open = False
            self.candidate.circuit.stream_closed()
            self.candidate.circuit.wake()  # a server stops loading when the last client leaves
        self._deadline.close()
        await self._stream.aclose()

    async def _read(self, seconds: float) -> list[ReplyPiece] | None:
        limit = min(asyncio.get_running_loop().time() + seconds, self._reply_limit)
        try:
            with self._deadline.at(limit):
                pieces = await anext(self._stream, None)
        except TimeoutError as error:
            name, self.ran_out = self.candidate.model.name, limit == self._reply_limit
            what = "no whole reply in time" if self.ran_out else f"nothing for {seconds:g} s"
            raise ModelError(ReplyFault.TIMEOUT, f"{name}: {what}") from error
        return None if pieces is None else self._given_out(pieces)

    def _given_out(self, pieces: Sequence[ReplyPiece]) -> list[ReplyPiece]:
        """Without thoughts and signs of life, and with adjacent texts as one."""
        given: list[ReplyPiece] = []
        whole = _joined(pieces)
        for piece in whole if self._thoughts is None else self._thoughts.filtered(whole):
            if isinstance(piece, TextPiece):
                if piece.text:
                    given.append(piece)
            elif isinstance(piece, Usage):
                given.append(replace(piece, model=self.candidate.model.name))
            else:
                self._has_stopped = self._has_stopped or isinstance(piece, Stopped)
                given.append(piece)
        return given


def _joined(pieces: Sequence[ReplyPiece]) -> Sequence[ReplyPiece]:
    if len(pieces) == 1:
        return pieces
    joined: list[ReplyPiece] = []
    texts: list[str] = []
    for piece in pieces:
        if isinstance(piece, TextPiece) and not piece.is_thought:
            texts.append(piece.text)
            continue
        if texts:
            joined.append(TextPiece("".join(texts)))
            texts.clear()
        joined.append(piece)
    if texts:
        joined.append(TextPiece("".join(texts)))
    return joined


def _is_blank(piece: ReplyPiece) -> bool:
    """Whether a reply may still begin anew after this piece."""
    return isinstance(piece, Usage) or (isinstance(piece, TextPiece) and not piece.text.strip())
