"""What is done before the conversation receives an event of the caller.

Asking begins with the caller's voice or first words, so that the answer is there when the turn is
complete. Only what completes a turn waits, and never longer than `LONGEST_WAIT_MS`: an edit that
comes later counts from the next turn.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from agent.call.events import CallerPressed, CallerSpoke, Event, Playback, PlaybackReported

LONGEST_WAIT_MS = 100


class Preparation(NamedTuple):
    """What is done before the conversation receives an event."""

    asks: bool = False
    """Edits of the use case and the caller's limits are read, unless that is under way."""
    waits: bool = False
    """The event waits until they are read, at most `LONGEST_WAIT_MS`."""


class PlaybackClock:
    """How long the agent has been heard when the caller's words come; times are in seconds."""

    def __init__(self) -> None:
        self._since: float | None = None

    def timed(self, event: Event, at: float) -> Event:
        """The event, the caller's final words with their time."""
        match event:
            case PlaybackReported(Playback.AGENT_ON):
                self._since = at
            case PlaybackReported(Playback.AGENT_OFF):
                self._since = None
            case CallerSpoke(is_final=True) if self._since is not None:
                return replace(event, after_ms=int((at - self._since) * 1000))
        return event


class TurnPreparation:
    """The preparation of one call's turns."""

    def __init__(self) -> None:
        self._has_asked = False

    def before(self, event: Event) -> Preparation:
        """What is done before this event of the transport; events are given in order."""
        match event:
            case CallerSpoke(is_final=True):
                asks, self._has_asked = not self._has_asked, False
                return Preparation(asks, waits=True)
            case CallerPressed():  # nothing announces a key
                return Preparation(asks=True, waits=True)
            case CallerSpoke() if self._has_asked:
                return Preparation()
            case CallerSpoke() | PlaybackReported(Playback.CALLER_ON):
                self._has_asked = True
                return Preparation(asks=True)
            case _:
                return Preparation()
