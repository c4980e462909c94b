"""Task scale-in protection of ECS while there are calls; optional, off by default.

https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-scale-in-protection.html

The ECS agent limits the rate of requests, so it is asked when the first call begins, again at 80 %
of the lease, and to end the protection after `HOLD_SECONDS` without a call. Calls never wait for
it; a failure, such as `DEPLOYMENT_BLOCKED`, is logged when the outcome changes. Off by default: a
protected task of an old version keeps getting calls, so a busy deployment may never finish.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import NoReturn

import aiohttp
import msgspec
import structlog

log = structlog.get_logger(__name__)

LEASE_MINUTES = 10
RENEW_SECONDS = LEASE_MINUTES * 60 * 0.8
HOLD_SECONDS = 60.0  # shorter than the rest of a lease that is due for renewal
ANSWER_SECONDS = 2.0
_GRANTED = "granted"

OnActive = Callable[[int], None]
"""Called with the number of calls in progress whenever it changes. Returns at once."""


class _Answer(msgspec.Struct):
    failure: dict[str, object] | None = None
    error: dict[str, object] | None = None


_PROTECT = {"ProtectionEnabled": True, "ExpiresInMinutes": LEASE_MINUTES}
_UNPROTECT = {"ProtectionEnabled": False}


class Protection:
    """Requests and ends the protection of this task while `keep` runs."""

    def __init__(self, agent_uri: str, http: aiohttp.ClientSession) -> None:
        self._url = f"{agent_uri}/task-protection/v1/state"
        self._http = http
        self._busy, self._idle = asyncio.Event(), asyncio.Event()
        self._idle.set()
        self._outcome = _GRANTED

    def active(self, calls: int) -> None:
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

    async def _request(self, wanted: Mapping[str, object]) -> None:
        outcome, protected = await self._outcome_of(wanted), wanted is _PROTECT
        if outcome != self._outcome and outcome == _GRANTED:
            log.info("task_protection.granted", protected=protected)
        elif outcome != self._outcome:
            log.warning("task_protection.refused", outcome=outcome, protected=protected)
        self._outcome = outcome

    async def _outcome_of(self, wanted: Mapping[str, object]) -> str:
        body, headers = msgspec.json.encode(wanted), {"Content-Type": "application/json"}
        try:
            async with self._http.put(self._url, data=body, headers=headers) as response:
                text, status = await response.read(), response.status
            answer = msgspec.json.decode(text, type=_Answer)
        except (aiohttp.ClientError, OSError, ValueError) as error:  # no answer, or not of ECS
            return type(error).__name__
        if answer.failure is not None:
            return str(answer.failure.get("Reason", "failure"))
        if answer.error is not None:
            return str(answer.error.get("Code", "error"))
        return _GRANTED if status == 200 else f"status {status}"


@asynccontextmanager
async def open_protection(agent_uri: str) -> AsyncIterator[OnActive]:
    """Protect this task while there are calls; an empty `agent_uri` gives no protection."""
    if not agent_uri:
        yield lambda _: None
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
