"""The caller's voice, before the words are there, against what the agent is about to do.

`World` checks all promises (docs/explain/promises.md) after each event.
"""

from __future__ import annotations

import pytest

from agent.call import events as ev
from agent.call.actions import EndCall
from agent.call.timers import StopTimer, Timer
from agent.call.turn_taking import LONGEST_END_OF_TURN_MS, LONGEST_VOICE_MS
from tests.call.builders import (
    agent_off,
    caller_off,
    caller_on,
    caller_text,
    delta,
    done,
    finished,
    interrupted,
    listening,
    partial,
    pressed,
    speaking,
    spoke,
    spoken,
    starts,
    thinking,
    using,
)

HAND_OVER = EndCall('{"reasonCode": "server-drain", "reason": "quiet"}')


def test_a_caller_who_talks_long_is_not_asked_whether_anybody_is_there() -> None:
    call = listening()

    began = call.happens(caller_on())
    ended = call.happens(caller_off())

    assert began == [starts(Timer.IDLE, LONGEST_VOICE_MS)]
    assert ended == [starts(Timer.IDLE, 8_000)]


def test_a_caller_who_breaks_in_may_talk_long_too() -> None:
    call = speaking("We have three kinds, ")
    call.happens(caller_on())

    broken_in = call.happens(interrupted("We have"))
    call.happens(spoke("Two pizzas."), delta(2, "Sure."), finished(2))

    assert broken_in[-1] == starts(Timer.IDLE, LONGEST_VOICE_MS)
    assert call.happens(agent_off())[-1] == starts(Timer.IDLE, 8_000)


def test_unfinished_words_wait_while_the_caller_goes_on() -> None:
    call = thinking("I would like two pizzas and")

    began = call.happens(caller_on())
    ended = call.happens(caller_off())

    assert began == [starts(Timer.END_OF_TURN_DELAY, LONGEST_END_OF_TURN_MS)]
    assert ended == [starts(Timer.END_OF_TURN_DELAY, 1_000)]


def test_the_wait_for_a_voice_without_a_reported_end_is_long() -> None:
    call = listening()
    call.happens(caller_on())

    actions = call.fires(Timer.IDLE)

    assert spoken(actions) == ["Are you still there?"]
    assert call.happens(agent_off()) == [StopTimer(Timer.PLAYBACK), starts(Timer.IDLE, 10_000)]


@pytest.mark.parametrize("sign", [caller_on(), partial("And also")])
def test_a_filler_does_not_talk_over_the_caller(sign: ev.Event) -> None:
    call = using("look_up")

    actions = call.happens(sign)

    assert actions == [starts(Timer.FILLER, 5_000)]


def test_a_stopping_service_lets_a_caller_finish_who_begins_as_the_agent_ends() -> None:
    call = thinking()
    call.happens(ev.ServiceStopping(), delta(1, "Two pizzas."), finished(1), caller_on())

    at_once = call.happens(agent_off())
    call.happens(spoke("And a drink."), delta(2, "Sure."), finished(2))
    later = call.happens(agent_off())

    assert at_once == [StopTimer(Timer.PLAYBACK), starts(Timer.IDLE, LONGEST_VOICE_MS)]
    assert HAND_OVER in later


def test_news_wait_for_a_caller_who_begins_as_the_agent_ends() -> None:
    call = using("order")
    call.happens(spoke("How long?"), delta(2, "An hour."), finished(2), done(1), caller_on())
    call.happens(ev.ServiceStopping())

    at_once = call.happens(agent_off())
    told = call.fires(Timer.IDLE)
    call.happens(delta(3, "It is ordered."), finished(3))

    assert at_once == [StopTimer(Timer.PLAYBACK), starts(Timer.IDLE, LONGEST_VOICE_MS)]
    assert caller_text(told).startswith("[order has finished meanwhile")
    assert HAND_OVER in call.happens(agent_off())


def test_keys_instead_of_words_end_the_callers_turn() -> None:
    call = speaking("We have three kinds, ")
    call.happens(interrupted("We have"), pressed("5"), pressed("#"))
    call.happens(delta(2, "Five it is."), finished(2), agent_off())

    assert HAND_OVER in call.happens(ev.ServiceStopping())


def test_a_voice_without_words_ends_the_callers_turn() -> None:
    call = listening()
    call.happens(caller_on())

    noise = call.happens(spoke(" "))

    assert noise == [starts(Timer.IDLE, 8_000)]
    assert HAND_OVER in call.happens(ev.ServiceStopping())
