"""Silence, fillers, the longest call, and a service that has to stop."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.call import events as ev
from agent.call.actions import CancelReply, EndCall, Handoff, HangUp, Record, Speak, StartReply
from agent.call.config import Limits
from agent.call.events import EndReason, ShutdownMode
from agent.call.history import AgentSaid, CallerSaid, InputMode, Note, SpeechSource
from agent.call.timers import StopTimer, Timer
from tests.call import builders as it


def test_silence_is_broken_twice_then_the_call_ends() -> None:
    call = it.listening()

    first = call.fires(Timer.IDLE)
    waits = call.happens(it.agent_off())
    second = call.fires(Timer.IDLE)
    call.happens(it.agent_off())
    goodbye = call.fires(Timer.IDLE)
    ended = call.happens(it.agent_off())

    assert first == [
        Speak(2, "Are you still there?", is_last=True),
        Record(1, AgentSaid("Are you still there?", SpeechSource.SERVICE)),
        it.starts(Timer.PLAYBACK, 2_333),
    ]
    assert waits == [StopTimer(Timer.PLAYBACK), it.starts(Timer.IDLE, 10_000)]
    assert it.spoken(second) == ["I am still here if you need anything."]
    assert it.spoken(goodbye) == [it.HELLO.phrases.goodbye_idle]
    assert EndCall('{"reasonCode": "goodbye"}') in ended
    assert call.world.conversation.end_reason is EndReason.IDLE


@pytest.mark.parametrize(
    ("said", "first", "second"),
    [
        ("Two pizzas. What size would you like?", " What size would you like?", ""),
        ("Which one? It takes an hour.", " Which one?", ""),
        ("For the pizza, which size?", " For the pizza, which size?", ""),
        ("To which address shall it go?", " To which address shall it go?", ""),
        ("Tell me your order number.", " Tell me your order number.", ""),
        ("Two pizzas. Shall I place the order?", "", " Shall I place the order?"),
        ("Is that what you want?", "", " Is that what you want?"),
        ("We are open until nine.", "", ""),
        ("Which one: " + "the very large one, " * 12 + "or none?", "", ""),
    ],
)
def test_silence_repeats_the_open_question_where_a_yes_answers_only_that(
    said: str, first: str, second: str
) -> None:
    call = it.answered(said)
    call.happens(it.agent_off())

    asked = call.fires(Timer.IDLE)
    call.happens(it.agent_off())
    asked_again = call.fires(Timer.IDLE)

    assert it.spoken(asked) == [f"Are you still there?{first}"]
    assert it.spoken(asked_again) == [f"I am still here if you need anything.{second}"]


@pytest.mark.parametrize(
    ("language", "question", "is_repeated"),
    [
        ("es", "¿A qué hora la quiere?", True),
        ("es", "Muy bien, ¿qué tamaño prefiere?", True),
        ("de", "Welche Größe möchten Sie?", True),
        ("de", "Soll ich bestellen?", False),
        ("fr", "Quelle taille voulez-vous ?", True),
        ("fr", "Est-ce que c'est correct ?", False),
        ("it", "Che cosa desidera?", False),
    ],
)
def test_an_open_question_is_known_in_four_languages(
    language: str, question: str, is_repeated: bool
) -> None:
    call = it.answered(question, replace(it.HELLO, language=language))
    call.happens(it.agent_off())

    assert (question in it.spoken(call.fires(Timer.IDLE))[0]) is is_repeated


def test_a_question_that_was_cut_is_not_repeated() -> None:
    config = it.limited(Limits(resumes_after_noise=False))
    call = it.answered("Sure. Is this for pickup or delivery?", config)
    call.happens(it.interrupted("Sure. Is this for"))

    assert it.spoken(call.fires(Timer.IDLE)) == ["Are you still there?"]


def test_a_caller_who_speaks_has_all_the_silence_again() -> None:
    call = it.listening()
    call.fires(Timer.IDLE)
    call.happens(it.spoke("Two pizzas."), it.delta(1, "Sure."), it.finished(1))

    assert call.happens(it.agent_off())[-1] == it.starts(Timer.IDLE, 8_000)


def test_speech_of_the_agent_suspends_the_silence() -> None:
    call = it.listening()

    on = call.happens(it.agent_on())
    off = call.happens(it.agent_off())

    assert on == [StopTimer(Timer.IDLE), it.starts(Timer.PLAYBACK, 1_000)]
    assert off == [StopTimer(Timer.PLAYBACK), it.starts(Timer.IDLE, 8_000)]


def test_reports_that_change_nothing_are_ignored() -> None:
    call = it.speaking("We have three kinds, ")

    assert call.happens(it.agent_on()) == []
    assert call.happens(it.agent_off()) == []
    assert call.happens(ev.PlaybackReported(ev.Playback.CALLER_OFF)) == []


def test_a_slow_tool_is_filled_with_three_sentences() -> None:
    call = it.thinking()

    first = call.happens(it.finished(1, it.wants("look_up")))
    fillers = [call.fires(timer) for timer in (Timer.TOOL, Timer.FILLER, Timer.FILLER)]

    assert first[-1] == it.starts(Timer.TOOL, 800)
    assert [it.spoken(filler) for filler in fillers] == [
        ["One moment, please."],
        ["I am still on it."],
        ["Thank you for waiting, it will not be long."],
    ]
    assert fillers[0][-1] == it.starts(Timer.FILLER, 5_000)
    assert Timer.FILLER not in call.running


def test_rounds_of_tools_without_a_word_are_one_wait() -> None:
    call = it.thinking()

    for reply in (1, 2, 3):
        call.happens(it.finished(reply, it.wants("look_up", f'{{"number":{reply}}}')))
        asked = call.happens(it.done(reply))
        assert isinstance(asked[-1], StartReply)

    assert it.spoken(call.fires(Timer.FILLER)) == ["One moment, please."]


def test_empty_reply_goes_on_with_the_wait_until_the_turn_is_over() -> None:
    call = it.thinking()

    asked = call.happens(it.finished(1))
    was_waiting = Timer.FILLER in call.running
    call.happens(it.finished(2))

    assert isinstance(asked[-1], StartReply)
    assert was_waiting
    assert Timer.FILLER not in call.running


def test_no_filler_when_words_came() -> None:
    call = it.thinking()

    actions = call.happens(it.delta(1, "Sure, "))

    assert StopTimer(Timer.FILLER) in actions
    assert Timer.FILLER not in call.running


def test_a_slow_model_is_filled_too() -> None:
    call = it.thinking()

    filler = call.fires(Timer.FILLER)
    words = call.happens(it.delta(1, "Sure, "))

    assert filler == [
        Speak(2, "One moment, please.", is_last=True),
        Record(2, AgentSaid("One moment, please.", SpeechSource.FILLER)),
        it.starts(Timer.FILLER, 5_000),
    ]
    assert words[:3] == [
        StopTimer(Timer.FILLER),
        Speak(3, "Sure, "),
        Record(3, AgentSaid("Sure, ")),
    ]


def test_fillers_are_counted_for_each_turn() -> None:
    call = it.thinking(config=it.limited(Limits(filler_count=1)))
    call.fires(Timer.FILLER)
    call.happens(it.delta(1, "Sure."), it.finished(1))

    call.happens(it.spoke("And a salad."))

    assert Timer.FILLER in call.running


def test_a_call_that_gets_too_long_is_warned_and_ended() -> None:
    call = it.listening()

    warned = call.fires(Timer.DURATION)
    call.happens(it.agent_off(), it.spoke("Two pizzas."), it.delta(1, "Sure, "))
    ended = call.fires(Timer.DURATION)
    goodbye = call.happens(it.agent_off())

    assert warned == [
        it.starts(Timer.DURATION, 60_000),
        Speak(2, it.HELLO.phrases.almost_over, is_last=True),
        Record(1, AgentSaid(it.HELLO.phrases.almost_over, SpeechSource.SERVICE)),
        StopTimer(Timer.IDLE),
        it.starts(Timer.PLAYBACK, 4_800),
    ]
    assert ended == [
        it.starts(Timer.DURATION, 60_000),
        CancelReply(1),
        Speak(3, "", is_last=True),
        Speak(4, it.HELLO.phrases.goodbye_duration, is_last=True),
        Record(4, AgentSaid(it.HELLO.phrases.goodbye_duration, SpeechSource.SERVICE)),
        it.starts(Timer.PLAYBACK, 5_066),
    ]
    assert EndCall('{"reasonCode": "goodbye"}') in goodbye
    assert call.world.conversation.end_reason is EndReason.MAX_DURATION


def test_a_caller_who_has_spent_everything_hears_so_instead_of_an_answer() -> None:
    call = it.listening()

    said = call.happens(ev.AllowanceSpent())
    more = [*call.happens(it.spoke("Two pizzas.")), *call.happens(it.spoke("Please?"))]
    again = call.happens(ev.AllowanceSpent())
    goodbye = call.happens(it.agent_off())

    assert said[:3] == [
        StopTimer(Timer.IDLE),
        Speak(2, it.HELLO.phrases.goodbye_spent, is_last=True),
        Record(1, AgentSaid(it.HELLO.phrases.goodbye_spent, SpeechSource.SERVICE)),
    ]
    assert not any(isinstance(action, StartReply) for action in more)
    assert again == []
    assert EndCall('{"reasonCode": "goodbye"}') in goodbye
    assert call.world.conversation.end_reason is EndReason.CALLER_SPEND


def test_a_reply_that_is_being_spoken_is_not_finished_by_one_who_has_spent_everything() -> None:
    call = it.thinking()

    said = call.happens(it.delta(1, "Sure, two. "), ev.AllowanceSpent())

    assert CancelReply(1) in said
    assert [action.text for action in said if isinstance(action, Speak)][-1] == (
        it.HELLO.phrases.goodbye_spent
    )


def test_a_goodbye_that_stands_needs_no_other_reason() -> None:
    call = it.listening()
    call.fires(Timer.DURATION)
    call.happens(it.agent_off())
    call.fires(Timer.DURATION)

    assert call.happens(ev.AllowanceSpent()) == []
    call.happens(it.agent_off())
    assert call.world.conversation.end_reason is EndReason.MAX_DURATION


def test_the_warning_does_not_break_into_a_reply() -> None:
    call = it.thinking()

    actions = call.fires(Timer.DURATION)

    assert actions == [
        it.starts(Timer.DURATION, 60_000),
        Record(2, Note(it.HELLO.phrases.almost_over)),
    ]


def test_a_call_that_ends_anyway_is_not_warned() -> None:
    call = it.leaving(HangUp())

    assert call.fires(Timer.DURATION) == [it.starts(Timer.DURATION, 60_000)]


HAND_OVER = EndCall('{"reasonCode": "server-drain", "reason": "quiet"}')
TEAR_OFF = EndCall('{"reasonCode": "server-drain"}')


def test_a_stopping_service_hands_a_quiet_call_over() -> None:
    call = it.listening()

    ended = call.happens(ev.ServiceStopping())
    again = call.happens(ev.ServiceStopping())
    call.happens(ev.CallEnded())  # the relay closes the socket then

    assert it.spoken(ended) == []
    assert HAND_OVER in ended
    assert again == []
    assert call.world.conversation.end_reason is EndReason.DRAIN


def test_a_stopping_service_lets_the_turn_finish() -> None:
    call = it.thinking()

    at_once = call.happens(ev.ServiceStopping())
    call.happens(it.delta(1, "Sure."), it.finished(1))
    later = call.happens(it.agent_off())

    assert at_once == []
    assert HAND_OVER in later


def test_a_stopping_service_announces_news_first() -> None:
    call = it.using("order")
    call.happens(
        it.spoke("And a drink?"), it.delta(2, "Sure."), it.finished(2), ev.ServiceStopping()
    )
    call.happens(it.done(1))

    news = call.happens(it.agent_off())
    call.happens(it.delta(3, "It is ordered."), it.finished(3))

    assert [action.reply for action in news if isinstance(action, StartReply)] == [3]
    assert HAND_OVER in call.happens(it.agent_off())


def test_a_stopping_service_does_not_break_in_on_the_caller() -> None:
    call = it.listening()
    call.happens(it.partial("I would like"))

    at_once = call.happens(ev.ServiceStopping())
    later = call.fires(Timer.IDLE)

    assert at_once == []
    assert HAND_OVER in later


def test_a_service_out_of_time_hands_over_in_mid_sentence() -> None:
    call = it.speaking("We have three kinds, ")

    actions = call.happens(ev.ServiceStopping(ShutdownMode.AT_ONCE))

    assert CancelReply(1) in actions
    assert TEAR_OFF in actions
    assert AgentSaid("We have three kinds, ") in call.facts


def test_a_service_out_of_time_keeps_the_keys_that_were_typed() -> None:
    call = it.listening()
    call.happens(it.pressed("5"), it.pressed("7"))

    call.happens(ev.ServiceStopping(ShutdownMode.AT_ONCE))

    assert call.facts[-1] == CallerSaid("5 7", InputMode.KEYPAD)


def test_a_service_without_a_successor_says_goodbye() -> None:
    call = it.thinking()

    actions = call.happens(ev.ServiceStopping(ShutdownMode.GOODBYE))

    assert it.spoken(actions) == [it.HELLO.phrases.goodbye_stopping]
    assert EndCall('{"reasonCode": "goodbye"}') in actions
    assert call.world.conversation.end_reason is EndReason.DRAIN


@pytest.mark.parametrize("departure", [ShutdownMode.AT_ONCE, ShutdownMode.GOODBYE])
def test_a_call_that_was_being_passed_on_is_passed_on(departure: ShutdownMode) -> None:
    call = it.leaving(Handoff("wish", "so"))

    actions = call.happens(ev.ServiceStopping(departure))

    handoff = '{"reasonCode": "live-agent-handoff", "reason": "wish", "summary": "so"}'
    assert it.spoken(actions) == []
    assert EndCall(handoff) in actions


def test_the_warning_of_the_last_minute_does_not_talk_over_the_caller() -> None:
    call = it.listening()
    call.happens(it.caller_on())

    actions = call.fires(Timer.DURATION)

    assert it.spoken(actions) == []
    assert call.facts[-1] == Note(it.HELLO.phrases.almost_over)


def test_a_service_that_stops_before_the_call_begins_ends_it_soon() -> None:
    call = it.Call()

    before = call.happens(ev.ServiceStopping())
    call.happens(ev.CallStarted())
    ended = call.happens(it.agent_off())

    assert before == []
    assert HAND_OVER in ended


def test_a_slow_tool_says_its_own_filler_first() -> None:
    look = replace(it.HELLO.tools["look_up"], filler="Let me check the oven.")
    call = it.using("look_up", config=replace(it.HELLO, tools={"look_up": look}))

    fillers = [call.fires(Timer.FILLER) for _ in range(3)]

    assert [it.spoken(filler) for filler in fillers] == [
        ["Let me check the oven."],
        ["I am still on it."],
        ["Thank you for waiting, it will not be long."],
    ]


def test_a_tool_that_was_announced_keeps_its_own_filler() -> None:
    look = replace(it.HELLO.tools["look_up"], filler="Let me check the oven.")
    call = it.thinking(config=replace(it.HELLO, tools={"look_up": look}))
    call.happens(it.delta(1, "I will check the oven."), it.finished(1, it.wants("look_up")))

    assert it.spoken(call.fires(Timer.FILLER)) == ["One moment, please."]


@pytest.mark.parametrize("words", ["One moment, please.", "Hold on, I need to find my card."])
def test_a_caller_who_asks_for_a_moment_has_it(words: str) -> None:
    """The agent says so without the model, unless more words come, and waits long."""
    call = it.listening()

    said = call.happens(it.spoke(words))
    granted = call.fires(Timer.END_OF_TURN_DELAY)
    waiting = call.happens(it.agent_off())
    call.fires(Timer.IDLE)

    assert it.starts(Timer.END_OF_TURN_DELAY, 1_000) in said
    assert it.spoken(granted) == ["Of course, take your time."]
    assert waiting[-1] == it.starts(Timer.IDLE, 45_000)
    assert call.happens(it.agent_off())[-1] == it.starts(Timer.IDLE, 60_000)


def test_the_moment_is_over_with_the_next_words() -> None:
    call = it.listening()
    call.happens(it.spoke("One moment, please."), Timer.END_OF_TURN_DELAY, it.agent_off())
    call.happens(it.spoke("Two pizzas."), it.delta(1, "Fine."), it.finished(1))

    assert call.happens(it.agent_off())[-1] == it.starts(Timer.IDLE, 8_000)


def test_who_goes_on_after_hold_on_was_only_thinking() -> None:
    call = it.listening()
    call.happens(it.spoke("Hold on."))

    actions = call.happens(it.spoke("Two large pizzas, please."))

    assert it.spoken(actions) == []
    assert it.question(actions).messages[-1] == it.caller("Hold on. Two large pizzas, please.")


def test_keys_before_it_do_not_hide_that_the_caller_asks_for_a_moment() -> None:
    call = it.listening()
    call.happens(it.pressed("5"), it.spoke("One moment, please."))

    granted = call.fires(Timer.END_OF_TURN_DELAY)

    assert it.spoken(granted) == [it.HELLO.phrases.take_your_time]


def test_a_nod_before_it_does_not_hide_that_the_caller_asks_for_a_moment() -> None:
    call = it.answered("The dough rests over night.")
    call.happens(it.agent_on(), it.spoke("Oh good."), it.agent_off())

    call.happens(it.spoke("Just a second, someone is at the door."))

    granted = call.fires(Timer.END_OF_TURN_DELAY)
    assert it.spoken(granted) == ["Of course, take your time."]


def test_a_nod_that_goes_on_is_a_part_of_the_turn() -> None:
    call = it.answered("The dough rests over night.")
    call.happens(it.agent_on(), it.spoke("Okay"))

    actions = call.happens(it.spoke("Okay but I want a"))

    assert it.starts(Timer.END_OF_TURN_DELAY, 2_000) in actions
