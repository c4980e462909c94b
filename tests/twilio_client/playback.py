"""What the caller has heard so far, in virtual time.

The test says how far the playback has come; the milliseconds that Twilio reports follow from a
speaking rate. Text is played in order; an interrupt drops what was not heard.

It is not documented what `utteranceUntilInterrupt` covers when a reply spans several messages
(`docs/reference/relay.md`), so both readings exist.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum


class Reading(StrEnum):
    """What `utteranceUntilInterrupt` covers."""

    REPLY = "reply"
    """All that was heard since the caller's last words, over several talk cycles if need be."""
    MESSAGE = "message"
    """Only the part heard of the message that was being played."""


@dataclass(slots=True)
class Playback:
    """The speech since the caller's last words: what is queued, and how much of it was heard."""

    characters_per_second: int = 15
    text: str = ""
    heard: int = 0  # characters of `text` already played
    _messages: list[tuple[int, int]] = field(default_factory=list)
    _told: int = 0  # messages already given out by `finished_messages`

    @property
    def is_playing(self) -> bool:
        return self.heard < len(self.text)

    def queue(self, token: str, *, opens_cycle: bool) -> None:
        """Add a message; a new cycle is set apart from the one before by a space."""
        touches = self.text and not self.text[-1].isspace() and not token[:1].isspace()
        if opens_cycle and touches:
            self.text += " "
        self._messages.append((len(self.text), len(self.text) + len(token)))
        self.text += token

    def play(self, characters: int) -> None:
        """Go on until this many characters are heard; what was heard stays heard."""
        self.heard = min(len(self.text), max(self.heard, characters))

    def play_words(self, words: int) -> None:
        """The same, counted in words."""
        ends = [0, *(word.end() for word in re.finditer(r"\S+", self.text))]
        self.play(ends[min(words, len(ends) - 1)])

    def cut(self, reading: Reading) -> tuple[str, int]:
        """Stop here and forget the rest; returns what Twilio reports: text and milliseconds."""
        current = max((start for start, _ in self._messages if start < self.heard), default=0)
        since = 0 if reading is Reading.REPLY else current
        self.text = self.text[: self.heard]
        self._messages = [(start, end) for start, end in self._messages if end <= self.heard]
        self._told = min(self._told, len(self._messages))
        return self.text[since:], self.heard * 1000 // self.characters_per_second

    def finished_messages(self) -> list[str]:
        """The messages heard to their end since the last question."""
        done = [self.text[start:end] for start, end in self._messages if end <= self.heard]
        news, self._told = done[self._told :], len(done)
        return news

    def start_over(self) -> None:
        """The caller has spoken: the next text belongs to a new reply."""
        self.text, self.heard, self._told = "", 0, 0
        self._messages.clear()
