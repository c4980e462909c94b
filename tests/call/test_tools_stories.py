"""Tools against everything else: results, late results, duplicates, confirmations.

`World` checks all promises (docs/explain/promises.md) after each event.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.call import events as ev
from agent.call.actions import CancelTool, HangUp, Record, RunTool, Speak, SwitchLanguage
from agent.call.config import Limits
from agent.call.history import AgentSaid, CallerSaid, Note, ToolUsed
from agent.call.messages import Choice, ToolCall
from agent.call.timers import StopTimer, Timer
from agent.call.tool_calls import CANCELLED, NOT_AN_OBJECT, NOT_HEARD, error_content
from tests.call.builders import (
    HELLO,
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
    limited,
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
READ_BACK = "One large pizza for twenty dollars, shall I order it? "


def test_a_tool_is_run_and_its_result_given_to_the_model() -> None:
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
    call = using("look_up")

    actions = call.happens(spoke("Never mind, are you open?"))

    assert CancelTool("tool00001") in actions
    assert question(actions).reply == 2
    assert call.happens(done(1)) == []


def test_an_order_runs_on_when_the_caller_breaks_in() -> None:
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


def test_a_late_result_is_recorded_and_announced_when_neither_side_speaks() -> None:
    call = using("order")
    call.happens(spoke("How long will it take?"))
    late = call.happens(done(1))
    call.happens(delta(2, "About an hour."), finished(2))

    announced = call.happens(agent_off())

    assert late == [
        Record(2, ToolUsed(1, use(1, "order"), result(1))),
        Record(4, Note(LATE)),
    ]
    assert caller_text(announced) == WAITS
    assert caller(f"How long will it take? [{LATE}]") not in question(announced).messages
    assert question(announced).messages[-4:] == (
        agent(use(1, "order")),
        caller(result(1), f"How long will it take? [{LATE}]"),
        agent("About an hour."),
        caller(WAITS),
    )


def test_a_late_result_in_a_silence_is_announced_at_once() -> None:
    call = using("order")
    call.happens(spoke("How long will it take?"), delta(2, "About an hour."), finished(2))
    call.happens(agent_off())

    actions = call.happens(done(1))

    assert caller_text(actions) == f"[{LATE}]"


def test_a_late_result_waits_while_the_caller_speaks() -> None:
    call = using("order")
    call.happens(spoke("How long will it take?"), delta(2, "About an hour."), finished(2))
    call.happens(agent_off(), caller_on())

    late = call.happens(done(1))
    announced = call.fires(Timer.IDLE)

    assert late[1:] == [Record(5, Note(LATE))]
    assert caller_text(announced) == f"[{LATE}]"


def test_a_model_that_speaks_first_may_act_before_the_caller_does() -> None:
    call = started(replace(HELLO, greeting=""))

    actions = call.happens(finished(1, wants("order")))

    assert RunTool(use(1, "order"), is_lasting=True) in actions


def test_a_wish_to_hang_up_that_comes_late_is_dropped() -> None:
    call = using("order")
    call.happens(spoke("How long will it take?"), done(1, effect=HangUp()))
    call.happens(delta(2, "About an hour."), finished(2), agent_off())
    call.happens(delta(3, "And your order is done."), finished(3))

    actions = call.happens(agent_off())

    assert actions == [StopTimer(Timer.PLAYBACK), starts(Timer.IDLE, 8_000)]


def test_a_late_result_is_announced_once() -> None:
    call = using("order")
    call.happens(spoke("How long will it take?"), done(1))
    call.happens(delta(2, "About an hour."), finished(2), agent_off())
    call.happens(delta(3, "And your order is done."), finished(3))

    actions = call.happens(agent_off())

    assert actions == [StopTimer(Timer.PLAYBACK), starts(Timer.IDLE, 8_000)]


def test_an_order_that_runs_at_hang_up_is_recorded() -> None:
    call = using("order")

    gone = call.happens(ev.CallEnded())
    was_over = call.world.conversation.is_over
    recorded = call.happens(done(1))

    assert gone == [StopTimer(Timer.FILLER), StopTimer(Timer.DURATION)]
    assert not was_over
    assert recorded == [Record(2, ToolUsed(1, use(1, "order"), result(1)))]
    assert call.world.conversation.is_over


def test_a_look_up_that_runs_at_hang_up_is_cancelled() -> None:
    call = using("look_up")

    actions = call.happens(ev.CallEnded())

    assert CancelTool("tool00001") in actions
    assert call.world.conversation.is_over


def test_after_five_rounds_of_tools_the_model_must_answer() -> None:
    call = thinking()
    choices = []

    for reply in range(1, 6):
        arguments = f'{{"page":{reply}}}'
        call.happens(finished(reply, wants("look_up", arguments)))
        choices.append(question(call.happens(done(reply))).choice)

    assert choices == [Choice.AUTO] * 4 + [Choice.NONE]


def test_calls_of_a_reply_that_must_answer_are_not_run() -> None:
    call = thinking(config=limited(Limits(tool_rounds=1)))
    call.happens(finished(1, wants("look_up")), done(1))

    again = call.happens(finished(2, wants("look_up")))
    sentence = call.happens(finished(3, wants("look_up")))

    assert question(again).choice is Choice.NONE
    assert spoken(sentence) == [HELLO.phrases.not_understood]


def test_each_turn_has_its_own_rounds() -> None:
    call = thinking(config=limited(Limits(tool_rounds=2)))
    call.happens(finished(1, wants("look_up")), done(1), delta(2, "Ten."), finished(2))
    call.happens(spoke("And tomorrow?"), finished(3, wants("look_up")))

    actions = call.happens(done(2))

    assert question(actions).choice is Choice.AUTO


def test_an_unknown_tool_is_answered_with_the_ones_there_are() -> None:
    call = thinking()

    actions = call.happens(finished(1, wants("make-coffee")))

    refused = error_content("There is no tool make_coffee. Tools: look_up, mark, order, leave.")
    assert actions == [
        StopTimer(Timer.FILLER),
        Record(2, ToolUsed(1, use(1, "make_coffee"), result(1, refused, is_error=True))),
        asks(
            2,
            caller(BEGINS),
            agent("Hello."),
            caller("Two pizzas please."),
            agent(use(1, "make_coffee")),
            caller(result(1, refused, is_error=True)),
        ),
        starts(Timer.FILLER, 3_000),
    ]


@pytest.mark.parametrize("arguments", ["{oops", "[]", '"text"', "1"])
def test_arguments_that_are_no_object_are_answered_so(arguments: str) -> None:
    call = thinking()

    call.happens(finished(1, wants("look_up", arguments)))

    refused = result(1, error_content(NOT_AN_OBJECT), is_error=True)
    assert call.facts[-1] == ToolUsed(1, use(1, "look_up"), refused)


def test_no_arguments_are_an_empty_object() -> None:
    call = thinking()

    actions = call.happens(finished(1, wants("look_up", "")))

    assert RunTool(use(1, "look_up")) in actions


def test_the_same_order_joins_the_one_that_runs() -> None:
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
    call = using("order")
    call.happens(done(1, '{"number":7}'))

    actions = call.happens(finished(2, wants("order")))

    assert actions[1] == Record(3, ToolUsed(2, use(2, "order"), result(2, '{"number":7}')))
    assert not [action for action in actions if isinstance(action, RunTool)]


def test_an_order_that_failed_may_be_tried_again() -> None:
    call = using("order")
    call.happens(done(1, '{"error":"busy"}', failed=True))

    actions = call.happens(finished(2, wants("order")))

    assert RunTool(use(2, "order"), is_lasting=True) in actions


def test_another_order_is_run() -> None:
    call = using("order", '{"size":"large"}')
    call.happens(done(1))

    actions = call.happens(finished(2, wants("order", '{"size":"small"}')))

    assert RunTool(use(2, "order", '{"size":"small"}'), is_lasting=True) in actions


def test_looking_twice_is_no_duplicate() -> None:
    call = using("look_up")
    call.happens(done(1))

    actions = call.happens(finished(2, wants("look_up")))

    assert RunTool(use(2, "look_up")) in actions


def test_yes_does_not_confirm_what_was_not_heard() -> None:
    call = answered(READ_BACK)
    call.happens(interrupted("One large pizza"), spoke("Yes."))

    actions = call.happens(finished(2, wants("order")))

    refused = result(1, error_content(NOT_HEARD), is_error=True)
    assert call.facts[-1] == ToolUsed(2, use(1, "order"), refused)
    assert question(actions).messages[-1] == caller(refused)


@pytest.mark.parametrize("ends", [(), (failed(1),)])
def test_yes_does_not_confirm_what_was_never_said_to_the_end(ends: tuple[ev.Event, ...]) -> None:
    call = speaking("One large pizza, ")
    call.happens(*ends, spoke("Yes, order it please."))

    call.happens(finished(2, wants("order")))

    refused = result(1, error_content(NOT_HEARD), is_error=True)
    assert call.facts[-1] == ToolUsed(2, use(1, "order"), refused)


def test_a_backchannel_to_later_words_confirms_nothing() -> None:
    call = answered(READ_BACK)
    call.happens(interrupted("One large pizza"), spoke("How much is it?"))
    call.happens(delta(2, "Ten dollars. "), spoke("Okay."))

    call.happens(finished(2, wants("order")))

    refused = result(1, error_content(NOT_HEARD), is_error=True)
    assert call.facts[-1] == ToolUsed(2, use(1, "order"), refused)


def test_a_read_back_that_was_finished_the_second_time_is_confirmed() -> None:
    call = speaking("One large pizza, ")
    call.happens(spoke("With ham."), delta(2, READ_BACK), finished(2), spoke("Yes."))

    actions = call.happens(finished(3, wants("order")))

    assert RunTool(use(1, "order"), is_lasting=True) in actions


def test_yes_confirms_what_was_heard_to_the_end() -> None:
    call = answered(READ_BACK)
    call.happens(interrupted(READ_BACK), spoke("Yes."))

    actions = call.happens(finished(2, wants("order")))

    assert RunTool(use(1, "order"), is_lasting=True) in actions


def test_a_read_back_that_was_heard_the_second_time_is_confirmed() -> None:
    call = answered(READ_BACK)
    call.happens(interrupted("One large"), spoke("What?"), delta(2, READ_BACK), finished(2))
    call.happens(agent_on(), agent_off(), spoke("Yes."))

    actions = call.happens(delta(3, "Right. "), finished(3, wants("order")))

    assert RunTool(use(1, "order"), is_lasting=True) in actions


def test_what_can_be_repeated_needs_no_confirmation() -> None:
    call = answered(READ_BACK)
    call.happens(interrupted("One large"), spoke("Yes."))

    actions = call.happens(finished(2, wants("mark")))

    assert RunTool(use(1, "mark"), is_lasting=True) in actions


def test_an_effect_of_a_tool_is_carried_out() -> None:
    call = using("look_up")

    actions = call.happens(done(1, effect=SwitchLanguage("es-US")))

    assert actions.index(SwitchLanguage("es-US")) < actions.index(question(actions))


def test_identifiers_and_names_of_calls_are_our_own() -> None:
    call = thinking()

    call.happens(finished(1, ToolCall("same", "", "{}"), ToolCall("same", "x" * 70, "{}")))

    used = [fact.call for fact in call.facts if isinstance(fact, ToolUsed)]
    assert [(one.id, one.name) for one in used] == [
        ("tool00001", "unknown"),
        ("tool00002", "x" * 64),
    ]


def test_yes_to_a_re_prompt_does_not_confirm_a_cut_read_back() -> None:
    call = answered(READ_BACK)
    call.happens(interrupted("One large pizza"))
    call.fires(Timer.IDLE)
    call.happens(agent_off(), spoke("Yes."))

    call.happens(finished(2, wants("order")))

    refused = result(1, error_content(NOT_HEARD), is_error=True)
    assert call.facts[-1] == ToolUsed(2, use(1, "order"), refused)


def test_an_order_after_a_cut_greeting_is_run() -> None:
    call = started()
    call.happens(interrupted(""), spoke("One pizza, I confirm it."))

    actions = call.happens(finished(1, wants("order")))

    assert RunTool(use(1, "order"), is_lasting=True) in actions


def test_a_late_result_the_model_has_read_is_no_longer_news() -> None:
    call = using("order")
    call.happens(spoke("How long will the"), done(1))

    asked = call.fires(Timer.END_OF_TURN_DELAY)
    after = call.happens(delta(2, "It is done."), finished(2), agent_off())

    assert caller_text(asked) == f"How long will the [{LATE}]"
    assert after == [StopTimer(Timer.PLAYBACK), starts(Timer.IDLE, 8_000)]


def test_after_a_switch_of_language_no_english_word_is_put_into_a_reply() -> None:
    call = using("mark")
    call.happens(done(1, effect=SwitchLanguage("es-US")))

    first, rest = call.happens(delta(2, "Pizza & vino. ")), call.happens(finished(2))

    assert "".join(spoken([*first, *rest])).strip() == "Pizza & vino."
