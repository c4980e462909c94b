"""Runs each effect of a call (an order, a booking, a message) at most once.

A model that retries, a caller who interrupts, or a process that takes the call over may request an
effect again. Each effect has one record in the partition of its call, under a key made of what
distinguishes it.

A **repeatable** effect leaves the world as it was when it is performed again with the same plan,
such as writing one item under one key. For any other (a message, a payment) it is unknown whether
an interrupted attempt succeeded. The plan is stored first, so that all attempts perform the same.

| record | repeatable | what is done | because |
|---|---|---|---|
| none, refused | either | write *started*, perform | nothing happened; one claim wins |
| started | yes | perform its plan | completes what may be half done |
| started, recent | no | wait for its outcome | its owner may still be performing it |
| started, overdue | no | write *unknown* | it may have been done; never performed again |
| unknown | no | report it, each time | the model must not repeat it, the caller has to know |
| done | either | return the stored result | a repeat gets the same result |
| started, overdue | no | write *done*, if the other system reports it (`settled`) | it was done |

| performing | the record becomes | because |
|---|---|---|
| returned a result | done | also if it was *unknown* meanwhile |
| raised `ToolError` | refused | nothing happened, it may be tried again |
| failed or timed out: repeatable | stays started | asking again completes it |
| failed or timed out: others | unknown | it may have been done |
| was cancelled, or its process died | stays started | no code is left to write anything |

If the table cannot be reached before *started* is written, nothing is done; afterwards, the result
is returned all the same, and this process writes it when it is asked again.

All writes use `Store.put_newer`, whose `sequence` grows with each attempt and state, so a late or
repeated write never moves a state back. A record names its owner, a random number of one attempt:
an attempt that finds its own number has started, whatever the table answered. Clock differences
between processes only make a wait shorter or longer.

Rejected: a lock with a lease, because after it expires the outcome is as unknown as here; a
conditional write of the effect alone, because it cannot return the first result.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from enum import StrEnum
from hashlib import sha256
from secrets import token_hex

import msgspec
import structlog
from msgspec.structs import replace

from agent.errors import AgentError, StoreError, ToolError
from agent.ports import Item, Store

log = structlog.get_logger(__name__)

PERFORM_SECONDS = 6.0
"""Time limit of performing. Shorter than the timeout of any tool with effects, so that the outcome
is recorded before the tool is stopped."""
_WRITE_SECONDS = 1.0
_POLL_SECONDS = 0.25
_KEPT_SECONDS = 24 * 60 * 60
_MOST_CLAIMS = 5
_LAST_SEQUENCE = 1_000_000

NOT_BEGUN = (
    "Nothing was done now: our records cannot be reached. "
    "It can be tried again the same way in a moment."
)
DOUBT = "It is not known"
"""In the text of each error after which an effect may have happened."""
IN_DOUBT = (
    f"{DOUBT} yet whether this was done: there was a technical problem on our side. "
    "Call it again the same way: that completes it and does nothing twice."
)
UNKNOWN = (
    f"{DOUBT} whether this was done: it was begun and its outcome was lost. "
    "Tell the caller so plainly. Do not try it again or in another way."
)

_CANONICAL = msgspec.json.Encoder(order="sorted")

Plan = dict[str, object]
"""What to perform, of JSON's types; must not be modified."""
Result = dict[str, object]
Perform = Callable[[Plan], Awaitable[Result]]


class EffectState(StrEnum):
    """The state of an effect, in the sequence that one attempt may go through."""

    STARTED = "started"
    UNKNOWN = "unknown"
    REFUSED = "refused"
    DONE = "done"


class IdempotencyRecord(msgspec.Struct, frozen=True, rename="camel"):
    """One effect of one call, as it is stored in the table."""

    effect: str
    state: EffectState
    attempt: int
    """From 1; one more after each refusal."""
    owner: str
    started_at: float
    """Epoch seconds."""
    plan: Plan
    result: Result = {}
    refusal: str = ""

    @property
    def sequence(self) -> int:
        if self.state is EffectState.DONE:
            return _LAST_SEQUENCE
        return self.attempt * 3 + list(EffectState).index(self.state)


Beside = Callable[[IdempotencyRecord], Sequence[Item]]
"""What follows from the outcome of an effect, as items for the same step."""


class IdempotencyStore:
    """The effects of one call; `call_id` must stay the same when a process takes the call over."""

    def __init__(self, store: Store, call_id: str, clock: Callable[[], float]) -> None:
        self._store = store
        self._call_id = call_id
        self._clock = clock
        self._idle: set[str] = set()
        """Owners of this process whose attempt has ended without an effect."""
        self._done: dict[str, IdempotencyRecord] = {}
        """By key, whether it could be written or not."""

    def key(self, effect: str, content: object) -> str:
        """The key of an effect, 64 hex digits.

        `content` is normalised, so that other words for the same request have the same key.
        """
        return sha256(_CANONICAL.encode([self._call_id, effect, content])).hexdigest()

    async def begun_at(self, key: str) -> float:
        """When an effect was first started, epoch seconds; 0 if never. Raises `StoreError`."""
        record = await self._read(key)
        return record.started_at if record else 0.0

    async def settled(self, key: str, result: Result, beside: Beside) -> IdempotencyRecord | None:
        """The record of an effect that the other system has reported done; None without one.

        An attempt that may still be performing is waited for, at most `PERFORM_SECONDS`. One whose
        process was killed becomes done, with this result; one that was found unknown meanwhile
        stays so, since that was told. Raises `StoreError`.
        """
        record = await self._read(key)
        if record is None:
            return None
        record = await self._while_started(key, record)
        if record.state is not EffectState.STARTED:
            return record
        done = replace(record, state=EffectState.DONE, result=result)
        sequence = replace(record, state=EffectState.UNKNOWN).sequence
        return await self._put(key, done, beside(done), sequence=sequence)

    async def once(
        self,
        effect: str,
        content: object,
        plan: Plan,
        perform: Perform,
        *,
        repeatable: bool,
        beside: Beside = lambda _: (),
    ) -> Result:
        """Perform an effect once in this call, however often this is called.

        Args:
            effect: The kind of effect, from a closed list.
            content: What distinguishes it, see `key`.
            plan: All that is needed to perform it; the first plan that was started is used.
            perform: Performs a plan within `PERFORM_SECONDS`. `ToolError` means that nothing has
                happened; any other `AgentError`, or `TimeoutError`, that this is not known.
            repeatable: Performing the same plan again, even concurrently, changes nothing.
            beside: The items to write together with the record of an outcome.

        Raises:
            ToolError: It was refused, not started, is in doubt, or unknown; the text says which.
        """
        key = self.key(effect, content)
        if key in self._done:
            return (await self._write_outcome(key, self._done[key], beside)).result
        mine = IdempotencyRecord(effect, EffectState.STARTED, 1, token_hex(8), self._clock(), plan)
        record = await self._start(key, mine, beside, repeatable=repeatable)
        if record.state is EffectState.DONE:
            return record.result
        if repeatable or record.owner == mine.owner:
            return await self._perform(key, record, perform, beside, repeatable=repeatable)
        if record.state is EffectState.REFUSED:
            raise ToolError(record.refusal)
        log.warning("idempotency.outcome_unknown", effect=effect)
        raise ToolError(UNKNOWN)

    async def _start(
        self, key: str, mine: IdempotencyRecord, beside: Beside, *, repeatable: bool
    ) -> IdempotencyRecord:
        """`mine`, or the record of another attempt, settled unless repeatable."""
        try:
            record = await self._claim(key, mine)
            if repeatable or record.owner == mine.owner:
                return record
            return await self._wait_for_outcome(key, record, beside)
        except StoreError as error:
            self._idle.add(mine.owner)
            log.warning("idempotency.start_failed", effect=mine.effect, exc_info=True)
            raise ToolError(NOT_BEGUN) from error
        except asyncio.CancelledError:
            self._idle.add(mine.owner)
            raise

    async def _claim(self, key: str, mine: IdempotencyRecord) -> IdempotencyRecord:
        for _ in range(_MOST_CLAIMS):
            record = await self._put(key, mine)
            is_idle = record.owner in self._idle and record.state is not EffectState.DONE
            if not (record.state is EffectState.REFUSED or is_idle):
                return record
            mine = replace(mine, attempt=record.attempt + 1, plan=record.plan)
        raise StoreError("an idempotency record changes all the time")

    async def _wait_for_outcome(
        self, key: str, record: IdempotencyRecord, beside: Beside
    ) -> IdempotencyRecord:
        """Another attempt's record as soon as it is settled; settled as unknown when overdue."""
        record = await self._while_started(key, record)
        if record.state is EffectState.STARTED:
            unknown = replace(record, state=EffectState.UNKNOWN)
            return await self._put(key, unknown, beside(unknown))
        return record

    async def _while_started(self, key: str, record: IdempotencyRecord) -> IdempotencyRecord:
        """The record as soon as it is settled, or when it is overdue."""
        loop = asyncio.get_running_loop()
        overdue = loop.time() + PERFORM_SECONDS - max(0.0, self._clock() - record.started_at)
        while record.state is EffectState.STARTED and loop.time() < overdue:
            await asyncio.sleep(_POLL_SECONDS)
            record = await self._read(key) or record
        return record

    async def _perform(
        self,
        key: str,
        record: IdempotencyRecord,
        perform: Perform,
        beside: Beside,
        *,
        repeatable: bool,
    ) -> Result:
        try:
            async with asyncio.timeout(PERFORM_SECONDS):
                result = await perform(record.plan)
        except ToolError as error:
            self._idle.add(record.owner)
            refused = replace(record, state=EffectState.REFUSED, refusal=str(error))
            standing = await self._write_outcome(key, refused, beside)
            if standing.state is not EffectState.DONE:
                raise
            return standing.result
        except (AgentError, TimeoutError) as error:
            log.warning("idempotency.outcome_unknown", effect=record.effect, exc_info=True)
            if repeatable:
                raise ToolError(IN_DOUBT) from error
            await self._write_outcome(key, replace(record, state=EffectState.UNKNOWN), beside)
            raise ToolError(UNKNOWN) from error
        done = self._done[key] = replace(record, state=EffectState.DONE, result=result)
        return (await self._write_outcome(key, done, beside)).result

    async def _write_outcome(
        self, key: str, record: IdempotencyRecord, beside: Beside
    ) -> IdempotencyRecord:
        """The record that is stored now; this one if the table does not answer in time."""
        try:
            async with asyncio.timeout(_WRITE_SECONDS):
                return await self._put(key, record, beside(record))
        except (StoreError, TimeoutError):
            log.warning(
                "idempotency.write_failed", effect=record.effect, state=record.state, exc_info=True
            )
            return record

    async def _put(
        self,
        key: str,
        record: IdempotencyRecord,
        beside: Sequence[Item] = (),
        *,
        sequence: int | None = None,
    ) -> IdempotencyRecord:
        """The record that is stored now: this one, or a later one."""
        item: Item = {
            **msgspec.to_builtins(record),
            "pk": self._call_id,
            "sk": f"effect::{key}",
            "sequence": record.sequence if sequence is None else sequence,
            "expireAt": int(self._clock()) + _KEPT_SECONDS,
        }
        if await self._store.put_newer(item, beside=beside):
            return record
        if (standing := await self._read(key)) is None:
            raise StoreError("an idempotency record has vanished")
        return standing

    async def _read(self, key: str) -> IdempotencyRecord | None:
        item = await self._store.get(self._call_id, f"effect::{key}")
        return None if item is None else msgspec.convert(item, IdempotencyRecord)
