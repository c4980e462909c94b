"""Personal values in texts: what is known to be one, and what looks like one.

What is known is looked for wherever it occurs: each text of a profile, and what tools were given
under a name such as `email`. What looks like a telephone number, an e-mail address or a street
address is found too, written or spoken. A name that is known from neither is not found.

What takes their place is up to the class that inherits. Rejected: Presidio
(https://microsoft.github.io/presidio/), which needs 375 MB of libraries and a language model that
no package index has from its makers.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Container, Iterator, Mapping
from functools import partial

from agent.call.spoken_address import read_address
from agent.usecases.validation import plain

_PERSONAL = (
    (re.compile(r"(first|given)_?names?"), "first_name"),
    (re.compile(r"(last|family|sur)_?names?"), "last_name"),
    (re.compile(r"(full|middle|caller|customer|guest|contact|person|user)_?names?"), "name"),
    (re.compile(r"e_?mail"), "email"),
    (re.compile(r"phone|mobile|telephone"), "phone"),
    (re.compile(r"street|address|postal|zip"), "address"),
    (re.compile(r"birth|passport|ssn|social_security|iban|account|card|policy"), "value"),
)
ONES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_DIGIT_OF = {**{word: str(digit) for digit, word in enumerate(ONES)}, "oh": "0"}
DIGIT_WORDS = "|".join([*_DIGIT_OF, "double", "triple"])
_LABEL = r"[A-Za-z0-9_+-]+"
_LETTER = r"(?:(?:double |triple )?[a-z0-9]|double u)"
_GAP = r"[ ,]{1,2}"
_JOINT = "dot|punkt|punto|point|underscore|unterstrich|dash|minus|hyphen"
_TOP = rf"(?:[a-z](?:{_GAP}[a-z]\b)+|{_LABEL})"
_NAME = rf"(?:{_LETTER}{_GAP})*{_LABEL}"
_EMAILS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+",
        *(
            rf"\b{_NAME}(?:{_GAP}(?:{_JOINT}){_GAP}{_NAME})*{_GAP}(?:{at}){_GAP}{_NAME}"
            rf"(?:{_GAP}(?:{dot}){_GAP}{_TOP})+\b"
            for at, dot in (("at|at sign|ät|arroba", "dot|punkt|punto"), ("arobase", "point"))
        ),
    )
)
_OTHERS = tuple(
    (kind, re.compile(pattern, re.IGNORECASE))
    for kind, pattern in (
        ("phone", r"(?<![\w-])(?<!::)\+?\(?\d(?:[\s().-]{0,2}\d){6,}(?![\w-])"),
        ("phone", rf"\b(?:(?:{DIGIT_WORDS})\b[\s,-]*){{7,}}"),
        (
            "address",
            r"\b\d{1,5} (?:[a-z]+ ){1,3}?(?:street|avenue|road|lane|drive|boulevard|ave|blvd|rd)\b",
        ),
    )
)
PATTERNS = (*(("email", pattern) for pattern in _EMAILS), *_OTHERS)
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_FEWEST_KEYS = 4
"""Keys in a row that may be a number of the caller's."""


def kind_of(name: str) -> str:
    """Which kind of personal value a field of this name holds; empty = none."""
    plain_name = re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()
    return next((kind for pattern, kind in _PERSONAL if pattern.search(plain_name)), "")


class PersonalValues(ABC):
    """The personal values of one call, and the texts with something in their place."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        """What takes the place of a text, by the text, casefolded."""

    def learn(self, value: object, name: str = "") -> None:
        """Remember what is personal in a value of this name, which may be nested."""
        value = plain(value)
        if isinstance(value, Mapping):
            for key, inner in value.items():
                self.learn(inner, str(key) if self._kind_of(str(key)) else name)
        elif isinstance(value, list):
            for inner in value:
                self.learn(inner, name)
        elif isinstance(value, str) and len(value.strip()) > 1 and (kind := self._kind_of(name)):
            self._learn_text(value.strip(), kind)

    def learn_profile(self, profile: Mapping[str, object], keywords: Container[str]) -> None:
        """Remember every text of the caller's profile that is not one of these words."""
        self.learn(profile)
        for value in _texts(plain(profile)):
            if len(value) > 1 and value not in keywords and value.casefold() not in self._names:
                kinds = (kind for kind, pattern in PATTERNS if pattern.fullmatch(value))
                self._learn_text(value, "value" if _DATE.match(value) else next(kinds, "value"))

    def learn_keys(self, keys: str) -> None:
        """Remember keys that the caller pressed in a row."""
        if len(keys) >= _FEWEST_KEYS:
            self._learn_text(keys, "keys")

    def text(self, text: str) -> str:
        """The text with something else in place of what is personal."""
        for pattern in _EMAILS:  # first, as a known name may be a part of one
            text = pattern.sub(partial(self._found, "email"), text)
        if self._names:
            known = sorted(self._names, key=len, reverse=True)
            either = "|".join(rf"(?<!\w){re.escape(each)}(?!\w)" for each in known)
            text = re.sub(either, self._known, text, flags=re.IGNORECASE)
        for kind, pattern in _OTHERS:
            text = pattern.sub(partial(self._found, kind), text)
        return text

    def value(self, value: object) -> object:
        """The same for all texts in a value."""
        value = plain(value)
        if isinstance(value, Mapping):
            return {str(key): self.value(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [self.value(inner) for inner in value]
        return self.text(value) if isinstance(value, str) else value

    def _kind_of(self, name: str) -> str:
        return kind_of(name)

    @abstractmethod
    def _learn_text(self, value: str, kind: str) -> None:
        """Remember a value, and the other forms in which it may occur."""

    @abstractmethod
    def _replaced(self, core: str, kind: str) -> str:
        """What takes the place of a text that looks personal."""

    def _known(self, found: re.Match[str]) -> str:
        return self._names[found[0].casefold()]

    def _found(self, kind: str, found: re.Match[str]) -> str:
        core = found[0].strip(" ,-")
        if kind == "phone" and _DATE.match(core):
            return found[0]
        return found[0].replace(core, self._replaced(core, kind))


def written_address(heard: str) -> str:
    """An e-mail address as it was heard, in writing."""
    return read_address(heard) or "".join(heard.split())


def digits_of(text: str) -> str:
    """The digits of a number, written or in English words."""
    times, found = 1, ""
    for word in re.findall(r"\d|[a-z]+", text.lower()):
        if word in {"double", "triple"}:
            times = 2 if word == "double" else 3
        else:
            found += times * _DIGIT_OF.get(word, word if word.isdigit() else "")
            times = 1
    return found


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, Mapping | list):
        for inner in value.values() if isinstance(value, Mapping) else value:
            yield from _texts(inner)
    elif isinstance(value, str):
        yield value.strip()
