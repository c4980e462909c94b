"""What the service itself has measured during a test, from its metrics URL.

A client cannot tell the time of the model from that of the service; the service can.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import aiohttp

from agent.errors import AgentError

_SECONDS = 10
_LINE = re.compile(r'(\w+)_(bucket|sum|count)(?:\{(?:.*?\ble="([^"]+)")?.*\})? ([0-9.eE+-]+|NaN)')
ADDED = "agent_turn_overhead_seconds"
FIRST_TOKEN = "agent_llm_time_to_first_token_seconds"  # noqa: S105 (a metric)
TIMES = {ADDED: "added by the service", FIRST_TOKEN: "the model's first token"}
"""The histograms that are read, and what they are of. Tools and the end-of-turn delay are in none:
the service does not count them as its own time."""


@dataclass(frozen=True, slots=True)
class Histogram:
    """A Prometheus histogram; label sets are added up."""

    buckets: Mapping[float, float]
    """Number of values up to each bound, in order."""
    total: float = 0.0

    def since(self, before: Histogram) -> Histogram:
        """What came after another reading."""
        buckets = {
            bound: number - before.buckets.get(bound, 0.0) for bound, number in self.buckets.items()
        }
        return Histogram(buckets, self.total - before.total)

    @property
    def count(self) -> float:
        return max(self.buckets.values(), default=0.0)

    @property
    def mean(self) -> float:
        return self.total / self.count if self.count else 0.0

    def at_share(self, share: float) -> float:
        """The value that this share does not exceed, interpolated within its bucket."""
        wanted = share * self.count
        steps = [(0.0, 0.0), *sorted(self.buckets.items())]
        for (low, below), (high, number) in pairwise(steps):
            if number >= wanted and number > below:
                if high == float("inf"):
                    return low
                return low + (high - low) * (wanted - below) / (number - below)
        return 0.0


async def read_times(url: str) -> dict[str, Histogram]:
    """The histograms of `TIMES`; raises `AgentError` if the URL does not answer with metrics."""
    limit = aiohttp.ClientTimeout(total=_SECONDS)
    try:
        async with aiohttp.ClientSession(timeout=limit) as http, http.get(url) as response:
            text, status = await response.text(), response.status
    except (aiohttp.ClientError, TimeoutError, UnicodeError, ValueError) as error:
        raise AgentError(f"{url}: {type(error).__name__} {error}".rstrip()) from error
    found = histograms(text)
    if status != 200 or not found.keys() & TIMES.keys():
        raise AgentError(f"{url}: status {status}, without the metrics of this service")
    return {name: found.get(name, Histogram({})) for name in TIMES}


def histograms(text: str) -> dict[str, Histogram]:
    """The histograms in the text that Prometheus reads."""
    buckets = defaultdict[str, defaultdict[float, float]](lambda: defaultdict(float))
    totals = defaultdict[str, float](float)
    for line in text.splitlines():
        found = _LINE.fullmatch(line)
        if found is None:
            continue
        name, kind, bound, value = found.groups()
        if kind == "bucket" and bound:
            buckets[name][float(bound)] += float(value)
        elif kind == "sum":
            totals[name] += float(value)
    return {name: Histogram(dict(each), totals[name]) for name, each in buckets.items()}
