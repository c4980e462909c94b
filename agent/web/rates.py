"""How often somebody may ask: so many at once, and as many again within a time.

The generic cell rate algorithm: for each asker one number is kept, the time at which all that was
asked so far is paid for. Counts are those of this process, and only the latest askers are
remembered, so that memory is bounded whoever asks. Rejected: counting by clock minutes, which lets
twice as many through around a full one.
"""

from __future__ import annotations

from collections.abc import Callable


class Rates:
    """At most `count` at once for each asker, one more every `seconds / count`."""

    def __init__(
        self, count: int, seconds: float, clock: Callable[[], float], most: int = 10_000
    ) -> None:
        """Begin with nobody having asked.

        Args:
            count: At least 1.
            seconds: In which as many are allowed again.
            clock: Seconds; need not be epoch seconds.
            most: How many askers are remembered; at one more, the one who was admitted longest ago
                is forgotten.
        """
        self._interval = seconds / count
        self._seconds = seconds
        self._clock = clock
        self._most = most
        self._paid_at: dict[str, float] = {}

    def wait(self, asker: str) -> float:
        """0 if admitted, and counted; otherwise in how many seconds asking would help."""
        now = self._clock()
        paid_at = max(self._paid_at.get(asker, now), now) + self._interval
        too_soon = paid_at - now - self._seconds
        if too_soon > 1e-6:  # sums of fractions are not exact
            return too_soon
        self._paid_at.pop(asker, None)
        self._paid_at[asker] = paid_at
        if len(self._paid_at) > self._most:
            del self._paid_at[next(iter(self._paid_at))]
        return 0.0
