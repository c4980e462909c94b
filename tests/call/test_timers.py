"""Which timers count."""

from __future__ import annotations

from agent.call.actions import StartTimer, StopTimer, Timer
from agent.call.timers import TimerSet


def test_a_timer_started_anew_makes_its_old_run_stale() -> None:
    """Serials are never used again."""
    clocks = TimerSet()

    first = clocks.start(Timer.IDLE, 8_000)
    second = clocks.start(Timer.IDLE, 9_000)

    assert [first, second] == [
        StartTimer(Timer.IDLE, 1, 8_000),
        StartTimer(Timer.IDLE, 2, 9_000),
    ]
    assert not clocks.is_current(Timer.IDLE, 1)
    assert clocks.is_current(Timer.IDLE, 2)


def test_only_what_runs_is_stopped() -> None:
    """Stopping twice says nothing the second time."""
    clocks = TimerSet()
    clocks.start(Timer.IDLE, 8_000)
    clocks.start(Timer.HOLD, 1_000)

    assert clocks.stop(Timer.FLUSH, Timer.IDLE) == [StopTimer(Timer.IDLE)]
    assert clocks.stop(Timer.FLUSH, Timer.IDLE) == []
    assert clocks.is_running(Timer.HOLD)
    assert not clocks.is_running(Timer.IDLE)


def test_a_timer_that_has_fired_runs_no_more() -> None:
    """It counts once."""
    clocks = TimerSet()
    clocks.start(Timer.IDLE, 8_000)

    clocks.has_fired(Timer.IDLE)

    assert not clocks.is_running(Timer.IDLE)
    assert not clocks.is_current(Timer.IDLE, 1)
