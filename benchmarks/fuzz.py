"""Feeds the service invalid input for a time, and stops at the first failed check.

    python benchmarks/fuzz.py [--minutes M] [--seed S]

The plays are those of `tests/fuzz`: frames, floods, requests, and records of the table, against one
service in the production wiring. They take turns, `EXAMPLES` of each in a round; each round has a
seed of its own, made of the one that is printed. Hypothesis keeps its examples in a folder that is
made for the run, so that nothing of an earlier one decides what is tried. Exit status 1 with the
smallest example that was found.
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import hypothesis
from hypothesis import HealthCheck, given, settings
from hypothesis.database import DirectoryBasedExampleDatabase

ROOT = Path(__file__).parents[1]
if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))

from agent.store.sqlite import SqliteStore
from tests.fuzz import feed, plays
from tests.fuzz.rig import Rig, rig
from tests.shipped import load_shipped

EXAMPLES = 100


class Fuzzer:
    """Rounds of plays against one service."""

    def __init__(self, service: Rig, folder: Path) -> None:
        self._service = service
        self._settings = settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=DirectoryBasedExampleDatabase(folder / "examples"),
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        )
        self.played = 0

    def round(self, seed_of_round: int) -> None:
        """Run each play once; raises what it has found."""
        for play in self._plays():
            hypothesis.seed(seed_of_round)(self._settings(play))()

    def _plays(self) -> Iterator[Callable[[], None]]:
        service = self._service

        @given(feed.frames)
        def frames(fed: list[feed.Frame]) -> None:
            self.played += 1
            service.run(lambda server: plays.say_frames(service, server, fed))

        @given(feed.floods)
        def floods(fed: tuple[str, int]) -> None:
            self.played += 1
            service.run(lambda server: plays.say_frames(service, server, [fed[0]] * fed[1]))

        @given(plays.requests)
        def requests(fed: plays.Request) -> None:
            self.played += 1
            service.run(lambda server: plays.ask(server, fed))

        @given(plays.records)
        def records(fed: plays.Record) -> None:
            self.played += 1
            service.run(lambda server: plays.call_with(service, server, fed))

        yield from (frames, floods, requests, records)


@contextmanager
def _service(folder: Path) -> Iterator[Rig]:
    table = folder / "agent.db"

    async def load() -> None:
        store = await SqliteStore.open(table)
        await load_shipped(store)
        await store.close()

    asyncio.run(load())
    with rig(folder, table) as service:
        yield service


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Feed the service nonsense.")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=None, help="of an earlier run")
    return parser.parse_args()


def main() -> int:
    """Fuzz; returns 1 if a check failed."""
    arguments = _arguments()
    first = secrets.randbelow(2**32) if arguments.seed is None else arguments.seed
    print(f"seed {first}", flush=True)
    until = time.monotonic() + 60 * arguments.minutes
    with TemporaryDirectory() as name, _service(Path(name)) as service:
        fuzzer, rounds = Fuzzer(service, Path(name)), 0
        try:
            while time.monotonic() < until:
                fuzzer.round(first + rounds)
                rounds += 1
        except Exception:  # noqa: BLE001 (whatever it is, it is the finding)
            traceback.print_exc(file=sys.stdout)
            print(f"found in round {rounds}; again: --seed {first + rounds}")
            return 1
        print(f"{rounds} rounds, {fuzzer.played} examples, nothing found")
    return 0


if __name__ == "__main__":
    sys.exit(main())
