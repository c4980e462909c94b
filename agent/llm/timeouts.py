"""How long is waited for a model, and many short waits with one timer.

A reply is read in hundreds of pieces, and each is waited for with a limit. `asyncio.timeout` makes
a timer for each wait and throws it away, which was a tenth of the processor time of a turn. Here a
timer is left running: when it rings too early, as the limit has moved on since, it is set anew.

All else is as with `asyncio.timeout`: the wait is cancelled, and the cancelling becomes a
`TimeoutError`, unless somebody else has cancelled the task as well.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from types import TracebackType
from typing import Self


@dataclass(frozen=True, slots=True)
class TimeLimits:
    """How long is waited for a model, in seconds."""

    connect: float = 1.5
    first_event: float = 2.5
    """From sending the request."""
    gap: float = 4.0
    """Between events."""
    load: float = 60.0
    """In the place of `first_event`, where a server may have to load the model first."""


class StreamDeadline:
    """Limits of the waits of one reader; made on a running loop.

        with timeouts.at(deadline):
            await something

    Waits may be in different tasks, but only one at a time.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._deadline = 0.0
        self._waiting: asyncio.Task[object] | None = None
        self._cancelling = 0
        """How often others had asked the task to stop before the wait."""
        self._is_late = False

    def at(self, deadline: float) -> Self:
        """The limit of the next wait, on the loop's clock, in seconds."""
        self._deadline = deadline
        return self

    def close(self) -> None:
        """Nothing will be waited for any more; harmless if that is known."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def __enter__(self) -> None:
        task = asyncio.current_task(self._loop)
        if task is None:
            raise RuntimeError("only a task can be timed out")
        self._waiting, self._cancelling, self._is_late = task, task.cancelling(), False
        if self._timer is not None and self._timer.when() > self._deadline:
            self.close()
        if self._timer is None:
            self._timer = self._loop.call_at(self._deadline, self._ring)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        task, self._waiting = self._waiting, None
        if not self._is_late or task is None:
            return
        if task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def _ring(self) -> None:
        self._timer = None
        if self._waiting is None:
            return
        if self._loop.time() < self._deadline:
            self._timer = self._loop.call_at(self._deadline, self._ring)
        else:
            self._is_late = True
            self._waiting.cancel()
