"""A caller who asks for a person gets one, or is told that there is none, without the model."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.call.actions import EndCall, Record, Speak, StartReply
from agent.call.caller_wishes import TRANSFER_ASKED
from agent.call.config import KeyBinding
from agent.call.events import EndReason
from agent.call.history import AgentSaid, CallerSaid, InputMode, Note, SpeechSource
from agent.call.timers import StopTimer, Timer
from agent.call.utterance_analysis import asks_for_person
from tests.call import builders as it

DESK = replace(it.HELLO, can_hand_off=True)
OFFER = "How can I help you?"


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("en-US", "I want to speak to a person"),
        ("en-US", "agent"),
        ("", "Operator, please."),
        ("en-GB", "Representative, representative!"),
        ("en-US", "Um, can I talk to someone?"),
        ("en-US", "No, get me a manager!"),
        ("en-US", "could you transfer me to a real person please"),
        ("en-US", "yes please, connect me"),
        ("de-DE", "Mensch bitte"),
        ("de-DE", "Ich möchte mit einem Mitarbeiter sprechen."),
        ("de-DE", "Können Sie mich bitte verbinden?"),
        ("de-AT", "Kundendienst"),
        ("es-US", "hablar con una persona"),
        ("es-ES", "¿Me puede pasar con un agente, por favor?"),
        ("es-US", "No, quiero hablar con alguien."),
        ("es-MX", "operadora"),
        ("fr-FR", "un conseiller s'il vous plaît"),
        ("fr-FR", "Passez-moi quelqu\u2019un."),
        ("fr-CA", "Je voudrais parler à une vraie personne."),
    ],
)
def test_a_whole_wish_for_a_person_is_known(language: str, words: str) -> None:
    assert asks_for_person(words, OFFER, language)


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("en-US", "the person who lives there"),
        ("en-US", "Is a person allowed to smoke?"),
        ("en-US", "two persons"),
        ("en-US", "A person."),
        ("en-US", "I am an agent."),
        ("en-US", "Are you a real person?"),
        ("en-US", "I don't want to talk to a person."),
        ("en-US", "no person"),
        ("en-US", "I want to speak to Maria."),
        ("en-US", "I need a person to sign the lease."),
        ("en-US", "transfer my account"),
        ("en-US", ""),
        ("en-US", "please " * 30 + "agent"),
        ("de-DE", "Mensch!"),
        ("de-DE", "zwei Personen"),
        ("de-DE", "Ich möchte nicht mit einem Menschen sprechen."),
        ("es-US", "No quiero hablar con una persona."),
        ("es-US", "la persona que vive ahí"),
        ("fr-FR", "Personne."),
        ("fr-FR", "deux personnes"),
        ("it-IT", "operatore per favore"),
    ],
)
def test_other_words_about_persons_are_no_wish(language: str, words: str) -> None:
    asked = "Is it for a company or a person?" if words == "A person." else OFFER

    assert not asks_for_person(words, asked, language)


@pytest.mark.parametrize(
    ("question", "is_wish"),
    [
        ("Hello, I am a virtual agent. How can I help you?", True),
        ("Which size would you like?", True),
        ("What is your job?", False),
        ("How many are you?", False),
    ],
)
def test_a_noun_alone_may_answer_a_question_about_persons(question: str, is_wish: bool) -> None:
    assert asks_for_person("Agent.", question, "en-US") is is_wish


def test_a_caller_who_presses_keys_before_asking_for_a_person_is_transferred_too() -> None:
    call = it.listening(DESK)
    call.happens(it.pressed("5"), it.pressed("5"))

    actions = call.happens(it.spoke("Operator, please."))

    assert it.spoken(actions) == [DESK.phrases.transfer]
    assert [one.means for one in call.facts if isinstance(one, CallerSaid)] == [
        InputMode.KEYPAD,
        InputMode.SPEECH,
    ]


def test_a_caller_who_asks_for_a_person_is_transferred_without_the_model() -> None:
    call = it.listening(DESK)

    actions = call.happens(it.spoke("I want to talk to a person, please."))
    ended = call.happens(it.agent_off())

    assert actions == [
        Record(1, CallerSaid("I want to talk to a person, please.")),
        StopTimer(Timer.IDLE),
        Record(2, Note(TRANSFER_ASKED)),
        Speak(2, DESK.phrases.transfer, is_last=True),
        Record(3, AgentSaid(DESK.phrases.transfer, SpeechSource.SERVICE)),
        it.starts(Timer.PLAYBACK, 3_466),
    ]
    assert (
        EndCall(
            '{"reasonCode": "live-agent-handoff", "reason": "user-requested",'
            ' "summary": "The caller\'s last words: I want to talk to a person, please."}'
        )
        in ended
    )
    assert call.world.conversation.end_reason is EndReason.TRANSFER


def test_a_wish_in_two_pieces_is_one() -> None:
    call = it.listening(DESK)

    first = call.happens(it.spoke("I would like to talk to"))
    second = call.happens(it.spoke("an agent."))

    assert it.spoken(first) == []
    assert it.spoken(second) == [DESK.phrases.transfer]


def test_a_wish_takes_the_place_of_a_reply_that_is_spoken() -> None:
    call = it.speaking("We have three kinds of pizza, ", DESK)

    call.happens(it.interrupted("We have three"))
    actions = call.happens(it.spoke("Agent!"))

    assert it.spoken(actions) == [DESK.phrases.transfer]
    assert call.world.active is None


def test_a_second_wish_changes_nothing() -> None:
    call = it.listening(DESK)
    call.happens(it.spoke("Operator."))

    actions = call.happens(it.spoke("An operator, please!"))

    assert actions == [Record(4, CallerSaid("An operator, please!"))]


def test_without_a_desk_a_caller_hears_so_once_and_the_model_goes_on() -> None:
    call = it.listening()

    first = call.happens(it.spoke("Operator."))
    call.happens(it.agent_off())
    second = call.happens(it.spoke("Get me a person!"))

    assert it.spoken(first) == [it.HELLO.phrases.no_person]
    assert call.running >= {Timer.FILLER}
    assert it.question(second).reply == 1


def test_zero_is_for_the_desk() -> None:
    call = it.listening(DESK)

    actions = call.happens(it.pressed("0"))

    assert actions[:3] == [
        Record(1, CallerSaid("0", InputMode.KEYPAD)),
        StopTimer(Timer.IDLE),
        Record(2, Note(TRANSFER_ASKED)),
    ]
    assert it.spoken(actions) == [DESK.phrases.transfer]


def test_zero_without_a_desk_is_a_digit() -> None:
    call = it.listening()

    actions = call.happens(it.pressed("0"))

    assert it.spoken(actions) == []
    assert Timer.DIGITS in call.running


def test_zero_with_a_binding_does_what_that_says() -> None:
    call = it.listening(replace(DESK, keypad={"0": KeyBinding("We are open.")}))

    actions = call.happens(it.pressed("0"))

    assert [type(action) for action in actions].count(StartReply) == 1


def test_zero_within_an_entry_is_a_digit() -> None:
    call = it.listening(DESK)
    call.happens(it.pressed("5"))

    actions = call.happens(it.pressed("0"))

    assert actions == [it.starts(Timer.DIGITS, 3_000)]


def test_zero_is_a_digit_of_a_number_that_was_asked_for() -> None:
    call = it.answered("What is your zip code?", DESK)
    call.happens(it.agent_off())

    call.happens(it.pressed("0"))

    assert Timer.DIGITS in call.running


def test_a_transfer_that_a_lost_line_cut_off_is_in_the_facts() -> None:
    call = it.listening(DESK)

    call.happens(it.spoke("Operator."))

    assert call.facts[2] == Note("The caller asked for a person and is being transferred.")
