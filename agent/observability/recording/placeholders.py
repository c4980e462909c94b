"""Personal values of a call, replaced by variables with fictitious values.

What is known to be personal is replaced wherever it occurs: each text of a profile, and what tools
were given under a name such as `email`. What looks like a telephone number, an e-mail address or a
street address is replaced too, written or spoken. A name that is known from neither is not found.

One value has one fictitious value in each of its forms, so that what a caller says still leads to
the arguments of the tools.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterator, Mapping
from functools import partial

from agent.usecases.validation import plain

NUMBER = "+15550109001"
"""Of the caller of the scenario; files know it as `{number}`."""
_PERSONAL = (
    (re.compile(r"(first|given)_?names?"), "first_name"),
    (re.compile(r"(last|family|sur)_?names?"), "last_name"),
    (re.compile(r"(full|middle|caller|customer|guest|contact|person|user)_?names?"), "name"),
    (re.compile(r"e_?mail"), "email"),
    (re.compile(r"phone|mobile|telephone"), "phone"),
    (re.compile(r"street|address|postal|zip"), "address"),
    (re.compile(r"birth|passport|ssn|social_security|iban|account|card|policy"), "value"),
)
_FICTITIOUS = {
    "first_name": ("Robin", "Kim", "Sasha", "Noor", "Jules"),
    "last_name": ("Doe", "Roe", "Poe", "Moe", "Coe"),
    "email": ("robin@example.com", "kim@example.com", "sasha@example.com", "noor@example.com"),
    "address": ("1 Example Street", "2 Example Street", "3 Example Street", "4 Example Street"),
}
_ONES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_DIGIT_OF = {**{word: str(digit) for digit, word in enumerate(_ONES)}, "oh": "0"}
_DIGIT_WORDS = "|".join([*_DIGIT_OF, "double", "triple"])
_LABEL = r"[A-Za-z0-9_+-]+"
_PATTERNS = tuple(
    (kind, re.compile(pattern, re.IGNORECASE))
    for kind, pattern in (
        ("email", r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+"),
        (
            "email",
            rf"\b(?:[a-z0-9] )*{_LABEL}(?: (?:dot|underscore|dash) {_LABEL})*"
            rf" at {_LABEL}(?: dot {_LABEL})+\b",
        ),
        ("phone", r"(?<![\w-])\+?\(?\d(?:[\s().-]{0,2}\d){6,}(?![\w-])"),
        ("phone", rf"\b(?:(?:{_DIGIT_WORDS})\b[\s,-]*){{7,}}"),
        (
            "address",
            r"\b\d{1,5} (?:[a-z]+ ){1,3}?(?:street|avenue|road|lane|drive|boulevard|ave|blvd|rd)\b",
        ),
    )
)
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_FEWEST_KEYS = 4
"""Keys in a row that may be a number of the caller's."""
_SPOKEN = {"@": " at ", ".": " dot ", "_": " underscore ", "-": " dash "}


def kind_of(name: str) -> str:
    """Which kind of personal value a field of this name holds; empty = none."""
    plain_name = re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()
    return next((kind for pattern, kind in _PERSONAL if pattern.search(plain_name)), "")


class Placeholders:
    """The personal values of one call; `variables` are their stand-ins."""

    def __init__(self, caller: str) -> None:
        self.variables: dict[str, str] = {}
        self._names: dict[str, str] = {}  # of variables, by the text they replace, casefolded
        self._stand_ins: dict[tuple[str, str], str] = {}  # by kind and what the value comes down to
        self._count: dict[str, int] = {}
        if digits := re.sub(r"\D", "", caller):
            self._stand_ins["phone", digits[-10:]] = NUMBER[-10:]
        if caller:
            self._names[caller.casefold()] = "number"

    def learn(self, value: object, name: str = "") -> None:
        """Remember what is personal in a value of this name, which may be nested."""
        value = plain(value)
        if isinstance(value, Mapping):
            for key, inner in value.items():
                self.learn(inner, str(key) if kind_of(str(key)) else name)
        elif isinstance(value, list):
            for inner in value:
                self.learn(inner, name)
        elif isinstance(value, str) and len(value.strip()) > 1 and (kind := kind_of(name)):
            self._learn_text(value.strip(), kind)

    def learn_profile(self, profile: Mapping[str, object], keywords: Container[str]) -> None:
        """Remember every text of the caller's profile that is not one of these words."""
        self.learn(profile)
        for value in _texts(plain(profile)):
            if len(value) > 1 and value not in keywords and value.casefold() not in self._names:
                kinds = (kind for kind, pattern in _PATTERNS if pattern.fullmatch(value))
                self._learn_text(value, "value" if _DATE.match(value) else next(kinds, "value"))

    def learn_keys(self, keys: str) -> None:
        """Remember keys that the caller pressed in a row."""
        if len(keys) >= _FEWEST_KEYS:
            self._learn_text(keys, "keys")

    def text(self, text: str) -> str:
        """The text with variables in place of what is personal; a name in braces stays text."""
        text = re.sub(r"\{[A-Za-z_]\w*\}", r"{\g<0>}", text)
        if self._names:
            known = sorted(self._names, key=len, reverse=True)
            either = "|".join(rf"(?<!\w){re.escape(each)}(?!\w)" for each in known)
            text = re.sub(either, self._known, text, flags=re.IGNORECASE)
        for kind, pattern in _PATTERNS:
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

    def _known(self, found: re.Match[str]) -> str:
        return f"{{{self._names[found[0].casefold()]}}}"

    def _learn_text(self, value: str, kind: str) -> None:
        if kind == "name":
            first, *others = value.split()
            self._learn_text(first, "first_name")
            if others:
                self._learn_text(" ".join(others), "last_name")
            return
        if kind == "email" and " " in value:  # as it was heard
            heard, value = value, _written(value)
            self._add(heard, "email_spoken", _spoken(self._stand_in(value, kind)))
        stand_in = self._stand_in(value, kind)
        self._add(value, kind, stand_in)
        if kind in {"first_name", "last_name"}:
            for gap in (" ", "-", ", "):
                self._add(gap.join(value), f"{kind}_spelled", " ".join(stand_in))
        if kind == "email":
            self._add(_spoken(value), "email_spoken", _spoken(stand_in))

    def _found(self, kind: str, found: re.Match[str]) -> str:
        """A variable for a text that looks personal."""
        text = found[0]
        core = text.strip(" ,-")
        if kind == "phone" and _DATE.match(core):
            return text
        is_spoken = " at " in core or (kind == "phone" and core[-1].isalpha())
        if kind == "email" and is_spoken:
            stand_in = _spoken(self._stand_in(_written(core), kind))
        elif kind == "phone":
            stand_in = self._phone(core, is_spoken=is_spoken)
        else:
            stand_in = self._stand_in(core, kind)
        self._add(core, f"{kind}_spoken" if is_spoken else kind, stand_in)
        return text.replace(core, f"{{{self._names[core.casefold()]}}}")

    def _stand_in(self, value: str, kind: str) -> str:
        if kind == "phone":
            return self._phone(value, is_spoken=False)
        known = self._stand_ins.get((kind, value.casefold()))
        if known is None:
            known = self._stand_ins[kind, value.casefold()] = self._next(value, kind)
        return known

    def _next(self, value: str, kind: str) -> str:
        number = self._count[kind] = self._count.get(kind, -1) + 1
        if kind == "keys":
            return "".join(str((each + number + 1) % 10) for each in range(len(value)))
        ready = _FICTITIOUS.get(kind, ())
        if number < len(ready):
            return ready[number]
        if kind == "email":
            return f"caller{number}@example.com"
        return f"{number} Example Street" if kind == "address" else f"Example {number}"

    def _phone(self, text: str, *, is_spoken: bool) -> str:
        """The fictitious number for a number, in the same form."""
        digits = _digits(text) if is_spoken else re.sub(r"\D", "", text)
        core = digits[-10:]
        if not digits:
            return self._next(text, "value")
        if ("phone", core) not in self._stand_ins:
            number = self._count["phone"] = self._count.get("phone", 0) + 1
            self._stand_ins["phone", core] = f"555010{9100 + number}"[-len(core) :]
        fictitious = digits[: -len(core)] + self._stand_ins["phone", core][-len(core) :]
        if is_spoken:
            return " ".join(_ONES[int(digit)] for digit in fictitious)
        rest = iter(fictitious)
        return re.sub(r"\d", lambda _: next(rest), text)

    def _add(self, value: str, kind: str, stand_in: str) -> None:
        """Name the variable of a value, once."""
        if value.casefold() in self._names:
            return
        same = (name for name, each in self.variables.items() if each == stand_in)
        name = next((each for each in same if each.startswith(kind)), "")
        number = 1 + sum(re.sub(r"_\d+$", "", each) == kind for each in self.variables)
        name = name or (kind if number == 1 else f"{kind}_{number}")
        self._names[value.casefold()] = name
        self.variables[name] = stand_in


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, Mapping | list):
        for inner in value.values() if isinstance(value, Mapping) else value:
            yield from _texts(inner)
    elif isinstance(value, str):
        yield value.strip()


def _spoken(address: str) -> str:
    return re.sub(r"[@._-]", lambda found: _SPOKEN[found[0]], address)


def _written(spoken: str) -> str:
    for sign, words in _SPOKEN.items():
        spoken = re.sub(words, sign, spoken, flags=re.IGNORECASE)
    return spoken.replace(" ", "")


def _digits(spoken: str) -> str:
    times, found = 1, ""
    for word in re.findall(r"[a-z]+", spoken.lower()):
        if word in {"double", "triple"}:
            times = 2 if word == "double" else 3
        else:
            found += times * _DIGIT_OF[word]
            times = 1
    return found
