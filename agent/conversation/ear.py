"""What the caller says and types, each a fact of its own: the counterpart of the mouth.

That the caller has begun is recorded before the words, or all keys, are there: should the line be
lost meanwhile, the agent asks for them when it is back (`agent.conversation.resuming`).

Keys without a meaning of their own are collected to an entry (`agent.conversation.keypad`). It is
complete with its last key, after a pause, and before anything else that is said or done.
"""

from __future__ import annotations

from agent.conversation.actions import Action, Record, Timer
from agent.conversation.clocks import Clocks
from agent.conversation.history import CallerBegan, CallerSaid, History, Means
from agent.conversation.keypad import Entry


class Ear:
    """The listening side of one call; writes its facts into the history it is given."""

    def __init__(self, history: History, clocks: Clocks) -> None:
        self._history = history
        self._clocks = clocks
        self._entry = Entry()

    @property
    def is_typing(self) -> bool:
        """An entry waits for its next key."""
        return self._clocks.is_running(Timer.DIGITS)

    def notice(self) -> Action:
        """The caller has begun to say or to type something."""
        return Record(len(self._history), CallerBegan())

    def hear(self, text: str) -> list[Action]:
        """The caller has said this."""
        return [*self.complete_entry(), self._keep(CallerSaid(text))]

    def press(self, digit: str) -> list[Action]:
        """The caller has pressed a key that means something by itself."""
        return [*self.complete_entry(), self._keep(CallerSaid(digit, Means.KEYPAD))]

    def collect(self, digit: str, pause_ms: int) -> list[Action]:
        """The caller has pressed a key of an entry; a pause of `pause_ms` after it completes it."""
        began = [] if self.is_typing else [self.notice()]
        self._entry = self._entry.press(digit)
        if self._entry.is_complete:
            return [*began, *self.complete_entry()]
        return [*began, self._clocks.start(Timer.DIGITS, pause_ms)]

    def complete_entry(self) -> list[Action]:
        """No further key belongs to the entry; nothing if none was begun."""
        entry, self._entry = self._entry, Entry()
        stopped = self._clocks.stop(Timer.DIGITS)
        if not entry.text:
            return stopped
        return [*stopped, self._keep(CallerSaid(entry.text, Means.KEYPAD))]

    def _keep(self, said: CallerSaid) -> Action:
        return Record(self._history.append(said), said)
