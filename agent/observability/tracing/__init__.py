"""Traces of calls for OpenTelemetry, an extra that is off unless the standard variables ask for it.

    call                    one connection of a call, from its opening to its end
      turn                  one turn of the caller
        chat MODEL          one request to a model
        execute_tool NAME   one run of a tool
          OPERATION TABLE   one operation on the table that it makes
      OPERATION TABLE       one that the connection causes otherwise

- What the agent does by itself (a re-prompt, a summary) hangs on the call.
- Spans are made afterwards, from the steps of a call. A thread sends them from a queue that drops
  the oldest when it is full: a collector that is slow or away costs spans and no call.
- Attributes are those of the GenAI and database conventions; others begin with `voice.`. None holds
  a key of the table, what was said or who said it, except under `pii_` names if asked for.

Operations on the table are assigned to a connection by a context variable that every task begun
while it is served inherits: tools, and the journal, which outlives the connection. Without it an
operation leaves no span: probes, seeding, the webhook and the handshake, which may run in another
process. Rejected: a call as one more argument of each operation; instrumenting clients of models
and tables, which would show no turns and run on the path of a call.
"""

from __future__ import annotations

import asyncio
import logging
from asyncio import CancelledError
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from threading import Thread
from time import monotonic, time
from typing import TYPE_CHECKING, NamedTuple

import structlog

from agent import __version__
from agent.call.actions import Entry, ToolOutcome
from agent.call.messages import ToolCall
from agent.observability.tracing.call_trace import CallTrace
from agent.ports import ToolExecutor

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor
    from opentelemetry.trace import Span

__all__ = ["CallTrace", "TracedTable", "TracedToolExecutor", "Tracing", "is_asked", "open_tracing"]

log = structlog.get_logger(__name__)

Attributes = Mapping[str, str | int | float | bool | Sequence[str]]
MOST_OPERATIONS = 2000
"""About five hundred turns, or a hundred and fifty that each place an order."""
ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_TIMEOUTS = ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT")
_CONTENT = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
_EXPORT_SECONDS = 3.0
"""The limit of one export, if the variables set none."""
FLUSH_SECONDS = 3.0


@asynccontextmanager
async def open_tracing(environment: Mapping[str, str]) -> AsyncIterator[Tracing | None]:
    """The traces of this process; None unless they are asked for and can be made."""
    if not is_asked(environment):
        yield None
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        log.warning("traces.not_installed", extra="traces")
        yield None
        return
    is_limited = any(environment.get(name) for name in _TIMEOUTS)
    exporter = OTLPSpanExporter(timeout=None if is_limited else _EXPORT_SECONDS)
    with_content = environment.get(_CONTENT, "").strip().lower() == "true"
    tracing = Tracing(BatchSpanProcessor(exporter), with_content=with_content)
    exporter_log, library = _ExporterLog(logging.WARNING), logging.getLogger("opentelemetry")
    library.addHandler(exporter_log)
    library.propagate = False
    try:
        yield tracing
    finally:
        if not await tracing.close():
            log.warning("traces.not_sent", seconds=FLUSH_SECONDS)
            exporter.shutdown()  # type: ignore[no-untyped-call] # the package has no type for it
        library.removeHandler(exporter_log)
        library.propagate = True


class _ExporterLog(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        log.warning("traces.export_failed", message=str(record.msg))  # values may be personal


def is_asked(environment: Mapping[str, str]) -> bool:
    """Whether the standard variables name a collector and do not switch traces off."""
    is_off = environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    is_none = environment.get("OTEL_TRACES_EXPORTER", "").strip().lower() == "none"
    return not (is_off or is_none) and any(environment.get(name, "").strip() for name in ENDPOINTS)


class Tracing:
    """Makes spans, with times of the event loop; `processor` takes ended ones and must not wait."""

    def __init__(
        self,
        processor: SpanProcessor,
        *,
        with_content: bool = False,
        now: Callable[[], float] = monotonic,
        epoch: Callable[[], float] = time,
    ) -> None:
        from opentelemetry import trace
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider

        resource = Resource.create({"service.version": __version__})
        if str(resource.attributes["service.name"]).startswith("unknown_service"):
            resource = resource.merge(Resource({"service.name": "voice-agent"}))
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("voice-agent", __version__)
        self._trace = trace
        self.with_content = with_content
        self.now = now
        self._offset = epoch() - now()
        self.current: Span | None = None
        """The call observed last, for `trace_id`."""

    def trace_id(self) -> str:
        """Of the call observed last; empty if there is none or it is not sampled."""
        context = self.current and self.current.get_span_context()
        return f"{context.trace_id:032x}" if context and context.trace_flags.sampled else ""

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Operations on the table meanwhile belong to a connection whose span begins now."""
        token = _SERVED.set(_ServedConnection(self.now()))
        try:
            yield
        finally:
            _SERVED.reset(token)

    def call(
        self, call_sid: str, use_case: str, resume: int, model: Callable[[], str]
    ) -> CallTrace:
        """A connection begins, the first of its call if `resume` is 0."""
        names: Attributes = {"gen_ai.conversation.id": call_sid, "gen_ai.agent.name": use_case}
        line = _SERVED.get() or _ServedConnection(self.now())
        trace = CallTrace(self, line.since, {**names, "voice.resume": resume}, model)
        line.follow(trace.add_operation)
        return trace

    def begin(
        self,
        name: str,
        at: float,
        attributes: Attributes,
        under: Span | None,
        *,
        is_client: bool = False,
    ) -> Span:
        """Begin a span, with a name from a bounded set; without a parent it begins a trace."""
        return self._tracer.start_span(
            name,
            context=None if under is None else self._trace.set_span_in_context(under),
            kind=self._trace.SpanKind.CLIENT if is_client else self._trace.SpanKind.INTERNAL,
            start_time=self._nanoseconds(at),
            attributes=attributes,
        )

    def end(self, span: Span, at: float, *, is_error: bool = False) -> None:
        if is_error:
            span.set_status(self._trace.StatusCode.ERROR)
        span.end(self._nanoseconds(at))

    def _nanoseconds(self, at: float) -> int:
        return round((at + self._offset) * 1e9)

    async def close(self) -> bool:
        """Send what is left, for `FLUSH_SECONDS` at most; whether all was sent."""
        closing = Thread(target=self._provider.shutdown, name="traces", daemon=True)
        closing.start()
        await asyncio.to_thread(closing.join, FLUSH_SECONDS)
        return not closing.is_alive()


class TableOperation(NamedTuple):
    """An operation that is over."""

    name: str
    began: float
    ended: float
    attributes: Attributes
    tool: str
    """Identifier of the tool call for which it was done; empty = none."""
    is_failed: bool


class _ServedConnection:
    """Its operations on the table wait until it has a trace."""

    def __init__(self, since: float) -> None:
        self.since = since
        self._left = MOST_OPERATIONS
        self._waiting: list[TableOperation] = []
        self._add: Callable[[TableOperation], None] = self._waiting.append

    def note(self, operation: TableOperation) -> None:
        if self._left:
            self._left -= 1
            self._add(operation)

    def follow(self, add: Callable[[TableOperation], None]) -> None:
        for operation in self._waiting:
            add(operation)
        self._waiting.clear()
        self._add = add


_SERVED: ContextVar[_ServedConnection | None] = ContextVar("served", default=None)
_TOOL: ContextVar[str] = ContextVar("tool", default="")


@dataclass(frozen=True, slots=True)
class TracedToolExecutor:
    """`ports.ToolExecutor` under whose tools the operations appear that they make."""

    toolbox: ToolExecutor

    async def run(self, call: ToolCall, entry: Entry | None = None) -> ToolOutcome:
        token = _TOOL.set(call.id)
        try:
            return await self.toolbox.run(call, entry)
        finally:
            _TOOL.reset(token)


class TracedTable:
    """`measured_ports.OnOperation` for traces; `name` is that of the table, empty for SQLite."""

    def __init__(self, name: str) -> None:
        self._name = name or "items"
        self._system = "aws.dynamodb" if name else "sqlite"

    def __call__(
        self, operation: str, began: float, ended: float, error: type[BaseException] | None
    ) -> None:
        if (connection := _SERVED.get()) is None:
            return
        attributes: dict[str, str | bool] = {
            "db.system.name": self._system,
            "db.collection.name": self._name,
            "db.operation.name": operation,
        }
        is_failed = error is not None and not issubclass(error, CancelledError)
        if error is not None:
            attributes |= {"error.type": error.__name__} if is_failed else {"voice.cancelled": True}
        name = f"{operation} {self._name}"
        connection.note(TableOperation(name, began, ended, attributes, _TOOL.get(), is_failed))
