"""The reply of the model that is awaited or spoken: one at a time, each with a new number."""

from __future__ import annotations

from agent.conversation.actions import Action, CancelReply
from agent.conversation.messages import Choice, StopReason, ToolChoice
from agent.conversation.speech import Speech


class Reply:
    """The reply in progress, and what is still of interest of the last one."""

    def __init__(self, number: int = 0) -> None:
        """Begin to count after this number."""
        self._number = number
        self._is_active = False
        self._speech = Speech()
        self.choice: ToolChoice = Choice.AUTO
        """What the reply may do with tools."""
        self.has_spoken = False
        """Some of its words were given out."""

    @property
    def number(self) -> int:
        """The latest reply."""
        return self._number

    @property
    def is_active(self) -> bool:
        """More of it is to come."""
        return self._is_active

    @property
    def is_pending(self) -> bool:
        """Words of it are ready and wait for the rest of their clause."""
        return self._speech.is_pending

    @property
    def has_call(self) -> bool:
        """It held a tool call written as text, which nothing can run."""
        return self._speech.has_call

    def is_current(self, number: int) -> bool:
        """Events of this number are not stale."""
        return self._is_active and number == self._number

    def start(self, choice: ToolChoice, language: str = "") -> int:
        """Begin a new reply in this language (BCP 47); returns its number."""
        self._number += 1
        self._is_active = True
        self._speech = Speech(language)
        self.choice = choice
        self.has_spoken = False
        return self._number

    def feed(self, delta: str) -> str:
        """Take more of the reply; returns what can be said now."""
        return self._given(self._speech.feed(delta))

    def flush(self) -> str:
        """Give out the words that are ready."""
        return self._given(self._speech.flush())

    def finish(self, stop: StopReason) -> str:
        """The reply is complete; returns its last words, none of a blocked one."""
        self._is_active = False
        if stop is StopReason.BLOCKED:
            return ""
        return self._given(self._speech.finish(is_cut_short=stop is StopReason.LENGTH))

    def fail(self) -> None:
        """The reply ended early; what was ready but not said is lost."""
        self._is_active = False

    def drop(self) -> list[Action]:
        """Leave the reply behind, if it is still going on."""
        if not self._is_active:
            return []
        self._is_active = False
        return [CancelReply(self._number)]

    def _given(self, words: str) -> str:
        self.has_spoken = self.has_spoken or bool(words)
        return words
