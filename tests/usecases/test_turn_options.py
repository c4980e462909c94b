"""Turn-taking of a use case as limits of its calls."""

from __future__ import annotations

from dataclasses import replace

from agent.call.answer_kind import AnswerKind, ExpectedAnswer
from agent.call.config import Limits
from agent.usecases.turn_options import TurnOptions


def test_a_use_case_without_options_has_the_limits_of_all_calls() -> None:
    assert TurnOptions().limits == Limits()


def test_options_become_limits() -> None:
    options = TurnOptions(
        end_of_turn_ms=1_500,
        end_of_number_ms=4_000,
        silence_ms=(9_000,),
        moment_ms=(60_000,),
        longest_turn_ms=90_000,
        ends_after_call_back=True,
        resumes_after_noise=False,
        speculates=False,
        expects={"Order number": "6 digits", "birthday": "date"},
        guards_commitments=True,
        longest_reply=600,
    )

    assert options.limits == replace(
        Limits(),
        end_of_turn_ms=1_500,
        end_of_number_ms=4_000,
        idle_ms=(9_000,),
        moment_ms=(60_000,),
        longest_turn_ms=90_000,
        ends_after_call_back=True,
        resumes_after_noise=False,
        speculates=False,
        expects={
            "order number": ExpectedAnswer(AnswerKind.NUMBER, 6),
            "birthday": ExpectedAnswer(AnswerKind.DATE),
        },
        guards_commitments=True,
        longest_reply=600,
    )
