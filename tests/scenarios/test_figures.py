"""How often scenarios pass, and whether two subjects differ: by hand-made runs."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from agent.scenarios.figures import compare, even_chance, figures, pass_power
from agent.scenarios.outcome import AgentTurn, Check, ScenarioRun


def run_of(name: str, timing: int, wait: float = 1.0, *, passed: bool = True) -> ScenarioRun:
    checks = [Check("protocol", is_met=True), Check("said 'a'", is_met=passed)]
    turns = [AgentTurn(10, 10 + wait, 12, 15)]
    run = ScenarioRun(name, timing=timing, checks=checks, turns=turns, seconds=30, tokens=5)
    run.file = f"{name}.yaml"
    return run


def runs_of(name: str, outcomes: Iterable[bool], wait: float = 1.0) -> list[ScenarioRun]:
    return [run_of(name, seed, wait, passed=passed) for seed, passed in enumerate(outcomes)]


def test_pass_power_is_the_chance_that_k_runs_of_a_scenario_all_pass() -> None:
    """3 of 4 passed: one run passes with 3/4, and of 6 pairs 3 pass; the other always passes."""
    runs = [*runs_of("a", [True, True, True, False]), *runs_of("b", [True] * 4)]

    assert pass_power(runs, 1) == (0.75 + 1) / 2
    assert pass_power(runs, 2) == (0.5 + 1) / 2
    assert pass_power(runs, 4) == (0 + 1) / 2
    assert pass_power(runs, 9) == pass_power(runs, 4), "there are no more runs"
    assert pass_power([], 3) == 0


def test_figures_count_runs_and_waits() -> None:
    runs = [*runs_of("a", [True, False], wait=1), *runs_of("b", [True, True], wait=3)]

    of = figures(runs)

    assert (of.scenarios, of.runs, of.passed, of.failed, of.k) == (2, 4, 3, 1, 2)
    assert (of.pass_1, of.pass_k) == (0.75, 0.5)
    assert (of.median_wait, of.longest_wait) == (3, 3)
    assert (of.call_seconds, of.tokens) == (120, 20)
    assert figures([]).longest_wait == 0


@pytest.mark.parametrize(
    ("one", "other", "chance"),
    [(0, 0, 1), (3, 3, 1), (0, 1, 1), (0, 6, 2 / 64), (6, 0, 2 / 64), (1, 9, 2 * 11 / 1024)],
)
def test_even_chance_is_that_of_a_fair_coin(one: int, other: int, chance: float) -> None:
    assert even_chance(one, other) == pytest.approx(chance)


def test_two_subjects_are_compared_in_pairs_of_scenario_and_timing() -> None:
    first = runs_of("a", [True] * 8, wait=1)
    second = [*runs_of("a", [False] * 6 + [True], wait=1.5), *runs_of("b", [True])]

    found = compare(first, second)

    assert (found.pairs, found.only_first, found.only_second) == (7, 6, 0)
    assert found.chance_passes == pytest.approx(2 / 64)
    assert (found.sooner_first, found.sooner_second) == (7, 0)
    assert found.later_seconds == pytest.approx(0.5)
    assert found.chance_waits == pytest.approx(2 / 128)


def test_subjects_without_a_common_run_do_not_differ() -> None:
    found = compare(runs_of("a", [True]), runs_of("b", [False]))

    assert (found.pairs, found.chance_passes, found.chance_waits) == (0, 1, 1)
