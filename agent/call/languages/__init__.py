"""What the core knows of languages: a table for each, by the language of a BCP 47 tag."""

from __future__ import annotations

from collections.abc import Mapping

from agent.call.languages.english import ENGLISH
from agent.call.languages.french import FRENCH
from agent.call.languages.german import GERMAN
from agent.call.languages.spanish import SPANISH
from agent.call.languages.turn_words import TurnWords

_TABLES: Mapping[str, TurnWords] = {"en": ENGLISH, "es": SPANISH, "de": GERMAN, "fr": FRENCH}


_WORDLESS = frozenset({"mm", "mhm", "mm hm", "hm", "hmm", "ah", "oh", "uh huh", "ok", "okay"})
"""Backchannels of any language."""


def nods_of(language: str) -> frozenset[str]:
    """The backchannels of a BCP 47 tag."""
    table = turn_words(language)
    return table.nods if table else _WORDLESS


def turn_words(language: str) -> TurnWords | None:
    """The table of a BCP 47 tag, English if it is empty; None = only voice and time can tell."""
    return _TABLES.get(language.partition("-")[0].lower() or "en")
