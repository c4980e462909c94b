"""How turns begin, merge, are held and are answered, told as lists of events.

`World` checks all promises (docs/explain/promises.md) after each event.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.call import events as ev
from agent.call.actions import CancelReply, Record, Speak, StartReply
from agent.call.config import Limits
from agent.call.conversation import Conversation
from agent.call.history import AgentSaid, CallerSaid, SpeechSource
from agent.call.messages import Usage
from agent.call.timers import StopTimer, Timer
from tests.call.builders import (
    HELLO,
    Call,
    agent,
    agent_off,
    agent_on,
    answered,
    asks,
    caller,
    caller_text,
    delta,
    done,
    failed,
    finished,
    limited,
    listening,
    partial,
    question,
    speaking,
    spoke,
    spoken,
    started,
    starts,
    thinking,
    using,
    wants,
)

BEGINS = "[The call begins.]"


def test_greeting_is_history_and_the_silence_after_it_is_watched() -> None:
    call = Call()

    actions = call.happens(ev.CallStarted())

    assert actions == [
        starts(Timer.DURATION, 1_740_000),
        Record(0, AgentSaid("Hello.", SpeechSource.GREETING)),
        starts(Timer.PLAYBACK, 1_400),
    ]


def test_without_a_greeting_the_model_speaks_first() -> None:
    call = Call(replace(HELLO, greeting=""))

    actions = call.happens(ev.CallStarted())

    assert actions == [
        starts(Timer.DURATION, 1_740_000),
        asks(1, caller(BEGINS)),
        starts(Timer.FILLER, 3_000),
    ]


def test_a_prompt_after_the_greeting_is_answered() -> None:
    call = started()

    heard = call.happens(spoke("Two pizzas please."))
    first = call.happens(delta(1, "Sure, two pizzas coming "))
    late = call.fires(Timer.FLUSH)
    last = call.happens(delta(1, "right up."), finished(1))

    assert heard == [
        Record(1, CallerSaid("Two pizzas please.")),
        StopTimer(Timer.PLAYBACK),
        asks(1, caller(BEGINS), agent("Hello."), caller("Two pizzas please.")),
        starts(Timer.FILLER, 3_000),
    ]
    assert first == [
        StopTimer(Timer.FILLER),
        Speak(2, "Sure, "),
        Record(2, AgentSaid("Sure, ")),
        starts(Timer.FLUSH, 300),
    ]
    assert late == [
        Speak(2, "two pizzas coming "),
        Record(2, AgentSaid("Sure, two pizzas coming ")),
    ]
    assert last == [
        StopTimer(Timer.FLUSH),
        Speak(2, "right up.", is_last=True),
        Record(2, AgentSaid("Sure, two pizzas coming right up.")),
        starts(Timer.PLAYBACK, 3_200),
    ]


def test_a_clause_that_is_complete_goes_out_without_waiting() -> None:
    call = thinking()
    call.happens(delta(1, "Sure, two "))

    actions = call.happens(delta(1, "pizzas, as you like them. "))

    assert actions == [
        Speak(2, "two pizzas, as you like them. "),
        Record(2, AgentSaid("Sure, two pizzas, as you like them. ")),
        StopTimer(Timer.FLUSH),
    ]


def test_the_flush_timer_is_not_put_off_by_more_words() -> None:
    call = thinking()
    call.happens(delta(1, "Sure, two "))

    assert call.happens(delta(1, "large ")) == []
    assert spoken(call.fires(Timer.FLUSH)) == ["two large "]


def test_a_prompt_while_thinking_merges_with_the_one_before() -> None:
    call = thinking("Two pizzas please.")

    actions = call.happens(spoke("And a salad."))

    assert actions == [
        Record(2, CallerSaid("And a salad.")),
        CancelReply(1),
        StopTimer(Timer.FILLER),
        asks(2, caller(BEGINS), agent("Hello."), caller("Two pizzas please. And a salad.")),
        starts(Timer.FILLER, 3_000),
    ]


def test_two_finals_close_together_leave_one_reply() -> None:
    call = listening()
    call.happens(spoke("My number is"), spoke("not for you."))

    late = call.happens(delta(0, "Your number "), finished(0))
    actions = call.happens(delta(1, "Thank "))

    assert late == []
    assert spoken(actions) == ["Thank "]
    assert CallerSaid("My number is") in call.facts


def test_deltas_of_a_cancelled_reply_change_nothing() -> None:
    call = thinking()
    call.happens(spoke("And a salad."))

    assert call.happens(delta(1, "Sure thing. ")) == []
    assert call.happens(finished(1, wants("order"))) == []
    assert call.happens(failed(1)) == []


def test_what_a_reply_costs_changes_nothing() -> None:
    call = thinking()

    assert call.happens(ev.TokensCounted(1, Usage(10, 5))) == []


def test_partials_never_act() -> None:
    call = listening()

    actions = call.happens(partial("I would like two"))

    assert actions == [starts(Timer.IDLE, 8_000)]
    assert call.facts == [AgentSaid("Hello.", SpeechSource.GREETING)]


def test_a_partial_while_the_reply_runs_does_not_stop_it() -> None:
    call = thinking()

    assert call.happens(partial("And")) == [starts(Timer.FILLER, 5_000)]


@pytest.mark.parametrize("blank", ["", "  ", "...", "?!"])
def test_a_blank_prompt_is_no_turn(blank: str) -> None:
    call = listening()

    actions = call.happens(spoke(blank))

    assert actions == [starts(Timer.IDLE, 8_000)]


def test_unfinished_words_wait_a_second_and_join_the_next() -> None:
    call = listening()

    held = call.happens(spoke("I would like a"))
    going_on = call.happens(partial("large"))
    joined = call.happens(spoke("large pizza."))

    assert held == [
        Record(1, CallerSaid("I would like a")),
        StopTimer(Timer.IDLE),
        starts(Timer.END_OF_TURN_DELAY, 1_000),
    ]
    assert going_on == [starts(Timer.END_OF_TURN_DELAY, 1_000)]
    assert joined == [
        Record(2, CallerSaid("large pizza.")),
        StopTimer(Timer.END_OF_TURN_DELAY),
        asks(1, caller(BEGINS), agent("Hello."), caller("I would like a large pizza.")),
        starts(Timer.FILLER, 3_000),
    ]


def test_unfinished_words_that_stay_so_are_answered() -> None:
    call = listening()
    call.happens(spoke("I would like a"))

    actions = call.fires(Timer.END_OF_TURN_DELAY)

    assert caller_text(actions) == "I would like a"


def test_a_backchannel_does_not_stop_the_agent() -> None:
    call = speaking("We have three kinds of pizza today, ")

    backchannel = call.happens(spoke("uh huh"))
    more = call.happens(delta(1, "with cheese and ham. "))

    assert backchannel == [Record(3, CallerSaid("uh huh"))]
    assert spoken(more) == ["with cheese and ham. "]


def test_a_backchannel_while_a_complete_reply_plays_is_ignored() -> None:
    call = answered("We have three kinds of pizza today.")
    call.happens(agent_on())

    assert call.happens(spoke("okay")) == [Record(3, CallerSaid("okay"))]


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        ("Would you like garlic bread? It is only three dollars.", "Sure."),
        ("Just say yes or no.", "Yes."),
        ("May I place the order. It will be there at seven.", "Okay."),
        ("Let me know if that is all right.", "All right."),
    ],
)
def test_an_answer_to_what_the_agent_asked_is_no_backchannel(said: str, answer: str) -> None:
    call = answered(said)
    call.happens(agent_on())

    assert caller_text(call.happens(spoke(answer))) == answer


def test_an_answer_to_a_question_before_a_filler_is_no_backchannel() -> None:
    call = speaking("Is it for delivery? ")
    call.happens(finished(1, wants("look_up")))
    call.fires(Timer.FILLER)

    assert "Yes." in caller_text(call.happens(spoke("Yes.")))


def test_a_backchannel_after_a_filler_does_not_stop_the_tool() -> None:
    call = using("look_up")
    call.fires(Timer.FILLER)

    backchannel = call.happens(spoke("okay"))
    going_on = call.happens(done(1))

    assert backchannel == [Record(4, CallerSaid("okay"))]
    assert "okay" in caller_text(going_on)


def test_a_backchannel_before_the_first_word_belongs_to_what_was_said() -> None:
    call = thinking("Two pizzas please.")

    assert "okay" in caller_text(call.happens(spoke("okay")))


def test_a_backchannel_in_silence_is_an_answer() -> None:
    call = answered("We have three kinds of pizza today.")
    call.happens(agent_on(), agent_off())

    assert caller_text(call.happens(spoke("okay"))) == "okay"


def test_yes_after_a_question_is_an_answer() -> None:
    call = answered("Shall I order it?")
    call.happens(agent_on())

    assert caller_text(call.happens(spoke("yes"))) == "yes"


def test_other_words_stop_the_agent() -> None:
    call = speaking("We have three kinds of pizza today, ")

    actions = call.happens(spoke("stop"))

    assert actions == [
        Record(3, CallerSaid("stop")),
        CancelReply(1),
        Speak(2, "", is_last=True),
        asks(
            2,
            caller(BEGINS),
            agent("Hello."),
            caller("Two pizzas please."),
            agent("We have three kinds of pizza today,"),
            caller("stop"),
        ),
        starts(Timer.FILLER, 3_000),
    ]


def test_a_second_start_changes_nothing() -> None:
    call = started()

    assert call.happens(ev.CallStarted()) == []


def test_the_oldest_turns_are_left_out_of_a_long_call() -> None:
    conversation = Conversation(limited(Limits(history_characters=20)))
    for event in (ev.CallStarted(), spoke("Two pizzas please."), delta(1, "Sure."), finished(1)):
        conversation.receive(event)

    actions = conversation.receive(spoke("And a salad too."))

    assert question(actions).messages == (caller("And a salad too."),)


def test_a_stale_timer_changes_nothing() -> None:
    call = listening()
    stale = ev.TimerFired(Timer.IDLE, call.world.timers[Timer.IDLE])
    call.happens(partial("I"))

    assert call.happens(stale) == []


def test_one_reply_at_a_time() -> None:
    call = thinking()
    actions = call.happens(spoke("No, three."), spoke("Or four."))

    replies = [action for action in actions if isinstance(action, (StartReply, CancelReply))]
    assert [type(one) for one in replies] == [CancelReply, StartReply]


def test_a_lost_report_of_silence_does_not_turn_answers_into_backchannels() -> None:
    call = answered("We have three kinds of pizza today.")
    call.happens(agent_on())
    call.fires(Timer.PLAYBACK)

    assert caller_text(call.happens(spoke("okay"))) == "okay"
