"""The scripted day on servers that answer perfectly, hastily and not at all; and its callers."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from itertools import pairwise

import pytest

from agent.cli.evaluation.hosted_service import hosted_settings
from agent.cli.evaluation.scripted_day import play_part
from agent.scenarios.day.call_grammar import LANGUAGES, language_of, language_table, scripted_call
from agent.scenarios.day.day_table import day_table, nods_taken_as_interruptions
from agent.scenarios.day.observed_call import ObservedCall
from agent.scenarios.day.scripted_call import (
    CallerManner,
    CallerReaction,
    Reaction,
    ScriptedCall,
    ScriptedTurn,
    SpokenPiece,
)
from agent.scenarios.timing import ORDINARY
from agent.simulator.virtual_time import run_virtually
from tests.scenarios.day_services import (
    DayService,
    HastyService,
    LeavingService,
    PerfectService,
    day_of,
)
from tests.shipped import CONFIGURATION

TABLE_ROWS = 14
SAID = ("The crust is thin and crisp.", "The oven is made of stone.", "The garden is open.")


def reached(calls: list[ObservedCall]) -> list[str]:
    return [row.kind for row in day_table(calls, 0.6) if row.is_reached]


def script(*pieces: SpokenPiece, **changes: object) -> ScriptedCall:
    """A call of one turn at an ordinary pace: 2.7 words a second, 15 characters a second."""
    turn = ScriptedTurn(CallerManner.PIECES, pieces, SAID)
    one = replace(turn, **changes)  # type: ignore[arg-type] # of the right types below
    return ScriptedCall(0, "en-US", ORDINARY, is_punctuated=False, turns=(one,))


def finals(service: DayService) -> list[object]:
    return [
        frame["voicePrompt"]
        for frame in service.received
        if frame["type"] == "prompt" and frame["last"]
    ]


def played(service: DayService, call: ScriptedCall) -> ObservedCall:
    [observed] = run_virtually(service.play([call]))
    return observed


def test_a_perfect_service_reaches_every_figure() -> None:
    assert len(reached(day_of(PerfectService(), range(60)))) == TABLE_ROWS


def test_a_hasty_service_reaches_only_what_haste_helps() -> None:
    assert reached(day_of(HastyService(), range(60))) == [
        "median time to the answer",
        "turns without an answer",
    ]


def test_a_silent_service_does_not_pass_for_a_patient_one() -> None:
    kinds = reached(day_of(DayService(), range(60)))

    assert "dictated numbers answered before they were complete" in kinds
    assert "turns without an answer" not in kinds
    assert "median time to the answer" not in kinds
    assert "real interruptions ignored" not in kinds


def test_the_same_seed_gives_the_same_observations_and_another_one_does_not() -> None:
    settings = hosted_settings(str(CONFIGURATION))

    def day(seed: int) -> list[tuple[object, ...]]:
        calls = run_virtually(play_part(settings, seed, range(4), 0.6))
        return [
            (
                call.number,
                [each.text for each in call.cycles],
                [round(each.opened_at - call.turns[0].began_at, 6) for each in call.cycles],
                [row.measured for row in day_table([call], 0.6)],
            )
            for call in calls
        ]

    assert day(3) == day(3)
    assert day(3) != day(4)


def test_a_call_is_the_same_however_many_were_generated_before() -> None:
    alone = scripted_call(7, 12, "english")
    after_others = [scripted_call(7, number, "english") for number in range(20)][12]

    assert alone == after_others


def test_a_pause_of_the_relays_silence_ends_a_prompt_and_a_shorter_one_does_not() -> None:
    service = DayService()

    call = played(
        service, script(SpokenPiece("one two", 0.8), SpokenPiece("three", 0.5), SpokenPiece("four"))
    )

    assert finals(service) == ["one two", "three four"]
    [turn] = call.turns
    assert turn.prompts == 2
    pauses = [later[0] - earlier[1] for earlier, later in pairwise(turn.voices)]
    assert pauses == pytest.approx([0.8, 0.5])


def test_the_relay_waits_for_as_long_as_the_twiml_asks() -> None:
    service = DayService(speechTimeout="1500")

    played(service, script(SpokenPiece("one two", 0.8), SpokenPiece("three")))

    assert finals(service) == ["one two three"]


def test_partial_prompts_are_cumulative_and_come_only_where_the_twiml_asks() -> None:
    asked, unasked = DayService(partialPrompts="true"), DayService()
    words = SpokenPiece("I would like two", 0.4), SpokenPiece("small ones")

    for service in (asked, unasked):
        played(service, script(*words))

    prompts = [frame["voicePrompt"] for frame in asked.received if frame["type"] == "prompt"]
    assert prompts == [
        "I",
        "I would",
        "I would like",
        "I would like two",
        "I would like two small",
        "I would like two small ones",
        "I would like two small ones",
    ]
    assert finals(unasked) == ["I would like two small ones"]


def test_turns_after_the_agent_hung_up_are_unspoken_unless_a_moment_was_asked_for() -> None:
    one = script(SpokenPiece("hello"), reaction=None)
    [turn] = one.turns
    asked = replace(turn, manner=CallerManner.MOMENT, away=30.0)

    left = played(LeavingService(), replace(one, turns=(turn, turn, turn)))
    hung_up_on = played(LeavingService(), replace(one, turns=(asked, turn)))

    assert (len(left.turns), left.unspoken) == (1, 2)
    assert not left.turns[0].is_hung_up_on
    assert (hung_up_on.turns[0].is_hung_up_on, hung_up_on.unspoken) == (True, 0)


class _OneReply(DayService):
    """Says its one reply to the first prompt, and nothing after it."""

    async def prompted(self, words: str) -> None:
        if len(finals(self)) == 1:
            await self.say(" ".join(SAID))


@pytest.mark.parametrize(
    ("kind", "words", "prompts", "interrupts"),
    [
        (Reaction.NOISE, "", ["hello"], 1),
        (Reaction.NOD, "okay", ["hello", "okay"], 0),
        (Reaction.CUTTING_NOD, "oh nice", ["hello", "oh nice"], 1),
        (Reaction.INTERRUPTION, "no stop", ["hello", "no stop"], 1),
    ],
)
def test_a_reaction_comes_in_the_second_sentence_as_the_relay_reports_it(
    kind: Reaction, words: str, prompts: list[str], interrupts: int
) -> None:
    act = CallerReaction(kind, words, at_share=1.5, reply="Go on.")
    service = _OneReply()

    call = played(service, script(SpokenPiece("hello"), reaction=act))

    cuts = [frame for frame in service.received if frame["type"] == "interrupt"]
    assert (finals(service), len(cuts)) == (prompts, interrupts)
    [turn] = call.turns
    assert turn.reaction is not None
    assert (turn.reaction.opening, turn.reaction.ending) == (SAID[0], SAID[-1])
    assert turn.reaction.began_at == turn.until
    for frame in cuts:
        assert str(frame["utteranceUntilInterrupt"]).startswith(f"{SAID[0]} The oven")
    assert (SAID[-1] in turn.reaction.heard) is (kind is Reaction.NOD)


class _AtOnce(_OneReply):
    """Goes on a moment after it was stopped, before the words of the nod are there."""

    async def interrupted(self, heard: str) -> None:
        await asyncio.sleep(1.0)  # virtual time
        await self.say(" ".join(SAID).removeprefix(heard))


def test_the_words_of_a_nod_do_not_stop_a_reply_that_was_resumed_before_them() -> None:
    act = CallerReaction(Reaction.CUTTING_NOD, "oh nice", at_share=1.5, reply="Go on.")
    service = _AtOnce()

    call = played(service, script(SpokenPiece("hello"), reaction=act))

    [resumed] = [cycle for cycle in call.cycles if cycle.opened_at > call.cuts[0]]
    prompted = call.turns[0].reaction
    assert prompted is not None
    assert resumed.opened_at < prompted.ended_at
    assert len(call.cuts) == 1
    assert nods_taken_as_interruptions([call]) == (0, 1)


def test_a_nod_that_the_relay_filters_out_is_no_reaction() -> None:
    act = CallerReaction(Reaction.CUTTING_NOD, "okay", at_share=1.5, reply="Go on.")

    call = played(_OneReply(), script(SpokenPiece("hello"), reaction=act))

    assert call.turns[0].reaction is None
    assert call.cuts == ()


def test_words_that_are_delivered_twice_come_again_after_their_time() -> None:
    service = DayService()

    played(service, script(SpokenPiece("hello"), again_after=0.3))

    assert finals(service) == ["hello", "hello"]


def test_a_caller_who_asks_for_a_moment_says_nothing_until_it_is_over() -> None:
    service = _OneReply()

    call = played(service, script(SpokenPiece("hold on"), away=30.0))

    [turn] = call.turns
    assert turn.after - turn.complete_at >= 30.0
    assert not turn.is_hung_up_on


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_kind_of_turn_occurs_in_every_language(language: str) -> None:
    calls = [scripted_call(1, number, language) for number in range(200)]
    turns = [turn for call in calls for turn in call.turns]

    assert {turn.manner for turn in turns} == set(CallerManner)
    assert {turn.reaction.kind for turn in turns if turn.reaction} == set(Reaction)
    assert {call.language for call in calls} == {language_table(language).code}
    for turn in turns:
        assert "{" not in turn.reply + "".join(piece.words for piece in turn.pieces)
        assert all(0.3 <= piece.pause <= 2.0 for piece in turn.pieces[:-1])
        assert turn.pieces[-1].pause == 0.0


def test_what_is_spoken_in_pieces_has_a_pause_that_the_relay_notes() -> None:
    calls = [scripted_call(2, number, "english") for number in range(200)]
    in_pieces = [turn for call in calls for turn in call.turns if len(turn.pieces) > 1]

    assert all(max(piece.pause for piece in turn.pieces) >= 0.75 for turn in in_pieces)


def test_a_number_is_asked_for_or_announced_before_its_digits() -> None:
    table = language_table("english")
    asks = [ask for numbers in table.numbers.values() for ask in numbers.asks]
    announced = [lead for numbers in table.numbers.values() for lead in numbers.unasked]
    calls = [scripted_call(3, number, "english") for number in range(300)]

    numbers = [
        (before, turn)
        for call in calls
        for before, turn in zip([None, *call.turns], call.turns, strict=False)
        if turn.manner is CallerManner.NUMBER
    ]

    assert {before is None for before, _ in numbers} == {True, False}
    for before, turn in numbers:
        if before is None:
            assert turn.pieces[0].words.startswith(tuple(announced))
        elif before.reaction is not None and before.reaction.kind is Reaction.INTERRUPTION:
            assert before.reaction.reply.endswith(tuple(asks))
        elif before.manner is not CallerManner.MOMENT:
            assert before.reply.endswith(tuple(asks))


def test_seven_of_ten_calls_are_english_and_the_others_take_turns() -> None:
    assert [language_of(number) for number in range(6, 11)] == [
        "english", "french", "german", "spanish", "english",
    ]  # fmt: skip


def test_recognition_writes_marks_or_none() -> None:
    with_marks = replace(script(SpokenPiece("a")), is_punctuated=True)

    assert with_marks.written("no wait, is it open?") == "No wait, is it open?"
    assert with_marks.written("two small ones") == "Two small ones."
    assert script(SpokenPiece("a")).written("no wait, is it open?") == "no wait is it open"
