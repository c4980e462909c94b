"""The lines of this process: seated, in progress, and asked to leave when it stops.

A line has a seat from its upgrade to its end (`agent.capacity`), and a session for as
long as its
call is led. The process is quiet when there is neither. A call may have two lines for moments: one
that was lost, and the one on which it goes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from agent.call.events import ShutdownMode
from agent.capacity import Admission
from agent.session.session import Session


class ActiveCalls:
    """Counts the lines that are there.

    Args:
        admission: The seats.
        on_active: Told how many calls are in progress, whenever that changes.
    """

    def __init__(self, admission: Admission, on_active: Callable[[int], None]) -> None:
        self._admission = admission
        self._on_active = on_active
        self._running: set[Session] = set()
        self._latest: dict[str, Session] = {}
        """The latest session of each call."""
        self._departure = ShutdownMode.WHEN_QUIET
        self._is_quiet = asyncio.Event()
        self._is_quiet.set()
        self.is_draining = False
        """No further call is taken."""

    @property
    def active(self) -> int:
        """Calls in progress."""
        return len(self._running)

    @contextmanager
    def seat(self, call_sid: str) -> Iterator[bool]:
        """Seat a line from its upgrade to its end; false if there is no place for it."""
        is_seated = self._admission.take(call_sid)
        if is_seated:
            self._is_quiet.clear()
        try:
            yield is_seated
        finally:
            if is_seated:
                self._admission.leave(call_sid)
                self._rest()

    @contextmanager
    def in_progress(self, call_sid: str, running: Session) -> Iterator[None]:
        """Count a session while it runs; one that begins when the process stops is told so."""
        self._running.add(running)
        self._latest[call_sid] = running
        self._is_quiet.clear()
        self._on_active(self.active)
        if self.is_draining:
            running.stop(self._departure)
        try:
            yield
        finally:
            self._running.discard(running)
            self._on_active(self.active)
            if self._latest.get(call_sid) is running:
                del self._latest[call_sid]
            self._rest()

    async def lose(self, call_sid: str) -> None:
        """Give up the line on which a call is led here, if it is; see `Session.lose_transport`."""
        if (before := self._latest.get(call_sid)) is not None:
            await before.lose_transport()

    def drain(self, departure: ShutdownMode = ShutdownMode.WHEN_QUIET) -> None:
        """Take no further call and leave those in progress, in this way."""
        self.is_draining = True
        self._departure = departure
        for running in list(self._running):
            running.stop(departure)

    async def until_quiet(self) -> None:
        """Wait until no line is there and no call in progress."""
        await self._is_quiet.wait()

    def _rest(self) -> None:
        """A call or its line is over."""
        if not self._running and not self._admission.running:
            self._is_quiet.set()
