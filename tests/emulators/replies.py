"""What an emulated model answers, as values that name no provider.

A `Reply` is a row of parts sent in order, then a stop reason and token counts. Faults are parts
too, so one way of writing covers a fault at any position:

    say("Hello there", first=0.3, gap=0.02)             words, the first after 0.3 s
    say("One moment.") + call("menu", {"day": "today"}) words, then a tool call
    fail("ThrottlingException")                         refused, before any stream
    say("Well, ") + fail("ThrottlingException")         the same fault inside the stream
    say("Well, ") + stall()                             nothing more until the client leaves

`scripts` says which request gets which reply.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

Json = dict[str, Any]
"""A decoded JSON object."""

_WORD = re.compile(r"\s*\S+\s*")


@dataclass(frozen=True, slots=True)
class Words:
    """One delta of text."""

    text: str
    after: float = 0.0
    """Seconds before it is sent."""


@dataclass(frozen=True, slots=True)
class Call:
    """One tool call in a block of its own; `pieces` are the deltas of its input."""

    name: str
    pieces: tuple[str, ...]
    id: str = ""
    """Empty: the emulator mints one."""
    after: float = 0.0
    gap: float = 0.0
    """Seconds before each piece."""


@dataclass(frozen=True, slots=True)
class Thought:
    """Reasoning, which is never spoken; the signature ends it."""

    text: str
    signature: str


@dataclass(frozen=True, slots=True)
class Fault:
    """An error: the HTTP answer when it is the first part, else an event of the stream."""

    kind: str
    """The provider's name of it, as in its documentation: `ThrottlingException`."""
    message: str = "Emulated."
    status: int | None = None
    """`None`: the status the provider documents for this kind."""
    in_stream: bool = False
    """`True`: after a 200 even when nothing was said yet."""


@dataclass(frozen=True, slots=True)
class Stall:
    """Sends nothing more until the client leaves; as the first part not even HTTP headers."""


@dataclass(frozen=True, slots=True)
class HangUp:
    """Ends the answer here: by a reset, or orderly as if it were complete."""

    by_reset: bool


@dataclass(frozen=True, slots=True)
class HalfFrame:
    """Sends the first half of an event, then ends orderly."""


@dataclass(frozen=True, slots=True)
class BadFrame:
    """Sends an unreadable event (wrong checksum, broken JSON), then goes on."""


Broken = Fault | HalfFrame | BadFrame
Part = Words | Call | Thought | Stall | HangUp | Broken


@dataclass(frozen=True, slots=True)
class Tokens:
    """What the reply cost; `input` excludes what the prompt cache gave or took."""

    input: int = 12
    output: int = 5
    cache_read: int = 0
    cache_write: int = 0


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer; replies add up part by part, the later one's ending counts."""

    parts: tuple[Part, ...] = ()
    stop: str = ""
    """Bedrock's word for the stop reason; empty: `tool_use` after a call, else `end_turn`."""
    tokens: Tokens = Tokens()

    def __add__(self, later: Reply) -> Reply:
        return replace(later, parts=self.parts + later.parts)

    @property
    def refusal(self) -> Fault | None:
        """The error that takes the place of a stream."""
        first = self.parts[0] if self.parts else None
        return first if isinstance(first, Fault) and not first.in_stream else None

    @property
    def stop_reason(self) -> str:
        called = any(isinstance(part, Call) for part in self.parts)
        return self.stop or ("tool_use" if called else "end_turn")


def say(text: str | Sequence[str], *, first: float = 0.0, gap: float = 0.0, **more: Any) -> Reply:
    """Answer with text, a word at a time, or with exactly the pieces given.

    Args:
        text: Words, or pieces that are sent as they are.
        first: Seconds before the first piece.
        gap: Seconds before each later piece.
        more: Other fields of `Reply`, as `stop="max_tokens"`.
    """
    pieces = _WORD.findall(text) if isinstance(text, str) else text
    parts = (Words(piece, after=gap if i else first) for i, piece in enumerate(pieces))
    return Reply(tuple(parts), **more)


def call(
    name: str,
    arguments: Mapping[str, Any] | str | None = None,
    *,
    id: str = "",  # noqa: A002 - the wire's own word
    pieces: int = 3,
    first: float = 0.0,
    gap: float = 0.0,
    **more: Any,
) -> Reply:
    """Call a tool.

    Args:
        name: The tool, which need not exist.
        arguments: The input; text is sent as it is, so it may be broken; none sends no input.
        id: The call's id; minted when empty.
        pieces: In how many deltas the input comes, at most.
        first: Seconds before the call.
        gap: Seconds before each piece.
        more: Other fields of `Reply`.
    """
    text = arguments if isinstance(arguments, str) else json.dumps(arguments) if arguments else ""
    size = max(1, -(-len(text) // pieces))
    cut = tuple(text[at : at + size] for at in range(0, len(text), size))
    return Reply((Call(name, cut, id, first, gap),), **more)


def think(text: str = "Hm.") -> Reply:
    """Reason; alone it is a reply that says nothing."""
    return Reply((Thought(text, "c2lnbmVk"),))


def fail(
    kind: str, message: str = "Emulated.", *, status: int | None = None, in_stream: bool = False
) -> Reply:
    """Fail: instead of a stream when it comes first, inside the stream when added to a reply."""
    return Reply((Fault(kind, message, status, in_stream),))


def stall() -> Reply:
    return Reply((Stall(),))


def drop() -> Reply:
    """Reset the connection."""
    return Reply((HangUp(by_reset=True),))


def cut() -> Reply:
    """End orderly without the message's end, as if the stream were complete."""
    return Reply((HangUp(by_reset=False),))


def truncate() -> Reply:
    return Reply((HalfFrame(),))


def garble() -> Reply:
    return Reply((BadFrame(),))


def empty(stop: str = "") -> Reply:
    """Say nothing at all."""
    return Reply(stop=stop)
