"""What is measured of the replies and tools of one call.

Definitions (practice section 21), all from the moment the request is handed to the model:

- *time to first token*: until the first text or tool call of the reply.
- *time to first clause*: until the first text of it is written to the line.
- *duration*: until the reply is complete, was left or has failed.
- *tokens per second*: tokens of the reply in the time from its first token to its end.

Times and outcomes are those of the model that was asked, as a caller waits for it, whoever stood in
for it: who did is known only with the tokens, which a reply that was left never tells. Tokens and
their speed are those of the model that answered.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from agent.call.actions import Action, CancelReply, CancelTool, RunTool, Speak, StartReply
from agent.call.events import (
    Event,
    ReplyDelta,
    ReplyFailed,
    ReplyFinished,
    Summarized,
    SummaryFailed,
    TokensCounted,
    ToolFinished,
)
from agent.call.messages import Usage
from agent.observability.call_summary import by_kind
from agent.ports import Count, ObservedStep

_SHORTEST_WRITING_SECONDS = 0.05
"""A reply that came all at once has no speed."""


@dataclass(slots=True)
class _Reply:
    asked: float
    first_token: float | None = None
    is_heard: bool = False


class Replies:
    """Measures the replies and tools of one call; arguments as for `Turns`."""

    def __init__(self, count: Count, use_case: str, model: Callable[[], str]) -> None:
        self._count = count
        self._use_case = use_case
        self._model = model
        self._replies: dict[int, _Reply] = {}
        self._written: dict[int, float] = {}
        """Seconds of writing of the reply that has ended last; its tokens may still come."""
        self._tools: dict[str, tuple[str, float]] = {}

    def is_being_written(self, event: Event) -> bool:
        """The event is a piece of a reply, and not its first."""
        if not isinstance(event, ReplyDelta):
            return False
        reply = self._replies.get(event.reply)
        return reply is not None and reply.first_token is not None

    def observe(self, moment: ObservedStep) -> None:
        """Follow one moment of the call."""
        event, at, deeds = moment
        self._note_event(event, at)
        for action, done_at in deeds:
            self._note_action(action, done_at)
        if isinstance(event, ReplyFinished):  # its last words were written just now
            self._end_reply(event.reply, at, "finished")

    def _note_event(self, event: Event, at: float) -> None:
        match event:
            case ReplyDelta(reply, text) if text:
                if reply not in self._replies:
                    self._count("agent_llm_stale_pieces_total")
                self._first_token(reply, at)
            case ReplyFinished(reply, calls) if calls:
                self._first_token(reply, at)
            case ReplyFailed(reply, fault):
                if self._end_reply(reply, at, "failed"):
                    self._count("agent_llm_errors_total", model=self._model(), kind=fault)
            case ToolFinished(call_id, outcome):
                self._end_tool(call_id, at, "error" if outcome.is_error else "ok")
            case TokensCounted(reply, usage):
                self._count_tokens(reply, usage)
            case Summarized():
                self._count("agent_summaries_total", outcome="came")
            case SummaryFailed():
                self._count("agent_summaries_total", outcome="failed")
            case _:
                pass

    def _note_action(self, action: Action, at: float) -> None:
        match action:
            case StartReply(reply):
                self._replies[reply] = _Reply(at)
            case CancelReply(reply):
                self._end_reply(reply, at, "cancelled")
            case RunTool(call):
                self._tools[call.id] = (call.name, at)
            case CancelTool(call_id):
                self._end_tool(call_id, at, "cancelled")
            case Speak(_, text) if text:
                self._first_clause(at)
            case _:
                pass

    def _first_token(self, number: int, at: float) -> None:
        reply = self._replies.get(number)
        if reply is not None and reply.first_token is None:
            reply.first_token = at
            self._count(
                "agent_llm_time_to_first_token_seconds",
                at - reply.asked,
                model=self._model(),
                use_case=self._use_case,
            )

    def _first_clause(self, at: float) -> None:
        """Text was written: that of the reply which is being written."""
        for reply in self._replies.values():
            if reply.first_token is not None and not reply.is_heard:
                reply.is_heard = True
                self._count(
                    "agent_llm_time_to_first_clause_seconds",
                    at - reply.asked,
                    model=self._model(),
                    use_case=self._use_case,
                )

    def _end_reply(self, number: int, at: float, outcome: str) -> bool:
        """The reply is no more; false if that was known."""
        if (reply := self._replies.pop(number, None)) is None:
            return False
        model = self._model()
        self._count("agent_llm_requests_total", model=model, outcome=outcome)
        self._count("agent_llm_duration_seconds", at - reply.asked, model=model, outcome=outcome)
        if reply.first_token is not None:
            self._written = {number: at - reply.first_token}
        return True

    def _count_tokens(self, number: int | None, usage: Usage) -> None:
        model = usage.model or self._model()
        for kind, tokens in by_kind(usage).items():
            self._count("agent_llm_tokens_total", tokens, model=model, kind=kind)
        seconds = self._written.pop(number, 0.0) if number is not None else 0.0
        if seconds >= _SHORTEST_WRITING_SECONDS and usage.output:
            self._count("agent_llm_tokens_per_second", usage.output / seconds, model=model)

    def _end_tool(self, call_id: str, at: float, outcome: str) -> None:
        if (run := self._tools.pop(call_id, None)) is not None:
            name, began = run
            self._count("agent_tool_duration_seconds", at - began, tool=name, outcome=outcome)
