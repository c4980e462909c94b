"""What follows a relay session or a transfer: the tables, and what holds for every request."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.call.after_session import (
    AFTER_FAILURE,
    MOST_ATTEMPTS,
    ActionReport,
    Apologize,
    AskAgain,
    CallOver,
    HangUpCall,
    NextStep,
    Reconnect,
    SessionFault,
    SessionStatus,
    Transfer,
    TransferOutcome,
    after_session,
    after_store_error,
    is_lost_connection,
)
from agent.call.lifecycle import CUT_SHORT, HANDED_OVER, QUIET, HandoffData, ReasonCode
from agent.call.resumption import ResumeCause

ENDED, COMPLETED = SessionStatus.ENDED, SessionStatus.COMPLETED
GOODBYE = HandoffData(ReasonCode.GOODBYE)
LIVE_AGENT = HandoffData(ReasonCode.LIVE_AGENT, "user-requested", "Cold pizza.")

HANDOFFS = st.none() | st.builds(
    HandoffData, st.sampled_from(ReasonCode), st.sampled_from(["", QUIET, "user-requested"])
)
REPORTS = st.builds(
    ActionReport,
    status=st.sampled_from(SessionStatus),
    is_call_completed=st.booleans(),
    handoff=HANDOFFS,
    transfer=st.none() | st.sampled_from(TransferOutcome),
    repeated=st.none() | st.sampled_from(ResumeCause),
)


def _decide(report: ActionReport, fault: SessionFault) -> NextStep:
    return after_session(report) or AFTER_FAILURE[fault]


@pytest.mark.parametrize(
    ("report", "step"),
    [
        (ActionReport(is_call_completed=True), CallOver()),
        (ActionReport(COMPLETED), CallOver()),
        (ActionReport(ENDED, is_call_completed=True, handoff=LIVE_AGENT), CallOver()),
        (ActionReport(transfer=TransferOutcome.COMPLETED), HangUpCall()),
        (ActionReport(transfer=TransferOutcome.UNANSWERED), Reconnect(ResumeCause.NOBODY)),
        (ActionReport(transfer=TransferOutcome.CALLER_GONE), CallOver()),
        (
            ActionReport(transfer=TransferOutcome.COMPLETED, repeated=ResumeCause.LOST),
            HangUpCall(),
        ),
        (ActionReport(repeated=ResumeCause.HANDED_OVER), Reconnect(ResumeCause.HANDED_OVER)),
        (ActionReport(ENDED, handoff=GOODBYE), HangUpCall()),
        (ActionReport(ENDED, handoff=HANDED_OVER.handoff), Reconnect(ResumeCause.HANDED_OVER)),
        (ActionReport(ENDED, handoff=CUT_SHORT.handoff), Reconnect(ResumeCause.LOST)),
        (
            ActionReport(ENDED, handoff=LIVE_AGENT),
            Transfer(LIVE_AGENT, Reconnect(ResumeCause.NOBODY)),
        ),
        (ActionReport(ENDED), None),
        (ActionReport(SessionStatus.FAILED, handoff=GOODBYE), None),
        (ActionReport(), None),
    ],
)
def test_first_row_that_matches_decides(report: ActionReport, step: NextStep | None) -> None:
    assert after_session(report) == step


@given(REPORTS, st.sampled_from(SessionFault))
def test_completed_call_is_never_continued(report: ActionReport, fault: SessionFault) -> None:
    """And only the end of the call, or of the caller, is answered with nothing."""
    is_over = (
        report.is_call_completed
        or report.status is COMPLETED
        or report.transfer is TransferOutcome.CALLER_GONE
    )

    assert isinstance(_decide(report, fault), CallOver) == is_over


@given(REPORTS, st.sampled_from(SessionFault))
def test_caller_who_is_there_is_hung_up_on_only_when_the_call_is_done(
    report: ActionReport, fault: SessionFault
) -> None:
    """A goodbye, a person who took the call, or no audio from the caller."""
    if isinstance(_decide(report, fault), HangUpCall):
        said_goodbye = report.handoff is not None and report.handoff.code is ReasonCode.GOODBYE
        assert (
            report.transfer is TransferOutcome.COMPLETED
            or (report.status is ENDED and said_goodbye)
            or fault is SessionFault.CALLER_GONE
        )


@given(REPORTS, st.sampled_from(SessionFault), st.lists(st.booleans(), max_size=40))
def test_every_call_comes_to_an_answer(
    report: ActionReport, fault: SessionFault, reads: list[bool]
) -> None:
    """Without a transfer target, and however often the table fails, the steps are bounded."""
    step, attempts = _decide(report, fault), 0
    for can_read in [*reads, *[False] * (MOST_ATTEMPTS + 1)]:
        if isinstance(step, Transfer):
            step = step.without_target
        if not isinstance(step, Reconnect):
            break
        if can_read:
            return
        following = after_store_error(step.cause, attempts)
        if isinstance(following, AskAgain):
            attempts = following.attempt
            following_report = ActionReport(repeated=following.cause)
            assert after_session(following_report) == Reconnect(step.cause)
            continue
        step = following

    assert isinstance(step, CallOver | HangUpCall | Apologize)
    assert attempts <= MOST_ATTEMPTS


def test_request_is_repeated_until_the_last_attempt() -> None:
    first = after_store_error(ResumeCause.LOST, 0)
    last = after_store_error(ResumeCause.NOBODY, MOST_ATTEMPTS - 1)

    assert first == AskAgain(ResumeCause.LOST, 1)
    assert last == AskAgain(ResumeCause.NOBODY, MOST_ATTEMPTS)
    assert after_store_error(ResumeCause.LOST, MOST_ATTEMPTS) == Apologize()


@pytest.mark.parametrize(
    ("close_code", "sent_end", "is_lost"),
    [
        (1000, False, False),
        (1001, False, False),
        (1006, False, True),
        (1007, False, True),
        (1011, False, True),
        (None, False, True),
        (1006, True, False),
        (None, True, False),
        (1000, True, False),
    ],
)
def test_close_code_tells_a_lost_connection_from_a_hang_up(
    close_code: int | None, sent_end: bool, is_lost: bool
) -> None:
    """After our own `end` frame no code means a lost connection."""
    assert is_lost_connection(close_code, sent_end=sent_end) is is_lost
