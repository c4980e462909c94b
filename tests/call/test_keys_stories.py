"""Keys of the telephone, bound and unbound, between words and replies.

`World` checks all promises (docs/explain/promises.md) after each event.
"""

from __future__ import annotations

from dataclasses import replace

from agent.call import events as ev
from agent.call.actions import CancelReply, EndCall, Handoff, Record, Speak
from agent.call.config import KeyBinding
from agent.call.history import AgentSaid, CallerSaid, InputMode, SpeechSource
from agent.call.messages import Choice, ForcedTool
from agent.call.timers import StopTimer, Timer
from tests.call.builders import (
    HELLO,
    agent,
    agent_off,
    agent_on,
    asks,
    caller,
    caller_text,
    delta,
    done,
    failed,
    finished,
    keyed,
    listening,
    pressed,
    question,
    speaking,
    spoke,
    spoken,
    starts,
    thinking,
    using,
    wants,
)

BEGINS = "[The call begins.]"
WAITS = "[The caller is waiting for you to speak.]"


KEYPAD = {
    "1": KeyBinding("One moment.", "look_up"),
    "2": KeyBinding("We are open."),
    "3": KeyBinding("", "mark"),
    "4": KeyBinding(),
}


def test_a_key_with_text_and_function_speaks_and_forces_the_tool() -> None:
    call = listening(keyed(KEYPAD))

    actions = call.happens(pressed("1"))

    assert actions == [
        Record(1, CallerSaid("1", InputMode.KEYPAD)),
        StopTimer(Timer.IDLE),
        Speak(2, "One moment.", is_last=True),
        Record(2, AgentSaid("One moment.", SpeechSource.SERVICE)),
        asks(
            1,
            caller(BEGINS),
            agent("Hello."),
            caller("[The caller pressed on the keypad: 1]"),
            agent("One moment."),
            caller(WAITS),
            choice=ForcedTool("look_up"),
        ),
        starts(Timer.FILLER, 3_000),
    ]


def test_a_key_with_text_lets_the_model_say_it() -> None:
    call = listening(keyed(KEYPAD))

    actions = call.happens(pressed("2"))

    assert spoken(actions) == []
    assert question(actions).choice is Choice.AUTO
    assert caller_text(actions) == (
        "[The caller pressed on the keypad: 2]"
        " [Answer with this text, in the caller's language: We are open.]"
    )


def test_a_key_with_a_function_forces_the_tool_once() -> None:
    call = listening(keyed(KEYPAD))

    forced = call.happens(pressed("3"))
    free = call.happens(finished(1, wants("mark")), done(1))

    assert question(forced).choice == ForcedTool("mark")
    assert caller_text(forced) == "[The caller pressed on the keypad: 3]"
    assert question(free).choice is Choice.AUTO


def test_a_key_with_neither_is_read_by_the_model() -> None:
    call = listening(keyed(KEYPAD))

    actions = call.happens(pressed("4"))

    assert question(actions).choice is Choice.AUTO
    assert caller_text(actions) == "[The caller pressed on the keypad: 4]"


def test_keys_without_binding_become_one_entry() -> None:
    call = listening()

    first = call.happens(pressed("5"))
    second = call.happens(pressed("0"))
    complete = call.happens(pressed("#"))

    assert first == [StopTimer(Timer.IDLE), starts(Timer.DIGITS, 3_000)]
    assert second == [starts(Timer.DIGITS, 3_000)]
    assert complete == [
        StopTimer(Timer.DIGITS),
        Record(1, CallerSaid("5 0", InputMode.KEYPAD)),
        asks(
            1,
            caller(BEGINS),
            agent("Hello."),
            caller("[The caller pressed on the keypad: 5 0]"),
        ),
        starts(Timer.FILLER, 3_000),
    ]


def test_a_pause_completes_an_entry() -> None:
    call = listening()
    call.happens(pressed("5"), pressed("0"))

    assert caller_text(call.fires(Timer.DIGITS)) == "[The caller pressed on the keypad: 5 0]"


def test_the_first_key_stops_the_agent() -> None:
    call = speaking("Please type your number, ")

    actions = call.happens(pressed("5"))

    assert actions == [
        CancelReply(1),
        Speak(2, "", is_last=True),
        starts(Timer.DIGITS, 3_000),
    ]


def test_a_star_takes_the_keys_back() -> None:
    call = listening()
    call.happens(pressed("5"), pressed("*"))

    actions = call.fires(Timer.DIGITS)

    assert actions == [starts(Timer.IDLE, 8_000)]
    assert len(call.facts) == 1


def test_keys_after_a_star_count() -> None:
    call = listening()

    actions = call.happens(pressed("5"), pressed("*"), pressed("7"), pressed("#"))

    assert call.facts[-1] == CallerSaid("7", InputMode.KEYPAD)
    assert caller_text(actions) == "[The caller pressed on the keypad: 7]"


def test_an_empty_entry_after_words_does_not_forget_them() -> None:
    call = thinking("What is on the menu?")

    actions = call.happens(pressed("#"))

    assert caller_text(actions) == "What is on the menu?"
    assert CancelReply(1) in actions


def test_an_empty_entry_after_a_filler_does_not_forget_what_was_asked() -> None:
    call = using("look_up")
    call.fires(Timer.FILLER)

    actions = call.happens(pressed("#"))

    assert question(actions).reply == 2


def test_an_empty_entry_does_not_end_the_attempts_to_get_an_answer() -> None:
    call = thinking("What is on the menu?")
    call.happens(failed(1), spoke("The menu?"), failed(2))

    actions = call.happens(pressed("*")) + call.fires(Timer.DIGITS)

    assert caller_text(actions).endswith("[The caller is waiting for you to speak.]")


def test_an_empty_entry_after_a_re_prompt_is_listened_after() -> None:
    call = listening()
    call.fires(Timer.IDLE)

    assert call.happens(pressed("#"))[-1] == starts(Timer.IDLE, 8_000)


def test_words_complete_an_entry() -> None:
    call = listening()
    call.happens(pressed("5"), agent_on())

    actions = call.happens(spoke("yes"))

    assert caller_text(actions) == "[The caller pressed on the keypad: 5] yes"


def test_a_bound_key_completes_an_entry() -> None:
    call = listening(keyed({"4": KeyBinding()}))
    call.happens(pressed("5"))

    actions = call.happens(pressed("4"))

    assert call.facts[1:] == [CallerSaid("5", InputMode.KEYPAD), CallerSaid("4", InputMode.KEYPAD)]
    assert question(actions).reply == 1


def test_keys_typed_before_the_line_dropped_are_kept() -> None:
    call = listening()
    call.happens(pressed("5"))

    actions = call.happens(ev.CallEnded())

    assert Record(1, CallerSaid("5", InputMode.KEYPAD)) in actions


def test_words_while_typing_do_not_strand_a_handoff() -> None:
    config = replace(HELLO, tools={"leave": replace(HELLO.tools["order"], name="leave")})
    call = using("leave", config=config)
    call.happens(pressed("5"), done(1, effect=Handoff("wish", "so")))

    actions = call.happens(spoke("Two pizzas please."))
    ended = call.happens(delta(2, "One moment."), finished(2), agent_off())

    assert question(actions).choice is Choice.NONE
    assert ended[-2] == EndCall(
        '{"reasonCode": "live-agent-handoff", "reason": "wish", "summary": "so"}'
    )
