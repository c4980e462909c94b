"""One detector tells the language of words: for the guard, summaries and translations."""

from __future__ import annotations

from dataclasses import fields

import pytest

from agent.call.built_in_phrases import phrases_in
from agent.call.config import Phrases
from agent.call.languages import LANGUAGES, languages_of
from agent.call.spoken_values import words_of


def sentences(tag: str) -> list[str]:
    """All built-in sentences of a language."""
    phrases = phrases_in(tag)
    assert phrases is not None
    said = (getattr(phrases, each.name) for each in fields(Phrases))
    return [each for one in said for each in ((one,) if isinstance(one, str) else one)]


@pytest.mark.parametrize("tag", LANGUAGES)
def test_a_sentence_is_taken_for_no_other_language(tag: str) -> None:
    taken = {each: languages_of(words_of(each).split()) for each in sentences(tag)}

    assert {each: found for each, found in taken.items() if {*found} - {tag}} == {}
    assert languages_of(words_of(" ".join(sentences(tag))).split()) == (tag,)


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("gerne ich helfe ihnen was möchten sie bestellen", ("de",)),
        ("claro qué le gustaría pedir para usted", ("es",)),
        ("bien sûr que voulez vous pour votre commande et avec quel plat", ("fr",)),
        ("sure what would you like with your pizza", ("en",)),
        ("pizza margherita con queso", ()),
        ("the the the the", ()),
        ("ピザを二つ", ()),
        ("", ()),
    ],
)
def test_few_words_tell_a_language_or_none(said: str, found: tuple[str, ...]) -> None:
    assert languages_of(said.split()) == found
