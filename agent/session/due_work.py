"""What is to be done with a call some time after it, by any process: an item for each work.

    pk   CallSid            pk1   due
    sk   due::<work>        sk1   <due, ms>::CallSid

A sweep of the index finds what is due, also of processes that are gone. Two processes may do one
piece of work at the same time, so work changes nothing when it is repeated. Rejected: timers in the
process of the call, which end with it; a lease for each piece, which is one more write for work
that takes less than the time between two sweeps.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from random import sample, uniform

import structlog

from agent.errors import AgentError, StoreError
from agent.ports import Count, Item, Store
from agent.usecases.validation import text_in

log = structlog.get_logger(__name__)

Work = Callable[[str], Awaitable[float | None]]
"""Takes a CallSid; returns seconds until it has to be looked at again, None if it is done.

May raise `AgentError`: then it is tried again later.
"""
_INDEX = "due"
_PREFIX = "due::"
_SWEEP_SECONDS = 30.0
_AGAIN_SECONDS = 600.0
"""After a failure."""
_PAGE = 50


def due_item(call_sid: str, work: str, at: float, now: float, expire_at: int = 0) -> Item:
    """The item of a piece of work, for `Store.put_newer`; all times are epoch seconds.

    `expire_at` 0 = it does not expire.
    """
    return {
        "pk": call_sid,
        "sk": f"{_PREFIX}{work}",
        "pk1": _INDEX,
        "sk1": f"{int(at * 1000):014d}::{call_sid}",
        "sequence": int(now * 1000),
        **({"expireAt": expire_at} if expire_at else {}),
    }


class DueWork:
    """Does the work that is due, of all processes, by its name; `clock` is in epoch seconds."""

    def __init__(
        self, store: Store, clock: Callable[[], float], count: Count, works: Mapping[str, Work]
    ) -> None:
        self._store = store
        self._clock = clock
        self._count = count
        self._works = works

    async def run(self) -> None:
        """Sweep until cancelled."""
        is_full = False
        while True:
            pause = _SWEEP_SECONDS * uniform(0.8, 1.2)  # noqa: S311 no secret
            await asyncio.sleep(pause / 10 if is_full else pause)
            is_full = False
            try:
                is_full = await self.sweep()
            except StoreError as error:
                log.warning("due_work.sweep_failed", error=type(error).__name__)

    async def sweep(self) -> bool:
        """Do what is due, one after the other; whether there may be more. Raises `StoreError`.

        Two processes that sweep together seldom come to one call at the same time.
        """
        now = f"{int(self._clock() * 1000):014d}"
        found = await self._store.query_index(_INDEX, first=_PAGE)
        due = [item for item in found if text_in(item, "sk1").partition("::")[0] <= now]
        for item in sample(due, len(due)):
            with structlog.contextvars.bound_contextvars(call_sid=text_in(item, "pk")):
                await self._do(item)
        return len(due) == _PAGE

    async def _do(self, item: Item) -> None:
        call_sid, work = text_in(item, "pk"), text_in(item, "sk").removeprefix(_PREFIX)
        if (do := self._works.get(work)) is None:  # of another version of the service
            return
        try:
            again = await do(call_sid)
            outcome = "done" if again is None else "put_off"
        except AgentError as error:
            again, outcome = _AGAIN_SECONDS, "failed"
            log.warning("due_work.failed", work=work, error=type(error).__name__)
        except Exception:  # the sweep goes on: one call must not cost the others theirs
            again, outcome = _AGAIN_SECONDS, "failed"
            log.exception("due_work.crashed", work=work)
        self._count("agent_due_work_total", work=work, outcome=outcome)
        if again is None:
            await self._store.delete(call_sid, f"{_PREFIX}{work}")
        elif await self._store.get(call_sid, f"{_PREFIX}{work}") is not None:
            now, expire_at = self._clock(), item.get("expireAt")
            until = int(expire_at) if isinstance(expire_at, int) else 0
            await self._store.put_newer(due_item(call_sid, work, now + again, now, until))
