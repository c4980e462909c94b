"""What is left out at which lag of the event loop, and that memory is returned."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import structlog

from agent.app import model_options
from agent.capacity.load_shedding import Load, LoadLevel
from agent.llm.failover import HedgeBudget
from agent.observability import Telemetry
from agent.settings import Settings
from agent.simulator.virtual_time import run_virtually
from tests.fakes import Counted

ON_TIME, LATE, VERY_LATE = 0.001, 0.15, 0.4
NOTHING, HEDGES, CALLS = LoadLevel.NORMAL, LoadLevel.HEDGES_DISABLED, LoadLevel.CALLS_REJECTED


def _levels(*lags: Sequence[float]) -> list[float]:
    """The levels counted while these lags are measured."""
    counted = Counted()
    load = Load(counted)
    for lag in (each for some in lags for each in some):
        load.note(lag)
    levels = counted.amounts("agent_load_shedding")
    assert load.level == (levels or [NOTHING])[-1]
    return levels


@pytest.mark.parametrize(
    ("lags", "levels"),
    [
        ([[ON_TIME] * 100], []),
        ([[VERY_LATE] * 7], []),
        ([[ON_TIME] * 50, [5.0] * 4], []),
        ([[LATE] * 8], [HEDGES]),
        ([[0.1] * 20], []),
        ([[VERY_LATE] * 8], [CALLS]),
        ([[ON_TIME] * 8, [LATE] * 8, [VERY_LATE] * 8], [HEDGES, CALLS]),
        ([[LATE] * 8, [0.06] * 50], [HEDGES]),
        ([[LATE] * 8, [0.04] * 50], [HEDGES, NOTHING]),
        ([[VERY_LATE] * 8, [0.2] * 50], [CALLS]),
        ([[VERY_LATE] * 8, [0.12] * 50], [CALLS, HEDGES]),
        ([[VERY_LATE] * 8, [ON_TIME] * 50], [CALLS, NOTHING]),
        ([[VERY_LATE, ON_TIME] * 50], []),
    ],
)
def test_hedges_go_first_and_then_new_calls(
    lags: Sequence[Sequence[float]], levels: list[int]
) -> None:
    """The median of eight counts, and a level ends at half of what it began at."""
    assert _levels(*lags) == levels


def test_level_decides_about_hedges_and_new_calls() -> None:
    load, allowed = Load(), []
    for lag in (ON_TIME, LATE, VERY_LATE):
        for _ in range(8):
            load.note(lag)
        allowed.append((load.allows_hedges, load.allows_calls))

    assert allowed == [(True, True), (False, True), (False, False)]


def test_a_level_is_logged_when_it_begins_and_when_it_ends() -> None:
    with structlog.testing.capture_logs() as logged:
        _levels([LATE] * 100, [ON_TIME] * 100)

    assert [(each["log_level"], each["level"]) for each in logged] == [
        ("warning", "hedges_disabled"),
        ("info", "normal"),
    ]


def test_the_loop_is_measured_while_it_runs() -> None:
    counted = Counted()

    async def main() -> None:
        watching = asyncio.create_task(Load(counted).watch())
        await asyncio.sleep(1.1)
        watching.cancel()

    run_virtually(main())

    assert counted.amounts("agent_event_loop_lag_seconds") == [0.0] * 4


def test_a_process_under_load_asks_no_model_twice() -> None:
    """The budget saved up before is available when the load is over."""
    load = Load()
    budget = HedgeBudget(is_allowed=model_options(Settings(), Telemetry(), load).may_hedge)

    async def spend() -> int:
        return sum(budget.spend() for _ in range(3))

    spent = []
    for lag in (ON_TIME, LATE, ON_TIME):
        for _ in range(8):
            load.note(lag)
        spent.append(run_virtually(spend()))

    assert spent == [3, 0, 2]


_HOLES = """
import sys
from pathlib import Path
from agent.capacity.load_shedding import trim_memory

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

blocks = [bytearray(1000) for _ in range(100_000)]
del blocks[:-1]  # the last one keeps all that is below it from being given back
before = resident()
trim_memory()
print(before - resident())
"""
_HELD_BYTES = 100_000 * 1000


def test_memory_between_used_blocks_is_returned_to_the_system() -> None:
    done = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", _HOLES],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )

    assert int(done.stdout) > 0.9 * _HELD_BYTES
