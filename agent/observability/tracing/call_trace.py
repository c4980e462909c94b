"""What is known of a turn before its span is closed, and the steps of a call that matter to it.

The trace of one line of a call, made from what an observer sees.

A turn begins with the words or keys that led to something and is over when nothing is under way
for it. A reply is told only with its tokens, which come after it: its span is closed a little
later, with the time at which the reply was over.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from agent.call.actions import (
    Action,
    CancelReply,
    CancelTool,
    RunTool,
    Speak,
    StartReply,
    Summarize,
)
from agent.call.events import (
    CallerPressed,
    CallerSpoke,
    EndReason,
    Event,
    Playback,
    PlaybackReported,
    ReplyDelta,
    ReplyFailed,
    ReplyFinished,
    Summarized,
    SummaryFailed,
    TimerFired,
    TokensCounted,
    ToolFinished,
)
from agent.call.messages import StopReason, Usage
from agent.call.timers import Timer
from agent.observability.input_kinds import ORDER_SECONDS, interrupt_kind
from agent.observability.tracing.spans import (
    FINISHED,
    Attributes,
    OpenSpans,
    Spans,
    cover,
    model_attributes,
    tell_tokens,
)
from agent.observability.tracing.traced_ports import Operation
from agent.ports import ObservedStep

_ANSWERS_CALLER = frozenset({Timer.END_OF_TURN_DELAY, Timer.DIGITS, Timer.RETRY})
"""When these run out, what the caller said or pressed is taken as complete."""


@dataclass(slots=True)
class TracedTurn:
    """One turn of the caller."""

    began: float
    words: list[str] = field(default_factory=list)
    open: OpenSpans | None = None
    """None = nothing was done about it yet."""
    is_answered: bool = False
    is_failed: bool = False
    interrupted: str = ""
    over: float = 0.0

    @property
    def outcome(self) -> str:
        """As of the log line `turn.finished`."""
        if self.interrupted:
            return "interrupted"
        if self.is_failed:
            return "failed"
        return "answered" if self.is_answered else "silent"


def answers_caller(event: Event) -> bool:
    """What is said in this step is said because of the caller's words or keys."""
    if isinstance(event, TimerFired):
        return event.timer in _ANSWERS_CALLER
    return isinstance(event, CallerSpoke | CallerPressed)


LARGEST_CONTENT = 4000
"""Characters of an attribute with content."""


class CallTrace:
    """`ports.Observer` that makes the trace of one line; made by `Tracing.call`."""

    def __init__(
        self, spans: Spans, began: float, attributes: Attributes, model: Callable[[], str]
    ) -> None:
        self._spans = spans
        self._model = model
        self._call = self._begin("call", began, attributes, None)
        self._turn: TracedTurn | None = None
        self._untold: TracedTurn | None = None
        """Over, and perhaps still being played."""
        self._silent_since: float | None = None
        """When that was reported to have been played."""
        self._running: dict[tuple[str, int | str], OpenSpans] = {}
        """Requests and tools, by kind and number."""
        self._uncounted: tuple[int, OpenSpans, float] | None = None
        """A reply that is over; its tokens may still come."""
        self._texts: dict[int, str] = {}

    def observe(self, moment: ObservedStep) -> None:
        """See `ports.Observer`."""
        self._spans.observing(self._call.span)
        event, at, deeds = moment
        if self._silent_since is not None and at - self._silent_since > ORDER_SECONDS:
            self._tell_turn()
        kind = interrupt_kind(moment)
        if kind and kind != "empty":
            self._interrupted(kind, moment.actions, at)
        if isinstance(event, CallerSpoke | CallerPressed):
            self._hear(event, moment.actions, at)
        self._note_event(event, at)
        for action, done_at in deeds:
            self._note_action(event, action, done_at)
        self._rest(moment.done_at)
        match event:
            case PlaybackReported(Playback.AGENT_OFF) if self._untold is not None:
                self._silent_since = at
            case TimerFired(Timer.PLAYBACK):
                self._tell_turn()
            case _:
                pass

    def ended(self, reason: EndReason) -> None:
        """The line is over; called once."""
        now = self._spans.now()
        self._close_counted()
        for key in list(self._running):
            self._end_running(key, now, "cancelled")
        self._close_turn(now)
        self._tell_turn()
        self._call.span.set_attribute("voice.end_reason", reason.value)
        is_error = reason in {EndReason.ERROR_MODEL, EndReason.ERROR_RELAY}
        self._end(self._call, now, is_error=is_error)

    def stored(self, operation: Operation) -> None:
        """An operation on the table is over that this line has caused; the line may be, too."""
        under = self._running.get(("tool", operation.tool), self._call)
        told = operation.attributes
        one = self._begin(operation.name, operation.began, told, under, is_client=True)
        self._end(one, operation.ended, is_error=operation.is_failed)

    def _hear(
        self, event: CallerSpoke | CallerPressed, actions: Sequence[Action], at: float
    ) -> None:
        if isinstance(event, CallerSpoke) and not event.is_final:
            return
        begins = any(isinstance(action, StartReply | RunTool) for action in actions)
        if self._turn is not None and self._turn.open is not None and begins:
            self._close_turn(at)
        self._tell_turn()
        words = event.text if isinstance(event, CallerSpoke) else event.digit
        if self._turn is None:
            self._turn = TracedTurn(at)
        elif self._turn.open is None:
            self._turn.began = at
        self._turn.words.append(words)

    def _interrupted(self, kind: str, actions: Sequence[Action], at: float) -> None:
        """Whatever is stopped was over when the caller broke in."""
        for action in actions:
            match action:
                case CancelReply(reply):
                    self._end_running(("reply", reply), at, "cancelled")
                case CancelTool(call_id):
                    self._end_running(("tool", call_id), at, "cancelled")
                case _:
                    pass
        if self._turn is not None and self._turn.open is not None:
            self._turn.interrupted = kind
            self._close_turn(at)
        elif self._untold is not None:
            self._untold.interrupted = kind
        self._tell_turn()

    def _note_event(self, event: Event, at: float) -> None:
        match event:
            case ReplyDelta(reply, text) if text:
                self._wrote(reply, at)
                if self._spans.with_content:
                    self._texts[reply] = (self._texts.get(reply, "") + text)[:LARGEST_CONTENT]
            case ReplyFinished(reply, _, stop):
                self._finished(reply, stop, at)
            case ReplyFailed(reply, fault):
                failed = self._running.get(("reply", reply))
                if self._turn is not None and failed and failed.under is self._turn.open:
                    self._turn.is_failed = True
                self._end_running(("reply", reply), at, fault.value)
            case TokensCounted(reply, usage):
                self._count(reply, usage)
            case _:
                self._note_side(event, at)

    def _note_side(self, event: Event, at: float) -> None:
        """What is no reply."""
        match event:
            case ToolFinished(call_id, outcome):
                self._content(self._running.get(("tool", call_id)), "pii_result", outcome.content)
                self._end_running(("tool", call_id), at, "tool_error" * outcome.is_error)
            case Summarized(summary):
                self._end_running(("summary", summary), at)
            case SummaryFailed(summary):
                self._end_running(("summary", summary), at, "summary_failed")
            case _:
                pass

    def _note_action(self, event: Event, action: Action, now: float) -> None:
        match action:
            case StartReply(reply):
                self._close_counted()
                self._ask(("reply", reply), now, self._under(now))
            case Summarize(summary):
                self._ask(("summary", summary), now, self._call)
            case RunTool(call):
                told = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": call.name}
                under = self._under(now)
                run = self._begin(f"execute_tool {call.name}", now, told, under)
                self._running["tool", call.id] = run
                self._content(run, "pii_arguments", call.arguments)
            case CancelReply(reply):
                self._end_running(("reply", reply), now, "cancelled")
            case CancelTool(call_id):
                self._end_running(("tool", call_id), now, "cancelled")
            case Speak(_, text) if text:
                self._spoke(event, now)
            case _:
                pass

    def _spoke(self, event: Event, now: float) -> None:
        if (turn := self._turn) is None or (turn.open is None and not answers_caller(event)):
            return
        self._under(now)
        if turn.open is not None and not turn.is_answered:
            turn.is_answered = True
            is_filler = isinstance(event, TimerFired) and event.timer is Timer.FILLER
            turn.open.span.set_attribute("voice.turn.response_seconds", round(now - turn.began, 4))
            turn.open.span.set_attribute("voice.turn.filler", is_filler)

    def _under(self, now: float) -> OpenSpans:
        """The span of the turn, which begins with it; that of the call outside of turns."""
        if (turn := self._turn) is None:
            return self._call
        if turn.open is None:
            turn.open = self._begin("turn", min(turn.began, now), {}, self._call)
        return turn.open

    def _ask(self, key: tuple[str, int], now: float, under: OpenSpans) -> None:
        told = {"gen_ai.operation.name": "chat", **model_attributes(self._model())}
        name = f"chat {told['gen_ai.request.model']}"
        if key[0] == "summary":
            told["voice.purpose"] = "summary"
        self._running[key] = self._begin(name, now, told, under)

    def _wrote(self, reply: int, at: float) -> None:
        """The first of a reply is there, if nothing of it was."""
        asked = self._running.get(("reply", reply))
        if asked is not None and asked.latest == asked.began:
            asked.latest = max(at, asked.began)
            seconds = round(asked.latest - asked.began, 4)
            asked.span.set_attribute("gen_ai.response.time_to_first_chunk", seconds)

    def _finished(self, reply: int, stop: StopReason, at: float) -> None:
        """Keep it open until its tokens come."""
        self._wrote(reply, at)
        if (asked := self._running.pop(("reply", reply), None)) is not None:
            asked.span.set_attribute("gen_ai.response.finish_reasons", [FINISHED[stop]])
            self._content(asked, "pii_reply", self._texts.pop(reply, ""))
            self._uncounted = (reply, asked, at)
            cover(asked.under, at)

    def _count(self, reply: int | None, usage: Usage) -> None:
        if self._uncounted is not None and self._uncounted[0] == reply:
            tell_tokens(self._uncounted[1], usage)
            self._close_counted()
            return
        for (kind, number), asked in self._running.items():
            if (kind == "summary" and reply is None) or (kind, number) == ("reply", reply):
                tell_tokens(asked, usage)

    def _close_counted(self) -> None:
        if self._uncounted is not None:
            _, asked, at = self._uncounted
            self._uncounted = None
            self._end(asked, at)

    def _rest(self, now: float) -> None:
        """The turn is over when nothing is under way for it."""
        under = self._turn.open if self._turn else None
        if under and not any(one.under is under for one in self._running.values()):
            self._close_turn(now)

    def _close_turn(self, at: float) -> None:
        """The turn under way is over."""
        self._tell_turn()
        if self._turn is not None and self._turn.open is not None:
            self._turn.over = at
            self._untold, self._turn = self._turn, None

    def _tell_turn(self) -> None:
        """Close the span of the turn that is over."""
        turn, self._untold = self._untold, None
        self._silent_since = None
        if turn is None or turn.open is None:
            return
        turn.open.span.set_attribute("voice.turn.outcome", turn.outcome)
        if turn.interrupted:
            turn.open.span.set_attribute("voice.turn.interrupted", turn.interrupted)
        self._content(turn.open, "pii_caller", " ".join(turn.words))
        self._end(turn.open, turn.over, is_error=turn.outcome == "failed")

    def _content(self, one: OpenSpans | None, name: str, text: str) -> None:
        if one is not None and text and self._spans.with_content:
            one.span.set_attribute(name, text[:LARGEST_CONTENT])

    def _begin(
        self,
        name: str,
        at: float,
        attributes: Attributes,
        under: OpenSpans | None,
        *,
        is_client: bool = False,
    ) -> OpenSpans:
        parent = under.span if under else None
        span = self._spans.begin(name, at, attributes, parent, is_client=is_client)
        return OpenSpans(span, at, under, at)

    def _end_running(self, key: tuple[str, int | str], at: float, fault: str = "") -> None:
        """A request or a tool is over; it may be known."""
        if (one := self._running.pop(key, None)) is None:
            return
        if fault == "cancelled":
            one.span.set_attribute("voice.cancelled", True)
        elif fault:
            one.span.set_attribute("error.type", fault)
        self._end(one, at, is_error=fault not in {"", "cancelled"})

    def _end(self, one: OpenSpans, at: float, *, is_error: bool = False) -> None:
        """Never before what is under it."""
        at = max(at, one.latest)
        cover(one.under, at)
        self._spans.end(one.span, at, is_error=is_error)
