"""Task scale-in protection of ECS while there are calls; optional, off by default.

https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-scale-in-protection.html

The ECS agent is asked when the first call begins, again at 80 % of the lease, and to end the
protection after `HOLD_SECONDS` without a call, because it limits the rate of requests. One task
does this; calls never wait for it. A failure, such as `DEPLOYMENT_BLOCKED`, is logged when the
outcome changes; calls go on, and the lease ends by itself.

Off by default: a protected task of an old version stays behind the load balancer and keeps getting
calls, so a deployment of a busy service may never finish. The deregistration delay and draining
let calls finish; this only prevents scale-in.
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
"""Shorter than the rest of a lease that is due for renewal."""
ANSWER_SECONDS = 2.0

_GRANTED = "granted"

OnActive = Callable[[int], None]
"""Called with the number of calls in progress whenever it changes. Returns at once."""


class _Request(msgspec.Struct, rename="pascal", omit_defaults=True):
    protection_enabled: bool
    expires_in_minutes: int = 0


class _Failure(msgspec.Struct, rename="pascal"):
    reason: str = "failure"


class _Error(msgspec.Struct, rename="pascal"):
    code: str = "error"


class _Answer(msgspec.Struct):
    failure: _Failure | None = None
    error: _Error | None = None


_PROTECT = _Request(protection_enabled=True, expires_in_minutes=LEASE_MINUTES)
_UNPROTECT = _Request(protection_enabled=False)


class Protection:
    """Requests and ends the protection of this task while `keep` runs."""

    def __init__(self, agent_uri: str, http: aiohttp.ClientSession) -> None:
        self._url = f"{agent_uri}/task-protection/v1/state"
        self._http = http
        self._busy, self._idle = asyncio.Event(), asyncio.Event()
        self._idle.set()
        self._outcome = _GRANTED

    def active(self, calls: int) -> None:
        """See `OnActive`."""
        now, before = (self._busy, self._idle) if calls else (self._idle, self._busy)
        now.set()
        before.clear()

    async def keep(self) -> NoReturn:
        """Protect the task while there are calls, until cancelled. Raises no error of the agent."""
        while True:
            await self._busy.wait()
            await self._request(_PROTECT)
            while not await self._is_over():
                await self._request(_PROTECT)
            await self._request(_UNPROTECT)

    async def _is_over(self) -> bool:
        """Wait for `HOLD_SECONDS` without a call; false when the lease must be renewed."""
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

    async def _request(self, wanted: _Request) -> None:
        outcome = await self._outcome_of(wanted)
        protected = wanted.protection_enabled
        if outcome != self._outcome and outcome == _GRANTED:
            log.info("task_protection.granted", protected=protected)
        elif outcome != self._outcome:
            log.warning("task_protection.refused", outcome=outcome, protected=protected)
        self._outcome = outcome

    async def _outcome_of(self, wanted: _Request) -> str:
        """`granted`, or the reason of the failure in one word."""
        body, headers = msgspec.json.encode(wanted), {"Content-Type": "application/json"}
        try:
            async with self._http.put(self._url, data=body, headers=headers) as response:
                text, status = await response.read(), response.status
            answer = msgspec.json.decode(text, type=_Answer)
        except (aiohttp.ClientError, OSError, ValueError) as error:  # no answer, or not of ECS
            return type(error).__name__
        if answer.failure:
            return answer.failure.reason
        if answer.error:
            return answer.error.code
        return _GRANTED if status == 200 else f"status {status}"


@asynccontextmanager
async def open_protection(agent_uri: str) -> AsyncIterator[OnActive]:
    """Protect this task while there are calls.

    The protection is not ended on leaving: a task that stops needs none.

    Args:
        agent_uri: `ECS_AGENT_URI`; empty = no protection.
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
    """An `OnActive` without effect, for a task that is not protected."""
