"""How often the stream of a reply is read: the caller hears words later than the model writes them.

Waking for each token is most of the work of a reply, and while words are ahead of the caller no
sentence is heard earlier by it. So the stream is left unread for a *beat*: a quarter of the speech
that is ahead, at most `LONGEST_BEAT`. The first word is always read at once, and so is each piece
of a model that is slower than a voice.

The price: the end of a reply and its tool calls are seen up to a beat later, in time that the
caller spends listening to four times as much. What is ahead is counted by a fast voice, so that it
is rather too little. Cancelling the reply ends a beat at once.
"""

from __future__ import annotations

LONGEST_BEAT = 0.3  # seconds
_SHORTEST_BEAT = 0.02  # a timer costs as much as reading a token
_SHARE = 0.25  # of the speech that is ahead
_FASTEST_VOICE = 20  # characters per second
_CLAUSE = 20  # characters


class ReadingPace:
    """The pace of one reply. Times are seconds of any clock that does not go back."""

    def __init__(self) -> None:
        self._ahead_until = 0.0

    def note_speech(self, text: str, now: float) -> None:
        """Words of this reply were sent."""
        self._ahead_until = max(self._ahead_until, now) + len(text) / _FASTEST_VOICE

    def pause(self, now: float) -> float:
        """Seconds to wait before the stream is read again: a beat or none."""
        return _beat(self._ahead_until - now)


def flush_after_ms(usual_ms: int, given: int) -> int:
    """How long words wait for the rest of their clause, after so many characters of a reply.

    After the first clause the rest comes in beats, so that it may be a beat late.
    """
    return usual_ms if given < _CLAUSE else usual_ms + int(LONGEST_BEAT * 1000)


def _beat(seconds_ahead: float) -> float:
    seconds = min(seconds_ahead * _SHARE, LONGEST_BEAT)
    return seconds if seconds >= _SHORTEST_BEAT else 0.0
