"""A caller who talks on and on, and a call that has spent what it may spend."""

from __future__ import annotations

from agent.call import events as ev
from agent.call.actions import EndCall, Record, Speak, StartReply
from agent.call.config import Limits
from agent.call.events import EndReason
from agent.call.history import AgentSaid, SpeechSource
from agent.call.timers import StartTimer, StopTimer, Timer
from tests.call import builders as it

SORRY = it.HELLO.phrases.may_i_answer


def test_the_longest_turn_is_that_of_the_use_case() -> None:
    call = it.listening(it.limited(Limits(longest_turn_ms=90_000)))

    actions = call.world.happen(it.partial("Two"))

    starts = {one.timer: one.after_ms for one in actions if isinstance(one, StartTimer)}
    assert starts[Timer.LONGEST_TURN] == 90_000


def test_fragments_without_end_are_answered_after_the_longest_turn() -> None:
    call = it.listening()
    for _ in range(20):
        call.happens(it.spoke("Two pizzas and"), it.partial("then"))

    stopped = call.fires(Timer.LONGEST_TURN)

    assert stopped[0] == StopTimer(Timer.END_OF_TURN_DELAY)
    assert it.caller_text(stopped).endswith("Two pizzas and")
    assert Speak(2, SORRY, is_last=True, interruptible=False) in stopped
    assert it.spoken(call.happens(it.delta(1, "Gladly. "))) == ["Gladly. "]


def test_a_voice_without_words_is_stopped_and_the_words_that_follow_are_answered() -> None:
    call = it.listening()
    call.happens(it.caller_on(), it.partial("So I was"), it.partial("So I was at the"))

    stopped = call.fires(Timer.LONGEST_TURN)
    asked = call.happens(it.spoke("I need two pizzas at the station."))

    assert stopped == [
        Speak(2, SORRY, is_last=True, interruptible=False),
        Record(1, AgentSaid(SORRY, SpeechSource.SERVICE)),
        StopTimer(Timer.IDLE),
        it.starts(Timer.PLAYBACK, 5_066),
    ]
    assert any(isinstance(action, StartReply) for action in asked)


def test_a_reply_that_has_given_way_again_and_again_is_said() -> None:
    call = it.thinking()
    call.happens(it.partial("and"), it.delta(1, "Two pizzas, gladly. "), it.finished(1))

    stopped = call.fires(Timer.LONGEST_TURN)

    assert "".join(it.spoken(stopped)) == f"{SORRY}Two pizzas, gladly."


def test_the_rest_of_an_answer_that_the_caller_has_cut_is_not_said() -> None:
    call = it.answered("We have three kinds of pizza, and two of salad. ")
    call.happens(it.interrupted("We have three"), it.caller_on(), it.partial("No, I"))

    stopped = call.fires(Timer.LONGEST_TURN)

    assert it.spoken(stopped) == [SORRY]


def test_a_word_of_the_agent_begins_the_turn_anew() -> None:
    call = it.listening()
    call.happens(it.partial("Two"))
    was_running = Timer.LONGEST_TURN in call.running

    call.happens(it.spoke("Two pizzas please."), it.delta(1, "Two pizzas, gladly. "))

    assert was_running
    assert Timer.LONGEST_TURN not in call.running


def test_a_caller_who_waits_for_an_answer_is_not_stopped() -> None:
    call = it.listening()
    call.happens(it.partial("Two"), it.spoke("Two pizzas please."))

    assert call.fires(Timer.LONGEST_TURN) == []


def test_a_call_that_has_spent_its_limit_says_so_and_asks_no_model() -> None:
    call = it.answered("Two pizzas, gladly.")
    call.happens(it.agent_off())

    said = call.happens(ev.AllowanceSpent(of_call=True))
    more = call.happens(it.spoke("Two pizzas."), it.spoke("Please?"))
    goodbye = call.happens(it.agent_off())

    assert it.spoken(said) == [it.HELLO.phrases.goodbye_spent_call]
    assert not any(isinstance(action, StartReply) for action in more)
    assert EndCall('{"reasonCode": "goodbye"}') in goodbye
    assert call.world.conversation.end_reason is EndReason.CALL_SPEND
