"""How far a call has come, and how it ends."""

from __future__ import annotations

import pytest

from agent.call import events as ev
from agent.call.actions import (
    Effect,
    EndCall,
    Handoff,
    HangUp,
    SendDigits,
    StartTimer,
    StopTimer,
    SwitchLanguage,
    Timer,
    ToolOutcome,
)
from agent.call.config import CallConfig, Limits
from agent.call.ending import BY_AGENT, IDLE, STOPPED, TIME_IS_UP, TROUBLE
from agent.call.events import EndReason
from agent.call.history import CallerSaid, History
from agent.call.lifecycle import CallLifecycle
from agent.call.messages import Usage
from agent.call.timers import TimerSet

LIMITS = Limits(duration_ms=100_000, duration_warning_ms=10_000, closing_ms=5_000)
BRIEF = CallConfig(language="en-US")


def new() -> CallLifecycle:
    return CallLifecycle(History(), TimerSet())


def begun() -> CallLifecycle:
    course = new()
    course.begin(LIMITS, 0)
    return course


def closing() -> CallLifecycle:
    course = begun()
    course.close(BY_AGENT, LIMITS)
    return course


def gone() -> CallLifecycle:
    course = begun()
    course.lose(EndReason.CALLER_HANGUP)
    return course


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (ev.CallStarted(), [True, False, False, False]),
        (ev.CallerSpoke("Yes."), [False, True, True, False]),
        (ev.CallerInterrupted(""), [False, True, True, False]),
        (ev.TokensCounted(1, Usage(1, 1)), [False, True, True, False]),
        (ev.CallerPressed("1"), [False, True, False, False]),
        (ev.PlaybackReported(ev.Playback.CALLER_ON), [False, True, False, False]),
        (ev.Summarized(1, "Two pizzas."), [False, True, False, False]),
        (ev.SummaryFailed(1), [False, True, False, False]),
        (ev.AllowanceSpent(), [False, True, False, False]),
        (ev.ServiceStopping(), [True, True, False, False]),
        (ev.CallEnded(), [True, True, True, False]),
        (ev.ToolFinished("tool00001", ToolOutcome("{}")), [True, True, True, True]),
        (ev.CallConfigChanged(BRIEF), [True, True, True, True]),
    ],
)
def test_each_event_has_its_season(event: ev.Event, expected: list[bool]) -> None:
    """Before the call, while it is open, while the carrier ends it, and after it."""
    seasons = [new(), begun(), closing(), gone()]

    assert [course.expects(event) for course in seasons] == expected


def test_the_time_before_a_break_counts() -> None:
    """A call that has lasted too long already is warned at once."""
    courses = [new().begin(LIMITS, elapsed_ms) for elapsed_ms in (0, 60_000, 95_000)]

    assert courses == [
        StartTimer(Timer.DURATION, 1, 90_000),
        StartTimer(Timer.DURATION, 1, 30_000),
        StartTimer(Timer.DURATION, 1, 1),
    ]


def test_the_time_is_up_after_a_warning() -> None:
    """A call that ended anyway was not warned."""
    course = begun()
    course.plan(BY_AGENT)
    course.warn(LIMITS)
    course.plan(None)

    said = [(course.warn(LIMITS), course.is_time_up), (course.warn(LIMITS), course.is_time_up)]

    assert said == [
        (StartTimer(Timer.DURATION, 3, 10_000), False),
        (StartTimer(Timer.DURATION, 4, 10_000), True),
    ]


def test_the_carrier_is_told_to_end_and_not_waited_for() -> None:
    """Nothing else runs then."""
    course = begun()

    assert course.close(TROUBLE, LIMITS) == [
        StopTimer(Timer.DURATION),
        EndCall('{"reasonCode": "goodbye"}'),
        StartTimer(Timer.CLOSING, 2, 5_000),
    ]
    assert (course.is_open, course.is_closing, course.is_gone) == (False, True, False)
    assert course.reason is EndReason.ERROR_MODEL


def test_a_lost_line_has_the_reason_that_came_first() -> None:
    """The end that was carried out, or decided; without one it is what the line says."""
    closed, decided, neither = closing(), begun(), begun()
    closed.plan(STOPPED)
    decided.plan(IDLE)

    stopped = [course.lose(EndReason.ERROR_RELAY) for course in (closed, decided, neither)]

    assert stopped == [
        [StopTimer(Timer.CLOSING)],
        [StopTimer(Timer.DURATION)],
        [StopTimer(Timer.DURATION)],
    ]
    assert [course.reason for course in (closed, decided, neither)] == [
        EndReason.AGENT_END,
        EndReason.IDLE,
        EndReason.ERROR_RELAY,
    ]


def test_an_end_stands_unless_the_caller_may_take_it_back() -> None:
    """No end, one that can be taken back, one that cannot, and one that is carried out."""
    open_, revocable, final, closed = begun(), begun(), begun(), closing()
    revocable.plan(IDLE)
    final.plan(TIME_IS_UP)

    courses = [open_, revocable, final, closed]

    assert [course.is_settled for course in courses] == [False, False, True, True]
    assert [course.is_revocable for course in courses] == [False, True, False, False]


@pytest.mark.parametrize(
    ("effect", "was_awaited", "expected"),
    [
        (None, True, (None, [])),
        (HangUp(), True, (EndReason.AGENT_END, [])),
        (HangUp(), False, (None, [])),
        (Handoff("wish"), False, (EndReason.TRANSFER, [])),
        (SendDigits("1"), False, (None, [SendDigits("1")])),
    ],
)
def test_a_tool_may_change_the_course(
    effect: Effect | None, expected: tuple[EndReason | None, list[Effect]], *, was_awaited: bool
) -> None:
    """A hang-up that nobody waited for is dropped: the caller has gone on."""
    course = begun()

    actions = course.take_effect(effect, BRIEF, was_awaited=was_awaited)

    assert (course.ending.reason if course.ending else None, actions) == expected


def test_a_person_is_told_the_language_and_the_last_words() -> None:
    """That of the use case until it is switched."""
    course = CallLifecycle(History([CallerSaid("A person, please.")]), TimerSet())

    before = course.transfer(Handoff("wish"), BRIEF)
    switched = course.take_effect(SwitchLanguage("es-US"), BRIEF, was_awaited=True)
    after = course.transfer(Handoff("wish"), BRIEF)

    assert switched == [SwitchLanguage("es-US")]
    assert (before.handoff.language, after.handoff.language) == ("en-US", "es-US")
    assert before.handoff.summary == "The caller's last words: A person, please."
