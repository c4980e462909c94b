"""Admission: which calls this process takes.

A call has a slot from the voice webhook to the end of its connection:

| when | method | effect |
|---|---|---|
| voice webhook | `reserve` | a slot, if fewer than `most` are used; new calls are rejected here |
| relay socket | `take` | the reserved slot; without a reservation a new one, up to twice `most` |
| connection over | `leave` | the slot is free |
| set-up failed, or call over before its socket | `release` | the reservation is given up |

A reservation expires if no socket comes: the call has ended, or its socket reached another process,
which runs a call it has not reserved, as its caller has heard the greeting. Slots are counted by
call, so a repeated webhook takes no second one. Rejected: counting running calls at the webhook, as
all webhooks of a burst arrive before the first socket.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

RESERVED_SECONDS = 15.0  # how long a reservation waits for the socket of its call
HARD_FACTOR = 2  # sockets are refused at so many times the limit for new calls


class Admission:
    """The slots of one process; `most_of_caller` 0 = no limit of one caller."""

    def __init__(self, most: int, clock: Callable[[], float], most_of_caller: int = 0) -> None:
        self._most = most
        self._clock = clock
        self._most_of_caller = most_of_caller
        self._callers: dict[str, str] = {}
        self._expires: dict[str, float] = {}
        self._running: Counter[str] = Counter()

    @property
    def running(self) -> int:
        """Open connections; a call that reconnects has two for a moment."""
        return self._running.total()

    @property
    def reserved(self) -> int:
        """Slots that wait for a socket."""
        return len(self._waiting())

    @property
    def active(self) -> int:
        """Slots in use."""
        return self.reserved + self.running

    @property
    def is_full(self) -> bool:
        """Whether a new call is rejected."""
        return self.active >= self._most

    def holds(self, call_sid: str) -> bool:
        """Whether this call has a slot."""
        return call_sid in self._running or call_sid in self._waiting()

    def has_enough(self, caller: str, call_sid: str) -> bool:
        """Whether a caller has all slots allowed, and none of them is for this call."""
        if not (caller and self._most_of_caller) or self.holds(call_sid):
            return False
        return list(self._callers.values()).count(caller) >= self._most_of_caller

    def reserve(self, call_sid: str, caller: str = "") -> bool:
        """Reserve a slot, for a caller if known; whether the call has one, also from before."""
        if call_sid in self._running:
            return True
        if self.is_full and not self.holds(call_sid):
            return False
        self._expires[call_sid] = self._clock() + RESERVED_SECONDS
        self.note(call_sid, caller)
        return True

    def note(self, call_sid: str, caller: str) -> None:
        """Set the caller of a call that has a slot; another process may have reserved it."""
        if caller and self.holds(call_sid):
            self._callers[call_sid] = caller

    def take(self, call_sid: str) -> bool:
        """Give a connection its slot; false if there is none. After true, `leave` must follow."""
        is_reserved = call_sid in self._waiting()
        if not is_reserved and self.active >= self._most * HARD_FACTOR:
            return False
        self._expires.pop(call_sid, None)
        self._running[call_sid] += 1
        return True

    def leave(self, call_sid: str) -> None:
        """Free the slot of a connection that is over."""
        self._running -= Counter([call_sid])
        self._forget(call_sid)

    def release(self, call_sid: str) -> None:
        """Give up a reservation; without effect if there is none."""
        self._expires.pop(call_sid, None)
        self._forget(call_sid)

    def _forget(self, call_sid: str) -> None:
        if call_sid not in self._running and call_sid not in self._expires:
            self._callers.pop(call_sid, None)

    def _waiting(self) -> dict[str, float]:
        """The reservations that have not expired."""
        now = self._clock()
        for call_sid in [each for each, at in self._expires.items() if at <= now]:
            del self._expires[call_sid]
            self._forget(call_sid)
        return self._expires
