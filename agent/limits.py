"""How often one caller may call, and how many tokens their calls may cost.

Both limits are off unless an operator sets them (`CALLER_CALLS_PER_HOUR`, `CALLER_TOKENS_PER_DAY`);
then the table is not asked at all. They are kept in the table, so that they hold for all processes,
and read beside what a call needs anyway. What is taken is written while the caller is connected
already: of calls that ring within the same moment, one too many may be taken.

Callers we cannot tell apart have no limit, for they would share one; nor has a call that we made.
A table that is away refuses nobody. No number is logged.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Literal

import structlog

from agent.ports import AgentError, Store, StoreError
from agent.settings import Settings
from agent.store import session, usage

log = structlog.get_logger(__name__)

LOOK_SECONDS = 1.5
"""How long a call waits to know what its caller has used."""


class CallerLimitError(AgentError):
    """A caller is over a limit; `reason` names it, for counting."""

    def __init__(self, reason: Literal["caller_rate", "caller_spend"]) -> None:
        super().__init__(reason)
        self.reason = reason


class CallerLimits:
    """The limits of one process. `item` is the session item of a call, at least as it rings."""

    def __init__(self, settings: Settings, store: Store, clock: Callable[[], float]) -> None:
        self._calls = settings.caller_calls_per_hour
        self._tokens = settings.caller_tokens_per_day
        self._store = store
        self._clock = clock

    async def check(self, item: Mapping[str, object]) -> None:
        """Let a call pass, or not.

        Raises:
            CallerLimitError: The caller is over a limit.
        """
        caller = _caller(item)
        if not caller or not (self._calls or self._tokens):
            return
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                used = await usage.read(self._store, caller, str(item["pk"]))
        except (StoreError, TimeoutError) as error:
            log.warning("caller.usage_not_read", error=type(error).__name__)
            return
        if self._calls and used.calls >= self._calls:
            raise CallerLimitError("caller_rate")
        if self._tokens and used.tokens >= self._tokens:
            raise CallerLimitError("caller_spend")

    async def began(self, item: Mapping[str, object]) -> None:
        """Count a call that was taken; never raises."""
        if self._calls and (caller := _caller(item)):
            try:
                await usage.note_call(self._store, caller, str(item["pk"]), self._clock())
            except StoreError as error:
                log.warning("caller.usage_not_written", error=type(error).__name__)

    async def ended(self, item: Mapping[str, object], tokens: int) -> None:
        """Count what a line has cost; never raises."""
        if self._tokens and tokens and (caller := _caller(item)):
            now = self._clock()
            try:
                await usage.note_tokens(self._store, caller, str(item["pk"]), tokens, now)
            except StoreError as error:
                log.warning("caller.usage_not_written", error=type(error).__name__)


def _caller(item: Mapping[str, object]) -> str:
    """Whose limit counts; empty = nobody's."""
    return "" if session.outbound_use_case(item) else session.number_of(item)
