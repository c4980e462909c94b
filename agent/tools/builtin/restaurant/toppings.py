"""Decides which toppings a free text adds, and which it leaves out.

A text is cut into pieces, at joints ("and", "but", commas) and before each marker ("no", "extra").
Remarks cost nothing, so none may be readable as a request for a topping. A piece is left out only
if it says so itself ("hold the bacon"), or if it follows such a piece and cannot mean anything
else: after "or" and "nor", or if the topping is on the dish anyway. Every other piece that names a
topping is paid for, or is refused, and the model asks. So is "light bacon" on a dish without bacon.

On a pizza without onion and bacon, "no onion but bacon" is bacon; "no onion or bacon" is nothing,
and the kitchen reads "no onion, no bacon"; "no onion, bacon" is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum, auto
from functools import lru_cache
from itertools import takewhile
from unicodedata import combining, normalize

from agent.errors import ToolError

Toppings = Mapping[str, Decimal]


def words_of(text: str) -> list[str]:
    """Lower-case words in the singular, so that "Garlic knot" is "Garlic Knots"."""
    plain = "".join(sign for sign in normalize("NFKD", text) if not combining(sign))
    words = re.findall(r"[a-z0-9']+", plain.casefold())
    return [word[:-1] if len(word) > 3 and word[-1] == "s" != word[-2] else word for word in words]


@lru_cache(1_000)
def _words_of_name(name: str) -> tuple[str, ...]:
    return tuple(words_of(name))


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split()) | frozenset(words_of(words))


_ADDING = _set("extra add added adding with plus topping some yes")
_LEAVING_OUT = _set(
    "no not without hold skip minus omit remove except excluding exclude sans don't dont never"
    " neither"
)
_REDUCING = _set("less light lightly easy little")
_HEDGED = _set("much many lot lots too half less")
_ASKING_MORE = _set(
    "double triple twice more lots loads loaded heavy additional another second portion"
    " free charge charging pay paying cost"
)
_TURNING = _set("but however though although yet instead rather then while whereas only just")
"""These words end a wish."""
_DENYING = _set("or nor")
_CONJOINED = frozenset({"and", "but"}) | _DENYING
_NOISE = _set(
    "the any a an of on in my it to at all please thanks pizza toppings put want include need have"
)
_DROPPED = frozenset({"with", "plus"})
_MARKERS = _ADDING | _LEAVING_OUT | _REDUCING
_EXCEPTING = _set("except excluding exclude")
_ALL_BUT = re.compile(
    r"\b(?:everything|anything|all) (?:but|except)\b|\binstead of\b|\brather than\b", re.IGNORECASE
)
_DO_NOT = re.compile(r"\bdo not\b|\bdon\u2019t\b", re.IGNORECASE)
_TOKEN = re.compile(r"[\w']+|[,;.&()!?+]")
_STOPS = frozenset(";.()!?+")


class Wish(Enum):
    """What a piece says about a topping in it."""

    OPEN = auto()
    """Wanted, or nothing is said."""
    LEFT_OUT = auto()
    REDUCED = auto()
    NOR = auto()
    """Left out, but only together with the piece before."""
    ALSO = auto()
    """It follows a piece that is left out, and may be left out or wanted."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a text with one wish."""

    text: str
    wish: Wish = Wish.OPEN

    @property
    def words(self) -> set[str]:
        return set(words_of(self.text)) - _TURNING


@dataclass(frozen=True, slots=True)
class Dish:
    """The dish a text is about; `about` has its ingredients, and is empty if they are unknown."""

    name: str
    about: str
    toppings: Toppings

    def has(self, topping: str) -> bool:
        """Whether it is on the dish anyway; toppings named "extra" count for all dishes."""
        words = words_of(topping)
        return words[0] in _ADDING or words[-1] in words_of(f"{self.name} {self.about}")


def sort_text(text: str, dish: Dish) -> tuple[list[str], list[Piece]]:
    """The requested toppings, and the remarks. Raises `ToolError` if a wish is not clear."""
    toppings, remarks = list[str](), list[Piece]()
    for piece in pieces_of(text):
        is_more = piece.words & _ASKING_MORE
        new = piece.words if is_more else piece.words - set(words_of(dish.name))
        topping = find_topping(piece.words, dish.toppings) if new else None
        if piece.wish is Wish.OPEN and topping is not None:
            toppings.append(topping)
        else:
            remarks.append(_remark(piece, _named(new, dish.toppings), dish))
    return toppings, remarks


def find_topping(words: set[str], toppings: Toppings) -> str | None:
    """The topping of this name, or of a part of it that has the noun ("onion")."""
    names = {name: _words_of_name(name) for name in toppings}
    wanted = words - _ADDING
    for name, its_words in names.items():
        if set(its_words) in (words, wanted):
            return name
    similar = [name for name, own in names.items() if own[-1] in wanted and wanted <= set(own)]
    return similar[0] if len(similar) == 1 else None


def pieces_of(text: str) -> list[Piece]:
    """The pieces of a text. A list that ends with "or" is left out as a whole."""
    pieces = list(_as_read(text))
    for at in range(len(pieces) - 2, -1, -1):
        if pieces[at].wish is Wish.ALSO and pieces[at + 1].wish is Wish.NOR:
            pieces[at] = Piece(pieces[at].text, Wish.NOR)
    return pieces


def _as_read(text: str) -> Iterator[Piece]:
    before = Wish.OPEN
    for joint, part in _parts(_DO_NOT.sub("don't", _ALL_BUT.sub("without", text))):
        before = _wish(words_of(part), joint, before)
        words = part.strip(" ,;.&()!?+").split()
        while words and words[0].casefold() in _DROPPED:
            words = words[1:]
        if not _MARKERS.issuperset(map(str.casefold, words)):
            yield Piece(" ".join(words), before)


def _remark(piece: Piece, named: list[str], dish: Dish) -> Piece:
    """In words for the kitchen. Raises `ToolError` if it may cost something."""
    if not named:
        return piece
    is_there = all(map(dish.has, named)) and not piece.words & _ASKING_MORE
    is_one = find_topping(piece.words - _LEAVING_OUT - _NOISE, dish.toppings) is not None
    match piece.wish:
        case Wish.LEFT_OUT if is_one or is_there:
            return piece
        case Wish.REDUCED | Wish.NOR | Wish.ALSO if is_there:
            return piece
        case Wish.NOR | Wish.ALSO if is_one and (piece.wish is Wish.NOR or not dish.about):
            return Piece(f"no {piece.text}", Wish.LEFT_OUT)
        case _:
            raise ToolError(
                f"{piece.text!r} reads like a topping, which costs extra. "
                f"Put it into toppings by its name, twice for double."
            )


def _named(words: set[str], toppings: Toppings) -> list[str]:
    return [name for name in toppings if _words_of_name(name)[-1] in words]


def _parts(text: str) -> Iterator[tuple[str, str]]:
    """Each part of the text with the joint before it; a marker begins a part of its own."""
    begin, joint, has_content = 0, "", False
    for token in _TOKEN.finditer(text):
        word = token[0].casefold()
        is_sign = len(word) == 1 and not word.isalnum() and word != "'"
        is_joint = is_sign or word in _CONJOINED | _TURNING
        if is_joint or (word in _MARKERS and has_content):
            yield joint, text[begin : token.start()]
            begin = token.end() if is_sign or word in _CONJOINED else token.start()
            joint, has_content = word if is_joint else "", False
        if not is_joint and word not in _MARKERS | _NOISE:
            has_content = True
    yield joint, text[begin:]


def _wish(words: list[str], joint: str, before: Wish) -> Wish:
    leading = set(takewhile((_MARKERS | _NOISE | _TURNING).__contains__, words))
    if leading & _EXCEPTING and before is not Wish.OPEN:
        return Wish.OPEN
    if len(leading & _LEAVING_OUT) == 1 and not _HEDGED.intersection(words):
        return Wish.LEFT_OUT
    if leading & (_LEAVING_OUT | _REDUCING):  # two are "not without"
        return Wish.REDUCED
    if leading & _ADDING or joint in _TURNING | _STOPS or before is Wish.OPEN:
        return Wish.OPEN
    return Wish.NOR if joint in _DENYING else Wish.ALSO
