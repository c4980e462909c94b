"""When the load balancer is asked for the target of this task, and what its answers do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import aioboto3  # type: ignore[import-untyped] # ships no types
import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from agent.capacity.target_health import (
    LONGEST_SECONDS,
    REQUESTS_PER_SECOND,
    SHORTEST_SECONDS,
    TargetHealth,
    pause_seconds,
)
from agent.capacity.watched_target import watched_target
from agent.simulator.virtual_time import run_virtually
from tests.emulators.target_group import ARN, States, TargetGroup, target_group
from tests.llm.accounts import set_account

PORT = 3000
OURS, OTHERS = ("127.0.0.1", PORT), ("10.0.0.2", PORT)


@pytest.fixture(autouse=True)
def account(monkeypatch: pytest.MonkeyPatch) -> None:
    set_account(monkeypatch)


@asynccontextmanager
async def group_of(states: Sequence[States]) -> AsyncIterator[TargetGroup]:
    """A target group with these states, one for each request; the last one stays."""
    left = list(states)

    async def read() -> States:
        return left.pop(0) if len(left) > 1 else left[0]

    with pytest.MonkeyPatch.context() as patch:
        async with target_group(read) as group:
            patch.setenv("AWS_ENDPOINT_URL_ELASTIC_LOAD_BALANCING_V2", group.url)
            yield group


def watch(
    states: Sequence[States], seconds: float, refusals: Sequence[tuple[int, str]] = ()
) -> tuple[TargetGroup, list[float]]:
    """Watch for so long on virtual time; the group, and when our target was seen draining."""

    async def main() -> tuple[TargetGroup, list[float]]:
        seen: list[float] = []
        now = asyncio.get_running_loop().time
        async with group_of(states) as group:
            group.refusals = list(refusals)
            uri = f"{group.url}/metadata"
            async with watched_target(ARN, uri, PORT, lambda: seen.append(now())):
                await asyncio.sleep(seconds)
        return group, seen

    return run_virtually(main())


def test_request_is_the_one_of_the_sdk() -> None:
    """The same fields, signed for the same service and region; the SDK reads the answer."""

    async def main() -> tuple[TargetGroup, Any]:
        async with group_of([{OURS: "draining", OTHERS: "healthy"}]) as group:
            async with aioboto3.Session().client("elbv2", region_name="us-east-1") as client:
                answer = await client.describe_target_health(TargetGroupArn=ARN)
            assert await TargetHealth(ARN, f"{group.url}/metadata", PORT).is_draining()
        return group, answer

    group, answer = asyncio.run(main())

    (_, theirs), (_, ours) = group.asked
    assert ours == theirs
    assert group.signed_for == {"us-east-1 elasticloadbalancing"}
    assert [
        (each["Target"]["Id"], each["Target"]["Port"], each["TargetHealth"]["State"])
        for each in answer["TargetHealthDescriptions"]
    ] == [(*OURS, "draining"), (*OTHERS, "healthy")]


def test_draining_is_told_once_and_then_nothing_is_asked() -> None:
    group, seen = watch([{OURS: "initial"}, {OURS: "healthy"}, {OURS: "draining"}], 600.0)

    assert len(seen) == 1
    assert len(group.asked) == 3


@pytest.mark.parametrize(
    "states",
    [
        {OURS: "initial"},
        {OURS: "healthy"},
        {OURS: "unhealthy"},
        {OURS: "unhealthy.draining"},
        {OURS: "unused"},
        {OURS: "unavailable"},
        {OTHERS: "draining", ("127.0.0.1", PORT + 1): "draining"},
        {},
    ],
    ids=[
        "initial", "healthy", "unhealthy", "unhealthy.draining", "unused", "unavailable",
        "others", "none",
    ],
)  # fmt: skip
def test_other_states_and_targets_are_no_reason_to_drain(states: States) -> None:
    with capture_logs() as logs:
        group, seen = watch([states], 60.0)

    assert seen == []
    assert len(group.asked) > 8
    assert logs == [
        {"event": "target.state_changed", "log_level": "info", "state": states.get(OURS, "missing")}
    ]


@pytest.mark.parametrize(
    ("refusal", "reason"),
    [
        ((400, "Throttling"), "Throttling"),
        ((403, "AccessDenied"), "AccessDenied"),
        ((502, "<html>Bad gateway"), "status 502"),
        ((200, "<html>Sign in"), "ParseError"),
    ],
)
def test_request_that_fails_is_logged_once_and_changes_nothing(
    refusal: tuple[int, str], reason: str
) -> None:
    """Requests come ever later, and the next answer counts again."""
    with capture_logs() as logs:
        group, seen = watch([{OURS: "healthy"}, {OURS: "draining"}], 300.0, [refusal] * 4)

    times = [at for at, _ in group.asked]
    waits = [round(later - before) for before, later in pairwise(times)]
    assert len(seen) == 1
    assert waits == [pytest.approx(each, rel=0.15) for each in (10, 20, 40, 75, 5)]
    assert logs == [
        {"event": "target.state_unknown", "log_level": "warning", "reason": reason},
        {"event": "target.state_changed", "log_level": "info", "state": "healthy"},
        {"event": "target.state_changed", "log_level": "info", "state": "draining"},
    ]


@pytest.mark.parametrize("uri", ["http://127.0.0.1:1/v4", "no address"])
def test_metadata_that_cannot_be_read_is_one_log_line(uri: str) -> None:
    async def main() -> None:
        async with group_of([{OURS: "draining"}]), watched_target(ARN, uri, PORT, lambda: None):
            await asyncio.sleep(120)

    with capture_logs() as logs:
        run_virtually(main())

    assert [each["event"] for each in logs] == ["target.state_unknown"]


@pytest.mark.parametrize(("arn", "is_on_ecs"), [("", True), (ARN, False)])
def test_nothing_is_asked_without_a_target_group_or_outside_of_ecs(
    arn: str, is_on_ecs: bool
) -> None:
    async def main() -> TargetGroup:
        async with group_of([{OURS: "draining"}]) as group:
            uri = f"{group.url}/metadata" if is_on_ecs else ""
            async with watched_target(arn, uri, PORT, lambda: None):
                await asyncio.sleep(60)
        return group

    assert run_virtually(main()).asked == []


@given(st.integers(0, 1000), st.integers(0, 50), st.floats(0, 1))
def test_tasks_of_a_service_stay_below_the_limit_of_the_account(
    targets: int, failures: int, chance: float
) -> None:
    """An account has ten requests a second. Of more than 375 tasks each looks every 75 s."""
    seconds = pause_seconds(targets, failures, chance)

    assert SHORTEST_SECONDS * 0.9 <= seconds <= LONGEST_SECONDS * 1.1
    if targets <= 375:
        assert targets / seconds <= REQUESTS_PER_SECOND / 0.9 + 1e-9
        assert REQUESTS_PER_SECOND / 0.9 < 10
