"""The caller breaks in: races of interrupts with words, replies and reports."""

from __future__ import annotations

from dataclasses import replace

from agent.call.actions import CancelReply, Record, Speak
from agent.call.config import CallConfig, KeyBinding, Limits
from agent.call.history import AgentSaid, CallerSaid, SpeechSource
from agent.call.messages import ForcedTool
from agent.call.timers import StopTimer, Timer
from agent.call.turn import GO_ON
from tests.call import builders as it

BEGINS = "[The call begins.]"
CUT = "[The caller interrupted you there and did not hear more.]"


def test_an_interrupt_keeps_only_what_was_heard() -> None:
    call = it.speaking("We have three kinds of pizza today, and two salads. ")

    actions = call.happens(it.interrupted("We have three kinds"))

    assert actions == [
        CancelReply(1),
        Speak(2, "", is_last=True),
        Record(2, AgentSaid("We have three kinds", is_cut=True)),
        it.starts(Timer.IDLE, 8_000),
        it.starts(Timer.YIELD, 2_500),
    ]


def test_the_model_reads_that_it_was_cut_off() -> None:
    call = it.speaking("We have three kinds of pizza today, and two salads. ")
    call.happens(it.interrupted("We have three kinds"))

    actions = call.happens(it.spoke("Which kinds?"))

    assert it.question(actions).messages[-2:] == (
        it.agent("We have three kinds"),
        it.caller(f"{CUT} Which kinds?"),
    )


def test_nothing_more_of_an_interrupted_reply_is_spoken() -> None:
    call = it.speaking("We have three kinds, ")
    call.happens(it.interrupted("We have"))

    assert call.happens(it.delta(1, "of pizza today. ")) == []
    assert call.happens(it.finished(1)) == []


def test_an_interrupt_after_the_reply_was_complete_still_cuts() -> None:
    call = it.answered("We have three kinds of pizza today.")

    actions = call.happens(it.interrupted("We have three"))

    assert actions == [
        StopTimer(Timer.PLAYBACK),
        Record(2, AgentSaid("We have three", is_cut=True)),
        it.starts(Timer.IDLE, 8_000),
        it.starts(Timer.YIELD, 2_500),
    ]


def test_a_reply_heard_to_its_end_is_not_cut() -> None:
    call = it.answered("We have three kinds.")

    actions = call.happens(it.interrupted("We have three kinds"))

    assert actions == [StopTimer(Timer.PLAYBACK), it.starts(Timer.IDLE, 8_000)]


def test_a_reply_that_goes_on_is_cut_even_where_all_so_far_was_heard() -> None:
    call = it.speaking("We have three kinds, ")

    actions = call.happens(it.interrupted("We have three kinds"))

    assert Record(2, AgentSaid("We have three kinds,", is_cut=True)) in actions


def test_a_second_interrupt_does_no_harm() -> None:
    call = it.speaking("We have three kinds of pizza today, ")
    call.happens(it.interrupted("We have three"))

    actions = call.happens(it.interrupted("We"))

    assert actions == [it.starts(Timer.YIELD, 2_500)]
    assert it.spoken(call.fires(Timer.YIELD)) == ["kinds of pizza today,"]


def test_an_interrupt_that_reports_nothing_leaves_nothing() -> None:
    call = it.speaking("We have three kinds of pizza today, ")
    call.happens(it.interrupted(""))

    actions = call.happens(it.spoke("Hello?"))

    assert call.facts[2] == AgentSaid("", is_cut=True)
    assert it.question(actions).messages == (
        it.caller(BEGINS),
        it.agent("Hello."),
        it.caller(f"Two pizzas please. {CUT} Hello?"),
    )


def test_what_the_relay_reported_as_played_counts_as_heard() -> None:
    call = it.speaking("We have three kinds of pizza today, ")
    call.happens(it.played("We have three kinds"))

    call.happens(it.interrupted("We"))

    assert call.facts[2] == AgentSaid("We have three kinds", is_cut=True)


def test_a_report_that_fits_nowhere_is_replaced_by_the_time() -> None:
    call = it.speaking("We have three kinds of pizza today, ")

    call.happens(it.interrupted("Bonjour tout le monde", 1_000))

    assert call.facts[2] == AgentSaid("We have three", is_cut=True)


def test_an_interrupt_of_the_greeting_cuts_it() -> None:
    call = it.started(replace(it.HELLO, greeting="Hello, how can I help?"))

    actions = call.happens(it.interrupted("Hello,"))

    assert actions == [
        StopTimer(Timer.PLAYBACK),
        Record(0, AgentSaid("Hello", SpeechSource.GREETING, is_cut=True)),
        it.starts(Timer.IDLE, 8_000),
        it.starts(Timer.YIELD, 2_500),
    ]


def test_an_interrupt_that_comes_after_its_prompt_asks_anew() -> None:
    call = it.answered("We have three kinds of pizza today.")
    call.happens(it.spoke("Which kinds?"))

    actions = call.happens(it.interrupted("We have three"))

    assert actions == [
        Record(2, AgentSaid("We have three", is_cut=True)),
        CancelReply(2),
        StopTimer(Timer.FILLER),
        it.asks(
            3,
            it.caller(BEGINS),
            it.agent("Hello."),
            it.caller("Two pizzas please."),
            it.agent("We have three"),
            it.caller(f"{CUT} Which kinds?"),
        ),
        it.starts(Timer.FILLER, 3_000),
    ]


def test_a_late_interrupt_that_cuts_nothing_leaves_the_reply_alone() -> None:
    call = it.answered("We have three kinds.")
    call.happens(it.spoke("Which kinds?"))

    assert call.happens(it.interrupted("We have three kinds.")) == []


def test_a_late_interrupt_during_the_end_of_turn_delay_only_cuts() -> None:
    call = it.answered("We have three kinds of pizza today.")
    call.happens(it.spoke("I would like a"))

    actions = call.happens(it.interrupted("We have"))

    assert actions == [Record(2, AgentSaid("We have", is_cut=True))]


def test_a_late_interrupt_keeps_the_choice_of_the_reply() -> None:
    call = it.answered("We have three kinds.", it.keyed({"3": KeyBinding("", "mark")}))
    call.happens(it.pressed("3"))

    actions = call.happens(it.interrupted("We have"))

    assert it.question(actions).choice == ForcedTool("mark")


def test_an_utterance_of_several_pieces_is_cut_in_each() -> None:
    call = it.using("look_up")
    call.fires(Timer.FILLER)
    call.happens(it.done(1), it.delta(2, "It is open until ten. "), it.finished(2))

    call.happens(it.interrupted("One moment, please. It is"))

    assert call.facts[3:] == [
        AgentSaid("One moment, please.", SpeechSource.FILLER),
        AgentSaid("It is", is_cut=True),
    ]


def test_two_texts_reported_as_played_are_two() -> None:
    call = it.using("look_up")
    call.fires(Timer.FILLER)
    call.happens(it.done(1), it.delta(2, "Done."), it.finished(2))
    call.happens(it.played("One moment, please."), it.played("Done."))

    call.happens(it.interrupted(""))

    assert call.facts[3:] == [
        AgentSaid("One moment, please.", SpeechSource.FILLER),
        AgentSaid("Done."),
    ]


def test_reports_of_played_text_are_kept_up_to_a_bound() -> None:
    call = it.answered("One two three.")
    call.happens(it.played("z" * 16_000), it.played("One two three."))

    assert Record(2, AgentSaid("", is_cut=True)) in call.happens(it.interrupted(""))


REST = "with cheese. They cost ten dollars."


def cut_short(config: CallConfig = it.HELLO) -> it.Call:
    """A complete reply, whose second half was not heard."""
    call = it.answered(f"We have pizza {REST}", config=config)
    call.happens(it.agent_on(), it.caller_on(), it.interrupted("We have pizza"))
    return call


def test_a_noise_stops_the_agent_once() -> None:
    """Without words the agent goes on from where it was heard; the next noise leaves it silent."""
    call = cut_short()
    quiet = call.happens(it.caller_off())

    went_on = call.fires(Timer.YIELD)
    call.happens(it.agent_on(), it.interrupted("with cheese."))

    assert it.starts(Timer.YIELD, 1_200) in quiet
    assert it.spoken(went_on) == [REST]
    assert [fact.text for fact in call.facts if isinstance(fact, AgentSaid)] == [
        "Hello.", "We have pizza", "with cheese",
    ]  # fmt: skip
    assert Timer.YIELD not in call.running


def test_each_turn_goes_on_once_after_a_noise() -> None:
    call = cut_short()
    call.happens(it.caller_off())
    call.fires(Timer.YIELD)
    call.happens(it.agent_on(), it.agent_off(), it.spoke("And a drink?"))
    call.happens(it.delta(2, f"We have cola {REST}"), it.finished(2), it.agent_on(), it.caller_on())
    call.happens(it.interrupted("We have cola"), it.caller_off())

    assert it.spoken(call.fires(Timer.YIELD)) == [REST]


def test_a_nod_that_stops_the_agent_does_not_take_the_turn() -> None:
    call = cut_short()

    actions = call.happens(it.caller_off(), it.spoke("Mm-hm, okay."))

    assert it.spoken(actions) == [REST]
    assert [fact.text for fact in call.facts if isinstance(fact, CallerSaid)][-1] == "Mm-hm, okay."


def test_a_nod_into_a_reply_that_is_still_written_is_answered() -> None:
    """The model goes on by itself, and knows what was heard."""
    call = it.speaking("We have three kinds of pizza today, ")
    call.happens(it.interrupted("We have three kinds"))

    assert it.caller_text(call.happens(it.spoke("Okay."))).endswith("Okay.")


def test_a_nod_to_a_question_that_was_heard_is_an_answer() -> None:
    call = it.answered("Would you like cheese? It is one dollar.")
    call.happens(it.interrupted("Would you like cheese?"))

    assert it.question(call.happens(it.spoke("Yes."))).reply == 2


def test_words_after_a_barge_in_replace_what_was_not_heard() -> None:
    call = cut_short()

    actions = call.happens(it.caller_off(), it.spoke("Which kinds?"))

    assert it.question(actions).reply == 2
    assert Timer.YIELD not in call.running


def test_a_reply_that_was_still_written_goes_on_with_the_model() -> None:
    call = it.speaking("We have three kinds of pizza today, ")
    call.happens(it.interrupted("We have three kinds"))

    went_on = call.fires(Timer.YIELD)

    assert it.spoken(went_on) == ["of pizza today,"]
    assert GO_ON in str(it.question(went_on).messages[-1])


def test_silence_goes_on_before_it_asks_whether_anybody_is_there() -> None:
    assert it.spoken(cut_short().fires(Timer.IDLE)) == [REST]


def test_a_use_case_may_leave_the_agent_silent_after_a_noise() -> None:
    call = cut_short(it.limited(Limits(resumes_after_noise=False)))

    assert Timer.YIELD not in call.running
    assert it.spoken(call.fires(Timer.IDLE)) == ["Are you still there?"]


def test_a_filler_that_a_noise_stops_is_not_said_again() -> None:
    call = it.using("look_up")
    call.fires(Timer.TOOL)

    call.happens(it.interrupted("One"))
    actions = call.fires(Timer.YIELD)

    assert actions == []
    assert call.world.tools == {"tool00001": "running"}
