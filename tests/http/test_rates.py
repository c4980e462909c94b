"""Limits of how often somebody may ask."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.http.api import RateLimiter


class Hands:
    """A clock that a test turns."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def test_so_many_at_once_and_then_one_after_the_other() -> None:
    """The answer to one too many is when it would help to ask again."""
    clock = Hands()
    rates = RateLimiter(3, 60.0, clock)

    at_once = [rates.wait("ada") for _ in range(4)]
    clock.now += 19.0
    too_soon = rates.wait("ada")
    clock.now += 1.0
    later = [rates.wait("ada") for _ in range(2)]

    assert at_once == [0.0, 0.0, 0.0, 20.0]
    assert too_soon == pytest.approx(1.0)
    assert later == [0.0, 20.0]


def test_askers_do_not_share_a_limit() -> None:
    """One who asks too much takes nothing from others."""
    rates = RateLimiter(1, 60.0, Hands())

    assert [rates.wait(asker) for asker in ("ada", "grace", "ada")] == [0.0, 0.0, 60.0]


def test_only_so_many_askers_are_remembered() -> None:
    """Memory is bounded, whoever asks; who is forgotten may ask again."""
    rates = RateLimiter(1, 60.0, Hands(), most=2)

    waits = [rates.wait(asker) for asker in ("ada", "grace", "edsger", "edsger", "ada")]

    assert waits == [0.0, 0.0, 0.0, 60.0, 0.0]


@given(
    count=st.integers(1, 20),
    seconds=st.floats(0.5, 3600),
    pauses=st.lists(st.floats(0, 100), max_size=60),
)
def test_never_more_than_the_limit_in_any_time(
    count: int, seconds: float, pauses: list[float]
) -> None:
    """What is let through in any stretch is what was saved up, and what has come due since."""
    clock = Hands()
    rates = RateLimiter(count, seconds, clock)
    admitted = []
    for pause in pauses:
        clock.now += pause
        if not rates.wait("ada"):
            admitted.append(clock.now)

    for first, begin in enumerate(admitted):
        for last, end in enumerate(admitted[first:], start=first):
            assert last - first + 1 <= count + (end - begin) * count / seconds + 1e-3


def test_who_waits_as_long_as_told_is_admitted() -> None:
    """`Retry-After` is not a guess."""
    clock = Hands()
    rates = RateLimiter(7, 60.0, clock)

    waits = []
    for _ in range(30):
        if wait := rates.wait("ada"):
            waits.append(wait)
            clock.now += wait
            assert rates.wait("ada") == 0.0

    assert len(waits) == 23
