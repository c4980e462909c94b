"""Rules for text: no half characters, whole numbers, and what of a caller's words may be kept.

*Half characters.* A server may send a character beyond U+FFFF as two escapes in two pieces, or only
one. Such a half (a lone surrogate) cannot be encoded as UTF-8, so halves that meet are joined, and
one that stays alone is dropped. Messages and facts do that by themselves (`WholeText`).

*Names and free text* are stored and used again, so they are checked when they are saved and when
they are read. A name has letters, marks, spaces, apostrophes, hyphens and full stops, and is no
link. A link is what a mail program or a telephone makes a link of, and the usual disguises:
`hxxp://`, `example[.]com`, `example dot com`. Lists of host names would be out of date: letters on
both sides of a full stop are one, so `St.Louis` gets its space first.
Rejected: to keep such a text without the link.
"""

from __future__ import annotations

import re
import unicodedata
from itertools import pairwise

import msgspec

_UNITS = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen"
_UNITS += " fifteen sixteen seventeen eighteen nineteen"
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
NUMBER_WORDS = {word: value for value, word in enumerate(_UNITS.split())}
NUMBER_WORDS |= {word: 10 * value for value, word in enumerate(_TENS.split(), start=2)}
"""The English words for 0 to 19 and for the tens, with their values."""

# BCP 47 as the relay uses it; `multi` has the same form
LANGUAGE_TAG = re.compile(r"[A-Za-z]{2,8}(?:-[A-Za-z0-9]{1,8})*")

_HALF_ESCAPE = re.compile(
    r"(\\[^u]|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})"
    r"|\\u[dD][89a-fA-F][0-9a-fA-F]{2}",
    re.DOTALL,
)
_JSON_FIELDS = frozenset({"arguments", "content", "parameters"})

_MOST_DIGITS = 18

NAME_LENGTH = 40
_LONGEST_READ = 10 * NAME_LENGTH
_NAME_SIGNS = frozenset(" '\u2019-.")

_INVISIBLE = re.compile(r"[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b-\u200f"
                        r"\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0]")  # fmt: skip
_ABBREVIATED = re.compile(
    r"\b(st|mt|ft|dr|ma|mr|mrs|ms|no|nr|apt|ave|rd|ln|blvd|ste|fl|bldg|jr|sr)\."
    r"(?=[^\W\d_]+[.!?]?(?:[\s,;)]|$))",
    re.IGNORECASE,
)
_ENDINGS = "com net org info biz io co me ly gg app dev xyz top shop site online club link click ru"
_COMMON = frozenset(_ENDINGS.split())
_LAST_WORD = re.compile(r"(?<=[^\w.,:+-])[\w.,:+-]{1,40}$")
_WORD = re.compile(r"[\w.-]+")
_LETTERS = re.compile(r"[^\W\d_]+")
_LINKS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"\w\s?:\s?[/\\]{2}",
        r"\b(?:javascript|data|mailto|vbscript)\s?:",
        r"\bh[tx]{2}ps?\b",
        r"\bwww\s?(?:\.|dot\b)",
        r"\w\s?\.\s?(?:com|org)\b",
        r"\w\u3002[a-z]{2,}\b",  # the full stop of Chinese; other widths are normalised
        r"\w\s?[\[({<]\s?(?:\.|dot)\s?[\])}>]\s?\w",
        rf"\w[\s.,_-]{{1,3}}d[o0]t[\s.,_-]{{1,3}}(?:{'|'.join(sorted(_COMMON))})\b",
        r"(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?![\d.])",
        r"@[\w-]{1,63}\.\w",
    )
)


def whole(text: str) -> str:
    """The text with its halves joined; a half that stays alone is dropped."""
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "ignore")


def whole_json(text: str) -> str:
    """The same for JSON text, valid or not, where a half may also be an escape."""
    text = whole(text)
    if "\\ud" not in text and "\\uD" not in text:
        return text
    return _HALF_ESCAPE.sub(lambda found: found[1] or "", text)


class WholeText:
    """Makes the text fields of a frozen dataclass whole, those that hold JSON as JSON text."""

    __slots__: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in self.__slots__:
            given = getattr(self, name)
            if isinstance(given, str):
                rule = whole_json if name in _JSON_FIELDS else whole
                if (text := rule(given)) is not given:
                    object.__setattr__(self, name, text)


class CharacterJoiner:
    """Joins pieces of one text; a half at the end of a piece waits for the next one."""

    def __init__(self) -> None:
        self._half = ""

    def add(self, text: str) -> str:
        text, self._half = self._half + text, ""
        if text and "\ud800" <= text[-1] <= "\udbff":
            text, self._half = text[:-1], text[-1]
        return whole(text)


def json_object(text: str) -> dict[str, object] | None:
    """The object that JSON text stands for; None if it is not a JSON object."""
    try:
        return msgspec.json.decode(text, type=dict[str, object])
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None


def whole_number(text: str, most: int) -> int | None:
    """The number in ASCII digits, up to `most`; `int` also takes other scripts and signs."""
    if not (text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS):
        return None
    number = int(text)
    return number if number <= most else None


def name_in(text: str) -> str:
    """The name in a text, normalized; empty if it is no name."""
    if len(text) > _LONGEST_READ:
        return ""
    joined = text.replace("\u200c", "").replace("\u200d", "")  # they only shape letters
    name = " ".join(filter(None, unicodedata.normalize("NFC", joined).strip().split(" ")))
    kinds = [unicodedata.category(sign)[0] for sign in name]
    fits = all(kind in "LM" or sign in _NAME_SIGNS for sign, kind in zip(name, kinds, strict=True))
    is_name = fits and "L" in kinds and len(name) <= NAME_LENGTH and not has_link(name)
    return name if is_name else ""


def line_in(text: str) -> str:
    """Free text as one line without invisible characters."""
    seen = _INVISIBLE.sub("", text)
    plain = "".join(sign if sign.isprintable() else " " for sign in seen)
    return _ABBREVIATED.sub(r"\1. ", " ".join(plain.split()))


def bounded_line(text: str, limit: int) -> str:
    """The text as one line of `limit` characters, a cut marked; no short word or number is cut."""
    line = " ".join(text[: 10 * limit + 100].split())
    if len(line) <= limit:
        return line
    cut = line[: max(0, limit - 1)]
    is_inside = line[len(cut)].isalnum()
    return f"{_LAST_WORD.sub('', cut) if is_inside else cut}".rstrip() + "\u2026"


def has_link(text: str) -> bool:
    """Whether the text has a link, or one in disguise."""
    line = unicodedata.normalize("NFKC", line_in(text))
    words = (found[0].split(".") for found in _WORD.finditer(line))
    has_host = any(_is_host(*pair) for labels in words for pair in pairwise(labels))
    return has_host or any(link.search(line) for link in _LINKS)


def _is_host(label: str, rest: str) -> bool:
    ending = _LETTERS.match(rest)
    if ending is None or not label:
        return False
    is_word = len(label) > 1 and _LETTERS.search(label) is not None
    return ending[0].casefold() in _COMMON or (is_word and len(ending[0]) > 1)
