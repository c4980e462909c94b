"""One live call: its set-up, its configuration, its session, and how it resumes (`resume`)."""

from __future__ import annotations

from dataclasses import dataclass, field

from agent.capacity.load_shedding import Load
from agent.capacity.speculation_budget import SpeculationBudget
from agent.llm import OpenModel
from agent.observability import NO_PRICES, Prices, Telemetry
from agent.observability.recording.record_writer import RecordWriter
from agent.observability.tracing import Tracing
from agent.ports import Messenger, Recorder, Store
from agent.store.call_state.journal import Journals
from agent.tools import ToolRegistry
from agent.usecases.call_events import NO_OUTBOX, Outbox


@dataclass(frozen=True, slots=True)
class Resources:
    """What all calls of a process share, opened by `agent.app`; None = there is no such thing."""

    store: Store
    journals: Journals
    open_model: OpenModel
    tool_registry: ToolRegistry
    messenger: Messenger
    telemetry: Telemetry
    load: Load = field(default_factory=Load)
    speculation: SpeculationBudget = field(default_factory=SpeculationBudget)
    records: RecordWriter | None = None
    prices: Prices = NO_PRICES
    tracing: Tracing | None = None
    recorder: Recorder | None = None
    outbox: Outbox = NO_OUTBOX
