"""Many guests at a time, who talk until a scenario has had its way."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from tests.survival.phone import PATIENCE_SECONDS, Guest, Phase
from tests.twilio_client.client import Twilio

_LONGEST_SECONDS = 600.0
_POLL_SECONDS = 0.01
_APART_SECONDS = 0.1


class Crowd:
    """Guests, and what they do at the moment."""

    def __init__(self, twilio: Twilio, count: int, patience_seconds: float) -> None:
        self.guests = [
            Guest(twilio, number, patience_seconds=patience_seconds) for number in range(count)
        ]
        self.enough = asyncio.Event()
        """Set: who has placed an order may hang up."""

    def phases(self, calls: set[str]) -> Counter[str]:
        """What these calls are doing, by `Phase`."""
        return Counter(guest.phase.value for guest in self.guests if guest.call_sid in calls)

    async def until(self, holds: Callable[[], bool], seconds: float = 60.0) -> None:
        """Wait until something is so."""
        async with asyncio.timeout(seconds):
            while not holds():  # noqa: ASYNC110 (phases of many calls have no one event)
                await asyncio.sleep(_POLL_SECONDS)  # the same reason

    async def until_turns(self, more: int) -> None:
        """Wait until every call that is not over has had so many more sentences answered."""
        goals = {guest.call_sid: len(guest.turns) + more for guest in self.guests}

        def is_reached(guest: Guest) -> bool:
            return guest.phase is Phase.OVER or len(guest.turns) >= goals[guest.call_sid]

        await self.until(lambda: all(map(is_reached, self.guests)), 240.0)


@asynccontextmanager
async def talking(
    twilio: Twilio, count: int, patience_seconds: float = PATIENCE_SECONDS
) -> AsyncIterator[Crowd]:
    """So many calls, of which each has had an answer; on leaving, they are brought to their end."""
    crowd = Crowd(twilio, count, patience_seconds)
    async with asyncio.timeout(_LONGEST_SECONDS), asyncio.TaskGroup() as calls:
        for number, guest in enumerate(crowd.guests):
            calls.create_task(
                guest.live(number * _APART_SECONDS, crowd.enough), name=f"guest {number}"
            )
        try:
            await crowd.until_turns(1)
            yield crowd
        finally:
            crowd.enough.set()
