"""Limits of one caller, `CALLER_CALLS_PER_HOUR` and `CALLER_TOKENS_PER_DAY`, and of one call.

Use is counted in items of `usage::<caller>`, which expire, so limits hold for all processes. A call
takes one of as many numbered places (`call::<number>`) as the limit allows, written only if absent;
each connection has its tokens so far (`tokens::<CallSid>::<ms>`), which are checked before a turn.
The shown number counts, even if it may be forged. Callers without a number and outbound calls have
no limit; if the table cannot be reached, no caller is refused. No number is logged. Rejected: one
item with two numbers, which two processes would overwrite.

What one call may spend (`CALL_TOKENS`, `CALL_COST`, `[spending]` of its use case) is counted in the
process, for all callers, and begins anew with each connection. Both limits are checked before a
turn: a turn that has begun is not cut off. 0 = no limit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from itertools import chain
from typing import Literal, Protocol, TypeVar

import structlog

from agent.call.events import AllowanceSpent
from agent.errors import AgentError, StoreError
from agent.ports import Item, Store
from agent.settings import Settings
from agent.store.call_state import call_item
from agent.usecases.spending import SpendingLimits

T = TypeVar("T")

log = structlog.get_logger(__name__)

LOOK_SECONDS = 1.5  # how long a call waits for the use of its caller
CALL_SECONDS = 3600
TOKEN_SECONDS = 24 * 3600
TEXT_SECONDS = 3600
_CALL = "call::"
_TOKENS = "tokens::"


class CallerLimitError(AgentError):
    """A caller is over a limit; `reason` is the label of the metric."""

    def __init__(self, reason: Literal["caller_rate", "caller_spend"]) -> None:
        super().__init__(reason)
        self.reason = reason


class CallerLimits:
    """The limits of one process. `item` is the session item, at least as `opening_item` made it."""

    def __init__(self, settings: Settings, store: Store, clock: Callable[[], float]) -> None:
        self._calls = settings.caller_calls_per_hour
        self._tokens = settings.caller_tokens_per_day
        self._spending = settings.spending
        self._store = store
        self._clock = clock

    async def admit(self, item: Mapping[str, object]) -> None:
        """Count a call that rings; raises `CallerLimitError` if the caller is over a limit."""
        caller = caller_of(item)
        if not caller:
            return
        used = read_tokens(self._store, caller) if self._tokens else asyncio.sleep(0, 0)
        has_place, tokens = await asyncio.gather(
            _in_time(
                take_place(self._store, caller, str(item["pk"]), self._calls, self._clock()),
                otherwise=True,
            ),
            _in_time(used, otherwise=0),
        )
        if not has_place:
            raise CallerLimitError("caller_rate")
        if self._tokens and tokens >= self._tokens:
            raise CallerLimitError("caller_spend")

    def allowance(
        self, item: Mapping[str, object], used: Used, spending: Callable[[], SpendingLimits]
    ) -> CallAllowance:
        """The allowance of a connection that begins now, in a use case with this `spending`."""
        caller = caller_of(item)
        of_caller = None
        if caller and self._tokens:
            connection = f"{item['pk']}::{int(self._clock() * 1000)}"
            of_caller = CallerAllowance(
                self._store, self._clock, self._tokens, caller, connection, lambda: used.tokens
            )
        return CallAllowance(lambda: spending().over(self._spending), used, of_caller)


class Used(Protocol):
    """What a connection has used so far."""

    @property
    def tokens(self) -> int: ...

    @property
    def cost(self) -> float | None: ...


@dataclass(slots=True)
class CallAllowance:
    """`ports.Allowance` of one connection."""

    limits: Callable[[], SpendingLimits]
    used: Used
    caller: CallerAllowance | None = None
    has_warned: bool = False

    @property
    def spent(self) -> AllowanceSpent | None:
        limits = self.limits()
        if limits.call_tokens and self.used.tokens >= limits.call_tokens:
            return AllowanceSpent(of_call=True)
        if limits.call_cost and self._cost >= limits.call_cost:
            return AllowanceSpent(of_call=True)
        return AllowanceSpent() if self.caller and self.caller.is_spent else None

    async def look(self) -> None:
        if self.caller:
            await self.caller.look()

    async def write(self) -> None:
        """Write the tokens used so far, for other calls of the caller; never raises."""
        if self.caller:
            await self.caller.write()

    @property
    def _cost(self) -> float:
        cost = self.used.cost
        if cost is None and not self.has_warned:
            self.has_warned = True
            log.warning("call.cost_unknown")
        return cost or 0.0


@dataclass(slots=True)
class CallerAllowance:
    """The tokens of one connection, shared with the other calls of its caller."""

    store: Store
    clock: Callable[[], float]
    most: int  # tokens of all calls of the caller together
    caller: str
    connection: str
    tokens: Callable[[], int]
    written: int = 0
    others: int = 0

    @property
    def is_spent(self) -> bool:
        return self.others + self.tokens() >= self.most

    async def look(self) -> None:
        others = read_tokens(self.store, self.caller, without=self.connection)
        _, self.others = await asyncio.gather(self.write(), _in_time(others, otherwise=self.others))

    async def write(self) -> None:
        """Write the tokens used so far, for other calls of the caller; never raises."""
        if (tokens := self.tokens()) == self.written:
            return
        item: Item = {
            "pk": usage_partition(self.caller),
            "sk": f"{_TOKENS}{self.connection}",
            "tokens": tokens,
            "sequence": tokens,
            "expireAt": int(self.clock()) + TOKEN_SECONDS,
        }
        if await _in_time(self.store.put_newer(item), otherwise=None) is not None:
            self.written = tokens


async def _in_time(asking: Coroutine[object, object, T], *, otherwise: T) -> T:
    try:
        async with asyncio.timeout(LOOK_SECONDS):
            return await asking
    except (StoreError, TimeoutError) as error:
        log.warning("caller_read_failed", error=type(error).__name__)
        return otherwise


def caller_of(item: Mapping[str, object]) -> str:
    """The caller whose limits count; empty = no limit."""
    return "" if call_item.outbound_use_case(item) else call_item.number_of(item)


async def take_place(store: Store, caller: str, call_sid: str, most: int, now: float) -> bool:
    """Count a call of a caller, once; false if they have `most` already (0 = no limit)."""
    if not most:
        return True
    first = next(_places(caller, call_sid, most, now))
    items, is_first_free = await asyncio.gather(
        store.query(usage_partition(caller), _CALL), store.put(first, only_if_absent=True)
    )
    taken = {item["sk"]: item.get("callSid") for item in items}
    if is_first_free:
        return len(taken.keys() - {first["sk"]}) < most
    if call_sid in taken.values():
        return True
    if len(taken) >= most:
        return False
    for place in _places(caller, call_sid, most, now):
        if place["sk"] in taken:
            continue
        if await store.put(place, only_if_absent=True):
            return True
        owner = await store.get(str(place["pk"]), str(place["sk"]))
        if owner is not None and owner.get("callSid") == call_sid:
            return True  # a repetition of the webhook has just taken it
    return False


async def read_tokens(store: Store, caller: str, *, without: str = "") -> int:
    """Tokens that a caller used within `TOKEN_SECONDS`, but for the connection `without`."""
    items = await store.query(usage_partition(caller), _TOKENS)
    tokens = (item.get("tokens") for item in items if item["sk"] != f"{_TOKENS}{without}")
    return sum(each for each in tokens if isinstance(each, int))


async def may_text(store: Store, number: str, now: float) -> bool:
    """Whether a refused caller may be texted: true once in `TEXT_SECONDS`, in all processes."""
    mark: Item = {
        "pk": usage_partition(number),
        "sk": "busyText",
        "expireAt": int(now) + TEXT_SECONDS,
    }
    return await store.put(mark, only_if_absent=True)


def usage_partition(caller: str) -> str:
    """The partition with what a caller has used lately."""
    return f"usage::{caller}"


def _places(caller: str, call_sid: str, most: int, now: float) -> Iterator[Item]:
    """The places of a caller, as items of this call, from the one that its CallSid selects."""
    chosen = int(sha256(call_sid.encode(errors="replace")).hexdigest(), 16) % most
    for number in chain(range(chosen, most), range(chosen)):
        yield {
            "pk": usage_partition(caller),
            "sk": f"{_CALL}{number:010}",
            "callSid": call_sid,
            "expireAt": int(now) + CALL_SECONDS,
        }
