"""How a process that has to end drains its calls: what happens to it, and in which stages.

| stage | how it is reached | what calls in progress get |
|---|---|---|
| `SERVING` | | |
| `QUIET_MOMENTS` | deregistration, `POST /drain`, SIGTERM | a hand-over when it is quiet |
| `AT_ONCE` | time is up | a hand-over in mid-sentence |
| `GOODBYES` | time is up, SIGINT, a second SIGTERM | a goodbye |
| `CLOSING` | time is up, or no call is left | the connection is closed |

A stage never goes back, and no event makes one longer, so the drain takes at most `TOTAL_SHARE` of
`DRAIN_SECONDS`. Without a signal a process without calls stays for `LINGER_SHARE`: a load balancer
may send it requests for a moment longer, which it redirects. A conversation that is ending takes no
further hand-over or goodbye (`agent.call.lifecycle`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum, StrEnum

from agent.call.events import ShutdownMode


class DrainStage(IntEnum):
    """What is done with the calls, in this order."""

    SERVING = 0
    QUIET_MOMENTS = 1
    AT_ONCE = 2
    GOODBYES = 3
    CLOSING = 4


class DrainEvent(StrEnum):
    """What happens to a process in which calls go on."""

    DEREGISTERED = "deregistered"
    """The load balancer sends no new connections, and will cut those that are open."""
    REQUESTED = "requested"
    TERMINATED = "terminated"
    """SIGTERM."""
    INTERRUPTED = "interrupted"
    """SIGINT."""
    STAGE_OVER = "stage_over"
    """The time of the stage is up."""
    CALLS_OVER = "calls_over"
    """No call is left."""


MODES = {
    DrainStage.QUIET_MOMENTS: ShutdownMode.WHEN_QUIET,
    DrainStage.AT_ONCE: ShutdownMode.AT_ONCE,
    DrainStage.GOODBYES: ShutdownMode.GOODBYE,
}
"""What the calls are told when a stage begins."""
SHARES = {
    DrainStage.QUIET_MOMENTS: 0.65,
    DrainStage.AT_ONCE: 0.15,
    DrainStage.GOODBYES: 0.08,
    DrainStage.CLOSING: 0.09,
}
"""The longest that a stage lasts, of `DRAIN_SECONDS`."""
TOTAL_SHARE = sum(SHARES.values())
LINGER_SHARE = 0.3
"""How long a process without calls stays that got no signal, of `DRAIN_SECONDS`."""


@dataclass(frozen=True, slots=True)
class Drain:
    """The state of the drain of one process."""

    stage: DrainStage = DrainStage.SERVING
    is_terminated: bool = False
    """A SIGTERM has come."""

    @property
    def lingers(self) -> bool:
        """Whether a process without calls stays for `LINGER_SHARE`."""
        return self.stage < DrainStage.GOODBYES and not self.is_terminated

    def after(self, event: DrainEvent) -> Drain:
        """The state after an event."""
        match event:
            case DrainEvent.DEREGISTERED | DrainEvent.REQUESTED:
                return self._at_least(DrainStage.QUIET_MOMENTS)
            case DrainEvent.TERMINATED if not self.is_terminated:
                begun = self._at_least(DrainStage.QUIET_MOMENTS)
                return replace(begun, is_terminated=True)
            case DrainEvent.TERMINATED | DrainEvent.INTERRUPTED:
                return self._at_least(DrainStage.GOODBYES)
            case DrainEvent.STAGE_OVER if DrainStage.SERVING < self.stage < DrainStage.CLOSING:
                return replace(self, stage=DrainStage(self.stage + 1))
            case DrainEvent.CALLS_OVER if self.stage is not DrainStage.SERVING:
                return self._at_least(DrainStage.CLOSING)
            case _:
                return self

    def _at_least(self, stage: DrainStage) -> Drain:
        return replace(self, stage=max(self.stage, stage))
