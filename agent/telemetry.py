"""What operators see of a call: metrics and logs, both fed from one hook.

`CallObserver.observe` sees each event with the actions it led to; every number about calls is
derived there, so that nothing on the path of a call measures itself. Labels are bounded sets,
never a call id or a number (contract section 6). Log values that may be personal have keys that
begin with `pii_` and are dropped.

Definitions (practice section 21; all on the event loop's clock):

- *time to first token*: request handed to the model -> first text or tool call of the reply.
- *time to first speech*: caller's final words received -> first text written to the line.
- *overhead*: time to first speech without the time spent waiting for the model and for tools.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from time import monotonic
from typing import Literal

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import choose_encoder

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
    ReplyFault,
    ReplyFinished,
    Summarized,
    SummaryFailed,
    TokensCounted,
    ToolFinished,
)
from agent.ports import (
    Channel,
    Item,
    Key,
    Mail,
    MessageRefusedError,
    Messenger,
    Store,
    StoreError,
    TextMessage,
)

Clock = Callable[[], float]

_VOICE = (0.1, 0.2, 0.3, 0.4, 0.5, 0.65, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 20.0)
_FINE = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


def configure_logging(level: str, log_format: str) -> None:
    """Set up structlog for the process.

    Args:
        level: `debug`, `info`, `warning` or `error`.
        log_format: `json` or `console`.
    """
    renderer: structlog.types.Processor = structlog.processors.JSONRenderer()
    tracebacks: structlog.types.Processor = structlog.processors.format_exc_info
    if log_format == "console":
        renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
        tracebacks = structlog.stdlib.add_log_level
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            drop_personal,
            tracebacks,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def drop_personal(
    _: object, __: str, values: MutableMapping[str, object]
) -> MutableMapping[str, object]:
    """Leave out every value that may be personal."""
    for key in [key for key in values if key.startswith("pii_")]:
        del values[key]
    return values


class Telemetry:
    """All metrics of one process."""

    def __init__(self, clock: Clock = monotonic) -> None:
        self._clock = clock
        self._registry = CollectorRegistry()

        def histogram(
            name: str, text: str, labels: tuple[str, ...] = (), buckets: tuple[float, ...] = _FINE
        ) -> Histogram:
            return Histogram(name, text, labels, registry=self._registry, buckets=buckets)

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(name, text, labels, registry=self._registry)

        self.first_token = histogram(
            "agent_llm_time_to_first_token_seconds",
            "Request sent to the model until the first text or tool call.",
            ("model", "use_case"),
            _VOICE,
        )
        self.first_speech = histogram(
            "agent_turn_time_to_first_speech_seconds",
            "Caller's final words received until the first text is written.",
            ("use_case",),
            _VOICE,
        )
        self.overhead = histogram(
            "agent_turn_overhead_seconds",
            "Part of the time to first speech that is neither the model's nor a tool's.",
        )
        self.active_calls = Gauge(
            "agent_active_calls", "Calls in progress.", registry=self._registry
        )
        self.calls = counter("agent_calls", "Calls ended.", "use_case", "end_reason")
        self.call_resumes = counter(
            "agent_call_resumes", "Calls that were given a new line.", "cause", "outcome"
        )
        self.calls_refused = counter("agent_calls_refused", "Calls not taken.", "reason")
        self.access_tokens = counter(
            "agent_access_tokens", "Access tokens that were asked for.", "outcome"
        )
        self.outbound_calls = counter(
            "agent_outbound_calls", "Calls that we make: asked for, answered, ended.", "outcome"
        )
        self.interrupts = counter("agent_interrupts", "Times a caller broke in.", "kind")
        self.tool_duration = histogram(
            "agent_tool_duration_seconds", "Tool started until it ended.", ("tool", "outcome")
        )
        self.llm_requests = counter("agent_llm_requests", "Replies asked for.", "model", "outcome")
        self.llm_errors = counter("agent_llm_errors", "Replies that failed.", "model", "kind")
        self.llm_tokens = counter("agent_llm_tokens", "Tokens used.", "model", "kind")
        self.summaries = counter(
            "agent_summaries", "Summaries of long calls that were asked for.", "outcome"
        )
        self.models = ModelCounters(self._registry, self.llm_errors)
        self.webhook_duration = histogram(
            "agent_webhook_duration_seconds", "Webhook until its answer.", ("route", "status")
        )
        self.store_duration = histogram(
            "agent_store_duration_seconds", "One table operation.", ("operation", "outcome")
        )
        self.messages = counter(
            "agent_messages",
            "Messages by what has become of them; one message may be counted in several states.",
            *("channel", "status"),
        )
        self.journals = JournalCounters(self._registry)
        self.tool_sources = SourceGauge(self._registry)
        self.frames_ignored = counter(
            "agent_relay_frames_ignored", "Relay frames that could not be used.", "kind"
        )
        self.relay_errors = counter(
            "agent_relay_errors", "Errors the relay has reported on the socket."
        )
        self.draining = Gauge(
            "agent_draining", "1 while the process lets its calls end.", registry=self._registry
        )
        self.load = LoadGauges(
            histogram("agent_event_loop_lag_seconds", "How late a scheduled callback ran."),
            self._registry,
        )
        self.reserved_calls = Gauge(
            "agent_reserved_calls",
            "Calls set up here that wait for their socket.",
            registry=self._registry,
        )
        self.connections = Gauge(
            "agent_connections", "Connections that are open.", ("port",), registry=self._registry
        )
        self.connections_cut = counter(
            "agent_connections_cut", "Connections this process has closed.", "port", "reason"
        )

    def call(self, use_case: str, model: Callable[[], str]) -> CallObserver:
        """A new call begins; its observer counts it until `ended`.

        Args:
            use_case: Its name.
            model: Tells the name of the model that answers now.
        """
        return CallObserver(self, use_case, model)

    def now(self) -> float:
        """Seconds on the clock of all durations."""
        return self._clock()

    def render(self, accept: str) -> tuple[bytes, str]:
        """All metrics in the form a scraper accepts, and its content type."""
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type


class ModelCounters:
    """What went wrong with models and was made good, so that no call tells of it."""

    def __init__(self, registry: CollectorRegistry, errors: Counter) -> None:
        self._errors = errors
        self._retries = Counter(
            "agent_llm_retries", "Models asked again.", ("model",), registry=registry
        )
        self._fallbacks = Counter(
            "agent_llm_fallbacks", "Models asked for another one.", ("model",), registry=registry
        )
        self._hedges = Counter(
            "agent_llm_hedges", "Second requests.", ("outcome",), registry=registry
        )
        self._breaker = Gauge(
            "agent_llm_breaker_open", "1 while passed over.", ("model",), registry=registry
        )

    def failed(self, model: str, fault: ReplyFault) -> None:
        """A request failed, and another one will be made for it."""
        self._errors.labels(model, fault).inc()

    def retried(self, model: str) -> None:
        """The same model is asked again."""
        self._retries.labels(model).inc()

    def fell_back(self, model: str) -> None:
        """This model is asked in the place of one before it."""
        self._fallbacks.labels(model).inc()

    def hedged(self, outcome: Literal["started", "won"]) -> None:
        """A second request was started, or it was the one that answered."""
        self._hedges.labels(outcome).inc()

    def breaker(self, model: str, *, is_open: bool) -> None:
        """A model is passed over from now on, or asked again."""
        self._breaker.labels(model).set(int(is_open))


class JournalCounters:
    """Facts that are not in the table, so that calls go on from memory."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._waiting = Gauge(
            "agent_journal_facts_waiting", "Facts of calls not yet written.", registry=registry
        )
        self._delayed = Gauge(
            "agent_journal_calls_delayed",
            "Calls, also ended ones, whose facts wait for a table that has failed.",
            registry=registry,
        )
        self._lost = Counter(
            "agent_journal_facts_lost", "Facts given up.", ("reason",), registry=registry
        )

    def waiting(self, facts: int) -> None:
        """So many facts are recorded and not written."""
        self._waiting.set(facts)

    def delayed(self, calls: int) -> None:
        """So many calls have facts that the table could not take yet."""
        self._delayed.set(calls)

    def lost(self, facts: int, reason: str) -> None:
        """So many more facts will not be written; the reasons are a closed list."""
        self._lost.labels(reason).inc(facts)


class SourceGauge:
    """Which of those who offer tools can be reached."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._up = Gauge(
            "agent_tool_source_up", "1 while its tools are there.", ("source",), registry=registry
        )

    def changed(self, source: str, *, is_up: bool) -> None:
        """A source offers its tools from now on, or does not."""
        self._up.labels(source).set(int(is_up))


class LoadGauges:
    """How late the event loop is, and what is left out for it."""

    def __init__(self, lag: Histogram, registry: CollectorRegistry) -> None:
        self._lag = lag
        self._shedding = Gauge(
            "agent_load_shedding",
            "0 nothing is left out, 1 hedges, 2 new calls.",
            registry=registry,
        )
        self._tasks = Gauge("agent_tasks", "Tasks of the event loop.", registry=registry)

    def lagged(self, seconds: float) -> None:
        """A callback ran so late."""
        self._lag.observe(seconds)
        self._tasks.set(len(asyncio.all_tasks()))

    def shedding(self, level: int) -> None:
        """This much is left out from now on."""
        self._shedding.set(level)


class CallObserver:
    """`ports.Observer` of one call."""

    def __init__(self, telemetry: Telemetry, use_case: str, model: Callable[[], str]) -> None:
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


class MeasuredMessenger:
    """A `ports.Messenger` that counts what another one sends."""

    def __init__(self, messenger: Messenger, telemetry: Telemetry) -> None:
        self._messenger = messenger
        self._messages = telemetry.messages

    @property
    def lacking(self) -> Mapping[Channel, str]:
        """See `ports.Messenger`."""
        return self._messenger.lacking

    async def text(self, message: TextMessage) -> str:
        """See `ports.Messenger`."""
        with self._counted("sms"):
            return await self._messenger.text(message)

    async def mail(self, mail: Mail) -> None:
        """See `ports.Messenger`."""
        with self._counted("email"):
            await self._messenger.mail(mail)

    @contextmanager
    def _counted(self, channel: Channel) -> Iterator[None]:
        status = "unknown"
        try:
            yield
            status = "accepted"
        except MessageRefusedError:
            status = "refused"
            raise
        finally:
            self._messages.labels(channel, status).inc()


class MeasuredStore:
    """A `ports.Store` that counts what another one does."""

    def __init__(self, store: Store, telemetry: Telemetry) -> None:
        self._store = store
        self._telemetry = telemetry

    async def get(self, pk: str, sk: str) -> Item | None:
        """See `ports.Store`."""
        with _Measured(self._telemetry, "get"):
            return await self._store.get(pk, sk)

    async def get_many(self, keys: Sequence[Key]) -> list[Item | None]:
        """See `ports.Store`."""
        with _Measured(self._telemetry, "get_many"):
            return await self._store.get_many(keys)

    async def put(self, item: Item, *, only_if_absent: bool = False) -> bool:
        """See `ports.Store`."""
        with _Measured(self._telemetry, "put"):
            return await self._store.put(item, only_if_absent=only_if_absent)

    async def put_newer(self, item: Item) -> bool:
        """See `ports.Store`."""
        with _Measured(self._telemetry, "put_newer"):
            return await self._store.put_newer(item)

    async def merge(self, pk: str, sk: str, attributes: Mapping[str, object]) -> None:
        """See `ports.Store`."""
        with _Measured(self._telemetry, "merge"):
            await self._store.merge(pk, sk, attributes)

    async def query(self, pk: str, sk_prefix: str = "") -> list[Item]:
        """See `ports.Store`."""
        with _Measured(self._telemetry, "query"):
            return await self._store.query(pk, sk_prefix)

    async def query_index(self, pk1: str, sk1_prefix: str = "") -> list[Item]:
        """See `ports.Store`."""
        with _Measured(self._telemetry, "query_index"):
            return await self._store.query_index(pk1, sk1_prefix)

    async def move(self, pk: str, sk: str, item: Item) -> bool:
        """See `ports.Store`."""
        with _Measured(self._telemetry, "move"):
            return await self._store.move(pk, sk, item)

    async def close(self) -> None:
        """See `ports.Store`."""
        await self._store.close()


class _Measured:
    def __init__(self, telemetry: Telemetry, operation: str) -> None:
        self._telemetry = telemetry
        self._operation = operation
        self._began = telemetry.now()

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        outcome = "error" if kind is not None and issubclass(kind, StoreError) else "ok"
        histogram = self._telemetry.store_duration.labels(self._operation, outcome)
        histogram.observe(self._telemetry.now() - self._began)
