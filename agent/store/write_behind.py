"""What waits for the table in the whole process, for `call_state.journal`."""

from __future__ import annotations

import asyncio
from typing import Literal, Protocol

import structlog

log = structlog.get_logger(__name__)

MOST_FACTS = 100_000
WRITINGS_AT_ONCE = 32

Loss = Literal["refused", "crashed", "too_many", "too_old", "stopped"]


class JournalEvents(Protocol):
    """What is counted of the journals of this process."""

    def waiting(self, facts: int) -> None:
        """So many facts are recorded and not written."""
        ...

    def delayed(self, calls: int) -> None:
        """So many calls, in progress or over, have facts that the table could not take yet."""
        ...

    def lost(self, facts: int, reason: Loss) -> None:
        """So many more facts will not be written."""
        ...


class Uncounted:
    """`JournalEvents` for nobody."""

    def waiting(self, facts: int) -> None:
        """See `JournalEvents`."""

    def delayed(self, calls: int) -> None:
        """See `JournalEvents`."""

    def lost(self, facts: int, reason: Loss) -> None:
        """See `JournalEvents`."""


class WaitingItem(Protocol):
    """The facts of one call that wait."""

    @property
    def unwritten(self) -> int:
        """How many there are."""
        ...

    def drop_oldest(self, reason: Loss) -> None:
        """Give up the fact that was recorded first; there is one."""
        ...

    def hurry(self) -> None:
        """Try to write now."""
        ...


class WriteBehindQueue:
    """What waits in the whole process, its bound, and whose turn it is to write."""

    def __init__(self, events: JournalEvents) -> None:
        self.events = events
        self.turns = asyncio.Semaphore(WRITINGS_AT_ONCE)
        """Held for one writing."""
        self.facts = 0
        self.journals: dict[WaitingItem, None] = {}
        """Those with facts that wait, the one that has waited longest first."""
        self._delayed = 0
        self._is_full = False

    def add(self, journal: WaitingItem) -> None:
        """One more fact of this journal waits."""
        self.journals.setdefault(journal)
        self._count(1)
        if self.facts > MOST_FACTS:
            if not self._is_full:
                log.error("journal.full", facts=MOST_FACTS)
            self._is_full = True
            next(iter(self.journals)).drop_oldest("too_many")

    def remove(self, journal: WaitingItem) -> None:
        """One fact of this journal waits no longer."""
        self._count(-1)
        if not journal.unwritten:
            del self.journals[journal]
        if self.facts < MOST_FACTS // 2:
            self._is_full = False

    def delay(self, calls: int) -> None:
        """So many calls more, or less, are delayed."""
        self._delayed += calls
        self.events.delayed(self._delayed)

    def _count(self, facts: int) -> None:
        self.facts += facts
        self.events.waiting(self.facts)
