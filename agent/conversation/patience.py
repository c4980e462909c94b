"""What the agent says when nobody does: fillers while it works, re-prompts in a silence.

Wording varies and counts are limited (practice sections 13 and 15).
"""

from __future__ import annotations

from agent.conversation.usecase import Limits, Phrases


class Patience:
    """How often the caller was put off in this turn, and how long the caller has been silent."""

    def __init__(self, phrases: Phrases, limits: Limits) -> None:
        self._phrases = phrases
        self._limits = limits
        self._fillers = 0
        self._silences = 0

    def speak(self, phrases: Phrases) -> None:
        """From now on say it in these words."""
        self._phrases = phrases

    @property
    def may_fill(self) -> bool:
        """Another filler would not get on the caller's nerves yet."""
        return self._fillers < self._limits.filler_count

    @property
    def idle_ms(self) -> int:
        """How long silence may last this time."""
        idle_ms = self._limits.idle_ms
        return idle_ms[min(self._silences, len(idle_ms) - 1)]

    def begin_turn(self) -> None:
        """The caller has said something."""
        self._fillers = 0
        self._silences = 0

    def filler(self, own: str) -> str:
        """The next filler, the tool's `own` first; never the same twice in a row."""
        self._fillers += 1
        if own and self._fillers == 1:
            return own
        return self._phrases.fillers[(self._fillers - 1) % len(self._phrases.fillers)]

    def reprompt(self) -> str:
        """The next question whether anybody is there; empty when it was asked often enough."""
        if self._silences >= len(self._limits.idle_ms):
            return ""
        self._silences += 1
        return self._phrases.still_there[(self._silences - 1) % len(self._phrases.still_there)]
