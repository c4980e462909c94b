"""What the core knows of languages: a table for each, by the language of a BCP 47 tag.

Its sentences are in `agent.call.built_in_phrases`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields

from agent.call.languages.english import ENGLISH
from agent.call.languages.french import FRENCH
from agent.call.languages.german import GERMAN
from agent.call.languages.spanish import SPANISH
from agent.call.languages.turn_words import TurnWords

_TABLES: Mapping[str, TurnWords] = {"en": ENGLISH, "es": SPANISH, "de": GERMAN, "fr": FRENCH}
LANGUAGES = tuple(_TABLES)

_WORDLESS = frozenset({"mm", "mhm", "mm hm", "hm", "hmm", "ah", "oh", "uh huh", "ok", "okay"})
"""Backchannels of any language."""


_SURE = 3
"""Words of a language that tell it."""


def _vocabulary(table: TurnWords) -> frozenset[str]:
    values = (getattr(table, each.name) for each in fields(table))
    return frozenset[str]().union(*(each for each in values if isinstance(each, frozenset)))


def _telling(tag: str, table: TurnWords) -> frozenset[str]:
    """The function words of a language that none of the others has."""
    others = (_vocabulary(other) for name, other in _TABLES.items() if name != tag)
    return (table.open_words | table.function_words) - frozenset[str]().union(*others)


_TELLING = {tag: _telling(tag, table) for tag, table in _TABLES.items()}


def languages_of(said: Iterable[str], fewest: int = _SURE) -> tuple[str, ...]:
    """The languages with a table that words are of, that of most words first; empty = not known.

    Args:
        said: Casefolded words, with apostrophes; each counts once.
        fewest: Words that only one language has, to be sure of it; 1 = a guess.
    """
    words = frozenset(said)
    hits = {tag: len(words & telling) for tag, telling in _TELLING.items()}
    most = max(hits.values())
    found = [tag for tag in hits if hits[tag] >= fewest and 2 * hits[tag] > most]
    return tuple(sorted(found, key=lambda tag: -hits[tag]))


def is_function_word(word: str) -> bool:
    """Whether a casefolded word tells nothing of a subject, in any of these languages."""
    tables = _TABLES.values()
    return any(word in each.open_words or word in each.phrase_starts for each in tables)


def nods_of(language: str) -> frozenset[str]:
    """The backchannels of a BCP 47 tag."""
    table = turn_words(language)
    return table.nods if table else _WORDLESS


def turn_words(language: str) -> TurnWords | None:
    """The table of a BCP 47 tag, English if it is empty; None = only voice and time can tell."""
    return _TABLES.get(primary(language) or "en")


def offers_help(text: str) -> bool:
    """Whether these casefolded words of the agent ask for anything, in a language of the tables."""
    return any(table.offers_help.search(text) for table in _TABLES.values())


def primary(tag: str) -> str:
    """The language of a BCP 47 tag, without its region."""
    return tag.strip().partition("-")[0].casefold()


def is_same_language(tag: str, other: str) -> bool:
    """Whether two BCP 47 tags name one language, perhaps of two regions."""
    return primary(tag) == primary(other)


def closest_tag(wanted: str, spoken: Iterable[str]) -> str:
    """The one of the spoken BCP 47 tags that is meant: exactly, or of another region; or none."""
    tags = tuple(spoken)
    exact = (tag for tag in tags if tag.casefold() == wanted.strip().casefold())
    return next(exact, next((tag for tag in tags if is_same_language(tag, wanted)), ""))
