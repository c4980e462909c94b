"""How often the stream of a reply is read: the caller hears words later than the model writes them.

At first each piece is read when it comes. Once `ENOUGH_SECONDS` of speech are ahead of the caller,
the stream is read every `BEAT_SECONDS`: waking for each token is most of the work of a reply, and
no sentence can be heard earlier by it. When less is ahead, as of a slow model, each piece counts
again.

The price: while speech is ahead, the end of a reply and its tool calls are seen up to a beat later,
in time that the caller spends listening. What is ahead is counted by a fast voice, so that it is
rather too little. Cancelling the reply ends a pause at once.

Words that come in beats wait a beat longer for the rest of their clause.
"""

from __future__ import annotations

BEAT_SECONDS = 0.1
ENOUGH_SECONDS = 1.0
_FASTEST_VOICE = 20  # characters per second


def flush_after_ms(usual_ms: int, given: int) -> int:
    """How long words wait for the rest of their clause, after so many characters of a reply."""
    comes_in_beats = given >= ENOUGH_SECONDS * _FASTEST_VOICE
    return usual_ms + round(BEAT_SECONDS * 1000) if comes_in_beats else usual_ms


class ReadingPace:
    """The pace of one reply. Times are seconds of any clock that does not go back."""

    def __init__(self) -> None:
        self._ahead_until = 0.0

    def note_speech(self, text: str, now: float) -> None:
        """Words of this reply were sent."""
        self._ahead_until = max(self._ahead_until, now) + len(text) / _FASTEST_VOICE

    def pause(self, now: float) -> float:
        """Seconds to wait before the stream is read again: a beat or none."""
        return BEAT_SECONDS if self._ahead_until - now >= ENOUGH_SECONDS else 0.0
