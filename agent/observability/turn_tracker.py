"""The turns of one call: measured, and one log line for each.

A turn begins with the words or keys that led to something: words that were held until more came
do not count as waiting, as the caller was still speaking. It is over when nothing is under way for
it any more. Its line is written a little later, when it is known whether the caller heard it out:
at the end of the playback, at an interrupt, with the next words or at the end of the call.

What the agent says by itself (a re-prompt, the result of a tool that outlived its turn) is no turn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import structlog

from agent.call.actions import Action, CancelReply, CancelTool, RunTool, Speak, StartReply
from agent.call.events import (
    CallerPressed,
    CallerSpoke,
    Event,
    Playback,
    PlaybackReported,
    ReplyDelta,
    ReplyFailed,
    ReplyFinished,
    TimerFired,
    TokensCounted,
    ToolFinished,
)
from agent.call.messages import Usage
from agent.call.timers import Timer
from agent.observability.call_summary import by_kind
from agent.observability.input_kinds import ORDER_SECONDS
from agent.observability.turn_stages import OURS, TrackedTurn
from agent.ports import Count, ObservedStep

log = structlog.get_logger(__name__)

Milliseconds = float
_WAITS_FOR_CALLER = frozenset({Timer.END_OF_TURN_DELAY, Timer.DIGITS})
_ANSWERS_CALLER = _WAITS_FOR_CALLER | {Timer.RETRY}
"""When these run out, what the caller said or pressed is taken as complete."""


class TurnTracker:
    """Follows the turns of one call.

    Args:
        count: Of the process.
        use_case: Its name.
        model: Tells the name of the model that answers now.
    """

    def __init__(self, count: Count, use_case: str, model: Callable[[], str]) -> None:
        self._count = count
        self._use_case = use_case
        self._model = model
        self._log = log.bind(use_case=use_case)
        self._turn: TrackedTurn | None = None
        self._untold: TrackedTurn | None = None
        """Over, and perhaps still being played."""
        self._silent_since: float | None = None
        """When that was reported to have been played."""
        self.count = 0

    def observe(self, moment: ObservedStep, kind: str) -> None:
        """Follow one moment of the call; `kind` is its `interrupt_kind`."""
        event, received_at, deeds = moment
        if self._silent_since is not None and received_at - self._silent_since > ORDER_SECONDS:
            self._tell()
        if kind and kind != "empty":
            self._interrupted(kind, received_at)
        match event:
            case CallerPressed() | CallerSpoke(is_final=True):
                self._heard(received_at, has_begun=_begins(deeds))
            case TokensCounted(reply, usage):
                self._add_usage(reply, usage)
            case _:
                pass
        if (turn := self._turn) is not None:
            _note_event(turn, event, received_at)
            for action, at in deeds:
                self._note_action(turn, event, action, at)
            if turn.is_over:
                turn.advance(moment.done_at)
                self._close()
        match event:
            case PlaybackReported(Playback.AGENT_OFF) if self._untold is not None:
                self._silent_since = received_at
            case TimerFired(Timer.PLAYBACK):
                self._tell()
            case _:
                pass

    def ended(self, now: float) -> None:
        """The call is over."""
        if self._turn is not None and self._turn.is_going:
            self._turn.advance(now)
            self._close()
        self._tell()

    def _heard(self, at: float, *, has_begun: bool) -> None:
        if self._turn is not None and self._turn.is_going and has_begun:
            self._turn.advance(at)
            self._close()
        if self._turn is None or not self._turn.is_going:
            self._turn = TrackedTurn(at)
        self._tell()

    def _add_usage(self, reply: int | None, usage: Usage) -> None:
        """Tokens come when their reply is over, and with it perhaps the turn."""
        for turn in (self._turn, self._untold):
            if turn is not None:
                turn.counted(reply, usage)

    def _interrupted(self, kind: str, at: float) -> None:
        if self._turn is not None and self._turn.is_going:
            self._turn.interrupted = kind
            self._turn.advance(at)
            self._close()
        elif self._untold is not None:
            self._untold.interrupted = kind
        self._tell()

    def _note_action(self, turn: TrackedTurn, event: Event, action: Action, at: float) -> None:
        match action:
            case StartReply(reply):
                turn.asked(reply, at)
            case CancelReply(reply):
                turn.reply_ended(reply, at)
            case RunTool(call):
                turn.tool_began(call.id, call.name, at)
            case CancelTool(call_id):
                turn.tool_ended(call_id, "cancelled", at)
            case Speak(_, text) if text and (turn.is_going or _answers_caller(event)):
                is_filler = isinstance(event, TimerFired) and event.timer is Timer.FILLER
                if turn.spoke(at, is_filler=is_filler):
                    self._measure_response(turn)
            case _:
                pass

    def _measure_response(self, turn: TrackedTurn) -> None:
        response = turn.response or 0.0
        self._count("agent_turn_time_to_first_speech_seconds", response, use_case=self._use_case)
        ours = sum(turn.stages.get(stage, 0.0) for stage in OURS)
        self._count("agent_turn_overhead_seconds", ours)

    def _close(self) -> None:
        """The turn under way is over."""
        self._tell()
        self._untold, self._turn = self._turn, None

    def _tell(self) -> None:
        """Write the line of the turn that is over."""
        turn, self._untold = self._untold, None
        self._silent_since = None
        if turn is None:
            return
        self.count += 1
        outcome = outcome_of(turn)
        self._count("agent_turns_total", use_case=self._use_case, outcome=outcome)
        for stage, seconds in turn.stages.items():
            self._count("agent_turn_stage_seconds", seconds, use_case=self._use_case, stage=stage)
        self._log.info(
            "turn.finished",
            turn=self.count,
            model=self._model(),
            outcome=outcome,
            response_ms=None if turn.response is None else _ms(turn.response),
            total_ms=_ms(turn.total),
            stages={str(stage): _ms(seconds) for stage, seconds in turn.stages.items()},
            requests=turn.requests,
            tool_rounds=turn.tool_rounds,
            tools=[
                {"name": run.name, "ms": _ms(run.seconds), "outcome": run.outcome}
                for run in turn.tools.values()
            ],
            interrupted=turn.interrupted,
            filler=turn.is_filler,
            tokens=by_kind(turn.used) if turn.used else {},
            stop=turn.stop or "",
        )


def outcome_of(turn: TrackedTurn) -> str:
    """`answered`, `interrupted`, `failed` (the caller heard an apology at best) or `silent`."""
    if turn.interrupted:
        return "interrupted"
    if turn.is_failed:
        return "failed"
    return "silent" if turn.response is None else "answered"


def _note_event(turn: TrackedTurn, event: Event, at: float) -> None:
    match event:
        case TimerFired(timer) if timer in _WAITS_FOR_CALLER:
            turn.held(at)
        case ReplyDelta(reply, text) if text:
            turn.wrote(reply, at)
        case ReplyFinished(reply, calls, stop):
            if calls:
                turn.wrote(reply, at)
                turn.tool_rounds += 1
            turn.reply_finished(reply, stop, at)
        case ReplyFailed(reply):
            turn.is_failed = True
            turn.reply_ended(reply, at)
        case ToolFinished(call_id, outcome):
            turn.tool_ended(call_id, "error" if outcome.is_error else "ok", at)
        case _:
            pass


def _begins(deeds: Sequence[tuple[Action, float]]) -> bool:
    return any(isinstance(action, StartReply | RunTool) for action, _ in deeds)


def _answers_caller(event: Event) -> bool:
    """What is said in this step is said because of the caller's words or keys."""
    if isinstance(event, TimerFired):
        return event.timer in _ANSWERS_CALLER
    return isinstance(event, CallerSpoke | CallerPressed)


def _ms(seconds: float) -> Milliseconds:
    return round(seconds * 1000, 1)
