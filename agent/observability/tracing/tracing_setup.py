"""The traces of one process: whether they are asked for, who makes spans, how they are sent."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractContextManager, asynccontextmanager
from threading import Thread
from time import monotonic, time
from typing import TYPE_CHECKING

import structlog

from agent import __version__
from agent.observability.tracing.call_trace import CallTrace
from agent.observability.tracing.spans import Attributes
from agent.observability.tracing.traced_ports import Served, served, serving

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor
    from opentelemetry.trace import Span

log = structlog.get_logger(__name__)

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_TIMEOUTS = ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT")
_CONTENT = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
EXPORT_SECONDS = 3.0
"""How long one export may take, where the variables say nothing."""
FLUSH_SECONDS = 3.0
"""How long the end of the process waits for spans that were not sent yet."""


@asynccontextmanager
async def open_tracing(environment: Mapping[str, str]) -> AsyncIterator[Tracing | None]:
    """The traces of this process; None unless they are asked for and can be made.

    On leaving, what was not sent is sent, or given up after `FLUSH_SECONDS`.
    """
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
    exporter = OTLPSpanExporter(timeout=None if is_limited else EXPORT_SECONDS)
    tracing = Tracing(
        BatchSpanProcessor(exporter),
        with_content=environment.get(_CONTENT, "").strip().lower() == "true",
    )
    notices, library = _Notices(logging.WARNING), logging.getLogger("opentelemetry")
    library.addHandler(notices)
    library.propagate = False
    try:
        yield tracing
    finally:
        if not await tracing.close():
            log.warning("traces.not_sent", seconds=FLUSH_SECONDS)
            exporter.shutdown()  # type: ignore[no-untyped-call] # the package has no type for it
        library.removeHandler(notices)
        library.propagate = True


class _Notices(logging.Handler):
    """Lines of the library, in the form of ours; without values, which it takes from anywhere."""

    def emit(self, record: logging.LogRecord) -> None:
        log.warning("traces.trouble", notice=str(record.msg))


def is_asked(environment: Mapping[str, str]) -> bool:
    """Whether the standard variables name a collector and do not say that there is none."""
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    if environment.get("OTEL_TRACES_EXPORTER", "").strip().lower() == "none":
        return False
    return any(environment.get(name, "").strip() for name in ENDPOINTS)


class Tracing:
    """Makes spans; needs the extra `traces`.

    Args:
        processor: Takes them when they are over; must not wait.
        with_content: Whether spans have what was said.
        now: Seconds on the clock of the event loop.
        epoch: Epoch seconds.
    """

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
        self._in_context = trace.set_span_in_context
        self._error = trace.StatusCode.ERROR
        self._client, self._internal = trace.SpanKind.CLIENT, trace.SpanKind.INTERNAL
        self.with_content = with_content
        self.now = now
        self._offset = epoch() - now()
        self._current: Span | None = None

    def trace_id(self) -> str:
        """Of the call that is observed now, or was last; empty = of none that is sent."""
        if self._current is None or not self._current.get_span_context().trace_flags.sampled:
            return ""
        return f"{self._current.get_span_context().trace_id:032x}"

    def serving(self) -> AbstractContextManager[None]:
        """A line is served meanwhile: the span of its call begins now, see `table`."""
        return serving(Served(self.now()))

    def call(
        self, call_sid: str, use_case: str, resume: int, model: Callable[[], str]
    ) -> CallTrace:
        """A line begins; its trace is whole after `CallTrace.ended`.

        Args:
            call_sid: Links the lines of a call.
            use_case: Its name.
            resume: Number of the line; 0 is the first one of the call.
            model: Tells the name of the model that answers now.
        """
        attributes: Attributes = {
            "gen_ai.conversation.id": call_sid,
            "gen_ai.agent.name": use_case,
            "voice.resume": resume,
        }
        line = served() or Served(self.now())
        trace = CallTrace(self, line.since, attributes, model)
        line.follow(trace.stored)
        return trace

    def begin(
        self, name: str, at: float, attributes: Attributes, under: Span | None, *, is_client: bool
    ) -> Span:
        """See `spans.Spans`."""
        return self._tracer.start_span(
            name,
            context=None if under is None else self._in_context(under),
            kind=self._client if is_client else self._internal,
            start_time=self._nanoseconds(at),
            attributes=attributes,
        )

    def end(self, span: Span, at: float, *, is_error: bool) -> None:
        """See `spans.Spans`."""
        if is_error:
            span.set_status(self._error)
        span.end(self._nanoseconds(at))

    def observing(self, span: Span) -> None:
        """See `spans.Spans`."""
        self._current = span

    def _nanoseconds(self, at: float) -> int:
        return round((at + self._offset) * 1e9)

    async def close(self) -> bool:
        """Send what is left, so long at most; whether that was enough. Nothing is taken after."""
        closing = Thread(target=self._provider.shutdown, name="traces", daemon=True)
        closing.start()
        await asyncio.to_thread(closing.join, FLUSH_SECONDS)
        return not closing.is_alive()
