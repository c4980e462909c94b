"""What `benchmarks/soak.py` calls well and what it does not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.soak import Held, lag_at_most, verdict

BEFORE = Held(
    rss=60_000_000,
    cpu_seconds=1.0,
    waited_seconds=0.1,
    threads=3,
    sessions=0,
    tasks=3,
    files={"socket": 6, "file": 6},
)


def test_process_as_it_was_before_has_nothing_left_over() -> None:
    files = {"socket": 5, "table": 9}
    after = replace(BEFORE, rss=90_000_000, cpu_seconds=900.0, threads=9, files=files)

    assert after.left_over(BEFORE) == []


def test_each_thing_left_over_is_counted() -> None:
    after = replace(BEFORE, sessions=1, tasks=5, files={"socket": 7, "file": 6, "pipe": 2})

    assert after.left_over(BEFORE) == ["1 socket", "2 pipe", "1 session", "2 task"]


@pytest.mark.parametrize(
    ("sizes", "faults"),
    [
        ((90, 100, 104, 96), []),
        ((90, 100, 106, 100), ["memory is not flat: +0.0% to +6.0%"]),
        ((90, 100, 94, 100), ["memory is not flat: -6.0% to +0.0%"]),
    ],
)
def test_memory_is_flat_from_minute_ten_on(sizes: tuple[int, ...], faults: list[str]) -> None:
    """What it was before counts for nothing; 5 % in either direction is flat."""
    minutes = (5.0, 10.0, 30.0, 60.0)

    assert list(verdict(list(zip(minutes, sizes, strict=True)), minutes=60.0)) == faults


def test_memory_of_a_short_run_is_judged_from_its_first_third_on() -> None:
    """A call without a verdict counts as failed."""
    assert list(verdict([(0.5, 50), (1.0, 100), (3.0, 101)], minutes=3.0)) == []
    assert list(verdict([], minutes=3.0)) == ["memory was not seen"]


def test_lag_is_that_of_the_time_between() -> None:
    """By the limits of the histogram, whose counts are cumulative."""
    name = "agent_event_loop_lag_seconds_bucket"
    before = {f"{name}<0.001": 900.0, f"{name}<0.01": 900.0, f"{name}<+Inf": 900.0}
    now = {f"{name}<0.001": 910.0, f"{name}<0.01": 999.0, f"{name}<+Inf": 1000.0}

    assert lag_at_most(now, before, 0.1) == 0.001
    assert lag_at_most(now, before, 0.5) == 0.01
    assert lag_at_most(now, before, 0.99) == 0.01
    assert lag_at_most(now, before, 1.0) == float("inf")
