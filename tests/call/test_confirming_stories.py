"""A confirmation counts once the caller has answered; equal calls are one until another effect.

An order waits for a caller who goes on speaking, because a yes may be taken back.
"""

from __future__ import annotations

import pytest

from agent.call.actions import Action, Record, RunTool
from agent.call.heard_confirmation import NOT_AGREED, Exchange
from agent.call.history import AgentSaid, CallerSaid, Fact, History, ToolUsed
from agent.call.timers import Timer
from agent.call.tool_calls import ToolCalls, claims_confirmation, error_content
from tests.call import builders as it
from tests.call.world import SPECS

READ_BACK = "It is a, d, a at example dot com. Is that right?"
YES = '{"confirmed":true}'


def runs(actions: list[Action]) -> list[str]:
    """Names of the tools that are run."""
    return [action.call.name for action in actions if isinstance(action, RunTool)]


def results(actions: list[Action]) -> list[str]:
    """What tools that were not run have answered."""
    used = [action.fact for action in actions if isinstance(action, Record)]
    return [one.result.content for one in used if isinstance(one, ToolUsed) and one.result]


@pytest.mark.parametrize("tool", ["look_up", "mark", "order"])
def test_a_model_does_not_confirm_in_the_turn_in_which_it_asks(tool: str) -> None:
    call = it.using(tool)
    call.happens(it.done(1))

    actions = call.happens(it.finished(2, it.wants(tool, YES)))

    assert runs(actions) == []
    assert results(actions) == [error_content(NOT_AGREED)]


@pytest.mark.parametrize("yes", ['{"confirmed":"true"}', '{"is_confirmed":1}', '{"confirm":true}'])
def test_a_confirmation_is_seen_in_any_spelling(yes: str) -> None:
    call = it.thinking()

    actions = call.happens(it.finished(1, it.wants("mark"), it.wants("mark", yes)))

    assert runs(actions) == ["mark"]
    assert error_content(NOT_AGREED) in results(actions)


@pytest.mark.parametrize(
    "arguments",
    ["{}", '{"confirmed":false}', '{"confirmed":null}', '{"send_confirmation":true}', "[", "[1]"],
)
def test_other_arguments_claim_no_confirmation(arguments: str) -> None:
    assert not claims_confirmation(arguments)


def test_words_of_the_caller_in_between_are_an_answer() -> None:
    call = it.using("mark")
    call.happens(
        it.done(1), it.delta(2, READ_BACK), it.finished(2), it.agent_off(), it.spoke("Yes.")
    )

    actions = call.happens(it.finished(3, it.wants("mark", YES)))

    assert runs(actions) == ["mark"]


def test_keys_of_the_caller_in_between_are_an_answer() -> None:
    call = it.using("mark")
    call.happens(
        it.done(1), it.delta(2, READ_BACK), it.finished(2), it.agent_off(), it.pressed("7")
    )
    call.fires(Timer.DIGITS)

    actions = call.happens(it.finished(3, it.wants("mark", YES)))

    assert runs(actions) == ["mark"]


READ = (it.done(1), it.delta(2, READ_BACK), it.finished(2))


@pytest.mark.parametrize(
    ("reply", "steps"),
    [
        (2, (it.spoke("And quickly please."), it.done(1))),
        (3, (*READ, it.agent_on(), it.interrupted(""), it.spoke("Yes."))),
        (2, (it.done(1), it.delta(2, "One moment. "), it.spoke("Okay."))),
    ],
    ids=["before it was read back", "not heard at all", "a backchannel while the model writes"],
)
def test_other_words_are_no_answer(reply: int, steps: tuple[it.Step, ...]) -> None:
    call = it.using("mark")
    call.happens(*steps)

    assert runs(call.happens(it.finished(reply, it.wants("mark", YES)))) == []


def test_reading_something_else_back_asks_again() -> None:
    call = it.using("mark", '{"a":1}')
    call.happens(
        it.done(1),
        it.delta(2, READ_BACK),
        it.finished(2),
        it.agent_off(),
        it.spoke("No, with an e."),
    )
    call.happens(it.finished(3, it.wants("mark", '{"a":2}')), it.done(2))

    actions = call.happens(it.finished(4, it.wants("mark", '{"a":2,"confirmed":true}')))

    assert runs(actions) == []


def test_a_tool_that_was_not_called_before_is_run() -> None:
    call = it.thinking()
    call.happens(it.delta(1, "Shall I?"), it.finished(1), it.agent_off(), it.spoke("Yes."))

    actions = call.happens(it.finished(2, it.wants("mark", YES)))

    assert runs(actions) == ["mark"]


def test_a_call_that_was_resumed_knows_what_was_answered() -> None:
    asked: list[Fact] = [CallerSaid("Hi."), ToolUsed(1, it.use(1, "mark"), it.result(1))]
    heard: list[Fact] = [*asked, AgentSaid(READ_BACK), CallerSaid("Yes.")]
    confirming = ToolUsed(2, it.use(2, "mark", YES))

    refused = ToolCalls(History(asked), SPECS).accept(2, [it.wants("mark", YES)], Exchange())
    resumed = ToolCalls(History([*heard, confirming]), SPECS).resume()

    assert runs(refused) == []
    assert runs(resumed) == ["mark"]


def test_an_equal_call_after_another_effect_is_run() -> None:
    call = it.using("order", '{"sms":1}')
    call.happens(it.done(1), it.finished(2, it.wants("mark", '{"order":2}')), it.done(2))

    again = call.happens(it.finished(3, it.wants("order", '{"sms":1}')))
    call.happens(it.done(3, '{"sent":2}'))
    retried = call.happens(it.finished(4, it.wants("order", '{"sms":1}')))

    assert runs(again) == ["order"]
    assert runs(retried) == []
    assert results(retried) == ['{"sent":2}']


def test_what_was_changed_back_is_changed_back() -> None:
    call = it.using("mark", '{"name":"Ada"}')
    call.happens(it.done(1), it.finished(2, it.wants("mark", '{"name":"Eda"}')), it.done(2))

    actions = call.happens(it.finished(3, it.wants("mark", '{"name":"Ada"}')))

    assert runs(actions) == ["mark"]


def test_an_equal_call_while_another_effect_is_under_way_is_run() -> None:
    call = it.thinking()
    calls = [it.wants("order", '{"sms":1}'), it.wants("mark"), it.wants("order", '{"sms":1}')]

    actions = call.happens(it.finished(1, *calls))

    assert runs(actions) == ["order", "mark", "order"]


def test_a_look_in_between_changes_nothing() -> None:
    call = it.using("order")
    call.happens(it.done(1, '{"number":7}'), it.finished(2, it.wants("look_up")), it.done(2))

    actions = call.happens(it.finished(3, it.wants("order")))

    assert runs(actions) == []
    assert results(actions) == ['{"number":7}']


def test_only_the_last_effect_is_remembered_when_facts_are_forgotten() -> None:
    forgotten = [
        ToolUsed(1, it.use(1, "order"), it.result(1)),
        ToolUsed(2, it.use(2, "mark"), it.result(2)),
        ToolUsed(3, it.use(3, "look_up"), it.result(3)),
    ]

    def asked_for(name: str) -> list[str]:
        tools = ToolCalls(History(), SPECS)
        tools.remember(forgotten)
        return runs(tools.accept(4, [it.wants(name)], Exchange()))

    assert asked_for("mark") == []
    assert asked_for("order") == ["order"]


def test_an_order_waits_for_a_caller_who_goes_on_after_the_yes() -> None:
    call = it.thinking("Yes.")
    call.happens(it.caller_on())

    withheld = call.happens(it.finished(1, it.wants("order")))
    asked = it.question(call.happens(it.caller_off(), it.spoke("No wait, a small one.")))

    assert withheld == []
    assert asked.messages[-1] == it.caller("Yes. No wait, a small one.")
    assert [fact for fact in call.facts if isinstance(fact, ToolUsed)] == []


def test_an_order_is_placed_when_the_voice_brings_no_words() -> None:
    call = it.thinking("Yes.")
    call.happens(it.caller_on(), it.finished(1, it.wants("order")), it.caller_off())

    assert runs(call.fires(Timer.YIELD)) == ["order"]
