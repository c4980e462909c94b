"""Many calls in many processes, killed at random, on a table that goes away: nothing is lost.

The processes say what the table has acknowledged (`tests.torture.worker`), and look for it again
when they are begun anew. `tests.torture.script` defines what must be there in the end. Deaths and
failures come by progress and not by the clock: each after so many acknowledgements.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from agent.call.actions import StartReply
from agent.call.history import CallerSaid, History, ToolUsed
from agent.ports import Store
from agent.store import open_store
from agent.store.call_state.history_loader import read_items
from agent.store.call_state.journal import CHAT
from agent.tools import SPECS
from agent.usecases import seed
from tests.call.providers import assert_no_provider_refuses
from tests.dynamodb import REGION, Engine
from tests.torture import script

ROOT = Path(__file__).parents[2]
CALLS_EACH = script.CALLS // script.PROCESSES
ACKNOWLEDGED = script.CALLS * script.TURNS * 6
"""Lines, if nothing is done again."""
KILLS = [ACKNOWLEDGED * share // 14 for share in range(1, 13)]
FAILURES = [ACKNOWLEDGED // 3, ACKNOWLEDGED * 2 // 3]
_LIMIT_SECONDS = 240.0


class Workers:
    """The worker processes, and the lines they have printed."""

    def __init__(self, table: str, folder: Path) -> None:
        self._table = table
        self.files = [folder / f"worker{number}" for number in range(script.PROCESSES)]
        self.running = [self._begun(number) for number in range(script.PROCESSES)]

    def lines(self) -> list[str]:
        """All lines so far; the last one of a process that was killed may be half a line."""
        whole = [path.read_text().splitlines() for path in self.files if path.exists()]
        return [line for lines in whole for line in lines]

    def kill(self, number: int) -> None:
        self.running[number].kill()
        self.running[number].wait()
        self.running[number] = self._begun(number)

    def living(self) -> list[int]:
        """Those that have not come to their end; an error of one is an error of the test."""
        codes = [process.poll() for process in self.running]
        assert not any(codes), codes
        return [number for number, code in enumerate(codes) if code is None]

    def _begun(self, number: int) -> subprocess.Popen[bytes]:
        first, file = str(number * CALLS_EACH), str(self.files[number])
        program = ("-m", "tests.torture.worker", self._table, first, str(CALLS_EACH), file)
        return subprocess.Popen(  # noqa: S603 (our own program)
            [sys.executable, *program],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.DEVNULL,
        )


@contextmanager
def working(table: str, folder: Path) -> Iterator[Workers]:
    workers = Workers(table, folder)
    try:
        yield workers
    finally:
        for process in workers.running:
            process.kill()
            process.wait()


async def test_no_death_and_no_failure_of_the_table_loses_or_doubles_anything(
    table_name: str,
    dynamodb: Engine,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    """What was acknowledged is there, once; each history can be gone on with; each order stands."""
    store = await open_store(table_name, Path(), region=REGION, max_calls=8)
    now, use_case = datetime.now(UTC), "restaurantOrderingUseCase"
    await seed.seed(store, ROOT / "configuration", SPECS, now=now, use_case=use_case)
    began = time.monotonic()

    with working(table_name, tmp_path) as workers:
        kills, failures = torment(workers, dynamodb)
        lines = workers.lines()

    took = time.monotonic() - began
    said = Counter(line.split()[0] for line in lines)
    assert [line for line in lines if line.startswith("lost")] == []
    orders = [await judge(store, call) for call in range(script.CALLS)]
    await store.close()
    assert orders == [script.TURNS] * script.CALLS
    row = (
        f"{script.CALLS} calls in {script.PROCESSES} processes, {kills} killed, table away "
        f"{failures} times: {said['fact']} facts and {said['order']} orders acknowledged, "
        f"0 lost, 0 doubled, {sum(orders)} orders stand; {took:.0f} s"
    )
    record_property("torture", row)


def torment(workers: Workers, engine: Engine) -> tuple[int, int]:
    """Kill processes and take the table away until all calls are over; how often."""
    chance = random.Random(20)  # noqa: S311 (no secret)
    kills, failures = list(KILLS), list(FAILURES)
    deadline = time.monotonic() + _LIMIT_SECONDS
    while living := workers.living():
        assert time.monotonic() < deadline, f"{len(workers.lines())} of {ACKNOWLEDGED}"
        progress = len(workers.lines())
        if kills and progress >= kills[0]:
            kills.pop(0)
            workers.kill(chance.choice(living))
        if failures and progress >= failures[0]:
            failures.pop(0)
            engine.stop()
            workers.kill(chance.choice(living))
            engine.start()
        time.sleep(0.02)  # the processes write their progress to files
    return len(KILLS) - len(kills) + len(FAILURES), len(FAILURES) - len(failures)


async def judge(store: Store, call: int) -> int:
    """All of a call is there, in order and once; how many orders it has."""
    items = await store.query(script.call_sid(call), CHAT)
    found = read_items(items)
    assert len(items) == script.FACTS
    assert found.repairs == []
    assert not [it for it in found.facts if isinstance(it, ToolUsed) and it.result is None]
    for position, fact in enumerate(found.facts):
        assert script.is_complete(call, position, fact), (call, position)
        opening = script.opening(call, position)
        if isinstance(fact, ToolUsed) and isinstance(opening, ToolUsed):
            assert fact.call == opening.call
        elif isinstance(fact, CallerSaid):
            assert fact == opening
    messages = History([*found.facts, CallerSaid("Thank you.")]).messages(32_000)
    assert_no_provider_refuses(StartReply(call, messages))
    orders = await store.query(script.caller(call), "restaurantOrder::")
    remarks = sorted(str(order["order"]) for order in orders)
    assert len(set(remarks)) == len(remarks)
    return len(orders)
