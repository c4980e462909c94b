"""A caller who waits for long is offered a choice, and the answer works while the wait goes on."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.call.actions import Record, Speak
from agent.call.config import CallConfig
from agent.call.history import AgentSaid, CallerSaid, SpeechSource
from agent.call.timers import StopTimer, Timer
from tests.call import builders as it

DESK = replace(it.HELLO, can_hand_off=True)
PHRASES = it.HELLO.phrases


def waiting(config: CallConfig = it.HELLO) -> it.Call:
    """A tool runs; the caller has heard three fillers and was offered a choice."""
    call = it.using("look_up", config=config)
    call.fires(Timer.TOOL)
    call.fires(Timer.FILLER)
    call.fires(Timer.FILLER)
    call.fires(Timer.WAIT)
    call.happens(it.agent_off())
    return call


@pytest.mark.parametrize(
    ("config", "question"),
    [(DESK, PHRASES.wait_or_person), (it.HELLO, PHRASES.wait_or_go_on)],
    ids=["desk", "no desk"],
)
def test_a_long_wait_ends_in_a_choice(config: CallConfig, question: str) -> None:
    call = it.using("look_up", config=config)
    call.fires(Timer.TOOL)

    actions = call.fires(Timer.WAIT)

    assert actions == [
        StopTimer(Timer.FILLER),
        Speak(3, question, is_last=True),
        Record(4, AgentSaid(question, SpeechSource.SERVICE)),
        it.starts(Timer.FILLER, 15_000),
    ]
    assert Timer.WAIT not in call.running


def test_the_wait_is_measured_from_the_callers_words_over_model_and_tool() -> None:
    call = it.thinking()
    begun = call.world.timers[Timer.WAIT]

    call.happens(it.finished(1, it.wants("look_up")), it.done(1))

    assert call.world.timers[Timer.WAIT] == begun


def test_the_wait_goes_on_after_a_slow_tool_that_was_announced() -> None:
    call = it.thinking()
    call.happens(it.delta(1, "Let me look."), it.finished(1, it.wants("look_up")))
    begun = call.world.timers[Timer.WAIT]

    call.happens(it.done(1))

    assert call.world.timers[Timer.WAIT] == begun


def test_words_of_the_model_end_the_wait() -> None:
    call = it.thinking()

    call.happens(it.delta(1, "Sure, "))

    assert not call.running & {Timer.WAIT, Timer.FILLER}


def test_after_the_choice_fillers_go_on() -> None:
    call = waiting()

    actions = call.fires(Timer.FILLER)

    assert it.spoken(actions) == ["One moment, please."]
    assert actions[-1] == it.starts(Timer.FILLER, 15_000)


@pytest.mark.parametrize("words", ["I'll wait.", "Okay.", "Hold on", "yes, keep waiting please"])
def test_a_caller_who_goes_on_waiting_keeps_the_tool(words: str) -> None:
    call = waiting()

    actions = call.happens(it.spoke(words))
    answered = call.happens(it.done(1))

    assert actions[0] == Record(7, CallerSaid(words))
    assert it.spoken(actions) == ["One moment, please."]
    assert it.question(answered).reply == 2


def test_a_caller_who_wants_a_person_is_transferred() -> None:
    call = waiting(DESK)

    actions = call.happens(it.spoke("A person, please."))

    assert call.world.tools == {"tool00001": "cancelled"}
    assert it.spoken(actions) == [PHRASES.transfer]


def test_any_other_answer_is_the_models() -> None:
    call = waiting()

    actions = call.happens(it.spoke("Call me back tomorrow."))

    assert it.caller_text(actions).endswith("Call me back tomorrow.")
    assert PHRASES.wait_or_go_on in str(it.question(actions).messages)


def test_the_answer_may_come_before_the_question_is_over() -> None:
    call = it.using("look_up")
    call.fires(Timer.TOOL)
    call.fires(Timer.WAIT)

    call.happens(it.interrupted("I am sorry, this takes longer than usual."))
    kept = dict(call.world.tools)
    actions = call.happens(it.spoke("I'll wait."))

    assert kept == {"tool00001": "running"}
    assert it.spoken(actions) == ["I am still on it."]


def test_noise_over_a_filler_does_not_lose_the_answer() -> None:
    call = it.thinking()
    call.fires(Timer.FILLER)

    call.happens(it.interrupted("One"))
    call.happens(it.delta(1, "Sure, two pizzas. "), it.finished(1))
    actions = call.fires(Timer.YIELD)

    assert "".join(it.spoken(actions)) == "Sure, two pizzas."


def test_the_choice_waits_for_a_caller_who_speaks() -> None:
    call = it.using("look_up")
    call.happens(it.caller_on())

    actions = call.fires(Timer.WAIT)

    assert it.spoken(actions) == []
    assert Timer.WAIT in call.running


def test_the_choice_is_offered_once_in_a_wait() -> None:
    call = waiting()

    call.happens(it.done(1))

    assert Timer.WAIT not in call.running


def test_each_turn_has_its_own_wait() -> None:
    call = waiting()

    call.happens(it.spoke("Something else then: two salads."))

    assert Timer.WAIT in call.running
