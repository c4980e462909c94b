"""Keeps what only watches from ending or changing what it watches.

Metrics, receipts, records, traces and log lines observe a call. A fault in one of them is counted
(`agent_observer_errors_total`) and logged once by its guard; the call goes on. This is one of the
few places where any exception is caught. Rejected: a guard in each observer, because the next
observer would be written without one.
"""

from __future__ import annotations

from types import TracebackType
from typing import Literal

import structlog
from prometheus_client import Counter

log = structlog.get_logger(__name__)

ObserverName = Literal["metrics", "record", "trace"]


class Guard:
    """A context that suppresses the faults of one observer; may be entered again and again.

    Args:
        observer: Its name, a label of the counter.
        errors: Counts the faults.
    """

    __slots__ = ("_errors", "_has_logged", "_observer")

    def __init__(self, observer: ObserverName, errors: Counter) -> None:
        self._observer = observer
        self._errors = errors
        self._has_logged = False

    def __enter__(self) -> None:
        return None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        if not isinstance(error, Exception):
            return False
        self._errors.labels(self._observer).inc()
        if not self._has_logged:
            self._has_logged = True
            log.error("observer.failed", observer=self._observer, exc_info=error)
        return True
