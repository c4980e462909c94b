"""Load shedding, by the lag of the event loop; and returning free memory to the system.

When the loop lags, hedges and requests ahead of the caller's last words are left out first, then
new calls are rejected; a running call is never touched. The measure is how late a sleep of
`SAMPLE_SECONDS` ends: the median of the last `SAMPLES`, so that one long pause does not count. A
level ends when it is below half of the lag at which it began. Rejected: CPU time, which does not
say whether calls wait.
"""

from __future__ import annotations

import asyncio
import ctypes
from collections import deque
from collections.abc import Callable
from enum import IntEnum
from statistics import median_low

import structlog

from agent.ports import Count, uncounted

log = structlog.get_logger(__name__)

SAMPLE_SECONDS = 0.25
SAMPLES = 8
EASED = 0.5
TRIM_SECONDS = 10.0  # at 60 the memory of 400 calls varies by 6 % between two of them


class LoadLevel(IntEnum):
    """What is left out; each level includes the one before."""

    NORMAL = 0
    HEDGES_DISABLED = 1
    CALLS_REJECTED = 2


_BEGINS_AT = {LoadLevel.HEDGES_DISABLED: 0.1, LoadLevel.CALLS_REJECTED: 0.25}  # seconds of lag


class Load:
    """The load of one process."""

    def __init__(self, count: Count = uncounted) -> None:
        self._count = count
        self._lags: deque[float] = deque(maxlen=SAMPLES)
        self.level = LoadLevel.NORMAL

    @property
    def allows_hedges(self) -> bool:
        """Whether a second request to a model may be made, or one ahead of the caller's words."""
        return self.level < LoadLevel.HEDGES_DISABLED

    @property
    def allows_calls(self) -> bool:
        """Whether a new call may be taken."""
        return self.level < LoadLevel.CALLS_REJECTED

    def note(self, lag: float) -> None:
        """Add one sample, in seconds."""
        self._count("agent_event_loop_lag_seconds", lag)
        self._lags.append(lag)
        if len(self._lags) == SAMPLES:
            self._settle(median_low(self._lags))

    async def watch(self) -> None:
        """Measure until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + SAMPLE_SECONDS
            await asyncio.sleep(SAMPLE_SECONDS)
            self.note(max(0.0, loop.time() - due))
            self._count("agent_tasks", len(asyncio.all_tasks()))

    def _settle(self, lag: float) -> None:
        level = LoadLevel.NORMAL
        for each, begins in _BEGINS_AT.items():
            if lag > (begins * EASED if each <= self.level else begins):
                level = each
        if level == self.level:
            return
        name, lag = level.name.lower(), round(lag, 3)
        if level > self.level:
            log.warning("load_shedding.level_changed", level=name, lag_seconds=lag)
        else:
            log.info("load_shedding.level_changed", level=name, lag_seconds=lag)
        self.level = level
        self._count("agent_load_shedding", level)


def trim_memory() -> None:
    """Return free pages between blocks in use to the system, in about 2 ms; only glibc can.

    Without it 400 calls grow by about 5 % an hour. Rejected: `MALLOC_TRIM_THRESHOLD_`, which is for
    the end of the heap only; another allocator.
    """
    trim: Callable[[int], int] | None = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)  # bytes to keep at the end of the heap: malloc_trim(3)


async def keep_memory_trimmed() -> None:
    """Trim every `TRIM_SECONDS`, in a thread, until cancelled."""
    while True:
        await asyncio.sleep(TRIM_SECONDS)
        await asyncio.to_thread(trim_memory)
