"""When the ECS agent is asked for scale-in protection, and what its failures do.

A stand-in for the agent listens on a loopback port; time is virtual.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
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
from agent.simulator.virtual_time import run_virtually
from tests.listening import listening
from tests.servers import serving, settings_for
from tests.waiting import until

ON: Mapping[str, Any] = {"ProtectionEnabled": True, "ExpiresInMinutes": LEASE_MINUTES}
OFF: Mapping[str, Any] = {"ProtectionEnabled": False}
ARN = "arn:aws:ecs:us-east-1:111122223333:task/demo/0123"
BLOCKED = {"failure": {"Arn": ARN, "Detail": None, "Reason": "DEPLOYMENT_BLOCKED"}}
DENIED = {"requestID": "1", "error": {"Code": "AccessDeniedException", "Message": "not allowed"}}


@dataclass
class EcsAgent:
    """The agent of ECS as a task sees it."""

    uri: str = ""
    asked: list[tuple[float, Any]] = field(default_factory=list)  # in which second, and what
    answers: list[tuple[int, object]] = field(default_factory=list)  # then all is granted
    is_silent: bool = False

    async def answer(self, request: web.Request) -> web.Response:
        now = round(asyncio.get_running_loop().time(), 0)
        self.asked.append((now, await request.json()))
        if self.is_silent:
            await asyncio.Event().wait()
        status, said = self.answers.pop(0) if self.answers else (200, {"protection": {}})
        return web.json_response(said, status=status)


@asynccontextmanager
async def ecs_agent(agent: EcsAgent | None = None) -> AsyncIterator[EcsAgent]:
    agent = agent or EcsAgent()
    application = web.Application()
    application.router.add_put("/api/0123/task-protection/v1/state", agent.answer)
    async with listening(application, handler_cancellation=True) as base:
        agent.uri = f"{base}/api/0123"
        yield agent


async def _follow(active: OnActive, timeline: Sequence[tuple[int, float]]) -> None:
    """Report calls in progress, each for so many seconds."""
    for calls, seconds in timeline:
        active(calls)
        await asyncio.sleep(seconds)


def play(timeline: Sequence[tuple[int, float]], agent: EcsAgent | None = None) -> EcsAgent:
    """Run a timeline against an agent, from second 0."""

    async def main() -> EcsAgent:
        async with ecs_agent(agent) as running, open_protection(running.uri) as active:
            await _follow(active, timeline)
            return running

    return run_virtually(main())


@pytest.mark.parametrize(
    ("timeline", "asked"),
    [
        ([(1, 10), (2, 10), (1, 10), (0, 120)], [(0, ON), (90, OFF)]),
        ([*[(1, 5), (0, 55)] * 5, (0, 60)], [(0, ON), (305, OFF)]),
        ([(1, 10), (0, 90)] * 2, [(0, ON), (70, OFF), (100, ON), (170, OFF)]),
        ([(3, 1200)], [(0, ON), (480, ON), (960, ON)]),
    ],
    ids=["calls", "pauses below the hold time", "two periods", "renewal at 80 % of the lease"],
)
def test_protection_lasts_from_the_first_call_to_the_end_of_the_hold_time(
    timeline: Sequence[tuple[int, float]], asked: list[tuple[float, Any]]
) -> None:
    """The agent limits requests, so calls in quick succession need one only."""
    assert (HOLD_SECONDS, RENEW_SECONDS) == (60, 480)
    assert play(timeline).asked == asked


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
    """A deployment that is blocked is a normal answer; the next success is logged as well."""
    with capture_logs() as logs:
        agent = play([(1, 3.5 * RENEW_SECONDS)], EcsAgent(answers=[(status, said)] * 3))

    assert [asked for _, asked in agent.asked] == [ON] * 4
    assert logs == [
        {"event": "task_protection.refused", "log_level": "warning", "outcome": outcome,
         "protected": True},
        {"event": "task_protection.granted", "log_level": "info", "protected": True},
    ]  # fmt: skip


def test_agent_that_does_not_answer_is_given_two_seconds() -> None:
    """The next request is that of the renewal."""
    with capture_logs() as logs:
        agent = play([(1, RENEW_SECONDS + 3)], EcsAgent(is_silent=True))

    assert agent.asked == [(0, ON), (2 + RENEW_SECONDS, ON)]
    assert [each["outcome"] for each in logs] == ["TimeoutError"]


@pytest.mark.parametrize("uri", ["http://127.0.0.1:1/api", "no address", "http://[/"])
def test_agent_that_cannot_be_reached_is_one_log_line(uri: str) -> None:
    async def main() -> None:
        async with open_protection(uri) as active:
            await _follow(active, [(1, 1), (0, 0)])

    with capture_logs() as logs:
        run_virtually(main())

    assert [each["event"] for each in logs] == ["task_protection.refused"]


async def test_call_protects_its_task_and_does_not_wait_for_the_agent(table: Path) -> None:
    async with ecs_agent(EcsAgent(is_silent=True)) as agent:
        settings = settings_for(table, TASK_PROTECTION="true", ECS_AGENT_URI=agent.uri)
        async with serving(settings) as server, server.twilio.call() as call:
            await until(lambda: bool(agent.asked))

            reply = await call.say("are you open")

    assert reply.text
    assert [asked for _, asked in agent.asked] == [ON]


@pytest.mark.parametrize(("switch", "is_on_ecs"), [("", True), ("false", True), ("true", False)])
async def test_protection_needs_the_switch_and_the_address(
    table: Path, switch: str, is_on_ecs: bool
) -> None:
    """ECS sets the address in every task."""
    async with ecs_agent() as agent:
        uri = agent.uri if is_on_ecs else ""
        settings = settings_for(table, TASK_PROTECTION=switch, ECS_AGENT_URI=uri)
        with capture_logs() as logs:
            async with serving(settings) as server, server.twilio.call() as call:
                await call.say("are you open")

    assert agent.asked == []
    assert [each for each in logs if each["event"].startswith("task_protection")] == []
