"""The caller's voice and words: words given again or in groups, and a voice before its words."""

from __future__ import annotations

import pytest

from agent.call import events as ev
from agent.call.actions import Action, EndCall
from agent.call.history import CallerSaid
from agent.call.timers import StartTimer, StopTimer, Timer
from agent.call.turn_taking import LONGEST_END_OF_TURN_MS, LONGEST_VOICE_MS
from tests.call import builders as it

GROUPS = ("It's four one five", "five five five", "zero one four two")


def after(call: it.Call, *texts: str) -> list[Action]:
    """The caller says these one after the other, within a moment; the answer to the last."""
    return call.happens(*map(it.spoke, texts))


def said(call: it.Call) -> list[str]:
    """The caller's words as they are kept."""
    return [fact.text for fact in call.facts if isinstance(fact, CallerSaid)]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Two large", "Two large pizzas please."),
        ("two large", "Two large, pizzas please"),
        ("Two lar", "Two large pizzas."),
        ("I'd like to large", "I'd like two large pizzas please."),
        ("2 large", "two large pizzas"),
        ("It's four one five", "It's four one five five five"),
        ("两个大", "两个大披萨"),
    ],
)
def test_words_heard_again_with_more_take_the_place_of_the_first(first: str, second: str) -> None:
    call = it.listening()

    actions = after(call, first, second)
    if Timer.END_OF_TURN_DELAY in call.running:
        actions = call.fires(Timer.END_OF_TURN_DELAY)

    assert it.caller_text(actions) == second
    assert said(call) == [second]
    assert call.world.journal[1] == CallerSaid(second)


@pytest.mark.parametrize("second", ["Two large pizzas.", "two large pizzas", "Two large"])
def test_words_heard_again_change_nothing(second: str) -> None:
    call = it.thinking("Two large pizzas.")

    again = call.happens(it.spoke(second))

    assert again == []
    assert said(call) == ["Two large pizzas."]
    assert it.spoken(call.happens(it.delta(1, "Gladly. "))) == ["Gladly. "]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("I want a pizza", "I want a salad"),
        ("Give me two pizzas", "Give me two salads and a drink"),
        ("No.", "Not that one."),
        ("two small pizzas", "two large pizzas"),
        ("five five five", "five five five"),
        ("555", "555"),
        ("Two pizzas please.", "And a salad."),
    ],
)
def test_other_words_are_never_lost(first: str, second: str) -> None:
    call = it.listening()

    after(call, first, second)

    assert said(call) == [first, second]


def test_words_after_the_moment_are_new() -> None:
    call = it.thinking("Two pizzas.")
    call.fires(Timer.REPEAT)

    actions = call.happens(it.spoke("Two pizzas."))

    assert it.caller_text(actions) == "Two pizzas. Two pizzas."


def test_a_sentence_given_again_while_it_is_answered_changes_nothing() -> None:
    """A fast model has begun to speak before recognition gives the sentence again."""
    call = it.thinking("Two pizzas please.")
    call.happens(it.delta(1, "Gladly. "))

    again = call.happens(it.spoke("two pizzas please"))
    goes_on = call.happens(it.delta(1, "Pick up?"), it.finished(1))

    assert again == []
    assert it.spoken(goes_on) == ["Pick up?"]
    assert said(call) == ["Two pizzas please."]


@pytest.mark.parametrize("event", [it.interrupted("Gladly."), Timer.REPEAT], ids=["cut", "later"])
def test_a_sentence_said_again_into_the_answer_is_new(event: it.Step) -> None:
    call = it.thinking("Two pizzas please.")
    call.happens(it.delta(1, "Gladly. Is that for pick up? "), event)

    call.happens(it.spoke("Two pizzas please."))

    assert said(call) == ["Two pizzas please.", "Two pizzas please."]


def test_a_sentence_said_again_after_a_short_answer_is_new() -> None:
    call = it.thinking("Are you open today?")
    call.happens(it.delta(1, "Yes."), it.finished(1), it.agent_on(), it.agent_off())

    actions = call.happens(it.spoke("Are you open today?"))

    assert it.caller_text(actions) == "Are you open today?"


def test_a_sentence_said_again_after_an_apology_is_new() -> None:
    """The apology asks for it; and a model that failed may work now."""
    call = it.thinking("Are you open today?")
    call.happens(it.failed(1))

    actions = call.happens(it.spoke("Are you open today?"))

    assert it.caller_text(actions) == "Are you open today?"


def test_words_after_the_agent_has_spoken_are_new() -> None:
    call = it.thinking("Yes.")
    call.happens(it.delta(1, "Great. Pick up?"), it.finished(1))

    actions = call.happens(it.spoke("Yes."))

    assert it.caller_text(actions) == "Yes."
    assert said(call) == ["Yes.", "Yes."]


def test_words_after_the_agent_has_gone_on_speaking_are_new() -> None:
    call = it.speaking("We have a special offer today. ")
    call.happens(it.spoke("Okay."))
    call.happens(it.delta(1, "Would you like it? "), it.finished(1))

    actions = call.happens(it.spoke("Okay."))

    assert it.caller_text(actions).endswith("Okay. Okay.")


def test_words_after_a_tool_was_called_are_new() -> None:
    call = it.using("look_up")

    after(call, "Two pizzas please.")

    assert said(call) == ["Two pizzas please.", "Two pizzas please."]


def test_each_of_two_questions_has_its_own_yes() -> None:
    call = it.answered("Is it for pick up? And may I take your order?")

    after(call, "Yes.", "Yes.")

    assert said(call)[-2:] == ["Yes.", "Yes."]


def test_words_after_keys_are_new() -> None:
    call = it.thinking("Two pizzas.")
    call.happens(ev.CallerPressed("5"))

    after(call, "Two pizzas.")

    assert said(call) == ["Two pizzas.", "5", "Two pizzas."]


def test_a_call_that_goes_on_elsewhere_has_the_words_once() -> None:
    call = it.listening()
    after(call, "Two large", "Two large pizzas.")

    asked = call.resumes()
    call.happens(it.spoke("Two large pizzas."))

    assert str(it.question(asked).messages).count("Two large") == 1
    assert said(call) == ["Two large pizzas.", "Two large pizzas."]


def test_a_dictated_number_is_one_turn() -> None:
    call = it.listening()

    answers = [call.happens(it.spoke(text)) for text in GROUPS]

    *parts, whole = answers
    assert all(part[-1] == it.starts(Timer.END_OF_TURN_DELAY, 3_000) for part in parts)
    assert it.caller_text(whole) == "It's four one five five five five zero one four two"
    assert it.question(whole).reply == 1


def test_a_voice_between_the_groups_keeps_the_pause() -> None:
    call = it.listening()
    call.happens(it.spoke(GROUPS[0]), it.caller_on())

    ended = call.happens(it.caller_off())

    assert it.starts(Timer.END_OF_TURN_DELAY, 3_000) in ended


def test_a_single_digit_goes_on_with_a_number_or_answers_the_question_for_one() -> None:
    alone = it.listening().happens(it.spoke("two"))
    going_on = it.listening()
    going_on.happens(it.spoke("My number is 4 1 5"))
    wanted = it.answered("What is your phone number?")
    whole = it.answered("What is your phone number?").happens(it.spoke("It's 415 555 0142."))

    assert it.question(alone).reply == 1
    assert it.question(whole).reply == 2
    assert going_on.happens(it.spoke("five"))[-1] == it.starts(Timer.END_OF_TURN_DELAY, 3_000)
    assert wanted.happens(it.spoke("four"))[-1] == it.starts(Timer.END_OF_TURN_DELAY, 3_000)


def test_a_cough_does_not_hasten_another_attempt() -> None:
    call = it.thinking()
    call.happens(it.failed(1), it.spoke("A salad."), it.failed(2))

    coughed = [*call.happens(it.caller_on()), *call.happens(it.caller_off())]

    timers = [action.timer for action in coughed if isinstance(action, StartTimer)]
    assert Timer.RETRY not in timers
    assert Timer.END_OF_TURN_DELAY not in timers


@pytest.mark.parametrize("is_heard", [True, False])
def test_another_attempt_waits_for_a_caller_who_speaks(*, is_heard: bool) -> None:
    call = it.thinking()
    call.happens(it.failed(1), it.spoke("A salad."), it.failed(2), it.caller_on())
    if not is_heard:
        call.happens(it.caller_off())

    waiting = call.fires(Timer.RETRY)

    assert waiting == [
        it.starts(Timer.END_OF_TURN_DELAY, LONGEST_END_OF_TURN_MS if is_heard else 2_000)
    ]
    assert it.question(call.fires(Timer.END_OF_TURN_DELAY)).reply == 3


HAND_OVER = EndCall('{"reasonCode": "server-drain", "reason": "quiet"}')


def test_a_caller_who_talks_long_is_not_asked_whether_anybody_is_there() -> None:
    call = it.listening()

    began = call.happens(it.caller_on())
    ended = call.happens(it.caller_off())

    assert began == [it.starts(Timer.IDLE, LONGEST_VOICE_MS)]
    assert ended == [it.starts(Timer.IDLE, 8_000)]


def test_a_caller_who_breaks_in_may_talk_long_too() -> None:
    call = it.speaking("We have three kinds, ")
    call.happens(it.caller_on())

    broken_in = call.happens(it.interrupted("We have"))
    call.happens(it.spoke("Two pizzas."), it.delta(2, "Sure."), it.finished(2))

    assert broken_in[-2] == it.starts(Timer.IDLE, LONGEST_VOICE_MS)
    assert call.happens(it.agent_off())[-1] == it.starts(Timer.IDLE, 8_000)


def test_unfinished_words_wait_while_the_caller_goes_on() -> None:
    call = it.thinking("I would like two pizzas and")

    began = call.happens(it.caller_on())
    ended = call.happens(it.caller_off())

    assert began == [it.starts(Timer.END_OF_TURN_DELAY, LONGEST_END_OF_TURN_MS)]
    assert ended == [it.starts(Timer.END_OF_TURN_DELAY, 2_000)]


def test_the_wait_for_a_voice_without_a_reported_end_is_long() -> None:
    call = it.listening()
    call.happens(it.caller_on())

    actions = call.fires(Timer.IDLE)

    assert it.spoken(actions) == ["Are you still there?"]
    assert call.happens(it.agent_off()) == [
        StopTimer(Timer.PLAYBACK),
        it.starts(Timer.IDLE, 10_000),
    ]


@pytest.mark.parametrize(
    ("sign", "yields_ms"),
    [(it.caller_on(), LONGEST_END_OF_TURN_MS), (it.partial("And also"), 1_200)],
)
def test_a_filler_does_not_talk_over_the_caller(sign: ev.Event, yields_ms: int) -> None:
    call = it.using("look_up")

    actions = call.happens(sign)

    assert actions == [
        it.starts(Timer.FILLER, 5_000),
        it.starts(Timer.TOOL, 5_000),
        it.starts(Timer.YIELD, yields_ms),
    ]
    assert it.spoken(call.fires(Timer.TOOL)) == []


def test_a_stopping_service_lets_a_caller_finish_who_begins_as_the_agent_ends() -> None:
    call = it.thinking()
    call.happens(ev.ServiceStopping(), it.delta(1, "Two pizzas."), it.finished(1), it.caller_on())

    at_once = call.happens(it.agent_off())
    call.happens(it.spoke("And a drink."), it.delta(2, "Sure."), it.finished(2))
    later = call.happens(it.agent_off())

    assert at_once == [StopTimer(Timer.PLAYBACK), it.starts(Timer.IDLE, LONGEST_VOICE_MS)]
    assert HAND_OVER in later


def test_news_wait_for_a_caller_who_begins_as_the_agent_ends() -> None:
    call = it.using("order")
    call.happens(
        it.spoke("How long?"), it.delta(2, "An hour."), it.finished(2), it.done(1), it.caller_on()
    )
    call.happens(ev.ServiceStopping())

    at_once = call.happens(it.agent_off())
    announced = call.fires(Timer.IDLE)
    call.happens(it.delta(3, "It is ordered."), it.finished(3))

    assert at_once == [StopTimer(Timer.PLAYBACK), it.starts(Timer.IDLE, LONGEST_VOICE_MS)]
    assert it.caller_text(announced).startswith("[order has finished meanwhile")
    assert HAND_OVER in call.happens(it.agent_off())


def test_keys_instead_of_words_end_the_callers_turn() -> None:
    call = it.speaking("We have three kinds, ")
    call.happens(it.interrupted("We have"), it.pressed("5"), it.pressed("#"))
    call.happens(it.delta(2, "Five it is."), it.finished(2), it.agent_off())

    assert HAND_OVER in call.happens(ev.ServiceStopping())


def test_a_voice_without_words_ends_the_callers_turn() -> None:
    call = it.listening()
    call.happens(it.caller_on())

    noise = call.happens(it.spoke(" "))

    assert noise == [it.starts(Timer.IDLE, 8_000)]
    assert HAND_OVER in call.happens(ev.ServiceStopping())
