"""One timer for the many waits of a stream; the limits are `agent.usecases.model_times`.

Only `agent.llm.failover` limits the waits for a stream; adapters limit connecting and loading.
"""

from __future__ import annotations

import asyncio
from typing import Self

KEEP_ALIVE_SECONDS = 120.0  # of an idle connection; NAT gateways forget one after 350 s
WARM_SECONDS = 60.0  # a connection counts as warm for so long after its last use


class StreamDeadline:
    """Limits the waits for one stream as `asyncio.timeout` does, with one timer for all of them.

    A timer for each of the hundreds of pieces of a reply was a tenth of the CPU of a turn. Waits
    may be in different tasks, one at a time. Raises `TimeoutError`, unless the task was also
    cancelled by others.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0  # uvloop forgets it as soon as the timer is due
        self._deadline = 0.0
        self._waiting: asyncio.Task[object] | None = None
        self._cancelling = 0  # cancellations requested by others before the wait
        self._is_late = False

    def at(self, deadline: float) -> Self:
        """Set the limit of the next wait, on the loop's clock, in seconds."""
        self._deadline = deadline
        return self

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def __enter__(self) -> None:
        task = asyncio.current_task(self._loop)
        if task is None:
            raise RuntimeError("only a task can be timed out")
        self._waiting, self._cancelling, self._is_late = task, task.cancelling(), False
        if self._timer is not None and self._timer_at > self._deadline:
            self.close()
        if self._timer is None:
            self._set_timer()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: object
    ) -> None:
        task, self._waiting = self._waiting, None
        if not self._is_late or task is None:
            return
        if task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def _set_timer(self) -> None:
        self._timer_at = self._deadline
        self._timer = self._loop.call_at(self._deadline, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        if self._waiting is None:
            return
        if self._loop.time() < self._deadline:
            self._set_timer()
        else:
            self._is_late = True
            self._waiting.cancel()
