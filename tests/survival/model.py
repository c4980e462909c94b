"""What the caller and the model say to each other, and what the table must therefore hold.

The caller says numbered sentences. The model answers each with numbered sentences of its own and
needs no memory but the messages it is given: it looks for the caller's last sentence and says what
it has not said in answer to it. So a server that takes a call over and has the right history goes
on where the other one stopped; one that has not repeats itself or leaves something out, and the
caller notices. A tool that fails is not asked again before the caller has spoken.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.emulators.replies import Json, Reply, call, say
from tests.emulators.scripts import Rule

ORDER_TOOL = "PlaceOrderFunction"
ORDER = {"current_order": [{"line_item": "Garlic Knots"}], "order_type": "pickup"}
PLACED = "The order is placed."
"""What the tool answers."""
GOING_ON = "What else can I do for you?"
TROUBLE = "I am sorry, that did not work. Would you like garlic knots for pickup?"
"""Reads the order back again: if the line was lost in the read-back, it was not heard."""
_ASKED = re.compile(r"Sentence (\d+): (tell me|I order)")
_ABOUT = (
    (1, "is about the tomato soup and the bread that we bake for it"),
    (2, "is about the large pizza and what the kitchen puts on it"),
    (3, "is about the salad of the day and everything that is in it"),
)


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence of the caller, and all that is to be said to it."""

    number: int
    """From 1; 0 = none was said yet."""
    is_order: bool = False

    @property
    def text(self) -> str:
        wish = "I order garlic knots for pickup" if self.is_order else "tell me about the food"
        return f"Sentence {self.number}: {wish}."

    @property
    def answer(self) -> tuple[str, ...]:
        """Sentences, each of which is unique in the call."""
        if self.is_order:
            return (f"Order {self.number} is with the kitchen.", self.end)
        parts = (f"Part {part} of answer {self.number} {about}." for part, about in _ABOUT)
        return (*parts, self.end)

    @property
    def end(self) -> str:
        """The last sentence of the answer; before an order it is the read-back."""
        if self.is_order:
            return f"That was answer {self.number}."
        return f"That was answer {self.number}, so would you like garlic knots for pickup?"


def guest_model(pace: float) -> Rule:
    """A model that says a word after so many seconds."""
    return lambda request: _reply(_Past.read(request.body["messages"]), pace)


def _reply(past: _Past, pace: float) -> Reply:
    if past.has_failed:
        return say(TROUBLE, first=pace * 2, gap=pace)
    if past.asked.is_order and not past.has_placed:
        return call(ORDER_TOOL, ORDER, first=pace, gap=pace / 4)
    left = [part for part in past.asked.answer if part not in past.said]
    return say(" ".join(left) if past.asked.number and left else GOING_ON, first=pace * 2, gap=pace)


@dataclass(frozen=True, slots=True)
class _Past:
    """The call so far, read from a request."""

    asked: Sentence
    """The last one."""
    said: str
    """By the model since then."""
    has_placed: bool
    has_failed: bool
    """The tool, just now."""

    @classmethod
    def read(cls, messages: Sequence[Json]) -> _Past:
        asked, said = Sentence(0), ""
        for role, text in _texts(messages):
            if role == "assistant":
                said += text
            for found in _ASKED.finditer(text) if role == "user" else ():
                sentence = Sentence(int(found[1]), found[2] == "I order")
                if sentence != asked:
                    asked, said = sentence, ""
        has_placed = PLACED in str(messages)
        has_failed = not has_placed and "toolResult" in str(messages[-1])
        return cls(asked, said, has_placed, has_failed)


def _texts(messages: Sequence[Json]) -> Iterator[tuple[str, str]]:
    for message in messages:
        for block in message["content"]:
            if "text" in block:
                yield message["role"], block["text"]
