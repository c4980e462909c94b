"""Operations on the table in traces: each under the connection that caused it, without keys."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from agent.call.actions import Entry, RunTool, ToolOutcome
from agent.call.config import CallConfig
from agent.call.events import CallerSpoke, EndReason, ToolFinished
from agent.call.history import CallerSaid
from agent.call.messages import ToolCall
from agent.errors import StoreError
from agent.observability import MeasuredStore, Telemetry
from agent.observability.recording.record_writer import open_records
from agent.observability.tracing import (
    MOST_OPERATIONS,
    CallTrace,
    TracedTable,
    TracedToolExecutor,
    Tracing,
)
from agent.ports import Item
from agent.store.call_state.journal import open_journals
from agent.store.memory import MemoryStore
from tests.fakes import Clock, moment
from tests.observability.recording.taping import beginning
from tests.observability.tracing.test_call_trace import EPOCH, attributes, tree

NUMBER = "+15550100001"
LOOK = ToolCall("tool00001", "look_up", "{}")


class SlowStore(MemoryStore):
    """A table that answers after a second by hand, or not at all."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock

    async def get(self, pk: str, sk: str) -> Item | None:
        self._clock.seconds += 1.0
        if sk == "away":
            raise StoreError(f"{pk} is away")
        if sk == "never":
            await asyncio.Event().wait()
        return await super().get(pk, sk)


class Stage:
    """A table that is traced, and the spans that it leaves."""

    def __init__(self, name: str = "") -> None:
        self.clock, self._exporter = Clock(), InMemorySpanExporter()
        self.tracing = Tracing(
            SimpleSpanProcessor(self._exporter), now=self.clock, epoch=lambda: EPOCH
        )
        self.store = MeasuredStore(SlowStore(self.clock), Telemetry(self.clock), TracedTable(name))

    @contextmanager
    def line(self, call_sid: str = "CA1") -> Iterator[CallTrace]:
        """Served for as long as this, and a second more than what happens."""
        with self.tracing.serving():
            trace = self.tracing.call(call_sid, "pizza", 0, lambda: "offline:")
            yield trace
            self.clock.seconds += 1.0
            trace.ended(EndReason.CALLER_HANGUP)

    async def look(self) -> None:
        await self.store.get(NUMBER, "profile")

    @property
    def spans(self) -> list[ReadableSpan]:
        """In the order in which they began; of those that began together, the last to end first."""
        last_first = reversed(self._exporter.get_finished_spans())
        return sorted(last_first, key=lambda span: span.start_time or 0)

    def calls_of(self, name: str) -> list[str]:
        """Under which call each span of this name is."""
        spans = self.spans
        sids = {
            one.context.span_id: str(attributes(one)["gen_ai.conversation.id"])
            for one in spans
            if not one.parent
        }
        return sorted(sids[one.parent.span_id] for one in spans if one.name == name and one.parent)


@dataclass
class Looks:
    """`ports.Toolbox` whose tools look something up."""

    stage: Stage

    async def run(self, call: ToolCall, entry: Entry | None = None) -> ToolOutcome:
        await asyncio.create_task(self.stage.look(), name="look")
        return ToolOutcome(call.name)


@pytest.mark.parametrize(
    ("name", "sk", "told"),
    [
        ("", "profile", {}),
        ("voice-calls", "profile", {}),
        ("", "away", {"error.type": "StoreError"}),
        ("", "never", {"voice.cancelled": True}),
    ],
    ids=["sqlite", "dynamodb", "failed", "given up"],
)
async def test_operation_is_a_span_of_its_line_without_keys(
    name: str, sk: str, told: dict[str, object]
) -> None:
    """A failure is told by its class alone: the text of the error may hold a key."""
    stage = Stage(name)
    with stage.line():
        looking = asyncio.create_task(stage.store.get(NUMBER, sk), name="look")
        await asyncio.sleep(0)
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)

    call, looked = stage.spans
    table = name or "items"
    assert tree([call, looked]) == [("call", "", 0.0, 2.0), (f"get {table}", "call", 0.0, 1.0)]
    assert attributes(looked) == {
        "db.system.name": "aws.dynamodb" if name else "sqlite",
        "db.collection.name": table,
        "db.operation.name": "get",
        **told,
    }
    assert (looked.kind, call.kind) == (SpanKind.CLIENT, SpanKind.INTERNAL)
    assert (looked.status.status_code is StatusCode.ERROR) is ("error.type" in told)
    assert call.status.status_code is StatusCode.UNSET
    assert "1555" not in looked.to_json()


async def test_what_is_done_for_no_line_leaves_no_span() -> None:
    stage = Stage()
    await stage.store.get(NUMBER, "profile")
    beside, is_open = asyncio.Event(), asyncio.Event()

    async def probe() -> None:
        await is_open.wait()
        await stage.store.get("probe", "probe")
        beside.set()

    probing = asyncio.create_task(probe(), name="probe")
    with stage.line():
        is_open.set()
        await beside.wait()
    await probing
    await stage.store.get(NUMBER, "profile")

    assert [span.name for span in stage.spans] == ["call"]


async def test_what_is_read_before_the_trace_has_a_name_belongs_to_it() -> None:
    """The span of the call begins with the first operation."""
    stage = Stage()
    with stage.tracing.serving():
        await stage.store.get("CA1", "connection")
        trace = stage.tracing.call("CA1", "pizza", 0, lambda: "offline:")
        trace.ended(EndReason.CALLER_HANGUP)

    assert tree(stage.spans) == [("call", "", 0.0, 1.0), ("get items", "call", 0.0, 1.0)]


async def test_operation_of_a_tool_is_under_the_tool() -> None:
    """Also one of a task that the tool began; other operations meanwhile are not."""
    stage = Stage()
    with stage.line() as trace:
        stage.clock.seconds = 5.0
        trace.observe(moment(CallerSpoke("Who am I?"), [RunTool(LOOK)], 5.0))
        running = TracedToolExecutor(Looks(stage)).run(LOOK)
        tool = asyncio.create_task(running, name="tool")
        await stage.store.get("CA1", "connection")
        outcome = await tool
        trace.observe(moment(ToolFinished(LOOK.id, outcome), [], 7.0))

    assert tree(stage.spans) == [
        ("call", "", 0.0, 8.0),
        ("turn", "call", 5.0, 7.0),
        ("execute_tool look_up", "turn", 5.0, 7.0),
        ("get items", "call", 5.0, 6.0),
        ("get items", "execute_tool look_up", 6.0, 7.0),
    ]


async def test_tool_that_was_given_up_leaves_its_operations_to_the_call() -> None:
    stage = Stage()
    with stage.line():
        await TracedToolExecutor(Looks(stage)).run(LOOK)

    assert tree(stage.spans)[1] == ("get items", "call", 0.0, 1.0)


async def test_facts_and_records_are_written_for_their_own_calls() -> None:
    """One writer serves all calls and is started by the first."""
    stage = Stage()
    async with (
        open_journals(stage.store, stage.clock) as journals,
        open_records(stage.store, stage.clock, 1) as records,
    ):
        assert records is not None
        for call_sid in ("CA1", "CA2"):
            with stage.line(call_sid):
                journals.open(call_sid, 0).record(0, CallerSaid("Ada"))
                recorder = records.open(call_sid, 0, beginning(CallConfig()), lambda: "")
                recorder.ended(EndReason.CALLER_HANGUP)
        assert [span.name for span in stage.spans] == ["call", "call"]

    assert stage.calls_of("put_newer items") == stage.calls_of("put items") == ["CA1", "CA2"]


async def test_operations_of_one_line_are_told_up_to_a_bound() -> None:
    stage = Stage()
    with stage.line():
        for _ in range(MOST_OPERATIONS + 10):
            await stage.store.put({"pk": "CA1", "sk": "fact"})

    assert len([span for span in stage.spans if span.name == "put items"]) == MOST_OPERATIONS
