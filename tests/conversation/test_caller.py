"""Who counts as a caller we can recognise."""

from __future__ import annotations

import pytest

from agent.conversation.caller import UNKNOWN, identify


@pytest.mark.parametrize(
    ("caller", "identity"),
    [
        ("+15550100001", "+15550100001"),
        (" +15550100001 ", "+15550100001"),
        ("client:ada", "client:ada"),
        ("client:ada.l@example-1.com", "client:ada.l@example-1.com"),
    ],
)
def test_numbers_and_clients_are_recognised(caller: str, identity: str) -> None:
    """What is kept for them is found when they ring again."""
    assert identify(caller) == identity


@pytest.mark.parametrize(
    "caller",
    [
        "", " ", "anonymous", "Anonymous", "unknown", "Restricted", "+266696687", "+7378742883",
        "sip:ada@example.com", "whatsapp:+15550100001", "client:", "client:a b", "+0123456789",
        "15550100001", "+1555", "+15550100001;x", "restaurantOrderingUseCase",
    ],
)  # fmt: skip
def test_all_others_are_the_unknown_caller(caller: str) -> None:
    """They share no profile because they share a word, and reach no other item of the table."""
    assert identify(caller) == UNKNOWN
