"""Every event arrives, once by its id and in order, though senders are killed and sends fail."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.event_delivery import broken, play


@pytest.mark.needs("time")
async def test_events_arrive_though_their_senders_are_killed(tmp_path: Path) -> None:
    """`benchmarks/event_delivery.py` plays more; docs/explain/measurements.md has its figures."""
    figures = await play(tmp_path, calls=60, senders=3, seed=1)

    assert broken(figures) == {}
    assert figures.kills >= 3
    assert figures.requests > figures.events == 240
