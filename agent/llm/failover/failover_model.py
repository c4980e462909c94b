"""One answer out of several models: limits, one retry, fallbacks, hedges.

`FailoverModel` is a `LanguageModel` over other ones. Its rules are practice section 10:

1. Whatever is repeated is repeated before the first word or tool call was given out. From then on
   an error is raised as it comes: a sentence is never begun anew. The conversation apologises.
2. Who is asked next, after which fault, stands in `agent.llm.failover.attempts`.
3. A request without any event after `ModelHealth.hedge_after` gets a rival, if the budget allows:
   the next model, or the same one if none is left; once in a reply. Who first gives words
   or a call is heard; the other one is closed before they are given out. Nothing of it is seen,
   so its tools cannot run.
4. A model whose breaker is open is left out unless all are.

A race is a coroutine with a `TaskGroup` of its own, begun and ended between two pieces; no task
lives while the reply waits for its reader. Once there is a winner its stream is read directly.
Every stream is closed by the `finally` of `reply`, wherever that is left. A stream passes from the
task of its race to the reader: no adapter may hold a task group or a time-out across a `yield`.

Silence (defaults): without words the caller hears a filler after 3 s and every 5 s; a lone model
that never answers has failed after 5 s, or 6.5 s with a rival, and each fallback adds 2.5 s. The
last one in the row is waited for longer, once, if its server may have to load it first.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from dataclasses import replace

import structlog

from agent.call.events import ReplyFault
from agent.call.messages import ReplyPiece, ReplyRequest, TextPiece, Usage
from agent.errors import ModelError
from agent.llm.failover.attempts import Attempt, Candidate, Failure, Route
from agent.llm.failover.circuit_breaker import Chance, HedgeBudget
from agent.llm.timeouts import TimeLimits
from agent.ports import Count, uncounted

log = structlog.get_logger(__name__)

_THROTTLED_SECONDS = (0.1, 0.3)
"""Before a throttled model is asked again: between these."""


class FailoverModel:
    """`ports.LanguageModel` that answers if any of its models can.

    Args:
        candidates: In the order of preference; at least one. The first gives the name.
        budget: Of the process.
        count: For faults, retries, fallbacks and hedges.
        patience: How long is waited.
        chance: Spreads the retries of many calls.
    """

    def __init__(
        self,
        candidates: Sequence[Candidate],
        budget: HedgeBudget,
        count: Count = uncounted,
        patience: TimeLimits | None = None,
        chance: Chance = random.uniform,
    ) -> None:
        self._candidates = tuple(candidates)
        self._budget = budget
        self._count = count
        self._patience = patience or TimeLimits()
        self._chance = chance

    @property
    def name(self) -> str:
        """The first model's."""
        return self._candidates[0].model.name

    async def warm(self) -> None:
        """Warm the model that would be asked now, and the one that would come next."""
        for candidate in self._available()[:2]:
            candidate.health.wake()
            await candidate.model.warm()

    async def reply(self, request: ReplyRequest) -> AsyncGenerator[ReplyPiece, None]:
        """See `ports.LanguageModel`; raises the last fault when no model could answer.

        Tokens have the name of the model that answered.
        """
        attempts: list[Attempt] = []
        try:
            winner = await self._open(request, attempts)
            for loser in attempts:
                if loser is not winner:
                    await loser.close()
            async with aclosing(winner.rest()) as pieces:
                async for piece in pieces:
                    if isinstance(piece, Usage):
                        yield replace(piece, model=winner.candidate.model.name)
                    elif not (isinstance(piece, TextPiece) and not piece.text):
                        yield piece
        finally:
            for attempt in attempts:
                await attempt.close()

    async def _open(self, request: ReplyRequest, attempts: list[Attempt]) -> Attempt:
        """The attempt that has words or a call."""
        route = Route(self._available())
        self._budget.earn()
        candidate = route.take()
        if candidate is not self._candidates[0]:
            self._count("agent_llm_fallbacks_total", model=candidate.model.name)
        while True:
            raced = await self._race(candidate, request, route, attempts)
            if isinstance(raced, Attempt):
                return raced
            step = route.after(raced)
            self._count_failures(raced if step else raced[:-1])
            if step is None:
                raise raced[-1].error
            candidate = step.candidate
            if step.is_retry:
                self._count("agent_llm_retries_total", model=candidate.model.name)
            else:
                self._count("agent_llm_fallbacks_total", model=candidate.model.name)
            if step.is_pause_due:
                await asyncio.sleep(self._chance(*_THROTTLED_SECONDS))

    def _available(self) -> tuple[Candidate, ...]:
        closed = tuple(each for each in self._candidates if not each.health.is_open)
        return closed or self._candidates

    async def _race(
        self,
        candidate: Candidate,
        request: ReplyRequest,
        route: Route,
        attempts: list[Attempt],
    ) -> Attempt | list[Failure]:
        """Ask a model, and a rival if it is late: the first that has words, or why none has."""
        racing: dict[asyncio.Task[ModelError | None], Attempt] = {}
        failures: list[Failure] = []

        async with asyncio.TaskGroup() as tasks:

            def ask(who: Candidate) -> Attempt:
                is_last = not route.has_more
                attempt = Attempt(who, request, self._patience, may_load=is_last)
                attempts.append(attempt)
                racing[tasks.create_task(attempt.begin(), name="attempt")] = attempt
                return attempt

            first = ask(candidate)
            await asyncio.wait(racing, timeout=candidate.health.hedge_after)
            may_rival = route.may_rival and (route.has_more or not candidate.health.is_cold)
            if first.is_silent and may_rival and self._budget.spend():
                self._count("agent_llm_hedges_total", outcome="started")
                ask(route.take_rival(candidate))
            while racing:
                done, _ = await asyncio.wait(racing, return_when=asyncio.FIRST_COMPLETED)
                for task in [each for each in racing if each in done]:
                    attempt, error = racing.pop(task), task.result()
                    if error is None:
                        self._count_failures(failures)
                        self._settle(attempt, first, racing)
                        return attempt
                    self._note(attempt.candidate, error)
                    failures.append(Failure(attempt.candidate, error))
        return failures

    def _settle(
        self,
        winner: Attempt,
        first: Attempt,
        losing: dict[asyncio.Task[ModelError | None], Attempt],
    ) -> None:
        """End the race: who is still running has lost."""
        if winner is not first:
            self._count("agent_llm_hedges_total", outcome="won")
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

    def _count_failures(self, failures: Iterable[Failure]) -> None:
        """Tell of faults the caller will not hear of; of the last one the session tells."""
        for failure in failures:
            model, fault = failure.candidate.model.name, failure.error.fault
            self._count("agent_llm_errors_total", model=model, kind=fault)
