"""Who may ask for what is not for Twilio: the company's own servers, by a secret in a header.

`Authorization: Bearer <secret>`. Several secrets count at once, so that one can be replaced without
a gap. Rejected: signed requests, and tokens of an identity provider, which need a library in each
caller and keep out nobody whom a secret over TLS lets in.

How often somebody may ask: so many at once, and as many again within a time.

The generic cell rate algorithm: for each asker one number is kept, the time at which all that was
asked so far is paid for. Counts are those of this process, and only the latest askers are
remembered, so that memory is bounded whoever asks. Rejected: counting by clock minutes, which lets
twice as many through around a full one.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Sequence


class ApiKeys:
    """The secrets of one route.

    Raises:
        ValueError: A secret is empty, which anybody could give.
    """

    def __init__(self, secrets: Sequence[str]) -> None:
        if isinstance(secrets, str) or not secrets or not all(secrets):
            raise ValueError("secrets must be a list of texts that are not empty")
        self._digests = tuple(_digest(secret) for secret in secrets)

    def holder(self, header: str | None) -> int | None:
        """Which secret an `Authorization` header gives, by its place; None if it is none of ours.

        Takes the same time for every wrong one: digests are compared, in constant time.
        """
        scheme, _, given = (header or "").partition(" ")
        digest = _digest(given.strip())
        found = [hmac.compare_digest(digest, known) for known in self._digests]
        return found.index(True) if scheme.lower() == "bearer" and any(found) else None


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode(errors="surrogateescape")).digest()


class RateLimiter:
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
