"""Model tokens → words worth saying.

A model writes for readers: Markdown, emoji, links. A voice reads out whatever it is given. What is
not for the caller at all is left out before (`agent.conversation.screen`). `Speech` takes the rest
apart into words, cleans each, and gives the result back in pieces that end where a speaker would
breathe. What it returns is what is sent, stored and later aligned with what was heard.

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

from agent.conversation.listening import has_words
from agent.conversation.screen import Screen
from agent.conversation.wording import SPOKEN_MARKS, clean_word, is_foreign

__all__ = ["LONGEST_WORD", "MAXIMUM_PIECE", "MINIMUM_PIECE", "Speech", "clean_word"]

MINIMUM_PIECE = 20
"""Characters; a shorter clause waits for its neighbour."""
MAXIMUM_PIECE = 160
"""Characters; without any mark, a piece ends at the next word after this."""
LONGEST_WORD = 2_000
"""Characters without white space; what follows is cleaned as a word of its own, without a gap."""

_TAG = re.compile(r"</?([a-zA-Z][\w:-]*)(?:\s[^<>]*|/)?>")
_OPEN = re.compile(r"<[/a-zA-Z][^<>]*\Z|\]\([^()\s]*(?:\s+\"[^\"]*|\s+'[^']*)?\Z")
"""A tag or the target of a link that is not complete."""
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
"""Of a table or between parts, or a fence around code."""
_DIGIT = re.compile(r"\d")
_BLOCK_TAGS = frozenset({"br", "hr", "p", "div", "li", "ul", "ol", "tr", "td", "th"})
"""Tags that part what stands before them from what follows."""


class Speech:
    """One reply on its way from tokens to words. Not reusable."""

    def __init__(self, language: str = "") -> None:
        """Begin a reply in this language (BCP 47); empty = English."""
        self._is_english = language.lower().partition("-")[0] in {"", "en"}
        self._is_foreign = False
        self._word = ""
        self._searched = 0
        self._last = ""
        self._mark = ""
        self._ready: list[str] = []
        self._screen = Screen()
        self._at_line_start = True
        self._has_begun = False
        self._has_words = False
        """A letter or digit has come, so that the marks around it can be said, too."""

    @property
    def has_call(self) -> bool:
        """A tool call was written as text; it is not said, nor what follows it."""
        return self._screen.has_call

    @property
    def is_pending(self) -> bool:
        """There are complete words that were not given out yet."""
        return self._has_words and bool(self._ready)

    def feed(self, text: str) -> str:
        """Take more of the reply; returns what can be said now, perhaps nothing."""
        return self._say(self._screen.feed(text))

    def _say(self, text: str) -> str:
        said: list[str] = []
        text, start = self._word + text, 0
        while (end := self._word_end(text, start)) is not None:
            mark = text[end[0] : end[1]]
            joint = " " if mark else ""
            self._take(text[start : end[0]], is_line_end=mark in {"\n", "\r"}, joint=joint)
            start, self._searched = end[1], 0
            if self._is_piece(is_line_end=mark == "\n"):
                said.append(self.flush())
        self._word = text[start:]
        return "".join(said)

    def _word_end(self, text: str, start: int) -> tuple[int, int] | None:
        """Where the first word and what follows it end; white space in a tag does not end it."""
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
        said = self._say(self._screen.finish())
        if not is_cut_short or not self._has_words:
            self._take(self._word, is_line_end=False, joint="")
        self._word = ""
        if is_cut_short:
            self._drop_unfinished_sentence()
        return (said + self.flush()).rstrip()

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
        is_mark = self._at_line_start and _LINE_MARK.fullmatch(visible) is not None
        cleaned = "" if is_mark or _RULE.fullmatch(visible) else self._cleaned(visible)
        if cleaned:
            self._ready.append(cleaned + joint)
            self._has_words = self._has_words or has_words(cleaned)
        self._at_line_start = is_line_end or (self._at_line_start and not cleaned)

    def _cleaned(self, visible: str) -> str:
        """The word as it should be said, with the mark between it and the number before it."""
        is_english = self._is_english and not self._is_foreign
        cleaned = clean_word(visible, is_english=is_english)
        mark, self._mark = self._mark, SPOKEN_MARKS.get(visible, "")
        if cleaned:
            foreign = is_foreign(cleaned)
            self._is_foreign = self._is_foreign if foreign is None else foreign
            is_between = mark and _DIGIT.search(self._last) and _DIGIT.search(cleaned)
            self._last = cleaned
            return f"{mark} {cleaned}" if is_between else cleaned
        return cleaned

    def _without_tags(self, word: str) -> str:
        """The word without tags."""
        return _TAG.sub(lambda tag: " " if tag.group(1).lower() in _BLOCK_TAGS else "", word)


def _is_open(word: str) -> bool:
    """Whether a word ends inside a tag or inside the target of a link."""
    return ("<" in word or "](" in word) and _OPEN.search(word) is not None


def _ends_sentence(word: str) -> bool:
    return _SENTENCE_END.search(word) is not None and _ABBREVIATION.match(word) is None
