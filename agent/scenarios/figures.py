"""How often scenarios pass, how long callers wait, and how two subjects differ."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import comb
from statistics import fmean, median

from agent.scenarios.outcome import ScenarioRun

Played = tuple[str, str]
"""File and variant of a scenario."""


def by_scenario(runs: Iterable[ScenarioRun]) -> Mapping[Played, list[ScenarioRun]]:
    """The runs of each scenario, in order of files, variants, timings and repetitions."""
    grouped = dict[Played, list[ScenarioRun]]()
    for run in sorted(runs, key=lambda run: (run.file, run.title, run.timing, run.repetition)):
        grouped.setdefault((run.file, run.title), []).append(run)
    return grouped


def pass_power(runs: Iterable[ScenarioRun], k: int) -> float:
    """pass^k: the chance that k runs of one scenario all pass, as the mean over all scenarios.

    Estimated without bias from the n runs of a scenario, of which c passed: C(c, k) / C(n, k)
    (https://arxiv.org/abs/2406.12045). k is at most the number of runs; 0 without runs.
    """
    chances = []
    for played in by_scenario(runs).values():
        passed, tried = sum(run.has_passed for run in played), min(k, len(played))
        chances.append(comb(passed, tried) / comb(len(played), tried))
    return fmean(chances) if chances else 0.0


def percentile(ordered: Sequence[float], share: float) -> float:
    """The value below which this share of the ordered values lies; 0 without values."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


@dataclass(frozen=True, slots=True)
class Figures:
    """What many runs come to."""

    scenarios: int
    runs: int
    passed: int
    k: int
    """Runs of each scenario."""
    pass_1: float
    pass_k: float
    median_wait: float
    """Seconds from the caller's words to the agent's first, over all turns."""
    slow_wait: float
    """The same, 95th percentile."""
    longest_wait: float
    call_seconds: float
    tokens: int

    @property
    def failed(self) -> int:
        return self.runs - self.passed


def figures(runs: Sequence[ScenarioRun]) -> Figures:
    """The figures of these runs."""
    played = by_scenario(runs)
    k = max((len(each) for each in played.values()), default=1)
    waits = sorted(turn.wait for run in runs for turn in run.turns)
    return Figures(
        scenarios=len(played),
        runs=len(runs),
        passed=sum(run.has_passed for run in runs),
        k=k,
        pass_1=pass_power(runs, 1),
        pass_k=pass_power(runs, k),
        median_wait=percentile(waits, 0.5),
        slow_wait=percentile(waits, 0.95),
        longest_wait=percentile(waits, 1),
        call_seconds=sum(run.seconds for run in runs),
        tokens=sum(run.tokens for run in runs),
    )


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two subjects on the same scenarios, timings and repetitions."""

    first: str
    second: str
    pairs: int
    only_first: int
    """Pairs of which only the first subject's run passed."""
    only_second: int
    chance_passes: float
    """p of McNemar's exact test, two-sided: that they pass equally often."""
    sooner_first: int
    """Pairs of which the first subject's answers began sooner, by the median of a call."""
    sooner_second: int
    later_seconds: float
    """Median of the differences: by how much the second begins later."""
    chance_waits: float
    """p of the sign test, two-sided: that no subject answers sooner."""

    def __str__(self) -> str:
        one, other = self.first, self.second
        return (
            f"{self.pairs} pairs: {self.only_first} passed only with {one},"
            f" {self.only_second} only with {other} (McNemar, exact: p = {self.chance_passes:.3g});"
            f" answers began sooner in {self.sooner_first} with {one}, in {self.sooner_second}"
            f" with {other}, difference {self.later_seconds:+.2f} s"
            f" (sign test: p = {self.chance_waits:.3g})"
        )


def compare(first: Sequence[ScenarioRun], second: Sequence[ScenarioRun]) -> Comparison:
    """Compare what both have played."""
    pairs = list(_pairs(first, second))
    only_first = sum(one.has_passed and not other.has_passed for one, other in pairs)
    only_second = sum(other.has_passed and not one.has_passed for one, other in pairs)
    later = [
        _typical_wait(other) - _typical_wait(one)
        for one, other in pairs
        if one.turns and other.turns
    ]
    sooner_first, sooner_second = sum(each > 0 for each in later), sum(each < 0 for each in later)
    return Comparison(
        first[0].subject if first else "",
        second[0].subject if second else "",
        len(pairs),
        only_first,
        only_second,
        even_chance(only_first, only_second),
        sooner_first,
        sooner_second,
        median(later) if later else 0.0,
        even_chance(sooner_first, sooner_second),
    )


def even_chance(one: int, other: int) -> float:
    """The two-sided chance of a split as uneven as this one if both sides are as likely."""
    fewer, both = min(one, other), one + other
    return (
        min(1.0, sum(comb(both, each) for each in range(fewer + 1)) / 2 ** (both - 1))
        if both
        else 1.0
    )


def _pairs(
    first: Iterable[ScenarioRun], second: Iterable[ScenarioRun]
) -> Iterator[tuple[ScenarioRun, ScenarioRun]]:
    there = {_place(run): run for run in second}
    return ((run, there[_place(run)]) for run in first if _place(run) in there)


def _place(run: ScenarioRun) -> tuple[str, str, int, int]:
    return run.file, run.variant, run.timing, run.repetition


def _typical_wait(run: ScenarioRun) -> float:
    return median(turn.wait for turn in run.turns)
