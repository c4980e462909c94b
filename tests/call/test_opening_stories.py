"""What comes before the greeting: a disclosure, and a question for consent."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.call import events as ev
from agent.call.actions import (
    Action,
    CancelSummary,
    EndCall,
    Record,
    Speak,
    StampConsent,
    StartRecording,
    StartReply,
    Summarize,
    SwitchLanguage,
)
from agent.call.built_in_phrases import phrases_in
from agent.call.config import CallConfig, Limits, OnRefusal, OpeningTerms, Phrases
from agent.call.consent import HIDDEN, Consent, ConsentMeans, played_note, text_version
from agent.call.history import AgentSaid, CallerSaid, Note, SpeechSource
from agent.call.resumption import ResumeCause
from agent.call.timers import Timer
from tests.call import builders as it

TOLD = "You are speaking with an assistant."
ASKED = "May we record this call? Say yes or press 1, say no or press 2."
TOLD_ES = "Habla con un asistente."
ASKED_ES = "¿Podemos grabar esta llamada? Diga sí o pulse 1, diga no o pulse 2."
TERMS = OpeningTerms({"en-US": TOLD}, {"en-US": ASKED}, recording="dual")
VERSION = text_version(TOLD, ASKED)
DISCLOSURE = Speak(1, TOLD, True, False, False, "en-US")


def config(terms: OpeningTerms = TERMS, *, can_hand_off: bool = False) -> CallConfig:
    spoken = {tag: phrases_in(tag) or Phrases() for tag in ("en-US", "es-US")}
    base = replace(it.HELLO, language="en-US", translations=spoken, can_hand_off=can_hand_off)
    return replace(base, opening=terms)


def asked(terms: OpeningTerms = TERMS, *, can_hand_off: bool = False) -> it.Call:
    """The disclosure was played; the question is being played."""
    call = it.started(config(terms, can_hand_off=can_hand_off))
    call.happens(it.agent_on(), it.agent_off(), it.agent_on())
    return call


def ending_with(refusal: OnRefusal) -> OpeningTerms:
    return replace(TERMS, on_refusal=refusal)


def stamps(actions: list[Action]) -> list[Consent]:
    return [action.consent for action in actions if isinstance(action, StampConsent)]


def is_recorded(actions: list[Action]) -> bool:
    return StartRecording("dual") in actions


def test_the_disclosure_is_said_first_and_nothing_can_stop_it() -> None:
    call = it.Call(config())

    actions = call.happens(ev.CallStarted())

    assert [action for action in actions if isinstance(action, Speak)] == [DISCLOSURE]


def test_the_question_follows_when_the_disclosure_was_played() -> None:
    call = it.started(config())

    actions = call.happens(it.agent_on(), it.agent_off())

    assert it.spoken(actions) == [ASKED]
    assert call.facts[:2] == [AgentSaid(TOLD, SpeechSource.SERVICE), played_note(VERSION)]


@pytest.mark.parametrize(
    ("answer", "means"),
    [
        (it.pressed("1"), ConsentMeans.KEY),
        (it.spoke("Yes, you may."), ConsentMeans.WORD),
    ],
)
def test_with_consent_the_call_is_recorded_and_the_caller_is_greeted(
    answer: ev.Event, means: ConsentMeans
) -> None:
    call = asked()

    actions = call.happens(it.agent_off(), answer)

    consent = Consent(is_given=True, means=means, version=VERSION)
    assert stamps(actions) == [consent]
    assert is_recorded(actions)
    assert it.spoken(actions) == ["Hello."]
    assert call.facts[-2:] == [consent.note, AgentSaid("Hello.", SpeechSource.GREETING)]


@pytest.mark.parametrize("answer", [it.pressed("2"), it.spoke("No, I do not want that.")])
def test_without_consent_the_call_goes_on_and_is_not_recorded(answer: ev.Event) -> None:
    call = asked()

    actions = call.happens(it.agent_off(), answer)

    assert [consent.is_given for consent in stamps(actions)] == [False]
    assert not is_recorded(actions)
    assert it.spoken(actions) == ["Hello."]
    assert it.question(call.happens(it.agent_off(), it.spoke("Two pizzas please."))).reply == 1


def test_a_refusal_can_end_the_call() -> None:
    call = asked(ending_with(OnRefusal.END))

    actions = call.happens(it.agent_off(), it.pressed("2"))
    later = call.happens(it.spoke("But my name is Ada."), it.agent_on(), it.agent_off())

    assert it.spoken(actions) == [Phrases().consent_refused]
    assert [action for action in later if isinstance(action, EndCall)]
    assert not [fact for fact in call.facts if isinstance(fact, CallerSaid)]


def test_a_refusal_can_lead_to_a_person() -> None:
    call = asked(ending_with(OnRefusal.TRANSFER), can_hand_off=True)

    actions = call.happens(it.agent_off(), it.pressed("2"))
    (end,) = [one for one in call.happens(it.agent_off()) if isinstance(one, EndCall)]

    assert it.spoken(actions) == [Phrases().transfer]
    assert "consent-refused" in end.handoff
    assert "summary" not in end.handoff


def test_a_transfer_that_nobody_takes_ends_a_refused_call() -> None:
    call = asked(ending_with(OnRefusal.TRANSFER), can_hand_off=True)
    call.happens(it.agent_off(), it.pressed("2"), it.agent_off())

    assert it.spoken(call.resumes(ResumeCause.NOBODY)) == [Phrases().consent_refused]


def test_silence_is_asked_again_and_then_a_refusal() -> None:
    call = asked()

    again = call.happens(it.agent_off(), Timer.IDLE)
    refused = call.happens(it.agent_on(), it.agent_off(), Timer.IDLE)

    assert it.spoken(again) == [ASKED]
    assert stamps(refused) == [Consent(False, ConsentMeans.SILENCE, VERSION)]
    assert it.spoken(refused) == ["Hello."]


def test_unclear_words_are_asked_about_twice_and_not_kept() -> None:
    call = asked()

    actions = [
        call.happens(it.agent_off(), it.spoke("I am Ada Lovelace, 555 0100")) for _ in range(3)
    ]

    assert [it.spoken(each) for each in actions] == [[ASKED], [ASKED], ["Hello."]]
    assert stamps(actions[2]) == [Consent(False, ConsentMeans.UNCLEAR, VERSION)]
    assert not [fact for fact in call.facts if isinstance(fact, CallerSaid)]


def test_observers_get_the_answer_and_nothing_else_of_the_words() -> None:
    call = asked()
    conversation = call.world.conversation

    call.happens(it.agent_off(), it.spoke("My name is Ada"))
    hidden = conversation.received
    call.happens(it.agent_off(), it.spoke("Yes, and my name is Ada"))

    assert hidden == ev.CallerSpoke(" ".join([HIDDEN] * 4))
    assert conversation.received == ev.CallerSpoke("yes")


def test_words_before_the_question_was_heard_are_no_answer() -> None:
    call = it.started(config())

    over_the_disclosure = call.happens(it.agent_on(), it.spoke("okay"))
    asking = call.happens(it.agent_off(), it.agent_on())
    too_early = call.happens(ev.CallerSpoke("okay", after_ms=1_200))
    in_time = call.happens(ev.CallerSpoke("okay", after_ms=6_000))

    assert not it.spoken(over_the_disclosure + asking + too_early)
    assert [consent.is_given for consent in stamps(in_time)] == [True]


def test_a_question_that_was_cut_before_its_end_is_asked_again() -> None:
    call = asked()

    call.happens(it.interrupted("May we"))
    actions = call.happens(it.spoke("yes"))

    assert it.spoken(actions) == [ASKED]
    assert not stamps(actions)


def test_a_question_that_was_cut_after_it_was_understood_is_answered() -> None:
    call = asked()

    call.happens(it.interrupted("May we record this call? Say"))
    actions = call.happens(it.spoke("yes"))

    assert [consent.is_given for consent in stamps(actions)] == [True]


def test_a_disclosure_that_the_relay_has_cut_is_said_again() -> None:
    call = it.started(config())

    actions = call.happens(it.agent_on(), it.interrupted("You are"))

    assert it.spoken(actions) == [TOLD]
    assert call.facts[0] == AgentSaid("You are", SpeechSource.SERVICE, is_cut=True)


def test_a_disclosure_that_was_played_before_the_interrupt_is_not_said_again() -> None:
    call = it.started(config())

    assert it.spoken(call.happens(it.agent_on(), it.interrupted(TOLD))) == [ASKED]


@pytest.mark.parametrize("wish", [it.spoke("Operator, please."), it.pressed("0")])
def test_a_caller_gets_a_person_without_an_answer(wish: ev.Event) -> None:
    call = asked(can_hand_off=True)

    actions = call.happens(it.agent_off(), wish)

    assert it.spoken(actions) == [Phrases().transfer]
    assert not stamps(actions)


def test_without_a_question_the_greeting_follows_the_disclosure() -> None:
    call = it.started(config(OpeningTerms({"en-US": TOLD}, recording="mono")))

    actions = call.happens(it.agent_on(), it.agent_off())

    assert it.spoken(actions) == ["Hello."]
    assert StartRecording("mono") in actions


def test_a_barge_in_after_a_disclosure_that_was_played_cuts_nothing_of_it() -> None:
    call = it.started(config(OpeningTerms({"en-US": TOLD})))
    call.happens(it.agent_on(), it.spoke("Two pizzas please."), it.agent_off())

    call.happens(it.spoke("No, three."), it.interrupted("Two large"))

    assert call.facts[0] == AgentSaid(TOLD, SpeechSource.SERVICE)


def test_without_a_greeting_the_model_speaks_after_the_disclosure() -> None:
    terms = OpeningTerms({"en-US": TOLD})
    call = it.started(replace(config(terms), greeting=""))

    actions = call.happens(it.agent_on(), it.agent_off())

    assert [action for action in actions if isinstance(action, StartReply)]


def test_words_over_a_disclosure_are_answered_after_it() -> None:
    call = it.started(config(OpeningTerms({"en-US": TOLD})))

    meanwhile = call.happens(it.agent_on(), it.spoke("Two pizzas please."))
    actions = call.happens(it.agent_off())

    assert Record(1, CallerSaid("Two pizzas please.")) in meanwhile
    assert it.caller_text(actions).startswith("Two pizzas please.")
    assert not it.spoken(actions)


def test_words_over_a_disclosure_are_answered_after_a_break() -> None:
    call = it.started(config(OpeningTerms({"en-US": TOLD})))
    call.happens(it.agent_on(), it.spoke("Two pizzas please."))

    again = call.resumes()
    actions = call.happens(it.agent_on(), it.agent_off())

    assert it.spoken(again) == [TOLD]
    assert "Two pizzas please." in str(it.question(actions).messages)


def test_a_nod_over_a_disclosure_is_recorded_and_the_caller_is_greeted() -> None:
    call = it.started(config(OpeningTerms({"en-US": TOLD})))

    actions = call.happens(it.agent_on(), it.spoke("Okay."), it.agent_off())

    assert it.spoken(actions) == ["Hello."]
    assert call.facts[1] == CallerSaid("Okay.")


def test_a_key_and_a_spending_limit_wait_for_the_end_of_the_disclosure() -> None:
    terms = OpeningTerms({"en-US": TOLD})
    pressing, spending = it.started(config(terms)), it.started(config(terms))

    pressing.happens(it.agent_on(), it.pressed("4"))
    meanwhile = spending.happens(it.agent_on(), ev.AllowanceSpent())

    assert not meanwhile
    assert [one for one in pressing.happens(it.agent_off()) if isinstance(one, StartReply)]
    assert it.spoken(spending.happens(it.agent_off()))[-1] == Phrases().goodbye_spent


def test_a_question_alone_is_asked_first() -> None:
    call = it.Call(config(OpeningTerms(question={"en-US": ASKED})))

    assert it.spoken(call.happens(ev.CallStarted())) == [ASKED]


def test_in_another_language_both_are_said_in_it() -> None:
    terms = OpeningTerms({"en-US": TOLD, "es-US": TOLD_ES}, {"en-US": ASKED, "es-US": ASKED_ES})
    call = asked(terms)
    words = ev.CallerSpoke("no entiendo lo que me dice usted ahora", language="es")

    told = call.happens(it.agent_off(), words)
    question = call.happens(it.agent_on(), it.agent_off())
    answer = call.happens(it.agent_off(), ev.CallerSpoke("sí", language="es"))

    assert SwitchLanguage("es-US") in told
    assert it.spoken(told) == [TOLD_ES]
    assert it.spoken(question) == [ASKED_ES]
    assert stamps(answer) == [
        Consent(True, ConsentMeans.WORD, text_version(TOLD_ES, ASKED_ES)),
    ]


def test_after_a_break_a_disclosure_that_was_played_is_not_repeated() -> None:
    call = it.started(config())

    unheard = call.resumes()
    call.happens(it.agent_on(), it.agent_off())
    heard = call.resumes()

    assert it.spoken(unheard) == [TOLD]
    assert it.spoken(heard) == [ASKED]


def test_after_a_break_an_answer_holds_and_the_recording_is_begun() -> None:
    call = asked()
    call.happens(it.pressed("1"))

    actions = call.resumes()

    assert is_recorded(actions)
    assert [consent.is_given for consent in stamps(actions)] == [True]
    assert not [text for text in it.spoken(actions) if text in {TOLD, ASKED}]


def test_a_call_that_was_refused_is_not_recorded_after_a_break() -> None:
    call = asked()
    call.happens(it.pressed("2"))

    assert not is_recorded(call.resumes())


def test_a_resumed_call_without_consent_speaks_to_no_model() -> None:
    call = asked()

    actions = call.resumes(ResumeCause.RECONNECTED)

    assert it.spoken(actions) == [ASKED]
    assert not [action for action in actions if isinstance(action, StartReply)]


def test_the_model_reads_the_answer() -> None:
    call = asked()
    call.happens(it.agent_off(), it.pressed("2"), it.agent_off())

    words = it.question(call.happens(it.spoke("Hi, two pizzas."))).messages

    noted = Note(f"The caller has refused consent (key, text {VERSION}).")
    assert noted in call.facts
    assert noted.text in str(words)


def test_an_operator_waits_until_the_opening_is_over() -> None:
    call = asked()
    act = it.acts(ev.OperatorAct.SAY, "Anna here.")

    before = call.happens(act)
    after = call.happens(it.agent_off(), it.pressed("1"))

    assert before == []
    assert "Anna here." in it.spoken(after)


def test_a_spent_allowance_ends_the_call_only_when_the_disclosure_was_played() -> None:
    call = it.started(config())

    at_once = call.happens(ev.AllowanceSpent())
    later = call.happens(it.agent_on(), it.agent_off())

    assert at_once == []
    assert it.spoken(later) != []


def test_a_relay_that_does_not_report_the_end_of_the_disclosure_is_not_waited_for() -> None:
    call = it.started(config())

    assert it.spoken(call.fires(Timer.PLAYBACK)) == [ASKED]


@pytest.mark.parametrize(
    "sign", [it.partial("yes"), it.spoke("..."), it.caller_on(), it.caller_off()]
)
def test_a_sign_of_the_caller_is_no_answer(sign: ev.Event) -> None:
    call = asked()
    call.happens(it.agent_off())
    before = call.facts

    actions = call.happens(sign)

    assert (it.spoken(actions), stamps(actions), call.facts) == ([], [], before)


def test_words_over_a_disclosure_count_once() -> None:
    call = it.started(config(replace(TERMS, question={}, recording="")))

    call.happens(it.spoke("Two pizzas please."), it.spoke("Two pizzas please."))

    assert call.facts.count(CallerSaid("Two pizzas please.")) == 1


def test_a_key_over_the_disclosure_is_no_answer_and_another_key_is_asked_about() -> None:
    call = it.started(config())

    early = call.happens(it.pressed("1"))
    call.happens(it.agent_on(), it.agent_off(), it.agent_on(), it.agent_off())
    other = call.happens(it.pressed("5"))

    assert (stamps(early), it.spoken(early)) == ([], [])
    assert it.spoken(other) == [ASKED]


def test_what_an_operator_asks_for_after_a_transfer_changes_nothing_of_it() -> None:
    call = it.started(config(can_hand_off=True))
    done = (ev.OperatorAct.TRANSFER, ev.OperatorAct.TAKE_OVER, ev.OperatorAct.GIVE_BACK)
    call.happens(*map(it.acts, done))

    opened = call.happens(it.agent_on(), it.agent_off(), it.agent_on(), it.pressed("1"))

    assert Phrases().transfer in it.spoken(opened)
    assert not [one for one in opened if isinstance(one, StartReply)]


def test_a_summary_that_operators_brought_about_in_an_opening_gives_way_to_the_next_reply() -> None:
    """All that was done meanwhile is decided at its end: a reply, a summary, one more reply."""
    limits = Limits(summarize_after_turns=1, turns_without_model=2, kept_turns=2)
    terms = OpeningTerms({"en-US": TOLD})
    call = it.started(replace(config(terms), greeting="", limits=limits))
    asks = it.acts(ev.OperatorAct.SAY, "Shall I buy it?")
    says: list[it.Step] = [asks, it.spoke("Two pizzas, please.")]
    first = [*says, asks, it.spoke("yes")]
    takes, gives = it.acts(ev.OperatorAct.TAKE_OVER), it.acts(ev.OperatorAct.GIVE_BACK)
    cut = ev.CallerInterrupted("", None)
    call.happens(cut, takes, *first, gives, takes, gives, cut, takes, *says, gives)
    call.happens(cut, takes, *says, gives)

    opened = call.happens(it.agent_on(), it.agent_off())

    asked = [type(one) for one in opened if isinstance(one, StartReply | Summarize | CancelSummary)]
    assert asked == [StartReply, Summarize, CancelSummary, StartReply]


def test_a_service_that_stops_ends_an_opening() -> None:
    call = it.started(config())

    actions = call.happens(ev.ServiceStopping(ev.ShutdownMode.AT_ONCE))

    assert [one for one in actions if isinstance(one, EndCall)]
