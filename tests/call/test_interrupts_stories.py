"""The caller breaks in: races of interrupts with words, replies and reports.

`World` checks all promises (docs/explain/promises.md) after each event.
"""

from __future__ import annotations

from dataclasses import replace

from agent.call.actions import CancelReply, Record, Speak
from agent.call.config import KeyBinding
from agent.call.history import AgentSaid, SpeechSource
from agent.call.messages import ForcedTool
from agent.call.timers import StopTimer, Timer
from tests.call.builders import (
    HELLO,
    agent,
    answered,
    asks,
    caller,
    delta,
    done,
    finished,
    interrupted,
    keyed,
    listening,
    played,
    pressed,
    question,
    speaking,
    spoke,
    started,
    starts,
    using,
)

BEGINS = "[The call begins.]"
CUT = "[The caller interrupted you there and did not hear more.]"


def test_an_interrupt_keeps_only_what_was_heard() -> None:
    call = speaking("We have three kinds of pizza today, and two salads. ")

    actions = call.happens(interrupted("We have three kinds"))

    assert actions == [
        CancelReply(1),
        Speak(2, "", is_last=True),
        Record(2, AgentSaid("We have three kinds", is_cut=True)),
        starts(Timer.IDLE, 8_000),
    ]


def test_the_model_reads_that_it_was_cut_off() -> None:
    call = speaking("We have three kinds of pizza today, and two salads. ")
    call.happens(interrupted("We have three kinds"))

    actions = call.happens(spoke("Which kinds?"))

    assert question(actions).messages[-2:] == (
        agent("We have three kinds"),
        caller(f"{CUT} Which kinds?"),
    )


def test_nothing_more_of_an_interrupted_reply_is_spoken() -> None:
    call = speaking("We have three kinds, ")
    call.happens(interrupted("We have"))

    assert call.happens(delta(1, "of pizza today. ")) == []
    assert call.happens(finished(1)) == []


def test_an_interrupt_after_the_reply_was_complete_still_cuts() -> None:
    call = answered("We have three kinds of pizza today.")

    actions = call.happens(interrupted("We have three"))

    assert actions == [
        StopTimer(Timer.PLAYBACK),
        Record(2, AgentSaid("We have three", is_cut=True)),
        starts(Timer.IDLE, 8_000),
    ]


def test_a_reply_heard_to_its_end_is_not_cut() -> None:
    call = answered("We have three kinds.")

    actions = call.happens(interrupted("We have three kinds"))

    assert actions == [StopTimer(Timer.PLAYBACK), starts(Timer.IDLE, 8_000)]


def test_a_reply_that_goes_on_is_cut_even_where_all_so_far_was_heard() -> None:
    call = speaking("We have three kinds, ")

    actions = call.happens(interrupted("We have three kinds"))

    assert Record(2, AgentSaid("We have three kinds,", is_cut=True)) in actions


def test_a_second_interrupt_does_no_harm() -> None:
    call = speaking("We have three kinds of pizza today, ")
    call.happens(interrupted("We have three"))

    actions = call.happens(interrupted("We"))

    assert actions == [StopTimer(Timer.IDLE), starts(Timer.IDLE, 8_000)]


def test_an_interrupt_that_reports_nothing_leaves_nothing() -> None:
    call = speaking("We have three kinds of pizza today, ")
    call.happens(interrupted(""))

    actions = call.happens(spoke("Hello?"))

    assert call.facts[2] == AgentSaid("", is_cut=True)
    assert question(actions).messages == (
        caller(BEGINS),
        agent("Hello."),
        caller(f"Two pizzas please. {CUT} Hello?"),
    )


def test_what_the_relay_reported_as_played_counts_as_heard() -> None:
    call = speaking("We have three kinds of pizza today, ")
    call.happens(played("We have three kinds"))

    call.happens(interrupted("We"))

    assert call.facts[2] == AgentSaid("We have three kinds", is_cut=True)


def test_a_report_that_fits_nowhere_is_replaced_by_the_time() -> None:
    call = speaking("We have three kinds of pizza today, ")

    call.happens(interrupted("Bonjour tout le monde", 1_000))

    assert call.facts[2] == AgentSaid("We have three", is_cut=True)


def test_an_interrupt_of_the_greeting_cuts_it() -> None:
    call = started(replace(HELLO, greeting="Hello, how can I help?"))

    actions = call.happens(interrupted("Hello,"))

    assert actions == [
        StopTimer(Timer.PLAYBACK),
        Record(0, AgentSaid("Hello", SpeechSource.GREETING, is_cut=True)),
        starts(Timer.IDLE, 8_000),
    ]


def test_an_interrupt_that_comes_after_its_prompt_asks_anew() -> None:
    call = answered("We have three kinds of pizza today.")
    call.happens(spoke("Which kinds?"))

    actions = call.happens(interrupted("We have three"))

    assert actions == [
        Record(2, AgentSaid("We have three", is_cut=True)),
        CancelReply(2),
        StopTimer(Timer.FILLER),
        asks(
            3,
            caller(BEGINS),
            agent("Hello."),
            caller("Two pizzas please."),
            agent("We have three"),
            caller(f"{CUT} Which kinds?"),
        ),
        starts(Timer.FILLER, 3_000),
    ]


def test_a_late_interrupt_that_cuts_nothing_leaves_the_reply_alone() -> None:
    call = answered("We have three kinds.")
    call.happens(spoke("Which kinds?"))

    assert call.happens(interrupted("We have three kinds.")) == []


def test_a_late_interrupt_during_the_end_of_turn_delay_only_cuts() -> None:
    call = answered("We have three kinds of pizza today.")
    call.happens(spoke("I would like a"))

    actions = call.happens(interrupted("We have"))

    assert actions == [Record(2, AgentSaid("We have", is_cut=True))]


def test_a_late_interrupt_keeps_the_choice_of_the_reply() -> None:
    call = answered("We have three kinds.", keyed({"3": KeyBinding("", "mark")}))
    call.happens(pressed("3"))

    actions = call.happens(interrupted("We have"))

    assert question(actions).choice == ForcedTool("mark")


def test_an_utterance_of_several_pieces_is_cut_in_each() -> None:
    call = using("look_up")
    call.fires(Timer.FILLER)
    call.happens(done(1), delta(2, "It is open until ten. "), finished(2))

    call.happens(interrupted("One moment, please. It is"))

    assert call.facts[3:] == [
        AgentSaid("One moment, please.", SpeechSource.SERVICE),
        AgentSaid("It is", is_cut=True),
    ]


def test_two_texts_reported_as_played_are_two() -> None:
    call = using("look_up")
    call.fires(Timer.FILLER)
    call.happens(done(1), delta(2, "Done."), finished(2))
    call.happens(played("One moment, please."), played("Done."))

    call.happens(interrupted(""))

    assert call.facts[3:] == [
        AgentSaid("One moment, please.", SpeechSource.SERVICE),
        AgentSaid("Done."),
    ]


def test_short_texts_reported_as_played_are_heard() -> None:
    call = listening(keyed({"1": KeyBinding("Sure.", "look_up")}))
    call.happens(pressed("1"), delta(1, "Done."), finished(1))
    call.happens(played("Sure."), played("Done."))

    call.happens(interrupted(""))

    assert call.facts[2:] == [AgentSaid("Sure.", SpeechSource.SERVICE), AgentSaid("Done.")]


def test_reports_of_played_text_are_kept_up_to_a_bound() -> None:
    call = answered("One two three.")
    call.happens(played("z" * 16_000), played("One two three."))

    assert Record(2, AgentSaid("", is_cut=True)) in call.happens(interrupted(""))
