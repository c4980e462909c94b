"""What the agent says: utterances, what of them may still be playing, and where they were cut.

An utterance (the relay's talk cycle) is opened by its first words and closed by exactly one
`is_last`. A turn of the agent may hold several: a preamble, a filler, the answer after a tool. All
of them stay *audible* until the agent speaks again after the caller's next words: models write
faster than voices read, so an interrupt usually comes long after the text was complete.

Each piece is recorded as it is sent. A process that dies in mid-sentence leaves behind what it
said.
"""

from __future__ import annotations

from agent.call.actions import Action, Record, Speak
from agent.call.heard_alignment import LONGEST_TEXT, heard_until, letters
from agent.call.history import AgentSaid, History, SpeechSource


class AgentOutput:
    """The speaking side of one call; writes its facts into the history it is given."""

    def __init__(self, history: History, *, characters_per_second: int) -> None:
        self._history = history
        self._characters_per_second = characters_per_second
        self._utterance = 0
        self._open: int | None = None
        self._audible: list[int] = []
        self._quiet_since = 0
        self._played = ""
        self._has_spoken = False
        self._is_playing = False
        self._is_heard = False
        self._is_behind = False

    @property
    def is_open(self) -> bool:
        """An utterance awaits its end."""
        return self._open is not None

    @property
    def open_at(self) -> int | None:
        """The position of the speech that awaits its end."""
        return self._open

    @property
    def is_speaking(self) -> bool:
        """Words are still to come, or being played and neither cut nor given up."""
        return self.is_open or self._is_heard

    @property
    def has_spoken(self) -> bool:
        """Something was said since the caller's last words."""
        return self._has_spoken

    @property
    def first_audible(self) -> int | None:
        """The position of the first speech that may still be cut or go on."""
        return self._audible[0] if self._audible else None

    @property
    def playing_ms(self) -> int:
        """The longest time that what was said since the last silence can take to be read out."""
        playing = self._audible[self._quiet_since :]
        length = sum(letters(self._history.speech(position).text) for position in playing)
        return length * 1000 // self._characters_per_second

    @property
    def audible_words(self) -> str:
        """All that was said since the caller's last words: what these can be an answer to."""
        return " ".join(self._history.speech(position).text for position in self._audible)

    def begin_turn(self) -> None:
        """The caller has the floor. What was said before stays audible until we speak again."""
        self._has_spoken = False

    def greet(self, text: str) -> list[Action]:
        """Take note of the greeting, which the relay plays without us."""
        self._speak_up()
        return [self._keep(AgentSaid(text, SpeechSource.GREETING))]

    def say(self, text: str, voice: SpeechSource = SpeechSource.MODEL) -> list[Action]:
        """Say some more; opens an utterance if none is open."""
        if self._open is not None:
            self._history.extend_speech(self._open, text)
            return [Speak(self._utterance, text), self._record(self._open)]
        self._speak_up()
        record = self._keep(AgentSaid(text, voice))
        self._open = record.position
        return [Speak(self._utterance, text), record]

    def close(self, rest: str = "") -> list[Action]:
        """Close the open utterance with its last words; they open one of their own if none is."""
        if self._open is None:
            return self.say_whole(rest, SpeechSource.MODEL) if rest else []
        position, self._open = self._open, None
        if not rest:
            return [Speak(self._utterance, "", is_last=True)]
        self._history.extend_speech(position, rest)
        return [Speak(self._utterance, rest, is_last=True), self._record(position)]

    def say_whole(self, text: str, voice: SpeechSource = SpeechSource.SERVICE) -> list[Action]:
        """Say one whole utterance; an open one is closed first."""
        closing = self.close()
        self._speak_up()
        record = self._keep(AgentSaid(text, voice))
        return [*closing, Speak(self._utterance, text, is_last=True), record]

    def note_playing(self) -> None:
        """The relay has begun to play."""
        self._is_playing = self._is_heard = True

    def note_played_out(self) -> bool:
        """The relay has stopped playing; whether that was the last utterance, not one before it."""
        was_behind, self._is_behind = self._is_behind, False
        self._is_playing = self._is_heard = False
        return not was_behind

    def note_silence(self) -> None:
        """All that was said has been played, whether the relay says so or not."""
        self._quiet_since = len(self._audible)
        self._is_heard = False

    def note_played(self, text: str) -> None:
        """The relay has played this much more."""
        if len(self._played) < LONGEST_TEXT:
            self._played = f"{self._played} {text}"

    def cut(self, heard: str, after_ms: int | None, *, is_complete: bool) -> list[Action]:
        """Cut what is audible to what was heard; nothing is audible any more then.

        Args:
            heard: The relay's report.
            after_ms: Playing time until the cut, if it was given.
            is_complete: The agent had nothing to add; only then is a reply heard to the end not
            cut.
        """
        self._is_heard = False
        positions = tuple(self._audible)
        texts = [self._history.speech(at).text for at in positions]
        sent = " ".join(texts)
        rate = self._characters_per_second
        end = max(
            heard_until(sent, heard, after_ms=after_ms, characters_per_second=rate),
            heard_until(sent, self._played),
        )
        self._clear_audible()
        records: list[Action] = []
        start = 0
        for position, text in zip(positions, texts, strict=True):
            is_open_ended = position == positions[-1] and not is_complete
            if end < start + len(text) or is_open_ended:
                self._history.cut_speech(position, text[: max(0, end - start)].rstrip())
                records.append(self._record(position))
            start += len(text) + 1
        return records

    def _clear_audible(self) -> None:
        self._audible.clear()
        self._quiet_since = 0
        self._played = ""

    def _speak_up(self) -> None:
        """A new utterance begins; the first of a turn replaces what was audible."""
        if not self._has_spoken:
            self._clear_audible()
        self._has_spoken = True
        self._is_behind = self._is_playing
        self._utterance += 1

    def _keep(self, said: AgentSaid) -> Record:
        position = self._history.append(said)
        self._audible.append(position)
        return self._record(position)

    def _record(self, position: int) -> Record:
        return Record(position, self._history[position])
