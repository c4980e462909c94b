"""How long the answer waits for more words, by the words and by what was asked."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.call.answer_kind import expected_answers
from agent.call.config import Limits
from agent.call.end_of_turn import answer_after_ms

LIMITS = Limits(end_of_turn_ms=2_000, end_of_number_ms=3_000)
NOW, SHORT, LONG, NUMBER = 0, 1_000, 2_000, 3_000
PHONE = "What is your phone number?"
ORDER = "What would you like to order?"
HELP = "Hello, this is the bakery. How can I help you?"
NAME = "What is your name, please?"
ADDRESS = "What is the delivery address?"
RIGHT = "One large pizza, is that right?"


def waits(said: str, question: str = "", language: str = "en-US") -> int:
    return answer_after_ms(said, question, language, LIMITS)


@pytest.mark.parametrize(
    ("said", "question", "expected"),
    [
        ("It's four one five", PHONE, NUMBER),
        ("four one five five five five", PHONE, NUMBER),
        ("four one five, five five five, oh one four two", PHONE, NOW),
        ("twenty three forty five", PHONE, NUMBER),
        ("four fifteen, triple five, oh one forty two", PHONE, NOW),
        ("415-555", PHONE, NUMBER),
        ("(415) 555-0142", PHONE, NOW),
        ("1 415 555 014", PHONE, NUMBER),
        ("1 415 555 0142", PHONE, NOW),
        ("four one five double", PHONE, NUMBER),
        ("555 0142, that's it", PHONE, NOW),
        ("Sure.", PHONE, NUMBER),
        ("Sure, it's", PHONE, NUMBER),
        ("Um", PHONE, NUMBER),
        ("No.", PHONE, NOW),
        ("I don't have one.", PHONE, NOW),
        ("Why do you need that?", PHONE, NOW),
        ("Yes.", "Is this the best number to reach you?", NOW),
        ("9 4 1", "And the zip code?", NUMBER),
        ("94107", "And the zip code?", NOW),
        ("8841", "Can I have the last four digits of your card?", NOW),
        ("12 34", "Can I have your order number?", NUMBER),
        ("My number is 415 555", "", NUMBER),
        ("five five five", "", NUMBER),
        ("415", "", NUMBER),
        ("double oh", "", NUMBER),
        ("two", ORDER, NOW),
        ("a table for four", ORDER, NOW),
        ("twenty five", "How old are you?", NOW),
        ("at 7:30", "When?", NOW),
        ("It costs at most 1500", "", NOW),
        ("Just for tomorrow", HELP, SHORT),
        ("I need two", HELP, SHORT),
        ("Riverside", ADDRESS, SHORT),
        ("We met in March 2026", "", NOW),
        ("It has to be at least 3.5", "", NOW),
    ],
)
def test_a_number_waits_for_its_digits(said: str, question: str, expected: int) -> None:
    assert waits(said, question) == expected


def test_a_use_case_may_say_how_long_a_number_is() -> None:
    limits = replace(LIMITS, expects=expected_answers({"Order number": "6 digits"}))

    def asked(said: str) -> int:
        return answer_after_ms(said, "Can I have your order number?", "en-US", limits)

    assert [asked("four two"), asked("four two one seven oh six")] == [NUMBER, NOW]


@pytest.mark.parametrize(
    ("said", "question", "expected"),
    [
        ("S M", "How do you spell that?", LONG),
        ("S", "How do you spell that?", LONG),
        ("S as in Sam", "How do you spell that?", LONG),
        ("j d o e", "", LONG),
        ("ann dot lee at example dot com", "What is your e-mail address?", NOW),
        ("at five p m", "When will you come?", NOW),
        ("42 Alder Way", ADDRESS, LONG),
        ("42 Alder Way, Springfield, 94107", ADDRESS, NOW),
        ("It's for pickup.", ADDRESS, NOW),
        ("Send it to 42 Alder Way Springfield 94107", "", NOW),
    ],
)
def test_letters_and_addresses_wait_for_their_end(said: str, question: str, expected: int) -> None:
    assert waits(said, question) == expected


@pytest.mark.parametrize(
    ("language", "said", "question", "expected"),
    [
        ("en-US", "X J 4", "What is the booking reference?", NUMBER),
        ("en-US", "four one five dash", PHONE, NUMBER),
        ("en-US", "+44 20 7946 0958", PHONE, NUMBER),
        ("en-GB", "oh two oh seven nine four six oh nine five", PHONE, NUMBER),
        ("en-GB", "oh two oh seven nine four six oh nine five eight", PHONE, NOW),
        ("en-US", "1117", "What is your budget?", NOW),
        ("en-US", "around 2300", "", NOW),
        ("en-US", "March 14th", "What is your date of birth?", LONG),
        ("en-US", "March 14th nineteen eighty seven", "What is your date of birth?", NOW),
        ("en-US", "ann dot lee at", "What is your e-mail address?", LONG),
        ("en-US", "Keller with", NAME, LONG),
        ("en-US", "Elm Court", "Where should we deliver to?", LONG),
        ("es-ES", "seiscientos doce veintitrés cuarenta", "¿Su teléfono?", NUMBER),
        ("es-ES", "seiscientos doce 23 45 67", "¿Me da su móvil?", NOW),
        ("es-ES", "calle Mayor ocho 28014", "¿Cuál es su dirección?", SHORT),
        ("es-ES", "ana arroba ejemplo punto", "¿Cuál es su correo?", LONG),
        ("de-DE", "zweiunddreißig", "Und die Postleitzahl?", NUMBER),
        ("de-DE", "zweiunddreißig vier null eins", "Und die Postleitzahl?", NOW),
        ("de-DE", "Ja.", "Ist das richtig?", NOW),
        ("de-DE", "der dritte August", "Wann sind Sie geboren?", LONG),
        ("fr-FR", "soixante-douze quatre-vingt-dix", "Votre téléphone ?", NUMBER),
        ("fr-FR", "06 soixante-douze quatre-vingt-dix 12 34", "Votre téléphone ?", NOW),
        ("fr-FR", "L comme Louis", "Ça s'écrit comment ?", LONG),
    ],
)
def test_the_question_sets_what_a_complete_answer_is(
    language: str, said: str, question: str, expected: int
) -> None:
    assert waits(said, question, language) == expected


@pytest.mark.parametrize(
    ("expects", "said", "expected"),
    [
        ("number", "4711", NUMBER), ("phone number", "555 0142", NUMBER), ("date", "May 3", LONG),
        ("card number", "4000 1234", NUMBER), ("postal code", "K1A 0B", NUMBER),
        ("postal code", "K1A 0B1", NOW), ("address", "5 Elm", LONG), ("spelling", "Ann", LONG),
        ("email", "ann", LONG), ("name", "Ann K", LONG), ("words", "four one five", NOW),
        ("7 digits", "AB471", NUMBER), ("7 digits", "AB 47112 and", NUMBER),
        ("7 digits", "A B 47112", NOW),
    ],
)  # fmt: skip
def test_a_use_case_may_expect_any_kind_of_answer(expects: str, said: str, expected: int) -> None:
    limits = replace(LIMITS, expects=expected_answers({"Lucky Charm": expects}))

    assert answer_after_ms(said, "What is your lucky charm?", "en-US", limits) == expected


@pytest.mark.parametrize(
    "said",
    [
        "I would like", "I would like a", "Two large pizzas and", "Um", "Well, um", "uh,",
        "A large, no wait", "Make it two, actually", "Can I get", "My name is", "It is",
        "a pizza with", "I want to change", "So we", "what are",
        "and where is", "Is there", "the first one or,",
    ],
)  # fmt: skip
def test_words_that_need_more_wait(said: str) -> None:
    assert waits(said, ORDER) == LONG


@pytest.mark.parametrize(
    ("said", "question"),
    [
        ("Yes.", RIGHT), ("Yes, it is.", RIGHT), ("I do.", RIGHT), ("No, no.", RIGHT),
        ("I would.", RIGHT), ("Yes, we could.", RIGHT),
        ("That's right.", RIGHT), ("Actually", RIGHT),
        ("I would like two large pizzas", ORDER), ("I'm hungry", ORDER),
        ("What is it for?", ""), ("who is it for", ""), ("what do you have", ""),
        ("What can I get", ""), ("That is all I need", ""), ("I think so", ""),
        ("I like the drinks you have", ""), ("I bet you would", ""), ("any restaurant will do", ""),
        ("something to sit on", ""), ("somewhere to go to", ""), ("Goodbye.", ""),
        ("My name is Ann Lee.", NAME), ("can I speak to a person", ""), ("...", ""), ("", ""),
    ],
)  # fmt: skip
def test_a_complete_sentence_is_answered_at_once(said: str, question: str) -> None:
    assert waits(said, question) == NOW


@pytest.mark.parametrize(
    ("said", "question"),
    [
        ("Hi.", HELP), ("Good morning", HELP), ("Hi, this is Ann Lee.", HELP), ("Well", HELP),
        ("Sure.", ORDER), ("If I come at five", ""),
    ],
)  # fmt: skip
def test_words_that_only_lead_in_wait_a_little(said: str, question: str) -> None:
    assert waits(said, question) == SHORT


@pytest.mark.parametrize(
    ("language", "said", "question", "expected"),
    [
        ("es-US", "Quisiera", "¿Qué desea?", LONG),
        ("es-US", "Dos pizzas grandes y", "", LONG),
        ("es-US", "Dos pizzas grandes, por favor.", "", NOW),
        ("es-US", "cuatro uno cinco", "¿Cuál es su número de teléfono?", NUMBER),
        ("es-US", "Hola", "Buenos días, ¿en qué puedo ayudarle?", SHORT),
        ("de-DE", "Ich hätte gern", "Was darf es sein?", LONG),
        ("de-DE", "Zwei Pizzen und", "", LONG),
        ("de-DE", "Kann ich zwei Pizzen haben", "", NOW),
        ("de-DE", "null eins sieben", "Wie ist Ihre Telefonnummer?", NUMBER),
        ("de-DE", "Guten Tag", "Wie kann ich helfen?", SHORT),
        ("fr-FR", "Je voudrais", "Que désirez-vous ?", LONG),
        ("fr-FR", "Deux pizzas avec", "", LONG),
        ("fr-FR", "Deux grandes pizzas, merci.", "", NOW),
        ("fr-FR", "zéro six douze", "Quel est votre numéro de téléphone ?", NUMBER),
        ("fr-FR", "zéro six douze trente quatre cinquante six dix", "Votre téléphone ?", NOW),
        ("ja-JP", "ピザを", "ご注文は?", NOW),
        ("pt-BR", "Eu quero um", "", NOW),
    ],
)
def test_languages_have_words_of_their_own(
    language: str, said: str, question: str, expected: int
) -> None:
    """Of a language without a table nothing is judged."""
    assert waits(said, question, language) == expected


@pytest.mark.parametrize(
    ("said", "expected"), [("Thank you.", 0), ("That is right. I need", 2_000)]
)
def test_a_whole_phrase_and_the_beginning_of_a_sentence(said: str, expected: int) -> None:
    assert waits(said) == expected
