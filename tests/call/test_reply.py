"""One reply at a time, each with a new number."""

from __future__ import annotations

import pytest

from agent.call.actions import CancelReply
from agent.call.messages import Choice, StopReason
from agent.call.turn import Reply


def test_a_reply_is_current_from_start_to_end() -> None:
    """Another number never is."""
    reply = Reply()
    before = reply.is_current(0)

    number = reply.start(Choice.AUTO)

    assert (before, number, reply.is_current(1), reply.is_current(0)) == (False, 1, True, False)
    assert reply.finish(StopReason.END) == ""
    assert not reply.is_current(1)


def test_a_reply_is_dropped_once() -> None:
    """There is nothing to cancel the second time, nor after the end."""
    reply = Reply()

    before = reply.drop()
    reply.start(Choice.NONE)

    assert before == []
    assert reply.drop() == [CancelReply(1)]
    assert reply.drop() == []
    assert reply.choice is Choice.NONE


def test_a_new_reply_starts_with_nothing_said() -> None:
    """Words that waited in the last one are lost with it."""
    reply = Reply()
    reply.start(Choice.AUTO)
    reply.feed("One two ")
    was_pending = reply.is_pending
    reply.fail()

    number = reply.start(Choice.AUTO)

    assert (number, was_pending, reply.is_pending, reply.has_spoken) == (2, True, False, False)


@pytest.mark.parametrize(
    ("stop", "rest"),
    [
        (StopReason.END, "two. Thr"),
        (StopReason.LENGTH, "two."),
        (StopReason.BLOCKED, ""),
        (StopReason.UNKNOWN, "two. Thr"),
    ],
)
def test_how_a_reply_stops_decides_about_its_last_words(stop: StopReason, rest: str) -> None:
    """Cut short: the unfinished sentence goes; blocked: all that was not said."""
    reply = Reply()
    reply.start(Choice.AUTO)
    first = reply.feed("One two. Thr")

    assert (first, reply.finish(stop)) == ("One ", rest)
    assert reply.has_spoken
    assert not reply.is_active
