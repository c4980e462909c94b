"""What operators see of a call: metrics, logs, traces and records, all made by observers of it.

Nothing on the path of a call measures itself. Labels are bounded sets, never a call id or a phone
number. Log values that may be personal have keys that begin with `pii_` and are dropped by default.
"""

from agent.observability.call_observer import CallObserver, Telemetry
from agent.observability.call_summary import (
    NO_PRICES,
    CallFacts,
    Prices,
    PricesError,
    VersionStamp,
    read_prices,
)
from agent.observability.embedded_metrics import EmbeddedMetrics
from agent.observability.logging import configure_logging
from agent.observability.measured_ports import MeasuredMessenger, MeasuredStore, ObserverGuard

__all__ = [
    "NO_PRICES",
    "CallFacts",
    "CallObserver",
    "EmbeddedMetrics",
    "MeasuredMessenger",
    "MeasuredStore",
    "ObserverGuard",
    "Prices",
    "PricesError",
    "Telemetry",
    "VersionStamp",
    "configure_logging",
    "read_prices",
]
