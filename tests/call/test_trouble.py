"""Failures of the model in a row."""

from __future__ import annotations

from agent.call.config import Phrases
from agent.call.turn import ModelFailurePolicy

PHRASES = Phrases(trying_again=("Wait.", "Still."))


def failing(times: int) -> ModelFailurePolicy:
    trouble = ModelFailurePolicy()
    for _ in range(times):
        trouble.grow()
    return trouble


def test_only_the_first_failure_is_new() -> None:
    """After it the caller has heard an apology."""
    assert [failing(times).has_just_begun for times in (0, 1, 2)] == [False, True, False]


def test_the_caller_is_asked_for_patience_in_other_words() -> None:
    """The last of them are said again."""
    said = [failing(times).trying_again(PHRASES) for times in (2, 3, 4)]

    assert said == ["Wait.", "Still.", "Still."]


def test_trouble_is_hopeless_with_a_person_or_without_patience() -> None:
    """Until then we try again."""
    trouble = failing(2)
    before = [trouble.is_hopeless(can_hand_off=True), trouble.is_hopeless(can_hand_off=False)]

    trouble.lose_patience()

    assert (before, trouble.is_hopeless(can_hand_off=False)) == ([True, False], True)


def test_an_answer_forgives_all() -> None:
    """The next failure is a first one, and patience is new."""
    trouble = failing(3)
    trouble.lose_patience()

    trouble.end()
    trouble.grow()

    assert trouble.has_just_begun
    assert not trouble.is_hopeless(can_hand_off=False)
