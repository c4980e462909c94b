"""Models that follow scripts, behind one `FailoverModel`, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

from agent.call.messages import ReplyPiece, StopReason
from agent.errors import ModelError
from agent.llm.failover import Candidate, FailoverModel, HedgeBudget, ModelCircuit
from agent.usecases.model_times import USUAL_LIMITS, TimeLimits
from tests.fakes import Counted
from tests.llm import contract
from tests.scripted import ScriptedModel, Step

T = TypeVar("T")

ASKED = contract.request("Hello?")
END = StopReason.END
WELL: Sequence[Step] = ["Well.", END]
_LINES = {
    "agent_llm_errors_total": "{model} failed: {kind}",
    "agent_llm_retries_total": "{model} retried",
    "agent_llm_fallbacks_total": "fell back to {model}",
    "agent_llm_hedges_total": "hedge {outcome}",
    "agent_llm_breaker_open": "{model} {state}",
}


class Bench:
    """Up to three models, the first with these limits; `loads`: those of a server that loads."""

    def __init__(
        self,
        *scripts: Sequence[Sequence[Step]],
        hedges: float = 0.0,
        loads: bool = False,
        limits: TimeLimits = USUAL_LIMITS,
    ) -> None:
        names = ("first", "second", "third")
        pairs = zip(names, scripts, strict=False)
        self.models = [ScriptedModel(script, name) for name, script in pairs]
        self.counted = Counted()
        self.circuits = [
            ModelCircuit(model.name, self.counted, may_load=loads) for model in self.models
        ]
        candidates = [
            Candidate(model, circuit, limits=limits if model.name == "first" else USUAL_LIMITS)
            for model, circuit in zip(self.models, self.circuits, strict=True)
        ]
        self.model = FailoverModel(
            candidates,
            HedgeBudget(hedges),
            self.counted,
            chance=lambda low, high: (low + high) / 2,
        )
        self.took: list[float] = []  # seconds until the end of each reply

    @property
    def asked(self) -> list[int]:
        return [len(model.requests) for model in self.models]

    @property
    def counts(self) -> list[str]:
        """What was counted of faults, in order, one line each."""
        return [
            _LINES[metric].format(**labels, state="open" if amount else "closed")
            for metric, amount, labels in self.counted.seen
            if metric in _LINES
        ]

    @property
    def streams(self) -> dict[str, float]:
        """The open streams of each model that has any."""
        streams = self.counted.by("model", "agent_llm_streams_open")
        return {model: count for model, count in streams.items() if count}

    async def pieces(self) -> list[ReplyPiece]:
        """One reply, after which no stream is left open."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            return await contract.pieces_of(self.model, ASKED)
        finally:
            self.took.append(round(loop.time() - began, 3))
            assert not any(model.open_streams for model in self.models)
            assert self.streams == {}

    async def say(self) -> str:
        """The words of one reply, or its fault."""
        try:
            return contract.said(await self.pieces())
        except ModelError as error:
            return error.fault.value

    async def watched(self, work: Coroutine[Any, Any, T]) -> T:
        """With the probes in the background."""
        pairs = zip(self.models, self.circuits, strict=True)
        watching = [
            asyncio.create_task(circuit.probe(model, lambda *_: 1.0)) for model, circuit in pairs
        ]
        try:
            return await work
        finally:
            for task in watching:
                task.cancel()
            await asyncio.wait(watching)
