"""One word as it should be said: without marks for readers, digits and signs kept.

What a voice can read is left to it: it knows the words of its language. Signs are worded only in
English, and only where a voice may take them for markup.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterator
from itertools import pairwise

_LINK_TARGET = re.compile(
    r"\]\((?:[^()\s]|\([^()\s]*\))*(?:\s+\"[^\"]*\"|\s+'[^']*')?\)?"  # may have a title
)
_ADDRESS = re.compile(r"<([^\s<>]+)>")
_SCHEMES = ("mailto:", "tel:")
_OF_AN_ADDRESS = ("@", "://", "www.")
_ENTITY = re.compile(r"&(?:#[xX][0-9A-Fa-f]{2,6}|#[0-9]{2,7}|[A-Za-z][A-Za-z0-9]{1,31});")
_URL = re.compile(r"https?://(?:www\.)?(?P<host>[^\s/)\]?#]+)[^\s)\]]*")
_EDGE_UNDERSCORE = re.compile(r"(?<![A-Za-z0-9])_+|_+(?![A-Za-z0-9])")
_ARROW = re.compile(r"<?[-=]{1,2}>|[\u2190-\u21ff\u27f5-\u27ff]")
_PLAIN = re.compile(r"[A-Za-z0-9.,;:!?'\"$%+()。！？、，；-]*")  # noqa: RUF001 (full-width marks)
"""Most words by far, and said as they are."""
_DROPPED = {**str.maketrans("", "", "*`~[]{}\\"), ord("|"): " "}
_BETWEEN_NUMBERS = re.compile(r"(?<=[\d%])[*`~|\[\]{}\\^]+(?=[$€£¥]?\d)")
"""Marks that are dropped elsewhere; without them two numbers would be read as one."""
SPOKEN_MARKS = {"~": "-", "*": "\u00d7"}
"""Between numbers."""
_ENGLISH = {
    "<=": " less than or equal to ", ">=": " greater than or equal to ", "&": " and ",
    "<": " less than ", ">": " greater than ", "\u2116": " number ",
}  # fmt: skip
_WORDED = re.compile("|".join(_ENGLISH))
_UNSPEAKABLE = frozenset({"So", "Sk", "Me", "Cf", "Cc", "Cs", "Co", "Cn"})
_SPOKEN_SYMBOLS = "°©®™\u2116 "
_JOINERS = "\u200c\u200d"
_LATIN_END = "\u02ff"
_SLASHES = str.maketrans({"\u2215": "/", "\u2044": "/"})


def clean_word(word: str, *, is_english: bool = True) -> str:
    """One word as it should be said; empty if nothing of it can be. Digits and signs stay.

    Args:
        word: Without white space, apart from that inside a link.
        is_english: Signs may be put into English words; otherwise they are left to the voice.
    """
    return word if _PLAIN.fullmatch(word) else _without_marks(word, is_english=is_english)


def is_foreign(word: str) -> bool | None:
    """Whether a word is in letters that are not Latin; None if it has no letters."""
    if word.isascii():  # most words by far
        return False if word.lower() != word.upper() else None
    letters = [one for one in word if one.isalpha()]
    return any(one > _LATIN_END for one in letters) if letters else None


def _without_marks(word: str, *, is_english: bool) -> str:
    word = _ADDRESS.sub(_address, word)
    word = _ENTITY.sub(_entity, word)
    word = _LINK_TARGET.sub("", word.replace("![", "["))
    word = _URL.sub(_host, word)
    word = _ARROW.sub(" \u2013 ", word)
    word = _BETWEEN_NUMBERS.sub(lambda mark: SPOKEN_MARKS.get(mark.group(), " "), word)
    word = word.replace("][", " ").translate(_DROPPED)
    word = _EDGE_UNDERSCORE.sub("", word)
    if is_english and not is_foreign(word):
        word = _WORDED.sub(lambda sign: _ENGLISH[sign.group()], word)
    return " ".join("".join(_voiced(word)).split())


def _address(bracketed: re.Match[str]) -> str:
    """What stands in angle brackets if it is an address: Markdown writes links so."""
    plain = bracketed[1]
    for scheme in _SCHEMES:
        if plain.startswith(scheme):
            return plain.removeprefix(scheme)
    return plain if any(sign in plain for sign in _OF_AN_ADDRESS) else bracketed[0]


def _host(url: re.Match[str]) -> str:
    """What is said of a link; marks at its end belong to the sentence."""
    end = url.start() + len(url[0].rstrip(".,;:!?"))
    host = url.string[url.start("host") : min(end, url.end("host"))]
    return host + url.string[end : url.end()] if host else url[0]


def _entity(entity: re.Match[str]) -> str:
    """The character that an entity of HTML stands for; the entity if there is none."""
    plain = html.unescape(entity.group())
    return plain if plain.isprintable() or plain.isspace() else entity.group()


def _voiced(word: str) -> Iterator[str]:
    """What a voice can say of each character."""
    for before, one in pairwise(f" {word}"):
        if one in _JOINERS:
            yield one if _joins(before) else ""
        elif one in _SPOKEN_SYMBOLS:
            yield one
        else:
            yield _spoken(one, unicodedata.category(one))


def _joins(before: str) -> bool:
    """A joiner after a letter of Persian or of an Indic script shapes it; others join emoji."""
    is_letter = unicodedata.category(before)[0] in "LM" and not _is_style(before)
    return before > _LATIN_END and is_letter


def _is_style(character: str) -> bool:
    return "\ufe00" <= character <= "\ufe0f"


def _spoken(character: str, category: str) -> str:
    """A character, or the letters it is made of: `℃` is `°C`; empty for emoji, controls, marks."""
    kind, *codes = unicodedata.decomposition(character).split() or [""]
    made_of = "".join(chr(int(code, 16)) for code in codes).translate(_SLASHES)
    if category in _UNSPEAKABLE or _is_style(character):
        is_words = kind.startswith("<") and any(one.isalnum() for one in made_of)
        return made_of if is_words else ""
    if kind == "<circle>":
        return f" {made_of} "
    is_ligature = "\ufb00" <= character <= "\ufb06"
    return unicodedata.normalize("NFKC", character) if is_ligature else character
