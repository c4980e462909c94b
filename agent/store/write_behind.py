"""What waits for the table in the whole process, for `call_state.journal`."""

from __future__ import annotations

import asyncio
from typing import Literal, Protocol

import structlog

from agent.ports import Count

log = structlog.get_logger(__name__)

MOST_FACTS = 100_000
WRITINGS_AT_ONCE = 32

Loss = Literal["refused", "crashed", "too_many", "too_old", "stopped"]


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

    def __init__(self, count: Count) -> None:
        self._count = count
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
        self._add_facts(1)
        if self.facts > MOST_FACTS:
            if not self._is_full:
                log.error("journal.full", facts=MOST_FACTS)
            self._is_full = True
            next(iter(self.journals)).drop_oldest("too_many")

    def remove(self, journal: WaitingItem) -> None:
        """One fact of this journal waits no longer."""
        self._add_facts(-1)
        if not journal.unwritten:
            del self.journals[journal]
        if self.facts < MOST_FACTS // 2:
            self._is_full = False

    def lose(self, facts: int, reason: Loss) -> None:
        """So many facts will not be written."""
        self._count("agent_journal_facts_lost_total", facts, reason=reason)

    def delay(self, calls: int) -> None:
        """So many calls more, or less, are delayed."""
        self._delayed += calls
        self._count("agent_journal_calls_delayed", self._delayed)

    def _add_facts(self, facts: int) -> None:
        self.facts += facts
        self._count("agent_journal_facts_waiting", self.facts)
