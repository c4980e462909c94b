"""A call taken up again by this process, from what the table has of it.

Whoever led it before may be gone, or may be this process on a line that is lost. Both have written
facts under a smaller generation (`agent.store.call_state.resume_attempts`), so whatever they
still write is older than what is written from now on.
"""

from __future__ import annotations

from dataclasses import dataclass

from agent.call.resumption import Resumption
from agent.ports import Item, Store
from agent.store.call_state.history_loader import GENERATION, read_back
from agent.store.call_state.history_repair import HistoryRepair
from agent.store.call_state.resume_attempts import ResumeAttempt
from agent.tools import language_of


@dataclass(frozen=True, slots=True)
class RecoveredCall:
    """Where a call stands."""

    resumption: Resumption
    first_sequence: int
    """Of the facts that are recorded from now on, see `Journals.open`."""
    repairs: list[HistoryRepair]
    """What had to be made good of the facts; each was logged."""


async def recover(store: Store, item: Item, reentry: ResumeAttempt, now: float) -> RecoveredCall:
    """Read a call back.

    Args:
        store: The table.
        item: The session item of the call.
        reentry: The line it goes on.
        now: Epoch seconds.

    Raises:
        StoreError: The table cannot be reached.
    """
    found = await read_back(store, str(item["pk"]))
    resumption = Resumption(
        facts=found.facts,
        cause=reentry.cause,
        is_caller_cut_off=found.is_caller_cut_off,
        elapsed_ms=max(0, int(now * 1000) - started_ms(item)),
        language=language_of(found.facts),
    )
    first_sequence = max(found.next_sequence, reentry.number * GENERATION)
    return RecoveredCall(resumption, first_sequence, found.repairs)


def started_ms(item: Item) -> int:
    """When the call began, in epoch milliseconds; 0 if the item does not tell."""
    started = item.get("startedMs")
    return started if isinstance(started, int) else 0
