"""What the caller says and types, each a fact of its own: the counterpart of the mouth.

That the caller has begun is recorded before the words, or all keys, are there: should the line be
lost meanwhile, the agent asks for them when it is back (`agent.call.resumption`).

Speech recognition may give an utterance again, or with more words after it. Within a moment, and if
the agent has not said or done anything since, such words take the place of those before them.

Keys without a meaning of their own are collected to an entry (`agent.call.caller_input`). It is
complete with its last key, after a pause, and before anything else that is said or done.

Keys of the telephone.

A key with a binding acts at once (seed section A13). Keys without one are collected to an entry,
so that a number typed in is one turn and not one for each key: `#` completes it, `*` takes it
back, and so does a pause complete it (practice section 16).
"""

from __future__ import annotations

from dataclasses import dataclass

from agent.call.actions import Action, Record, Timer
from agent.call.history import CallerBegan, CallerSaid, History, InputMode
from agent.call.timers import TimerSet
from agent.call.utterance_analysis import questions, repeats, retells

REPEAT_MS = 1_500
"""After the caller's words: how long others may take their place."""


class CallerInput:
    """The listening side of one call; writes its facts into the history it is given."""

    def __init__(self, history: History, clocks: TimerSet) -> None:
        self._history = history
        self._clocks = clocks
        self._entry = KeypadEntry()
        self._asked = ""
        """What the agent had said when the caller's last words came."""

    @property
    def is_typing(self) -> bool:
        """An entry waits for its next key."""
        return self._clocks.is_running(Timer.DIGITS)

    def notice(self) -> Action:
        """The caller has begun to say or to type something."""
        return Record(len(self._history), CallerBegan())

    def has_heard(self, text: str) -> bool:
        """The caller's last words were given again, and nothing in them is new."""
        said = self._said_just_now
        return said is not None and repeats(said, text) and self._is_retold(said, text)

    def hear(self, text: str) -> list[Action]:
        """The caller has said this, or this and not what was heard last."""
        said = self._said_just_now
        window = self._clocks.start(Timer.REPEAT, REPEAT_MS)
        if said is not None and self._is_retold(said, text):
            position = self._history.rephrase(text)
            return [Record(position, self._history[position]), window]
        kept = [*self.complete_entry(), self._keep(CallerSaid(text))]
        self._asked = self._history.asked
        return [*kept, window]

    def press(self, digit: str) -> list[Action]:
        """The caller has pressed a key that means something by itself."""
        return [*self.complete_entry(), self._keep(CallerSaid(digit, InputMode.KEYPAD))]

    def collect(self, digit: str, pause_ms: int) -> list[Action]:
        """The caller has pressed a key of an entry; a pause of `pause_ms` after it completes it."""
        began = [] if self.is_typing else [self.notice()]
        self._entry = self._entry.press(digit)
        if self._entry.is_complete:
            return [*began, *self.complete_entry()]
        return [*began, self._clocks.start(Timer.DIGITS, pause_ms)]

    def complete_entry(self) -> list[Action]:
        """No further key belongs to the entry; nothing if none was begun."""
        entry, self._entry = self._entry, KeypadEntry()
        stopped = self._clocks.stop(Timer.DIGITS)
        if not entry.text:
            return stopped
        return [*stopped, self._keep(CallerSaid(entry.text, InputMode.KEYPAD))]

    @property
    def _said_just_now(self) -> str | None:
        """The caller's last words, as long as others may take their place."""
        said = self._history.last_said
        is_recent = self._clocks.is_running(Timer.REPEAT) and not self._entry.digits
        if said is None or said.means is not InputMode.SPEECH or not is_recent:
            return None
        return said.text if self._history.asked == self._asked else None

    def _is_retold(self, said: str, text: str) -> bool:
        """Of two questions each has an answer of its own, and they may be equal."""
        return retells(said, text) and (len(said.split()) > 2 or questions(self._asked) < 2)

    def _keep(self, said: CallerSaid) -> Action:
        return Record(self._history.append(said), said)


LONGEST_ENTRY = 40
"""Keys; an entry this long is complete."""


@dataclass(frozen=True, slots=True)
class KeypadEntry:
    """The keys pressed so far."""

    digits: str = ""

    def press(self, digit: str) -> KeypadEntry:
        """The entry with one more key; `*` empties it."""
        return KeypadEntry() if digit == "*" else KeypadEntry(self.digits + digit)

    @property
    def is_complete(self) -> bool:
        """No further key belongs to it."""
        return self.digits.endswith("#") or len(self.digits) >= LONGEST_ENTRY

    @property
    def text(self) -> str:
        """The keys with spaces between, as the model reads them; without the closing `#`."""
        return " ".join(self.digits.removesuffix("#"))
