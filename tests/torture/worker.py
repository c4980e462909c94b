"""One process of the torture test: leads its calls, in whatever state it finds them.

    python -m tests.torture.worker TABLE FIRST COUNT FILE

What the table has acknowledged is written to FILE at once: `fact CALL POSITION SIZE`, `order CALL
TURN`. When it begins, it looks whether all that FILE says is there, and adds `lost …` for what is
not. It may be killed at any moment; the next one with the same arguments goes on.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import UTC
from pathlib import Path
from typing import TypeVar

from agent.call.history import AgentSaid, Fact, ToolUsed
from agent.call.messages import ToolResult
from agent.errors import StoreError
from agent.messaging.kept_messages import MemoryMessenger
from agent.ports import Store
from agent.store import open_store
from agent.store.call_state.history_loader import load_history
from agent.store.call_state.journal import CallJournal, Journals, open_journals
from agent.tools import TOOLS, CallContext, CallToolExecutor, IdempotencyStore
from agent.usecases import Profile
from tests.torture import script

T = TypeVar("T")

_FLUSH_SECONDS = 60.0
_AGAIN_SECONDS = 0.2


class Worker:
    """Leads calls."""

    def __init__(self, store: Store, journals: Journals, file: Path) -> None:
        self._store = store
        self._journals = journals
        self._file = file.open("a")
        self._before = file.read_text().splitlines()

    async def lead(self, call: int) -> None:
        """Bring a call to its end."""
        found = await insist(lambda: load_history(self._store, script.call_sid(call)))
        self._compare(call, found.facts)
        journal = self._journals.open(script.call_sid(call), script.STARTED_MS, found.next_sequence)
        for position in range(script.FACTS):
            fact = found.facts[position] if position < len(found.facts) else None
            if fact is None or not script.is_complete(call, position, fact):
                await self._go_on(journal, call, position)

    def _compare(self, call: int, facts: list[Fact]) -> None:
        for line in self._before:
            match line.split():
                case ["fact", number, at, size] if int(number) == call:
                    position = int(at)
                    if position >= len(facts) or script.size(facts[position]) < int(size):
                        self._say(f"lost {line}")
                case _:
                    pass

    async def _go_on(self, journal: CallJournal, call: int, position: int) -> None:
        fact = script.opening(call, position)
        journal.record(position, fact, is_growing=isinstance(fact, AgentSaid))
        match fact:
            case AgentSaid():
                for text in script.pieces(call, position):
                    fact = AgentSaid(text)
                    journal.record(position, fact, is_growing=True)
                    await asyncio.sleep(0.01)  # as long as a model takes for some words
            case ToolUsed():
                await self._acknowledged(journal, call, position, fact)
                fact = await self._used(call, fact)
                journal.record(position, fact)
            case _:
                pass
        await self._acknowledged(journal, call, position, fact)

    async def _acknowledged(
        self, journal: CallJournal, call: int, position: int, fact: Fact
    ) -> None:
        if await journal.flush(_FLUSH_SECONDS):
            raise TimeoutError(f"call {call} could not be written")
        self._say(f"fact {call} {position} {script.size(fact)}")

    async def _used(self, call: int, used: ToolUsed) -> ToolUsed:
        """The tool has run, asked again as often as it fails, as a model would."""
        while True:
            outcome = await self._toolbox(call).run(used.call)
            if not outcome.is_error:
                self._say(f"order {call} {used.reply}")
                return ToolUsed(used.reply, used.call, ToolResult(used.call.id, outcome.content))
            await asyncio.sleep(_AGAIN_SECONDS)

    def _toolbox(self, call: int) -> CallToolExecutor:
        context = CallContext(
            call_id=script.call_sid(call),
            caller=script.caller(call),
            to="+15550100099",
            use_case="restaurantOrderingUseCase",
            profile=Profile(script.caller(call)),
            store=self._store,
            idempotency=IdempotencyStore(self._store, script.call_sid(call), time.time),
            messenger=MemoryMessenger(),
            clock=time.time,
            time_zone=UTC,
        )
        return CallToolExecutor(TOOLS, context)

    def _say(self, line: str) -> None:
        self._file.write(f"{line}\n")
        self._file.flush()


async def insist(ask: Callable[[], Awaitable[T]]) -> T:
    """Ask until the table answers."""
    while True:
        try:
            return await ask()
        except StoreError:
            await asyncio.sleep(_AGAIN_SECONDS)


async def main(table: str, first: int, count: int, file: Path) -> None:
    """Lead so many calls to their end."""
    region = os.environ["AWS_REGION"]
    store = await insist(lambda: open_store(table, Path(), region=region, max_calls=count))
    async with open_journals(store, time.time) as journals, asyncio.TaskGroup() as tasks:
        worker = Worker(store, journals, file)
        for call in range(first, first + count):
            tasks.create_task(worker.lead(call), name=f"call {call}")
    await store.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])))
