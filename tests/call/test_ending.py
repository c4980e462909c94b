"""Decisions to end a call."""

from __future__ import annotations

from agent.call.actions import Handoff
from agent.call.config import Phrases
from agent.call.ending import (
    BY_AGENT,
    HANDED_OVER,
    IDLE,
    SPENT,
    TIME_IS_UP,
    TROUBLE,
    HandoffData,
    ReasonCode,
    transfer,
)
from agent.call.events import EndReason
from agent.call.history import AgentSaid, CallerSaid, Fact, InputMode, Note


def test_only_a_goodbye_can_be_taken_back() -> None:
    """A transfer, trouble, the last minute and a stopping process stand."""
    endings = [BY_AGENT, IDLE, TIME_IS_UP, SPENT, TROUBLE, HANDED_OVER, transfer(Handoff("wish"))]

    assert [one.is_revocable for one in endings] == [True, True, *[False] * 5]


def test_each_ending_has_its_reason() -> None:
    """Practice section 15: a closed list."""
    endings = [BY_AGENT, IDLE, TIME_IS_UP, SPENT, TROUBLE, HANDED_OVER, transfer(Handoff("wish"))]

    assert [one.reason for one in endings] == [
        EndReason.AGENT_END,
        EndReason.IDLE,
        EndReason.MAX_DURATION,
        EndReason.CALLER_SPEND,
        EndReason.ERROR_MODEL,
        EndReason.DRAIN,
        EndReason.TRANSFER,
    ]


def test_a_transfer_tells_why_and_what() -> None:
    """The action URL dials a person."""
    ending = transfer(Handoff("wish", "Two pizzas.", {"name": "Ada"}), language="es-US")

    assert ending.handoff == HandoffData(
        ReasonCode.LIVE_AGENT, "wish", "Two pizzas.", {"name": "Ada"}, "es-US"
    )
    assert ending.farewell(Phrases()) == "I will connect you with a person now."
    assert BY_AGENT.farewell(Phrases()) == "Thank you for calling. Goodbye."


def test_a_summary_of_the_model_is_not_replaced() -> None:
    """It knows more than the last sentences."""
    ending = transfer(Handoff("wish", "Two pizzas."), [CallerSaid("A person, please.")])

    assert ending.handoff.summary == "Two pizzas."


def test_without_a_summary_the_caller_speaks_for_themselves() -> None:
    """The last three sentences, and neither keys nor our own words (practice section 17)."""
    facts: list[Fact] = [
        CallerSaid("Hello."),
        CallerSaid("Two pizzas."),
        AgentSaid("Your card number, please?"),
        CallerSaid("4111111111111111", InputMode.KEYPAD),
        CallerSaid("That was it."),
        Note("The caller pressed 4111."),
        CallerSaid("A person, please."),
    ]

    ending = transfer(Handoff("wish"), facts)

    assert ending.handoff.summary == (
        "The caller's last words: Two pizzas. / That was it. / A person, please."
    )


def test_of_long_sentences_the_end_is_kept() -> None:
    """What was said last is why they want a person."""
    facts = [CallerSaid("a" * 999), CallerSaid("A person, please.")]

    ending = transfer(Handoff("wish"), facts)

    assert ending.handoff.summary == f"The caller's last words: {'a' * 230} / A person, please."


def test_of_a_caller_who_said_nothing_there_is_no_summary() -> None:
    """Keys alone are not told."""
    ending = transfer(Handoff("wish"), [CallerSaid("0", InputMode.KEYPAD)])

    assert ending.handoff == HandoffData(ReasonCode.LIVE_AGENT, "wish")
