"""What a call does, as notes for people: tools, times of a turn, tokens, interrupts, model faults.

A note is a value with a tag, so that a terminal can print it and a page can get it as JSON.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

import msgspec

from agent.call.actions import (
    AdoptReply,
    Record,
    RunTool,
    Speculate,
    StampConsent,
    StartRecording,
    StartReply,
)
from agent.call.events import CallerInterrupted, ReplyFailed, TokensCounted, ToolFinished
from agent.call.history import AgentSaid
from agent.call.messages import ToolCall, Usage
from agent.errors import REMEDIES
from agent.observability.call_summary import CallSummary, Prices
from agent.observability.recording.transcript import printable, shortened
from agent.observability.turn_stages import TrackedTurn
from agent.observability.turn_tracker import (
    ActivityEnded,
    Change,
    FirstSpeech,
    TurnFinished,
    TurnTracker,
    interrupt_kind,
)
from agent.ports import ObservedStep


class ToolNote(msgspec.Struct, frozen=True, tag="tool"):
    """A tool began or, with `seconds`, has ended; texts are shortened."""

    id: str
    name: str
    arguments: str
    seconds: float | None = None
    result: str = ""
    is_error: bool = False


class TurnNote(msgspec.Struct, frozen=True, tag="turn"):
    """A turn of the caller was answered or, with `is_over`, has ended; times are seconds."""

    number: int
    words: str
    stages: Mapping[str, float]
    """Disjoint, in the order in which they began (`agent.observability.turn_stages.Stage`)."""
    response: float | None
    """From the end of the caller's words to the first of the agent's; None = nothing was said."""
    total: float
    outcome: str
    tokens: int
    is_over: bool = False


class TokensNote(msgspec.Struct, frozen=True, tag="tokens"):
    """A request has used tokens; `total` and `cost` are of the whole call."""

    read: int
    """Those of the prompt, of the cache too."""
    cached: int
    written: int
    total: int
    cost: float | None
    """None = a model that was used has no price."""
    currency: str


class InterruptNote(msgspec.Struct, frozen=True, tag="interrupt"):
    """The caller broke in; `heard` may be empty."""

    heard: str


class FaultNote(msgspec.Struct, frozen=True, tag="fault"):
    """A model failed."""

    text: str


class ConsentNote(msgspec.Struct, frozen=True, tag="consent"):
    """The caller has answered the question for consent, or the recording begins."""

    text: str


CallNote = ToolNote | TurnNote | TokensNote | InterruptNote | FaultNote | ConsentNote


class CallNotes:
    """Makes the notes of one call; `model` names the model that answers now."""

    def __init__(self, model: Callable[[], str], prices: Prices) -> None:
        self.turns = self.tools = 0
        """How many are over; unprompted turns do not count."""
        self.latest_request: StartReply | None = None
        """None = no model was asked."""
        self._ahead: StartReply | None = None
        self._prices = prices
        self._tracker = TurnTracker()
        self._summary = CallSummary(model)
        self._running: dict[str, tuple[ToolCall, float]] = {}
        self._numbers: list[tuple[TrackedTurn, int]] = []
        """Of the latest turns: one may still be played when the next begins."""

    @property
    def used(self) -> Mapping[str, Counter[str]]:
        """Tokens by model and kind."""
        return self._summary.used

    @property
    def tokens(self) -> int:
        return sum(tokens.total() for tokens in self.used.values())

    @property
    def cost(self) -> float | None:
        """None = nothing was used, or a model has no price."""
        costs = self._prices.each(self.used)
        return sum(costs.values()) if costs and len(costs) == len(self.used) else None

    @property
    def currency(self) -> str:
        return self._prices.currency

    def observe(self, moment: ObservedStep) -> list[CallNote]:
        """The notes of a step, in order."""
        kind = interrupt_kind(moment)
        self._summary.observe(moment, kind)
        notes = self._of_changes(self._tracker.observe(moment, kind))
        notes += self._of_event(moment)
        for action, at in moment.timed_actions:
            match action:
                case RunTool(call):
                    self._running[call.id] = call, at
                    notes.append(ToolNote(call.id, call.name, shortened(call.arguments)))
                case StartReply():
                    self.latest_request = action
                case Speculate(reply, messages):
                    self._ahead = StartReply(reply, messages)
                case AdoptReply():
                    self.latest_request = self._ahead
                case StampConsent(consent):
                    state = "gives" if consent.is_given else "refuses"
                    notes.append(ConsentNote(f"the caller {state} consent ({consent.means})"))
                case StartRecording():
                    text = "the call is recorded from here on, on a telephone"
                    notes.append(ConsentNote(text))
                case _:
                    pass
        return notes

    def ended(self, now: float) -> list[CallNote]:
        """The last notes, when the call is over at this time of the loop."""
        return self._of_changes(self._tracker.ended(now))

    def _of_changes(self, changes: list[Change]) -> list[CallNote]:
        notes: list[CallNote] = []
        for change in changes:
            match change:
                case FirstSpeech(turn) if turn.cause is None and turn.response is not None:
                    notes.append(self._turn(turn))
                case TurnFinished(turn) if turn.cause is None:
                    self.turns += 1
                    notes.append(self._turn(turn, is_over=True))
                case ActivityEnded(activity) if activity.tool:
                    self.tools += 1
                case _:
                    pass
        return notes

    def _turn(self, turn: TrackedTurn, *, is_over: bool = False) -> TurnNote:
        known = [number for one, number in self._numbers if one is turn]
        number = known[0] if known else (self._numbers[-1][1] + 1 if self._numbers else 1)
        if not known:
            self._numbers = [*self._numbers[-1:], (turn, number)]
        return TurnNote(
            number,
            printable(" ".join(turn.words)),
            {stage.value: seconds for stage, seconds in turn.stages.items()},
            turn.response,
            turn.total,
            turn.outcome,
            turn.used.total(),
            is_over,
        )

    def _of_event(self, moment: ObservedStep) -> list[CallNote]:
        match moment.event:
            case CallerInterrupted():
                heard = [
                    action.fact.text
                    for action in moment.actions
                    if isinstance(action, Record) and isinstance(action.fact, AgentSaid)
                ]
                return [InterruptNote(heard[-1] if heard else "")]
            case TokensCounted(_, usage):
                return [self._tokens(usage)]
            case ToolFinished(call_id, outcome) if call_id in self._running:
                call, began = self._running.pop(call_id)
                seconds, result = moment.received_at - began, shortened(outcome.content)
                arguments = shortened(call.arguments)
                return [ToolNote(call.id, call.name, arguments, seconds, result, outcome.is_error)]
            case ReplyFailed(_, fault, reason):
                return [FaultNote(reason or f"{fault}. {REMEDIES[fault]}")]
            case _:
                return []

    def _tokens(self, usage: Usage) -> TokensNote:
        read = usage.input + usage.cache_read + usage.cache_write
        return TokensNote(
            read, usage.cache_read, usage.output, self.tokens, self.cost, self.currency
        )
