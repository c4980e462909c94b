"""Fillers and re-prompts: their wording varies, their number is limited."""

from __future__ import annotations

from agent.call.config import Limits, Phrases
from agent.call.turn_taking import FillerPolicy

PHRASES = Phrases(fillers=("One.", "Two."), still_there=("There?", "Hello?"))


def test_fillers_vary_and_run_out() -> None:
    """At most three in a turn."""
    patience = FillerPolicy(PHRASES, Limits(filler_count=3))

    said = []
    while patience.may_fill:
        said.append(patience.filler(""))

    assert said == ["One.", "Two.", "One."]


def test_a_tools_own_filler_comes_first() -> None:
    """Then those of the use case, without repeating the first."""
    patience = FillerPolicy(PHRASES, Limits())

    assert [patience.filler("Oven."), patience.filler("Oven.")] == ["Oven.", "Two."]


def test_re_prompts_vary_run_out_and_wait_longer() -> None:
    """The last wait stands for all that follow."""
    patience = FillerPolicy(PHRASES, Limits(idle_ms=(8_000, 10_000, 12_000)))

    said = []
    waits = [patience.idle_ms]
    while words := patience.reprompt():
        said.append(words)
        waits.append(patience.idle_ms)

    assert said == ["There?", "Hello?", "There?"]
    assert waits == [8_000, 10_000, 12_000, 12_000]


def test_a_turn_of_the_caller_gives_patience_back() -> None:
    """Any sign resets the counts."""
    patience = FillerPolicy(PHRASES, Limits(idle_ms=(8_000, 10_000), filler_count=1))
    patience.filler("")
    patience.reprompt()

    patience.begin_turn()

    assert patience.may_fill
    assert patience.idle_ms == 8_000
    assert patience.reprompt() == "There?"
