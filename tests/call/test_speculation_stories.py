"""The model is asked before the caller's final words: what is adopted, and what leaves no trace."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.call import events as ev
from agent.call.actions import (
    Action,
    AdoptReply,
    DiscardReply,
    Record,
    RunTool,
    Speak,
    Speculate,
    StartReply,
    ToolOutcome,
)
from agent.call.collector import Collector
from agent.call.config import CallConfig, Limits
from agent.call.history import AgentSaid, CallerSaid
from agent.call.messages import Message, Text, ToolResult, ToolSpec
from agent.call.speculation import MOST_LOST, MOST_TRIES, is_same_request, with_words
from agent.call.timers import StartTimer, StopTimer, Timer
from tests.call import builders as it

BEGINS = "[The call begins.]"
WORDS = "Two large pizzas please"
FINAL = "Two large pizzas, please."


def asked_ahead(words: str = WORDS, config: CallConfig = it.HELLO) -> it.Call:
    """After the greeting these partial words were stable; reply 1 is asked for ahead."""
    call = it.listening(config)
    call.happens(it.partial(words), Timer.SPECULATION)
    return call


def test_stable_partial_words_are_asked_as_if_they_were_final() -> None:
    call = it.listening()

    heard = call.happens(it.partial(WORDS))
    stable = call.fires(Timer.SPECULATION)

    assert heard == [it.starts(Timer.IDLE, 8_000)]
    assert stable == [
        Speculate(1, (it.caller(BEGINS), it.agent("Hello."), it.caller(WORDS))),
    ]
    assert call.facts[1:] == []


def test_nothing_of_a_reply_that_was_asked_ahead_is_said_or_recorded() -> None:
    call = asked_ahead()

    written = call.happens(it.delta(1, "Sure, two large pizzas. "))
    finished = call.happens(it.finished(1, it.wants("order")))

    assert written == finished == []
    assert call.facts[1:] == []
    assert call.world.tools == {}


def test_the_same_final_words_adopt_the_reply_and_its_events_follow_in_order() -> None:
    call = asked_ahead()
    call.happens(it.delta(1, "Sure, two large pizzas. "), it.delta(1, "Anything "))

    actions = call.happens(it.spoke(FINAL))
    rest = call.happens(it.delta(1, "else?"), it.finished(1))

    assert actions == [
        Record(1, CallerSaid(FINAL)),
        StopTimer(Timer.IDLE),
        AdoptReply(1),
        it.starts(Timer.FILLER, 3_000),
        StopTimer(Timer.FILLER),
        Speak(2, "Sure, "),
        Record(2, AgentSaid("Sure, ")),
        it.starts(Timer.FLUSH, 300),
    ]
    assert "".join(it.spoken(rest)) == "two large pizzas. Anything else?"


def test_the_tools_of_an_adopted_reply_run_once_it_is_adopted() -> None:
    call = asked_ahead()
    call.happens(it.finished(1, it.wants("look_up")))

    actions = call.happens(it.spoke(FINAL))

    ran = [action.call for action in actions if isinstance(action, RunTool)]
    assert ran == [it.use(1, "look_up")]


def test_nothing_follows_the_end_of_a_reply_that_was_asked_ahead() -> None:
    call = asked_ahead()
    call.happens(it.finished(1, text="Gladly."), it.delta(1, "Or never, as I have said before. "))

    actions = call.happens(it.spoke(FINAL))

    assert it.spoken(actions) == ["Gladly."]


def test_an_adopted_reply_that_is_still_to_begin_goes_on_as_any_other() -> None:
    call = asked_ahead()
    call.happens(it.spoke(FINAL))

    actions = call.happens(it.finished(1, text="Gladly."))

    assert it.spoken(actions) == ["Gladly."]


@pytest.mark.parametrize(
    "final",
    ["Two large pizzas.", "Two large pizzas please?", "Three large pizzas please.", "okay"],
)
def test_other_final_words_are_asked_anew(final: str) -> None:
    call = asked_ahead()
    call.happens(it.delta(1, "Sure, two large pizzas. "))

    actions = call.happens(it.spoke(final))

    assert actions[0] == DiscardReply(1)
    assert it.question(actions).reply == 2
    assert it.caller_text(actions) == final
    assert it.spoken(actions) == []


def test_other_partial_words_discard_the_reply_and_may_be_asked_ahead_themselves() -> None:
    call = asked_ahead()

    changed = call.happens(it.partial(f"{WORDS} and a salad"))
    stable = call.fires(Timer.SPECULATION)

    assert changed == [it.starts(Timer.IDLE, 8_000), DiscardReply(1)]
    assert [action.reply for action in stable if isinstance(action, Speculate)] == [2]


def test_the_same_partial_words_written_otherwise_keep_the_reply() -> None:
    call = asked_ahead()

    assert call.happens(it.partial(FINAL)) == [it.starts(Timer.IDLE, 8_000)]


@pytest.mark.parametrize(
    "event",
    [
        ev.CallConfigChanged(replace(it.HELLO, greeting="Hi.")),
        it.pressed("7"),
        it.pressed("2"),
        ev.AllowanceSpent(),
        ev.ServiceStopping(ev.ShutdownMode.GOODBYE),
        ev.CallEnded(),
    ],
)
def test_what_changes_the_call_discards_the_reply(event: ev.Event) -> None:
    call = asked_ahead()

    actions = call.happens(event)

    assert actions[0] == DiscardReply(1)


def test_the_late_result_of_a_tool_discards_the_reply() -> None:
    call = it.using("order")
    call.happens(it.spoke("What is on the menu?"), it.delta(2, "Soup."), it.finished(2))
    call.happens(it.agent_off(), it.partial(WORDS), Timer.SPECULATION)

    actions = call.happens(ev.ToolFinished("tool00001", ToolOutcome('{"ok":true}')))

    assert actions[0] == DiscardReply(3)


def test_a_failed_reply_is_not_heard_of_and_the_final_words_are_asked() -> None:
    call = asked_ahead()

    failed = call.happens(it.failed(1))
    actions = call.happens(it.spoke(FINAL))

    assert failed == []
    assert it.question(actions).reply == 2


def test_a_process_that_cannot_spare_a_request_is_not_asked_again_in_the_turn() -> None:
    call = asked_ahead()

    call.happens(ev.ReplyFailed(1, ev.ReplyFault.NOT_ASKED))
    call.happens(it.partial("Two large pizzas please and a salad"))

    assert Timer.SPECULATION not in call.running


@pytest.mark.parametrize(
    "words",
    ["I would like to", "my number is 555", "hold on", "a", "..."],
)
def test_words_that_no_answer_is_due_to_are_not_asked_ahead(words: str) -> None:
    call = it.listening()
    call.happens(it.partial(words))

    fired = call.fires(Timer.SPECULATION) if Timer.SPECULATION in call.running else []

    assert fired == []


def waits(actions: list[Action]) -> list[int]:
    """For how many ms partial words must be stable."""
    started = (action for action in actions if isinstance(action, StartTimer))
    return [action.after_ms for action in started if action.timer is Timer.SPECULATION]


def test_words_are_stable_after_a_while_and_at_once_when_they_come_after_the_voice() -> None:
    call = it.listening()

    unreported = waits(call.world.happen(it.partial("Two large")))
    begun = call.world.happen(it.caller_on())
    heard = waits(call.world.happen(it.partial("Two large pizzas")))
    over = waits(call.world.happen(it.caller_off()))
    last = waits(call.world.happen(it.partial(WORDS)))

    assert StopTimer(Timer.SPECULATION) in begun
    assert (unreported, heard, over, last) == ([250], [], [250], [1])


def test_digits_for_a_tool_are_not_asked_ahead() -> None:
    collects = Collector(min_digits=4, max_digits=4, is_sensitive=True)
    spec = ToolSpec("look_up", "Looks.", '{"type":"object"}', collects=collects)
    call = it.using("look_up", config=replace(it.HELLO, tools={"look_up": spec}))
    call.happens(it.agent_off(), it.partial("my number is one two three four please"))

    assert call.fires(Timer.SPECULATION) == []


def test_the_agent_is_not_asked_ahead_while_it_speaks() -> None:
    call = it.answered("Two large pizzas, that is twenty dollars.")
    call.happens(it.agent_on(), it.partial("What is on the menu"))

    assert call.fires(Timer.SPECULATION) == []


def test_words_that_go_on_before_a_reply_was_heard_are_asked_ahead_beside_it() -> None:
    call = it.thinking("Two large pizzas.")

    call.happens(it.partial("and a salad please"))
    stable = call.fires(Timer.SPECULATION)
    actions = call.happens(it.spoke("And a salad please."))

    assert stable == [
        Speculate(
            2,
            (
                it.caller(BEGINS),
                it.agent("Hello."),
                it.caller("Two large pizzas. and a salad please"),
            ),
        )
    ]
    assert AdoptReply(2) in actions


def test_a_turn_has_only_so_many_requests_ahead() -> None:
    call = it.listening()
    asked = 0
    for number in range(MOST_TRIES + 2):
        call.happens(it.partial(f"{WORDS} and {number} drinks too"))
        if Timer.SPECULATION in call.running:
            asked += len(call.fires(Timer.SPECULATION))

    assert asked == MOST_TRIES


def test_a_call_that_loses_its_requests_asks_no_more_ahead() -> None:
    call = it.listening()
    for number in range(1, MOST_LOST + 1):
        call.happens(it.partial(WORDS), Timer.SPECULATION)
        reply = 2 * number
        call.happens(it.spoke(f"No, {number} salads please."), it.finished(reply, text="Gladly."))
        call.happens(it.agent_off())

    call.happens(it.partial(WORDS))

    assert Timer.SPECULATION not in call.running


def test_a_use_case_can_do_without() -> None:
    call = it.listening(it.limited(Limits(speculates=False)))
    call.happens(it.partial(WORDS))

    assert call.fires(Timer.SPECULATION) == []


def test_a_call_that_is_resumed_has_nothing_asked_ahead() -> None:
    call = asked_ahead()
    call.happens(it.delta(1, "Sure, two large pizzas. "))

    actions = call.resumes()

    assert [action for action in actions if isinstance(action, StartReply | AdoptReply)] == []


def test_a_request_is_the_same_if_only_the_last_words_are_written_otherwise() -> None:
    asked = (it.caller("Hello."), it.agent("Yes?"), it.caller("it's 5.50 at o'clock ten"))

    def now(*parts: str, before: str = "Hello.") -> tuple[Message, ...]:
        return (it.caller(before), it.agent("Yes?"), it.caller(*parts))

    assert is_same_request(asked, now("It\u2019s 5.50, at o'clock ten!"))
    assert not is_same_request(asked, now("It's 550 at o'clock ten"))
    assert not is_same_request(asked, now("It's 5.50 at o'clock ten?"))
    assert not is_same_request(asked, now("It's 5.50 at o'clock ten", before="hello."))
    assert not is_same_request(asked, now("It's 5.50", "at o'clock ten"))
    assert not is_same_request(asked, asked[1:])


def test_partial_words_come_where_the_final_ones_will() -> None:
    answered = ToolResult("tool00001", "{}")

    assert with_words((it.caller("Hi."), it.agent("Yes?"), it.caller("Two")), "pizzas") == (
        it.caller("Hi."),
        it.agent("Yes?"),
        it.caller("Two pizzas"),
    )
    assert with_words((it.caller(answered),), "and a salad") == (
        it.caller(answered, Text("and a salad")),
    )
