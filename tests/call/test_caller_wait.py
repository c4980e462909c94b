"""A caller who waits for long is offered a choice, and the answer works while the wait goes on."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.call.actions import Handoff, PromiseCallBack, Record, RunTool, Speak, StartReply
from agent.call.built_in_phrases import phrases_in
from agent.call.collector import Collector
from agent.call.config import CallConfig, Limits, Phrases
from agent.call.history import AgentSaid, CallerSaid, SpeechSource
from agent.call.messages import ToolCall
from agent.call.timers import StopTimer, Timer
from tests.call import builders as it
from tests.call.world import CALL_BACK

DESK = replace(it.HELLO, can_hand_off=True)
PHRASES = it.HELLO.phrases
NOTED = replace(it.HELLO, call_back=CALL_BACK.name)
"""The caller's number is known."""
ASKED = replace(
    NOTED,
    tools={**NOTED.tools, CALL_BACK.name: replace(CALL_BACK, collects=Collector(min_digits=7))},
)
ENDS = replace(NOTED, limits=Limits(ends_after_call_back=True))


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
    [
        (DESK, PHRASES.wait_or_person),
        (it.HELLO, PHRASES.wait_or_go_on),
        (NOTED, PHRASES.wait_or_call_back),
        (replace(NOTED, can_hand_off=True), PHRASES.person_or_call_back),
        (replace(NOTED, tools={"look_up": it.HELLO.tools["look_up"]}), PHRASES.wait_or_go_on),
    ],
    ids=["desk", "no desk", "call back", "both", "the tool is not offered any more"],
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


def test_before_a_transfer_no_choice_is_offered_but_the_wait_is_not_silent() -> None:
    call = it.using("order", config=NOTED)
    call.happens(it.spoke("Are you open?"), it.finished(2, it.wants("look_up")))
    call.happens(it.done(1, effect=Handoff("wish", "so")))

    said = call.fires(Timer.WAIT)
    later = call.fires(Timer.FILLER)

    assert it.spoken(said) == [PHRASES.fillers[0]]
    assert it.spoken(later) == [PHRASES.fillers[1]]
    assert it.starts(Timer.FILLER, 15_000) in later


def test_each_turn_has_its_own_wait() -> None:
    call = waiting()

    call.happens(it.spoke("Something else then: two salads."))

    assert Timer.WAIT in call.running


@pytest.mark.parametrize("answer", [it.spoke("Call me back, please."), it.pressed("1")])
def test_a_call_back_is_noted_without_the_model(answer: it.Step) -> None:
    call = waiting(NOTED)

    actions = call.happens(answer)
    noted = call.happens(it.done(2, effect=PromiseCallBack()))

    assert call.world.tools["tool00001"] == "cancelled"
    assert not any(isinstance(each, StartReply) for each in [*actions, *noted])
    assert it.spoken(noted) == [
        "Thank you, that is noted. We will call you back. Is there anything else I can do for you?"
    ]
    assert call.world.active is None
    assert Timer.PLAYBACK in call.running


def test_who_calls_back_reads_what_the_caller_has_said() -> None:
    call = waiting(NOTED)

    actions = call.happens(it.spoke("Call me back."))

    topic = '{"topic": "The caller\'s last words: Two pizzas please. / Call me back."}'
    used = ToolCall("tool00002", "call_back", topic)
    assert RunTool(used, is_lasting=True) in actions


def test_a_call_ends_after_the_call_back_is_noted_if_the_use_case_says_so() -> None:
    call = waiting(ENDS)
    call.happens(it.pressed("1"))

    said = call.happens(it.done(2, effect=PromiseCallBack()))
    call.happens(it.agent_off())

    assert it.spoken(said) == [f"{PHRASES.call_back_noted} {PHRASES.goodbye}"]
    assert call.world.is_ending


def test_a_caller_who_says_more_takes_that_end_back() -> None:
    call = waiting(ENDS)
    call.happens(it.pressed("1"), it.done(2, effect=PromiseCallBack()))

    actions = call.happens(it.interrupted("Thank you"), it.spoke("And two salads, please."))

    assert not call.world.is_ending
    assert it.caller_text(actions).endswith("And two salads, please.")


def test_a_caller_with_a_withheld_number_is_asked_for_it() -> None:
    call = waiting(ASKED)

    asked = call.happens(it.spoke("I'd like a call back."))
    entered = call.happens(it.spoke("415 555 0101."), Timer.DIGITS)
    noted = call.happens(it.done(2, effect=PromiseCallBack()))

    assert it.spoken(asked) == [PHRASES.call_back_number]
    [run] = [each for each in entered if isinstance(each, RunTool)]
    assert run.entry is not None
    assert run.entry.digits == "4155550101"
    assert it.spoken(noted) == [f"{PHRASES.call_back_noted} {PHRASES.anything_else}"]


def test_a_call_back_that_could_not_be_noted_is_not_promised() -> None:
    call = waiting(NOTED)
    call.happens(it.pressed("1"))

    actions = call.happens(it.done(2, '{"error":"no"}', failed=True))

    assert it.spoken(actions) == []
    assert it.question(actions).messages[-1].parts[0] == it.result(
        2, '{"error":"no"}', is_error=True
    )


def test_the_key_is_a_digit_again_when_the_wait_is_over() -> None:
    call = waiting(replace(NOTED, keypad={}))
    call.happens(it.done(1), it.delta(2, "Here it is. Which number?"), it.finished(2))

    call.happens(it.pressed("1"))

    assert Timer.DIGITS in call.running


def test_without_the_tool_the_key_keeps_its_meaning() -> None:
    call = waiting(it.HELLO)

    actions = call.happens(it.pressed("1"))

    assert it.spoken(actions) == ["One moment."]


def test_a_model_may_have_a_call_back_noted_too() -> None:
    call = it.thinking("Could you call me tomorrow?", NOTED)
    call.happens(it.delta(1, "Sure. "), it.finished(1, it.wants("call_back")))

    actions = call.happens(it.done(1, effect=PromiseCallBack()))

    assert it.spoken(actions) == [f"{PHRASES.call_back_noted} {PHRASES.anything_else}"]


def test_a_call_back_goes_on_after_the_line_was_lost() -> None:
    call = waiting(NOTED)
    call.happens(it.pressed("1"))

    resumed = call.resumes()
    noted = call.happens(it.done(2, effect=PromiseCallBack()))

    assert [each.call.id for each in resumed if isinstance(each, RunTool)] == ["tool00002"]
    assert PHRASES.call_back_noted in it.spoken(noted)[-1]


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("en-US", "Yes, call me back please"),
        ("en-GB", "Can you ring me back later?"),
        ("en-US", "I'd rather have a call back."),
        ("es-US", "Prefiero que me llamen, por favor."),
        ("es-ES", "Llámenme más tarde."),
        ("de-DE", "Bitte rufen Sie mich zurück."),
        ("de-DE", "Ja, einen Rückruf bitte."),
        ("fr-FR", "Rappelez-moi plus tard."),
        ("fr-FR", "Je préfère être rappelé, merci."),
    ],
)
def test_a_call_back_is_chosen_in_four_languages(language: str, words: str) -> None:
    config = replace(NOTED, language=language, phrases=phrases_in(language) or Phrases())
    call = waiting(config)

    actions = call.happens(it.spoke(words))

    assert [each.call.name for each in actions if isinstance(each, RunTool)] == ["call_back"]


@pytest.mark.parametrize(
    "words", ["Don't call me back.", "Who will call me back?", "Call my wife back", "Call me Ada."]
)
def test_other_words_about_calls_are_the_models(words: str) -> None:
    call = waiting(NOTED)

    actions = call.happens(it.spoke(words))

    assert not any(isinstance(each, RunTool) for each in actions)
    assert it.caller_text(actions).endswith(words)
