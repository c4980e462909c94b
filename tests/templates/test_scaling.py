"""The scaling of the cloud template on days of calls: it refuses none that it has time for.

Played beside it is the average over all tasks that write, also those that drain without knowing it:
once as a whole former policy, and once in the place of the metric alone.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.observability.embedded_metrics import EMBEDDED_SECONDS
from tests.templates.fleet import CALLS, CPU, HOUR, MINUTE, TASKS, Day, Load, Service, play
from tests.templates.loading import cloud, resources
from tests.templates.target_tracking import Policy, Readings, Tracker, policy

_RISE = 10.0
"""Calls a minute by which a load may rise for each task that runs; docs/operate/capacity.md."""


def resolved(value: Any) -> Any:
    """A value of the template with the defaults of its parameters."""
    if isinstance(value, dict) and value.keys() == {"Ref"} and value["Ref"].startswith("p"):
        return cloud()["Parameters"][value["Ref"]]["Default"]
    return value


def shipped(name: str) -> Policy:
    configuration = resources(cloud(), "AWS::ApplicationAutoScaling::ScalingPolicy")[name]
    tracking = configuration["TargetTrackingScalingPolicyConfiguration"]
    return policy({key: resolved(value) for key, value in tracking.items()})


def tracker() -> Tracker:
    """What the template makes, with its defaults."""
    [target] = resources(cloud(), "AWS::ApplicationAutoScaling::ScalableTarget").values()
    least, most = int(resolved(target["MinCapacity"])), int(resolved(target["MaxCapacity"]))
    return Tracker((shipped("ScaleOnCalls"), shipped("ScaleOnCpu")), least, most)


def service() -> Service:
    default = {name: each.get("Default") for name, each in cloud()["Parameters"].items()}
    return Service(int(default["pMaxCallsPerTask"]), float(default["pDrainSeconds"]))


def former() -> tuple[Service, Tracker]:
    """The average of all tasks that write, 70 of 100 calls; tasks wrote until SIGTERM."""
    metric = {"Namespace": CALLS[0], "MetricName": CALLS[1], "Statistic": "Average"}
    cpu = {"PredefinedMetricType": "ECSServiceAverageCPUUtilization"}
    cooldowns = {"ScaleOutCooldown": 30, "ScaleInCooldown": 300}
    policies = (
        policy({"TargetValue": 70, "CustomizedMetricSpecification": metric, **cooldowns}),
        policy({"TargetValue": 60, "PredefinedMetricSpecification": cpu, **cooldowns}),
    )
    return Service(seats=100, drain=900, knows_of_drain=False), Tracker(policies, 2, 20)


def workday(peak: float, rise: float = HOUR, fall: float = 1.5 * HOUR) -> Load:
    """A twentieth of the peak; from hour 1 a rise to it, from hour 4 a fall; seconds."""
    low = peak / 20

    def load(now: float) -> float:
        if now < 4 * HOUR:
            return low + (peak - low) * min(max((now - HOUR) / rise, 0), 1)
        return peak - (peak - low) * min((now - 4 * HOUR) / fall, 1)

    return load


def burst(steady: float) -> Load:
    """Calls that double within a minute, two hours after the start, and stay."""
    return lambda now: steady * (min(now / HOUR, 1) + min(max((now - 2 * HOUR) / MINUTE, 0), 1))


_DAYS = {
    "morning and evening": Day(workday(1200), 7 * HOUR),
    "everybody hangs up": Day(workday(1200, fall=300), 7 * HOUR),
    "a deploy at noon": Day(workday(1200), 7 * HOUR, deploys=(3 * HOUR,)),
    "deploys all day": Day(workday(1200), 7 * HOUR, deploys=(1.5 * HOUR, 3 * HOUR, 4.5 * HOUR)),
    "calls cost nine times as much": Day(workday(1000), 7 * HOUR, cpu_of_call=0.9),
    "the number of tasks comes late": Day(workday(1200), 7 * HOUR, late=5),
}


@pytest.mark.parametrize("day", _DAYS.values(), ids=_DAYS.keys())
def test_a_day_refuses_no_call(day: Day) -> None:
    outcome = play(service(), tracker(), day)

    assert outcome.calls > 50_000
    assert (outcome.refused, outcome.lost) == (0, 0)
    assert outcome.most_tasks <= 2 * 20


@pytest.mark.parametrize("day", ["morning and evening", "deploys all day"])
def test_a_task_that_never_learns_that_it_drains_costs_no_call(day: str) -> None:
    """It goes on writing its calls, and keeps them to the end of the drain."""
    unaware = replace(service(), knows_of_drain=False)

    outcome = play(unaware, tracker(), _DAYS[day])

    assert (outcome.refused, outcome.lost) == (0, 0)


@pytest.mark.parametrize("steady", [200, 600, 1000])
def test_twice_the_calls_in_a_minute_find_room_but_for_a_few(steady: float) -> None:
    """Chance fills one task before another: of the calls that are added, at most three in ten."""
    days = [Day(burst(steady), 3 * HOUR, seed=seed) for seed in range(4)]

    outcomes = [play(service(), tracker(), day) for day in days]

    assert max(each.refused for each in outcomes) <= 0.3 * steady
    assert [each.lost for each in outcomes] == [0, 0, 0, 0]


def test_the_former_policy_refuses_callers_on_the_same_days() -> None:
    """A draining task's falling count pulls the average down, and more tasks are taken away."""
    names = ("morning and evening", "a deploy at noon", "deploys all day")

    outcomes = [play(*former(), _DAYS[name]) for name in names]

    assert [(each.calls, each.refused) for each in outcomes] == [
        (61_875, 3_127), (61_875, 7_101), (61_875, 2_354),
    ], "as docs/operate/capacity.md says"  # fmt: skip


@pytest.mark.parametrize("day", ["a deploy at noon", "deploys all day"])
def test_with_the_former_metric_alone_a_deploy_refuses_callers(day: str) -> None:
    """The same limits, target and cooldowns, and tasks that drain for a quarter of an hour."""
    unaware = replace(service(), drain=900, knows_of_drain=False)
    average = former()[1].policies[0].measure
    planted = replace(shipped("ScaleOnCalls"), measure=average)

    with_average = play(unaware, Tracker((planted, shipped("ScaleOnCpu")), 2, 20), _DAYS[day])
    with_sum = play(unaware, tracker(), _DAYS[day])

    assert with_average.refused > 100
    assert with_sum.refused == 0


@settings(max_examples=12, deadline=None)
@given(
    peak=st.floats(50, 900),
    slowly=st.floats(1, 3),
    fall=st.floats(60, 2 * HOUR),
    deploys=st.lists(st.floats(HOUR, 6 * HOUR), max_size=2),
    seed=st.integers(0, 1000),
    late=st.integers(1, 4),
)
def test_a_load_that_rises_slowly_enough_is_never_refused(
    peak: float, slowly: float, fall: float, deploys: list[float], seed: int, late: int
) -> None:
    rise = peak / (_RISE * tracker().least) * MINUTE * slowly
    day = Day(workday(peak, min(rise, 3 * HOUR), fall), 7 * HOUR, tuple(deploys), 0.1, late, seed)

    outcome = play(service(), tracker(), day)

    assert (outcome.refused, outcome.lost) == (0, 0)


# What the policies read.


def test_the_metric_is_calls_over_tasks_that_are_wanted() -> None:
    """With one line of each process every 30 s; of one process a task, or of several."""
    readings = Readings()
    lines = int(MINUTE / EMBEDDED_SECONDS)
    for each in [80] * lines + [40, 80] * lines:  # one task, and one of two processes
        readings.write(CALLS, 7, each)
    readings.write(TASKS, 6, 4)

    measure = shipped("ScaleOnCalls").measure

    assert measure(readings, 7) == 50, "the number of tasks is that of the minute before"
    assert measure(readings, 8) is None, "calls that are not known are not zero"


def test_a_scale_in_waits_for_every_drain() -> None:
    drain = cloud()["Parameters"]["pDrainSeconds"]

    assert shipped("ScaleOnCalls").in_cooldown == shipped("ScaleOnCpu").in_cooldown
    assert shipped("ScaleOnCalls").in_cooldown >= drain["MaxValue"] >= drain["Default"]


def test_half_of_a_task_is_spare_at_the_target() -> None:
    """Of its calls and of its CPU: the rest is for calls that come until a new task is there."""
    assert shipped("ScaleOnCalls").target == service().seats / 2
    assert shipped("ScaleOnCpu").target == 45


# How target tracking decides.


def after(values: list[int], capacity: int = 4) -> list[int]:
    """The capacity after each minute, when the CPU had these values; -1 = no data."""
    tracked = Tracker((shipped("ScaleOnCpu"),), 2, 20)
    tracked.capacity = capacity
    readings, capacities = Readings(), []
    for minute, value in enumerate(values):
        if value >= 0:
            readings.write(CPU, minute, value)
        capacities.append(tracked.decide(minute * MINUTE, readings, minute, may_scale_in=True))
    return capacities


def test_three_minutes_above_the_target_scale_out_by_the_share_above() -> None:
    assert after([90, 90, 44, 90, 90, 90]) == [4, 4, 4, 4, 4, 8]


def test_fifteen_minutes_far_below_the_target_scale_in() -> None:
    assert after([20] * 16) == [4] * 14 + [2, 2]
    assert after([41] * 20) == [4] * 20, "within a tenth of the target"


def test_minutes_without_data_change_nothing() -> None:
    assert after([90, 90, -1, 90, 90, -1]) == [4] * 6
    assert after([20] * 14 + [-1] + [20] * 14) == [4] * 29


def test_a_second_scale_in_waits_for_the_cooldown() -> None:
    capacities = after([30] * 40, capacity=9)

    assert capacities == [9] * 14 + [6] * 15 + [4] * 11
