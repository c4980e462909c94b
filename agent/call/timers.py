"""The timers of one call: their names, the actions that start and stop them, and which ones run.

Each timer runs at most once at a time. Starting it again replaces the run, and gives it a new
serial number; a `TimerFired` with an older serial is stale.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum


class Timer(StrEnum):
    """What a call can wait for."""

    FLUSH = "flush"
    """No token came for a while: send the words that are ready."""
    END_OF_TURN_DELAY = "end_of_turn_delay"
    """The caller seems not to have finished: answer if nothing follows."""
    REPEAT = "repeat"
    """While it runs, speech recognition may replace the caller's last words."""
    YIELD = "yield"
    """The caller speaks, or has just spoken, and has heard nothing of the reply: it is withheld."""
    LONGEST_TURN = "longest_turn"
    """The caller speaks: the agent says something before it runs out, or takes the turn then."""
    SPECULATION = "speculation"
    """The caller's partial words have not changed for a while: ask the model ahead."""
    RETRY = "retry"
    FILLER = "filler"
    """The caller waits for the agent's words: play a filler."""
    TOOL = "tool"
    """A tool takes long, and nothing was said before it: play a filler."""
    WAIT = "wait"
    """The caller has waited for long: offer a choice."""
    PLAYBACK = "playback"
    """The latest time at which all speech has been played."""
    IDLE = "idle"
    DIGITS = "digits"
    """The next key must come; then the entry is complete."""
    LATE_DIGITS = "late_digits"
    """While it runs, further digits belong to an entry that is over: they are dropped."""
    OPERATOR = "operator"
    """A person has taken over the call and must act."""
    MODEL_FAILURE = "model_failure"
    DURATION = "duration"
    CLOSING = "closing"


@dataclass(frozen=True, slots=True)
class StartTimer:
    """Send `TimerFired(timer, serial)` after `after_ms`; replaces a running timer of this name."""

    timer: Timer
    serial: int
    after_ms: int


@dataclass(frozen=True, slots=True)
class StopTimer:
    """Stop a timer; does nothing if it has just fired."""

    timer: Timer


_LEADING_ON = frozenset({
    Timer.END_OF_TURN_DELAY, Timer.YIELD, Timer.RETRY, Timer.PLAYBACK, Timer.IDLE, Timer.DIGITS,
    Timer.OPERATOR,
})  # fmt: skip
_STOP = {timer: StopTimer(timer) for timer in Timer}


@dataclass(slots=True)
class TimerSet:
    """The timers of one call that run, each with its serial number."""

    running: dict[Timer, int] = field(default_factory=dict)
    _serial: int = 0

    @property
    def lead_on(self) -> bool:
        """Whether a timer runs that leads to words of the agent, or to the end of the call."""
        return not _LEADING_ON.isdisjoint(self.running)

    def start(self, timer: Timer, after_ms: int) -> StartTimer:
        self._serial += 1
        self.running[timer] = self._serial
        return StartTimer(timer, self._serial, after_ms)

    def restart(self, timer: Timer, after_ms: int) -> Sequence[StartTimer]:
        return [self.start(timer, after_ms)] if timer in self.running else []

    def stop(self, *timers: Timer) -> Sequence[StopTimer]:
        running = self.running  # most of the timers to stop do not run
        return [_STOP[timer] for timer in timers if running.pop(timer, None) is not None]
