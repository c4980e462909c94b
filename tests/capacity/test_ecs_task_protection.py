"""ECS is asked to spare a task with calls: seldom, in time, and without anybody waiting for it.

A stand-in for the agent of ECS listens on a loopback port; time is virtual.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from agent.capacity.ecs_task_protection import (
    HOLD_SECONDS,
    LEASE_MINUTES,
    RENEW_SECONDS,
    OnActive,
    open_protection,
)
from tests.servers import serving, settings_for
from tests.virtual_time import run_virtually
from tests.waiting import until

ON: Mapping[str, Any] = {"ProtectionEnabled": True, "ExpiresInMinutes": LEASE_MINUTES}
OFF: Mapping[str, Any] = {"ProtectionEnabled": False}
BLOCKED = {
    "failure": {
        "Arn": "arn:aws:ecs:us-east-1:111122223333:task/demo/0123",
        "Detail": None,
        "Reason": "DEPLOYMENT_BLOCKED",
    }
}
DENIED = {"requestID": "1", "error": {"Code": "AccessDeniedException", "Message": "not allowed"}}


@dataclass
class EcsAgent:
    """The agent of ECS as a task sees it."""

    uri: str = ""
    asked: list[tuple[float, Any]] = field(default_factory=list)
    """When and what, on the loop's clock, in whole seconds."""
    answers: list[tuple[int, object]] = field(default_factory=list)
    """Status and JSON of the next answers; then all is granted."""
    is_silent: bool = False

    async def answer(self, request: web.Request) -> web.Response:
        now = round(asyncio.get_running_loop().time(), 0)
        self.asked.append((now, await request.json()))
        if self.is_silent:
            await asyncio.Event().wait()
        status, said = self.answers.pop(0) if self.answers else (200, {"protection": {}})
        return web.json_response(said, status=status)


@asynccontextmanager
async def ecs_agent() -> AsyncIterator[EcsAgent]:
    agent = EcsAgent()
    application = web.Application()
    application.router.add_put("/api/0123/task-protection/v1/state", agent.answer)
    runner = web.AppRunner(application, access_log=None, handler_cancellation=True)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        agent.uri = f"http://127.0.0.1:{runner.addresses[0][1]}/api/0123"
        yield agent
    finally:
        await runner.cleanup()


def play(script: Callable[[OnActive, EcsAgent], Awaitable[None]]) -> EcsAgent:
    """Tell a protection of calls as a script does, from second 0."""

    async def main() -> EcsAgent:
        async with ecs_agent() as agent, open_protection(agent.uri) as active:
            await script(active, agent)
        return agent

    return run_virtually(main())


def test_task_is_protected_while_it_has_calls_and_a_while_longer() -> None:
    """Once when the first call begins, and given back when none has come for a while."""

    async def script(active: OnActive, _: EcsAgent) -> None:
        active(1)
        await asyncio.sleep(10)
        active(2)
        await asyncio.sleep(10)
        active(1)
        await asyncio.sleep(10)
        active(0)
        await asyncio.sleep(2 * HOLD_SECONDS)

    assert play(script).asked == [(0, ON), (30 + HOLD_SECONDS, OFF)]


def test_calls_that_follow_each_other_are_one_time_of_work() -> None:
    """Requests are limited: a call that comes soon after another asks for nothing."""

    async def script(active: OnActive, _: EcsAgent) -> None:
        for _again in range(5):
            active(1)
            await asyncio.sleep(5)
            active(0)
            await asyncio.sleep(HOLD_SECONDS - 5)
        await asyncio.sleep(HOLD_SECONDS)

    assert play(script).asked == [(0, ON), (4 * HOLD_SECONDS + 5 + HOLD_SECONDS, OFF)]


def test_next_time_of_work_is_protected_again() -> None:
    """What was given back is asked for anew."""

    async def script(active: OnActive, _: EcsAgent) -> None:
        for _again in range(2):
            active(1)
            await asyncio.sleep(10)
            active(0)
            await asyncio.sleep(90)

    assert play(script).asked == [(0, ON), (70, OFF), (100, ON), (170, OFF)]


def test_protection_is_renewed_before_it_ends() -> None:
    """At 80 % of the lease, as long as there are calls."""

    async def script(active: OnActive, _: EcsAgent) -> None:
        active(3)
        await asyncio.sleep(2.5 * RENEW_SECONDS)

    asked = play(script).asked

    assert RENEW_SECONDS == 480
    assert asked == [(0, ON), (480, ON), (960, ON)]


@pytest.mark.parametrize(
    ("status", "said", "outcome"),
    [
        (200, BLOCKED, "DEPLOYMENT_BLOCKED"),
        (400, DENIED, "AccessDeniedException"),
        (404, {}, "status 404"),
        (500, [], "ValidationError"),
    ],
)
def test_refusal_is_logged_once_and_nothing_else_happens(
    status: int, said: object, outcome: str
) -> None:
    """A deployment that is blocked is a normal answer; when all is well again that is said too."""

    async def script(active: OnActive, agent: EcsAgent) -> None:
        agent.answers = [(status, said)] * 3
        active(1)
        await asyncio.sleep(3.5 * RENEW_SECONDS)

    with capture_logs() as logs:
        agent = play(script)

    assert [asked for _, asked in agent.asked] == [ON] * 4
    assert logs == [
        {"event": "task_protection.outcome_changed", "log_level": "warning", "outcome": outcome,
         "protected": True},
        {"event": "task_protection.outcome_changed", "log_level": "info", "outcome": "granted",
         "protected": True},
    ]  # fmt: skip


def test_agent_that_does_not_answer_is_not_waited_for() -> None:
    """Two seconds; the next request is that of the renewal."""

    async def script(active: OnActive, agent: EcsAgent) -> None:
        agent.is_silent = True
        active(1)
        await asyncio.sleep(RENEW_SECONDS + 3)

    with capture_logs() as logs:
        agent = play(script)

    assert agent.asked == [(0, ON), (2 + RENEW_SECONDS, ON)]
    assert [each["outcome"] for each in logs] == ["TimeoutError"]


@pytest.mark.parametrize("uri", ["http://127.0.0.1:1/api", "no address", "http://[/"])
def test_address_where_nobody_listens_stops_nothing(uri: str) -> None:
    """One line in the log."""

    async def main() -> None:
        async with open_protection(uri) as active:
            active(1)
            await asyncio.sleep(1)
            active(0)

    with capture_logs() as logs:
        run_virtually(main())

    assert [each["event"] for each in logs] == ["task_protection.outcome_changed"]


async def test_calls_of_a_service_protect_its_task(table: Path) -> None:
    """The first call asks for it; one that is over leaves it to the hold time."""
    async with ecs_agent() as agent:
        settings = settings_for(table, TASK_PROTECTION="true", ECS_AGENT_URI=agent.uri)
        async with serving(settings) as server, server.twilio.call() as call:
            await call.say("are you open")
            await until(lambda: bool(agent.asked))

    assert [asked for _, asked in agent.asked] == [ON]


async def test_call_goes_on_while_the_agent_is_silent(table: Path) -> None:
    """Protection is never in the path of a call."""
    async with ecs_agent() as agent:
        agent.is_silent = True
        settings = settings_for(table, TASK_PROTECTION="true", ECS_AGENT_URI=agent.uri)
        async with serving(settings) as server, server.twilio.call() as call:
            await until(lambda: bool(agent.asked))

            reply = await call.say("are you open")

    assert reply.text


@pytest.mark.parametrize("switch", ["", "false"])
async def test_nobody_is_asked_unless_it_is_switched_on(table: Path, switch: str) -> None:
    """ECS sets the address in every task."""
    async with ecs_agent() as agent:
        settings = settings_for(table, TASK_PROTECTION=switch, ECS_AGENT_URI=agent.uri)
        async with serving(settings) as server, server.twilio.call() as call:
            await call.say("are you open")

    assert agent.asked == []


async def test_service_that_is_not_on_ecs_needs_no_agent(table: Path) -> None:
    """Without the address it is off, whatever the switch says."""
    settings = settings_for(table, TASK_PROTECTION="true")

    with capture_logs() as logs:
        async with serving(settings) as server, server.twilio.call() as call:
            await call.say("are you open")

    assert [each for each in logs if each["event"].startswith("protection")] == []
