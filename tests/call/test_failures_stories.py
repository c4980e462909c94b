"""Replies that give nothing, fail, are blocked or are cut short.

`World` checks all promises (docs/explain/promises.md) after each event.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.call.actions import EndCall, HangUp, Record, RunTool, Speak, StartReply
from agent.call.events import EndReason
from agent.call.history import AgentSaid, SpeechSource
from agent.call.messages import Role, StopReason
from agent.call.timers import StopTimer, Timer
from agent.call.turn import CALL_AS_TEXT
from tests.call.builders import (
    HELLO,
    agent_off,
    delta,
    done,
    failed,
    finished,
    question,
    speaking,
    spoke,
    spoken,
    starts,
    thinking,
    using,
    wants,
)


@pytest.mark.parametrize("text", ["", "<thinking>They want pizza.</thinking>", " \n"])
def test_a_reply_without_words_is_tried_once_more(text: str) -> None:
    call = thinking()

    again = call.happens(delta(1, text), finished(1))
    sentence = call.happens(delta(2, text), finished(2))

    assert question(again).reply == 2
    assert spoken(again) == []
    assert spoken(sentence) == [HELLO.phrases.not_understood]
    assert Timer.PLAYBACK in call.running


CALL = '<tool_call>{"name": "mark", "arguments": {}}</tool_call> It is done.'


@pytest.mark.parametrize("words", ["", "One moment. "])
@pytest.mark.parametrize("stop", [StopReason.END, StopReason.TOOLS, StopReason.MALFORMED])
def test_a_tool_call_in_text_is_asked_for_again_and_not_said(words: str, stop: StopReason) -> None:
    call = thinking()

    said = spoken(call.happens(delta(1, words + CALL)))
    again = call.happens(finished(1, stop=stop))
    sentence = call.happens(delta(2, CALL), finished(2))

    assert "".join([*said, *spoken(again)]).strip() == words.strip()
    assert question(again).reply == 2
    assert question(again).messages[-1].role is Role.CALLER
    assert CALL_AS_TEXT in str(question(again).messages[-1])
    assert spoken(sentence) == [HELLO.phrases.not_understood]
    assert Timer.PLAYBACK in call.running


def test_a_real_call_beside_one_in_text_is_run() -> None:
    call = thinking()

    actions = call.happens(delta(1, CALL), finished(1, wants("mark")))

    assert spoken(actions) == []
    assert [one.call.name for one in actions if isinstance(one, RunTool)] == ["mark"]


def test_each_turn_may_be_tried_once_more() -> None:
    call = thinking()
    call.happens(finished(1), finished(2), spoke("Two pizzas."))

    actions = call.happens(finished(3))

    assert question(actions).reply == 4


def test_a_failed_reply_is_followed_by_an_apology() -> None:
    call = thinking()

    actions = call.happens(failed(1))

    assert actions == [
        StopTimer(Timer.FILLER),
        Speak(2, HELLO.phrases.apology, is_last=True),
        Record(2, AgentSaid(HELLO.phrases.apology, SpeechSource.SERVICE)),
        starts(Timer.MODEL_FAILURE, 30_000),
        starts(Timer.PLAYBACK, 5_866),
    ]


def test_a_failure_in_mid_sentence_closes_the_utterance() -> None:
    call = speaking("We have three kinds, ")

    actions = call.happens(failed(1))

    assert actions[:3] == [
        Speak(2, "", is_last=True),
        Speak(3, HELLO.phrases.lost_thread, is_last=True),
        Record(3, AgentSaid(HELLO.phrases.lost_thread, SpeechSource.SERVICE)),
    ]


def test_after_a_second_failure_the_caller_need_not_say_it_again() -> None:
    call = thinking()
    call.happens(failed(1), spoke("Two pizzas."))

    said = call.happens(failed(2))
    still = call.happens(agent_off())
    again = call.fires(Timer.RETRY)
    call.happens(delta(3, "Two pizzas, sure."), finished(3))

    assert spoken(said) == [HELLO.phrases.trying_again[0]]
    assert said[-1] == starts(Timer.RETRY, 84 * 1000 // 15 + 5_000)
    assert still == []
    assert [action.reply for action in again if isinstance(action, StartReply)] == [3]
    assert call.facts[-1] == AgentSaid("Two pizzas, sure.")


def test_a_caller_who_says_something_else_meanwhile_is_answered() -> None:
    call = thinking()
    call.happens(failed(1), spoke("Two pizzas."), failed(2))

    actions = call.happens(spoke("Never mind."))

    assert [action.reply for action in actions if isinstance(action, StartReply)] == [3]
    assert Timer.RETRY not in call.running


def test_a_model_that_fails_is_not_asked_for_ever() -> None:
    call = thinking()
    began = call.happens(failed(1))
    call.happens(spoke("Two pizzas."))
    heard = []
    for reply in range(2, 6):
        heard += spoken(call.happens(failed(reply)))
        call.fires(Timer.RETRY)
    call.fires(Timer.MODEL_FAILURE)

    said = call.happens(failed(6))
    ended = call.happens(agent_off())

    first, later = HELLO.phrases.trying_again
    assert starts(Timer.MODEL_FAILURE, 30_000) in began
    assert heard == [first, later, later, later]
    assert spoken(said) == [HELLO.phrases.goodbye_trouble]
    assert EndCall('{"reasonCode": "goodbye"}') in ended
    assert call.world.conversation.end_reason is EndReason.ERROR_MODEL


def test_a_second_failure_passes_the_call_to_a_person() -> None:
    call = thinking(config=replace(HELLO, can_hand_off=True))
    call.happens(failed(1), spoke("Two pizzas."))

    said = call.happens(failed(2))
    ended = call.happens(agent_off())

    assert spoken(said) == [HELLO.phrases.transfer]
    assert ended[-2] == EndCall(
        '{"reasonCode": "live-agent-handoff", "reason": "technical trouble",'
        ' "summary": "The caller\'s last words: Two pizzas please. / Two pizzas."}'
    )
    assert call.world.conversation.end_reason is EndReason.TRANSFER


def test_a_reply_that_succeeds_forgives_a_failure() -> None:
    call = thinking()
    call.happens(failed(1), spoke("Two pizzas."), delta(2, "Sure."), finished(2))
    call.happens(spoke("And a salad."))

    assert spoken(call.happens(failed(3))) == [HELLO.phrases.apology]


def test_an_answer_resets_the_failures() -> None:
    call = thinking()
    call.happens(failed(1), spoke("Two pizzas."))
    call.fires(Timer.MODEL_FAILURE)
    call.happens(delta(2, "Sure."), finished(2), spoke("And a salad."))

    assert spoken(call.happens(failed(3))) == [HELLO.phrases.apology]
    assert Timer.MODEL_FAILURE in call.running


def test_a_failure_in_a_call_that_ends_is_not_counted() -> None:
    call = using("leave")
    call.happens(done(1, effect=HangUp()))
    goodbye = call.happens(failed(2))
    call.happens(spoke("Wait, two pizzas."))

    actions = call.happens(failed(3))

    assert spoken(goodbye) == [HELLO.phrases.goodbye]
    assert spoken(actions) == [HELLO.phrases.apology]
    assert Timer.MODEL_FAILURE in call.running


def test_a_blocked_reply_is_replaced_by_a_sentence() -> None:
    call = speaking("Well, first you ")

    actions = call.happens(delta(1, "take a "), finished(1, stop=StopReason.BLOCKED))

    assert actions[-4:] == [
        Speak(2, "", is_last=True),
        Speak(3, HELLO.phrases.blocked, is_last=True),
        Record(3, AgentSaid(HELLO.phrases.blocked, SpeechSource.SERVICE)),
        starts(Timer.PLAYBACK, 7_266),
    ]


def test_a_blocked_reply_runs_no_tools() -> None:
    call = thinking()

    actions = call.happens(finished(1, wants("order"), stop=StopReason.BLOCKED))

    assert spoken(actions) == [HELLO.phrases.blocked]
    assert not [action for action in actions if isinstance(action, RunTool)]


def test_a_reply_that_was_too_long_loses_its_unfinished_sentence() -> None:
    call = thinking()
    call.happens(delta(1, "We have pizza. It is good. And it com"))

    actions = call.happens(finished(1, stop=StopReason.LENGTH))

    assert call.facts[-1] == AgentSaid("We have pizza. It is good. ")
    assert Timer.PLAYBACK in call.running
    assert spoken(actions) == [""]


def test_blocked_last_words_are_replaced_by_a_goodbye() -> None:
    call = using("leave")
    call.happens(done(1, effect=HangUp()))

    actions = call.happens(finished(2, stop=StopReason.BLOCKED))

    assert spoken(actions) == [HELLO.phrases.goodbye]


def test_thinking_inside_thinking_is_not_spoken() -> None:
    call = thinking()

    call.happens(delta(1, "<think>a <think>b</think> c</think> Sure."), finished(1))

    assert call.facts[-1] == AgentSaid("Sure.")


def test_an_empty_thinking_tag_hides_nothing() -> None:
    call = thinking()

    call.happens(delta(1, "<thinking/> Sure."), finished(1))

    assert call.facts[-1] == AgentSaid("Sure.")


@pytest.mark.parametrize(
    "marks", ["...", "—", "?!", "*", "…", "😀", "- ", "**", "( )", "„“", "<br>"]
)
def test_a_reply_of_marks_alone_is_an_empty_reply(marks: str) -> None:
    call = thinking()
    call.happens(delta(1, f"{marks} "))
    if Timer.FLUSH in call.running:
        call.fires(Timer.FLUSH)

    again = call.happens(finished(1))
    call.happens(delta(2, marks))
    sentence = call.happens(finished(2, stop=StopReason.LENGTH))

    assert question(again).reply == 2
    assert spoken(sentence) == [HELLO.phrases.not_understood]
