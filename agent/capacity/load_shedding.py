"""How busy the event loop is, and what is left out for it, the least important first.

Every call shares one loop. When it falls behind, everybody's agent is late, so something is not
done any more, in this order:

1. second requests to models (hedges), each of which doubles the work of a reply;
2. new calls, which hear that all lines are busy.

A call that runs is never touched. The measure is how late a sleep of `SAMPLE_SECONDS` ends, and of
the last `SAMPLES` the median: one long pause is not load, most of the time is. A level ends only
when the median is below half of what it began at, so that it does not come and go. Rejected:
processor time, which does not tell whether anybody waits.

Memory that is not used goes back to the system.

Python frees what a call needed when the call is over, but glibc keeps much of it: memory between
two pieces that are still in use stays with the process. So the process seems to grow, by some 5 %
an hour with 400 calls, though it uses no more than before. Every few seconds all that is free is
given back. That takes about 2 ms, in a thread of its own.

Only glibc needs this, and only it has the function. Rejected: `MALLOC_TRIM_THRESHOLD_`, which is
about the end of the heap alone; another allocator, which would have to be loaded before Python.
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
"""The median is that of about two seconds."""
HEDGES_OFF_SECONDS = 0.1
CALLS_OFF_SECONDS = 0.25
EASED = 0.5
"""A level ends below this share of the lag it began at."""


class Level(IntEnum):
    """What is left out."""

    NOTHING = 0
    HEDGES = 1
    CALLS = 2
    """And hedges."""


_BEGINS_AT = {Level.HEDGES: HEDGES_OFF_SECONDS, Level.CALLS: CALLS_OFF_SECONDS}


class Load:
    """The load of one process."""

    def __init__(self, count: Count = uncounted) -> None:
        self._count = count
        self._lags: deque[float] = deque(maxlen=SAMPLES)
        self.level = Level.NOTHING
        """What is left out now."""

    @property
    def allows_hedges(self) -> bool:
        """A model may be asked a second time beside the first."""
        return self.level < Level.HEDGES

    @property
    def allows_calls(self) -> bool:
        """A new call may be taken."""
        return self.level < Level.CALLS

    def note(self, lag: float) -> None:
        """A callback ran so many seconds late."""
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
        level = max(
            (each for each, begins in _BEGINS_AT.items() if lag > self._threshold(each, begins)),
            default=Level.NOTHING,
        )
        if level == self.level:
            return
        tell = log.warning if level > self.level else log.info
        tell("load.changed", left_out=level.name.lower(), lag_seconds=round(lag, 3))
        self.level = level
        self._count("agent_load_shedding", level)

    def _threshold(self, level: Level, begins: float) -> float:
        return begins * EASED if level <= self.level else begins


EVERY_SECONDS = 10.0
"""At 60 the memory of 400 calls swings by 6 % between two of them."""


def give_back() -> None:
    """Give free pages back to the system; does nothing where the C library cannot."""
    trim: Callable[[int], int] | None = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)  # how much to keep at the end of the heap, see malloc_trim(3)


async def keep_giving_back() -> None:
    """Give back now and then, beside the event loop, until cancelled."""
    while True:
        await asyncio.sleep(EVERY_SECONDS)
        await asyncio.to_thread(give_back)
