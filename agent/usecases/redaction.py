"""Redaction of a call that is over: the table `[redaction]`, and what takes the place of values.

    [redaction]
    fields = ["petName"]

The table turns it on; `fields` are further names under which tools and profiles have personal
values. Each value is replaced by a numbered placeholder, `[number 1]`, the same one in all forms of
the value: written, spoken, spelled, in digits. What a placeholder stands for is in `Redactor.state`
and nowhere else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache, partial
from itertools import pairwise
from typing import Annotated

import msgspec
from msgspec import Meta

from agent.call.languages import primary
from agent.call.spoken_address import spell_out
from agent.call.spoken_values import in_digits
from agent.usecases.personal_values import (
    DIGIT_WORDS,
    ONES,
    PATTERNS,
    PersonalValues,
    digits_of,
    written_address,
)
from agent.usecases.validation import RecordErrors, plain, table, tolerant

_LABELS = {
    **dict.fromkeys(("first_name", "last_name", "name"), "name"),
    **dict.fromkeys(("phone", "keys"), "number"), "email": "e-mail", "address": "address",
    "card": "card", "value": "value",
}  # fmt: skip
_PLACEHOLDER = re.compile(rf"(\[(?:{'|'.join(sorted(set(_LABELS.values())))}) \d+\])")
_WORD = re.compile(r"[^\W_]+")
_FEWEST_DIGITS, _SHORTEST = 7, 4
"""Of a number that looks like one of a telephone, and of a part of one that is known."""
_END = re.compile(
    rf"(?<![\w-])(?:\d(?:[\s().-]{{0,2}}\d){{3,5}}|(?:(?:{DIGIT_WORDS})[\s,-]+){{3,5}}\w+)(?![\w-])",
    re.IGNORECASE,
)
_CARD_DIGITS = range(13, 20)
_SAME_DIGITS = 10
"""Of a telephone number, the last ones: with a country code or without."""


class RedactionOptions(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Redaction after the call; the table turns it on."""

    fields: tuple[Annotated[str, Meta(min_length=1, max_length=100)], ...] = ()
    """Further names of personal values."""


def read_redaction(raw: object, recording: object, errors: RecordErrors) -> RedactionOptions | None:
    """The table of a record; one that is wrong turns it on, without what is wrong.

    `recording`: the table of that name.
    """
    if raw is None:
        return None
    if recording is not None:
        errors.remark("redaction: does not reach the recording at Twilio")
    given = table(raw, "redaction", errors)
    read = partial(tolerant, given, RedactionOptions, "redaction", errors)
    return errors.read_or(read, RedactionOptions())


class Redactor(PersonalValues):
    """Replaces the personal values of one call by placeholders.

    Args:
        languages: BCP 47, those that were spoken.
        fields: As of `RedactionOptions`.
        state: That of an earlier one, whose placeholders stay.
    """

    def __init__(
        self,
        languages: Sequence[str] = (),
        fields: Sequence[str] = (),
        state: Mapping[str, Mapping[str, str]] | None = None,
    ) -> None:
        super().__init__()
        self._languages = dict.fromkeys(primary(each) for each in (*languages, "en"))
        self._fields = frozenset(each.casefold() for each in fields)
        self._names.update((state or {}).get("texts", {}))
        self._placeholders = dict((state or {}).get("values", {}))
        """By label and what the value comes down to."""

    @property
    def state(self) -> dict[str, dict[str, str]]:
        """What is replaced by what."""
        return {"texts": dict(self._names), "values": dict(self._placeholders)}

    def learn(self, value: object, name: str = "") -> None:
        super().learn(self._opened(value, name), name)

    def learn_pieces(self, texts: Sequence[str]) -> None:
        """Remember the numbers and addresses that go on from one of these texts to the next."""
        joined, borders = " ".join(texts), list[int]()
        for text in texts:
            borders.append((borders[-1] if borders else -1) + 1 + len(text))
        for kind, pattern in PATTERNS:
            for found in pattern.finditer(joined):
                inside = [at for at in borders if found.start() < at < found.end()]
                if not inside:
                    continue
                edges = [found.start(), *inside, found.end()]
                pieces = (joined[a:b] for a, b in pairwise(edges))
                for piece in (each.strip(" ,-") for each in pieces):
                    if len(piece) >= _SHORTEST - 1:
                        self._stands(piece, self._replaced(found[0].strip(" ,-"), kind))

    def text(self, text: str) -> str:
        """The text with placeholders; those that it has stay."""
        parts = _PLACEHOLDER.split(text)
        return "".join(part if at % 2 else self._plain(part) for at, part in enumerate(parts))

    def value(self, value: object, name: str = "") -> object:
        """The same for all texts in a value of this name, and for JSON in them."""
        value = plain(value)
        match value:
            case dict():
                return {each: self.value(inner, str(each)) for each, inner in value.items()}
            case list():
                return [self.value(inner, name) for inner in value]
            case str() if (inside := _decoded(value)) is not None:
                redacted = self.value(inside, name)
                same = redacted == inside
                return value if same else msgspec.json.encode(redacted).decode()
            case int() | float() if self._kind_of(name) and not isinstance(value, bool):
                return self.text(str(value))
            case str():
                return self.text(value)
            case _:
                return value

    def _plain(self, text: str) -> str:
        if not text.strip():
            return text
        text = super().text(text)
        for language in self._languages:
            text = self._without_number_words(text, language)
        return _END.sub(self._part, text)

    def _kind_of(self, name: str) -> str:
        return super()._kind_of(name) or ("value" if name.casefold() in self._fields else "")

    def _learn_text(self, value: str, kind: str) -> None:
        label = _LABELS[kind]
        if label == "e-mail":
            address = written_address(value).casefold()
            place = self._placeholder(label, address)
            local, _, domain = address.partition("@")
            forms = [value, address, spell_out(address), f"{local} at {domain}", local]
        elif kind == "phone" and digits_of(value):
            place, forms = self._replaced(value, kind), [value]
        else:
            place, forms = self._placeholder(label, value.casefold()), [value]
        if label == "name":
            parts = [part.strip(".,") for part in value.split()]
            forms += [part for part in parts if len(part) >= _SHORTEST - 1]
            forms += [gap.join(part) for part in (value, *parts) for gap in (" ", "-", ", ")]
        if label == "address":
            forms += [part.strip() for part in value.split(",") if len(part.strip()) >= _SHORTEST]
        if kind in {"keys", "value", "address"}:
            digits = re.sub(r"[\s-]", "", value)
            if digits.isdecimal() and digits.isascii() and len(digits) >= _SHORTEST:
                words = " ".join(ONES[int(digit)] for digit in digits)
                forms += [digits, " ".join(digits), ", ".join(digits), words]
                forms += [words.replace(" ", ", "), words.replace("zero", "oh")]
        for form in forms:
            self._stands(form, place)

    def _stands(self, text: str, place: str) -> None:
        if len(text) > 1 and not _PLACEHOLDER.fullmatch(text):
            self._names.setdefault(text.casefold(), place)

    def _replaced(self, core: str, kind: str) -> str:
        if kind == "email":
            return self._placeholder("e-mail", written_address(core).casefold())
        if kind != "phone":
            return self._placeholder(_LABELS[kind], core.casefold())
        return self._number(digits_of(core)) if digits_of(core) else core

    def _number(self, digits: str) -> str:
        if len(digits) in _CARD_DIGITS and _is_card(digits):
            return self._placeholder("card", digits)
        return self._placeholder("number", digits[-_SAME_DIGITS:])

    def _placeholder(self, label: str, value: str) -> str:
        key = f"{label}:{value}"
        if key not in self._placeholders:
            number = 1 + sum(known.startswith(f"{label}:") for known in self._placeholders)
            self._placeholders[key] = f"[{label} {number}]"
        return self._placeholders[key]

    def _without_number_words(self, text: str, language: str) -> str:
        """Without numbers in words of more than one digit: "five fifty-five twelve oh nine"."""
        pieces, last = list[str](), 0
        for start, end in _runs(text, language):
            digits = re.sub(r"\D", "", in_digits(text[start:end], language))
            if len(digits) >= _FEWEST_DIGITS:
                pieces += [text[last:start], self._number(digits)]
                last = end
        return "".join([*pieces, text[last:]])

    def _part(self, found: re.Match[str]) -> str:
        """The placeholder of a known number that begins or ends so: "ending in 4567"."""
        digits = digits_of(found[0])
        for key, place in self._placeholders.items():
            label, _, number = key.partition(":")
            is_part = _SHORTEST <= len(digits) < len(number) and label in {"number", "card"}
            if is_part and (number.startswith(digits) or number.endswith(digits)):
                return place
        return found[0]

    def _opened(self, value: object, name: str) -> object:
        """With the values of JSON in texts, and with texts for numbers of a personal name."""
        match plain(value):
            case dict(found):
                return {each: self._opened(inner, str(each)) for each, inner in found.items()}
            case list(found):
                return [self._opened(inner, name) for inner in found]
            case str(text) if (inside := _decoded(text)) is not None:
                return self._opened(inside, name)
            case int() | float() as number if self._kind_of(name) and type(number) is not bool:
                return str(number)
            case other:
                return other


def _runs(text: str, language: str) -> Iterator[tuple[int, int]]:
    """Where number words follow each other; commas stand only between single digits.

    What has digits alone is none: it is found by its form, and may be a date.
    """
    runs, run = list[list[re.Match[str]]](), list[re.Match[str]]()
    for word in _WORD.finditer(text):
        digits = _digits_of_word(word[0].casefold(), language)
        gap = text[run[-1].end() : word.start()] if run else ""
        is_single = len(digits) == 1 and run and len(_digits_of_word(run[-1][0], language)) == 1
        goes_on = gap in {" ", "-"} or (is_single and gap.strip() == ",")
        if run and not (digits and goes_on):
            runs.append(run)
            run = []
        if digits:
            run.append(word)
    for each in (*runs, run):
        if any(not word[0].isdecimal() for word in each):
            yield each[0].start(), each[-1].end()


@lru_cache(maxsize=4_096)
def _digits_of_word(word: str, language: str) -> str:
    """The digits of one number word; empty if it is none."""
    digits = "0" if (word, language) == ("oh", "en") else in_digits(word, language)
    return digits if digits.isdecimal() else ""


def _decoded(text: str) -> object:
    """The object or list that a text of JSON has; None otherwise."""
    if text[:1] not in {"{", "["}:
        return None
    try:
        found = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    return found if isinstance(found, dict | list) else None


def _is_card(digits: str) -> bool:
    """Whether the check digit is right, by the algorithm of Luhn (ISO/IEC 7812-1)."""
    doubled = (sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
    return (sum(doubled) + sum(map(int, digits[-1::-2]))) % 10 == 0
