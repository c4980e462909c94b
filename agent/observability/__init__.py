"""What operators see of a call: metrics and logs, both fed from one hook.

`CallObserver.observe` sees each event with the actions it led to; every number about calls is
derived there, so that nothing on the path of a call measures itself. Labels are bounded sets,
never a call id or a number (contract section 6). Log values that may be personal have keys that
begin with `pii_` and are dropped.
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
from agent.observability.emf import EmbeddedMetrics
from agent.observability.logging.log_setup import configure_logging, drop_personal
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
    "drop_personal",
    "read_prices",
]
