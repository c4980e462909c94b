"""Traces of calls for OpenTelemetry, an extra that is off unless the standard variables ask for it.

    call                    one line of a call, from its opening to its end
      turn                  one turn of the caller, by the rules of `telemetry.turns`
        chat MODEL          one request to a model
        execute_tool NAME   one run of a tool
          OPERATION TABLE   one operation on the table that it makes
      OPERATION TABLE       one that the line causes otherwise

What the agent does by itself (a re-prompt, a summary) hangs on the call. A tool that outlives its
turn outlives the span of the turn too.

A `CallTrace` is one more observer: spans are made afterwards, from the events of a call, with times
given. So nothing on the path of a call knows of traces. Operations on the table are no events of a
call: the store that measures them tells them, and a context variable whose they are (`table`).
Spans are sent by a thread of their own from a queue that drops the oldest when it is full; a
collector that is slow or away costs spans and no call.

Attributes are those of the GenAI and the database conventions, others begin with `voice.`. None
holds a key of the table, what was said or who said it. With
`OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=true` words are told under names that begin with
`pii_`.

The packages are imported when traces are asked for. Rejected: instrumenting clients of models and
tables, which would show their requests and no turns, and would run on the path of a call.
"""

from agent.observability.tracing.call_trace import CallTrace
from agent.observability.tracing.traced_ports import TracedTable, TracedToolExecutor
from agent.observability.tracing.tracing_setup import Tracing, is_asked, open_tracing

__all__ = ["CallTrace", "TracedTable", "TracedToolExecutor", "Tracing", "is_asked", "open_tracing"]
