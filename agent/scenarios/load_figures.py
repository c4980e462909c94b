"""What callers have seen under load: waits, errors, departures; in all, and for each second."""

from __future__ import annotations

from bisect import bisect
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from agent.scenarios.figures import percentile

DEAD_AIR_SECONDS = 6.0
"""A longer wait for an answer is dead air."""
BUCKETS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0)
"""Upper bounds of the histogram of waits, in seconds; one more holds the rest."""
SHARES = (0.5, 0.9, 0.95, 0.99)


@dataclass(frozen=True, slots=True)
class AnswerWait:
    """From the caller's final words to the first text frame; seconds."""

    asked_at: float
    """Since the test began."""
    seconds: float


@dataclass(slots=True)
class LoadFigures:
    """Of one run; times are seconds since it began."""

    calls: int
    """Wanted at once."""
    measured_from: float = 0.0
    """Waits and dead air before it are of the time in which the calls began, and do not count."""
    waits: list[AnswerWait] = field(default_factory=list)
    silences: int = 0
    """Times that a caller waited for an answer and none came."""
    errors: Counter[str] = field(default_factory=Counter)
    """Calls that failed, by reason."""
    departures: Counter[str] = field(default_factory=Counter)
    """From the protocol, by kind."""
    begun: int = 0
    ended: int = 0
    held_back: int = 0
    """Arrivals for which there was no place among the calls at once."""
    undone_steps: int = 0
    """Steps of scenarios that could not be done, such as to interrupt where nothing was said."""
    at_once: list[int] = field(default_factory=list)
    """Calls in progress, each second."""
    lags: list[float] = field(default_factory=list)
    """By how much timers of the generator were late."""
    core_share: float = 0.0
    """Of a core, that the generator used."""
    waited_share: float = 0.0
    """Of the time, in which it was ready and other processes had its core; 0 where unknown."""
    seconds: float = 0.0

    def counted(self) -> list[float]:
        """The waits that count, in order of their length."""
        return sorted(each.seconds for each in self.waits if each.asked_at >= self.measured_from)

    @property
    def dead_airs(self) -> int:
        return self.silences + sum(wait > DEAD_AIR_SECONDS for wait in self.counted())

    @property
    def failed_share(self) -> float:
        """Of the calls that were begun."""
        return self.errors.total() / self.begun if self.begun else 0.0

    def percentiles(self) -> dict[str, float]:
        """Of the waits that count, by name such as `p95`; empty if there are none."""
        return percentiles(self.counted())

    def histogram(self) -> list[int]:
        """How many waits are in each of `BUCKETS`, and above."""
        found = [0] * (len(BUCKETS) + 1)
        for wait in self.counted():
            found[bisect(BUCKETS, wait)] += 1
        return found

    def over_time(self, step: float) -> list[tuple[float, dict[str, float]]]:
        """Percentiles of the words spoken in each of these times, by its beginning."""
        slots: dict[int, list[float]] = {}
        for each in self.waits:
            slots.setdefault(int(each.asked_at / step), []).append(each.seconds)
        return [(slot * step, percentiles(sorted(slots[slot]))) for slot in sorted(slots)]


def percentiles(ordered: Sequence[float]) -> dict[str, float]:
    """The values at `SHARES`, by nearest rank."""
    if not ordered:
        return {}
    return {f"p{100 * share:g}": percentile(ordered, share) for share in SHARES}
