"""The slots of a process, as lists of steps; each way a call ends frees its slot."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.capacity import Admission
from tests.fakes import Clock

Step = tuple[str, str] | float
"""A step and its call, or seconds that pass."""
_FIVE_SOCKETS = [("socket", call) for call in "wxyza"]


class Story:
    """Two calls may be taken; a step is `("rings", "a")`."""

    def __init__(self, most: int = 2) -> None:
        self.clock = Clock(0.0)
        self.admission = Admission(most, self.clock)

    def tell(self, steps: Sequence[Step]) -> list[bool]:
        """Whether each ring and each socket gets a slot."""
        told = [self._step(step) for step in steps]
        return [each for each in told if each is not None]

    @property
    def taken(self) -> tuple[int, int]:
        return self.admission.reserved, self.admission.running

    def _step(self, step: Step) -> bool | None:
        match step:
            case ("rings", call):
                return self.admission.reserve(call)
            case ("socket", call):
                return self.admission.take(call)
            case ("gone", call):
                self.admission.leave(call)
            case ("over", call):
                self.admission.release(call)
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
def test_places_are_kept_for_reserved_and_running_calls(
    steps: Sequence[Step], told: list[bool], taken: tuple[int, int]
) -> None:
    """At most two new calls and four sockets: the answers, then reserved and running slots."""
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
def test_reservations_never_exceed_the_limit_and_all_places_become_free(
    most: int, steps: Sequence[Step]
) -> None:
    """In any order of steps; only sockets without a reservation here exceed the limit."""
    story, sockets, unreserved = Story(most), list[str](), 0
    for step in steps:
        before = story.admission.active
        match step:
            case ("rings", call):
                had = story.admission.holds(call)
                (has_slot,) = story.tell([step])
                assert has_slot == (had or before < most)
                assert story.admission.active == before + (has_slot and not had)
            case ("socket", call):
                (has_slot,) = story.tell([step])
                sockets += [call] * has_slot
                unreserved += story.admission.active - before
                assert has_slot or before == 2 * most
            case ("gone", call) if call in sockets:
                sockets.remove(call)
                story.tell([step])
            case ("gone", _):
                pass  # there is no connection that could end
            case _:
                story.tell([step])
        assert story.admission.running == len(sockets)
        assert story.admission.active <= min(2 * most, most + unreserved)

    story.tell([("gone", call) for call in sockets])
    story.tell([15.0])

    assert story.taken == (0, 0)
    assert story.tell([("rings", f"new {number}") for number in range(most)]) == [True] * most
