"""What the caller hears: a queue of speech and sounds, played at the pace of the voice.

Time comes from outside, as seconds of any monotonic clock. Without a pace the playback moves only
when it is told, character by character: so tests need no time.

It is not documented what `utteranceUntilInterrupt` covers when a reply spans several messages
(`docs/reference/relay.md`), so both readings exist.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from msgspec import Struct
from msgspec.structs import replace

CHARACTERS_PER_SECOND = 15.0
"""Of a voice at its normal speed, about 180 English words a minute."""
_SOUND_SECONDS = 2.0
"""Assumed length of an audio file, which is not fetched."""
_ROUNDING = 1e-6


class HeardText(StrEnum):
    """What `utteranceUntilInterrupt` covers."""

    REPLY = "reply"
    """All that was heard since the caller's last words, over several talk cycles if need be."""
    MESSAGE = "message"
    """Only the part heard of the message that was being played."""


class Media(Struct, frozen=True):
    """One message in the queue; `begin` and `end` count characters of the whole playback."""

    begin: float
    end: float
    text: str = ""
    """Empty for a sound."""
    is_interruptible: bool = True
    is_preemptible: bool = False


@dataclass(slots=True)
class SpeechPlayback:
    """The speech since the caller's last words: what is queued, and how much of it was heard."""

    pace: float = 0.0
    """Characters a second; 0 = it moves only by `play`."""
    heard: float = 0.0
    """Characters already played, those of sounds included."""
    is_voiced: bool = False
    """A voice elsewhere speaks the texts, and says by `voice_at` where it is."""
    _media: list[Media] = field(default_factory=list)
    _playing: int = 0  # position of `current`, or one before it
    _reported: int = 0
    _at: float = 0.0
    _replies: list[str] = field(default_factory=list)

    @property
    def length(self) -> float:
        return self._media[-1].end if self._media else 0.0

    @property
    def is_playing(self) -> bool:
        return self.heard < self.length

    @property
    def seconds_left(self) -> float:
        """Until all is played; 0 without a pace."""
        return (self.length - self.heard) / self.pace if self.pace else 0.0

    @property
    def text(self) -> str:
        """All of it, heard or not."""
        return "".join(each.text for each in self._media)

    @property
    def heard_replies(self) -> list[str]:
        """What was heard of each reply so far, the present one last."""
        return [*self._replies, self.heard_text]

    @property
    def heard_text(self) -> str:
        return "".join(self._heard_of(each) for each in self._media)

    @property
    def current(self) -> Media | None:
        """What is being played."""
        while self._playing < len(self._media) and self._media[self._playing].end <= self.heard:
            self._playing += 1
        return self._media[self._playing] if self._playing < len(self._media) else None

    def advance(self, at: float) -> None:
        """Play on until `at`; nothing is played without a pace."""
        if not self._moves_by_itself:
            self._at = max(self._at, at)
            return
        seconds, self._at = max(0.0, at - self._at), max(self._at, at)
        self.heard = min(self.length, self.heard + seconds * self.pace)
        current = self.current
        if current is not None and current.end - self.heard < _ROUNDING:
            self.heard = current.end

    @property
    def next_end(self) -> float | None:
        """When the media being played will be over; None without a pace or without media."""
        if not self._moves_by_itself or (current := self.current) is None:
            return None
        return self._at + (current.end - self.heard) / self.pace

    @property
    def _moves_by_itself(self) -> bool:
        if self.is_voiced and (current := self.current) is not None and current.text:
            return False
        return self.pace > 0

    def voice_at(self, characters: int) -> None:
        """The voice has come to so many characters of `text`; it never goes back."""
        for media in self._media:
            if media.text and characters < len(media.text):
                self.play(media.begin + max(0, characters))
                return
            if not media.text and media.end > self.heard:
                return  # a sound is played at the pace
            characters -= len(media.text)
            self.play(media.end)

    def queue(
        self,
        token: str,
        *,
        opens_cycle: bool,
        is_interruptible: bool = True,
        is_preemptible: bool = False,
    ) -> None:
        """Add a message; a new cycle is set apart from the one before by a space."""
        self._preempt()
        last = self._media[-1].text[-1:] if opens_cycle and self._media else ""
        if last and not last.isspace() and not token[:1].isspace():
            self._media.append(Media(self.length, self.length, " "))
        end = self.length + len(token)
        self._media.append(Media(self.length, end, token, is_interruptible, is_preemptible))

    def queue_sound(
        self, times: int, *, is_interruptible: bool = True, is_preemptible: bool = False
    ) -> None:
        """Add an audio file that is played so many times, 0 = 1,000 times."""
        self._preempt()
        length = _SOUND_SECONDS * (times or 1000) * (self.pace or CHARACTERS_PER_SECOND)
        end = self.length + length
        self._media.append(Media(self.length, end, "", is_interruptible, is_preemptible))

    def play(self, characters: float) -> None:
        """Go on until this many characters are heard; what was heard stays heard."""
        self.heard = min(self.length, max(self.heard, characters))

    def play_words(self, words: int) -> None:
        """The same, counted in words."""
        ends = [0, *(word.end() for word in re.finditer(r"\S+", self.text))]
        self.play(ends[min(words, len(ends) - 1)])

    def cut(self, covers: HeardText) -> tuple[str, int]:
        """Stop here and forget the rest; returns what Twilio reports: text and milliseconds."""
        spoken = [each for each in self._media if each.text.strip() and each.begin < self.heard]
        told = self._media if covers is HeardText.REPLY else spoken[-1:]
        utterance = "".join(self._heard_of(each) for each in told)
        self._drop_unheard(self._media)
        return utterance, int(self.heard * 1000 / (self.pace or CHARACTERS_PER_SECOND))

    def finished_messages(self) -> list[str]:
        """The texts heard to their end since the last question."""
        done = [each.text for each in self._media if each.end <= self.heard and each.text.strip()]
        news, self._reported = done[self._reported :], len(done)
        return news

    def start_over(self) -> None:
        """The caller has spoken: the next text belongs to a new reply."""
        self._replies += [self.heard_text]
        self.heard, self._playing, self._reported = 0.0, 0, 0
        self._media.clear()

    def _preempt(self) -> None:
        """Something new comes, which takes the place of what says that it may be replaced."""
        if (current := self.current) is not None and current.is_preemptible:
            self._drop_unheard([each for each in self._media if each.is_preemptible])

    def _drop_unheard(self, dropped: Sequence[Media]) -> None:
        media, self._media = self._media, []
        for each in media:
            end, text = each.end, each.text
            if end > self.heard and each in dropped:
                end, text = max(each.begin, self.heard), self._heard_of(each)
                if not text:
                    continue
            begin = self.length if self._media else each.begin
            length = end - each.begin
            self._media.append(replace(each, begin=begin, end=begin + length, text=text))
        self._playing, self._reported = 0, min(self._reported, len(self._media))

    def _heard_of(self, media: Media) -> str:
        return media.text[: max(0, int(self.heard - media.begin))]
