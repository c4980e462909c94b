"""The races of a call, each told as a list of events and what the conversation made of it.

Every story also passes through `World`, which holds it to the promises of style section 3.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.conversation import events as ev
from agent.conversation.actions import (
    CancelReply,
    CancelTool,
    EndCall,
    Record,
    RunTool,
    Speak,
    StartReply,
    StopTimer,
    SwitchLanguage,
    Timer,
)
from agent.conversation.events import EndReason
from agent.conversation.history import (
    AgentSaid,
    CallerSaid,
    Means,
    Note,
    ToolUsed,
    Voice,
)
from agent.conversation.machine import Conversation
from agent.conversation.messages import Choice, ForcedTool, StopReason, ToolCall, Usage
from agent.conversation.outcome import Handoff, HangUp
from agent.conversation.toolruns import CANCELLED, NOT_AN_OBJECT, NOT_HEARD, error_content
from agent.conversation.usecase import KeyBinding, Limits
from tests.conversation.builders import (
    HELLO,
    Call,
    agent,
    agent_off,
    agent_on,
    answered,
    asks,
    caller,
    caller_on,
    caller_text,
    delta,
    done,
    failed,
    finished,
    interrupted,
    keyed,
    limited,
    listening,
    partial,
    played,
    pressed,
    question,
    result,
    speaking,
    spoke,
    spoken,
    started,
    starts,
    thinking,
    use,
    using,
    wants,
)

BEGINS = "[The call begins.]"
WAITS = "[The caller is waiting for you to speak.]"
CUT = "[The caller interrupted you there and did not hear more.]"
READ_BACK = "One large pizza for twenty dollars, shall I order it? "


# The beginning and the turn


def test_greeting_is_history_and_the_silence_after_it_is_watched() -> None:
    """Practice section 5, rule 10: the relay plays the greeting, we remember it."""
    call = Call()

    actions = call.happens(ev.CallStarted())

    assert actions == [
        starts(Timer.DURATION, 1_740_000),
        Record(0, AgentSaid("Hello.", Voice.GREETING)),
        starts(Timer.PLAYBACK, 1_400),
    ]


def test_without_a_greeting_the_model_speaks_first() -> None:
    """Promise 7: somebody begins."""
    call = Call(replace(HELLO, greeting=""))

    actions = call.happens(ev.CallStarted())

    assert actions == [
        starts(Timer.DURATION, 1_740_000),
        asks(1, caller(BEGINS)),
        starts(Timer.FILLER, 3_000),
    ]


def test_a_prompt_after_the_greeting_is_answered() -> None:
    """The plain turn: words, question, deltas in clauses, the end, the wait for the playback."""
    call = started()

    heard = call.happens(spoke("Two pizzas please."))
    first = call.happens(delta(1, "Sure, two pizzas coming "))
    late = call.fires(Timer.FLUSH)
    last = call.happens(delta(1, "right up."), finished(1))

    assert heard == [
        Record(1, CallerSaid("Two pizzas please.")),
        StopTimer(Timer.PLAYBACK),
        asks(1, caller(BEGINS), agent("Hello."), caller("Two pizzas please.")),
        starts(Timer.FILLER, 3_000),
    ]
    assert first == [
        StopTimer(Timer.FILLER),
        Speak(2, "Sure, "),
        Record(2, AgentSaid("Sure, ")),
        starts(Timer.FLUSH, 300),
    ]
    assert late == [
        Speak(2, "two pizzas coming "),
        Record(2, AgentSaid("Sure, two pizzas coming ")),
    ]
    assert last == [
        StopTimer(Timer.FLUSH),
        Speak(2, "right up.", is_last=True),
        Record(2, AgentSaid("Sure, two pizzas coming right up.")),
        starts(Timer.PLAYBACK, 3_200),
    ]


def test_a_clause_that_is_complete_goes_out_without_waiting() -> None:
    """Practice section 14: the flush timer is only for what hangs in the air."""
    call = thinking()
    call.happens(delta(1, "Sure, two "))

    actions = call.happens(delta(1, "pizzas, as you like them. "))

    assert actions == [
        Speak(2, "two pizzas, as you like them. "),
        Record(2, AgentSaid("Sure, two pizzas, as you like them. ")),
        StopTimer(Timer.FLUSH),
    ]


def test_the_flush_timer_is_not_put_off_by_more_words() -> None:
    """A slow trickle must not keep ready words back for ever."""
    call = thinking()
    call.happens(delta(1, "Sure, two "))

    assert call.happens(delta(1, "large ")) == []
    assert spoken(call.fires(Timer.FLUSH)) == ["two large "]


def test_a_prompt_while_thinking_merges_with_the_one_before() -> None:
    """Practice section 3: nothing was heard of the first reply, so both are one turn."""
    call = thinking("Two pizzas please.")

    actions = call.happens(spoke("And a salad."))

    assert actions == [
        Record(2, CallerSaid("And a salad.")),
        CancelReply(1),
        StopTimer(Timer.FILLER),
        asks(2, caller(BEGINS), agent("Hello."), caller("Two pizzas please. And a salad.")),
        starts(Timer.FILLER, 3_000),
    ]


def test_two_finals_close_together_leave_one_reply() -> None:
    """Promise 2: words of the first reply that still arrive are not spoken."""
    call = listening()
    call.happens(spoke("My number is"), spoke("five five five."))

    late = call.happens(delta(0, "Your number "), finished(0))
    actions = call.happens(delta(1, "Thank "))

    assert late == []
    assert spoken(actions) == ["Thank "]
    assert CallerSaid("My number is") in call.facts


def test_deltas_of_a_cancelled_reply_change_nothing() -> None:
    """Promise 2."""
    call = thinking()
    call.happens(spoke("And a salad."))

    assert call.happens(delta(1, "Sure thing. ")) == []
    assert call.happens(finished(1, wants("order"))) == []
    assert call.happens(failed(1)) == []


def test_what_a_reply_costs_changes_nothing() -> None:
    """Tokens are counted by the observer, whenever they come."""
    call = thinking()

    assert call.happens(ev.TokensCounted(1, Usage(10, 5))) == []


def test_partials_never_act() -> None:
    """Practice section 3: a partial only proves that somebody is talking."""
    call = listening()

    actions = call.happens(partial("I would like two"))

    assert actions == [starts(Timer.IDLE, 8_000)]
    assert call.facts == [AgentSaid("Hello.", Voice.GREETING)]


def test_a_partial_while_the_reply_runs_does_not_stop_it() -> None:
    """Words that may still change cancel nothing."""
    call = thinking()

    assert call.happens(partial("And")) == []


@pytest.mark.parametrize("blank", ["", "  ", "...", "?!"])
def test_a_blank_prompt_is_no_turn(blank: str) -> None:
    """Practice section 3: it only shows that the line is alive."""
    call = listening()

    actions = call.happens(spoke(blank))

    assert actions == [starts(Timer.IDLE, 8_000)]


def test_unfinished_words_hold_a_second_and_join_the_next() -> None:
    """Practice section 4.4."""
    call = listening()

    held = call.happens(spoke("I would like a"))
    going_on = call.happens(partial("large"))
    joined = call.happens(spoke("large pizza."))

    assert held == [
        Record(1, CallerSaid("I would like a")),
        StopTimer(Timer.IDLE),
        starts(Timer.HOLD, 1_000),
    ]
    assert going_on == [starts(Timer.HOLD, 1_000)]
    assert joined == [
        Record(2, CallerSaid("large pizza.")),
        StopTimer(Timer.HOLD),
        asks(1, caller(BEGINS), agent("Hello."), caller("I would like a large pizza.")),
        starts(Timer.FILLER, 3_000),
    ]


def test_unfinished_words_that_stay_so_are_answered() -> None:
    """Promise 7."""
    call = listening()
    call.happens(spoke("I would like a"))

    actions = call.fires(Timer.HOLD)

    assert caller_text(actions) == "I would like a"


def test_a_nod_does_not_stop_the_agent() -> None:
    """Practice section 4.2: recorded, not answered."""
    call = speaking("We have three kinds of pizza today, ")

    nod = call.happens(spoke("uh huh"))
    more = call.happens(delta(1, "with cheese and ham. "))

    assert nod == [Record(3, CallerSaid("uh huh"))]
    assert spoken(more) == ["with cheese and ham. "]


def test_a_nod_while_a_complete_reply_plays_is_ignored() -> None:
    """The relay says that the agent is still heard."""
    call = answered("We have three kinds of pizza today.")
    call.happens(agent_on())

    assert call.happens(spoke("okay")) == [Record(3, CallerSaid("okay"))]


def test_a_nod_in_silence_is_an_answer() -> None:
    """Nobody is speaking, so it is no sign to go on."""
    call = answered("We have three kinds of pizza today.")
    call.happens(agent_on(), agent_off())

    assert caller_text(call.happens(spoke("okay"))) == "okay"


def test_yes_after_a_question_is_an_answer() -> None:
    """Practice section 4.2: not when the agent has just asked."""
    call = answered("Shall I order it?")
    call.happens(agent_on())

    assert caller_text(call.happens(spoke("yes"))) == "yes"


def test_words_that_are_no_nod_stop_the_agent() -> None:
    """Promise 6: the open utterance is closed, the reply left."""
    call = speaking("We have three kinds of pizza today, ")

    actions = call.happens(spoke("stop"))

    assert actions == [
        Record(3, CallerSaid("stop")),
        CancelReply(1),
        Speak(2, "", is_last=True),
        asks(
            2,
            caller(BEGINS),
            agent("Hello."),
            caller("Two pizzas please."),
            agent("We have three kinds of pizza today,"),
            caller("stop"),
        ),
        starts(Timer.FILLER, 3_000),
    ]


# Interruptions


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
        Record(0, AgentSaid("Hello", Voice.GREETING, is_cut=True)),
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
        AgentSaid("One moment, please.", Voice.SERVICE),
        AgentSaid("It is", is_cut=True),
    ]


# Tools


def test_a_tool_is_run_and_its_result_given_to_the_model() -> None:
    """Words, call, result, words: one turn."""
    call = thinking()

    ran = call.happens(delta(1, "Let me look."), finished(1, wants("look_up", '{"a":1}')))
    asked = call.happens(done(1, '{"price":20}'))

    assert ran == [
        StopTimer(Timer.FLUSH),
        Speak(2, "me look.", is_last=True),
        Record(2, AgentSaid("Let me look.")),
        Record(3, ToolUsed(1, use(1, "look_up", '{"a":1}'))),
        RunTool(use(1, "look_up", '{"a":1}')),
        starts(Timer.FILLER, 5_000),
    ]
    assert asked == [
        Record(3, ToolUsed(1, use(1, "look_up", '{"a":1}'), result(1, '{"price":20}'))),
        StopTimer(Timer.FILLER),
        asks(
            2,
            caller(BEGINS),
            agent("Hello."),
            caller("Two pizzas please."),
            agent("Let me look.", use(1, "look_up", '{"a":1}')),
            caller(result(1, '{"price":20}')),
        ),
        starts(Timer.FILLER, 3_000),
    ]


def test_the_model_is_asked_when_all_results_are_there() -> None:
    """Practice section 6: one model call after all are done."""
    call = thinking()
    call.happens(finished(1, wants("look_up"), wants("mark")))

    first = call.happens(done(2))
    second = call.happens(done(1))

    assert first == [Record(3, ToolUsed(1, use(2, "mark"), result(2)))]
    assert question(second).messages[-2:] == (
        agent(use(1, "look_up"), use(2, "mark")),
        caller(result(1), result(2)),
    )


def test_an_interrupt_cancels_a_tool_without_side_effects() -> None:
    """Practice section 7: cancelled and answered at once."""
    call = thinking()
    call.happens(delta(1, "Let me look. "), finished(1, wants("look_up")))

    actions = call.happens(interrupted("Let me look."))

    cancelled = result(1, error_content(CANCELLED), is_error=True)
    assert actions == [
        StopTimer(Timer.FILLER),
        CancelTool("tool00001"),
        Record(3, ToolUsed(1, use(1, "look_up"), cancelled)),
        starts(Timer.IDLE, 8_000),
    ]


def test_a_prompt_cancels_a_tool_without_side_effects() -> None:
    """Practice section 7: as an interrupt without cut text."""
    call = using("look_up")

    actions = call.happens(spoke("Never mind, are you open?"))

    assert CancelTool("tool00001") in actions
    assert question(actions).reply == 2
    assert call.happens(done(1)) == []


def test_an_order_runs_on_when_the_caller_breaks_in() -> None:
    """Promise 4: a side effect is never cancelled; the model reads that it is still running."""
    call = using("order")

    actions = call.happens(spoke("How long will it take?"))

    assert actions == [
        Record(3, CallerSaid("How long will it take?")),
        StopTimer(Timer.FILLER),
        asks(
            2,
            caller(BEGINS),
            agent("Hello."),
            caller("Two pizzas please."),
            agent(use(1, "order")),
            caller(
                result(
                    1,
                    '{"status":"running","message":"Still running.'
                    ' The result will follow in a note."}',
                ),
                "How long will it take?",
            ),
        ),
        starts(Timer.FILLER, 3_000),
    ]


LATE = 'order has finished meanwhile, with this result: {"ok":true} Tell the caller when it fits.'


def test_a_late_result_is_recorded_and_told_when_nobody_speaks() -> None:
    """Promise 4 and style section 13, item 1."""
    call = using("order")
    call.happens(spoke("How long will it take?"))
    late = call.happens(done(1))
    call.happens(delta(2, "About an hour."), finished(2))

    told = call.happens(agent_off())

    assert late == [
        Record(2, ToolUsed(1, use(1, "order"), result(1))),
        Record(4, Note(LATE)),
    ]
    assert caller_text(told) == WAITS
    assert caller(f"How long will it take? [{LATE}]") not in question(told).messages
    assert question(told).messages[-4:] == (
        agent(use(1, "order")),
        caller(result(1), f"How long will it take? [{LATE}]"),
        agent("About an hour."),
        caller(WAITS),
    )


def test_a_late_result_in_a_silence_is_told_at_once() -> None:
    """Nobody speaks and nothing runs."""
    call = using("order")
    call.happens(spoke("How long will it take?"), delta(2, "About an hour."), finished(2))
    call.happens(agent_off())

    actions = call.happens(done(1))

    assert caller_text(actions) == f"[{LATE}]"


def test_a_late_result_waits_while_the_caller_speaks() -> None:
    """The caller has the floor; a pause gives it back."""
    call = using("order")
    call.happens(spoke("How long will it take?"), delta(2, "About an hour."), finished(2))
    call.happens(agent_off(), caller_on())

    late = call.happens(done(1))
    told = call.fires(Timer.IDLE)

    assert late[1:] == [Record(5, Note(LATE))]
    assert caller_text(told) == f"[{LATE}]"


def test_a_late_result_is_told_once() -> None:
    """The second silence is an ordinary one."""
    call = using("order")
    call.happens(spoke("How long will it take?"), done(1))
    call.happens(delta(2, "About an hour."), finished(2), agent_off())
    call.happens(delta(3, "And your order is done."), finished(3))

    actions = call.happens(agent_off())

    assert actions == [StopTimer(Timer.PLAYBACK), starts(Timer.IDLE, 8_000)]


def test_an_order_that_runs_at_hang_up_is_recorded() -> None:
    """Promises 4 and 8: the call is over when the order is."""
    call = using("order")

    gone = call.happens(ev.CallEnded())
    was_over = call.world.conversation.is_over
    recorded = call.happens(done(1))

    assert gone == [StopTimer(Timer.FILLER), StopTimer(Timer.DURATION)]
    assert not was_over
    assert recorded == [Record(2, ToolUsed(1, use(1, "order"), result(1)))]
    assert call.world.conversation.is_over


def test_a_look_up_that_runs_at_hang_up_is_cancelled() -> None:
    """Promise 8: nothing is waited for that nobody needs."""
    call = using("look_up")

    actions = call.happens(ev.CallEnded())

    assert CancelTool("tool00001") in actions
    assert call.world.conversation.is_over


def test_after_five_rounds_of_tools_the_model_must_answer() -> None:
    """Practice section 6, loop limit."""
    call = thinking()
    choices = []

    for reply in range(1, 6):
        arguments = f'{{"page":{reply}}}'
        call.happens(finished(reply, wants("look_up", arguments)))
        choices.append(question(call.happens(done(reply))).choice)

    assert choices == [Choice.AUTO] * 4 + [Choice.NONE]


def test_calls_of_a_reply_that_must_answer_are_not_run() -> None:
    """It is asked once more, then we say a sentence of our own."""
    call = thinking(brief=limited(Limits(tool_rounds=1)))
    call.happens(finished(1, wants("look_up")), done(1))

    again = call.happens(finished(2, wants("look_up")))
    sentence = call.happens(finished(3, wants("look_up")))

    assert question(again).choice is Choice.NONE
    assert spoken(sentence) == [HELLO.phrases.not_understood]


def test_each_turn_has_its_own_rounds() -> None:
    """The limit is one of a turn, not of a call."""
    call = thinking(brief=limited(Limits(tool_rounds=2)))
    call.happens(finished(1, wants("look_up")), done(1), delta(2, "Ten."), finished(2))
    call.happens(spoke("And tomorrow?"), finished(3, wants("look_up")))

    actions = call.happens(done(2))

    assert question(actions).choice is Choice.AUTO


def test_an_unknown_tool_is_answered_with_the_ones_there_are() -> None:
    """Practice section 6: the model can act on it; nothing is run."""
    call = thinking()

    actions = call.happens(finished(1, wants("make-coffee")))

    told = error_content("There is no tool make_coffee. Tools: look_up, mark, order, leave.")
    assert actions == [
        StopTimer(Timer.FILLER),
        Record(2, ToolUsed(1, use(1, "make_coffee"), result(1, told, is_error=True))),
        asks(
            2,
            caller(BEGINS),
            agent("Hello."),
            caller("Two pizzas please."),
            agent(use(1, "make_coffee")),
            caller(result(1, told, is_error=True)),
        ),
        starts(Timer.FILLER, 3_000),
    ]


@pytest.mark.parametrize("arguments", ["{oops", "[]", '"text"', "1"])
def test_arguments_that_are_no_object_are_answered_so(arguments: str) -> None:
    """Never executed on a partial input; history keeps an object."""
    call = thinking()

    call.happens(finished(1, wants("look_up", arguments)))

    told = result(1, error_content(NOT_AN_OBJECT), is_error=True)
    assert call.facts[-1] == ToolUsed(1, use(1, "look_up"), told)


def test_no_arguments_are_an_empty_object() -> None:
    """Practice section 6: the empty string is `{}`."""
    call = thinking()

    actions = call.happens(finished(1, wants("look_up", "")))

    assert RunTool(use(1, "look_up")) in actions


def test_the_same_order_joins_the_one_that_runs() -> None:
    """Promise 4: run once, both calls answered with its result."""
    call = using("order", '{"a":1,"b":2}')
    call.happens(spoke("Is it done?"))

    joined = call.happens(finished(2, wants("order", '{"b": 2, "a": 1}')))
    both = call.happens(done(1))

    assert not [action for action in joined if isinstance(action, RunTool)]
    assert both[:2] == [
        Record(2, ToolUsed(1, use(1, "order", '{"a":1,"b":2}'), result(1))),
        Record(4, ToolUsed(2, use(2, "order", '{"b": 2, "a": 1}'), result(2))),
    ]
    assert question(both).reply == 3


def test_the_same_order_takes_over_the_result_of_one_that_succeeded() -> None:
    """Promise 4."""
    call = using("order")
    call.happens(done(1, '{"number":7}'))

    actions = call.happens(finished(2, wants("order")))

    assert actions[1] == Record(3, ToolUsed(2, use(2, "order"), result(2, '{"number":7}')))
    assert not [action for action in actions if isinstance(action, RunTool)]


def test_an_order_that_failed_may_be_tried_again() -> None:
    """A failure had no effect."""
    call = using("order")
    call.happens(done(1, '{"error":"busy"}', failed=True))

    actions = call.happens(finished(2, wants("order")))

    assert RunTool(use(2, "order")) in actions


def test_another_order_is_run() -> None:
    """Other arguments, another order."""
    call = using("order", '{"size":"large"}')
    call.happens(done(1))

    actions = call.happens(finished(2, wants("order", '{"size":"small"}')))

    assert RunTool(use(2, "order", '{"size":"small"}')) in actions


def test_looking_twice_is_no_duplicate() -> None:
    """What only looks may look again."""
    call = using("look_up")
    call.happens(done(1))

    actions = call.happens(finished(2, wants("look_up")))

    assert RunTool(use(2, "look_up")) in actions


def test_yes_does_not_confirm_what_was_not_heard() -> None:
    """Practice section 5, rule 11."""
    call = answered(READ_BACK)
    call.happens(interrupted("One large pizza"), spoke("Yes."))

    actions = call.happens(finished(2, wants("order")))

    refused = result(1, error_content(NOT_HEARD), is_error=True)
    assert call.facts[-1] == ToolUsed(2, use(1, "order"), refused)
    assert question(actions).messages[-1] == caller(refused)


def test_yes_confirms_what_was_heard_to_the_end() -> None:
    """Also if the interrupt came with the last word."""
    call = answered(READ_BACK)
    call.happens(interrupted(READ_BACK), spoke("Yes."))

    actions = call.happens(finished(2, wants("order")))

    assert RunTool(use(1, "order")) in actions


def test_a_read_back_that_was_heard_the_second_time_is_confirmed() -> None:
    """Only the agent's last words before the yes count."""
    call = answered(READ_BACK)
    call.happens(interrupted("One large"), spoke("What?"), delta(2, READ_BACK), finished(2))
    call.happens(agent_on(), agent_off(), spoke("Yes."))

    actions = call.happens(delta(3, "Right. "), finished(3, wants("order")))

    assert RunTool(use(1, "order")) in actions


def test_what_can_be_repeated_needs_no_confirmation() -> None:
    """The rule is for tools that change something each time."""
    call = answered(READ_BACK)
    call.happens(interrupted("One large"), spoke("Yes."))

    actions = call.happens(finished(2, wants("mark")))

    assert RunTool(use(1, "mark")) in actions


def test_an_effect_of_a_tool_is_carried_out() -> None:
    """Before the model speaks, so that it speaks in the new language."""
    call = using("look_up")

    actions = call.happens(done(1, effect=SwitchLanguage("es-US")))

    assert actions.index(SwitchLanguage("es-US")) < actions.index(question(actions))


# Keys


KEYPAD = {
    "1": KeyBinding("One moment.", "look_up"),
    "2": KeyBinding("We are open."),
    "3": KeyBinding("", "mark"),
    "4": KeyBinding(),
}


def test_a_key_with_text_and_function_speaks_and_forces_the_tool() -> None:
    """Seed section A13, second row."""
    call = listening(keyed(KEYPAD))

    actions = call.happens(pressed("1"))

    assert actions == [
        Record(1, CallerSaid("1", Means.KEYPAD)),
        StopTimer(Timer.IDLE),
        Speak(2, "One moment.", is_last=True),
        Record(2, AgentSaid("One moment.", Voice.SERVICE)),
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
    """Seed section A13, first row."""
    call = listening(keyed(KEYPAD))

    actions = call.happens(pressed("2"))

    assert spoken(actions) == []
    assert question(actions).choice is Choice.AUTO
    assert caller_text(actions) == (
        "[The caller pressed on the keypad: 2]"
        " [Answer with this text, in the caller's language: We are open.]"
    )


def test_a_key_with_a_function_forces_the_tool_once() -> None:
    """Seed section A13, third row; the choice is free again after the first round."""
    call = listening(keyed(KEYPAD))

    forced = call.happens(pressed("3"))
    free = call.happens(finished(1, wants("mark")), done(1))

    assert question(forced).choice == ForcedTool("mark")
    assert caller_text(forced) == "[The caller pressed on the keypad: 3]"
    assert question(free).choice is Choice.AUTO


def test_a_key_with_neither_is_told_to_the_model() -> None:
    """Seed section A13, fourth row."""
    call = listening(keyed(KEYPAD))

    actions = call.happens(pressed("4"))

    assert question(actions).choice is Choice.AUTO
    assert caller_text(actions) == "[The caller pressed on the keypad: 4]"


def test_keys_without_binding_become_one_entry() -> None:
    """Practice section 16: never one turn for each key."""
    call = listening()

    first = call.happens(pressed("5"))
    second = call.happens(pressed("0"))
    complete = call.happens(pressed("#"))

    assert first == [StopTimer(Timer.IDLE), starts(Timer.DIGITS, 3_000)]
    assert second == [starts(Timer.DIGITS, 3_000)]
    assert complete == [
        StopTimer(Timer.DIGITS),
        Record(1, CallerSaid("5 0", Means.KEYPAD)),
        asks(
            1,
            caller(BEGINS),
            agent("Hello."),
            caller("[The caller pressed on the keypad: 5 0]"),
        ),
        starts(Timer.FILLER, 3_000),
    ]


def test_a_pause_completes_an_entry() -> None:
    """Practice section 16."""
    call = listening()
    call.happens(pressed("5"), pressed("0"))

    assert caller_text(call.fires(Timer.DIGITS)) == "[The caller pressed on the keypad: 5 0]"


def test_the_first_key_stops_the_agent() -> None:
    """Practice section 16."""
    call = speaking("Please type your number, ")

    actions = call.happens(pressed("5"))

    assert actions == [
        CancelReply(1),
        Speak(2, "", is_last=True),
        starts(Timer.DIGITS, 3_000),
    ]


def test_a_star_takes_the_keys_back() -> None:
    """Nothing was typed: the caller is listened to again."""
    call = listening()
    call.happens(pressed("5"), pressed("*"))

    actions = call.fires(Timer.DIGITS)

    assert actions == [starts(Timer.IDLE, 8_000)]
    assert len(call.facts) == 1


def test_keys_after_a_star_count() -> None:
    """The entry begins anew."""
    call = listening()

    actions = call.happens(pressed("5"), pressed("*"), pressed("7"), pressed("#"))

    assert call.facts[-1] == CallerSaid("7", Means.KEYPAD)
    assert caller_text(actions) == "[The caller pressed on the keypad: 7]"


def test_an_empty_entry_after_words_does_not_forget_them() -> None:
    """The key stopped a reply to them; they still want an answer."""
    call = thinking("What is on the menu?")

    actions = call.happens(pressed("#"))

    assert caller_text(actions) == "What is on the menu?"
    assert CancelReply(1) in actions


def test_words_complete_an_entry() -> None:
    """Both are one turn, in their order; here a yes is no nod."""
    call = listening()
    call.happens(pressed("5"), agent_on())

    actions = call.happens(spoke("yes"))

    assert caller_text(actions) == "[The caller pressed on the keypad: 5] yes"


def test_a_bound_key_completes_an_entry() -> None:
    """Both are kept."""
    call = listening(keyed({"4": KeyBinding()}))
    call.happens(pressed("5"))

    actions = call.happens(pressed("4"))

    assert call.facts[1:] == [CallerSaid("5", Means.KEYPAD), CallerSaid("4", Means.KEYPAD)]
    assert question(actions).reply == 1


def test_keys_typed_before_the_line_dropped_are_kept() -> None:
    """Promise 5."""
    call = listening()
    call.happens(pressed("5"))

    actions = call.happens(ev.CallEnded())

    assert Record(1, CallerSaid("5", Means.KEYPAD)) in actions


# Replies that give nothing


@pytest.mark.parametrize("text", ["", "<thinking>They want pizza.</thinking>", " \n"])
def test_a_reply_without_words_is_tried_once_more(text: str) -> None:
    """Promise 7: then a sentence of our own."""
    call = thinking()

    again = call.happens(delta(1, text), finished(1))
    sentence = call.happens(delta(2, text), finished(2))

    assert question(again).reply == 2
    assert spoken(again) == []
    assert spoken(sentence) == [HELLO.phrases.not_understood]
    assert Timer.PLAYBACK in call.running


def test_each_turn_may_be_tried_once_more() -> None:
    """The second chance belongs to the turn."""
    call = thinking()
    call.happens(finished(1), finished(2), spoke("Two pizzas."))

    actions = call.happens(finished(3))

    assert question(actions).reply == 4


def test_a_failed_reply_is_followed_by_an_apology() -> None:
    """Promise 7."""
    call = thinking()

    actions = call.happens(failed(1))

    assert actions == [
        StopTimer(Timer.FILLER),
        Speak(2, HELLO.phrases.apology, is_last=True),
        Record(2, AgentSaid(HELLO.phrases.apology, Voice.SERVICE)),
        starts(Timer.PLAYBACK, 5_866),
    ]


def test_a_failure_in_mid_sentence_closes_the_utterance() -> None:
    """Promise 6."""
    call = speaking("We have three kinds, ")

    actions = call.happens(failed(1))

    assert actions[:3] == [
        Speak(2, "", is_last=True),
        Speak(3, HELLO.phrases.lost_thread, is_last=True),
        Record(3, AgentSaid(HELLO.phrases.lost_thread, Voice.SERVICE)),
    ]


def test_a_second_failure_ends_the_call() -> None:
    """Nobody can be reached: say so and go."""
    call = thinking()
    call.happens(failed(1), spoke("Two pizzas."))

    said = call.happens(failed(2))
    ended = call.happens(agent_off())

    assert spoken(said) == [HELLO.phrases.goodbye_trouble]
    assert EndCall('{"reasonCode": "goodbye"}') in ended
    assert call.world.conversation.end_reason is EndReason.ERROR_MODEL


def test_a_second_failure_passes_the_call_to_a_person() -> None:
    """If there is one."""
    call = thinking(brief=replace(HELLO, can_hand_off=True))
    call.happens(failed(1), spoke("Two pizzas."))

    said = call.happens(failed(2))
    ended = call.happens(agent_off())

    assert spoken(said) == [HELLO.phrases.transfer]
    assert EndCall('{"reasonCode": "live-agent-handoff", "reason": "technical trouble"}') in ended
    assert call.world.conversation.end_reason is EndReason.TRANSFER


def test_a_reply_that_succeeds_forgives_a_failure() -> None:
    """Two failures in a row, not in a call."""
    call = thinking()
    call.happens(failed(1), spoke("Two pizzas."), delta(2, "Sure."), finished(2))
    call.happens(spoke("And a salad."))

    assert spoken(call.happens(failed(3))) == [HELLO.phrases.apology]


def test_a_blocked_reply_is_replaced_by_a_sentence() -> None:
    """What was not said yet never is."""
    call = speaking("Well, first you ")

    actions = call.happens(delta(1, "take a "), finished(1, stop=StopReason.BLOCKED))

    assert actions[-4:] == [
        Speak(2, "", is_last=True),
        Speak(3, HELLO.phrases.blocked, is_last=True),
        Record(3, AgentSaid(HELLO.phrases.blocked, Voice.SERVICE)),
        starts(Timer.PLAYBACK, 7_266),
    ]


def test_a_blocked_reply_runs_no_tools() -> None:
    """Its calls are blocked as well."""
    call = thinking()

    actions = call.happens(finished(1, wants("order"), stop=StopReason.BLOCKED))

    assert spoken(actions) == [HELLO.phrases.blocked]
    assert not [action for action in actions if isinstance(action, RunTool)]


def test_a_reply_that_was_too_long_loses_its_unfinished_sentence() -> None:
    """Practice section 9: it may stop inside a word."""
    call = thinking()
    call.happens(delta(1, "We have pizza. It is good. And it com"))

    actions = call.happens(finished(1, stop=StopReason.LENGTH))

    assert call.facts[-1] == AgentSaid("We have pizza. It is good. ")
    assert Timer.PLAYBACK in call.running
    assert spoken(actions) == [""]


# The end


def leaving(effect: HangUp | Handoff) -> Call:
    """The model has said goodbye and its tool has run; the goodbye is being played."""
    call = thinking("That is all.")
    call.happens(delta(1, "Thank you, goodbye."), finished(1, wants("leave")))
    call.happens(done(1, effect=effect))
    return call


def test_the_call_ends_when_the_goodbye_was_played() -> None:
    """Practice section 15: last token, playback, end."""
    call = leaving(HangUp())

    actions = call.happens(agent_off())

    assert actions == [
        StopTimer(Timer.PLAYBACK),
        StopTimer(Timer.DURATION),
        EndCall('{"reasonCode": "goodbye"}'),
        starts(Timer.CLOSING, 10_000),
    ]
    assert call.world.conversation.end_reason is EndReason.AGENT_END


def test_the_call_ends_also_without_playback_reports() -> None:
    """The estimate stands in, at most ten seconds."""
    call = leaving(HangUp())

    actions = call.fires(Timer.PLAYBACK)

    assert EndCall('{"reasonCode": "goodbye"}') in actions


def test_the_wait_for_the_goodbye_is_limited() -> None:
    """Practice section 15: at most ten seconds."""
    call = thinking("That is all.")
    call.happens(delta(1, "Goodbye. " * 40), finished(1, wants("leave")))

    actions = call.happens(done(1, effect=HangUp()))

    assert starts(Timer.PLAYBACK, 10_000) in actions


def test_a_model_that_ends_without_a_word_is_asked_for_one() -> None:
    """The caller hears a goodbye; tools are over."""
    call = using("leave")

    actions = call.happens(done(1, effect=HangUp()))

    assert question(actions).choice is Choice.NONE


def test_a_model_without_last_words_gets_ours() -> None:
    """Promise 7."""
    call = using("leave")
    call.happens(done(1, effect=HangUp()), finished(2))

    actions = call.happens(finished(3))

    assert spoken(actions) == [HELLO.phrases.goodbye]
    assert EndCall('{"reasonCode": "goodbye"}') in call.happens(agent_off())


def test_a_model_that_fails_at_its_last_words_gets_ours() -> None:
    """Promise 7; the end stands."""
    call = using("leave")
    call.happens(done(1, effect=Handoff("wish", "wants a person")))

    actions = call.happens(failed(2))

    assert spoken(actions) == [HELLO.phrases.transfer]
    assert call.happens(agent_off())[-2] == EndCall(
        '{"reasonCode": "live-agent-handoff", "reason": "wish", "summary": "wants a person"}'
    )


def test_a_caller_who_speaks_takes_the_end_back() -> None:
    """Practice section 15."""
    call = leaving(HangUp())

    actions = call.happens(spoke("Wait, one more thing."))
    after = call.happens(delta(2, "Yes?"), finished(2), agent_off())

    assert question(actions).reply == 2
    assert after == [StopTimer(Timer.PLAYBACK), starts(Timer.IDLE, 8_000)]


def test_a_caller_who_breaks_in_takes_the_end_back() -> None:
    """Also without words that were understood."""
    call = leaving(HangUp())

    actions = call.happens(interrupted("Thank you"))

    assert actions[-1] == starts(Timer.IDLE, 8_000)
    assert call.fires(Timer.IDLE)[0] == Speak(3, "Are you still there?", is_last=True)


def test_a_handoff_stands_whatever_the_caller_says() -> None:
    """Practice section 7: words are kept, the effect stands."""
    call = leaving(Handoff("wish"))

    words = call.happens(spoke("Wait, one more thing."))
    key = call.happens(pressed("4"))
    ended = call.happens(agent_off())

    assert words == [Record(4, CallerSaid("Wait, one more thing."))]
    assert key == []
    assert EndCall('{"reasonCode": "live-agent-handoff", "reason": "wish"}') in ended


def test_an_interrupt_hurries_a_handoff() -> None:
    """There is nothing left to hear."""
    call = leaving(Handoff("wish"))

    actions = call.happens(interrupted("Thank you"))

    assert actions == [
        StopTimer(Timer.PLAYBACK),
        Record(2, AgentSaid("Thank you", is_cut=True)),
        StopTimer(Timer.DURATION),
        EndCall('{"reasonCode": "live-agent-handoff", "reason": "wish"}'),
        starts(Timer.CLOSING, 10_000),
    ]


def test_a_late_hang_up_is_no_longer_wanted() -> None:
    """The caller has gone on; only a handoff stands."""
    brief = replace(HELLO, tools={"leave": replace(HELLO.tools["order"], name="leave")})
    call = using("leave", brief=brief)
    call.happens(spoke("Wait!"), done(1, effect=HangUp()))
    call.happens(delta(2, "Yes?"), finished(2))

    assert question(call.happens(agent_off())).reply == 3


def test_a_late_handoff_still_hands_off() -> None:
    """It has happened, and somebody waits for the caller."""
    brief = replace(HELLO, tools={"leave": replace(HELLO.tools["order"], name="leave")})
    call = using("leave", brief=brief)
    call.happens(spoke("Wait!"), done(1, effect=Handoff("wish")))
    call.happens(delta(2, "Yes?"), finished(2))

    actions = call.happens(agent_off())

    assert EndCall('{"reasonCode": "live-agent-handoff", "reason": "wish"}') in actions


def test_a_relay_that_does_not_close_is_not_waited_for() -> None:
    """Promise 8: the closing timer is the end."""
    call = leaving(HangUp())
    call.happens(agent_off())

    actions = call.fires(Timer.CLOSING)

    assert actions == []
    assert call.world.conversation.is_over
    assert call.world.conversation.end_reason is EndReason.AGENT_END


def test_a_hang_up_while_the_goodbye_plays_is_the_agents_end() -> None:
    """Every call has exactly one end reason: the decision that was made first."""
    call = leaving(HangUp())

    call.happens(ev.CallEnded(EndReason.CALLER_HANGUP))

    assert call.world.conversation.end_reason is EndReason.AGENT_END


@pytest.mark.parametrize("reason", [EndReason.CALLER_HANGUP, EndReason.ERROR_RELAY])
def test_a_hang_up_stops_everything(reason: EndReason) -> None:
    """Promise 8."""
    call = speaking("We have three kinds, ")

    actions = call.happens(ev.CallEnded(reason))

    assert actions == [CancelReply(1), StopTimer(Timer.DURATION)]
    assert call.world.conversation.is_over
    assert call.world.conversation.end_reason is reason


@pytest.mark.parametrize(
    "event",
    [
        ev.CallStarted(),
        spoke("Hello?"),
        partial("Hel"),
        interrupted("We have"),
        pressed("1"),
        agent_on(),
        agent_off(),
        delta(1, "more "),
        finished(1),
        failed(1),
        ev.ServiceStopping(),
        ev.CallEnded(),
        ev.TokensCounted(1, Usage(1, 1)),
    ],
)
def test_after_the_end_nothing_happens(event: ev.Event) -> None:
    """Promise 8."""
    call = speaking("We have three kinds, ")
    call.happens(ev.CallEnded())

    assert call.happens(event) == []


def test_words_after_the_carrier_was_told_are_only_kept() -> None:
    """Promises 3 and 5: nothing is said after the end, and no word is lost."""
    call = leaving(HangUp())
    call.happens(agent_off())

    words = call.happens(spoke("Hello?"), partial("Are"))
    kept = call.happens(spoke("Are you there?"))
    cut = call.happens(interrupted("Thank"))

    assert words == []
    assert kept == [Record(5, CallerSaid("Are you there?"))]
    assert cut == [Record(2, AgentSaid("Thank", is_cut=True))]


def test_a_result_after_the_carrier_was_told_is_recorded() -> None:
    """Promise 4; it has no other effect."""
    call = using("order")
    call.happens(spoke("Bye."), delta(2, "Bye."), finished(2, wants("leave")))
    call.happens(done(2, effect=HangUp()), agent_off())

    actions = call.happens(done(1))

    assert actions == [Record(2, ToolUsed(1, use(1, "order"), result(1)))]


# Silence, fillers, time


def test_silence_is_broken_twice_then_the_call_ends() -> None:
    """Practice section 15: wording varies, waits grow."""
    call = listening()

    first = call.fires(Timer.IDLE)
    waits = call.happens(agent_off())
    second = call.fires(Timer.IDLE)
    call.happens(agent_off())
    goodbye = call.fires(Timer.IDLE)
    ended = call.happens(agent_off())

    assert first == [
        Speak(2, "Are you still there?", is_last=True),
        Record(1, AgentSaid("Are you still there?", Voice.SERVICE)),
        starts(Timer.PLAYBACK, 2_333),
    ]
    assert waits == [StopTimer(Timer.PLAYBACK), starts(Timer.IDLE, 10_000)]
    assert spoken(second) == ["I am still here if you need anything."]
    assert spoken(goodbye) == [HELLO.phrases.goodbye_idle]
    assert EndCall('{"reasonCode": "goodbye"}') in ended
    assert call.world.conversation.end_reason is EndReason.IDLE


def test_a_caller_who_speaks_has_all_the_silence_again() -> None:
    """Practice section 15: any sign resets the count."""
    call = listening()
    call.fires(Timer.IDLE)
    call.happens(spoke("Two pizzas."), delta(1, "Sure."), finished(1))

    assert call.happens(agent_off())[-1] == starts(Timer.IDLE, 8_000)


def test_speech_of_the_agent_suspends_the_silence() -> None:
    """The voice was slower than estimated."""
    call = listening()

    on = call.happens(agent_on())
    off = call.happens(agent_off())

    assert on == [StopTimer(Timer.IDLE), starts(Timer.PLAYBACK, 1_000)]
    assert off == [StopTimer(Timer.PLAYBACK), starts(Timer.IDLE, 8_000)]


def test_reports_that_change_nothing_are_ignored() -> None:
    """The agent is heard while its reply runs; nobody waits for the end yet."""
    call = speaking("We have three kinds, ")

    assert call.happens(agent_on()) == []
    assert call.happens(agent_off()) == []
    assert call.happens(ev.PlaybackReported(ev.Playback.CALLER_OFF)) == []


def test_a_slow_tool_is_filled_with_three_sentences() -> None:
    """Practice section 13: the first soon, each another, at most three."""
    call = thinking()

    first = call.happens(finished(1, wants("look_up")))
    fillers = [call.fires(Timer.FILLER) for _ in range(3)]

    assert first[-1] == starts(Timer.FILLER, 800)
    assert [spoken(filler) for filler in fillers] == [
        ["One moment, please."],
        ["I am still on it."],
        ["Thank you for waiting, it will not be long."],
    ]
    assert fillers[0][-1] == starts(Timer.FILLER, 5_000)
    assert Timer.FILLER not in call.running


def test_no_filler_when_words_came() -> None:
    """The model speaks for itself."""
    call = thinking()

    actions = call.happens(delta(1, "Sure, "))

    assert StopTimer(Timer.FILLER) in actions
    assert Timer.FILLER not in call.running


def test_a_slow_model_is_filled_too() -> None:
    """Its words come after the filler, in an utterance of their own."""
    call = thinking()

    filler = call.fires(Timer.FILLER)
    words = call.happens(delta(1, "Sure, "))

    assert filler == [
        Speak(2, "One moment, please.", is_last=True),
        Record(2, AgentSaid("One moment, please.", Voice.SERVICE)),
        starts(Timer.FILLER, 5_000),
    ]
    assert words[:3] == [
        StopTimer(Timer.FILLER),
        Speak(3, "Sure, "),
        Record(3, AgentSaid("Sure, ")),
    ]


def test_fillers_are_counted_for_each_turn() -> None:
    """Another turn may be slow as well."""
    call = thinking(brief=limited(Limits(filler_count=1)))
    call.fires(Timer.FILLER)
    call.happens(delta(1, "Sure."), finished(1))

    call.happens(spoke("And a salad."))

    assert Timer.FILLER in call.running


def test_a_call_that_gets_too_long_is_warned_and_ended() -> None:
    """Practice section 15: a minute before, then politely, whoever speaks."""
    call = listening()

    warned = call.fires(Timer.DURATION)
    call.happens(agent_off(), spoke("Two pizzas."), delta(1, "Sure, "))
    ended = call.fires(Timer.DURATION)
    goodbye = call.happens(agent_off())

    assert warned == [
        starts(Timer.DURATION, 60_000),
        Speak(2, HELLO.phrases.almost_over, is_last=True),
        Record(1, AgentSaid(HELLO.phrases.almost_over, Voice.SERVICE)),
        StopTimer(Timer.IDLE),
        starts(Timer.PLAYBACK, 4_800),
    ]
    assert ended == [
        starts(Timer.DURATION, 60_000),
        CancelReply(1),
        Speak(3, "", is_last=True),
        Speak(4, HELLO.phrases.goodbye_duration, is_last=True),
        Record(4, AgentSaid(HELLO.phrases.goodbye_duration, Voice.SERVICE)),
        starts(Timer.PLAYBACK, 5_066),
    ]
    assert EndCall('{"reasonCode": "goodbye"}') in goodbye
    assert call.world.conversation.end_reason is EndReason.MAX_DURATION


def test_the_warning_does_not_break_into_a_reply() -> None:
    """The model is told instead."""
    call = thinking()

    actions = call.fires(Timer.DURATION)

    assert actions == [
        starts(Timer.DURATION, 60_000),
        Record(2, Note(HELLO.phrases.almost_over)),
    ]


def test_a_call_that_ends_anyway_is_not_warned() -> None:
    """The goodbye is being played."""
    call = leaving(HangUp())

    assert call.fires(Timer.DURATION) == [starts(Timer.DURATION, 60_000)]


def test_a_stopping_service_ends_a_quiet_call() -> None:
    """The action URL is told, so that another process can go on."""
    call = listening()

    said = call.happens(ev.ServiceStopping())
    again = call.happens(ev.ServiceStopping())
    ended = call.happens(agent_off())

    assert spoken(said) == [HELLO.phrases.goodbye_stopping]
    assert again == []
    assert EndCall('{"reasonCode": "server-drain"}') in ended
    assert call.world.conversation.end_reason is EndReason.DRAIN


def test_a_stopping_service_lets_the_turn_finish() -> None:
    """The quiet moment comes after the playback."""
    call = thinking()

    at_once = call.happens(ev.ServiceStopping())
    call.happens(delta(1, "Sure."), finished(1))
    later = call.happens(agent_off())

    assert at_once == []
    assert spoken(later) == [HELLO.phrases.goodbye_stopping]


def test_a_second_start_changes_nothing() -> None:
    """Events out of season are stale."""
    call = started()

    assert call.happens(ev.CallStarted()) == []


def test_the_oldest_turns_are_left_out_of_a_long_call() -> None:
    """Practice section 18: what a request holds is limited."""
    conversation = Conversation(limited(Limits(history_characters=20)))
    for event in (ev.CallStarted(), spoke("Two pizzas please."), delta(1, "Sure."), finished(1)):
        conversation.receive(event)

    actions = conversation.receive(spoke("And a salad too."))

    assert question(actions).messages == (caller("And a salad too."),)


def test_identifiers_and_names_of_calls_are_our_own() -> None:
    """Practice section 8, rules 5 and 6."""
    call = thinking()

    call.happens(finished(1, ToolCall("same", "", "{}"), ToolCall("same", "x" * 70, "{}")))

    used = [fact.call for fact in call.facts if isinstance(fact, ToolUsed)]
    assert [(one.id, one.name) for one in used] == [
        ("tool00001", "unknown"),
        ("tool00002", "x" * 64),
    ]


def test_a_stale_timer_changes_nothing() -> None:
    """It was replaced, and had just fired."""
    call = listening()
    stale = ev.TimerFired(Timer.IDLE, call.world.timers[Timer.IDLE])
    call.happens(partial("I"))

    assert call.happens(stale) == []


def test_one_reply_at_a_time() -> None:
    """Promise 2, over a whole turn."""
    call = thinking()
    actions = call.happens(spoke("No, three."), spoke("Or four."))

    replies = [action for action in actions if isinstance(action, (StartReply, CancelReply))]
    assert [type(one) for one in replies] == [CancelReply, StartReply]


# What an adversary, or a second look, has found


def test_words_while_typing_do_not_strand_a_handoff() -> None:
    """Promise 7: found by the state machine after thousands of runs."""
    brief = replace(HELLO, tools={"leave": replace(HELLO.tools["order"], name="leave")})
    call = using("leave", brief=brief)
    call.happens(pressed("5"), done(1, effect=Handoff("wish")))

    actions = call.happens(spoke("Two pizzas please."))
    ended = call.happens(delta(2, "One moment."), finished(2), agent_off())

    assert question(actions).choice is Choice.NONE
    assert EndCall('{"reasonCode": "live-agent-handoff", "reason": "wish"}') in ended


def test_a_lost_report_of_silence_does_not_turn_answers_into_nods() -> None:
    """Practice section 3: a missing "off" is cleared by a time limit."""
    call = answered("We have three kinds of pizza today.")
    call.happens(agent_on())
    call.fires(Timer.PLAYBACK)

    assert caller_text(call.happens(spoke("okay"))) == "okay"


def test_two_texts_reported_as_played_are_two() -> None:
    """Relay reference section 2.7: one report for each text that was sent."""
    call = using("look_up")
    call.fires(Timer.FILLER)
    call.happens(done(1), delta(2, "Done."), finished(2))
    call.happens(played("One moment, please."), played("Done."))

    call.happens(interrupted(""))

    assert call.facts[3:] == [
        AgentSaid("One moment, please.", Voice.SERVICE),
        AgentSaid("Done."),
    ]


def test_short_texts_reported_as_played_are_heard() -> None:
    """Glued together they would fit nothing."""
    call = listening(keyed({"1": KeyBinding("Sure.", "look_up")}))
    call.happens(pressed("1"), delta(1, "Done."), finished(1))
    call.happens(played("Sure."), played("Done."))

    call.happens(interrupted(""))

    assert call.facts[2:] == [AgentSaid("Sure.", Voice.SERVICE), AgentSaid("Done.")]


def test_yes_to_a_re_prompt_does_not_confirm_a_cut_read_back() -> None:
    """Practice section 5, rule 11: the caller is still there, no more."""
    call = answered(READ_BACK)
    call.happens(interrupted("One large pizza"))
    call.fires(Timer.IDLE)
    call.happens(agent_off(), spoke("Yes."))

    call.happens(finished(2, wants("order")))

    refused = result(1, error_content(NOT_HEARD), is_error=True)
    assert call.facts[-1] == ToolUsed(2, use(1, "order"), refused)


def test_an_order_after_a_cut_greeting_is_run() -> None:
    """A greeting asks for no confirmation."""
    call = started()
    call.happens(interrupted(""), spoke("One pizza, I confirm it."))

    actions = call.happens(finished(1, wants("order")))

    assert RunTool(use(1, "order")) in actions


def test_blocked_last_words_are_replaced_by_a_goodbye() -> None:
    """Nobody is asked a question and then hung up on."""
    call = using("leave")
    call.happens(done(1, effect=HangUp()))

    actions = call.happens(finished(2, stop=StopReason.BLOCKED))

    assert spoken(actions) == [HELLO.phrases.goodbye]


def test_a_late_result_the_model_has_read_is_no_longer_news() -> None:
    """The note came before the reply was asked for."""
    call = using("order")
    call.happens(spoke("How long will the"), done(1))

    asked = call.fires(Timer.HOLD)
    after = call.happens(delta(2, "It is done."), finished(2), agent_off())

    assert caller_text(asked) == f"How long will the [{LATE}]"
    assert after == [StopTimer(Timer.PLAYBACK), starts(Timer.IDLE, 8_000)]


def test_a_stopping_service_does_not_talk_over_the_caller() -> None:
    """Nobody speaks in a quiet moment; the caller does here."""
    call = listening()
    call.happens(partial("I would like"))

    at_once = call.happens(ev.ServiceStopping())
    later = call.fires(Timer.IDLE)

    assert at_once == []
    assert spoken(later) == [HELLO.phrases.goodbye_stopping]


def test_the_warning_of_the_last_minute_does_not_talk_over_the_caller() -> None:
    """The model passes it on."""
    call = listening()
    call.happens(caller_on())

    actions = call.fires(Timer.DURATION)

    assert spoken(actions) == []
    assert call.facts[-1] == Note(HELLO.phrases.almost_over)


def test_a_service_that_stops_before_the_call_begins_ends_it_soon() -> None:
    """The first quiet moment is the one after the greeting."""
    call = Call()

    before = call.happens(ev.ServiceStopping())
    call.happens(ev.CallStarted())
    said = call.happens(agent_off())

    assert before == []
    assert spoken(said) == [HELLO.phrases.goodbye_stopping]


def test_a_slow_tool_says_its_own_filler_first() -> None:
    """Practice section 6: then those of the use case."""
    look = replace(HELLO.tools["look_up"], filler="Let me check the oven.")
    call = using("look_up", brief=replace(HELLO, tools={"look_up": look}))

    fillers = [call.fires(Timer.FILLER) for _ in range(3)]

    assert [spoken(filler) for filler in fillers] == [
        ["Let me check the oven."],
        ["I am still on it."],
        ["Thank you for waiting, it will not be long."],
    ]


def test_a_tool_that_was_announced_keeps_its_own_filler() -> None:
    """`ToolSpec.filler`: only if nothing else was said."""
    look = replace(HELLO.tools["look_up"], filler="Let me check the oven.")
    call = thinking(brief=replace(HELLO, tools={"look_up": look}))
    call.happens(delta(1, "I will check the oven."), finished(1, wants("look_up")))

    assert spoken(call.fires(Timer.FILLER)) == ["One moment, please."]


def test_thinking_inside_thinking_is_not_spoken() -> None:
    """Seed part D, condition 17."""
    call = thinking()

    call.happens(delta(1, "<think>a <think>b</think> c</think> Sure."), finished(1))

    assert call.facts[-1] == AgentSaid("Sure.")


def test_an_empty_thinking_tag_hides_nothing() -> None:
    """It is closed where it is opened."""
    call = thinking()

    call.happens(delta(1, "<thinking/> Sure."), finished(1))

    assert call.facts[-1] == AgentSaid("Sure.")
