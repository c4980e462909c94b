"""What is counted of a call.

Definitions (practice section 21; all on the event loop's clock):

- *time to first token*: request handed to the model -> first text or tool call of the reply.
- *time to first speech*: caller's final words received -> first text written to the line.
- *overhead*: time to first speech without the time spent waiting for the model and for tools.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from agent.conversation.actions import (
    Action,
    CancelReply,
    CancelTool,
    Record,
    RunTool,
    Speak,
    StartReply,
)
from agent.conversation.events import (
    CallerInterrupted,
    CallerPressed,
    CallerSpoke,
    EndReason,
    Event,
    ReplyDelta,
    ReplyFailed,
    ReplyFinished,
    Summarized,
    SummaryFailed,
    TokensCounted,
    ToolFinished,
)
from agent.telemetry.metrics import Metrics


class CallObserver:
    """`ports.Observer` of one call."""

    def __init__(self, telemetry: Metrics, use_case: str, model: Callable[[], str]) -> None:
        self._telemetry = telemetry
        self._use_case = use_case
        self._model = model
        self._asked: dict[int, float] = {}
        self._answering: set[int] = set()
        self._tools: dict[str, tuple[str, float]] = {}
        self._turn_began: float | None = None
        self._outside = _Waits()
        self.tokens = 0
        """Of all kinds, used so far."""
        telemetry.active_calls.inc()

    def ended(self, reason: EndReason) -> None:
        """The call is over; called once."""
        self._telemetry.active_calls.dec()
        self._telemetry.calls.labels(self._use_case, reason).inc()

    def observe(self, event: Event, actions: Sequence[Action], received_at: float) -> None:
        """See `ports.Observer`."""
        now = self._telemetry.now()
        self._observe_event(event, actions, received_at)
        for action in actions:
            self._observe_action(action, now)

    def _observe_event(  # noqa: C901, PLR0912 (one case for each event that counts)
        self, event: Event, actions: Sequence[Action], received_at: float
    ) -> None:
        match event:
            case CallerSpoke(_, True) | CallerPressed():
                self._turn_began = received_at if self._turn_began is None else self._turn_began
                self._count_cut(event, actions)
            case CallerInterrupted():
                self._count_cut(event, actions)
            case ReplyDelta(reply, text) if text:
                self._note_first_token(reply, received_at)
            case ReplyFinished(reply, calls):
                if calls:
                    self._note_first_token(reply, received_at)
                self._end_reply(reply, received_at, "finished")
            case ReplyFailed(reply, fault):
                if self._end_reply(reply, received_at, "failed"):
                    self._telemetry.llm_errors.labels(self._model(), fault).inc()
            case ToolFinished(call_id, outcome):
                self._end_tool(call_id, received_at, "error" if outcome.is_error else "ok")
            case TokensCounted(_, usage):
                for kind in ("input", "output", "cache_read", "cache_write"):
                    tokens = self._telemetry.llm_tokens.labels(self._model(), kind)
                    tokens.inc(getattr(usage, kind))
                    self.tokens += getattr(usage, kind)
            case Summarized():
                self._telemetry.summaries.labels("came").inc()
            case SummaryFailed():
                self._telemetry.summaries.labels("failed").inc()
            case _:
                pass

    def _observe_action(self, action: Action, now: float) -> None:
        match action:
            case StartReply(reply):
                self._asked[reply] = now
                self._answering.add(reply)
                self._outside.begin(reply, now)
            case CancelReply(reply):
                self._end_reply(reply, now, "cancelled")
            case RunTool(call):
                self._tools[call.id] = (call.name, now)
                self._outside.begin(call.id, now)
            case CancelTool(call_id):
                self._end_tool(call_id, now, "cancelled")
            case Speak(_, text) if text:
                self._note_first_speech(now)
            case _:
                pass

    def _count_cut(self, event: Event, actions: Sequence[Action]) -> None:
        is_cut = any(isinstance(action, CancelReply) for action in actions)
        match event:
            case CallerInterrupted():
                is_real = is_cut or any(isinstance(action, Record) for action in actions)
                self._telemetry.interrupts.labels("speech" if is_real else "empty").inc()
            case CallerSpoke() if is_cut:
                self._telemetry.interrupts.labels("new_words").inc()
            case CallerPressed() if is_cut:
                self._telemetry.interrupts.labels("keypad").inc()
            case _:
                pass

    def _note_first_token(self, reply: int, at: float) -> None:
        if (asked := self._asked.pop(reply, None)) is not None:
            histogram = self._telemetry.first_token.labels(self._model(), self._use_case)
            histogram.observe(at - asked)
            self._outside.end(reply, at)

    def _note_first_speech(self, now: float) -> None:
        if self._turn_began is not None:
            seconds = now - self._turn_began
            self._telemetry.first_speech.labels(self._use_case).observe(seconds)
            self._telemetry.overhead.observe(max(0.0, seconds - self._outside.take(now)))
            self._turn_began = None

    def _end_reply(self, reply: int, at: float, outcome: str) -> bool:
        """The reply is no more; false if that was known."""
        self._asked.pop(reply, None)
        self._outside.end(reply, at)
        if reply not in self._answering:
            return False
        self._answering.remove(reply)
        self._telemetry.llm_requests.labels(self._model(), outcome).inc()
        return True

    def _end_tool(self, call_id: str, at: float, outcome: str) -> None:
        self._outside.end(call_id, at)
        if (run := self._tools.pop(call_id, None)) is not None:
            name, began = run
            self._telemetry.tool_duration.labels(name, outcome).observe(at - began)


class _Waits:
    """Time in which at least one thing outside was waited for."""

    def __init__(self) -> None:
        self._waiting: set[int | str] = set()
        self._since = 0.0
        self._total = 0.0

    def begin(self, what: int | str, at: float) -> None:
        if not self._waiting:
            self._since = at
        self._waiting.add(what)

    def end(self, what: int | str, at: float) -> None:
        if what in self._waiting:
            self._waiting.remove(what)
            if not self._waiting:
                self._total += at - self._since

    def take(self, now: float) -> float:
        """The time so far; counting starts anew."""
        total = self._total + (now - self._since if self._waiting else 0.0)
        self._since, self._total = now, 0.0
        return total
