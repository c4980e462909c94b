"""The stages of a drain, and what each call gets in whatever order the events come."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.call import events as ev
from agent.call.actions import Action, EndCall, HangUp
from agent.capacity.drain import LINGER_SHARE, MODES, SHARES, TOTAL_SHARE, Drain, DrainEvent
from agent.capacity.drain import DrainStage as Stage
from agent.settings import Settings
from tests.call import builders as it

E = DrainEvent
CAUSES = st.sampled_from([E.DEREGISTERED, E.REQUESTED, E.TERMINATED, E.INTERRUPTED])
EVENTS = CAUSES | st.just(E.STAGE_OVER)


def stages(events: Sequence[DrainEvent]) -> list[Stage]:
    drain, found = Drain(), []
    for event in events:
        drain = drain.after(event)
        found.append(drain.stage)
    return found


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([E.STAGE_OVER, E.CALLS_OVER], [Stage.SERVING] * 2),
        (
            [E.DEREGISTERED, E.REQUESTED, E.TERMINATED, E.DEREGISTERED],
            [Stage.QUIET_MOMENTS] * 4,
        ),
        (
            [E.REQUESTED, E.STAGE_OVER, E.STAGE_OVER, E.STAGE_OVER, E.STAGE_OVER],
            [Stage.QUIET_MOMENTS, Stage.AT_ONCE, Stage.GOODBYES, Stage.CLOSING, Stage.CLOSING],
        ),
        ([E.TERMINATED, E.TERMINATED], [Stage.QUIET_MOMENTS, Stage.GOODBYES]),
        (
            [E.DEREGISTERED, E.TERMINATED, E.TERMINATED],
            [Stage.QUIET_MOMENTS, Stage.QUIET_MOMENTS, Stage.GOODBYES],
        ),
        ([E.INTERRUPTED, E.TERMINATED, E.REQUESTED], [Stage.GOODBYES] * 3),
        (
            [E.TERMINATED, E.STAGE_OVER, E.INTERRUPTED],
            [Stage.QUIET_MOMENTS, Stage.AT_ONCE, Stage.GOODBYES],
        ),
        ([E.DEREGISTERED, E.CALLS_OVER], [Stage.QUIET_MOMENTS, Stage.CLOSING]),
    ],
    ids=[
        "serving", "one drain, whatever begins it", "time", "two SIGTERM",
        "SIGTERM of ECS after the delay, and another", "SIGINT", "SIGINT later", "no call",
    ],
)  # fmt: skip
def test_stage_follows_from_the_events(
    events: Sequence[DrainEvent], expected: Sequence[Stage]
) -> None:
    assert stages(events) == expected


@pytest.mark.parametrize(
    ("events", "lingers"),
    [
        ([E.DEREGISTERED], True),
        ([E.REQUESTED, E.STAGE_OVER], True),
        ([E.DEREGISTERED, E.TERMINATED], False),
        ([E.INTERRUPTED], False),
    ],
)
def test_process_without_calls_stays_a_moment_unless_a_signal_ends_it(
    events: Sequence[DrainEvent], lingers: bool
) -> None:
    drain = Drain()
    for event in events:
        drain = drain.after(event)

    assert drain.lingers is lingers


@given(st.lists(EVENTS | st.just(E.CALLS_OVER), max_size=12))
def test_no_event_makes_a_drain_longer_than_its_limit(events: list[DrainEvent]) -> None:
    """A stage never comes back, and their longest times together are below `DRAIN_SECONDS`."""
    found = stages(events)

    assert found == sorted(found)
    assert SHARES[Stage.QUIET_MOMENTS] > LINGER_SHARE
    assert sum(SHARES.values()) == TOTAL_SHARE < 1


def test_drain_fits_into_the_deregistration_delay_and_the_stop_timeout() -> None:
    """The delay is 180 s; a task of a large service looks every 75 s, with jitter."""
    assert Settings().drain_seconds <= 120 - 20
    assert 75 * 1.1 + Settings().drain_seconds * TOTAL_SHARE < 180


CALLS: dict[str, Callable[[], it.Call]] = {
    "quiet": it.listening,
    "the model thinks": it.thinking,
    "the agent speaks": lambda: it.speaking("We have three kinds, "),
    "a tool runs": lambda: it.using("order"),
    "the agent says goodbye": lambda: it.leaving(HangUp()),
}


@pytest.mark.parametrize("make", CALLS.values(), ids=CALLS)
@given(events=st.lists(EVENTS, max_size=8), is_heard=st.booleans())
def test_call_gets_one_hand_over_or_goodbye_in_whatever_order_events_come(
    make: Callable[[], it.Call], events: list[DrainEvent], is_heard: bool
) -> None:
    """Deregistration, `POST /drain`, SIGTERM, SIGINT, once or more often, and time."""
    call, drain, done = make(), Drain(), list[Action]()
    ending = [E.TERMINATED, *[E.STAGE_OVER] * 3]  # the platform ends the process sooner or later

    for event in [*events, *ending]:
        before, drain = drain, drain.after(event)
        if drain.stage is not before.stage and drain.stage in MODES:
            done += call.happens(ev.ServiceStopping(MODES[drain.stage]))
        if is_heard:
            done += call.happens(it.agent_off())

    assert drain.stage is Stage.CLOSING
    assert sum(isinstance(each, EndCall) for each in done) == 1
