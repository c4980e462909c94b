"""Decisions to end a call."""

from __future__ import annotations

from agent.conversation.ending import BY_AGENT, HANDED_OVER, IDLE, TIME_IS_UP, TROUBLE, transfer
from agent.conversation.events import EndReason
from agent.conversation.handoff import HandoffData, ReasonCode
from agent.conversation.outcome import Handoff
from agent.conversation.usecase import Phrases


def test_only_a_goodbye_can_be_taken_back() -> None:
    """A transfer, trouble, the last minute and a stopping process stand."""
    endings = [BY_AGENT, IDLE, TIME_IS_UP, TROUBLE, HANDED_OVER, transfer(Handoff("wish"))]

    assert [one.is_revocable for one in endings] == [True, True, False, False, False, False]


def test_each_ending_has_its_reason() -> None:
    """Practice section 15: a closed list."""
    endings = [BY_AGENT, IDLE, TIME_IS_UP, TROUBLE, HANDED_OVER, transfer(Handoff("wish"))]

    assert [one.reason for one in endings] == [
        EndReason.AGENT_END,
        EndReason.IDLE,
        EndReason.MAX_DURATION,
        EndReason.ERROR_MODEL,
        EndReason.DRAIN,
        EndReason.TRANSFER,
    ]


def test_a_transfer_tells_why_and_what() -> None:
    """The action URL dials a person."""
    ending = transfer(Handoff("wish", "Two pizzas."))

    assert ending.handoff == HandoffData(ReasonCode.LIVE_AGENT, "wish", "Two pizzas.")
    assert ending.farewell(Phrases()) == "I will connect you with a person now."
    assert BY_AGENT.farewell(Phrases()) == "Thank you for calling. Goodbye."
