"""The event loop of a process with many calls, and its garbage collection.

The loop is uvloop's where it is installed, else the standard library's. uvloop is a dependency on
the systems it supports.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic

try:
    import uvloop
except ImportError:  # Windows, or another Python
    new_loop = asyncio.new_event_loop
else:

    class _Loop(uvloop.Loop):
        time = staticmethod(monotonic)
        """As of asyncio: uvloop's own clock counts whole milliseconds, our stages shorter."""

    new_loop = _Loop

_GC_THRESHOLDS = 5_000, 5, 1
"""Of `gc.set_threshold`: a collection of the youngest takes about a millisecond. One of all objects
follows every fifth: with 300 calls once a minute, or memory would grow for twenty."""


@asynccontextmanager
async def settled() -> AsyncIterator[None]:
    """Exclude what was made at the start from garbage collection.

    Else the cycles that connections of aiohttp leave pile up until they are a quarter of the oldest
    generation, and the long collection visits the imported modules too. Young objects are visited
    less often: what a turn makes is mostly gone by then, without a collection.
    """
    thresholds = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()
