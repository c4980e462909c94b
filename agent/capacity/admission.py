"""Which calls this process takes: a seat for each, from the webhook to the end of the line.

    webhook   reserve   a seat, if one of `most` is free          new calls are turned away here
    socket    take      the reserved seat; none was reserved: one more, up to twice `most`
              leave     the line is over, whatever way it went
    any time  release   the reserved seat: set-up failed, or the call is over before its line came

A reservation whose socket does not come expires: Twilio dials at once, so the call has ended or its
socket has met another process. That one then runs a call it has not reserved. It is not turned
away, for its caller has heard the greeting; the same is true of a call that is resumed after its
process died. Only far beyond the limit, where all calls would suffer, is a socket refused.

Seats are known by the call, so a webhook that is repeated takes no second one. One caller gets only
a few of them, whether their sockets come or not. Rejected: counting running calls at the webhook
alone. A burst arrives before the first of its sockets does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

RESERVED_SECONDS = 15.0
"""How long a seat waits for the socket of its call."""
HARD_FACTOR = 2
"""Sockets are refused at so many times the limit for new calls."""


class Admission:
    """The seats of one process.

    Args:
        most: Calls for which new ones are taken; at least 1.
        clock: Seconds, of any beginning.
        most_of_caller: Seats of one caller; 0 = no limit.
    """

    def __init__(self, most: int, clock: Callable[[], float], most_of_caller: int = 0) -> None:
        self._most = most
        self._clock = clock
        self._most_of_caller = most_of_caller
        self._callers: dict[str, str] = {}
        """Whose call it is, of those that have a seat and a caller we can tell from others."""
        self._expires: dict[str, float] = {}
        self._running: Counter[str] = Counter()

    @property
    def running(self) -> int:
        """Lines that are there; for moments a call may have two."""
        return self._running.total()

    @property
    def reserved(self) -> int:
        """Seats that wait for a socket."""
        return len(self._waiting())

    @property
    def active(self) -> int:
        """Seats that are not free."""
        return self.reserved + self.running

    @property
    def is_full(self) -> bool:
        """One more new call would be too many."""
        return self.active >= self._most

    def holds(self, call_sid: str) -> bool:
        """Whether this call has a seat."""
        return call_sid in self._running or call_sid in self._waiting()

    def has_enough(self, caller: str, call_sid: str) -> bool:
        """A caller has all the seats that one may have, and none of them is for this call."""
        if not (caller and self._most_of_caller) or self.holds(call_sid):
            return False
        return list(self._callers.values()).count(caller) >= self._most_of_caller

    def reserve(self, call_sid: str, caller: str = "") -> bool:
        """Keep a seat for a call that rings; whether it has one, also one from before.

        Args:
            call_sid: The call.
            caller: Who it is of; empty = one we cannot tell from others.
        """
        if call_sid in self._running:
            return True
        if self.is_full and not self.holds(call_sid):
            return False
        self._expires[call_sid] = self._clock() + RESERVED_SECONDS
        self.note(call_sid, caller)
        return True

    def note(self, call_sid: str, caller: str) -> None:
        """Whose call it is that has a seat: it may have been reserved in another process."""
        if caller and self.holds(call_sid):
            self._callers[call_sid] = caller

    def take(self, call_sid: str) -> bool:
        """Seat a line; false if there is no place for it. `leave` must follow a true one."""
        is_reserved = call_sid in self._waiting()
        if not is_reserved and self.active >= self._most * HARD_FACTOR:
            return False
        self._expires.pop(call_sid, None)
        self._running[call_sid] += 1
        return True

    def leave(self, call_sid: str) -> None:
        """The line is over, or was none."""
        self._running -= Counter([call_sid])
        self._forget(call_sid)

    def release(self, call_sid: str) -> None:
        """Give up what is reserved for a call; harmless if nothing is."""
        self._expires.pop(call_sid, None)
        self._forget(call_sid)

    def _forget(self, call_sid: str) -> None:
        if call_sid not in self._running and call_sid not in self._expires:
            self._callers.pop(call_sid, None)

    def _waiting(self) -> dict[str, float]:
        """What is reserved, without what has expired."""
        now = self._clock()
        for call_sid in [each for each, at in self._expires.items() if at <= now]:
            del self._expires[call_sid]
            self._forget(call_sid)
        return self._expires
