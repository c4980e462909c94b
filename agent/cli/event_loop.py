"""The event loop of a serving process: uvloop's where it is installed, else the standard library's.

uvloop is a dependency on the systems it supports.
"""

from __future__ import annotations

import asyncio
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
