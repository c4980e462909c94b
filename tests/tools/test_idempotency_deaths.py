"""Property: at any failure, an effect happens at most once and every answer is true.

First every moment of one process and of two, one after the other; then up to three processes at
once, with the moments, the delays and the clocks chosen by Hypothesis.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from agent.simulator.virtual_time import run_virtually
from agent.store.sqlite import SqliteStore
from tests.fakes import Clock
from tests.tools.failing_processes import (
    DEATHS,
    EPOCH,
    Asker,
    Fate,
    Mortal,
    Orders,
    Texts,
    Told,
    World,
)

pytestmark = pytest.mark.needs("time")

BOTH_KINDS = pytest.mark.parametrize("is_repeatable", [True, False])


@dataclass(frozen=True, slots=True)
class Life:
    """One process: when it asks, how slow its touches are, and their fates."""

    fates: Mapping[int, Fate]
    starts: float = 0.0
    pauses: tuple[float, ...] = (0.0,)
    skew: float = 0.0
    asks: int = 1
    """Requests in sequence."""
    tasks: int = 1
    """Concurrent tasks."""


async def live(world: World, lives: Sequence[Life]) -> list[Told]:
    """The answers to all requests, after everything has ended."""

    async def ask(asker: Asker, life: Life) -> list[Told]:
        await asyncio.sleep(life.starts)
        return [await asker.ask() for _ in range(life.asks)]

    async with asyncio.TaskGroup() as late:
        running = []
        for number, life in enumerate(lives):
            process = Mortal(life.fates, life.pauses, late)
            asker = world.asker(f"process {number}", process, life.skew)
            running += [late.create_task(ask(asker, life)) for _ in range(life.tasks)]
    return [told for each in running for told in each.result()]


async def check(world: World, told: Sequence[Told], lives: Sequence[Life]) -> None:
    """Check the promises for these answers and for later requests of a sound process."""
    fates = {fate for life in lives for fate in life.fates.values()}
    is_slow = any(pause >= 1 for life in lives for pause in life.pauses)
    results = [each.result for each in told if each.kind == "done"]
    happened = await world.happened()
    assert happened <= 1
    assert happened == 1 or not results
    assert all(result == results[0] for result in results)
    if not world.effect.is_repeatable:
        assert "in doubt" not in {each.kind for each in told}

    await asyncio.sleep(60)
    last = [await world.ask("sound"), await world.ask("also sound")]

    assert last[0] == last[1]
    assert await world.happened() <= 1
    assert (await world.entry())["state"] == last[0].kind
    if last[0].kind == "done":
        assert await world.happened() == 1
        assert all(result == last[0].result for result in results)
    else:
        assert last[0] == Told("unknown")
        assert not world.effect.is_repeatable
        assert is_slow or fates - {Fate.REFUSES}, "an unknown outcome without a misfortune"
        assert not results or is_slow or fates - {*DEATHS, Fate.REFUSES}, "a result was lost"


def play(lives: Sequence[Life], *, is_repeatable: bool) -> None:
    async def main() -> None:
        world = World(is_repeatable=is_repeatable)
        told = await live(world, lives)
        await check(world, told, lives)

    with capture_logs():
        run_virtually(main())


@BOTH_KINDS
def test_one_process_may_fail_at_every_moment(is_repeatable: bool) -> None:
    for touch, fate in product(range(3), Fate):
        play([Life({touch: fate}, asks=2)], is_repeatable=is_repeatable)


@BOTH_KINDS
@pytest.mark.parametrize("starts", [0.0, 0.3, 5.9, 20.0])
def test_two_processes_may_each_fail_at_every_moment(starts: float, is_repeatable: bool) -> None:
    moments = [*product(range(3), Fate)]
    for first, second in product(moments, [*moments, *product(range(3, 5), Fate)]):
        lives = [Life(dict([first])), Life(dict([second]), starts)]
        play(lives, is_repeatable=is_repeatable)


@st.composite
def lifes(draw: st.DrawFn) -> Life:
    seconds = st.sampled_from([0.0, 0.0, 0.01, 0.3, 1.5, 4.0])
    fates = st.dictionaries(st.integers(0, 6), st.sampled_from(list(Fate)), max_size=3)
    return Life(
        fates=draw(fates),
        starts=draw(seconds),
        pauses=tuple(draw(st.lists(seconds, min_size=1, max_size=4))),
        skew=draw(st.sampled_from([0.0, 0.0, -5.0, 5.0, 60.0])),
        asks=draw(st.integers(1, 3)),
        tasks=draw(st.integers(1, 2)),
    )


@given(lives=st.lists(lifes(), min_size=1, max_size=3), is_repeatable=st.booleans())
def test_processes_at_once_may_fail_at_any_moment(lives: list[Life], is_repeatable: bool) -> None:
    play(lives, is_repeatable=is_repeatable)


@BOTH_KINDS
async def test_a_file_keeps_the_promise_too(tmp_path: Path, is_repeatable: bool) -> None:
    for number, (touch, fate) in enumerate(product(range(3), DEATHS)):
        clock = Clock(EPOCH)
        store = await SqliteStore.open(tmp_path / f"{number}.db", now=clock)
        effect = Orders(store) if is_repeatable else Texts()

        died = await Asker("one", store, effect, Mortal({touch: fate}), clock).ask()
        clock.seconds += 60
        told = [await Asker(name, store, effect, Mortal(), clock).ask() for name in ("2", "3")]
        happened = await effect.happened()
        await store.close()

        is_unbegun = (touch, fate) == (0, Fate.DIES_BEFORE)
        is_done = is_repeatable or is_unbegun or (touch, fate) == (2, Fate.DIES_AFTER)
        assert died == Told("died")
        assert [each.kind for each in told] == ["done" if is_done else "unknown"] * 2
        assert told[0] == told[1]
        is_sent = is_done or touch == 2 or (touch, fate) == (1, Fate.DIES_AFTER)
        assert len(happened) == is_sent
