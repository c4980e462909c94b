"""Model tokens → words worth saying.

A model writes for readers: Markdown, emoji, links, now and then a `<thinking>` block. A voice
reads out whatever it is given. `Speech` takes the stream apart into words, cleans each, and gives
the result back in pieces that end where a speaker would breathe. What it returns is what is sent,
stored and later aligned with what was heard (practice section 14).

All decisions fall at white space, when a word is complete. So the result does not depend on how the
provider happened to cut its tokens; a property test holds us to that. Rejected: regular expressions
over the text so far, which see half a tag or half a number at the end of each chunk.

The first word goes out as soon as it is complete (the caller waits for it), the rest in clauses,
so that one reply costs a handful of frames and not one for each token.

A reply of marks alone is an empty reply: marks at the beginning wait for the first letter or digit.

The work for one character is bounded: a word without end is cut at `LONGEST_WORD`, and no pattern
here goes back over what it has read.
"""

from __future__ import annotations

import re
import unicodedata

from agent.conversation.listening import has_words

MINIMUM_PIECE = 20
"""Characters; a shorter clause waits for its neighbour."""
MAXIMUM_PIECE = 160
"""Characters; without any mark, a piece ends at the next word after this."""
LONGEST_WORD = 2_000
"""Characters without white space; what follows is cleaned as a word of its own, without a gap."""

_HIDDEN = ("thinking", "think", "reasoning", "scratchpad", "reflection")
_TAG = re.compile(r"<(/?)([a-zA-Z][\w-]*+)[^<>]*+>")
_OPEN_TAG = re.compile(r"<[/a-zA-Z][^<>]*+$")
_LONGEST_TAG = 80
_WORD_END = re.compile(r"(?<=[。！？、，；])|\s")  # noqa: RUF001 (full-width marks end words there)
_SENTENCE_END = re.compile(r"[.!?…。！？]['\")\]»”’]*$")  # noqa: RUF001 (as above)
_CLAUSE_END = re.compile(r"[,;:—、，；]['\")\]»”’]*$")  # noqa: RUF001 (as above)
_ABBREVIATION = re.compile(
    r"^(?:[A-Za-z]|Mr|Mrs|Ms|Dr|Prof|St|Ave|Blvd|Rd|No|Nr|vs|etc|approx|apt|e\.g|i\.e|a\.m|p\.m"
    r"|(?:[A-Z]\.)+[A-Z])\.$"
)
_LINE_MARK = re.compile(r"^(?:#{1,6}|[-*+•‣>–]|-{3,}|={3,}|`{3}[A-Za-z]*)$")  # noqa: RUF001 (dash)
_LINK_TARGET = re.compile(r"\]\([^()\s]*\)?")
_URL = re.compile(r"https?://(?:www\.)?(?P<host>[^\s/)\]?#]+)[^\s)\]]*")
_EDGE_UNDERSCORE = re.compile(r"(?<![A-Za-z0-9])_+|_+(?![A-Za-z0-9])")
_PLAIN = re.compile(r"[A-Za-z0-9.,;:!?'\"$%+()。！？、，；-]*")  # noqa: RUF001 (as above)
"""Most words by far, and said as they are."""
_UNSPEAKABLE = frozenset({"So", "Sk", "Me", "Cf", "Cc", "Cs", "Co", "Cn"})
_DROPPED = str.maketrans("", "", "*`~|[]{}\\")
_BETWEEN_NUMBERS = re.compile(r"(?<=[\d%])[*`~|\[\]{}\\^]+(?=[$€£¥]?\d)")
"""Marks that are dropped elsewhere; without them two numbers would be read as one."""
_SPOKEN_MARKS = {"~": "-", "*": "\u00d7"}
_BLOCK_TAGS = frozenset({"br", "hr", "p", "div", "li", "ul", "ol", "tr", "td", "th"})
"""Tags that part what stands before them from what follows."""


class Speech:
    """One reply on its way from tokens to words. Not reusable."""

    def __init__(self) -> None:
        self._word = ""
        self._ready: list[str] = []
        self._hidden_by = ""
        self._depth = 0
        self._at_line_start = True
        self._has_begun = False
        self._has_words = False
        """A letter or digit has come, so that the marks around it can be said, too."""

    @property
    def is_pending(self) -> bool:
        """There are complete words that were not given out yet."""
        return self._has_words and bool(self._ready)

    def feed(self, text: str) -> str:
        """Take more of the reply; returns what can be said now, perhaps nothing."""
        said: list[str] = []
        self._word += text
        while (border := self._word_end()) is not None:
            start, end = border
            mark = self._word[start:end]
            word, self._word = self._word[:start], self._word[end:]
            self._take(word, is_line_end=mark in {"\n", "\r"}, joint=" " if mark else "")
            if self._is_piece(is_line_end=mark == "\n"):
                said.append(self.flush())
        return "".join(said)

    def _word_end(self) -> tuple[int, int] | None:
        """Where the first word ends, and its mark; white space inside a tag does not end it."""
        for end in _WORD_END.finditer(self._word, 0, LONGEST_WORD + 1):
            word = self._word[: end.start()]
            if len(word) > _LONGEST_TAG or "<" not in word or not _OPEN_TAG.search(word):
                return end.span()
        return (LONGEST_WORD, LONGEST_WORD) if len(self._word) > LONGEST_WORD else None

    def flush(self) -> str:
        """Give out the words that are complete, wherever the clause may be."""
        if not self._has_words:
            return ""
        piece = "".join(self._ready)
        self._ready.clear()
        self._has_begun = self._has_begun or bool(piece)
        return piece

    def finish(self, *, is_cut_short: bool = False) -> str:
        """Give out the rest.

        Args:
            is_cut_short: The model was stopped in mid-sentence: drop what follows the last
            sentence end,
                unless that leaves the whole reply without a word.
        """
        if not is_cut_short or not self._has_words:
            self._take(self._word, is_line_end=False, joint="")
        self._word = ""
        if is_cut_short:
            self._drop_unfinished_sentence()
        return self.flush().rstrip()

    def _drop_unfinished_sentence(self) -> None:
        ends = [at for at, word in enumerate(self._ready) if _ends_sentence(word.strip())]
        kept = self._ready[: ends[-1] + 1] if ends else []
        if self._has_begun or any(map(has_words, kept)):
            self._ready = kept

    def _is_piece(self, *, is_line_end: bool) -> bool:
        """What is ready may be said now."""
        if not self._ready or not self._has_words:
            return False
        if not self._has_begun:
            return True
        size = sum(map(len, self._ready))
        if size < MINIMUM_PIECE or size >= MAXIMUM_PIECE:
            return size >= MAXIMUM_PIECE
        last = self._ready[-1].strip()
        return is_line_end or _ends_sentence(last) or _CLAUSE_END.search(last) is not None

    def _take(self, word: str, *, is_line_end: bool, joint: str) -> None:
        """A word is complete."""
        visible = self._without_tags(word)
        is_mark = self._at_line_start and _LINE_MARK.match(visible) is not None
        cleaned = "" if is_mark else clean_word(visible)
        if cleaned:
            self._ready.append(cleaned + joint)
            self._has_words = self._has_words or has_words(cleaned)
        self._at_line_start = is_line_end or (self._at_line_start and not cleaned and not is_mark)

    def _without_tags(self, word: str) -> str:
        """The word without tags, and without anything inside a hidden block."""
        shown: list[str] = []
        position = 0
        for tag in _TAG.finditer(word):
            if not self._hidden_by:
                shown.append(word[position : tag.start()])
            position = tag.end()
            if tag.group(2).lower() in _BLOCK_TAGS:
                shown.append(" ")
            self._enter_or_leave(tag)
        if not self._hidden_by:
            shown.append(word[position:])
        return "".join(shown)

    def _enter_or_leave(self, tag: re.Match[str]) -> None:
        is_closing, name = bool(tag.group(1)), tag.group(2).lower()
        if name not in _HIDDEN or tag.group().endswith("/>") or self._hidden_by not in {"", name}:
            return
        self._depth = max(0, self._depth + (-1 if is_closing else 1))
        self._hidden_by = name if self._depth else ""


def clean_word(word: str) -> str:
    """One word as it should be said; empty if nothing of it can be. Digits and signs stay."""
    return word if _PLAIN.fullmatch(word) else _without_marks(word)


def _without_marks(word: str) -> str:
    word = _LINK_TARGET.sub("", word)
    word = _URL.sub(_host, word)
    word = _BETWEEN_NUMBERS.sub(lambda mark: _SPOKEN_MARKS.get(mark.group(), " "), word)
    word = word.translate(_DROPPED)
    word = _EDGE_UNDERSCORE.sub("", word)
    word = word.replace("&", " and ").replace("<", " less than ").replace(">", " greater than ")
    word = "".join(character for character in word if _is_speakable(character))
    return " ".join(word.split())


def _host(url: re.Match[str]) -> str:
    """What is said of a link; marks at its end belong to the sentence."""
    end = url.start() + len(url[0].rstrip(".,;:!?"))
    host = url.string[url.start("host") : min(end, url.end("host"))]
    return host + url.string[end : url.end()] if host else url[0]


def _is_speakable(character: str) -> bool:
    """Not an emoji, a modifier, an invisible or a control character."""
    if character in "°©®™ ":
        return True
    is_emoji_style = "\ufe00" <= character <= "\ufe0f"
    return not is_emoji_style and unicodedata.category(character) not in _UNSPEAKABLE


def _ends_sentence(word: str) -> bool:
    return _SENTENCE_END.search(word) is not None and _ABBREVIATION.match(word) is None
