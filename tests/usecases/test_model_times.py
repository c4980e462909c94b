"""Time limits of a model, by what was set and where its server runs."""

from __future__ import annotations

import pytest

from agent.usecases.model_times import NO_TIMES, ModelTimes, TimeLimits, time_limits

HERE = TimeLimits(first_event=30.0, gap=10.0, reply=90.0, hedge=0.0)


@pytest.mark.parametrize(
    ("url", "limits"),
    [
        ("", TimeLimits()),
        ("https://models.example.com/v1", TimeLimits()),
        ("http://10.0.0.7:8000/v1", TimeLimits()),
        ("http://localhost:8080/v1", HERE),
        ("http://127.0.0.1:8080/v1", HERE),
        ("http://[::1]:8080/v1", HERE),
        ("http://host.docker.internal:11434/v1", HERE),
    ],
)
def test_a_server_on_this_machine_has_more_time_and_no_hedge(url: str, limits: TimeLimits) -> None:
    assert time_limits(NO_TIMES, url) == limits


def test_what_is_set_counts_everywhere() -> None:
    times = ModelTimes(5.0, 6.0, 40.0, 2.0)

    assert time_limits(times, "http://localhost:8080/v1", 120.0) == TimeLimits(
        first_event=5.0, gap=6.0, reply=40.0, hedge=2.0, load=120.0
    )


def test_what_is_not_set_fits_what_is() -> None:
    """A longer wait for the first event lengthens the reply; a shorter one hedges sooner."""
    assert time_limits(ModelTimes(30.0)) == TimeLimits(first_event=30.0, reply=90.0)
    assert time_limits(ModelTimes(1.0)) == TimeLimits(first_event=1.0, hedge=0.6)
    assert time_limits(ModelTimes(gap_seconds=15.0)) == TimeLimits(gap=15.0, reply=30.0)
    assert time_limits(ModelTimes(90.0)).load == 90.0


def test_a_use_case_comes_before_the_process() -> None:
    of_use_case, of_process = ModelTimes(gap_seconds=6.0), ModelTimes(5.0, 9.0)

    assert of_use_case.over(of_process) == ModelTimes(5.0, 6.0)


@pytest.mark.parametrize(
    ("times", "url", "faults"),
    [
        (ModelTimes(5.0, 6.0, 40.0, 2.0), "", []),
        (ModelTimes(hedge_seconds=0.0), "", []),
        (
            ModelTimes(hedge_seconds=2.5),
            "",
            [("hedge", "must be below the wait for the first event, 2.5")],
        ),
        (
            ModelTimes(5.0, reply_seconds=5.0),
            "",
            [("reply", "must be above the wait for an event, 5")],
        ),
        (
            ModelTimes(gap_seconds=8.0, reply_seconds=6.0),
            "",
            [("reply", "must be above the wait for an event, 8")],
        ),
        (
            ModelTimes(reply_seconds=20.0),
            "http://localhost/",
            [("reply", "must be above the wait for an event, 30")],
        ),
    ],
)
def test_contradictions_are_named(
    times: ModelTimes, url: str, faults: list[tuple[str, str]]
) -> None:
    assert list(time_limits(times, url).contradictions()) == faults
