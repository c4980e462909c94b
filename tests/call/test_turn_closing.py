"""Turns that a tool closes without an answer: words again, a moment, silence."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.call.actions import Effect, Hold, Play, Record, RepeatLast, SendDigits, SkipTurn
from agent.call.config import CallConfig
from agent.call.history import AgentSaid, SpeechSource
from agent.call.messages import Choice
from agent.call.timers import StopTimer, Timer
from agent.call.turn_closing import ANSWER_NOW
from tests.call import builders as it

TOTAL = "That is twenty dollars. Anything else?"


def asked_again(heard: str | None) -> it.Call:
    """The agent has told the total, of which this was heard; reply 2 calls a tool."""
    call = it.answered(TOTAL)
    call.happens(it.agent_off() if heard is None else it.interrupted(heard))
    call.happens(it.spoke("Sorry, what was that?"), it.finished(2, it.wants("look_up")))
    return call


@pytest.mark.parametrize("heard", [None, "That is twenty", ""], ids=["all", "a part", "nothing"])
def test_the_last_words_are_said_again_as_they_were(heard: str | None) -> None:
    call = asked_again(heard)

    actions = call.happens(it.done(1, effect=RepeatLast()))

    assert it.spoken(actions) == [TOTAL]
    assert actions[-2] == Record(5, AgentSaid(TOTAL))
    assert call.world.active is None


def test_words_again_are_those_of_the_model_not_a_filler_or_a_re_prompt() -> None:
    call = it.answered(TOTAL)
    call.happens(it.agent_off())
    call.fires(Timer.IDLE)
    call.happens(it.agent_off(), it.spoke("What?"))
    call.fires(Timer.FILLER)
    call.happens(it.finished(2, it.wants("look_up")))

    actions = call.happens(it.done(1, effect=RepeatLast()))

    assert it.spoken(actions) == [TOTAL]


def test_words_again_can_be_asked_for_again() -> None:
    call = asked_again("That is")
    call.happens(it.done(1, effect=RepeatLast()), it.interrupted("That is twenty"))
    call.happens(it.spoke("Once more?"), it.finished(3, it.wants("look_up")))

    actions = call.happens(it.done(2, effect=RepeatLast()))

    assert it.spoken(actions) == [TOTAL]


def test_a_model_that_has_said_nothing_to_repeat_is_asked() -> None:
    silent: CallConfig = replace(it.HELLO, greeting="")
    call = it.started(silent)
    call.happens(it.finished(1, it.wants("look_up")))

    actions = call.happens(it.done(1, effect=RepeatLast()))

    assert it.question(actions).reply == 2


def test_hold_grants_a_moment() -> None:
    call = it.using("look_up")

    actions = call.happens(it.done(1, effect=Hold()))
    quiet = call.happens(it.agent_off())

    assert it.spoken(actions) == ["Of course, take your time."]
    assert quiet[-1] == it.starts(Timer.IDLE, 45_000)


def test_hold_after_words_of_the_model_says_nothing_more() -> None:
    call = it.thinking()
    call.happens(it.delta(1, "I wait for you."), it.finished(1, it.wants("look_up")))

    actions = call.happens(it.done(1, effect=Hold()))

    assert it.spoken(actions) == []


def test_a_skipped_turn_is_the_callers_again() -> None:
    call = it.using("look_up")

    skipped = call.happens(it.done(1, effect=SkipTurn()))
    quiet = call.fires(Timer.PLAYBACK)
    idle = call.fires(Timer.IDLE)

    assert it.spoken(skipped) == []
    assert skipped[-1] == it.starts(Timer.PLAYBACK, 1_000)
    assert StopTimer(Timer.FILLER) in skipped
    assert Timer.WAIT not in call.running
    assert quiet == [it.starts(Timer.IDLE, 8_000)]
    assert it.spoken(idle) == ["Are you still there?"]


def test_a_model_may_skip_two_turns_in_a_row() -> None:
    call = it.using("look_up")
    call.happens(it.done(1, effect=SkipTurn()))
    call.happens(it.spoke("Not you, Jim."), it.finished(2, it.wants("look_up")))
    second = call.happens(it.done(2, effect=SkipTurn()))
    call.happens(it.spoke("Hello? Are you there?"), it.finished(3, it.wants("look_up")))

    third = call.happens(it.done(3, effect=SkipTurn()))

    assert it.spoken(second) == []
    assert it.question(third).choice is Choice.NONE
    assert ANSWER_NOW in it.caller_text(third)


def test_an_answer_in_words_allows_to_skip_again() -> None:
    call = it.using("look_up")
    for number in (1, 3, 5):
        call.happens(it.done((number + 1) // 2, effect=SkipTurn()))
        call.happens(it.spoke(f"Number {number}?"))
        call.happens(it.delta(number + 1, "Yes, please?"), it.finished(number + 1))
        call.happens(it.agent_off(), it.spoke("Wait, Jim asks something."))
        call.happens(it.finished(number + 2, it.wants("look_up")))

    actions = call.happens(it.done(4, effect=SkipTurn()))

    assert it.spoken(actions) == []
    assert call.world.active is None


@pytest.mark.parametrize("effect", [RepeatLast(), Hold(), SkipTurn()])
def test_a_choice_that_comes_late_closes_no_other_turn(effect: Effect) -> None:
    tools = {"mark": it.HELLO.tools["mark"]}
    call = it.using("mark", config=replace(it.HELLO, tools=tools))
    call.happens(it.spoke("And two salads."))
    call.happens(it.done(1, effect=effect), it.delta(2, "Gladly. "))

    actions = call.happens(it.finished(2))

    assert it.spoken(actions) == [""]
    assert call.world.utterances[-1].text == "Gladly. "


def test_keys_are_pressed_and_the_model_goes_on() -> None:
    call = it.using("look_up")

    actions = call.happens(it.done(1, effect=SendDigits("1w2")))

    assert SendDigits("1w2") in actions
    assert it.question(actions).reply == 2


def test_an_audio_file_is_played_out_before_the_agent_waits() -> None:
    song = Play("https://a.example/song.mp3", preemptible=False, lasts_ms=20_000)
    call = it.using("look_up")
    played = call.happens(it.done(1, effect=song))
    call.happens(it.delta(2, "Nice, was it?"))

    actions = call.happens(it.finished(2))

    assert song in played
    assert actions[-1] == it.starts(Timer.PLAYBACK, 21_866)


def test_an_interrupt_of_an_audio_file_cuts_no_earlier_words() -> None:
    call = it.answered(TOTAL)
    call.happens(it.spoke("Play the song."), it.finished(2, it.wants("look_up")))
    call.happens(it.done(1, effect=Play("https://a.example/song.mp3", lasts_ms=20_000)))

    call.happens(it.interrupted(""))

    assert AgentSaid(TOTAL) in call.facts


def test_a_question_that_is_said_again_is_open_again() -> None:
    call = asked_again("That is twenty")
    call.happens(it.done(1, effect=RepeatLast()))

    call.happens(it.agent_off(), it.spoke("No."))

    assert call.history.question == TOTAL
    assert AgentSaid(TOTAL, SpeechSource.MODEL) in call.facts
