"""The turns of one call: what is under way, and when each turn begins and ends.

Rules:

- A turn begins with the last words or keys before something was done about them. It is over when
  none of its activities is under way.
- It is reported when it is known whether the caller heard it out: at the end of the playback, at
  an interrupt, with the next words, or at the end of the call.
- A reply that was asked for ahead belongs to no turn until it is adopted; then it belongs to the
  turn from the beginning, with its own times.
- What the agent does by itself (a re-prompt, the result of a tool that outlived its turn) is an
  unprompted turn. It is no turn of the caller: metrics, log and traces leave it out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from agent.call import events as ev
from agent.call.actions import (
    Action,
    AdoptReply,
    CancelReply,
    CancelTool,
    DiscardReply,
    Record,
    RunTool,
    Speak,
    Speculate,
    StartReply,
)
from agent.call.messages import Usage
from agent.call.timers import Timer
from agent.observability.call_summary import by_kind
from agent.observability.turn_stages import Activity, TrackedTurn
from agent.ports import ObservedStep

ORDER_SECONDS = 0.5
"""Twilio does not document whether it reports the agent's silence before or after the interrupt
that caused it. An interrupt within this time after that report counts as one of the playback."""
_INTERRUPTS = frozenset({ev.CallerInterrupted, ev.CallerSpoke, ev.CallerPressed})
_FOLLOWED = frozenset({
    StartReply, Speculate, AdoptReply, DiscardReply, RunTool, CancelReply, CancelTool, Speak,
})  # fmt: skip
_BEGINS = (StartReply, AdoptReply, RunTool)
_WAITS_FOR_CALLER = frozenset({Timer.END_OF_TURN_DELAY, Timer.DIGITS, Timer.LONGEST_TURN})
_ANSWERS_CALLER = _WAITS_FOR_CALLER | {Timer.RETRY}
"""When these run out, what the caller said or pressed is taken as complete and is answered."""


class ActivityBegan(NamedTuple):
    """A model was asked, or a tool was started."""

    activity: Activity


class FirstToken(NamedTuple):
    """The first text or tool call of a reply came."""

    activity: Activity


class FirstClause(NamedTuple):
    """The first text of a reply was written to the line."""

    activity: Activity
    at: float


class ActivityEnded(NamedTuple):
    """A reply or tool is over."""

    activity: Activity


class FirstSpeech(NamedTuple):
    """The first text of a turn was written to the line."""

    turn: TrackedTurn


class TurnFinished(NamedTuple):
    """A turn is over and its outcome is known."""

    turn: TrackedTurn


Change = ActivityBegan | FirstToken | FirstClause | ActivityEnded | FirstSpeech | TurnFinished


class TurnTracker:
    """Follows the turns of one call."""

    def __init__(self) -> None:
        self._turn: TrackedTurn | None = None
        self._over: TrackedTurn | None = None
        """Over, and perhaps still being played."""
        self._unprompted: TrackedTurn | None = None
        self._silent_since: float | None = None
        """When the agent's silence was reported."""
        self.under_way: dict[int | str, Activity] = {}
        self.ahead: Activity | None = None
        """The reply that was asked for ahead; its turn is a stand-in."""
        self._finishing: Activity | None = None
        """The request that the present event ends; its last text is written after that."""
        self._changes: list[Change] = []

    def observe(self, step: ObservedStep, kind: str) -> list[Change]:
        """What changes with a step, in order; `kind` is its `interrupt_kind`."""
        event, received_at, timed_actions = step
        self._changes = []
        if self._silent_since is not None and received_at - self._silent_since > ORDER_SECONDS:
            self._finish()
        if type(event) is ev.ReplyDelta and self._is_streaming(event.reply):  # most events
            self._speak_each(event, timed_actions)
            return self._changes
        if kind and kind != "empty":
            self._interrupt(kind, received_at)
        self._note_ahead(event, received_at)
        self._note_event(event, received_at, step.actions)
        for action, at in timed_actions:
            if type(action) in _FOLLOWED:
                self._note_action(event, received_at, action, at)
        for turn in (self._turn, self._unprompted):
            if turn is not None and turn.is_over:
                self._close(turn, step.done_at)
        match event:
            case ev.PlaybackReported(ev.Playback.AGENT_OFF) if self._over is not None:
                self._silent_since = received_at
            case ev.TimerFired(Timer.PLAYBACK):
                self._finish()
            case _:
                pass
        return self._changes

    def awaits(self, reply: int) -> bool:
        """Whether the pieces of this reply count: it is under way, or asked for ahead."""
        return reply in self.under_way or (self.ahead is not None and self.ahead.key == reply)

    def ended(self, now: float) -> list[Change]:
        """The call is over; activities under way stay without an end."""
        self._changes = []
        for turn in (self._turn, self._unprompted):
            if turn is not None and turn.is_going:
                self._close(turn, now)
        self._finish()
        return self._changes

    def _is_streaming(self, reply: int) -> bool:
        """Whether a piece of a reply, not its first one, changes nothing but what is spoken."""
        request = self.under_way.get(reply)
        return request is not None and request.first is not None

    def _note_event(self, event: ev.Event, at: float, actions: list[Action]) -> None:
        self._finishing = None
        match event:
            case ev.CallerSpoke(text, True):
                self._hear(text, at, actions)
            case ev.CallerPressed(digit):
                self._hear(digit, at, actions)
            case ev.TimerFired(timer) if timer in _WAITS_FOR_CALLER and self._turn is not None:
                self._turn.hold(at)
            case ev.TokensCounted(reply, usage):
                self._add_usage(reply, usage)
            case ev.ReplyDelta(reply, text) if text:
                self._note_first(reply, at)
            case ev.ReplyFinished(reply, calls, stop, text) if reply in self.under_way:
                self._finishing = self.under_way[reply]
                if calls or text:
                    self._note_first(reply, at)
                self._finishing.turn.tool_rounds += bool(calls)
                self._finishing.stop = stop
                self._end(reply, at, "finished")
            case ev.ReplyFailed(reply, fault, reason) if reply in self.under_way:
                self.under_way[reply].turn.is_failed = True
                self.under_way[reply].fault = fault
                self.under_way[reply].reason = reason
                self._end(reply, at, "failed")
            case ev.ToolFinished(call_id, outcome):
                self._end(call_id, at, "error" if outcome.is_error else "ok")
            case _:
                pass

    def _note_action(self, event: ev.Event, received_at: float, action: Action, at: float) -> None:
        match action:
            case StartReply(reply):
                self._begin(reply, "", at, self._turn_for(event, received_at))
            case Speculate(reply):
                self.ahead = Activity(reply, "", at, TrackedTurn(at))
            case AdoptReply():
                self._adopt(at, self._turn_for(event, received_at))
            case DiscardReply():
                self.ahead = None
            case RunTool(call):
                self._begin(call.id, call.name, at, self._turn_for(event, received_at))
            case CancelReply(reply):
                self._end(reply, at, "cancelled")
            case CancelTool(call_id):
                self._end(call_id, at, "cancelled")
            case Speak(_, text) if text:
                self._speak(event, at)
            case _:
                pass

    def _turn_for(self, event: ev.Event, at: float) -> TrackedTurn:
        if self._turn is not None:
            return self._turn
        if self._unprompted is None:
            self._unprompted = TrackedTurn(at, event)
        return self._unprompted

    def _hear(self, words: str, at: float, actions: list[Action]) -> None:
        begins = any(isinstance(action, _BEGINS) for action in actions)
        if self._turn is not None and self._turn.is_going and begins:
            self._close(self._turn, at)
        if self._turn is None:
            self._turn = TrackedTurn(at)
        elif not self._turn.is_going:
            self._turn.restart(at)
        self._turn.words.append(words)
        self._finish()

    def _interrupt(self, kind: str, at: float) -> None:
        if self._turn is not None and self._turn.is_going:
            self._turn.interrupted = kind
            self._close(self._turn, at)
        elif self._over is not None:
            self._over.interrupted = kind
        self._finish()

    def _add_usage(self, reply: int | None, usage: Usage) -> None:
        for turn in (self._turn, self._over):
            if turn is not None and any(one.key == reply for one in turn.activities):
                turn.used.update(by_kind(usage))

    def _note_ahead(self, event: ev.Event, at: float) -> None:
        if (ahead := self.ahead) is None:
            return
        match event:
            case ev.ReplyDelta(ahead.key, text) if text and ahead.first is None:
                ahead.first = at
            case ev.ReplyFinished(ahead.key, calls, stop, text):
                if ahead.first is None and (calls or text):
                    ahead.first = at
                ahead.ended, ahead.outcome, ahead.stop = at, "finished", stop
                ahead.turn.tool_rounds += bool(calls)
            case ev.ReplyFailed(ahead.key):
                self.ahead = None
            case ev.TokensCounted(ahead.key, usage):
                ahead.turn.used.update(by_kind(usage))
            case _:
                pass

    def _adopt(self, at: float, turn: TrackedTurn) -> None:
        if self.ahead is None:
            return
        ahead, self.ahead = self.ahead, None
        turn.used.update(ahead.turn.used)
        turn.tool_rounds += ahead.turn.tool_rounds
        ahead.turn = turn
        self._enter(ahead, at)
        if ahead.first is not None:
            self._changes.append(FirstToken(ahead))
        if ahead.ended is not None:
            self._finishing = self.under_way.pop(ahead.key)
            self._changes.append(ActivityEnded(ahead))

    def _begin(self, key: int | str, tool: str, at: float, turn: TrackedTurn) -> None:
        self._enter(Activity(key, tool, at, turn), at)

    def _enter(self, activity: Activity, at: float) -> None:
        turn = activity.turn
        turn.advance(at)
        turn.is_going = True
        turn.activities.append(activity)
        self.under_way[activity.key] = activity
        turn.settle()
        self._changes.append(ActivityBegan(activity))

    def _note_first(self, key: int | str, at: float) -> None:
        activity = self.under_way.get(key)
        if activity is not None and activity.first is None:
            activity.turn.advance(at)
            activity.first = max(at, activity.began)
            activity.turn.settle()
            self._changes.append(FirstToken(activity))

    def _end(self, key: int | str, at: float, outcome: str) -> None:
        if (activity := self.under_way.pop(key, None)) is not None:
            activity.turn.advance(at)
            activity.ended, activity.outcome = max(at, activity.began), outcome
            activity.turn.settle()
            self._changes.append(ActivityEnded(activity))

    def _speak_each(self, event: ev.Event, actions: Sequence[tuple[Action, float]]) -> None:
        for action, at in actions:
            if type(action) is Speak and action.text:
                self._speak(event, at)

    def _speak(self, event: ev.Event, at: float) -> None:
        for one in (*self.under_way.values(), self._finishing):
            if one is not None and one.first is not None and not one.is_spoken:
                one.is_spoken = True
                self._changes.append(FirstClause(one, at))
        timer = event.timer if isinstance(event, ev.TimerFired) else None
        answers = timer in _ANSWERS_CALLER or isinstance(event, ev.CallerSpoke | ev.CallerPressed)
        turn = self._turn
        if turn is None or not (turn.is_going or answers):
            turn = self._unprompted
        is_filler = timer in {Timer.FILLER, Timer.TOOL}
        if turn is not None and turn.speak(at, is_filler=is_filler) and turn.cause is None:
            self._changes.append(FirstSpeech(turn))

    def _close(self, turn: TrackedTurn, at: float) -> None:
        turn.advance(at)
        turn.is_closed = True
        if turn is self._unprompted:
            self._unprompted = None
            self._changes.append(TurnFinished(turn))
        else:
            self._finish()
            self._over, self._turn = turn, None

    def _finish(self) -> None:
        if self._over is not None:
            self._changes.append(TurnFinished(self._over))
        self._over = self._silent_since = None


def speculation_outcome(step: ObservedStep, ahead: Activity | None) -> str:
    """What a step has made of a reply asked for ahead; empty = nothing.

    `adopted`, `discarded`, `failed` or `refused`: the process had no request to spare. `ahead` is
    that reply before the step.
    """
    if ahead is None:
        return ""
    match step.event:
        case ev.ReplyFailed(reply, fault) if reply == ahead.key:
            return "refused" if fault is ev.ReplyFault.NOT_ASKED else "failed"
        case _:
            kinds = {type(action) for action, _ in step.timed_actions}
            return "adopted" if AdoptReply in kinds else "discarded" * (DiscardReply in kinds)


def interrupt_kind(step: ObservedStep) -> str:
    """`speech`, `new_words`, `keypad`, `empty` (it stopped nothing); empty text = no interrupt."""
    if type(step.event) not in _INTERRUPTS:
        return ""
    cuts = any(isinstance(action, CancelReply) for action, _ in step.timed_actions)
    match step.event:
        case ev.CallerInterrupted():
            is_real = cuts or any(isinstance(action, Record) for action, _ in step.timed_actions)
            return "speech" if is_real else "empty"
        case ev.CallerSpoke() if cuts:
            return "new_words"
        case ev.CallerPressed() if cuts:
            return "keypad"
        case _:
            return ""
