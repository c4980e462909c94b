"""Asks ECS not to end this task by a scale-in while it has calls: optional, off by default.

The agent of ECS has an address inside of each task (AWS reference section 6). It is asked when the
first call begins, again at 80 % of the lease, and to let go when there has been no call for
`HOLD_SECONDS`: the agent limits requests, and calls come and go. It is one task, told by whoever
counts calls; no call ever waits for it.

Protection is help, not a condition. `DEPLOYMENT_BLOCKED` is a normal answer, and whatever goes
wrong is logged once, when it changes; calls go on, and the lease ends by itself if nobody renews
it.

The danger, why it is off: a protected task of an old version keeps its place behind the balancer
and keeps getting calls, so that on a busy service a deploy may wait for ever. What lets calls end
in peace is the deregistration delay and the draining; this only keeps scale-in away.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import NoReturn

import aiohttp
import msgspec
import structlog

log = structlog.get_logger(__name__)

LEASE_MINUTES = 10
RENEW_SECONDS = LEASE_MINUTES * 60 * 0.8
HOLD_SECONDS = 60.0
"""Without a call before it is given back; shorter than what is left of a lease to be renewed."""
ANSWER_SECONDS = 2.0

_GRANTED = "granted"

OnActive = Callable[[int], None]
"""Told how many calls are in progress, whenever that changes. Returns at once."""


class _Asked(msgspec.Struct, rename="pascal", omit_defaults=True):
    protection_enabled: bool
    expires_in_minutes: int = 0


class _Failure(msgspec.Struct, rename="pascal"):
    reason: str = "failure"


class _Error(msgspec.Struct, rename="pascal"):
    code: str = "error"


class _Answer(msgspec.Struct):
    """Of the agent: what it could not do for this task, or why it did not try."""

    failure: _Failure | None = None
    error: _Error | None = None


class Protection:
    """Keeps the protection of this task as it should be, while `keep` runs."""

    def __init__(self, agent_uri: str, http: aiohttp.ClientSession) -> None:
        self._url = f"{agent_uri}/task-protection/v1/state"
        self._http = http
        self._busy, self._idle = asyncio.Event(), asyncio.Event()
        self._idle.set()
        self._outcome = _GRANTED

    def active(self, calls: int) -> None:
        """So many calls are in progress; see `OnActive`."""
        now, before = (self._busy, self._idle) if calls else (self._idle, self._busy)
        now.set()
        before.clear()

    async def keep(self) -> NoReturn:
        """Protect while there are calls, until cancelled; what goes wrong is not raised."""
        while True:
            await self._busy.wait()
            await self._ask(_Asked(protection_enabled=True, expires_in_minutes=LEASE_MINUTES))
            while not await self._is_over():
                await self._ask(_Asked(protection_enabled=True, expires_in_minutes=LEASE_MINUTES))
            await self._ask(_Asked(protection_enabled=False))

    async def _is_over(self) -> bool:
        """Wait until no call has come for a while; false as soon as the lease is to be renewed."""
        try:
            async with asyncio.timeout(RENEW_SECONDS):
                while True:
                    await self._idle.wait()
                    if await self._stays_idle():
                        return True
        except TimeoutError:
            return False

    async def _stays_idle(self) -> bool:
        try:
            async with asyncio.timeout(HOLD_SECONDS):
                await self._busy.wait()
        except TimeoutError:
            return True
        return False

    async def _ask(self, asked: _Asked) -> None:
        outcome = await self._outcome_of(asked)
        if outcome != self._outcome:
            tell = log.info if outcome == _GRANTED else log.warning
            tell("protection.changed", outcome=outcome, protected=asked.protection_enabled)
        self._outcome = outcome

    async def _outcome_of(self, asked: _Asked) -> str:
        """`granted`, or in one word why not."""
        body, headers = msgspec.json.encode(asked), {"Content-Type": "application/json"}
        try:
            async with self._http.put(self._url, data=body, headers=headers) as response:
                text, status = await response.read(), response.status
            answer = msgspec.json.decode(text, type=_Answer)
        except (aiohttp.ClientError, OSError, ValueError) as error:  # no answer, or none of ECS
            return type(error).__name__
        if answer.failure:
            return answer.failure.reason
        if answer.error:
            return answer.error.code
        return _GRANTED if status == 200 else f"status {status}"


@asynccontextmanager
async def open_protection(agent_uri: str) -> AsyncIterator[OnActive]:
    """Protect this task while there are calls; yields what is to be told of them.

    On leaving nothing is given back: a task that ends needs no protection.

    Args:
        agent_uri: `ECS_AGENT_URI`; empty = there is nobody to ask, and nothing is done.
    """
    if not agent_uri:
        yield unprotected
        return
    timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
    async with aiohttp.ClientSession(timeout=timeout) as http:
        protection = Protection(agent_uri, http)
        keeping = asyncio.create_task(protection.keep(), name="task protection")
        try:
            yield protection.active
        finally:
            keeping.cancel()
            await asyncio.wait([keeping])


def unprotected(_: int) -> None:
    """Nobody wants to know."""
