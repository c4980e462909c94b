"""The consent of a caller: what answers the question, and how the answer is kept.

A yes is clear or none: with a refusal, a correction, a negation, a condition or a question beside
it the caller is asked again. Of the caller's words only the answer itself is kept (`screened`), so
that a record of the call holds nothing else that was said before.

The answer is a note of the history, from which a process that resumes the call reads it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from agent.call.history import Fact, Note
from agent.call.languages.commitment_words import commitment_words
from agent.call.spoken_values import words_of

YES_KEY, NO_KEY = "1", "2"
HIDDEN = "x"
"""In place of a word that is not kept."""
_MOST_HIDDEN = 8  # words; more tell nothing
_NOTED = "The caller has {} consent ({}, text {})."
_GIVEN, _REFUSED = "given", "refused"
_NOTE = re.compile(rf"The caller has ({_GIVEN}|{_REFUSED}) consent \((\w+), text (\w+)\)\.")
_PLAYED = "The disclosure was played to its end (text {})."
_PLAYED_NOTE = re.compile(r"The disclosure was played to its end \(text (\w+)\)\.")


class ConsentMeans(StrEnum):
    """How the caller has answered."""

    KEY = "key"
    WORD = "word"
    SILENCE = "silence"
    """Not at all, which is a refusal."""
    UNCLEAR = "unclear"
    """Only with words that are neither yes nor no, which is a refusal."""


@dataclass(frozen=True, slots=True)
class Consent:
    """The answer of the caller to the question for consent."""

    is_given: bool
    means: ConsentMeans
    version: str
    """Of the texts that the caller has heard, as `text_version` makes it."""

    @property
    def note(self) -> Note:
        state = _GIVEN if self.is_given else _REFUSED
        return Note(_NOTED.format(state, self.means, self.version))


class ConsentAnswer(NamedTuple):
    """Whether it is a yes, and the words that say so."""

    is_yes: bool
    words: str


def consent_of(facts: Iterable[Fact]) -> Consent | None:
    """The answer that these facts hold; None = there is none yet."""
    for fact in facts:
        if isinstance(fact, Note) and (noted := _NOTE.fullmatch(fact.text)):
            state, means, version = noted.groups()
            if means in set(ConsentMeans):
                return Consent(state == _GIVEN, ConsentMeans(means), version)
    return None


def played_note(version: str) -> Note:
    """The note that the disclosure of this version was played to its end."""
    return Note(_PLAYED.format(version))


def played_version(facts: Iterable[Fact]) -> str:
    """The version of the disclosure that was played; empty = none was."""
    notes = (_PLAYED_NOTE.fullmatch(fact.text) for fact in facts if isinstance(fact, Note))
    return next((noted[1] for noted in notes if noted), "")


def text_version(*texts: str) -> str:
    """Eight hexadecimal digits that are equal for equal texts."""
    return hashlib.blake2b("\n".join(texts).encode(), digest_size=4).hexdigest()


def answer_of(text: str, language: str) -> ConsentAnswer | None:
    """Whether these words are a clear yes or no; None = neither, or no table for the language.

    Args:
        text: What the caller has said.
        language: BCP 47; empty = English.
    """
    table = commitment_words(language)
    if table is None:
        return None
    line = words_of(text)
    no = table.refuses.search(line) or table.corrects.search(line)
    yes = table.agrees.search(line)
    if (yes and no) or text.rstrip().endswith("?") or table.queries.search(line):
        return None
    if no:
        return ConsentAnswer(is_yes=False, words=no[0])
    if yes is None or table.negates.search(line[: yes.start()] + line[yes.end() :]):
        return None
    return ConsentAnswer(is_yes=True, words=yes[0])


def screened(text: str, language: str) -> str:
    """What of these words may be kept: the answer, or as many marks as there are words."""
    if answer := answer_of(text, language):
        return answer.words
    return " ".join([HIDDEN] * min(_MOST_HIDDEN, len(words_of(text).split())))
