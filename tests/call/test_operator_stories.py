"""Stories of a person who watches a call and steps in (`agent.call.operator_acts`)."""

from __future__ import annotations

from dataclasses import replace

from agent.call.actions import CancelReply, CancelTool, EndCall, Handoff, RunTool, StartReply
from agent.call.config import Limits, Phrases
from agent.call.events import (
    AllowanceSpent,
    EndReason,
    OperatorAct,
    OperatorActed,
    ServiceStopping,
    Summarized,
)
from agent.call.history import AgentSaid, CallerSaid, InputMode, Note, SpeechSource
from agent.call.lifecycle import HandoffData
from agent.call.operator_acts import GIVEN_BACK, SAID, TAKEN_OVER, TRANSFERRED
from agent.call.resumption import ResumeCause
from agent.call.timers import Timer
from tests.call import builders as it

WITH_DESK = replace(it.HELLO, can_hand_off=True)


TAKES_OVER = it.acts(OperatorAct.TAKE_OVER)
GIVES_BACK = it.acts(OperatorAct.GIVE_BACK)
ENDS = it.acts(OperatorAct.END)
TRANSFERS = it.acts(OperatorAct.TRANSFER)


def _says(text: str) -> OperatorActed:
    return it.acts(OperatorAct.SAY, text)


def _whispers(text: str) -> OperatorActed:
    return it.acts(OperatorAct.WHISPER, text)


def _taken_over(words: str = "Two pizzas please.") -> it.Call:
    """The caller has spoken, and an operator has taken over before the model answered."""
    call = it.thinking(words)
    call.happens(TAKES_OVER)
    return call


def test_a_whisper_is_read_with_the_next_request_and_heard_by_no_caller() -> None:
    call = it.answered("Which size?")

    whispered = call.happens(_whispers("Offer the large one."))
    asked = call.happens(it.agent_off(), it.spoke("What is best?"))

    assert it.spoken(whispered) == []
    assert it.caller_text(asked) == (
        "[A colleague who hears the call tells you, not the caller: Offer the large one.]"
        " What is best?"
    )


def test_what_an_operator_says_replaces_the_reply_and_then_it_is_the_callers_turn() -> None:
    call = it.speaking("That is twenty dollars. ")

    said = call.happens(_says("It is on the house today."))
    asked = call.happens(it.agent_off(), it.spoke("Thank you, that is kind of you."))

    assert CancelReply(1) in said
    assert it.spoken(said) == ["", "It is on the house today."]
    assert call.facts[-3:-1] == [
        Note(SAID),
        AgentSaid("It is on the house today.", SpeechSource.OPERATOR),
    ]
    assert it.question(asked).messages[-2:] == (
        it.agent("It is on the house today."),
        it.caller("Thank you, that is kind of you."),
    )


def test_a_blank_line_of_an_operator_does_nothing() -> None:
    call = it.speaking("That is twenty dollars. ")

    assert call.happens(_says("  ")) == []
    assert call.happens(_whispers("")) == []


def test_while_an_operator_has_the_call_no_model_is_asked_and_all_words_are_kept() -> None:
    call = _taken_over()

    steps = [
        call.happens(_says("Anna here. What is wrong?")),
        call.happens(it.agent_on(), it.agent_off()),
        call.happens(it.spoke("The last one was cold.")),
        call.happens(it.pressed("4"), it.pressed("#")),
        call.happens(it.partial("And it"), it.spoke("And it was late.")),
        call.happens(_says("I am sorry about that.")),
        call.happens(it.interrupted("I am")),
        call.happens(it.spoke("Never mind.")),
    ]

    assert not [one for step in steps for one in step if isinstance(one, StartReply)]
    assert call.facts[1:] == [
        CallerSaid("Two pizzas please."),
        Note(TAKEN_OVER),
        AgentSaid("Anna here. What is wrong?", SpeechSource.OPERATOR),
        CallerSaid("The last one was cold."),
        CallerSaid("4", InputMode.KEYPAD),
        CallerSaid("And it was late."),
        AgentSaid("I am", SpeechSource.OPERATOR, is_cut=True),
        CallerSaid("Never mind."),
    ]


def test_after_it_is_given_back_the_model_answers_what_has_no_answer() -> None:
    call = _taken_over()
    call.happens(_says("Anna here. What is wrong?"), it.agent_off(), it.spoke("It was cold."))

    asked = call.happens(GIVES_BACK)

    assert it.question(asked).messages == (
        it.caller("[The call begins.]"),
        it.agent("Hello."),
        it.caller(f"Two pizzas please. [{TAKEN_OVER}]"),
        it.agent("Anna here. What is wrong?"),
        it.caller(f"It was cold. [{GIVEN_BACK}]"),
    )


def test_after_words_of_the_operator_the_caller_has_the_turn() -> None:
    call = _taken_over()
    call.happens(_says("It is on its way."))

    given_back = call.happens(GIVES_BACK)
    played = call.happens(it.agent_off())

    assert not [one for one in given_back if isinstance(one, StartReply)]
    assert played[-1] == it.starts(Timer.IDLE, 8_000)


def test_a_call_that_is_given_back_at_once_needs_no_words() -> None:
    call = it.listening()

    call.happens(TAKES_OVER)
    given_back = call.happens(GIVES_BACK)

    assert not [one for one in given_back if isinstance(one, StartReply)]


def test_a_reply_that_a_takeover_has_cut_is_given_when_nothing_else_was_said() -> None:
    call = it.speaking("That is twenty ")

    taken = call.happens(TAKES_OVER)
    given_back = call.happens(GIVES_BACK)

    assert CancelReply(1) in taken
    assert it.question(given_back).reply == 2


def test_a_whisper_before_it_is_given_back_makes_the_model_speak() -> None:
    call = _taken_over()
    call.happens(_says("It is on its way."), _whispers("Ask for the address."))

    assert it.question(call.happens(GIVES_BACK)).reply == 2


def test_a_caller_who_waits_for_the_operator_hears_fillers() -> None:
    call = _taken_over()
    call.happens(it.spoke("Hello?"))

    said = call.fires(Timer.FILLER)

    assert it.spoken(said) == ["One moment, please."]
    assert call.facts[-1] == AgentSaid("One moment, please.", SpeechSource.FILLER)


def test_a_caller_whom_no_operator_answers_gets_the_model_back() -> None:
    call = _taken_over()
    waits = call.happens(it.spoke("Hello?"))

    asked = call.fires(Timer.OPERATOR)

    assert it.starts(Timer.OPERATOR, 60_000) in waits
    assert it.question(asked).messages[-1] == it.caller(
        f"Two pizzas please. [{TAKEN_OVER}] Hello? [{GIVEN_BACK}]"
    )


def test_the_result_of_an_order_is_told_when_the_call_is_given_back() -> None:
    call = it.using("order")

    taken = call.happens(TAKES_OVER)
    finished = call.happens(it.done(1, effect=Handoff("wish")))
    asked = call.happens(GIVES_BACK)

    assert not [one for one in taken if isinstance(one, CancelTool)]
    assert it.spoken(finished) == []
    assert 'order has finished meanwhile, with this result: {"ok":true}' in it.caller_text(asked)


def test_a_tool_that_collects_digits_ends_with_the_takeover() -> None:
    call = it.using("pay")

    call.happens(it.pressed("5"), TAKES_OVER)
    typed = call.happens(it.pressed("9"), it.pressed("#"))

    assert not [one for one in typed if isinstance(one, RunTool)]
    assert "59" not in repr(call.facts)


def test_an_operator_ends_the_call_with_the_goodbye_of_the_use_case() -> None:
    call = _taken_over()

    said = call.happens(ENDS)
    ended = call.happens(it.agent_off())

    assert it.spoken(said) == [Phrases().goodbye]
    assert [one for one in ended if isinstance(one, EndCall)]
    assert call.world.conversation.end_reason is EndReason.OPERATOR


def test_an_operator_transfers_the_call_where_there_is_a_target() -> None:
    call = it.thinking(config=WITH_DESK)

    said = call.happens(TRANSFERS)
    (ended,) = [one for one in call.happens(it.agent_off()) if isinstance(one, EndCall)]

    assert it.spoken(said) == [Phrases().transfer]
    assert Note(TRANSFERRED) in call.facts
    assert HandoffData.read(ended.handoff) == HandoffData(
        code=HandoffData.read(ended.handoff).code,  # type: ignore[union-attr]
        reason="operator-requested",
        summary="The caller's last words: Two pizzas please.",
    )


def test_without_a_target_nothing_is_transferred() -> None:
    call = it.thinking()

    assert call.happens(TRANSFERS) == []


def test_nothing_is_taken_over_once_the_end_is_final() -> None:
    call = it.leaving(Handoff("wish"))

    assert call.happens(TAKES_OVER) == []


def test_a_goodbye_is_taken_back_by_a_takeover() -> None:
    call = it.answered("Which size?")
    call.happens(it.agent_off(), Timer.IDLE, it.agent_off(), Timer.IDLE, it.agent_off(), Timer.IDLE)

    call.happens(TAKES_OVER)
    played = call.happens(it.agent_off())

    assert not [one for one in played if isinstance(one, EndCall)]
    assert call.running >= {Timer.OPERATOR}


def test_a_line_that_breaks_gives_the_call_back_to_the_model() -> None:
    call = _taken_over()
    call.happens(_says("Anna here."), it.agent_off(), it.spoke("It was cold."))

    resumed = call.resumes(ResumeCause.LOST)

    assert call.facts[-2:] == [
        Note(GIVEN_BACK),
        AgentSaid(Phrases().resumed, SpeechSource.SERVICE),
    ]
    assert it.question(resumed).reply == 1


def test_a_process_that_stops_waits_for_the_operator() -> None:
    call = _taken_over()

    quiet = call.happens(_says("One moment."), it.agent_off(), ServiceStopping())
    call.happens(GIVES_BACK)
    ended = call.happens(it.agent_off())

    assert not [one for one in quiet if isinstance(one, EndCall)]
    assert [one for one in ended if isinstance(one, EndCall)]


def test_spent_tokens_end_no_call_that_an_operator_has() -> None:
    call = _taken_over()

    assert call.happens(AllowanceSpent()) == []


def test_a_summary_that_is_refused_is_not_asked_for_again_meanwhile() -> None:
    limits = Limits(summarize_after_turns=2, kept_turns=2, turns_without_model=9)
    call = it.answered("Which size?", it.limited(limits))
    for reply, words in ((2, "A large one please."), (3, "And a salad please.")):
        call.happens(it.agent_off(), it.spoke(words), it.delta(reply, "Gladly."))
        call.happens(it.finished(reply))
    assert call.world.awaited_summary is not None

    call.happens(TAKES_OVER)

    assert call.happens(Summarized(call.world.awaited_summary, "")) == []


def test_a_yes_to_the_operator_commits_nothing() -> None:
    call = it.listening()
    call.happens(it.spoke("I want to buy it."))
    call.happens(it.delta(1, "That is twenty dollars. Shall I buy it? "), it.finished(1))
    call.happens(it.agent_off(), _says("Would you like a newsletter, too?"), it.agent_off())
    call.happens(it.spoke("Yes."))

    refused = call.happens(it.finished(2, it.wants("buy", '{"dollars":20}')))

    assert not [one for one in refused if isinstance(one, RunTool)]


def test_the_model_may_repeat_a_price_that_a_colleague_has_told_it() -> None:
    call = it.listening(it.limited(Limits(guards_commitments=True)))
    call.happens(_whispers("It costs 35 dollars."), it.spoke("What does it cost?"))

    said = call.happens(it.finished(1, text="It costs 35 dollars."))

    assert it.spoken(said) == ["It costs 35 dollars."]


def test_nothing_stops_a_transfer_that_was_promised() -> None:
    call = it.answered("Which size?", WITH_DESK)
    call.happens(TRANSFERS)

    assert call.happens(TAKES_OVER) == call.happens(_says("Wait.")) == []


def test_an_operator_is_not_hurried_by_timers() -> None:
    call = _taken_over()
    call.happens(_says("Anna here."))

    played = call.fires(Timer.PLAYBACK)
    call.happens(it.pressed("4"))
    typed = call.fires(Timer.DIGITS)
    call.happens(it.partial("And"))
    longest = call.fires(Timer.LONGEST_TURN)

    assert played == []
    assert CallerSaid("4", InputMode.KEYPAD) in call.facts
    assert not [one for one in [*typed, *longest] if isinstance(one, StartReply)]


def test_words_without_content_are_no_answer_to_an_operator() -> None:
    call = _taken_over()

    assert call.happens(it.spoke("...")) == []


def test_a_call_that_was_given_back_before_its_first_words_is_begun_by_the_model() -> None:
    call = it.started(replace(it.HELLO, greeting=""))
    call.happens(TAKES_OVER)

    asked = call.happens(GIVES_BACK)

    assert [one for one in asked if isinstance(one, StartReply)]
