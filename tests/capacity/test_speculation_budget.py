"""The requests that a process makes ahead of its callers' last words are a share of all."""

from __future__ import annotations

from agent.capacity.load_shedding import Load
from agent.capacity.speculation_budget import MOST_SAVED, SpeculationBudget
from agent.llm.failover import HedgeBudget
from agent.simulator.virtual_time import run_virtually


def test_lost_requests_are_a_fifth_of_the_requests_of_turns() -> None:
    budget = SpeculationBudget()
    lost = 0
    for _ in range(1_000):
        budget.earn()
        lost += budget.spend()

    assert 195 <= lost <= 200 + MOST_SAVED / 2


def test_adopted_requests_cost_nothing() -> None:
    budget = SpeculationBudget()
    asked = 0
    for _ in range(1_000):
        asked += budget.spend()
        budget.give_back()

    assert asked == 1_000


def test_a_quiet_night_saves_up_only_so_many() -> None:
    budget = SpeculationBudget()
    for _ in range(1_000):
        budget.earn()

    assert sum(budget.spend() for _ in range(100)) == MOST_SAVED


def test_a_provider_that_refuses_requests_takes_those_ahead() -> None:
    """As many turns as one costs must go well before the next one."""
    budget = SpeculationBudget()

    async def throttled() -> None:
        HedgeBudget(throttled=budget.empty).pause()

    run_virtually(throttled())
    asked = []
    for _ in range(6):
        asked.append(budget.spend())
        budget.earn()

    assert asked == [False] * 5 + [True]


def test_a_process_under_load_asks_nothing_ahead() -> None:
    load = Load()
    budget = SpeculationBudget(lambda: load.allows_hedges)
    spent = []
    for lag in (0.0, 0.2, 0.0):
        for _ in range(8):
            load.note(lag)
        spent.append(budget.spend())

    assert spent == [True, False, True]
