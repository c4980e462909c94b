"""What a call does, as notes on a screen: tools, times, tokens, interrupts, model faults."""

from __future__ import annotations

import asyncio

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
from agent.call.events import (
    CallerInterrupted,
    CallerPressed,
    CallerSpoke,
    EndReason,
    ReplyFailed,
    TimerFired,
    TokensCounted,
    ToolFinished,
)
from agent.call.history import AgentSaid
from agent.call.messages import ReplyRequest, ToolCall, Usage
from agent.call.timers import StartTimer, StopTimer, Timer
from agent.cli.terminal_screen import Screen
from agent.errors import REMEDIES
from agent.observability import Prices
from agent.observability.call_summary import CallSummary
from agent.observability.recording.transcript import shortened
from agent.observability.turn_stages import Stage
from agent.observability.turn_tracker import (
    ActivityEnded,
    Change,
    FirstSpeech,
    TurnFinished,
    TurnTracker,
    interrupt_kind,
)
from agent.ports import ObservedStep
from agent.session.live_config import LiveConfiguration

_STAGES = {
    Stage.HOLD: "waiting for more words",
    Stage.PREPARE: "the service",
    Stage.MODEL: "the model",
    Stage.TOOL: "tools",
    Stage.PHRASE: "the first clause",
}


class CallView:
    """`SessionObserver` of one call in a terminal."""

    def __init__(self, screen: Screen, configuration: LiveConfiguration, prices: Prices) -> None:
        self._screen = screen
        self._configuration = configuration
        self._prices = prices
        self._tracker = TurnTracker()
        self._summary = CallSummary(lambda: configuration.model.name)
        self._calls: dict[str, tuple[ToolCall, float]] = {}
        self._latest: StartReply | None = None
        self._ahead: StartReply | None = None
        self._turns = self._tools = 0
        self._is_heard, self._waits_for_caller = True, False
        self._waits_for_digit = False  # the first one that a tool collects
        self._changed = asyncio.Event()

    @property
    def request(self) -> ReplyRequest | None:
        """The latest request to the model; None = there was none."""
        return self._configuration.request(self._latest) if self._latest else None

    def observe(self, moment: ObservedStep) -> None:  # noqa: C901, PLR0912 (one case for each)
        kind = interrupt_kind(moment)
        self._summary.observe(moment, kind)
        for change in self._tracker.observe(moment, kind):
            self._note_change(change)
        self._note_event(moment)
        for action, at in moment.timed_actions:
            match action:
                case RunTool(call):
                    self._calls[call.id] = call, at
                case StartReply():
                    self._latest = action
                case Speculate(reply, messages):
                    self._ahead = StartReply(reply, messages)
                case AdoptReply():
                    self._latest = self._ahead
                case StampConsent(consent):
                    state = "gives" if consent.is_given else "refuses"
                    self._screen.note(f"the caller {state} consent ({consent.means})")
                case StartRecording():
                    self._screen.note("the call is recorded from here on, on a telephone")
                case StartTimer(Timer.IDLE):
                    self._waits_for_caller = True
                case StartTimer(Timer.DIGITS):
                    is_callers = isinstance(moment.event, CallerPressed | CallerSpoke)
                    self._waits_for_digit = not is_callers
                case StopTimer(Timer.DIGITS):
                    self._waits_for_digit = False
                case StopTimer(Timer.IDLE):
                    self._waits_for_caller = False
                case _:
                    pass
        self._changed.set()

    def ended(self, reason: EndReason) -> None:
        """Show what the call was."""
        for change in self._tracker.ended(asyncio.get_running_loop().time()):
            self._note_change(change)
        used = self._summary.used
        costs = self._prices.each(used)
        shown = [
            _counted(self._turns, "turn"),
            _counted(self._tools, "tool"),
            _counted(sum(tokens.total() for tokens in used.values()), "token"),
        ]
        if costs and len(costs) == len(used):
            shown.append(f"{sum(costs.values()):.4f} {self._prices.currency}")
        self._screen.note(_joined(f"call ended ({reason.value.replace('_', ' ')})", shown))

    def caller_acts(self) -> None:
        """The caller has said or pressed something that the call does not know yet."""
        self._is_heard = False

    async def until_answered(self) -> None:
        """Wait until the agent has finished and waits for the caller."""
        while not (self._is_heard and (self._waits_for_caller or self._waits_for_digit)):
            self._changed.clear()
            await self._changed.wait()

    def _note_change(self, change: Change) -> None:
        match change:
            case FirstSpeech(turn) if turn.cause is None and turn.response is not None:
                places = [
                    f"{name} {turn.stages[stage]:.2f}"
                    for stage, name in _STAGES.items()
                    if turn.stages.get(stage, 0.0) >= _SHORTEST_SHOWN
                ]
                self._screen.note(_joined(f"first word after {turn.response:.2f} s", places))
            case TurnFinished(turn) if turn.cause is None:
                self._turns += 1
            case ActivityEnded(activity) if activity.tool:
                self._tools += 1
            case _:
                pass

    def _note_event(self, moment: ObservedStep) -> None:
        match moment.event:
            case CallerSpoke(_, True) | CallerPressed():
                self._is_heard = True
            case CallerInterrupted():
                heard = [
                    action.fact.text
                    for action in moment.actions
                    if isinstance(action, Record) and isinstance(action.fact, AgentSaid)
                ]
                self._screen.note(
                    f"interrupted; heard: {heard[-1]}" if any(heard[-1:]) else "interrupted"
                )
            case TimerFired(Timer.IDLE):
                self._waits_for_caller = False
            case TokensCounted(_, usage):
                self._screen.note(_tokens(usage))
            case ToolFinished(call_id, outcome) if call_id in self._calls:
                call, began = self._calls.pop(call_id)
                result = "failed: " if outcome.is_error else ""
                seconds = moment.received_at - began
                self._screen.note(
                    f"{call.name} {shortened(call.arguments)} -> {result}"
                    f"{shortened(outcome.content)} ({seconds:.3f} s)"
                )
            case ReplyFailed(_, fault, reason):
                self._screen.fault(f"the model failed: {reason or f'{fault}. {REMEDIES[fault]}'}")
            case _:
                pass


_SHORTEST_SHOWN = 0.005
"""Seconds of a stage."""


def _tokens(usage: Usage) -> str:
    cached = f" ({usage.cache_read} from the cache)" if usage.cache_read else ""
    read = usage.input + usage.cache_read + usage.cache_write
    return f"{read} tokens in{cached}, {usage.output} out"


def _joined(text: str, more: list[str]) -> str:
    return f"{text}: {', '.join(more)}" if more else text


def _counted(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def request_text(request: ReplyRequest) -> str:
    """A request as indented JSON, as `/trace` shows it."""
    return msgspec.json.format(msgspec.json.encode(request)).decode()
