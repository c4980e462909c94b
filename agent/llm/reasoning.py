"""Filter for models that write `</think>` without `<think>`.

The template of some models begins the thoughts itself, so a reply has only their end
(https://github.com/vllm-project/vllm/issues/13125). Until that end `ThoughtFilter` holds back the
text of a model with a known name (`hidden_markup.STARTS_THINKING`), or seen to do so.

- Nothing is held back once a server gives thoughts in a field of their own.
- A reply that ends without `</think>` was an answer and is given out whole; it was a thought if it
  calls tools or the token limit has cut it.
- After `_ANSWERS_WITHOUT_END` answers in a row without `</think>` text is not held back any more.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from agent.call.hidden_markup import LONE_END, LONGEST_LONE_END, OPENING, STARTS_THINKING
from agent.call.messages import ReplyPiece, Stopped, StopReason, TextPiece, ToolCall

_ANSWERS_WITHOUT_END = 3
_ANSWERS = frozenset({StopReason.END, StopReason.UNKNOWN})


class ReasoningHabits:
    """What this process has learned of one model."""

    def __init__(self, model: str) -> None:
        self._may_think = STARTS_THINKING.search(model) is not None
        self._without_end = 0

    @property
    def starts_thinking(self) -> bool:
        return self._may_think and self._without_end < _ANSWERS_WITHOUT_END

    def note_end(self) -> None:
        self._may_think, self._without_end = True, 0

    def note_answer(self) -> None:
        self._without_end += 1


class ThoughtFilter:
    """Leaves out of one reply the thoughts that have only an end."""

    def __init__(self, habits: ReasoningHabits) -> None:
        self._habits = habits
        self._is_holding = habits.starts_thinking
        self._is_watching = not self._is_holding
        self._held: list[str] = []
        self._tail = ""
        self._has_calls = False

    def filtered(self, pieces: Sequence[ReplyPiece]) -> Sequence[ReplyPiece]:
        """The next pieces; text that is held back is empty until its end."""
        if self._is_holding:
            return [given for piece in pieces for given in self._filtered(piece)]
        if self._is_watching:
            self._watch(pieces)
        return pieces

    def _watch(self, pieces: Iterable[ReplyPiece]) -> None:
        """Learn whether this model writes ends of thoughts without their beginning."""
        for piece in pieces:
            if not isinstance(piece, TextPiece):
                continue
            seen = self._seen(piece)
            is_marked = _may_have_marker(seen)
            is_opened = piece.is_thought or (is_marked and OPENING.search(seen) is not None)
            is_ended = is_marked and LONE_END.search(seen) is not None
            if is_ended and not is_opened:
                self._habits.note_end()
            if is_ended or is_opened:
                self._is_watching = False
                return

    def _filtered(self, piece: ReplyPiece) -> Iterator[ReplyPiece]:
        if isinstance(piece, TextPiece):
            text = self._text_of(piece)
            piece = piece if text is piece.text else TextPiece(text)
        elif isinstance(piece, ToolCall):
            self._has_calls = True
        elif isinstance(piece, Stopped) and self._is_holding:
            self._is_holding = False
            if piece.reason in _ANSWERS and not self._has_calls:
                self._habits.note_answer()
                yield TextPiece("".join(self._held))
        yield piece

    def _text_of(self, piece: TextPiece) -> str:
        text = piece.text
        if piece.is_thought and not self._held:
            self._is_holding = False
        if not text or not self._is_holding:
            return text
        seen = self._seen(piece)
        if (end := LONE_END.search(seen)) is None:
            self._held.append(text)
            return ""
        self._is_holding = False
        self._habits.note_end()
        return seen[end.end() :]

    def _seen(self, piece: TextPiece) -> str:
        """The text of a piece, after the end of the ones before."""
        seen = self._tail + piece.text
        self._tail = seen[-LONGEST_LONE_END:]
        return seen


def _may_have_marker(text: str) -> bool:
    """Whether `LONE_END` or `OPENING` may be found in a text; this is soon seen of most texts."""
    return "<" in text or "[" in text or "◁" in text or "tf" in text.lower()  # assistantfinal
