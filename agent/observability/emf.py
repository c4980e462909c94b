"""Metrics for CloudWatch in the log: its embedded metric format, one JSON line every 30 seconds.

CloudWatch Logs takes the metrics out of the lines of the awslogs stream; nothing has to be
installed and no permission given (deployment reference section 7). Scaling and alarms of
`cloud-deploy-infra-template.yml` look at these two, under the one dimension `Service`:

- `ActiveCalls`: of this process, so their average is calls per task;
- `CallsRefused`: callers who were told that all lines are busy, since the line before.

A process that drains is silent, or its few calls would pull the average down while others are full.
Rejected: the log as structlog writes it, where level and time stamp would stand in each line too.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from time import time

from agent.observability.metrics import Metrics

EVERY_SECONDS = 30.0
NAMESPACE = "VoiceAgent"
BUSY = ("busy", "overload", "full")
"""Reasons of `agent_calls_refused_total` for which a caller finds all lines busy."""


class EmbeddedMetrics:
    """Writes the metrics of one process for CloudWatch.

    Args:
        metrics: Of the process.
        service: Value of the dimension: the host of `WS_URL`, the same in all processes.
        write: Takes a line with its end.
        clock: Epoch seconds.
    """

    def __init__(
        self,
        metrics: Metrics,
        service: str,
        write: Callable[[str], object],
        clock: Callable[[], float] = time,
    ) -> None:
        self._metrics = metrics
        self._service = service
        self._write = write
        self._clock = clock
        self._told = 0

    async def run(self) -> None:
        """Write a line now and every 30 seconds, until cancelled."""
        while True:
            self.publish()
            await asyncio.sleep(EVERY_SECONDS)

    def publish(self) -> None:
        """Write one line, unless the process drains."""
        if self._metrics.value("agent_draining"):
            return
        refused = sum(
            int(self._metrics.value("agent_calls_refused_total", reason=reason)) for reason in BUSY
        )
        self._write(self._line(int(self._metrics.value("agent_active_calls")), refused) + "\n")
        self._told = refused

    def _line(self, active: int, refused: int) -> str:
        counts = {"ActiveCalls": active, "CallsRefused": refused - self._told}
        directive = {
            "Namespace": NAMESPACE,
            "Dimensions": [["Service"]],
            "Metrics": [{"Name": name, "Unit": "Count"} for name in counts],
        }
        aws = {"Timestamp": int(self._clock() * 1000), "CloudWatchMetrics": [directive]}
        return json.dumps({"_aws": aws, "Service": self._service, **counts})
