"""What a call has done to the world, so that nothing is done twice.

A tool may be asked for the same thing again: by a model that retries, by a caller who interrupts,
by another process that takes a call over from one that died. Each effect (an order, a booking, a
message) has one entry in the partition of its call; its key is made of what makes the effect this
one and not another. The entry is written before the effect is begun and settled after it.

There are two kinds of effects. A **repeatable** one can be performed again with the same plan and
leaves the world as it was, like the writing of one item under one key. All others (a message, a
payment) cannot: nobody knows whether an attempt that broke off came through, and to do it again may
do it twice. The plan is decided before an effect is begun and is kept in its entry for all further
attempts, so that whoever finishes an effect does what was begun, to the letter.

| entry | repeatable | what is done | because |
|---|---|---|---|
| none, refused | either | write *started*, perform, settle | nothing happened yet; one claim wins |
| started | yes | perform its plan | completes what may be half done, spoils nothing |
| started, young | no | wait for its outcome | its owner may be at it, and alone knows |
| started, overdue | no | settle *unknown* | it may have been done; never again by itself |
| unknown | no | say so, each time | the model must not repeat it, the caller has to know |
| done | either | give the result of then | nobody is told two stories |

| performing | the entry becomes | because |
|---|---|---|
| gave a result | done | also if it was *unknown* meanwhile: now it is known |
| raised `ToolError` | refused | that means: nothing happened, it may be tried again |
| failed or took too long: repeatable | stays started | asking again completes it |
| failed or took too long: others | unknown | it may have been done |
| was cancelled, or its process died | stays started | nobody is left to write anything |

If the table cannot be reached before *started* is written, nothing is done. If it cannot be reached
after, the result is told all the same: it is true. What this process may know better than the table
(its results, also those it could not write down; its attempts that came to nothing) it remembers
and writes when it is asked again. Only if it dies before that do others find *started*.

All writes go through `Store.put_newer`, whose `sequence` grows with each attempt and state, and is
greatest for *done*. So a write that overtakes another, is repeated by a client of the table, or
arrives after it was given up, never takes a state back. An entry names its owner, a number of one
attempt: who finds their own number in the table has begun, whatever they were answered.

Clocks of two processes may differ. That only makes a wait shorter or longer: nothing that is not
repeatable is performed by anybody but the one whose *started* stands.

Rejected: a lock with a lease, which has to be renewed while a tool works, and after whose end
nobody knows more than here. A conditional write of the effect alone, which cannot answer a repeat
with the first result and has nothing to condition on outside of the table.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
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
"""How long performing may take. Shorter than any tool with effects may run: so it ends here, where
it is known what to say of it, and so do those who wait for it."""
_NOTE_SECONDS = 1.0
"""How long a caller waits for a result that is there already and has to be written down."""
_POLL_SECONDS = 0.25
_KEPT_SECONDS = 24 * 60 * 60
"""As long as the other items of a call."""
_MOST_CLAIMS = 5
_LAST_SEQUENCE = 1_000_000

NOT_BEGUN = (
    "Nothing was done now: our records cannot be reached. "
    "It can be tried again the same way in a moment."
)
IN_DOUBT = (
    "It is not known yet whether this was done: there was a technical problem on our side. "
    "Call it again the same way: that completes it and does nothing twice."
)
UNKNOWN = (
    "It is not known whether this was done: it was begun and its outcome was lost. "
    "Tell the caller so plainly. Do not try it again or in another way."
)

_CANONICAL = msgspec.json.Encoder(order="sorted")

Plan = dict[str, object]
"""What is to be done, of JSON's types; not to be changed by who performs it."""
Result = dict[str, object]
"""What came of it, of JSON's types."""


class EffectState(StrEnum):
    """How far an effect has come."""

    STARTED = "started"
    UNKNOWN = "unknown"
    REFUSED = "refused"
    DONE = "done"


class IdempotencyRecord(msgspec.Struct, frozen=True, rename="camel"):
    """One effect of one call, as it stands in the table."""

    effect: str
    state: EffectState
    attempt: int
    """From 1; one more after each refusal."""
    owner: str
    """Whose attempt it is: unique for each."""
    started_at: float
    """Epoch seconds."""
    plan: Plan
    result: Result = {}
    """Of one that is done."""
    refusal: str = ""
    """Why it was refused, for the model."""

    @property
    def sequence(self) -> int:
        """Grows from each state to those that may follow."""
        if self.state is EffectState.DONE:
            return _LAST_SEQUENCE
        return self.attempt * 3 + (
            EffectState.STARTED,
            EffectState.UNKNOWN,
            EffectState.REFUSED,
        ).index(self.state)


class IdempotencyStore:
    """The effects of one call.

    Args:
        store: The table.
        call_id: The partition of the entries; the same when another process takes the call over.
        clock: Epoch seconds.
    """

    def __init__(self, store: Store, call_id: str, clock: Callable[[], float]) -> None:
        self._store = store
        self._call_id = call_id
        self._clock = clock
        self._idle: set[str] = set()
        """Owners of this process whose attempt is over and has done nothing."""
        self._done: dict[str, IdempotencyRecord] = {}
        """By key, what this process has done, whether it could be written down or not."""

    def key(self, effect: str, content: object) -> str:
        """The same for the same effect with equal content in the same call; 64 hex digits.

        `content` is what makes the effect this one and not another: arguments after they were
        checked and brought to one form, so that a rewording of the same wish has the same key.
        """
        return sha256(_CANONICAL.encode([self._call_id, effect, content])).hexdigest()

    async def begun_at(self, key: str) -> float:
        """When an effect was begun first, epoch seconds; 0 if it was not. Raises `StoreError`."""
        entry = await self._read(key)
        return entry.started_at if entry else 0.0

    async def once(
        self,
        effect: str,
        content: object,
        plan: Plan,
        perform: Callable[[Plan], Awaitable[Result]],
        *,
        repeatable: bool,
    ) -> Result:
        """Have an effect once in this call, however often it is asked for.

        Args:
            effect: What kind of effect, from a closed list.
            content: What makes it this one, see `key`.
            plan: All that is needed to perform it; the first one that was begun stands.
            perform: Does it, within `PERFORM_SECONDS`. `ToolError` means that nothing has happened;
                any other error of ours, or `TimeoutError`, that this is not known.
            repeatable: Performing the same plan again, even at once, leaves the world the same.

        Returns:
            What came of it, now or the first time.

        Raises:
            ToolError: It was refused; or was not begun, is in doubt, or is unknown, and says which.
        """
        key = self.key(effect, content)
        if key in self._done:
            return (await self._settled(key, self._done[key])).result
        mine = IdempotencyRecord(effect, EffectState.STARTED, 1, token_hex(8), self._clock(), plan)
        entry = await self._begun(key, mine, repeatable=repeatable)
        if entry.state is EffectState.DONE:
            return entry.result
        if repeatable or entry.owner == mine.owner:
            return await self._performed(key, entry, perform, repeatable=repeatable)
        if entry.state is EffectState.REFUSED:
            raise ToolError(entry.refusal)
        log.warning("effect.unknown", effect=effect)
        raise ToolError(UNKNOWN)

    async def _begun(
        self, key: str, mine: IdempotencyRecord, *, repeatable: bool
    ) -> IdempotencyRecord:
        """The entry to go by: mine to be performed, or what others have begun or settled."""
        try:
            entry = await self._claimed(key, mine)
            if repeatable or entry.owner == mine.owner:
                return entry
            return await self._outcome(key, entry)
        except StoreError as error:
            self._idle.add(mine.owner)
            log.warning("effect.not_begun", effect=mine.effect, exc_info=True)
            raise ToolError(NOT_BEGUN) from error
        except asyncio.CancelledError:
            self._idle.add(mine.owner)
            raise

    async def _claimed(self, key: str, mine: IdempotencyRecord) -> IdempotencyRecord:
        """Mine, now started; or the entry of somebody else who has started or settled it."""
        for _ in range(_MOST_CLAIMS):
            entry = await self._offer(key, mine)
            if not self._came_to_nothing(entry):
                return entry
            mine = replace(mine, attempt=entry.attempt + 1, plan=entry.plan)
        raise StoreError("an entry of the ledger changes all the time")

    def _came_to_nothing(self, entry: IdempotencyRecord) -> bool:
        """The attempt is over and has done nothing, by the table or by what we know of ours."""
        is_idle = entry.owner in self._idle and entry.state is not EffectState.DONE
        return entry.state is EffectState.REFUSED or is_idle

    async def _outcome(self, key: str, entry: IdempotencyRecord) -> IdempotencyRecord:
        """What has come of somebody else's attempt, as soon as that is settled or overdue."""
        loop = asyncio.get_running_loop()
        age = max(0.0, self._clock() - entry.started_at)
        overdue = loop.time() + PERFORM_SECONDS - age
        while entry.state is EffectState.STARTED and loop.time() < overdue:
            await asyncio.sleep(_POLL_SECONDS)
            entry = await self._read(key) or entry
        if entry.state is EffectState.STARTED:
            return await self._offer(key, replace(entry, state=EffectState.UNKNOWN))
        return entry

    async def _performed(
        self,
        key: str,
        entry: IdempotencyRecord,
        perform: Callable[[Plan], Awaitable[Result]],
        *,
        repeatable: bool,
    ) -> Result:
        try:
            async with asyncio.timeout(PERFORM_SECONDS):
                result = await perform(entry.plan)
        except ToolError as error:
            self._idle.add(entry.owner)
            refused = replace(entry, state=EffectState.REFUSED, refusal=str(error))
            standing = await self._settled(key, refused)
            if standing.state is not EffectState.DONE:
                raise
            return standing.result
        except (AgentError, TimeoutError) as error:
            log.warning("effect.in_doubt", effect=entry.effect, exc_info=True)
            if repeatable:
                raise ToolError(IN_DOUBT) from error
            await self._settled(key, replace(entry, state=EffectState.UNKNOWN))
            raise ToolError(UNKNOWN) from error
        done = self._done[key] = replace(entry, state=EffectState.DONE, result=result)
        return (await self._settled(key, done)).result

    async def _settled(self, key: str, entry: IdempotencyRecord) -> IdempotencyRecord:
        """The entry that stands now; this one if the table does not tell in time."""
        try:
            async with asyncio.timeout(_NOTE_SECONDS):
                return await self._offer(key, entry)
        except (StoreError, TimeoutError):
            log.warning("effect.unwritten", effect=entry.effect, state=entry.state, exc_info=True)
            return entry

    async def _offer(self, key: str, entry: IdempotencyRecord) -> IdempotencyRecord:
        """Write an entry unless a later one is there; the one that stands."""
        item: Item = {
            **msgspec.to_builtins(entry),
            "pk": self._call_id,
            "sk": _sort_key(key),
            "sequence": entry.sequence,
            "expireAt": int(self._clock()) + _KEPT_SECONDS,
        }
        if await self._store.put_newer(item):
            return entry
        if (standing := await self._read(key)) is None:
            raise StoreError("an entry of the ledger has vanished")
        return standing

    async def _read(self, key: str) -> IdempotencyRecord | None:
        item = await self._store.get(self._call_id, _sort_key(key))
        return None if item is None else msgspec.convert(item, IdempotencyRecord)


def _sort_key(key: str) -> str:
    return f"effect::{key}"
