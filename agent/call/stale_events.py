"""Events of what is no longer under way: a reply, tool, timer or summary that was left."""

from __future__ import annotations

from dataclasses import dataclass

from agent.call import events as ev
from agent.call.reply import Reply
from agent.call.summarization import Summarization
from agent.call.timers import TimerSet
from agent.call.tool_calls import ToolCalls


@dataclass(frozen=True, slots=True)
class StaleEvents:
    """What of one call is under way."""

    _reply: Reply
    _tools: ToolCalls
    _timers: TimerSet
    _summarization: Summarization

    def holds(self, event: ev.Event) -> bool:
        """Whether the event is stale, so that it changes nothing."""
        match event:
            case ev.ReplyDelta(reply) | ev.ReplyFinished(reply) | ev.ReplyFailed(reply):
                return not self._reply.is_current(reply)
            case ev.ToolFinished(call_id):
                return not self._tools.is_running(call_id)
            case ev.TimerFired(timer, serial):
                return self._timers.running.get(timer) != serial
            case ev.Summarized(summary) | ev.SummaryFailed(summary):
                return not self._summarization.is_current(summary)
            case _:
                return False
