"""What each row of the scripted day counts, on calls written by hand; times are seconds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from agent.scenarios.day.day_table import (
    answered_early,
    answered_over_voice,
    came_in_pieces,
    cut_by_haste,
    day_table,
    doubly_answered,
    hung_up_on,
    interruptions_ignored,
    left_unanswered,
    nods_taken_as_interruptions,
    noise_stops_for_good,
    seconds_to_answer,
)
from agent.scenarios.day.observed_call import (
    ObservedCall,
    ObservedReaction,
    ObservedTurn,
    SpokenCycle,
)
from agent.scenarios.day.scripted_call import CallerManner, Reaction

OPENING, ENDING = "The crust is thin.", "The garden is open."
PIECES = ((10.0, 11.0), (12.0, 13.0))
"""A caller who speaks, pauses for a second, and speaks on."""


def turn(
    manner: CallerManner = CallerManner.PIECES,
    *,
    voices: tuple[tuple[float, float], ...] = PIECES,
    prompts: int = 2,
    until: float = 20.0,
    reaction: ObservedReaction | None = None,
    is_hung_up_on: bool = False,
) -> ObservedTurn:
    after = 40.0 if reaction else until
    return ObservedTurn(manner, voices, prompts, until, after, reaction, is_hung_up_on)


def call(
    of: ObservedTurn, *opened: float | tuple[float, str], cuts: Sequence[float] = ()
) -> list[ObservedCall]:
    """One call of one turn; cycles by when they open, with `Yes.` unless a text is given."""
    cycles = [(at, "Yes.") if isinstance(at, float) else at for at in opened]
    spoken = tuple(SpokenCycle(at, text) for at, text in cycles)
    return [ObservedCall(0, "en-US", (of,), spoken, tuple(cuts))]


def after(kind: Reaction, heard: str) -> ObservedTurn:
    """A complete sentence, a reply, and a reaction from 20 s to 21 s with what was heard then."""
    act = ObservedReaction(kind, 20.0, 21.0, OPENING, ENDING, heard)
    sentence = CallerManner.SENTENCE
    return turn(sentence, voices=((10.0, 12.0),), prompts=1, until=20.0, reaction=act)


@pytest.mark.parametrize(
    ("opened", "early"),
    [
        (13.7, 0),  # after the last word
        (13.0, 0),  # with the end of the last word
        (12.5, 1),  # over the last words
        (11.7, 1),  # in the pause
        (9.0, 0),  # before the caller began
    ],
)
def test_an_answer_is_early_until_the_last_word_is_over(opened: float, early: int) -> None:
    assert answered_early(call(turn(), opened), came_in_pieces) == (early, 1)


def test_several_early_answers_are_one_turn_answered_early() -> None:
    assert answered_early(call(turn(), 11.5, 11.8, 12.5), came_in_pieces) == (1, 1)


def test_a_turn_in_one_prompt_did_not_come_in_pieces() -> None:
    merged = turn(CallerManner.ADDRESS, prompts=1)

    assert answered_early(call(merged, 11.5), came_in_pieces) == (0, 0)
    assert answered_over_voice(call(merged, 12.5)) == (0, 0)


@pytest.mark.parametrize(("opened", "over"), [(12.5, 1), (11.5, 0), (13.5, 0), (12.0, 0)])
def test_an_answer_is_over_the_voice_while_the_voice_is_heard(opened: float, over: int) -> None:
    assert answered_over_voice(call(turn(), opened)) == (over, 1)


@pytest.mark.parametrize(
    ("opened", "cuts", "sentences"),
    [
        ((11.7,), [12.0], 1),
        ((11.7, 12.4), [12.0, 12.4], 2),
        ((12.4,), [12.4, 12.6, 12.8], 1),  # each further token is cut as well
        ((11.7,), [], 0),  # over before the caller went on
        ((13.7,), [15.0], 0),  # a real interruption
    ],
)
def test_a_sentence_is_cut_by_haste_when_the_same_turn_goes_on(
    opened: tuple[float, ...], cuts: list[float], sentences: int
) -> None:
    assert cut_by_haste(call(turn(), *opened, cuts=cuts)) == sentences


@pytest.mark.parametrize(
    ("opened", "found"),
    [
        ((13.7,), (0, 1)),
        ((13.7, 15.0), (1, 1)),
        ((13.7, 15.0, 16.0), (1, 1)),  # counted as one
        ((11.7, 13.7), (0, 1)),  # the first one was early, not double
        ((13.7, 21.0), (0, 1)),  # the second one is to the caller's next act
        ((19.5, 19.8), (0, 0)),  # none in time: words into a silence
    ],
)
def test_a_double_answer_is_two_cycles_before_the_next_act(
    opened: tuple[float, ...], found: tuple[int, int]
) -> None:
    assert doubly_answered(call(turn(), *opened)) == found


def test_words_into_a_silence_that_was_asked_for_are_no_double_answer() -> None:
    assert doubly_answered(call(turn(CallerManner.MOMENT), 13.7, 18.0)) == (0, 0)


@pytest.mark.parametrize(
    ("heard", "opened", "taken"),
    [
        (f"is thin. {ENDING}", [], 0),  # the reply goes on
        (ENDING, [(22.0, ENDING)], 0),  # it was stopped, and is resumed
        ("is thin.", [], 1),  # it stops for good
        (f"{ENDING} Go on.", [(22.0, "Go on.")], 1),  # the nod is answered, too
        ("Go on.", [(22.0, "Go on.")], 1),
    ],
)
@pytest.mark.parametrize("kind", [Reaction.NOD, Reaction.CUTTING_NOD])
def test_a_nod_is_taken_as_an_interruption_unless_the_reply_goes_on(
    kind: Reaction, heard: str, opened: list[tuple[float, str]], taken: int
) -> None:
    found = nods_taken_as_interruptions(call(after(kind, heard), (13.0, OPENING), *opened))

    assert found == (taken, 1)


@pytest.mark.parametrize(
    ("heard", "opened", "stopped"),
    [
        (f"Bread is here. {ENDING}", [22.0], 0),
        (f"as I said: {ENDING}", [24.9], 0),  # just within 4 s
        (ENDING, [25.1], 1),  # too late
        ("", [], 1),  # never
        ("Are you still there?", [22.0], 1),  # something else
        (f"{OPENING} Bread is here. {ENDING}", [22.0], 1),  # from the beginning
        (f"{ENDING} {ENDING}", [22.0, 24.0], 1),  # twice
    ],
)
def test_a_noise_stops_a_reply_for_good_unless_it_is_resumed_once_from_the_heard_point(
    heard: str, opened: list[float], stopped: int
) -> None:
    found = noise_stops_for_good(call(after(Reaction.NOISE, heard), (13.0, OPENING), *opened))

    assert found == (stopped, 1)


@pytest.mark.parametrize(
    ("heard", "opened", "ignored"),
    [
        ("I see.", [22.0], 0),
        (ENDING, [22.0], 1),  # it goes on with the old reply
        ("", [], 1),  # silence
        ("Are you still there?", [28.0], 1),  # an answer that comes after 7 s is none
    ],
)
def test_an_interruption_is_ignored_without_an_answer_or_with_the_old_one(
    heard: str, opened: list[float], ignored: int
) -> None:
    interrupted = call(after(Reaction.INTERRUPTION, heard), (13.0, OPENING), *opened)

    assert interruptions_ignored(interrupted) == (ignored, 1)


def test_a_caller_who_comes_back_in_time_was_not_hung_up_on() -> None:
    patient = turn(CallerManner.MOMENT)
    gone = turn(CallerManner.MOMENT, is_hung_up_on=True)

    assert hung_up_on([*call(patient, 13.7), *call(gone, 13.7), *call(turn())]) == (1, 2)


def test_a_turn_is_unanswered_without_words_within_six_seconds_of_the_last_one() -> None:
    in_time, late, silent = call(turn(), 18.9), call(turn(), 19.1), call(turn())

    assert left_unanswered([*in_time, *late, *silent, *call(turn(), 11.5)]) == (3, 4)


def test_turns_that_the_caller_could_not_begin_are_unanswered() -> None:
    [broken_off] = call(turn(), 13.7)

    assert left_unanswered([replace(broken_off, unspoken=2)]) == (2, 3)


def test_the_time_to_the_answer_is_from_the_end_of_the_voice_of_complete_sentences() -> None:
    sentence = turn(CallerManner.SENTENCE, voices=((10.0, 12.0),), prompts=1)
    waits = seconds_to_answer(
        [*call(sentence, 13.25, 15.0), *call(sentence), *call(turn(), 13.1)],
    )

    assert waits == [1.25, 6.0], "the second one has no answer, the third is in pieces"


def test_no_figure_of_an_empty_day_is_reached_but_the_number_that_is_below_nothing() -> None:
    assert [row.kind for row in day_table([], 0.6) if row.is_reached] == []


def test_a_share_is_reached_below_its_limit_and_a_nought_by_none() -> None:
    numbers = [turn(CallerManner.NUMBER) for _ in range(50)]
    one_early = [*call(numbers[0], 11.5), *(each for of in numbers[1:] for each in call(of, 13.7))]
    of_fifty_one = [*one_early, *call(turn(CallerManner.NUMBER), 13.7)]

    at_limit, below = day_table(one_early, 0.6)[0], day_table(of_fifty_one, 0.6)[0]

    assert (at_limit.measured, at_limit.wanted) == ("2.0% (1 of 50)", "< 2%")
    assert (at_limit.is_reached, below.is_reached) == (False, True)
    assert (below.count, below.total, below.value) == (1, 51, 1 / 51)


def test_the_rows_are_those_of_the_table() -> None:
    assert [f"{row.kind} | {row.wanted}" for row in day_table(call(turn()) * 1000, 0.6)] == [
        "dictated numbers answered before they were complete | < 2%",
        "turns in several prompts answered early | < 10%",
        "turns in several prompts answered over the voice | 0",
        "addresses answered early | < 10%",
        "hesitations answered early | < 10%",
        "self-corrections answered early | < 10%",
        "sentences of the agent cut by its own haste | < 60",
        "double answers | 0",
        "nods taken as interruptions, when they arrive as prompts | < 5%",
        "wordless noise stops an answer that never goes on | 0",
        "callers who asked for a moment and were hung up on | 0",
        "real interruptions ignored | 0",
        "median time to the answer | <= 1.40 s",
        "turns without an answer | 0",
    ]
