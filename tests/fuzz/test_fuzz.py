"""Random input: the process survives, callers are answered or disconnected, and no log names them.

This is a short run; `python benchmarks/fuzz.py --minutes 10` is a long one.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings

from tests.fuzz import feed, plays
from tests.fuzz.rig import Rig, rig

pytestmark = pytest.mark.usefixtures("uncovered")


@pytest.fixture(scope="module")
def service(seeded_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    folder = tmp_path_factory.mktemp("fuzz")
    table = folder / "agent.db"
    table.write_bytes(seeded_file.read_bytes())
    with rig(folder, table) as running:
        yield running


@settings(max_examples=60)
@given(feed.frames)
def test_no_frame_hurts_a_call(service: Rig, frames: list[feed.Frame]) -> None:
    service.run(lambda server: plays.say_frames(service, server, frames))


@settings(max_examples=10)
@given(feed.floods)
def test_no_flood_hurts_a_call(service: Rig, flood: tuple[str, int]) -> None:
    frame, times = flood

    service.run(lambda server: plays.say_frames(service, server, [frame] * times))


@settings(max_examples=60)
@given(plays.requests)
def test_no_request_is_answered_with_a_failure(service: Rig, request: plays.Request) -> None:
    service.run(lambda server: plays.ask(server, request))


@settings(max_examples=70)
@given(plays.records)
def test_no_record_hurts_a_call(service: Rig, record: plays.Record) -> None:
    """Items in the table before a call, or between its webhook and its socket."""
    service.run(lambda server: plays.call_with(service, server, record))
