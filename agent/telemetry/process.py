"""The telemetry of one process: its metrics, and an observer for each of its calls."""

from __future__ import annotations

from collections.abc import Callable

from agent.telemetry.metrics import Metrics
from agent.telemetry.observer import CallObserver
from agent.telemetry.receipt import CallFacts


class Telemetry(Metrics):
    """All metrics of one process."""

    def call(
        self, use_case: str, model: Callable[[], str], facts: CallFacts | None = None
    ) -> CallObserver:
        """A new call begins; its observer counts it until `ended`.

        Args:
            use_case: Its name.
            model: Tells the name of the model that answers now.
            facts: For the receipt; none are known without them.
        """
        return CallObserver(self, use_case, model, facts or CallFacts())
