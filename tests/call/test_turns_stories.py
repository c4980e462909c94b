"""How turns begin, merge, are held and are answered, told as lists of events."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agent.call import events as ev
from agent.call.actions import CancelReply, Record, Speak
from agent.call.config import Limits, Phrases
from agent.call.conversation import Conversation
from agent.call.history import AgentSaid, CallerSaid, Fact, SpeechSource
from agent.call.messages import StopReason, ToolCall, Usage
from agent.call.timers import StopTimer, Timer
from tests.call import builders as it

BEGINS = "[The call begins.]"


def test_greeting_is_history_and_the_silence_after_it_is_watched() -> None:
    call = it.Call()

    actions = call.happens(ev.CallStarted())

    assert actions == [
        it.starts(Timer.DURATION, 1_740_000),
        Record(0, AgentSaid("Hello.", SpeechSource.GREETING)),
        it.starts(Timer.PLAYBACK, 1_400),
    ]


def test_without_a_greeting_the_model_speaks_first() -> None:
    call = it.Call(replace(it.HELLO, greeting=""))

    actions = call.happens(ev.CallStarted())

    assert actions == [
        it.starts(Timer.DURATION, 1_740_000),
        it.asks(1, it.caller(BEGINS)),
        it.starts(Timer.FILLER, 3_000),
    ]


def test_a_prompt_after_the_greeting_is_answered() -> None:
    call = it.started()

    heard = call.happens(it.spoke("Two pizzas please."))
    first = call.happens(it.delta(1, "Sure, two pizzas coming "))
    late = call.fires(Timer.FLUSH)
    last = call.happens(it.delta(1, "right up."), it.finished(1))

    assert heard == [
        Record(1, CallerSaid("Two pizzas please.")),
        StopTimer(Timer.PLAYBACK),
        it.asks(1, it.caller(BEGINS), it.agent("Hello."), it.caller("Two pizzas please.")),
        it.starts(Timer.FILLER, 3_000),
    ]
    assert first == [
        StopTimer(Timer.FILLER),
        Speak(2, "Sure, "),
        Record(2, AgentSaid("Sure, ")),
        it.starts(Timer.FLUSH, 300),
    ]
    assert late == [
        Speak(2, "two pizzas coming "),
        Record(2, AgentSaid("Sure, two pizzas coming ")),
    ]
    assert last == [
        StopTimer(Timer.FLUSH),
        Speak(2, "right up.", is_last=True),
        Record(2, AgentSaid("Sure, two pizzas coming right up.")),
        it.starts(Timer.PLAYBACK, 3_200),
    ]


def test_a_clause_that_is_complete_goes_out_without_waiting() -> None:
    call = it.thinking()
    call.happens(it.delta(1, "Sure, two "))

    actions = call.happens(it.delta(1, "pizzas, as you like them. "))

    assert actions == [
        Speak(2, "two pizzas, as you like them. "),
        Record(2, AgentSaid("Sure, two pizzas, as you like them. ")),
        StopTimer(Timer.FLUSH),
    ]


def test_words_that_come_with_the_end_are_one_piece_with_it() -> None:
    call = it.thinking()
    call.happens(it.delta(1, "Sure, "))

    actions = call.happens(it.finished(1, text="two large pizzas coming. Anything else? "))

    assert actions == [
        Speak(2, "two large pizzas coming. Anything else?", is_last=True),
        Record(2, AgentSaid("Sure, two large pizzas coming. Anything else?")),
        it.starts(Timer.PLAYBACK, 4_000),
    ]


PIECES = st.sampled_from([
    "Sure", "Sure, ", "two large pizzas coming right up. ", "Anything else? ", "And wi", " ", "**",
    "<thinking>hm", "</thinking>", "<tool_call>", "... ",
])  # fmt: skip


@given(
    before=st.lists(PIECES, max_size=4),
    last=st.lists(PIECES, max_size=4).map("".join),
    stop=st.sampled_from(StopReason),
    calls=st.sampled_from([(), (it.wants("look_up"),)]),
)
@example(["Sure, "], "two large pizzas coming right up. And wi", StopReason.BLOCKED, ())
def test_words_that_come_with_the_end_mean_what_they_mean_before_it(
    before: list[str], last: str, stop: StopReason, calls: tuple[ToolCall, ...]
) -> None:
    apart, together = it.thinking(), it.thinking()
    for call in (apart, together):
        call.happens(*(it.delta(1, piece) for piece in before))

    apart.happens(it.delta(1, last), it.finished(1, *calls, stop=stop))
    together.happens(it.finished(1, *calls, stop=stop, text=last))

    assert _without_last_blanks(together) == _without_last_blanks(apart)
    assert together.running == apart.running


def _without_last_blanks(call: it.Call) -> list[Fact]:
    return [
        replace(fact, text=fact.text.rstrip()) if isinstance(fact, AgentSaid) else fact
        for fact in call.facts
    ]


def test_the_flush_timer_is_not_put_off_by_more_words() -> None:
    call = it.thinking()
    call.happens(it.delta(1, "Sure, two "))

    assert call.happens(it.delta(1, "large ")) == []
    assert it.spoken(call.fires(Timer.FLUSH)) == ["two large "]


def test_words_that_follow_a_clause_wait_from_their_own_beginning() -> None:
    """The end of a clause and the beginning of the next may come together, a beat later."""
    call = it.thinking()
    call.happens(it.delta(1, "Sure, two "))

    actions = call.happens(it.delta(1, "pizzas, as you like them. And "))

    assert actions == [
        Speak(2, "two pizzas, as you like them. "),
        Record(2, AgentSaid("Sure, two pizzas, as you like them. ")),
        it.starts(Timer.FLUSH, 600),
    ]


def test_a_prompt_while_thinking_merges_with_the_one_before() -> None:
    call = it.thinking("Two pizzas please.")

    actions = call.happens(it.spoke("And a salad."))

    assert actions == [
        Record(2, CallerSaid("And a salad.")),
        CancelReply(1),
        StopTimer(Timer.FILLER),
        it.asks(
            2, it.caller(BEGINS), it.agent("Hello."), it.caller("Two pizzas please. And a salad.")
        ),
        it.starts(Timer.FILLER, 3_000),
    ]


def test_deltas_of_a_cancelled_reply_change_nothing() -> None:
    call = it.thinking()
    call.happens(it.spoke("And a salad."))

    assert call.happens(it.delta(1, "Sure thing. ")) == []
    assert call.happens(it.finished(1, it.wants("order"))) == []
    assert call.happens(it.failed(1)) == []


def test_what_a_reply_costs_changes_nothing() -> None:
    call = it.thinking()

    assert call.happens(ev.TokensCounted(1, Usage(10, 5))) == []


def test_partials_never_act() -> None:
    call = it.listening()

    actions = call.happens(it.partial("I would like two"))

    assert actions == [it.starts(Timer.IDLE, 8_000)]
    assert call.facts == [AgentSaid("Hello.", SpeechSource.GREETING)]


@pytest.mark.parametrize("sign", [it.caller_on(), it.partial("And")])
def test_a_reply_that_was_not_heard_gives_way_to_the_caller(sign: ev.Event) -> None:
    """What the model has written is said if no words come, and replaced by the answer to them."""
    quiet, going_on = it.thinking(), it.thinking()
    for call in (quiet, going_on):
        call.happens(sign)
        assert call.happens(it.delta(1, "Gladly. "), it.finished(1)) == []

    noise = quiet.fires(Timer.YIELD)
    words = going_on.happens(it.spoke("With mushrooms."))

    assert it.spoken(noise) == ["Gladly. ", ""]
    assert it.question(words).reply == 2
    assert it.caller_text(words).endswith("With mushrooms.")


def test_the_end_of_a_voice_leaves_time_for_its_words() -> None:
    call = it.thinking()
    call.happens(it.caller_on(), it.delta(1, "Gladly. "))

    assert it.starts(Timer.YIELD, 1_200) in call.happens(it.caller_off())


def test_blank_words_end_the_wait_of_a_reply() -> None:
    call = it.thinking()
    call.happens(it.caller_on(), it.delta(1, "Gladly. "))

    assert it.spoken(call.happens(it.spoke("..."))) == ["Gladly. "]


def test_a_failed_reply_that_gave_way_is_made_up_for_afterwards() -> None:
    call = it.thinking()
    call.happens(it.caller_on(), it.failed(1), it.caller_off())

    assert it.spoken(call.fires(Timer.YIELD)) == [Phrases().apology]


def test_a_reply_that_is_heard_does_not_give_way() -> None:
    """The relay reports a barge-in, if there is one."""
    call = it.speaking("We have three kinds, ")
    call.happens(it.caller_on())

    assert it.spoken(call.happens(it.delta(1, "with cheese and ham. "))) != []


@pytest.mark.parametrize("blank", ["", "  ", "...", "?!"])
def test_a_blank_prompt_is_no_turn(blank: str) -> None:
    call = it.listening()

    actions = call.happens(it.spoke(blank))

    assert actions == [it.starts(Timer.IDLE, 8_000)]


def test_unfinished_words_wait_and_join_the_next() -> None:
    call = it.listening()

    held = call.happens(it.spoke("I would like a"))
    going_on = call.happens(it.partial("large"))
    joined = call.happens(it.spoke("large pizza."))

    assert held == [
        Record(1, CallerSaid("I would like a")),
        StopTimer(Timer.IDLE),
        it.starts(Timer.END_OF_TURN_DELAY, 2_000),
    ]
    assert going_on == [it.starts(Timer.END_OF_TURN_DELAY, 2_000)]
    assert joined == [
        Record(2, CallerSaid("large pizza.")),
        StopTimer(Timer.END_OF_TURN_DELAY),
        it.asks(1, it.caller(BEGINS), it.agent("Hello."), it.caller("I would like a large pizza.")),
        it.starts(Timer.FILLER, 3_000),
    ]


def test_unfinished_words_that_stay_so_are_answered() -> None:
    call = it.listening()
    call.happens(it.spoke("I would like a"))

    actions = call.fires(Timer.END_OF_TURN_DELAY)

    assert it.caller_text(actions) == "I would like a"


def test_a_backchannel_does_not_stop_the_agent() -> None:
    call = it.speaking("We have three kinds of pizza today, ")

    backchannel = call.happens(it.spoke("uh huh"))
    more = call.happens(it.delta(1, "with cheese and ham. "))

    assert backchannel == [Record(3, CallerSaid("uh huh"))]
    assert it.spoken(more) == ["with cheese and ham. "]


def test_a_backchannel_while_a_complete_reply_plays_is_ignored() -> None:
    call = it.answered("We have three kinds of pizza today.")
    call.happens(it.agent_on())

    assert call.happens(it.spoke("okay")) == [Record(3, CallerSaid("okay"))]


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        ("Would you like garlic bread? It is only three dollars.", "Sure."),
        ("Just say yes or no.", "Yes."),
        ("May I place the order. It will be there at seven.", "Okay."),
        ("Let me know if that is all right.", "All right."),
    ],
)
def test_an_answer_to_what_the_agent_asked_is_no_backchannel(said: str, answer: str) -> None:
    call = it.answered(said)
    call.happens(it.agent_on())

    assert it.caller_text(call.happens(it.spoke(answer))) == answer


def test_an_answer_to_a_question_before_a_filler_is_no_backchannel() -> None:
    call = it.speaking("Is it for delivery? ")
    call.happens(it.finished(1, it.wants("look_up")))
    call.fires(Timer.FILLER)

    assert "Yes." in it.caller_text(call.happens(it.spoke("Yes.")))


def test_a_backchannel_after_a_filler_does_not_stop_the_tool() -> None:
    call = it.using("look_up")
    call.fires(Timer.FILLER)

    backchannel = call.happens(it.spoke("okay"))
    going_on = call.happens(it.done(1))

    assert backchannel == [Record(4, CallerSaid("okay"))]
    assert "okay" in it.caller_text(going_on)


def test_a_backchannel_before_the_first_word_belongs_to_what_was_said() -> None:
    call = it.thinking("Two pizzas please.")

    assert "okay" in it.caller_text(call.happens(it.spoke("okay")))


def test_a_backchannel_in_silence_is_an_answer() -> None:
    call = it.answered("We have three kinds of pizza today.")
    call.happens(it.agent_on(), it.agent_off())

    assert it.caller_text(call.happens(it.spoke("okay"))) == "okay"


def test_other_words_stop_the_agent() -> None:
    call = it.speaking("We have three kinds of pizza today, ")

    actions = call.happens(it.spoke("stop"))

    assert actions == [
        Record(3, CallerSaid("stop")),
        CancelReply(1),
        Speak(2, "", is_last=True),
        it.asks(
            2,
            it.caller(BEGINS),
            it.agent("Hello."),
            it.caller("Two pizzas please."),
            it.agent("We have three kinds of pizza today,"),
            it.caller("stop"),
        ),
        it.starts(Timer.FILLER, 3_000),
    ]


def test_the_oldest_turns_are_left_out_of_a_long_call() -> None:
    conversation = Conversation(it.limited(Limits(history_characters=20)))
    for event in (
        ev.CallStarted(),
        it.spoke("Two pizzas please."),
        it.delta(1, "Sure."),
        it.finished(1),
    ):
        conversation.receive(event)

    actions = conversation.receive(it.spoke("And a salad too."))

    assert it.question(actions).messages == (it.caller("And a salad too."),)


def test_a_stale_timer_changes_nothing() -> None:
    call = it.listening()
    stale = ev.TimerFired(Timer.IDLE, call.world.timers[Timer.IDLE])
    call.happens(it.partial("I"))

    assert call.happens(stale) == []


def test_a_lost_report_of_silence_does_not_turn_answers_into_backchannels() -> None:
    call = it.answered("We have three kinds of pizza today.")
    call.happens(it.agent_on())
    call.fires(Timer.PLAYBACK)

    assert it.caller_text(call.happens(it.spoke("okay"))) == "okay"
