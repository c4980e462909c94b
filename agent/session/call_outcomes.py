"""What callers get, each call counted once: rung, connected, failed with the reason.

Twilio repeats webhooks, and each webhook that fails is answered with TwiML and status 200, so
neither the status codes nor the number of requests tell how many callers were served.

A call whose voice webhook was answered with the address of the socket, and to which no socket came,
has failed: the host name or its certificate is wrong, or a firewall refuses the upgrade
(https://www.twilio.com/docs/api/errors/64102). The socket may come to another process; each
connection leaves its used token in the table, which is searched after `SOCKET_SECONDS`. Rejected:
the action URL's report of error 64102 alone, as Twilio sends none if the caller has hung up.

A process counts a call once in each metric; of a call that several processes deal with, the process
that answered its voice webhook counts that no socket came.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Literal

import structlog

from agent.errors import ModelError, StoreError, UseCaseError
from agent.ports import Count, Store
from agent.store.call_state.call_item import was_opened

log = structlog.get_logger(__name__)

CallFailure = Literal[
    "account", "busy", "connection", "crash", "model", "no_socket", "signature", "store",
    "use_case",
]  # fmt: skip
"""Reasons of `agent_calls_failed_total`; docs/operate/observing.md explains them."""
SOCKET_SECONDS = 20.0
"""How long a socket is waited for; Twilio opens it within a second or two."""
LOOK_SECONDS = 5.0
_MOST_KNOWN = 20_000
"""Counts that are remembered, the latest ones; a call is repeated within minutes."""


def failure_of(error: Exception) -> CallFailure:
    """The reason for which an error makes a call fail."""
    match error:
        case StoreError():
            return "store"
        case UseCaseError():
            return "use_case"
        case ModelError():
            return "model"
        case _:
            return "crash"


class CallOutcomes:
    """The outcomes of the calls of one process; `clock` is in seconds of any epoch."""

    def __init__(self, store: Store, count: Count, clock: Callable[[], float]) -> None:
        self._store = store
        self._count = count
        self._clock = clock
        self._known: dict[tuple[str, str], None] = {}
        self._due: dict[str, float] = {}

    def rang(self, call_sid: str) -> None:
        """Count a call at its voice webhook, whatever that will answer."""
        if self._is_new("rung", call_sid):
            self._count("agent_calls_rung_total")

    def await_socket(self, call_sid: str) -> None:
        """The voice webhook was answered with the address of the socket."""
        if ("connected", call_sid) not in self._known:
            self._due[call_sid] = self._clock() + SOCKET_SECONDS

    def connected(self, call_sid: str, *, is_first: bool) -> None:
        """Count a call whose first socket is set up: the caller hears the greeting.

        A later socket counts if none has come before it, as far as this process knows.
        """
        is_first |= self._due.pop(call_sid, None) is not None
        if is_first and self._is_new("connected", call_sid):
            self._count("agent_calls_connected_total")

    def failed(self, call_sid: str, reason: CallFailure) -> None:
        """Count a call that was not set up, or that the service ends because of a fault."""
        self._due.pop(call_sid, None)
        if self._is_new("failed", call_sid):
            self._count("agent_calls_failed_total", reason=reason)
            log.warning("call.outcome_failed", reason=reason)

    def is_over(self, call_sid: str) -> None:
        """The call ended by itself; no socket is waited for."""
        self._due.pop(call_sid, None)

    async def gave_up(self, call_sid: str) -> None:
        """Count a call that gets no further connection, if it had one; see the module."""
        if call_sid in self._due:
            self.failed(call_sid, "no_socket")
        elif await self._was_opened(call_sid):
            self.failed(call_sid, "connection")

    async def look(self) -> None:
        """Count the calls to which no socket came in time."""
        now = self._clock()
        due = [call_sid for call_sid, at in self._due.items() if at <= now]
        for call_sid in due:
            if not await self._was_opened(call_sid) and call_sid in self._due:
                with structlog.contextvars.bound_contextvars(call_sid=call_sid):
                    self.failed(call_sid, "no_socket")
            self._due.pop(call_sid, None)

    async def watch(self) -> None:
        """Look every `LOOK_SECONDS` until cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await self.look()

    async def _was_opened(self, call_sid: str) -> bool:
        """Whether a socket came; true if the table cannot tell, which counts by itself."""
        try:
            return await was_opened(self._store, call_sid)
        except StoreError as error:
            log.warning("call.socket_check_failed", error=type(error).__name__)
            return True

    def _is_new(self, outcome: str, call_sid: str) -> bool:
        key = outcome, call_sid
        if key in self._known:
            return False
        self._known[key] = None
        if len(self._known) > _MOST_KNOWN:
            del self._known[next(iter(self._known))]
        return True
