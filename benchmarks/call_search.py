"""What a search for a text takes in one SQLite file, and what its index costs a fact.

    python benchmarks/call_search.py [--calls 1000] [--facts 30] [--rounds 5]

Side by side: the same calls in a file with the index and in one whose triggers were dropped, where
the facts are read. Facts are written by 100 calls at a time. All is the median of the rounds, whose
order alternates; processor time is that of this process.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sqlite3
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from agent.call.history import AgentSaid, CallerSaid
from agent.ports import Item
from agent.store.call_state.call_list import CallQuery, listing, search_calls
from agent.store.call_state.journal import fact_item
from agent.store.sqlite import SqliteStore

_AT_ONCE = 100
_RARE, _COMMON = "garlic knot 7 please", "an"


class _Unindexed(SqliteStore):
    async def find_text(self, text: str) -> None:  # type: ignore[override] # as other tables
        return None


def _facts(call_sid: str, facts: int, now: float, chance: random.Random) -> list[Item]:
    words = ["".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=5)) for _ in range(300)]
    said = [" ".join(chance.choices(words, k=20)) for _ in range(facts)]
    kinds = (CallerSaid, AgentSaid)
    return [
        fact_item(call_sid, 0, at, kinds[at % 2](text), at, int(now) + 86_400)
        for at, text in enumerate(said)
    ]


async def _write(store: SqliteStore, calls: list[list[Item]]) -> None:
    async def write(facts: list[Item]) -> None:
        for fact in facts:
            await store.put_newer(fact)

    for start in range(0, len(calls), _AT_ONCE):
        await asyncio.gather(*map(write, calls[start : start + _AT_ONCE]))


async def _timed(work: Callable[[], Awaitable[object]]) -> tuple[float, float]:
    """Milliseconds, and those of the processor."""
    began, processor = time.perf_counter(), time.process_time()
    await work()
    return (time.perf_counter() - began) * 1e3, (time.process_time() - processor) * 1e3


async def _round(
    folder: Path, kind: type[SqliteStore], calls: list[list[Item]], now: float
) -> dict[str, float]:
    path, found = folder / "agent.db", dict[str, float]()
    store = await kind.open(path)
    if kind is _Unindexed:
        with closing(sqlite3.connect(path)) as connection:
            connection.executescript("DROP TRIGGER fact_insert; DROP TRIGGER fact_delete")
    facts = len(calls) * len(calls[0])
    wall, processor = await _timed(lambda: _write(store, calls))
    found["µs a fact"], found["µs of processor a fact"] = (
        wall * 1e3 / facts,
        processor * 1e3 / facts,
    )
    for number, (first, *_) in enumerate(calls):
        began = int((now - 80_000 * number / len(calls)) * 1e3)
        item = {"pk": first["pk"], "From": "+15550100001", "useCase": "shop", "startedMs": began}
        await store.put_newer(listing(item, now, "agent_end", kept_seconds=86_400))
    until = datetime.fromtimestamp(now + 1, UTC)
    for name, text in (("first search", _RARE), ("rare text", _RARE), ("common text", _COMMON)):
        query = CallQuery(until - timedelta(days=1), until, text=text)
        found[f"ms, {name}"], _ = await _timed(partial(search_calls, store, query))
    await store.close()
    found["MB"] = path.stat().st_size / 1e6
    return found


async def _main(asked: argparse.Namespace) -> None:
    now, chance = time.time(), random.Random(0)
    calls = [_facts(f"CA{number}", asked.facts, now, chance) for number in range(asked.calls)]
    last = calls[len(calls) // 2][-1]
    last["fact"] = {"kind": "callerSaid", "text": f"a {_RARE}", "means": "speech"}
    rounds: dict[type[SqliteStore], list[dict[str, float]]] = {SqliteStore: [], _Unindexed: []}
    for number in range(asked.rounds):
        for kind in list(rounds)[:: 1 if number % 2 else -1]:
            with TemporaryDirectory() as folder:
                rounds[kind].append(await _round(Path(folder), kind, calls, now))
    print(f"{asked.calls} calls with {asked.facts} facts, {asked.rounds} rounds")
    for name in rounds[SqliteStore][0]:
        with_index, without = (median(each[name] for each in rounds[kind]) for kind in rounds)
        print(f"{name:24} {with_index:10.1f} with the index {without:10.1f} without")


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    for option, default in (("calls", 1_000), ("facts", 30), ("rounds", 5)):
        parser.add_argument(f"--{option}", type=int, default=default)
    asyncio.run(_main(parser.parse_args()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
