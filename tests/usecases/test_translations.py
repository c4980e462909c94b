"""Sentences of a use case by language, and what a language lacks."""

from __future__ import annotations

from agent.call.built_in_phrases import GERMAN_PHRASES, SPANISH_PHRASES
from agent.call.config import Phrases
from agent.usecases import UseCase
from agent.usecases.record import parse_use_case
from agent.usecases.translations import lacking


def use_case(language: str, *others: str, greeting: str = "", **phrases: object) -> UseCase:
    relay = {"language": language, "welcomeGreeting": greeting}
    spoken = [
        {"code": code, "ttsProvider": "Google", "voice": f"{code}-Standard-A"} for code in others
    ]
    record = {"pk": "shop", "prompt": "Be brief.", "conversationRelayParams": relay}
    return parse_use_case({**record, "languages": spoken, "phrases": phrases}, {})[0]


def test_a_use_case_speaks_the_built_in_sentences_of_its_languages() -> None:
    read = use_case("es-ES", "de-DE", "en-GB")

    assert read.translations == {
        "es-ES": SPANISH_PHRASES, "de-DE": GERMAN_PHRASES, "en-GB": Phrases(),
    }  # fmt: skip
    assert read.phrases is SPANISH_PHRASES
    assert list(lacking(read)) == []


def test_the_language_of_the_voice_is_that_of_the_sentences() -> None:
    relay = {"language": "en-US", "ttsLanguage": "de-DE"}
    record = {"pk": "shop", "prompt": "Be brief.", "conversationRelayParams": relay}

    assert parse_use_case(record, {})[0].phrases == GERMAN_PHRASES


def test_sentences_for_a_language_that_is_not_spoken_are_named() -> None:
    record = {"pk": "shop", "prompt": "Be brief.", "phrases": {"fr": {"goodbye": "Au revoir."}}}

    _, warnings = parse_use_case(record, {})

    assert warnings == (
        "shop.phrases.fr: is no language of the use case; there are: en-US",
    )  # fmt: skip


def test_a_language_without_built_in_sentences_needs_all_of_its_own() -> None:
    read = use_case("en-US", "it-IT", it={"goodbye": "Arrivederci.", "fillers": ["Un momento."]})

    (line,) = lacking(read)

    assert line.startswith("phrases.it-IT: lacks apology, trying_again, lost_thread, ")
    assert line.endswith("are said in English; there are built-in sentences in: en, es, de, fr")


def test_own_sentences_in_another_language_are_named() -> None:
    read = use_case(
        "es-ES",
        "de-DE",
        goodbye="Thank you for calling us, and have a very good day.",
        still_there=["Are you still there, or shall I hang up?"],
    )

    assert list(lacking(read)) == [
        "phrases: still_there, goodbye: read as en, the language is es-ES"
    ]


def test_a_greeting_in_another_language_is_named() -> None:
    read = use_case(
        "de-DE", greeting="Hello, this is the shop of my brother. What can I do for you?"
    )

    assert list(lacking(read)) == ["phrases: greeting: read as en, the language is de-DE"]


def test_a_voice_that_finds_the_language_out_lacks_nothing() -> None:
    read = use_case("multi", "es-US")

    assert read.phrases == Phrases()
    assert list(lacking(read)) == []
