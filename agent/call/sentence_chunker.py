"""The text of a model as pieces that a voice can read.

`SentenceChunker` splits what `agent.call.markup_filter` leaves into words, cleans each, and joins
them to pieces that end where a speaker would breathe. Its output is sent, stored and later aligned.

- Decisions fall at white space, when a word is complete, so the result does not depend on how the
  provider cuts its tokens. Rejected: regular expressions over the text so far.
- The first word is given out as soon as it is complete, the rest in clauses.
- Marks at the beginning wait for the first letter or digit: a reply of marks alone is empty.
- The work for each character is bounded: a word without end is cut at `LONGEST_WORD`.
- Signs become words only in English, and only where a voice may take them for markup.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterator
from itertools import pairwise

from agent.call.markup_filter import MarkupFilter
from agent.call.utterance_analysis import has_words

MINIMUM_PIECE = 20
"""Characters; a shorter clause waits for the next one."""
MAXIMUM_PIECE = 160
"""Characters; without any mark, a piece ends at the next word after this."""
LONGEST_WORD = 2_000
"""Characters without white space; the rest is cleaned as another word, without a gap."""

_TAG = re.compile(r"</?([a-zA-Z][\w:-]*)(?:\s[^<>]*|/)?>")
_OPEN = re.compile(r"<[/a-zA-Z][^<>]*\Z|\]\([^()\s]*(?:\s+\"[^\"]*|\s+'[^']*)?\Z")
_LONGEST_TAG = 80
_WORD_END = re.compile(r"(?<=[。！？、，；])|\s")  # noqa: RUF001 (full-width marks end words there)
_SENTENCE_END = re.compile(r"[.!?…。！？]['\")\]»”’]*$")  # noqa: RUF001 (as above)
_CLAUSE_END = re.compile(r"[,;:—、，；]['\")\]»”’]*$")  # noqa: RUF001 (as above)
_ABBREVIATION = re.compile(
    r"^(?:[A-Za-z]|Mr|Mrs|Ms|Dr|Prof|St|Ave|Blvd|Rd|No|Nr|vs|etc|approx|apt|e\.g|i\.e|a\.m|p\.m"
    r"|(?:[A-Z]\.)+[A-Z])\.$"
)
_LINE_MARK = re.compile(
    r"#{1,6}|[-*+•‣>–]|\[[xX]?\]|<?[-=]{1,2}>|[\u2190-\u21ff]"  # noqa: RUF001 (dash)
)
_RULE = re.compile(r"[|:+=_*~-]{3,}|#{2,6}|[`~]{3,}[A-Za-z]*")
"""A line of a table or between parts, or a fence around code."""
_LETTERS = "[A-Za-z']{0,30}[A-Za-z]"
_USUAL_WORD = re.compile(rf"()({_LETTERS}[.,;:!?]?)(\s)")
"""Nothing of it is markup, a number or another script, and it is said as it is written. The first
group is that of the words before, of which there are none."""
_USUAL_WORDS = re.compile(rf"((?:{_LETTERS} )*)({_LETTERS}[.,;:!?]?)(\s)")
"""Several, of which only the last can end a clause or a line."""
_DIGIT = re.compile(r"\d")
_BLOCK_TAGS = frozenset({"br", "hr", "p", "div", "li", "ul", "ol", "tr", "td", "th"})

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
_DROPPED = {**str.maketrans("", "", "*`~[]{}\\"), ord("|"): " "}
_BETWEEN_NUMBERS = re.compile(r"(?<=[\d%])[*`~|\[\]{}\\^]+(?=[$€£¥]?\d)")
"""Marks without which two numbers would be read as one."""
SPOKEN_MARKS = {"~": "-", "*": "\u00d7"}
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


class SentenceChunker:
    """The words of one reply, in a language (BCP 47; empty = English); not reusable."""

    def __init__(self, language: str = "") -> None:
        self._is_english = language.lower().partition("-")[0] in {"", "en"}
        self._word = self._last = self._mark = ""
        self._searched = 0
        self._ready: list[str] = []
        self._size = 0  # of what is ready, in characters
        self._filter = MarkupFilter()
        self._at_line_start = True
        self._is_foreign = self._has_words = False
        self.given = 0  # characters

    @property
    def has_begun(self) -> bool:
        return self.given > 0

    @property
    def has_call(self) -> bool:
        return self._filter.has_call

    @property
    def is_pending(self) -> bool:
        return self._has_words and bool(self._ready)

    def feed(self, text: str) -> str:
        return self._say(self._filter.read(text))

    def _say(self, text: str) -> str:
        said, text, start = list[str](), self._word + text, 0
        while start < len(text):
            room = MAXIMUM_PIECE - self._size if self.given else 0
            usual = _USUAL_WORDS.match(text, start, start + room) or _USUAL_WORD.match(text, start)
            if usual is not None:
                words, word, mark = usual.groups()
                start = usual.end()
                self._take_usual(words, word, is_line_end=mark in "\n\r")
            elif (end := self._word_end(text, start)) is not None:
                word, mark = text[start : end[0]], text[end[0] : end[1]]
                self._take(word, is_line_end=mark in {"\n", "\r"}, joint=" " if mark else "")
                start = end[1]
            else:
                break
            self._searched = 0
            if self._is_piece(is_line_end=mark == "\n"):
                said.append(self.flush())
        self._word = text[start:]
        return "".join(said)

    def _word_end(self, text: str, start: int) -> tuple[int, int] | None:
        longest = start + LONGEST_WORD
        for end in _WORD_END.finditer(text, start + self._searched, longest + 1):
            at = end.start()
            if end.end() == start:
                continue  # the mark that ended the word before
            if at - start > _LONGEST_TAG or not _is_open(text[start:at]):
                return end.span()
        if len(text) > longest:
            return longest, longest
        self._searched = len(text) - start
        return None

    def flush(self) -> str:
        """The words that are complete, although their clause may not be."""
        if not self._has_words:
            return ""
        piece = "".join(self._ready)
        self._ready.clear()
        self._size = 0
        self.given += len(piece)
        return piece

    def finish(self, text: str = "", *, is_cut_short: bool = False) -> str:
        """The rest; `is_cut_short`: without an unfinished sentence if other words are left."""
        said = self._say(self._filter.read(text, is_whole=True))
        if not is_cut_short or not self._has_words:
            self._take(self._word, is_line_end=False, joint="")
        self._word = ""
        if is_cut_short:
            ends = [at for at, word in enumerate(self._ready) if _ends_sentence(word.strip())]
            kept = self._ready[: ends[-1] + 1] if ends else []
            if self.has_begun or any(map(has_words, kept)):
                self._ready = kept
        return (said + self.flush()).rstrip()

    def _is_piece(self, *, is_line_end: bool) -> bool:
        if not self._ready or not self._has_words:
            return False
        if not self.has_begun:
            return True
        if self._size < MINIMUM_PIECE or self._size >= MAXIMUM_PIECE:
            return self._size >= MAXIMUM_PIECE
        last = self._ready[-1].strip()
        if is_line_end or last[-1:].isalnum():
            return is_line_end
        return _ends_sentence(last) or _CLAUSE_END.search(last) is not None

    def _take_usual(self, words: str, word: str, *, is_line_end: bool) -> None:
        """What `_take` does with most words, for a tenth of the work."""
        if words:
            self._ready.append(words)
        self._ready.append(f"{word} ")
        self._size += len(words) + len(word) + 1
        self._has_words, self._at_line_start = True, is_line_end
        self._is_foreign, self._mark, self._last = False, "", word

    def _take(self, word: str, *, is_line_end: bool, joint: str) -> None:
        visible = _TAG.sub(lambda tag: " " if tag[1].lower() in _BLOCK_TAGS else "", word)
        is_mark = self._at_line_start and _LINE_MARK.fullmatch(visible) is not None
        cleaned = "" if is_mark or _RULE.fullmatch(visible) else self._cleaned(visible)
        if cleaned:
            self._ready.append(cleaned + joint)
            self._size += len(cleaned) + len(joint)
            self._has_words = self._has_words or has_words(cleaned)
        self._at_line_start = is_line_end or (self._at_line_start and not cleaned)

    def _cleaned(self, visible: str) -> str:
        is_english = self._is_english and not self._is_foreign
        cleaned = clean_word(visible, is_english=is_english)
        mark, self._mark = self._mark, SPOKEN_MARKS.get(visible, "")
        if not cleaned:
            return ""
        foreign = is_foreign(cleaned)
        self._is_foreign = self._is_foreign if foreign is None else foreign
        is_between = mark and _DIGIT.search(self._last) and _DIGIT.search(cleaned)
        self._last = cleaned
        return f"{mark} {cleaned}" if is_between else cleaned


def _is_open(word: str) -> bool:
    return ("<" in word or "](" in word) and _OPEN.search(word) is not None


def _ends_sentence(word: str) -> bool:
    return _SENTENCE_END.search(word) is not None and _ABBREVIATION.match(word) is None


def clean_word(word: str, *, is_english: bool = True) -> str:
    """A word as it is said, empty if nothing of it can be; English gets words for signs."""
    if _PLAIN.fullmatch(word):
        return word
    word = _ENTITY.sub(_entity, _ADDRESS.sub(_address, word))
    word = _LINK_TARGET.sub("", word.replace("![", "["))
    word = _ARROW.sub(" \u2013 ", _URL.sub(_host, word))
    word = _BETWEEN_NUMBERS.sub(lambda mark: SPOKEN_MARKS.get(mark.group(), " "), word)
    word = _EDGE_UNDERSCORE.sub("", word.replace("][", " ").translate(_DROPPED))
    if is_english and not is_foreign(word):
        word = _WORDED.sub(lambda sign: _ENGLISH[sign.group()], word)
    return " ".join("".join(_voiced(word)).split())


def is_foreign(word: str) -> bool | None:
    """Whether a word is in letters that are not Latin; None if it has no letters."""
    if word.isascii():
        return False if word.lower() != word.upper() else None
    letters = [one for one in word if one.isalpha()]
    return any(one > _LATIN_END for one in letters) if letters else None


def _address(bracketed: re.Match[str]) -> str:
    plain = bracketed[1]
    if plain.startswith(_SCHEMES):
        return plain.partition(":")[2]
    return plain if any(sign in plain for sign in _OF_AN_ADDRESS) else bracketed[0]


def _host(url: re.Match[str]) -> str:
    end = url.start() + len(url[0].rstrip(".,;:!?"))
    host = url.string[url.start("host") : min(end, url.end("host"))]
    return host + url.string[end : url.end()] if host else url[0]


def _entity(entity: re.Match[str]) -> str:
    plain = html.unescape(entity.group())
    return plain if plain.isprintable() or plain.isspace() else entity.group()


def _voiced(word: str) -> Iterator[str]:
    for before, one in pairwise(f" {word}"):
        if one in _JOINERS:
            yield one if _joins(before) else ""
        elif one in _SPOKEN_SYMBOLS:
            yield one
        else:
            yield _spoken(one, unicodedata.category(one))


def _joins(before: str) -> bool:
    """Whether a joiner after `before` shapes a letter (Persian, Indic), and does not join emoji."""
    is_letter = unicodedata.category(before)[0] in "LM" and not _is_style(before)
    return before > _LATIN_END and is_letter


def _is_style(character: str) -> bool:
    return "\ufe00" <= character <= "\ufe0f"


def _spoken(character: str, category: str) -> str:
    """A character, or the letters it consists of (`℃`: `°C`); empty for emoji and controls."""
    kind, *codes = unicodedata.decomposition(character).split() or [""]
    made_of = "".join(chr(int(code, 16)) for code in codes).translate(_SLASHES)
    if category in _UNSPEAKABLE or _is_style(character):
        is_words = kind.startswith("<") and any(one.isalnum() for one in made_of)
        return made_of if is_words else ""
    if kind == "<circle>":
        return f" {made_of} "
    is_ligature = "\ufb00" <= character <= "\ufb06"
    return unicodedata.normalize("NFKC", character) if is_ligature else character
