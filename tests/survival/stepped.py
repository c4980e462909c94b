"""A server whose clock can be set: SIGUSR1 sets it forward by an hour, SIGUSR2 back.

    python -m tests.survival.stepped

Setting the clock of a machine takes rights and disturbs all its processes, and the service has no
switch for it. So what all its modules import as the time of day is another function here, before
any of them is loaded. The time that waits are measured with goes on evenly, as it does when the
clock of a machine is set.
"""

from __future__ import annotations

import signal
import sys
import time

FORWARD, BACK = signal.SIGUSR1, signal.SIGUSR2
_HOUR_SECONDS = 3_600.0


class SteppedClock:
    """The time of day, shifted."""

    def __init__(self) -> None:
        self._now = time.time
        self._ahead = 0.0

    def __call__(self) -> float:
        return self._now() + self._ahead

    def step(self, number: int, _: object) -> None:
        """Handle a signal: move the clock by an hour."""
        self._ahead += _HOUR_SECONDS if number == FORWARD else -_HOUR_SECONDS


def main() -> int:
    """Serve with such a clock."""
    clock = SteppedClock()
    for number in (FORWARD, BACK):
        signal.signal(number, clock.step)
    time.time = clock
    from agent.cli.main import main as agent  # noqa: PLC0415 (the clock must be there before)

    return agent(["serve"])


if __name__ == "__main__":
    sys.exit(main())
