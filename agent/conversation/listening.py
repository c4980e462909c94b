"""What a caller's words are, before they are a turn: nothing, a nod, or half a sentence."""

from __future__ import annotations

import re

_ACKNOWLEDGEMENTS = frozenset({
    "mm", "mhm", "mmhm", "mm hm", "mm hmm", "hmm", "uh huh", "uhhuh", "ok", "okay", "okay okay",
    "right", "yeah", "yeah yeah", "yep", "yes", "sure", "i see", "got it", "alright", "all right",
    "good", "great",
})  # fmt: skip
_UNFINISHED = frozenset({
    "a", "an", "the", "and", "or", "but", "to", "of", "for", "with", "in", "on", "at", "from", "my",
    "your", "his", "her", "our", "their", "is", "are", "was", "because", "if", "um", "uh", "uhm",
    "er", "i'd", "i'll", "that's", "it's", "um,", "uh,", "and,", "or,", "but,",
})  # fmt: skip


def has_words(text: str) -> bool:
    """There is something to answer: not blank, not only marks."""
    return any(character.isalnum() for character in text)


def is_acknowledgement(text: str) -> bool:
    """All of it only says "go on" (practice section 4.2)."""
    return " ".join(re.findall(r"[^\W_]+", text.casefold())) in _ACKNOWLEDGEMENTS


def asks(text: str) -> bool:
    """The last sentence is a question, so that "yes" is an answer and not a nod."""
    return text.rstrip(" \"')”»」』").endswith(("?", "？", "؟"))  # noqa: RUF001 (Chinese, Arabic)


def is_unfinished(text: str) -> bool:
    """English that breaks off in mid-sentence: more is likely to come (practice section 4.4)."""
    words = text.casefold().split()
    return bool(words) and words[-1].rstrip("-…") in _UNFINISHED
