"""What the caller says and types, as facts.

That the caller has begun is recorded before the words or all keys are there, so that the agent asks
for them if the connection is lost in between. Words that speech recognition gives again within
`REPEAT_MS` replace the earlier ones, if the agent has not said or done anything since. Keys without
a binding are collected: `#`, a pause or anything else completes an entry; `*` clears it.
"""

from __future__ import annotations

from agent.call.actions import Action, Record
from agent.call.history import CallerBegan, CallerSaid, History, InputMode
from agent.call.timers import Timer, TimerSet
from agent.call.utterance_analysis import questions, repeats, retells

REPEAT_MS = 1_500
"""How long after the caller's words others may replace them."""
LONGEST_ENTRY = 40
"""Keys; an entry of this length is complete."""


class CallerInput:
    """The input of one call; appends its facts to the history it is given."""

    def __init__(self, history: History, timers: TimerSet) -> None:
        self._history = history
        self._timers = timers
        self._keys = ""
        self._question = ""
        """What the agent had said when the caller's last words came."""

    @property
    def is_typing(self) -> bool:
        return self._timers.is_running(Timer.DIGITS)

    def record_beginning(self) -> Action:
        return Record(len(self._history), CallerBegan())

    def is_repetition(self, text: str) -> bool:
        said = self._replaceable
        return said is not None and repeats(said, text) and self._is_same_utterance(said, text)

    def add_words(self, text: str) -> list[Action]:
        """Record the caller's words, in place of the last ones if these were given again."""
        said = self._replaceable
        window = self._timers.start(Timer.REPEAT, REPEAT_MS)
        if said is not None and self._is_same_utterance(said, text):
            position = self._history.rephrase(text)
            return [Record(position, self._history[position]), window]
        records = [*self.complete_entry(), self._append(CallerSaid(text))]
        self._question = self._history.asked
        return [*records, window]

    def press(self, digit: str) -> list[Action]:
        return [*self.complete_entry(), self._append(CallerSaid(digit, InputMode.KEYPAD))]

    def collect(self, digit: str, pause_ms: int) -> list[Action]:
        began = [] if self.is_typing else [self.record_beginning()]
        self._keys = "" if digit == "*" else self._keys + digit
        if digit == "#" or len(self._keys) >= LONGEST_ENTRY:
            return [*began, *self.complete_entry()]
        return [*began, self._timers.start(Timer.DIGITS, pause_ms)]

    def complete_entry(self) -> list[Action]:
        keys, self._keys = self._keys.removesuffix("#"), ""
        stopped = self._timers.stop(Timer.DIGITS)
        typed = [self._append(CallerSaid(" ".join(keys), InputMode.KEYPAD))] if keys else []
        return [*stopped, *typed]

    @property
    def _replaceable(self) -> str | None:
        said = self._history.last_said
        is_recent = self._timers.is_running(Timer.REPEAT) and not self._keys
        if said is None or said.means is not InputMode.SPEECH or not is_recent:
            return None
        return said.text if self._history.asked == self._question else None

    def _is_same_utterance(self, said: str, text: str) -> bool:
        """Short answers to two questions of the agent may be equal and still be two answers."""
        return retells(said, text) and (len(said.split()) > 2 or questions(self._question) < 2)

    def _append(self, said: CallerSaid) -> Action:
        return Record(self._history.append(said), said)
