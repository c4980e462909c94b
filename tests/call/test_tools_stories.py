"""Tools against everything else: results, late results, duplicates, confirmations."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.call import events as ev
from agent.call.actions import CancelTool, Record, RunTool, Speak, SwitchLanguage
from agent.call.config import Limits
from agent.call.heard_confirmation import NOT_HEARD
from agent.call.history import AgentSaid, CallerSaid, Note, ToolUsed
from agent.call.messages import Choice, ToolCall
from agent.call.timers import StopTimer, Timer
from agent.call.tool_calls import CANCELLED, NOT_AN_OBJECT, error_content
from tests.call import builders as it

BEGINS = "[The call begins.]"
WAITS = "[The caller is waiting for you to speak.]"
READ_BACK = "One large pizza for twenty dollars, shall I order it? "


def test_a_tool_is_run_and_its_result_given_to_the_model() -> None:
    call = it.thinking()

    ran = call.happens(it.delta(1, "Let me look."), it.finished(1, it.wants("look_up", '{"a":1}')))
    asked = call.happens(it.done(1, '{"price":20}'))

    assert ran == [
        StopTimer(Timer.FLUSH),
        Speak(2, "me look.", is_last=True),
        Record(2, AgentSaid("Let me look.")),
        Record(3, ToolUsed(1, it.use(1, "look_up", '{"a":1}'))),
        RunTool(it.use(1, "look_up", '{"a":1}')),
        it.starts(Timer.FILLER, 5_000),
    ]
    assert asked == [
        Record(3, ToolUsed(1, it.use(1, "look_up", '{"a":1}'), it.result(1, '{"price":20}'))),
        StopTimer(Timer.FILLER),
        it.asks(
            2,
            it.caller(BEGINS),
            it.agent("Hello."),
            it.caller("Two pizzas please."),
            it.agent("Let me look.", it.use(1, "look_up", '{"a":1}')),
            it.caller(it.result(1, '{"price":20}')),
        ),
        it.starts(Timer.FILLER, 3_000),
    ]


def test_the_model_is_asked_when_all_results_are_there() -> None:
    call = it.thinking()
    call.happens(it.finished(1, it.wants("look_up"), it.wants("mark")))

    first = call.happens(it.done(2))
    second = call.happens(it.done(1))

    assert first == [Record(3, ToolUsed(1, it.use(2, "mark"), it.result(2)))]
    assert it.question(second).messages[-2:] == (
        it.agent(it.use(1, "look_up"), it.use(2, "mark")),
        it.caller(it.result(1), it.result(2)),
    )


def test_an_interrupt_cancels_a_tool_without_side_effects() -> None:
    call = it.thinking()
    call.happens(it.delta(1, "Let me look. "), it.finished(1, it.wants("look_up")))

    actions = call.happens(it.interrupted("Let me look."))

    cancelled = it.result(1, error_content(CANCELLED), is_error=True)
    assert actions == [
        StopTimer(Timer.FILLER),
        CancelTool("tool00001"),
        Record(3, ToolUsed(1, it.use(1, "look_up"), cancelled)),
        it.starts(Timer.IDLE, 8_000),
    ]


def test_an_order_runs_on_when_the_caller_breaks_in() -> None:
    call = it.using("order")

    actions = call.happens(it.spoke("How long will it take?"))

    assert actions == [
        Record(3, CallerSaid("How long will it take?")),
        StopTimer(Timer.FILLER),
        StopTimer(Timer.TOOL),
        it.asks(
            2,
            it.caller(BEGINS),
            it.agent("Hello."),
            it.caller("Two pizzas please."),
            it.agent(it.use(1, "order")),
            it.caller(
                it.result(
                    1,
                    '{"status":"running","message":"Still running.'
                    ' The result will follow in a note."}',
                ),
                "How long will it take?",
            ),
        ),
        it.starts(Timer.FILLER, 3_000),
    ]


LATE = 'order has finished meanwhile, with this result: {"ok":true} Tell the caller when it fits.'


def test_a_late_result_is_recorded_and_announced_when_neither_side_speaks() -> None:
    call = it.using("order")
    call.happens(it.spoke("How long will it take?"))
    late = call.happens(it.done(1))
    call.happens(it.delta(2, "About an hour."), it.finished(2))

    announced = call.happens(it.agent_off())

    assert late == [
        Record(2, ToolUsed(1, it.use(1, "order"), it.result(1))),
        Record(4, Note(LATE)),
    ]
    assert it.caller_text(announced) == WAITS
    assert it.caller(f"How long will it take? [{LATE}]") not in it.question(announced).messages
    assert it.question(announced).messages[-4:] == (
        it.agent(it.use(1, "order")),
        it.caller(it.result(1), f"How long will it take? [{LATE}]"),
        it.agent("About an hour."),
        it.caller(WAITS),
    )


def test_a_late_result_in_a_silence_is_announced_at_once() -> None:
    call = it.using("order")
    call.happens(it.spoke("How long will it take?"), it.delta(2, "About an hour."), it.finished(2))
    call.happens(it.agent_off())

    actions = call.happens(it.done(1))

    assert it.caller_text(actions) == f"[{LATE}]"


def test_a_late_result_waits_while_the_caller_speaks() -> None:
    call = it.using("order")
    call.happens(it.spoke("How long will it take?"), it.delta(2, "About an hour."), it.finished(2))
    call.happens(it.agent_off(), it.caller_on())

    late = call.happens(it.done(1))
    announced = call.fires(Timer.IDLE)

    assert late[1:] == [Record(5, Note(LATE))]
    assert it.caller_text(announced) == f"[{LATE}]"


def test_a_model_that_speaks_first_may_act_before_the_caller_does() -> None:
    call = it.started(replace(it.HELLO, greeting=""))

    actions = call.happens(it.finished(1, it.wants("order")))

    assert RunTool(it.use(1, "order"), is_lasting=True) in actions


def test_a_late_result_is_announced_once() -> None:
    call = it.using("order")
    call.happens(it.spoke("How long will it take?"), it.done(1))
    call.happens(it.delta(2, "About an hour."), it.finished(2), it.agent_off())
    call.happens(it.delta(3, "And your order is done."), it.finished(3))

    actions = call.happens(it.agent_off())

    assert actions == [StopTimer(Timer.PLAYBACK), it.starts(Timer.IDLE, 8_000)]


def test_an_order_that_runs_at_hang_up_is_recorded() -> None:
    call = it.using("order")

    gone = call.happens(ev.CallEnded())
    was_over = call.world.conversation.is_over
    recorded = call.happens(it.done(1))

    assert gone == [StopTimer(Timer.FILLER), StopTimer(Timer.TOOL), StopTimer(Timer.DURATION)]
    assert not was_over
    assert recorded == [Record(2, ToolUsed(1, it.use(1, "order"), it.result(1)))]
    assert call.world.conversation.is_over


def test_a_look_up_that_runs_at_hang_up_is_cancelled() -> None:
    call = it.using("look_up")

    actions = call.happens(ev.CallEnded())

    assert CancelTool("tool00001") in actions
    assert call.world.conversation.is_over


def test_after_five_rounds_of_tools_the_model_must_answer() -> None:
    call = it.thinking()
    choices = []

    for reply in range(1, 6):
        arguments = f'{{"page":{reply}}}'
        call.happens(it.finished(reply, it.wants("look_up", arguments)))
        choices.append(it.question(call.happens(it.done(reply))).choice)

    assert choices == [Choice.AUTO] * 4 + [Choice.NONE]


def test_calls_of_a_reply_that_must_answer_are_not_run() -> None:
    call = it.thinking(config=it.limited(Limits(tool_rounds=1)))
    call.happens(it.finished(1, it.wants("look_up")), it.done(1))

    again = call.happens(it.finished(2, it.wants("look_up")))
    sentence = call.happens(it.finished(3, it.wants("look_up")))

    assert it.question(again).choice is Choice.NONE
    assert it.spoken(sentence) == [it.HELLO.phrases.not_understood]


def test_each_turn_has_its_own_rounds() -> None:
    call = it.thinking(config=it.limited(Limits(tool_rounds=2)))
    call.happens(
        it.finished(1, it.wants("look_up")), it.done(1), it.delta(2, "Ten."), it.finished(2)
    )
    call.happens(it.spoke("And tomorrow?"), it.finished(3, it.wants("look_up")))

    actions = call.happens(it.done(2))

    assert it.question(actions).choice is Choice.AUTO


def test_an_unknown_tool_is_answered_with_the_ones_there_are() -> None:
    call = it.thinking()

    actions = call.happens(it.finished(1, it.wants("make-coffee")))

    refused = error_content(
        "There is no tool make_coffee. Tools: look_up, mark, order, leave, enter, pay, buy,"
        " call_back."
    )
    assert actions == [
        Record(2, ToolUsed(1, it.use(1, "make_coffee"), it.result(1, refused, is_error=True))),
        it.asks(
            2,
            it.caller(BEGINS),
            it.agent("Hello."),
            it.caller("Two pizzas please."),
            it.agent(it.use(1, "make_coffee")),
            it.caller(it.result(1, refused, is_error=True)),
        ),
    ]


@pytest.mark.parametrize("arguments", ["{oops", "[]", '"text"', "1"])
def test_arguments_that_are_no_object_are_answered_so(arguments: str) -> None:
    call = it.thinking()

    call.happens(it.finished(1, it.wants("look_up", arguments)))

    refused = it.result(1, error_content(NOT_AN_OBJECT), is_error=True)
    assert call.facts[-1] == ToolUsed(1, it.use(1, "look_up"), refused)


def test_no_arguments_are_an_empty_object() -> None:
    call = it.thinking()

    actions = call.happens(it.finished(1, it.wants("look_up", "")))

    assert RunTool(it.use(1, "look_up")) in actions


def test_the_same_order_joins_the_one_that_runs() -> None:
    call = it.using("order", '{"a":1,"b":2}')
    call.happens(it.spoke("Is it done?"))

    joined = call.happens(it.finished(2, it.wants("order", '{"b": 2, "a": 1}')))
    both = call.happens(it.done(1))

    assert not [action for action in joined if isinstance(action, RunTool)]
    assert both[:2] == [
        Record(2, ToolUsed(1, it.use(1, "order", '{"a":1,"b":2}'), it.result(1))),
        Record(4, ToolUsed(2, it.use(2, "order", '{"b": 2, "a": 1}'), it.result(2))),
    ]
    assert it.question(both).reply == 3


def test_the_same_order_takes_over_the_result_of_one_that_succeeded() -> None:
    call = it.using("order")
    call.happens(it.done(1, '{"number":7}'))

    actions = call.happens(it.finished(2, it.wants("order")))

    assert actions[0] == Record(3, ToolUsed(2, it.use(2, "order"), it.result(2, '{"number":7}')))
    assert not [action for action in actions if isinstance(action, RunTool)]


def test_an_order_that_failed_may_be_tried_again() -> None:
    call = it.using("order")
    call.happens(it.done(1, '{"error":"busy"}', failed=True))

    actions = call.happens(it.finished(2, it.wants("order")))

    assert RunTool(it.use(2, "order"), is_lasting=True) in actions


def test_a_call_that_was_refused_does_not_free_the_order_before_it() -> None:
    """A made-up tool changes nothing: the order is not placed again."""
    call = it.thinking()
    order, coffee = it.wants("order"), it.wants("make_coffee")

    actions = call.happens(it.finished(1, order, coffee, order))

    runs = [action for action in actions if isinstance(action, RunTool)]
    assert runs == [RunTool(it.use(1, "order"), is_lasting=True)]
    assert call.happens(it.done(1))[:2] == [
        Record(2, ToolUsed(1, it.use(1, "order"), it.result(1))),
        Record(4, ToolUsed(1, it.use(3, "order"), it.result(3))),
    ]


def test_another_order_is_run() -> None:
    call = it.using("order", '{"size":"large"}')
    call.happens(it.done(1))

    actions = call.happens(it.finished(2, it.wants("order", '{"size":"small"}')))

    assert RunTool(it.use(2, "order", '{"size":"small"}'), is_lasting=True) in actions


def test_looking_twice_is_no_duplicate() -> None:
    call = it.using("look_up")
    call.happens(it.done(1))

    actions = call.happens(it.finished(2, it.wants("look_up")))

    assert RunTool(it.use(2, "look_up")) in actions


READ = (it.delta(1, READ_BACK), it.finished(1))
CUT = (*READ, it.interrupted("One large pizza"))
UNFINISHED = it.delta(1, "One large pizza, ")


@pytest.mark.parametrize(
    "steps",
    [
        (*CUT, it.spoke("Yes, order it please.")),
        (UNFINISHED, it.spoke("Yes, order it please.")),
        (UNFINISHED, it.failed(1), it.spoke("Yes, order it please.")),
        (*CUT, it.spoke("How much is it?"), it.delta(2, "Ten dollars. "), it.spoke("Okay.")),
    ],
    ids=["not heard", "not finished", "failed", "a backchannel to later words"],
)
def test_yes_confirms_only_what_was_read_back(steps: tuple[it.Step, ...]) -> None:
    call = it.thinking()
    call.happens(*steps)

    actions = call.happens(it.finished(2, it.wants("order")))

    refused = it.result(1, error_content(NOT_HEARD), is_error=True)
    assert call.facts[-1] == ToolUsed(2, it.use(1, "order"), refused)
    assert it.question(actions).messages[-1].parts[0] == refused


READ_AGAIN = (it.delta(2, READ_BACK), it.finished(2), it.agent_on(), it.agent_off())


@pytest.mark.parametrize(
    ("reply", "steps"),
    [
        (2, (*READ, it.interrupted(READ_BACK), it.spoke("Yes."))),
        (2, (*CUT, Timer.YIELD, it.agent_off(), it.spoke("Yes."))),
        (2, (*CUT, it.spoke("Yes."), it.agent_off(), it.spoke("Yes."))),
        (3, (UNFINISHED, it.spoke("I want ham."), *READ_AGAIN, it.spoke("Yes."))),
        (3, (*CUT, it.spoke("What?"), *READ_AGAIN, it.spoke("Yes."), it.delta(3, "Right. "))),
    ],
    ids=["to the end", "after a noise", "after a nod", "again", "heard the second time"],
)
def test_yes_confirms_what_was_heard(reply: int, steps: tuple[it.Step, ...]) -> None:
    call = it.thinking()
    call.happens(*steps)

    actions = call.happens(it.finished(reply, it.wants("order")))

    assert RunTool(it.use(1, "order"), is_lasting=True) in actions


def test_what_can_be_repeated_needs_no_confirmation() -> None:
    call = it.answered(READ_BACK)
    call.happens(it.interrupted("One large"), it.spoke("Yes, do that."))

    actions = call.happens(it.finished(2, it.wants("mark")))

    assert RunTool(it.use(1, "mark"), is_lasting=True) in actions


def test_an_effect_of_a_tool_is_carried_out() -> None:
    call = it.using("look_up")

    actions = call.happens(it.done(1, effect=SwitchLanguage("es-US")))

    assert actions.index(SwitchLanguage("es-US")) < actions.index(it.question(actions))


def test_identifiers_and_names_of_calls_are_our_own() -> None:
    call = it.thinking()

    call.happens(it.finished(1, ToolCall("same", "", "{}"), ToolCall("same", "x" * 70, "{}")))

    used = [fact.call for fact in call.facts if isinstance(fact, ToolUsed)]
    assert [(one.id, one.name) for one in used] == [
        ("tool00001", "unknown"),
        ("tool00002", "x" * 64),
    ]


def test_an_order_after_a_cut_greeting_is_run() -> None:
    call = it.started()
    call.happens(it.interrupted(""), it.spoke("One pizza, I confirm it."))

    actions = call.happens(it.finished(1, it.wants("order")))

    assert RunTool(it.use(1, "order"), is_lasting=True) in actions


def test_a_late_result_the_model_has_read_is_no_longer_news() -> None:
    call = it.using("order")
    call.happens(it.spoke("How long will the"), it.done(1))

    asked = call.fires(Timer.END_OF_TURN_DELAY)
    after = call.happens(it.delta(2, "It is done."), it.finished(2), it.agent_off())

    assert it.caller_text(asked) == f"How long will the [{LATE}]"
    assert after == [StopTimer(Timer.PLAYBACK), it.starts(Timer.IDLE, 8_000)]


def test_after_a_switch_of_language_no_english_word_is_put_into_a_reply() -> None:
    call = it.using("mark")
    call.happens(it.done(1, effect=SwitchLanguage("es-US")))

    first, rest = call.happens(it.delta(2, "Pizza & vino. ")), call.happens(it.finished(2))

    assert "".join(it.spoken([*first, *rest])).strip() == "Pizza & vino."
