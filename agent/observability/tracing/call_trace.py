"""The trace of one connection of a call, made from what an observer sees.

The span of a reply stays open until its tokens are reported, that of a turn until its outcome is
known; both are closed with the time at which they were over.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from agent.call import events as ev
from agent.call.actions import CancelSummary, RunTool, Summarize
from agent.call.messages import StopReason, Usage
from agent.observability import turn_tracker as turns
from agent.observability.turn_stages import Activity, TrackedTurn
from agent.ports import ObservedStep

if TYPE_CHECKING:
    from opentelemetry.trace import Span

    from agent.observability.tracing import Attributes, TableOperation, Tracing

LARGEST_CONTENT = 4000
_FINISH_REASONS = {
    StopReason.END: "stop",
    StopReason.TOOLS: "tool_call",
    StopReason.LENGTH: "length",
    StopReason.BLOCKED: "content_filter",
    StopReason.MALFORMED: "error",
    StopReason.UNKNOWN: "unknown",
}


class CallTrace:
    """`ports.Observer` that makes the trace of one connection; made by `Tracing.call`."""

    def __init__(
        self, tracing: Tracing, began: float, attributes: Attributes, model: Callable[[], str]
    ) -> None:
        self._tracing = tracing
        self._model = model
        self._call = tracing.begin("call", began, attributes, None)
        self._tracker = turns.TurnTracker()
        self._turns: dict[TrackedTurn, Span] = {}
        self._activities: dict[int | str, Span] = {}
        self._summaries: dict[int, Span] = {}
        self._uncounted: tuple[Activity, Span] | None = None
        """A reply that is over; its tokens may still come."""
        self._texts: dict[int | str, str] = {}

    def observe(self, moment: ObservedStep) -> None:
        self._tracing.current = self._call
        self._note_event(moment.event, moment.received_at)
        for change in self._tracker.observe(moment, turns.interrupt_kind(moment)):
            self._note_change(change)
        for action, at in moment.timed_actions:
            match action:
                case Summarize(summary):
                    span = self._begin_request(at, self._call, {"voice.purpose": "summary"})
                    self._summaries[summary] = span
                case CancelSummary(summary) if summary in self._summaries:
                    self._end_with(self._summaries.pop(summary), at, "cancelled")
                case RunTool(call):
                    under_way = self._activities.get(call.id)
                    self._add_content(under_way, "pii_arguments", call.arguments)
                case _:
                    pass

    def ended(self, reason: ev.EndReason) -> None:
        now = self._tracing.now()
        self._close_uncounted()
        for span in (*self._activities.values(), *self._summaries.values()):
            self._end_with(span, now, "cancelled")
        self._activities.clear()
        for change in self._tracker.ended(now):
            self._note_change(change)
        self._call.set_attribute("voice.end_reason", reason.value)
        is_error = reason in {ev.EndReason.ERROR_MODEL, ev.EndReason.ERROR_RELAY}
        self._tracing.end(self._call, now, is_error=is_error)

    def add_operation(self, one: TableOperation) -> None:
        under = self._activities.get(one.tool, self._call)
        span = self._tracing.begin(one.name, one.began, one.attributes, under, is_client=True)
        self._tracing.end(span, one.ended, is_error=one.is_failed)

    def _note_event(self, event: ev.Event, at: float) -> None:
        match event:
            case ev.ReplyDelta(reply, text) | ev.ReplyFinished(reply, text=text) if (
                text and self._tracing.with_content
            ):
                self._texts[reply] = (self._texts.get(reply, "") + text)[:LARGEST_CONTENT]
            case ev.ToolFinished(call_id, outcome):
                self._add_content(self._activities.get(call_id), "pii_result", outcome.content)
            case ev.TokensCounted(reply, usage):
                self._add_tokens(reply, usage)
            case ev.Summarized(summary) if summary in self._summaries:
                self._end_with(self._summaries.pop(summary), at, "")
            case ev.SummaryFailed(summary) if summary in self._summaries:
                self._end_with(self._summaries.pop(summary), at, "summary_failed")
            case _:
                pass

    def _note_change(self, change: turns.Change) -> None:
        match change:
            case turns.ActivityBegan(activity):
                self._activities[activity.key] = self._begin_activity(activity)
            case turns.FirstToken(request):
                seconds = round((request.first or 0.0) - request.began, 4)
                span = self._activities[request.key]
                span.set_attribute("gen_ai.response.time_to_first_chunk", seconds)
            case turns.ActivityEnded(activity):
                self._end_activity(activity)
            case turns.TurnFinished(turn) if turn.cause is None:
                self._end_turn(turn)
            case _:
                pass

    def _begin_activity(self, one: Activity) -> Span:
        under = self._call if one.turn.cause is not None else self._turn_span(one.turn, one.began)
        if not one.tool:
            self._close_uncounted()
            return self._begin_request(one.began, under, {})
        attributes = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": one.tool}
        return self._tracing.begin(f"execute_tool {one.tool}", one.began, attributes, under)

    def _turn_span(self, turn: TrackedTurn, at: float) -> Span:
        if turn not in self._turns:
            began = min(turn.began, at)
            self._turns[turn] = self._tracing.begin("turn", began, {}, self._call)
        return self._turns[turn]

    def _begin_request(self, at: float, under: Span, more: dict[str, str]) -> Span:
        model = model_attributes(self._model())
        attributes = {"gen_ai.operation.name": "chat", **model, **more}
        return self._tracing.begin(f"chat {model['gen_ai.request.model']}", at, attributes, under)

    def _end_activity(self, one: Activity) -> None:
        span, at = self._activities.pop(one.key), one.ended or one.began
        if one.outcome == "finished" and one.stop is not None:
            span.set_attribute("gen_ai.response.finish_reasons", [_FINISH_REASONS[one.stop]])
            self._add_content(span, "pii_reply", self._texts.pop(one.key, ""))
            self._uncounted = (one, span)
        elif one.outcome == "cancelled":
            at = min(at, one.turn.over) if one.turn.is_closed else at
            self._end_with(span, max(at, one.began), one.outcome)
        else:
            if one.reason:
                span.set_attribute("error.message", one.reason)
            self._end_with(span, at, "tool_error" if one.outcome == "error" else one.fault)

    def _end_turn(self, turn: TrackedTurn) -> None:
        span = self._turn_span(turn, turn.began)
        del self._turns[turn]
        if turn.response is not None:
            span.set_attribute("voice.turn.response_seconds", round(turn.response, 4))
            span.set_attribute("voice.turn.filler", turn.is_filler)
        span.set_attribute("voice.turn.outcome", turn.outcome)
        if turn.interrupted:
            span.set_attribute("voice.turn.interrupted", turn.interrupted)
        self._add_content(span, "pii_caller", " ".join(turn.words))
        self._tracing.end(span, turn.over, is_error=turn.outcome == "failed")

    def _add_tokens(self, reply: int | None, usage: Usage) -> None:
        if reply is None:
            for span in self._summaries.values():
                _set_tokens(span, usage)
        elif self._uncounted is not None and self._uncounted[0].key == reply:
            _set_tokens(self._uncounted[1], usage)
            self._close_uncounted()
        elif reply in self._activities:
            _set_tokens(self._activities[reply], usage)

    def _close_uncounted(self) -> None:
        if self._uncounted is not None:
            one, span = self._uncounted
            self._uncounted = None
            self._tracing.end(span, one.ended or one.began)

    def _add_content(self, span: Span | None, name: str, text: str) -> None:
        if span is not None and text and self._tracing.with_content:
            span.set_attribute(name, text[:LARGEST_CONTENT])

    def _end_with(self, span: Span, at: float, fault: str) -> None:
        if fault == "cancelled":
            span.set_attribute("voice.cancelled", True)
        elif fault:
            span.set_attribute("error.type", fault)
        self._tracing.end(span, at, is_error=fault not in {"", "cancelled"})


def _set_tokens(span: Span, usage: Usage) -> None:
    """The tokens and the model that answered; tokens of the prompt cache are input too."""
    if usage.model:
        answered = model_attributes(usage.model)["gen_ai.request.model"]
        span.set_attribute("gen_ai.response.model", answered)
    read = usage.input + usage.cache_read + usage.cache_write
    span.set_attribute("gen_ai.usage.input_tokens", read)
    span.set_attribute("gen_ai.usage.output_tokens", usage.output)
    span.set_attribute("gen_ai.usage.cache_read.input_tokens", usage.cache_read)
    span.set_attribute("gen_ai.usage.cache_creation.input_tokens", usage.cache_write)


def model_attributes(identifier: str) -> dict[str, str]:
    """Provider and model of an identifier; one without a scheme is of Bedrock."""
    scheme, colon, name = identifier.partition(":")
    if colon and scheme == "openai":
        return {"gen_ai.provider.name": "openai", "gen_ai.request.model": name}
    provider = scheme if identifier.endswith(":") else "aws.bedrock"
    return {"gen_ai.provider.name": provider, "gen_ai.request.model": identifier}
