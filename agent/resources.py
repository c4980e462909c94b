"""What all calls of a process share; `agent.app` opens it, and closes it after the last call."""

from __future__ import annotations

from dataclasses import dataclass, field

from agent.llm import OpenModel
from agent.load import Load
from agent.ports import Messenger, Store
from agent.recording.desk import RecordDesk
from agent.store.journal import Journals
from agent.telemetry import NO_PRICES, Prices, Telemetry
from agent.tools import Toolkit
from agent.tracing import Tracing


@dataclass(frozen=True, slots=True)
class Resources:
    """What all calls of a process share."""

    store: Store
    journals: Journals
    open_model: OpenModel
    toolkit: Toolkit
    messenger: Messenger
    telemetry: Telemetry
    load: Load = field(default_factory=Load)
    records: RecordDesk | None = None
    """None = calls are not recorded."""
    prices: Prices = NO_PRICES
    tracing: Tracing | None = None
    """None = calls leave no traces."""
