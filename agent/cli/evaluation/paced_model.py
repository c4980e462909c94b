"""A model at the speed of a run's timing, or one that a scenario scripts."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from agent.call.messages import (
    ReplyPiece,
    ReplyRequest,
    Stopped,
    StopReason,
    TextPiece,
    ToolCall,
    Usage,
)
from agent.ports import LanguageModel, Pause, no_pause
from agent.scenarios.scenario import Scenario
from agent.scenarios.timing import ORDINARY, CallTiming


@dataclass(slots=True)
class Pace:
    """What the present call is, for all models of it."""

    is_virtual: bool
    """Time is virtual: models answer as fast as the timing says."""
    scenario: Scenario | None = None
    timing: CallTiming = ORDINARY
    used: int = 0
    """Tokens so far, read and written."""
    asked: int = 0
    """Requests so far."""

    def begin(self, scenario: Scenario, of_call: CallTiming) -> None:
        self.scenario, self.timing, self.used, self.asked = scenario, of_call, 0, 0


class WrappedModel:
    """What a `ports.LanguageModel` around another one leaves to it."""

    def __init__(self, model: LanguageModel) -> None:
        self._model = model

    @property
    def name(self) -> str:
        return self._model.name

    async def warm(self) -> None:
        await self._model.warm()


class PacedModel(WrappedModel):
    """`ports.LanguageModel` around another one."""

    def __init__(self, model: LanguageModel, pace: Pace) -> None:
        super().__init__(model)
        self._pace = pace

    async def reply(
        self, request: ReplyRequest, pause: Pause = no_pause
    ) -> AsyncGenerator[Sequence[ReplyPiece], None]:
        pace = self._pace
        pace.asked += 1
        script = pace.scenario.replies if pace.scenario else ()
        pieces = _scripted(script, pace.asked) if script else self._model.reply(request, pause)
        wait = pace.timing.first_token
        async with aclosing(pieces):
            async for batch in pieces:
                if pace.is_virtual:
                    await asyncio.sleep(wait)
                    wait = pace.timing.token
                pace.used += sum(_tokens(piece) for piece in batch if isinstance(piece, Usage))
                yield batch


async def _scripted(
    replies: Sequence[Sequence[object]], number: int
) -> AsyncGenerator[Sequence[ReplyPiece], None]:
    """The reply of this number, the last one for ever, word by word."""
    reply = replies[min(number, len(replies)) - 1]
    calls = [step for step in reply if isinstance(step, Mapping)]
    for step in reply:
        if isinstance(step, Mapping):
            arguments = json.dumps(step.get("arguments", {}), ensure_ascii=False)
            yield [ToolCall(f"scripted{number}", str(step["tool"]), arguments)]
        elif isinstance(step, float):
            await asyncio.sleep(step)
        else:
            for word in str(step).split(" "):
                yield [TextPiece(f"{word} ")]
    yield [Stopped(StopReason.TOOLS if calls else StopReason.END)]


def _tokens(usage: Usage) -> int:
    return usage.input + usage.output + usage.cache_read + usage.cache_write
