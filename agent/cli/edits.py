"""Loads the configuration again when one of its files was saved, while `talk` runs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from agent.cli.terminal_screen import Screen
from agent.errors import UseCaseError

_SECONDS = 0.5
"""Between two looks at the files."""


async def follow_edits(
    configuration: Path, load: Callable[[], Awaitable[None]], screen: Screen
) -> None:
    """Load what is saved, until cancelled; a fault is shown, and the earlier version stays."""
    seen = await asyncio.to_thread(_files, configuration)
    while True:
        await asyncio.sleep(_SECONDS)
        found = await asyncio.to_thread(_files, configuration)
        if found == seen:
            continue
        changed = sorted({path.parent.name for path, _ in found.items() ^ seen.items()})
        seen = found
        try:
            await load()
        except UseCaseError as error:
            screen.fault(f"not loaded: {error}")
        else:
            screen.note(f"loaded {', '.join(changed)}: it counts from the next turn")


def _files(configuration: Path) -> dict[Path, int]:
    """When each file was changed, in nanoseconds."""
    found = {}
    for path in configuration.rglob("*"):
        if path.is_file() and path.suffix in {".toml", ".md", ".json", ".py"}:
            found[path] = path.stat().st_mtime_ns
    return found
