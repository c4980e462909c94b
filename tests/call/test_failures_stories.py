"""Replies that give nothing, fail, are blocked or are cut short."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.call.actions import EndCall, HangUp, Record, RunTool, Speak, StartReply
from agent.call.events import EndReason
from agent.call.history import AgentSaid, SpeechSource
from agent.call.messages import Role, StopReason
from agent.call.reply import CALL_AS_TEXT
from agent.call.timers import StopTimer, Timer
from tests.call import builders as it


@pytest.mark.parametrize("text", ["", "<thinking>They want pizza.</thinking>", " \n"])
def test_a_reply_without_words_is_tried_once_more(text: str) -> None:
    call = it.thinking()

    again = call.happens(it.delta(1, text), it.finished(1))
    sentence = call.happens(it.delta(2, text), it.finished(2))

    assert it.question(again).reply == 2
    assert it.spoken(again) == []
    assert it.spoken(sentence) == [it.HELLO.phrases.not_understood]
    assert Timer.PLAYBACK in call.running


CALL = '<tool_call>{"name": "mark", "arguments": {}}</tool_call> It is done.'


@pytest.mark.parametrize("words", ["", "One moment. "])
@pytest.mark.parametrize("stop", [StopReason.END, StopReason.TOOLS, StopReason.MALFORMED])
def test_a_tool_call_in_text_is_asked_for_again_and_not_said(words: str, stop: StopReason) -> None:
    call = it.thinking()

    said = it.spoken(call.happens(it.delta(1, words + CALL)))
    again = call.happens(it.finished(1, stop=stop))
    sentence = call.happens(it.delta(2, CALL), it.finished(2))

    assert "".join([*said, *it.spoken(again)]).strip() == words.strip()
    assert it.question(again).reply == 2
    assert it.question(again).messages[-1].role is Role.CALLER
    assert CALL_AS_TEXT in str(it.question(again).messages[-1])
    assert it.spoken(sentence) == [it.HELLO.phrases.not_understood]
    assert Timer.PLAYBACK in call.running


def test_a_real_call_beside_one_in_text_is_run() -> None:
    call = it.thinking()

    actions = call.happens(it.delta(1, CALL), it.finished(1, it.wants("mark")))

    assert it.spoken(actions) == []
    assert [one.call.name for one in actions if isinstance(one, RunTool)] == ["mark"]


def test_each_turn_may_be_tried_once_more() -> None:
    call = it.thinking()
    call.happens(it.finished(1), it.finished(2), it.spoke("Two pizzas."))

    actions = call.happens(it.finished(3))

    assert it.question(actions).reply == 4


def test_a_failed_reply_is_followed_by_an_apology() -> None:
    call = it.thinking()

    actions = call.happens(it.failed(1))

    assert actions == [
        StopTimer(Timer.FILLER),
        Speak(2, it.HELLO.phrases.apology, is_last=True),
        Record(2, AgentSaid(it.HELLO.phrases.apology, SpeechSource.SERVICE)),
        it.starts(Timer.MODEL_FAILURE, 30_000),
        it.starts(Timer.PLAYBACK, 5_866),
    ]


def test_a_failure_in_mid_sentence_closes_the_utterance() -> None:
    call = it.speaking("We have three kinds, ")

    actions = call.happens(it.failed(1))

    assert actions[:3] == [
        Speak(2, "", is_last=True),
        Speak(3, it.HELLO.phrases.lost_thread, is_last=True),
        Record(3, AgentSaid(it.HELLO.phrases.lost_thread, SpeechSource.SERVICE)),
    ]


def test_after_a_second_failure_the_caller_need_not_say_it_again() -> None:
    call = it.thinking()
    call.happens(it.failed(1), it.spoke("Two pizzas."))

    said = call.happens(it.failed(2))
    still = call.happens(it.agent_off())
    again = call.fires(Timer.RETRY)
    call.happens(it.delta(3, "Two pizzas, sure."), it.finished(3))

    assert it.spoken(said) == [it.HELLO.phrases.trying_again[0]]
    assert said[-1] == it.starts(Timer.RETRY, 84 * 1000 // 15 + 5_000)
    assert still == []
    assert [action.reply for action in again if isinstance(action, StartReply)] == [3]
    assert call.facts[-1] == AgentSaid("Two pizzas, sure.")


def test_a_caller_who_says_something_else_meanwhile_is_answered() -> None:
    call = it.thinking()
    call.happens(it.failed(1), it.spoke("Two pizzas."), it.failed(2))

    actions = call.happens(it.spoke("Never mind."))

    assert [action.reply for action in actions if isinstance(action, StartReply)] == [3]
    assert Timer.RETRY not in call.running


def test_a_model_that_fails_is_not_asked_for_ever() -> None:
    call = it.thinking()
    began = call.happens(it.failed(1))
    call.happens(it.spoke("Two pizzas."))
    heard = []
    for reply in range(2, 6):
        heard += it.spoken(call.happens(it.failed(reply)))
        call.fires(Timer.RETRY)
    call.fires(Timer.MODEL_FAILURE)

    said = call.happens(it.failed(6))
    ended = call.happens(it.agent_off())

    first, later = it.HELLO.phrases.trying_again
    assert it.starts(Timer.MODEL_FAILURE, 30_000) in began
    assert heard == [first, later, later, later]
    assert it.spoken(said) == [it.HELLO.phrases.goodbye_trouble]
    assert EndCall('{"reasonCode": "goodbye"}') in ended
    assert call.world.conversation.end_reason is EndReason.ERROR_MODEL


def test_a_second_failure_passes_the_call_to_a_person() -> None:
    call = it.thinking(config=replace(it.HELLO, can_hand_off=True))
    call.happens(it.failed(1), it.spoke("Two pizzas."))

    said = call.happens(it.failed(2))
    ended = call.happens(it.agent_off())

    assert it.spoken(said) == [it.HELLO.phrases.transfer]
    assert ended[-2] == EndCall(
        '{"reasonCode": "live-agent-handoff", "reason": "technical trouble",'
        ' "summary": "The caller\'s last words: Two pizzas please. / Two pizzas."}'
    )
    assert call.world.conversation.end_reason is EndReason.TRANSFER


def test_an_answer_resets_the_failures() -> None:
    call = it.thinking()
    call.happens(it.failed(1), it.spoke("Two pizzas."))
    call.fires(Timer.MODEL_FAILURE)
    call.happens(it.delta(2, "Sure."), it.finished(2), it.spoke("And a salad."))

    assert it.spoken(call.happens(it.failed(3))) == [it.HELLO.phrases.apology]
    assert Timer.MODEL_FAILURE in call.running


def test_a_failure_in_a_call_that_ends_is_not_counted() -> None:
    call = it.using("leave")
    call.happens(it.done(1, effect=HangUp()))
    goodbye = call.happens(it.failed(2))
    call.happens(it.spoke("Wait, two pizzas."))

    actions = call.happens(it.failed(3))

    assert it.spoken(goodbye) == [it.HELLO.phrases.goodbye]
    assert it.spoken(actions) == [it.HELLO.phrases.apology]
    assert Timer.MODEL_FAILURE in call.running


def test_a_blocked_reply_is_replaced_by_a_sentence() -> None:
    call = it.speaking("Well, first you ")

    actions = call.happens(it.delta(1, "take a "), it.finished(1, stop=StopReason.BLOCKED))

    assert actions[-5:] == [
        Speak(2, "", is_last=True),
        Record(2, AgentSaid("Well, first you ")),
        Speak(3, it.HELLO.phrases.blocked, is_last=True),
        Record(3, AgentSaid(it.HELLO.phrases.blocked, SpeechSource.SERVICE)),
        it.starts(Timer.PLAYBACK, 7_266),
    ]


def test_a_blocked_reply_runs_no_tools() -> None:
    call = it.thinking()

    actions = call.happens(it.finished(1, it.wants("order"), stop=StopReason.BLOCKED))

    assert it.spoken(actions) == [it.HELLO.phrases.blocked]
    assert not [action for action in actions if isinstance(action, RunTool)]


def test_a_reply_that_was_too_long_loses_its_unfinished_sentence() -> None:
    call = it.thinking()
    call.happens(it.delta(1, "We have pizza. It is good. And it com"))

    actions = call.happens(it.finished(1, stop=StopReason.LENGTH))

    assert call.facts[-1] == AgentSaid("We have pizza. It is good. ")
    assert Timer.PLAYBACK in call.running
    assert it.spoken(actions) == [""]


@pytest.mark.parametrize(
    "marks", ["...", "—", "?!", "*", "…", "😀", "- ", "**", "( )", "„“", "<br>"]
)
def test_a_reply_of_marks_alone_is_an_empty_reply(marks: str) -> None:
    call = it.thinking()
    call.happens(it.delta(1, f"{marks} "))
    if Timer.FLUSH in call.running:
        call.fires(Timer.FLUSH)

    again = call.happens(it.finished(1))
    call.happens(it.delta(2, marks))
    sentence = call.happens(it.finished(2, stop=StopReason.LENGTH))

    assert it.question(again).reply == 2
    assert it.spoken(sentence) == [it.HELLO.phrases.not_understood]
