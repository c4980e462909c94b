"""Tells when this task is deregistered; outside of ECS the AWS SDK is not imported."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager


@asynccontextmanager
async def watched_target(
    target_group: str, metadata_uri: str, port: int, on_draining: Callable[[], object]
) -> AsyncIterator[None]:
    """Call `on_draining` once the target of this task is draining.

    Nothing is asked without a target group, or outside of ECS, where there is no `metadata_uri`.
    """
    if not (target_group and metadata_uri):
        yield
        return
    from agent.capacity.target_health import TargetHealth  # noqa: PLC0415 (see the module)

    async def watch() -> None:
        if await TargetHealth(target_group, metadata_uri, port).is_draining():
            on_draining()

    watching = asyncio.create_task(watch(), name="target health")
    try:
        yield
    finally:
        watching.cancel()
        await asyncio.wait([watching])
