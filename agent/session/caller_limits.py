"""How often one caller may call, and how many tokens their calls may cost.

`CALLER_CALLS_PER_HOUR` and `CALLER_TOKENS_PER_DAY`; a limit that is 0 is off, and with both off the
table is not asked. They are kept in the table (`agent.store.call_state.caller_usage`), so that
they hold for all
processes. A call takes its place before it is answered. What it costs is looked at before each turn
of the caller, together with what other calls of the same caller cost meanwhile; a turn that has
begun is finished.

The limits count by the number that is shown, also where it may be forged. Callers we cannot tell
apart have no limit, for they would share one; nor has a call that we made. A table that is away
refuses no caller. No number is logged.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Literal, TypeVar

import structlog

from agent.errors import AgentError, StoreError
from agent.ports import Store
from agent.settings import Settings
from agent.store.call_state import call_item as session
from agent.store.call_state import caller_usage as usage

T = TypeVar("T")

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

    async def admit(self, item: Mapping[str, object]) -> None:
        """Count a call, and let it pass or not.

        Raises:
            CallerLimitError: The caller is over a limit.
        """
        caller = caller_of(item)
        if not caller:
            return
        has_place, tokens = await asyncio.gather(
            _in_time(self._has_place(caller, str(item["pk"])), otherwise=True),
            _in_time(self._used(caller), otherwise=0),
        )
        if not has_place:
            raise CallerLimitError("caller_rate")
        if self._tokens and tokens >= self._tokens:
            raise CallerLimitError("caller_spend")

    def allowance(
        self, item: Mapping[str, object], tokens: Callable[[], int]
    ) -> CallerAllowance | None:
        """What the line that begins now may cost; None = as much as it likes.

        Args:
            item: The session item of its call.
            tokens: How many it has cost so far.
        """
        caller = caller_of(item)
        if not (caller and self._tokens):
            return None
        line = usage.line_of(str(item["pk"]), self._clock())
        return CallerAllowance(self._store, self._clock, self._tokens, caller, line, tokens)

    async def _has_place(self, caller: str, call_sid: str) -> bool:
        if not self._calls:
            return True
        return await usage.take_place(self._store, caller, call_sid, self._calls, self._clock())

    async def _used(self, caller: str) -> int:
        return await usage.read_tokens(self._store, caller) if self._tokens else 0


class CallerAllowance:
    """`ports.Allowance`: what one line may cost, beside the other calls of its caller."""

    def __init__(
        self,
        store: Store,
        clock: Callable[[], float],
        most: int,
        caller: str,
        line: str,
        tokens: Callable[[], int],
    ) -> None:
        """Begin with a line that has cost nothing.

        Args:
            store: The table.
            clock: Epoch seconds.
            most: Tokens of all calls of the caller.
            caller: Their identity.
            line: As `usage.line_of` names it.
            tokens: How many the line has cost so far.
        """
        self._store = store
        self._clock = clock
        self._most = most
        self._caller = caller
        self._line = line
        self._tokens = tokens
        self._written = 0
        self._others = 0

    @property
    def is_spent(self) -> bool:
        """See `ports.Allowance`."""
        return self._others + self._tokens() >= self._most

    async def look(self) -> None:
        """See `ports.Allowance`."""
        others = usage.read_tokens(self._store, self._caller, without=self._line)
        _, self._others = await asyncio.gather(
            self.write(), _in_time(others, otherwise=self._others)
        )

    async def write(self) -> None:
        """Let other calls of the caller know what the line has cost so far; never raises."""
        if (tokens := self._tokens()) == self._written:
            return
        if await _in_time(self._note(tokens), otherwise=False):
            self._written = tokens

    async def _note(self, tokens: int) -> bool:
        now = self._clock()
        await usage.note_tokens(self._store, self._caller, self._line, tokens, now)
        return True


async def _in_time(asking: Coroutine[object, object, T], *, otherwise: T) -> T:
    """What the table answers; if it is away or slow, what is assumed."""
    try:
        async with asyncio.timeout(LOOK_SECONDS):
            return await asking
    except (StoreError, TimeoutError) as error:
        log.warning("caller.usage_not_known", error=type(error).__name__)
        return otherwise


def caller_of(item: Mapping[str, object]) -> str:
    """Whose limit counts; empty = nobody's."""
    return "" if session.outbound_use_case(item) else session.number_of(item)
