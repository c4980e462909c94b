"""Where the time of one turn of the caller goes.

A turn is a clock with one hand. At every moment it is in exactly one stage, and whatever happens
only moves the hand to another one. So the stages are disjoint and their sum is the time measured,
by construction; there is nothing to reconcile. Rejected: a time stamp for each step of a turn and
differences between them, which break as soon as a reply calls tools and is asked again.

Until the caller hears something (together: the response latency):

    hold         words or keys received that may not be all: more are waited for
    prepare      all received, nothing asked yet: a look at edits, our own code
    model        the model was asked and has given nothing
    tool         a tool runs, and no reply
    phrase       the model writes or has written, and nothing is spoken yet

and from the first text written until the last frame:

    speech       the model writes and we speak
    model_again  it was asked once more
    tool_again   a tool runs
    closing      all replies are there and the last frame is not written
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from agent.call.messages import StopReason, Usage
from agent.observability.call_summary import total


class Stage(StrEnum):
    """What a turn is waiting for."""

    HOLD = "hold"
    PREPARE = "prepare"
    MODEL = "model"
    TOOL = "tool"
    PHRASE = "phrase"
    SPEECH = "speech"
    MODEL_AGAIN = "model_again"
    TOOL_AGAIN = "tool_again"
    CLOSING = "closing"


_SPOKEN = {
    Stage.MODEL: Stage.MODEL_AGAIN,
    Stage.TOOL: Stage.TOOL_AGAIN,
    Stage.PHRASE: Stage.SPEECH,
}
"""The same wait once the caller has heard something."""
UNTIL_SPEECH = (Stage.HOLD, Stage.PREPARE, Stage.MODEL, Stage.TOOL, Stage.PHRASE)
"""Together the response latency."""
OURS = (Stage.PREPARE, Stage.PHRASE)
"""Of the response latency: neither the model's nor a tool's, nor the caller's to go on."""


@dataclass(slots=True)
class ToolRun:
    """A tool of a turn."""

    name: str
    began: float
    seconds: float = 0.0
    outcome: str = "running"


@dataclass(slots=True)
class TrackedTurn:
    """One turn of the caller; all times are seconds on one clock.

    Times may be told a little out of order (an event is stamped when it comes, an action when it
    is done); one that lies before the last one counts as that.
    """

    began: float
    is_going: bool = False
    """Something was done about what the caller said."""
    stages: dict[Stage, float] = field(default_factory=dict)
    response: float | None = None
    """Seconds until the first text was written."""
    is_filler: bool = False
    """That text was a filler."""
    interrupted: str = ""
    """How the caller broke in; empty = did not."""
    is_failed: bool = False
    """A reply ended in a fault."""
    stop: StopReason | None = None
    """Why the last reply that was not left ended; None if there was none."""
    used: Usage | None = None
    """By its requests, as far as they have told."""
    tool_rounds: int = 0
    tools: dict[str, ToolRun] = field(default_factory=dict)
    _requests: set[int] = field(default_factory=set)
    _asked: set[int] = field(default_factory=set)
    _writing: set[int] = field(default_factory=set)
    _running: set[str] = field(default_factory=set)
    _stage: Stage = Stage.PREPARE
    _since: float = 0.0

    def __post_init__(self) -> None:
        self._since = self.began

    @property
    def is_over(self) -> bool:
        """Nothing is under way for it any more."""
        return self.is_going and not (self._asked or self._writing or self._running)

    @property
    def requests(self) -> int:
        """How often the model was asked."""
        return len(self._requests)

    @property
    def total(self) -> float:
        """Seconds until now, or until its end."""
        return self._since - self.began

    def held(self, at: float) -> None:
        """Until now the caller might have gone on; nothing was done yet."""
        if not self.is_going:
            self._stage = Stage.HOLD
            self.advance(at)
            self._stage = Stage.PREPARE

    def asked(self, reply: int, at: float) -> None:
        """The model was asked."""
        self.advance(at)
        self.is_going = True
        self._requests.add(reply)
        self._asked.add(reply)
        self._settle()

    def wrote(self, reply: int, at: float) -> None:
        """The model has given the first text or call of a reply."""
        if reply in self._asked:
            self.advance(at)
            self._asked.remove(reply)
            self._writing.add(reply)
            self._settle()

    def reply_ended(self, reply: int, at: float) -> None:
        """Nothing more of a reply will come."""
        if reply in self._asked or reply in self._writing:
            self.advance(at)
            self._asked.discard(reply)
            self._writing.discard(reply)
            self._settle()

    def reply_finished(self, reply: int, stop: StopReason, at: float) -> None:
        """A reply came to its end."""
        if reply in self._asked or reply in self._writing:
            self.stop = stop
        self.reply_ended(reply, at)

    def counted(self, reply: int | None, usage: Usage) -> None:
        """A request has used so much; nothing if it is not one of this turn."""
        if reply in self._requests:
            self.used = total([self.used, usage] if self.used else [usage])

    def tool_began(self, call_id: str, name: str, at: float) -> None:
        """A tool runs."""
        self.advance(at)
        self.is_going = True
        self.tools[call_id] = ToolRun(name, at)
        self._running.add(call_id)
        self._settle()

    def tool_ended(self, call_id: str, outcome: str, at: float) -> None:
        """A tool runs no more."""
        if call_id in self._running:
            self.advance(at)
            self._running.remove(call_id)
            run = self.tools[call_id]
            run.seconds, run.outcome = max(0.0, at - run.began), outcome
            self._settle()

    def spoke(self, at: float, *, is_filler: bool) -> bool:
        """Text was written; whether it was the first of the turn."""
        self.advance(at)
        if self.response is not None:
            return False
        self.is_going = True
        self.response, self.is_filler = self.total, is_filler
        self._settle()
        return True

    def advance(self, at: float) -> None:
        """Time has passed."""
        if at > self._since:
            self.stages[self._stage] = self.stages.get(self._stage, 0.0) + at - self._since
            self._since = at

    def _settle(self) -> None:
        if self._asked:
            stage = Stage.MODEL
        elif self._writing:
            stage = Stage.PHRASE
        elif self._running:
            stage = Stage.TOOL
        else:
            stage = Stage.PHRASE if self.requests else Stage.PREPARE
        self._stage = stage if self.response is None else self._spoken(stage)

    def _spoken(self, stage: Stage) -> Stage:
        return _SPOKEN[stage] if self._asked or self._writing or self._running else Stage.CLOSING
