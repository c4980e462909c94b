"""Words that tell whether a caller has finished, one table for each language.

All words are casefolded, without marks but an apostrophe inside a word. Tables hold words of
everyday speech; a phrase is looked for at the end of what the caller has said.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from agent.call.answer_kind import AnswerKind, ExpectedAnswer


@dataclass(frozen=True, slots=True)
class TurnWords:
    """The words of one language."""

    digits: Mapping[str, str]
    """Words of a dictated number, and the digits each stands for."""
    sums: Mapping[tuple[str, str], str]
    """Two numbers that are one together, where adding zeros does not tell: 4 and 20 are 80."""
    articles: frozenset[str]
    """Those of `digits` that also stand for a thing: "I have one"."""
    repeated: Mapping[str, int]
    """`double`: so many times the next digit or letter; one word or two."""
    spelling_aids: tuple[tuple[str, ...], ...]
    """Between a letter and a word that begins with it: "as in"."""
    spelling_marks: frozenset[str]
    """Words between letters that are spelled: "hyphen"."""
    email_marks: frozenset[str]
    """Words of a spoken e-mail address: "at", "dot"."""
    quantities: frozenset[str]
    """Words before a price, a time or a year: "about 1500"."""
    streets: re.Pattern[str]
    joints: frozenset[str]
    """Words between the digits of a number that add none."""
    hesitations: frozenset[str]
    """A caller who ends with one of these is thinking."""
    function_words: frozenset[str]
    """Frequent words beside `open_words` that tell the language."""
    open_words: frozenset[str]
    """Words that need another one after them."""
    stranded: frozenset[str]
    """Those of `open_words` that may end a question or a relative clause."""
    auxiliaries: frozenset[str]
    """Verbs that need more, except in a short answer such as "yes, it is"."""
    transitive: frozenset[str]
    """Verbs that need an object, unless they end a question or a relative clause."""
    subjects: frozenset[str]
    """Of a short answer that stands by itself: "I do"."""
    answers: frozenset[str]
    """First words of any other short answer."""
    whole: frozenset[str]
    """Complete utterances that end as an incomplete one does."""
    wishes: frozenset[str]
    """Before "to": what is wished is not complete."""
    lead_ins: tuple[str, ...]
    """Phrases that need an object."""
    corrections: tuple[str, ...]
    """The caller takes something back, or thinks, and has not said what is right."""
    announces: re.Pattern[str]
    """The caller says that a request or question comes."""
    topics: re.Pattern[str]
    """What a sentence is about, and nothing of it yet: "my order", where nothing was asked."""
    openers: frozenset[str]
    """A whole utterance that usually comes before the request itself."""
    consents: frozenset[str]
    """A whole utterance that says only that the answer follows, after an open question."""
    before_clauses: frozenset[str]
    """Words that stand before a new main clause; after any other "I want" ends a relative one."""
    questions: frozenset[str]
    """Words of a question or subordinate clause, after which one of `stranded` may be the last."""
    conditions: tuple[str, ...]
    """A clause that begins so needs another one."""
    introduces: re.Pattern[str]
    """The caller says only who calls."""
    phrase_starts: frozenset[str]
    """A few words that begin so are a part of a request, unless they were asked for."""
    before_phrases: frozenset[str]
    """Words that may stand before them."""
    courtesies: frozenset[str]
    """Last words of a request."""
    offers_help: re.Pattern[str]
    """The agent has asked for anything, and for nothing in particular."""
    asks: Mapping[AnswerKind, re.Pattern[str]]
    """Questions and requests; the first that fits says what a complete answer is."""
    asks_openly: re.Pattern[str]
    """A question or request that "yes" does not answer."""
    has_town_last: bool
    """In an address the town follows the postal code."""
    names_number: re.Pattern[str]
    """The caller says a number unasked; searched in the words before its digits."""
    negations: frozenset[str]
    apologies: frozenset[str]
    """Those of `corrections` that may also be an apology: "I can't, sorry"."""
    nods: frozenset[str]
    """Backchannels; several may follow each other."""
    moment: re.Pattern[str]
    """The caller asks for time, and for nothing else."""
    promises: re.Pattern[str]
    """In a sentence of the agent: what it has done or will do, without marks."""
    addresses: re.Pattern[str]
    """How a text begins or ends that speaks to the caller, with its marks."""
    person: re.Pattern[str]
    """The caller asks for a person, and for nothing else."""
    person_alone: re.Pattern[str]
    """The same as a noun: "operator, please"; also the answer to a question about persons."""
    about_persons: re.Pattern[str]
    """The agent asks about persons."""
    waits: re.Pattern[str]
    """The caller, asked to choose, goes on waiting."""
    call_back: re.Pattern[str]
    """The caller, asked to choose, wants to be called back, and says nothing else."""
    phone_digits: Mapping[str, int] = field(default_factory=dict)
    """Of a national telephone number, by the region of the language; "" = it is not given."""
    lengths: Mapping[str, ExpectedAnswer] = field(default_factory=dict)
    """The lengths of numbers, by words of the question; the first one that it has counts."""

    def phone_length(self, language: str) -> int:
        """Digits of a telephone number where this BCP 47 tag is spoken; 0 = they differ."""
        return self.phone_digits.get(language.partition("-")[2].lower(), 0)


def words(text: str) -> frozenset[str]:
    """Words between blanks."""
    return frozenset(text.casefold().split())


def phrases(text: str) -> tuple[str, ...]:
    """Longest first, one on a line or between bars."""
    return tuple(
        sorted((each.strip() for each in text.casefold().split("|")), key=len, reverse=True)
    )


def digits(text: str, more: Mapping[str, str] | None = None) -> Mapping[str, str]:
    """Words for 0, 1, 2 and so on, and more of them."""
    spoken = {word: str(value) for value, word in enumerate(text.split())} | dict(more or {})
    return {word.casefold(): digits for word, digits in spoken.items()}


def numbers(lengths: Mapping[str, int]) -> Mapping[str, ExpectedAnswer]:
    """Numbers of so many digits, by words of the question."""
    return {words: ExpectedAnswer(AnswerKind.NUMBER, each) for words, each in lengths.items()}
