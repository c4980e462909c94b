"""One turn of a call: its activities, and where its time goes.

A turn is in exactly one stage at a time, so stage durations are disjoint and add up to the turn.
Rejected: differences between time stamps of steps, which break when a reply that called tools is
asked again. All times are seconds on the clock of the call.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum

from agent.call.events import Event
from agent.call.messages import StopReason


class Stage(StrEnum):
    """What a turn is waiting for, until its first text is written and from then on."""

    HOLD = "hold"  # words or keys received that may not be all: more are waited for
    PREPARE = "prepare"  # all received, nothing asked yet: a look at edits, our own code
    MODEL = "model"  # the model was asked and has given nothing
    TOOL = "tool"  # a tool runs, and no reply
    PHRASE = "phrase"  # the model writes or has written, and nothing is spoken yet
    SPEECH = "speech"  # the model writes and we speak
    MODEL_AGAIN = "model_again"
    TOOL_AGAIN = "tool_again"
    CLOSING = "closing"  # all replies are there and the last frame is not written


_SPOKEN = {Stage.MODEL: Stage.MODEL_AGAIN, Stage.TOOL: Stage.TOOL_AGAIN, Stage.PHRASE: Stage.SPEECH}
"""The same wait once the caller has heard something."""
UNTIL_SPEECH = (Stage.HOLD, Stage.PREPARE, Stage.MODEL, Stage.TOOL, Stage.PHRASE)
"""Together the response latency."""
OURS = (Stage.PREPARE, Stage.PHRASE)
"""The part of the response latency that is neither the model's, a tool's nor the caller's."""


@dataclass(slots=True, eq=False)
class Activity:
    """A model request or a tool run."""

    key: int | str
    """Number of the reply, or identifier of the tool call."""
    tool: str
    """Empty = a model request."""
    began: float
    turn: TrackedTurn
    first: float | None = None
    """When the first text or tool call of a reply came."""
    is_spoken: bool = False
    ended: float | None = None
    outcome: str = "running"
    """Of a request `finished`, `failed`, `cancelled`; of a tool `ok`, `error`, `cancelled`."""
    fault: str = ""
    reason: str = ""
    """Of a failed request, for operators."""
    stop: StopReason | None = None

    @property
    def seconds(self) -> float:
        return 0.0 if self.ended is None else self.ended - self.began


@dataclass(slots=True, eq=False)
class TrackedTurn:
    """Times may come out of order; one before the latest one counts as the latest one."""

    began: float
    """The last words or keys before something was done about them."""
    cause: Event | None = None
    """What made the agent act by itself; None = the caller did."""
    heard_at: float = 0.0
    """The first of its words or keys."""
    words: list[str] = field(default_factory=list)
    activities: list[Activity] = field(default_factory=list)
    is_going: bool = False
    """Something was done about what the caller said."""
    is_closed: bool = False
    stages: dict[Stage, float] = field(default_factory=dict)
    response: float | None = None
    """Seconds until the first text."""
    last_speech: float | None = None
    is_filler: bool = False
    interrupted: str = ""
    is_failed: bool = False
    used: Counter[str] = field(default_factory=Counter)
    tool_rounds: int = 0
    over: float = 0.0
    _stage: Stage = Stage.PREPARE

    def __post_init__(self) -> None:
        self.heard_at = self.over = self.began

    @property
    def outcome(self) -> str:
        """`answered`, `interrupted`, `failed` (at best an apology was heard) or `silent`."""
        if self.interrupted or self.is_failed:
            return "interrupted" if self.interrupted else "failed"
        return "silent" if self.response is None else "answered"

    @property
    def is_over(self) -> bool:
        return self.is_going and all(one.ended is not None for one in self.activities)

    @property
    def total(self) -> float:
        return self.over - self.began

    def restart(self, at: float) -> None:
        self.began = self.over = at
        self.stages.clear()

    def advance(self, at: float) -> None:
        if at > self.over and not self.is_closed:
            self.stages[self._stage] = self.stages.get(self._stage, 0.0) + at - self.over
            self.over = at

    def hold(self, at: float) -> None:
        if not self.is_going:
            self._stage = Stage.HOLD
            self.advance(at)
            self._stage = Stage.PREPARE

    def speak(self, at: float, *, is_filler: bool) -> bool:
        """Whether this text is the first of the turn."""
        self.advance(at)
        self.last_speech = at
        if self.response is not None:
            return False
        self.is_going = True
        self.response, self.is_filler = self.total, is_filler
        self.settle()
        return True

    def settle(self) -> None:
        under_way = [one for one in self.activities if one.ended is None]
        requests = [one for one in under_way or self.activities if not one.tool]
        if any(one.first is None and one.ended is None for one in requests):
            stage = Stage.MODEL
        elif requests:
            stage = Stage.PHRASE
        else:
            stage = Stage.TOOL if under_way else Stage.PREPARE
        if self.response is not None:
            stage = _SPOKEN[stage] if under_way else Stage.CLOSING
        self._stage = stage
