"""The connections and sessions of this process, and how they are stopped when it drains."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from agent.call.events import ShutdownMode
from agent.call.history import History
from agent.capacity import Admission
from agent.ports import Item
from agent.session.live_config import LiveConfiguration
from agent.session.observers import CallObservers
from agent.session.session import Session


@dataclass(frozen=True, slots=True)
class RunningCall:
    """A call of this process, on its latest connection, for people who watch it."""

    session: Session
    observers: CallObservers
    configuration: LiveConfiguration
    item: Item
    history: History
    """The facts of the call so far; to be read between two events only."""


class ActiveCalls:
    """Counts connections and sessions; `on_active` is called with the number of sessions.

    A connection has a slot from its upgrade to its end, and a session while its call runs. A call
    may have two connections for a moment: the lost one, and the one on which it resumes.
    """

    def __init__(self, admission: Admission, on_active: Callable[[int], None]) -> None:
        self._admission = admission
        self._on_active = on_active
        self._running: set[Session] = set()
        self._latest: dict[str, Session] = {}
        """The latest session of each call."""
        self._mode = ShutdownMode.WHEN_QUIET
        self._is_quiet = asyncio.Event()
        self._is_quiet.set()
        self.is_draining = False

    @property
    def count(self) -> int:
        """Sessions that run."""
        return len(self._running)

    @contextmanager
    def slot(self, call_sid: str) -> Iterator[bool]:
        """Occupy a slot for a connection; false if none is free."""
        if not self._admission.take(call_sid):
            yield False
            return
        self._is_quiet.clear()
        try:
            yield True
        finally:
            self._admission.leave(call_sid)
            self._note_quiet()

    @contextmanager
    def in_progress(self, call_sid: str, session: Session) -> Iterator[None]:
        """Count a session while it runs; one that begins during a drain is stopped at once."""
        self._running.add(session)
        self._latest[call_sid] = session
        self._is_quiet.clear()
        self._on_active(self.count)
        if self.is_draining:
            session.stop(self._mode)
        try:
            yield
        finally:
            self._running.discard(session)
            self._on_active(self.count)
            if self._latest.get(call_sid) is session:
                del self._latest[call_sid]
            self._note_quiet()

    async def lose(self, call_sid: str) -> None:
        """End the session of a call that resumes elsewhere; see `Session.lose_transport`."""
        if (session := self._latest.get(call_sid)) is not None:
            await session.lose_transport()

    def drain(self, mode: ShutdownMode = ShutdownMode.WHEN_QUIET) -> None:
        """Accept no further call, and stop those in progress in this mode."""
        self.is_draining = True
        self._mode = mode
        for session in list(self._running):
            session.stop(mode)

    async def until_quiet(self) -> None:
        await self._is_quiet.wait()

    def _note_quiet(self) -> None:
        if not self._running and not self._admission.running:
            self._is_quiet.set()
