"""What a language model reads and writes, independent of the provider.

A request is a list of `Message`; a reply is a stream of `ReplyPiece`. Adapters in `agent.llm`
translate both. The conversation creates the identifiers of tool calls and never takes them from a
model: providers disagree about their alphabet, and some repeat them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeVar

from agent.call.collector import Collector
from agent.call.text import WholeText

_W = TypeVar("_W")

SPEAKS = "[The caller speaks {} now. Answer in this language.]"
"""To a model, before the words with which the call changes its language."""
WHISPERED = "A colleague who hears the call tells you, not the caller: "
"""How the note of an operator begins."""


class Role(StrEnum):
    """Who a message comes from: `user` and `assistant` of the providers."""

    CALLER = "caller"
    AGENT = "agent"


@dataclass(frozen=True, slots=True)
class Text(WholeText):
    """Words; never empty inside a `Message`."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolCall(WholeText):
    """A tool call of the model."""

    id: str
    """Of the provider; once the conversation has accepted the call, nine of `[a-z0-9]`, unique."""
    name: str
    arguments: str
    """JSON text as the model wrote it, or `{}`; not validated."""


@dataclass(frozen=True, slots=True)
class ToolResult(WholeText):
    """The one answer to a tool call."""

    call_id: str
    content: str
    is_error: bool = False


Part = Text | ToolCall | ToolResult


class _Kept:
    __slots__ = ("_written",)


@dataclass(frozen=True, slots=True)
class Message(_Kept):
    """One message of a request; `parts` is never empty."""

    role: Role
    parts: tuple[Part, ...]

    def written(self, form: object, write: Callable[[Message], _W]) -> _W:
        """What `write` makes of the message: kept with it, as most requests repeat it.

        Args:
            form: Equal for all functions that write the same; another one replaces what is kept.
            write: Called if nothing is kept in this form; its result must not be changed.
        """
        kept: tuple[object, _W] | None = getattr(self, "_written", None)
        if kept is None or kept[0] != form:
            kept = form, write(self)
            object.__setattr__(self, "_written", kept)
        return kept[1]


RESULTS_READ = "I have the result."
"""The agent's message between tool results and words of the caller; not spoken."""


def results_apart(message: Message) -> tuple[Message, ...]:
    """The message, split into results and words with a message of the agent between.

    Servers that check roles refuse words right after a result: "Unexpected role 'user' after role
    'tool'" (Mistral), or that roles must alternate (chat templates of llama.cpp and vLLM).
    """
    results = tuple(part for part in message.parts if isinstance(part, ToolResult))
    words = tuple(part for part in message.parts if not isinstance(part, ToolResult))
    if not (results and words):
        return (message,)
    answered = Message(Role.AGENT, (Text(RESULTS_READ),))
    return Message(message.role, results), answered, Message(message.role, words)


class SideEffect(StrEnum):
    """What running a tool twice does."""

    NONE = "none"
    """Reads only; may be cancelled and repeated."""
    IDEMPOTENT = "idempotent"
    """The same call again changes nothing more. Never cancelled."""
    ONCE = "once"
    """Changes something each time. Never cancelled, run once per call and arguments."""


TOOL_NAME = re.compile(r"[A-Za-z0-9_]{1,64}")
"""The names that every model family accepts."""


def tool_name_of(text: str) -> str:
    """The text with `_` for every character that no tool name may have; of any length."""
    return re.sub(r"[^A-Za-z0-9_]", "_", text)


@dataclass(frozen=True, slots=True)
class ToolSpec(WholeText):
    """A tool as the model and the conversation know it."""

    name: str
    """See `TOOL_NAME`."""
    description: str
    parameters: str
    """JSON schema of the arguments, an object schema without `$defs`, as JSON text."""
    side_effect: SideEffect = SideEffect.NONE
    filler: str = ""
    """Said when the tool takes long and nothing else was said; empty = one of the use case."""
    collects: Collector | None = None
    """The caller enters digits before the tool runs; None = it needs none."""
    expects: tuple[tuple[str, str], ...] = ()
    """Words of a question that is asked for it, and what a complete answer to it is."""
    needs_heard_confirmation: bool = False
    """It runs only after a read-back that was heard and a yes (`agent.call.heard_confirmation`)."""
    read_back: tuple[str, ...] = ()
    """The arguments, at any depth, whose values the read-back must name."""


class Choice(StrEnum):
    """Whether the model may use tools in a reply."""

    AUTO = "auto"
    NONE = "none"
    """Answer with words. Bedrock has no such choice; its adapter puts it in the instructions."""


@dataclass(frozen=True, slots=True)
class ForcedTool:
    """The reply must call this tool first."""

    name: str


ToolChoice = Choice | ForcedTool


@dataclass(frozen=True, slots=True)
class TextPiece:
    """A piece of the text of a reply, of any length, also empty."""

    text: str
    is_thought: bool = field(default=False, compare=False)
    """The model reports thinking in a field of its own; `text` is empty then."""


class StopReason(StrEnum):
    """Why a reply ended."""

    END = "end"
    TOOLS = "tools"
    LENGTH = "length"
    """`maxTokens` reached: the text may stop inside a word."""
    BLOCKED = "blocked"
    """A guardrail or content filter refused the answer; its text must not be stored."""
    MALFORMED = "malformed"
    """The provider could not read the model's output."""
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Stopped:
    """The reply is complete; only a `Usage` may follow."""

    reason: StopReason


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one request. `input` excludes tokens of the prompt cache."""

    input: int
    output: int
    cache_read: int = 0
    cache_write: int = 0
    model: str = ""
    """Identifier of the model that used them; empty = the one that was asked."""


MOST_TOKENS = 10**9


def tokens(given: object) -> int:
    """A number of tokens from a provider, even as text, a fraction or negative; at least 0."""
    if isinstance(given, bool) or not isinstance(given, int | float | str):
        return 0
    try:
        number = int(float(given[:32]) if isinstance(given, str) else given)
    except (ValueError, OverflowError):  # the latter for infinity
        return 0
    return min(max(number, 0), MOST_TOKENS)


ReplyPiece = TextPiece | ToolCall | Stopped | Usage


@dataclass(frozen=True, slots=True)
class ReplyRequest(WholeText):
    """Everything a model needs for one reply."""

    system: str
    """The part of the prompt that is equal for all calls of a use case."""
    messages: tuple[Message, ...]
    tools: tuple[ToolSpec, ...] = ()
    choice: ToolChoice = Choice.AUTO
    context: str = ""
    """The rest of the prompt, from the first part that depends on the call (caller, clock)."""
    max_tokens: int = 300
    temperature: float | None = None
    """0-1, like `top_p`; None = the model's own."""
    top_p: float | None = None
