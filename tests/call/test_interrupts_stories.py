"""The caller breaks in: races of interrupts with words, replies and reports.

Every story also passes through `World`, which holds it to the promises of style section 3.
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
    """Promise 3."""
    call = speaking("We have three kinds of pizza today, and two salads. ")

    actions = call.happens(interrupted("We have three kinds"))

    assert actions == [
        CancelReply(1),
        Speak(2, "", is_last=True),
        Record(2, AgentSaid("We have three kinds", is_cut=True)),
        starts(Timer.IDLE, 8_000),
    ]


def test_the_model_is_told_that_it_was_cut_off() -> None:
    """Practice section 4.1, step 6."""
    call = speaking("We have three kinds of pizza today, and two salads. ")
    call.happens(interrupted("We have three kinds"))

    actions = call.happens(spoke("Which kinds?"))

    assert question(actions).messages[-2:] == (
        agent("We have three kinds"),
        caller(f"{CUT} Which kinds?"),
    )


def test_nothing_more_of_an_interrupted_reply_is_spoken() -> None:
    """Promise 3."""
    call = speaking("We have three kinds, ")
    call.happens(interrupted("We have"))

    assert call.happens(delta(1, "of pizza today. ")) == []
    assert call.happens(finished(1)) == []


def test_an_interrupt_after_the_reply_was_complete_still_cuts() -> None:
    """Practice section 3: models write faster than voices read."""
    call = answered("We have three kinds of pizza today.")

    actions = call.happens(interrupted("We have three"))

    assert actions == [
        StopTimer(Timer.PLAYBACK),
        Record(2, AgentSaid("We have three", is_cut=True)),
        starts(Timer.IDLE, 8_000),
    ]


def test_a_reply_heard_to_its_end_is_not_cut() -> None:
    """The interrupt came with the last word."""
    call = answered("We have three kinds.")

    actions = call.happens(interrupted("We have three kinds"))

    assert actions == [StopTimer(Timer.PLAYBACK), starts(Timer.IDLE, 8_000)]


def test_a_reply_that_goes_on_is_cut_even_where_all_so_far_was_heard() -> None:
    """There was more to come, and the model must know that nobody heard it."""
    call = speaking("We have three kinds, ")

    actions = call.happens(interrupted("We have three kinds"))

    assert Record(2, AgentSaid("We have three kinds,", is_cut=True)) in actions


def test_a_second_interrupt_does_no_harm() -> None:
    """Promise 3: a cut is made once."""
    call = speaking("We have three kinds of pizza today, ")
    call.happens(interrupted("We have three"))

    actions = call.happens(interrupted("We"))

    assert actions == [StopTimer(Timer.IDLE), starts(Timer.IDLE, 8_000)]


def test_an_interrupt_that_reports_nothing_leaves_nothing() -> None:
    """Practice section 5, rule 7."""
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
    """Practice section 5: the longer consistent beginning."""
    call = speaking("We have three kinds of pizza today, ")
    call.happens(played("We have three kinds"))

    call.happens(interrupted("We"))

    assert call.facts[2] == AgentSaid("We have three kinds", is_cut=True)


def test_a_report_that_fits_nowhere_is_replaced_by_the_time() -> None:
    """Practice section 5, rule 4: 15 characters a second."""
    call = speaking("We have three kinds of pizza today, ")

    call.happens(interrupted("Bonjour tout le monde", 1_000))

    assert call.facts[2] == AgentSaid("We have three", is_cut=True)


def test_an_interrupt_of_the_greeting_cuts_it() -> None:
    """Practice section 5, rule 10."""
    call = started(replace(HELLO, greeting="Hello, how can I help?"))

    actions = call.happens(interrupted("Hello,"))

    assert actions == [
        StopTimer(Timer.PLAYBACK),
        Record(0, AgentSaid("Hello", SpeechSource.GREETING, is_cut=True)),
        starts(Timer.IDLE, 8_000),
    ]


def test_an_interrupt_that_comes_after_its_prompt_asks_anew() -> None:
    """Relay reference section 8, item 6: their order is not documented."""
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
    """The speech before was heard to its end; the caller's words are being answered."""
    call = answered("We have three kinds.")
    call.happens(spoke("Which kinds?"))

    assert call.happens(interrupted("We have three kinds.")) == []


def test_a_late_interrupt_while_words_are_held_only_cuts() -> None:
    """There is no reply yet that could be asked anew."""
    call = answered("We have three kinds of pizza today.")
    call.happens(spoke("I would like a"))

    actions = call.happens(interrupted("We have"))

    assert actions == [Record(2, AgentSaid("We have", is_cut=True))]


def test_a_late_interrupt_keeps_the_choice_of_the_reply() -> None:
    """A forced tool stays forced."""
    call = answered("We have three kinds.", keyed({"3": KeyBinding("", "mark")}))
    call.happens(pressed("3"))

    actions = call.happens(interrupted("We have"))

    assert question(actions).choice == ForcedTool("mark")


def test_an_utterance_of_several_pieces_is_cut_in_each() -> None:
    """Practice section 5, rule 6: one position in one ordered list."""
    call = using("look_up")
    call.fires(Timer.FILLER)
    call.happens(done(1), delta(2, "It is open until ten. "), finished(2))

    call.happens(interrupted("One moment, please. It is"))

    assert call.facts[3:] == [
        AgentSaid("One moment, please.", SpeechSource.SERVICE),
        AgentSaid("It is", is_cut=True),
    ]


def test_two_texts_reported_as_played_are_two() -> None:
    """Relay reference section 2.7: one report for each text that was sent."""
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
    """Glued together they would fit nothing."""
    call = listening(keyed({"1": KeyBinding("Sure.", "look_up")}))
    call.happens(pressed("1"), delta(1, "Done."), finished(1))
    call.happens(played("Sure."), played("Done."))

    call.happens(interrupted(""))

    assert call.facts[2:] == [AgentSaid("Sure.", SpeechSource.SERVICE), AgentSaid("Done.")]
