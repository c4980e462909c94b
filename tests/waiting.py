"""Waiting for what a test expects: as long as it takes, but not for ever.

A limit ends a test whose condition never holds, and says nothing about speed. It is far longer than
any wait that ends well, so a machine that stands still for seconds fails no test. It is shorter
than those limits of the service that must not end the wait, such as a drain or a silent connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

HANG_SECONDS = 30.0
_POLL_SECONDS = 0.005


def no_longer() -> asyncio.Timeout:
    """What is waited for within this context does come, or the test fails."""
    return asyncio.timeout(HANG_SECONDS)


async def until(holds: Callable[[], bool]) -> None:
    """Wait for a condition that nothing announces."""
    async with no_longer():
        while not holds():  # noqa: ASYNC110 (a file, a thread or a counter has no event)
            await asyncio.sleep(_POLL_SECONDS)  # the same reason
