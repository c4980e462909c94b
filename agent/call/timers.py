"""Which timers of a call are running; one that was replaced or stopped is stale when it fires."""

from __future__ import annotations

from agent.call.actions import Action, StartTimer, StopTimer, Timer


class TimerSet:
    """The timers of one call."""

    def __init__(self) -> None:
        self._running: dict[Timer, int] = {}
        self._serial = 0

    def is_running(self, timer: Timer) -> bool:
        """It was started, and neither stopped nor has it fired."""
        return timer in self._running

    def is_current(self, timer: Timer, serial: int) -> bool:
        """This is the run that counts."""
        return self._running.get(timer) == serial

    def start(self, timer: Timer, after_ms: int) -> Action:
        """Start a timer, or start it anew."""
        self._serial += 1
        self._running[timer] = self._serial
        return StartTimer(timer, self._serial, after_ms)

    def stop(self, *timers: Timer) -> list[Action]:
        """Stop those of these timers that run."""
        return [StopTimer(timer) for timer in timers if self._running.pop(timer, None) is not None]

    def has_fired(self, timer: Timer) -> None:
        """A current run has ended by itself."""
        del self._running[timer]
