"""Seats of a process: every story is a list of what happens, every way out frees the seat."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.capacity import Admission
from tests.fakes import Clock

Step = tuple[str, str] | float
"""What happens to which call, or so many seconds pass."""
_FIVE_SOCKETS = [("socket", call) for call in "wxyza"]


class Story:
    """Two calls may be taken; steps are told as `("rings", "a")`."""

    def __init__(self, most: int = 2) -> None:
        self.clock = Clock(0.0)
        self.seats = Admission(most, self.clock)

    def tell(self, steps: Sequence[Step]) -> list[bool]:
        """What each ring and each socket is told."""
        told = [self._step(step) for step in steps]
        return [each for each in told if each is not None]

    @property
    def taken(self) -> tuple[int, int]:
        return self.seats.reserved, self.seats.running

    def _step(self, step: Step) -> bool | None:
        match step:
            case ("rings", call):
                return self.seats.reserve(call)
            case ("socket", call):
                return self.seats.take(call)
            case ("gone", call):
                self.seats.leave(call)
            case ("over", call):
                self.seats.release(call)
            case float():
                self.clock.seconds += step
            case _:
                raise AssertionError(step)
        return None


@pytest.mark.parametrize(
    ("steps", "told", "taken"),
    [
        ([("rings", "a")], [True], (1, 0)),
        ([("rings", "a"), ("rings", "b"), ("rings", "c")], [True, True, False], (2, 0)),
        ([("rings", "a"), ("rings", "a"), ("rings", "b")], [True, True, True], (2, 0)),
        ([("rings", "a"), ("rings", "b"), ("rings", "b")], [True, True, True], (2, 0)),
        ([("rings", "a"), ("socket", "a")], [True, True], (0, 1)),
        ([("rings", "a"), ("socket", "a"), ("rings", "a")], [True, True, True], (0, 1)),
        ([("rings", "a"), ("socket", "a"), ("gone", "a")], [True, True], (0, 0)),
        ([("rings", "a"), ("over", "a")], [True], (0, 0)),
        ([("over", "a")], [], (0, 0)),
        ([("rings", "a"), 14.9], [True], (1, 0)),
        ([("rings", "a"), 15.0], [True], (0, 0)),
        ([("rings", "a"), 14.0, ("rings", "a"), 14.0], [True, True], (1, 0)),
        ([("rings", "a"), 15.0, ("socket", "a")], [True, True], (0, 1)),
        ([("rings", "a"), ("rings", "b"), 15.0, ("rings", "c")], [True] * 3, (1, 0)),
        ([("rings", "a"), ("socket", "a"), 3600.0, ("over", "a")], [True, True], (0, 1)),
        ([("socket", "x"), ("socket", "y"), ("rings", "a")], [True, True, False], (0, 2)),
        ([("socket", one) for one in "vwxyz"], [True, True, True, True, False], (0, 4)),
        ([("rings", "a"), *[("socket", one) for one in "xyza"]], [True] * 5, (0, 4)),
        ([("rings", "a"), *_FIVE_SOCKETS], [True] * 4 + [False, True], (0, 4)),
        ([("socket", "a"), ("socket", "a"), ("gone", "a")], [True, True], (0, 1)),
    ],
)  # fmt: skip
def test_seats_are_kept_for_who_has_rung_and_for_who_talks(
    steps: Sequence[Step], told: list[bool], taken: tuple[int, int]
) -> None:
    """Two new calls, four lines at the most: what each is told, what is reserved, what runs."""
    story = Story()

    assert (story.tell(steps), story.taken) == (told, taken)


_CALLS = st.sampled_from([f"CA{number}" for number in range(12)])
_STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["rings", "socket", "gone", "over"]), _CALLS),
        st.floats(0.0, 20.0),
    ),
    max_size=120,
)


@given(most=st.integers(1, 5), steps=_STEPS)
def test_webhooks_never_seat_more_than_the_limit_and_all_leave(
    most: int, steps: Sequence[Step]
) -> None:
    """Whatever happens in whatever order; only sockets nobody has rung for here go beyond it."""
    story, lines, strangers = Story(most), list[str](), 0
    for step in steps:
        before = story.seats.active
        match step:
            case ("rings", call):
                had = story.seats.holds(call)
                (is_seated,) = story.tell([step])
                assert is_seated == (had or before < most)
                assert story.seats.active == before + (is_seated and not had)
            case ("socket", call):
                (is_seated,) = story.tell([step])
                lines += [call] * is_seated
                strangers += story.seats.active - before
                assert is_seated or before == 2 * most
            case ("gone", call) if call in lines:
                lines.remove(call)
                story.tell([step])
            case ("gone", _):
                pass  # a line that is not there cannot go
            case _:
                story.tell([step])
        assert story.seats.running == len(lines)
        assert story.seats.active <= min(2 * most, most + strangers)

    story.tell([("gone", call) for call in lines])
    story.tell([15.0])

    assert story.taken == (0, 0)
    assert story.tell([("rings", f"new {number}") for number in range(most)]) == [True] * most
