"""Keys of the telephone, bound and unbound, between words and replies."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.call import events as ev
from agent.call.actions import CancelReply, EndCall, Handoff, Record, RunTool, Speak
from agent.call.config import KeyBinding
from agent.call.history import AgentSaid, CallerSaid, InputMode, SpeechSource
from agent.call.messages import Choice, ForcedTool
from agent.call.timers import StopTimer, Timer
from tests.call import builders as it

BEGINS = "[The call begins.]"
WAITS = "[The caller is waiting for you to speak.]"


KEYPAD = {
    "1": KeyBinding("One moment.", "look_up"),
    "2": KeyBinding("We are open."),
    "3": KeyBinding("", "mark"),
    "4": KeyBinding(),
}


def test_a_key_with_text_and_function_speaks_and_forces_the_tool() -> None:
    call = it.listening(it.keyed(KEYPAD))

    actions = call.happens(it.pressed("1"))

    assert actions == [
        Record(1, CallerSaid("1", InputMode.KEYPAD)),
        StopTimer(Timer.IDLE),
        Speak(2, "One moment.", is_last=True),
        Record(2, AgentSaid("One moment.", SpeechSource.SERVICE)),
        it.asks(
            1,
            it.caller(BEGINS),
            it.agent("Hello."),
            it.caller("[The caller pressed on the keypad: 1]"),
            it.agent("One moment."),
            it.caller(WAITS),
            choice=ForcedTool("look_up"),
        ),
        it.starts(Timer.FILLER, 3_000),
    ]


def test_a_key_with_text_lets_the_model_say_it() -> None:
    call = it.listening(it.keyed(KEYPAD))

    actions = call.happens(it.pressed("2"))

    assert it.spoken(actions) == []
    assert it.question(actions).choice is Choice.AUTO
    assert it.caller_text(actions) == (
        "[The caller pressed on the keypad: 2]"
        " [Answer with this text, in the caller's language: We are open.]"
    )


def test_a_key_with_a_function_forces_the_tool_once() -> None:
    call = it.listening(it.keyed(KEYPAD))

    forced = call.happens(it.pressed("3"))
    free = call.happens(it.finished(1, it.wants("mark")), it.done(1))

    assert it.question(forced).choice == ForcedTool("mark")
    assert it.caller_text(forced) == "[The caller pressed on the keypad: 3]"
    assert it.question(free).choice is Choice.AUTO


def test_a_key_with_neither_is_read_by_the_model() -> None:
    call = it.listening(it.keyed(KEYPAD))

    actions = call.happens(it.pressed("4"))

    assert it.question(actions).choice is Choice.AUTO
    assert it.caller_text(actions) == "[The caller pressed on the keypad: 4]"


def test_keys_without_binding_become_one_entry() -> None:
    call = it.listening()

    first = call.happens(it.pressed("5"))
    second = call.happens(it.pressed("0"))
    complete = call.happens(it.pressed("#"))

    assert first == [StopTimer(Timer.IDLE), it.starts(Timer.DIGITS, 3_000)]
    assert second == [it.starts(Timer.DIGITS, 3_000)]
    assert complete == [
        StopTimer(Timer.DIGITS),
        Record(1, CallerSaid("5 0", InputMode.KEYPAD)),
        it.asks(
            1,
            it.caller(BEGINS),
            it.agent("Hello."),
            it.caller("[The caller pressed on the keypad: 5 0]"),
        ),
        it.starts(Timer.FILLER, 3_000),
    ]


def test_a_pause_completes_an_entry() -> None:
    call = it.listening()
    call.happens(it.pressed("5"), it.pressed("0"))

    assert it.caller_text(call.fires(Timer.DIGITS)) == "[The caller pressed on the keypad: 5 0]"


def test_the_first_key_stops_the_agent() -> None:
    call = it.speaking("Please type your number, ")

    actions = call.happens(it.pressed("5"))

    assert actions == [
        CancelReply(1),
        Speak(2, "", is_last=True),
        it.starts(Timer.DIGITS, 3_000),
    ]


def test_a_star_takes_the_keys_back() -> None:
    call = it.listening()
    call.happens(it.pressed("5"), it.pressed("*"))

    actions = call.fires(Timer.DIGITS)

    assert actions == [it.starts(Timer.IDLE, 8_000)]
    assert len(call.facts) == 1


def test_keys_after_a_star_count() -> None:
    call = it.listening()

    actions = call.happens(it.pressed("5"), it.pressed("*"), it.pressed("7"), it.pressed("#"))

    assert call.facts[-1] == CallerSaid("7", InputMode.KEYPAD)
    assert it.caller_text(actions) == "[The caller pressed on the keypad: 7]"


def test_an_empty_entry_after_words_does_not_forget_them() -> None:
    call = it.thinking("What is on the menu?")

    actions = call.happens(it.pressed("#"))

    assert it.caller_text(actions) == "What is on the menu?"
    assert CancelReply(1) in actions


def test_an_empty_entry_after_a_filler_does_not_forget_what_was_asked() -> None:
    call = it.using("look_up")
    call.fires(Timer.FILLER)

    actions = call.happens(it.pressed("#"))

    assert it.question(actions).reply == 2


def test_an_empty_entry_does_not_end_the_attempts_to_get_an_answer() -> None:
    call = it.thinking("What is on the menu?")
    call.happens(it.failed(1), it.spoke("The menu?"), it.failed(2))

    actions = call.happens(it.pressed("*")) + call.fires(Timer.DIGITS)

    assert it.caller_text(actions).endswith("[The caller is waiting for you to speak.]")


def test_an_empty_entry_after_a_re_prompt_is_listened_after() -> None:
    call = it.listening()
    call.fires(Timer.IDLE)

    assert call.happens(it.pressed("#"))[-1] == it.starts(Timer.IDLE, 8_000)


@pytest.mark.parametrize("cut", [(), (it.interrupted("You find us"),)])
@pytest.mark.parametrize("rest", [(it.pressed("#"),), (it.pressed("*"), Timer.DIGITS)])
def test_an_answer_that_an_empty_entry_has_cut_is_given_again(
    cut: tuple[it.Step, ...], rest: tuple[it.Step, ...]
) -> None:
    """Who presses a key and then `#` waits for what the key does."""
    call = it.speaking("You find us at two one four ")

    actions = call.happens(*cut, *rest)

    assert it.question(actions).reply == 2
    assert it.caller_text(actions).endswith("[The caller is waiting for you to speak.]")


def test_an_empty_entry_in_the_greeting_is_answered() -> None:
    call = it.started()

    actions = call.happens(it.interrupted(""), it.pressed("#"))

    assert it.question(actions).reply == 1


def test_words_complete_an_entry() -> None:
    call = it.listening()
    call.happens(it.pressed("5"), it.agent_on())

    actions = call.happens(it.spoke("yes"))

    assert it.caller_text(actions) == "[The caller pressed on the keypad: 5] yes"


def test_a_bound_key_completes_an_entry() -> None:
    call = it.listening(it.keyed({"4": KeyBinding()}))
    call.happens(it.pressed("5"))

    actions = call.happens(it.pressed("4"))

    assert call.facts[1:] == [CallerSaid("5", InputMode.KEYPAD), CallerSaid("4", InputMode.KEYPAD)]
    assert it.question(actions).reply == 1


def test_keys_typed_before_the_line_dropped_are_kept() -> None:
    call = it.listening()
    call.happens(it.pressed("5"))

    actions = call.happens(ev.CallEnded())

    assert Record(1, CallerSaid("5", InputMode.KEYPAD)) in actions


def test_words_while_typing_do_not_strand_a_handoff() -> None:
    config = replace(it.HELLO, tools={"leave": replace(it.HELLO.tools["order"], name="leave")})
    call = it.using("leave", config=config)
    call.happens(it.pressed("5"), it.done(1, effect=Handoff("wish", "so")))

    actions = call.happens(it.spoke("Two pizzas please."))
    ended = call.happens(it.delta(2, "One moment."), it.finished(2), it.agent_off())

    assert it.question(actions).choice is Choice.NONE
    assert ended[-2] == EndCall(
        '{"reasonCode": "live-agent-handoff", "reason": "wish", "summary": "so"}'
    )


def test_words_in_place_of_the_tool_of_a_key_are_not_said_and_the_tool_is_asked_for_once() -> None:
    call = it.listening(it.keyed({"1": KeyBinding("", "look_up")}))
    call.happens(it.pressed("1"))

    wrote = call.happens(it.delta(1, "I would rather talk. "))
    again = call.happens(it.finished(1))
    called = call.happens(it.delta(2, "Gladly. "), it.finished(2, it.wants("look_up")))

    assert wrote == []
    assert it.spoken(again) == []
    assert it.question(again).choice == ForcedTool("look_up")
    assert "Call the tool look_up now" in it.caller_text(again)
    assert it.spoken(called) == ["Gladly."]
    assert any(isinstance(action, RunTool) for action in called)


def test_another_tool_than_that_of_a_key_does_not_run() -> None:
    call = it.listening(it.keyed({"1": KeyBinding("", "look_up")}))
    call.happens(it.pressed("1"))

    again = call.happens(it.finished(1, it.wants("order")))

    assert not any(isinstance(action, RunTool) for action in again)
    assert it.question(again).choice == ForcedTool("look_up")


def test_a_model_that_will_not_call_the_tool_of_a_key_is_heard() -> None:
    call = it.listening(it.keyed({"1": KeyBinding("", "look_up")}))
    call.happens(it.pressed("1"), it.finished(1))

    said = call.happens(it.delta(2, "I cannot do that. "), it.finished(2))

    assert it.spoken(said) == ["I cannot do that."]
