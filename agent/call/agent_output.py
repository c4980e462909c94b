"""What the agent says: utterances, which of them may still be playing, and where they were cut.

An utterance is opened by its first words and closed by one `is_last`; a turn may hold several. All
stay *audible* until the agent speaks again after the caller's next words, because a barge-in
usually comes long after the text was complete. Each piece is recorded when it is sent, and the
whole at its end, so that a process that dies leaves behind what it said.
"""

from __future__ import annotations

from agent.call.actions import Action, Record, Speak
from agent.call.heard_alignment import LONGEST_TEXT, heard_until, letters
from agent.call.history import AgentSaid, History, SpeechSource

_BETWEEN_SENTENCES = " ,;:.!?\u2026\u2013\u2014-"
_WORDS_MS = 1_000
"""Of the shortest backchannel with the silence after it, before its words come."""


class AgentOutput:
    """The speech of one call; appends its facts to the history it is given."""

    def __init__(self, history: History, *, characters_per_second: int) -> None:
        self._history = history
        self._characters_per_second = characters_per_second
        self._utterance = 0
        self.open_at: int | None = None
        self._audible: list[int] = []
        self._first_unplayed = self._playing_from = 0  # indexes into `_audible`
        self._audio_ms = 0
        self._played = ""
        self.language = ""  # of what is said next, see `CallConfig.voice_language`
        self.unheard = ""
        """What the latest cut has left out of answers; fillers do not count."""
        self.cut_words = ""
        """The answer that was cut latest, as it was before."""
        self.has_spoken = False
        self._is_reported_on = self.is_playing = self._has_later_utterance = False

    @property
    def first_audible(self) -> int | None:
        return self._audible[0] if self._audible else None

    @property
    def playing_ms(self) -> int:
        """The longest time that speech and audio since the last silence can take to play."""
        playing = self._audible[self._first_unplayed :]
        length = sum(letters(self._history.fact(position, AgentSaid).text) for position in playing)
        return self._audio_ms + length * 1000 // self._characters_per_second

    @property
    def audible_text(self) -> str:
        """All speech since the caller's last words: what the next words can answer."""
        return " ".join(self._history.fact(position, AgentSaid).text for position in self._audible)

    @property
    def is_silent(self) -> bool:
        """Whether all that was said since the caller's last words has been played, if anything."""
        is_played = self._first_unplayed == len(self._audible) and not self.is_playing
        return self.open_at is None and (is_played or not self.has_spoken)

    @property
    def has_no_answer(self) -> bool:
        """Whether all that was said since the caller's last words are the service's sentences."""
        said = (self._history.fact(position, AgentSaid) for position in self._audible)
        return self.has_spoken and not any(each.is_answer for each in said)

    def greet(self, text: str) -> list[Action]:
        self._begin_utterance()
        return [self._append(AgentSaid(text, SpeechSource.GREETING))]

    def say(self, text: str) -> list[Action]:
        if self.open_at is None:
            self._begin_utterance()
            self.open_at = self._append(AgentSaid(text)).position
        else:
            self._history.extend_speech(self.open_at, text)
        growing = Record(self.open_at, self._history[self.open_at], is_growing=True)
        return [self._speak(text), growing]

    def close(self, rest: str | None = None) -> list[Action]:
        """Close the open utterance with its last words; say them as a new one if none is open.

        None: it is broken off, and the fact that follows is stored together with it.
        """
        if self.open_at is None:
            return self.say_whole(rest, SpeechSource.MODEL) if rest else []
        position, self.open_at = self.open_at, None
        closing: Action = self._speak(rest or "", is_last=True)
        if rest is None:
            return [closing]
        if rest:
            self._history.extend_speech(position, rest)
        return [closing, self._record(position)]

    def say_whole(
        self,
        text: str,
        source: SpeechSource = SpeechSource.SERVICE,
        *,
        interruptible: bool | None = None,
        preemptible: bool | None = None,
    ) -> list[Action]:
        closing = self.close()
        self._begin_utterance()
        language = self.language
        speak = Speak(self._utterance, text, True, interruptible, preemptible, language)
        return [*closing, speak, self._append(AgentSaid(text, source))]

    def heard_until(self, after_ms: int | None) -> str:
        """What was heard before words that came so long after the playback began; None = all."""
        if after_ms is None:
            return self.audible_text
        said = [self._history.fact(position, AgentSaid).text for position in self._audible]
        before, playing = said[: self._playing_from], " ".join(said[self._playing_from :])
        heard_ms = max(0, after_ms - _WORDS_MS)
        return " ".join([*before, playing[: heard_ms * self._characters_per_second // 1000]])

    def note_audio(self, lasts_ms: int) -> None:
        """An audio file plays, after what was said; an interrupt is none of earlier words."""
        self._begin_turn()
        self._audio_ms += lasts_ms

    def note_playing(self) -> None:
        self._playing_from = self._first_unplayed
        self._is_reported_on = self.is_playing = True

    def note_played_out(self) -> bool:
        """The relay has stopped playing; returns whether that was the last utterance."""
        is_last = not self._has_later_utterance
        self._has_later_utterance = self._is_reported_on = self.is_playing = False
        return is_last

    def note_all_played(self) -> None:
        self._audio_ms = 0
        self._first_unplayed = len(self._audible)
        self.is_playing = False

    def note_played(self, text: str) -> None:
        if len(self._played) < LONGEST_TEXT:
            self._played = f"{self._played} {text}"

    def cut(self, heard: str, after_ms: int | None, *, is_complete: bool) -> list[Action]:
        """Cut to what was heard, then nothing is audible; `is_complete`: the agent had no more."""
        self.is_playing = False
        positions, sent, rate = tuple(self._audible), self.audible_text, self._characters_per_second
        end = max(
            heard_until(sent, heard, after_ms=after_ms, characters_per_second=rate),
            heard_until(sent, self._played),
        )
        self.clear_audible()
        records: list[Action] = []
        rest: list[str] = []
        start = 0
        for position in positions:
            text = self._history.fact(position, AgentSaid).text
            if self._history.fact(position, AgentSaid).is_answer:
                rest.append(text[max(0, end - start) :].lstrip(_BETWEEN_SENTENCES).rstrip())
            is_open_ended = position == positions[-1] and not is_complete
            if end < start + len(text) or is_open_ended:
                is_answer = self._history.fact(position, AgentSaid).is_answer
                self.cut_words = text if is_answer else self.cut_words
                self._history.cut_speech(position, text[: max(0, end - start)].rstrip())
                records.append(self._record(position))
            start += len(text) + 1
        self.unheard = " ".join(filter(None, rest))
        return records

    def clear_audible(self) -> None:
        """All was heard: no later barge-in cuts it."""
        self._audible.clear()
        self._first_unplayed = self._playing_from = self._audio_ms = 0
        self._played = ""

    def _begin_utterance(self) -> None:
        """Count a new utterance; the first of a turn replaces what was audible."""
        self._begin_turn()
        self._has_later_utterance = self._is_reported_on
        self._utterance += 1

    def _begin_turn(self) -> None:
        if not self.has_spoken:
            self.clear_audible()
        self.has_spoken = True

    def _speak(self, text: str, *, is_last: bool = False) -> Speak:
        return Speak(self._utterance, text, is_last, language=self.language)

    def _append(self, said: AgentSaid) -> Record:
        position = self._history.append(said)
        self._audible.append(position)
        return self._record(position)

    def _record(self, position: int) -> Record:
        return Record(position, self._history[position])
