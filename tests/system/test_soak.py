"""What `benchmarks/soak.py` calls well and what it does not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.soak import Held, verdict

BEFORE = Held(60_000_000, 1.0, 0.1, threads=3, sessions=0, tasks=3, files={"socket": 6, "file": 6})


def test_what_is_left_over_is_counted_and_pools_are_not() -> None:
    pools = {"socket": 5, "table": 9}
    well = replace(BEFORE, rss=90_000_000, cpu_seconds=900.0, threads=9, files=pools)
    files = {"socket": 7, "file": 6, "pipe": 2}
    ill = replace(BEFORE, sessions=1, tasks=5, files=files)

    assert well.left_over(BEFORE) == []
    assert ill.left_over(BEFORE) == ["1 socket", "2 pipe", "1 session", "2 task"]


@pytest.mark.parametrize(
    ("seen", "minutes", "faults"),
    [
        ([(5.0, 90), (10.0, 100), (30.0, 104), (60.0, 96)], 60.0, []),
        ([(10.0, 100), (30.0, 106), (60.0, 100)], 60.0, ["memory is not flat: +0.0% to +6.0%"]),
        ([(10.0, 100), (30.0, 94), (60.0, 100)], 60.0, ["memory is not flat: -6.0% to +0.0%"]),
        ([(0.5, 50), (1.0, 100), (3.0, 101)], 3.0, []),
        ([], 3.0, ["memory was not seen"]),
    ],
)
def test_memory_is_flat_within_5_percent_from_minute_ten_on(
    seen: list[tuple[float, int]], minutes: float, faults: list[str]
) -> None:
    """Of a short run from its first third on."""
    assert list(verdict(seen, minutes)) == faults
