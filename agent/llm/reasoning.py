"""Models that write only the end of their thoughts.

The template of some models begins the thoughts itself, so that a reply has `</think>` and nothing
before it (github.com/vllm-project/vllm/issues/13125). When the end comes it is too late to take
back what was said. `Thinker` therefore holds a reply of such a model until that end. Such a model
is one whose name says so (`markers.STARTS_THINKING`), or one that this process has seen doing it.

Its rules:

- Text that is held is a sign of life and nothing more.
- A server that gives thoughts in a field of their own has taken them out of the text: nothing is
  held.
- A reply that ends without the end of its thoughts was an answer, and is given out whole. It was a
  thought if the limit of tokens has cut it, or if it calls tools.
- After `_ENDLESS` answers in a row without such an end the text is not held any more, so that a
  server which does not let the model think answers as fast as any other.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing

from agent.call.hidden_markup import LONE_END, LONGEST_LONE_END, OPENING, STARTS_THINKING
from agent.call.messages import ReplyPiece, ReplyRequest, Stopped, StopReason, TextPiece, ToolCall
from agent.ports import LanguageModel

_ENDLESS = 3
_ANSWERS = frozenset({StopReason.END, StopReason.UNKNOWN})
_SIGN_OF_LIFE = TextPiece("")


class ReasoningHabits:
    """What is known of the models of this process; one for each."""

    def __init__(self, model: str) -> None:
        self._may_think = STARTS_THINKING.search(model) is not None
        self._endless = 0

    @property
    def starts_thinking(self) -> bool:
        """A reply is expected to begin with thoughts that have no beginning."""
        return self._may_think and self._endless < _ENDLESS

    def note_end(self) -> None:
        """Thoughts without a beginning have ended."""
        self._may_think, self._endless = True, 0

    def note_answer(self) -> None:
        """A reply was held, and had no thoughts."""
        self._endless += 1


class Thinker:
    """A `ports.LanguageModel` that gives out no thoughts that have only an end.

    Args:
        model: Is asked.
        habits: Of that model.
    """

    def __init__(self, model: LanguageModel, habits: ReasoningHabits) -> None:
        self._model = model
        self._habits = habits

    @property
    def name(self) -> str:
        """The model's."""
        return self._model.name

    async def warm(self) -> None:
        """Warm the model."""
        await self._model.warm()

    async def reply(self, request: ReplyRequest) -> AsyncGenerator[ReplyPiece, None]:
        """See `ports.LanguageModel`."""
        reading = _Reading(self._habits)
        async with aclosing(self._model.reply(request)) as pieces:
            async for piece in pieces:
                for given in reading.feed(piece):
                    yield given


class _Reading:
    """One reply as it comes."""

    def __init__(self, habits: ReasoningHabits) -> None:
        self._habits = habits
        self._is_holding = habits.starts_thinking
        self._held: list[str] = []
        self._tail = ""
        self._is_watching = not self._is_holding
        self._has_calls = False

    def feed(self, piece: ReplyPiece) -> Iterator[ReplyPiece]:
        match piece:
            case TextPiece(text, is_thought):
                yield self._take(text, is_thought=is_thought)
                return
            case ToolCall():
                self._has_calls = True
            case Stopped(reason):
                yield from self._release(reason)
            case _:
                pass
        yield piece

    def _take(self, text: str, *, is_thought: bool) -> TextPiece:
        if is_thought and not self._held:
            self._is_holding = self._is_watching = False
        if self._is_holding and text:
            return self._hold(text)
        if self._is_watching:
            self._watch(text)
        return TextPiece(text) if text else _SIGN_OF_LIFE

    def _hold(self, text: str) -> TextPiece:
        seen = self._tail + text
        end = LONE_END.search(seen)
        if end is None:
            self._held.append(text)
            self._tail = seen[-LONGEST_LONE_END:]
            return _SIGN_OF_LIFE
        self._is_holding = False
        self._habits.note_end()
        return TextPiece(seen[end.end() :])

    def _watch(self, text: str) -> None:
        """Learn that the model writes the end of thoughts it has not begun."""
        seen = self._tail + text
        if OPENING.search(seen):
            self._is_watching = False
        elif LONE_END.search(seen):
            self._is_watching = False
            self._habits.note_end()
        self._tail = seen[-LONGEST_LONE_END:]

    def _release(self, reason: StopReason) -> Iterator[TextPiece]:
        if not self._is_holding:
            return
        self._is_holding = False
        if reason in _ANSWERS and not self._has_calls:
            self._habits.note_answer()
            yield TextPiece("".join(self._held))
