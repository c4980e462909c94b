"""What a language model reads and writes, in words that belong to no provider.

A request is a list of `Message`; a reply is a stream of `ReplyPiece`. Adapters in `agent.llm`
translate both to and from one provider's form. Identifiers of tool calls are minted by the
conversation, never taken from a model: providers disagree about their alphabet and some repeat
them (practice section 8, rules 5 and 6).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from math import isfinite

from agent.call.text import mend


class Role(StrEnum):
    """Who a message comes from; providers call these `user` and `assistant`."""

    CALLER = "caller"
    AGENT = "agent"


@dataclass(frozen=True, slots=True)
class Text:
    """Words; never empty inside a `Message`."""

    text: str

    def __post_init__(self) -> None:
        mend(self, "text")


@dataclass(frozen=True, slots=True)
class ToolCall:
    """The model asks for a tool."""

    id: str
    """Unique in the conversation once the conversation has taken the call up: nine of `[a-z0-9]`.
    As it comes from a model it is whatever the provider said."""
    name: str
    arguments: str
    """JSON text as the model wrote it; `{}` when it wrote nothing. Not validated."""

    def __post_init__(self) -> None:
        mend(self, "id", "name", json=("arguments",))


@dataclass(frozen=True, slots=True)
class ToolResult:
    """The one answer to a tool call."""

    call_id: str
    content: str
    """JSON text, never blank."""
    is_error: bool = False

    def __post_init__(self) -> None:
        mend(self, "call_id", json=("content",))


Part = Text | ToolCall | ToolResult


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a request; `parts` is never empty."""

    role: Role
    parts: tuple[Part, ...]


RESULTS_READ = "I have the result."
"""In the agent's name, between results of tools and words of the caller. It is not spoken."""


def results_apart(message: Message) -> tuple[Message, ...]:
    """The message; results of tools and words in it become two, with the agent's word between.

    Servers that check the order of roles refuse words of the caller right after a result:
    "Unexpected role 'user' after role 'tool'" (Mistral), or that roles must alternate (chat
    templates of llama.cpp and vLLM).
    """
    results = tuple(part for part in message.parts if isinstance(part, ToolResult))
    words = tuple(part for part in message.parts if not isinstance(part, ToolResult))
    if not (results and words):
        return (message,)
    answered = Message(Role.AGENT, (Text(RESULTS_READ),))
    return Message(message.role, results), answered, Message(message.role, words)


class SideEffect(StrEnum):
    """What running a tool twice would do (practice section 6)."""

    NONE = "none"
    """Only looks; may be cancelled and repeated freely."""
    IDEMPOTENT = "idempotent"
    """Changes something, and the same call again leaves it the same. Never cancelled."""
    ONCE = "once"
    """Changes something each time it runs. Never cancelled, run once per call and arguments."""


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool as the model and the conversation know it."""

    name: str
    """1-64 of `[A-Za-z0-9_]`: the set every model family accepts."""
    description: str
    parameters: str
    """JSON schema of the arguments, an object schema without `$defs`, as JSON text."""
    side_effect: SideEffect = SideEffect.NONE
    filler: str = ""
    """Said when the tool takes long and nothing else was said; empty = one of the use case's
    own."""

    def __post_init__(self) -> None:
        mend(self, "name", "description", json=("parameters",))


class Choice(StrEnum):
    """Whether the model may use tools in a reply."""

    AUTO = "auto"
    NONE = "none"
    """Answer with words. Bedrock has no such choice; its adapter says so in the instructions
    instead."""


@dataclass(frozen=True, slots=True)
class ForcedTool:
    """The reply must call this tool first."""

    name: str


ToolChoice = Choice | ForcedTool


@dataclass(frozen=True, slots=True)
class TextPiece:
    """Some more text of a reply; may be any length, also empty."""

    text: str
    is_thought: bool = field(default=False, compare=False)
    """A sign that the model thinks, in a field of its own; `text` is empty then."""


class StopReason(StrEnum):
    """Why a reply ended (practice section 9)."""

    END = "end"
    TOOLS = "tools"
    LENGTH = "length"
    """`maxTokens` reached: the text may stop inside a word."""
    BLOCKED = "blocked"
    """A guardrail or content filter refused the answer; its text must not be kept."""
    MALFORMED = "malformed"
    """The model produced something its own provider could not read."""
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Stopped:
    """The reply is complete; only a `Usage` may follow."""

    reason: StopReason


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one request. `input` excludes what the prompt cache gave or took."""

    input: int
    output: int
    cache_read: int = 0
    cache_write: int = 0
    model: str = ""
    """Identifier of who has used them; empty = the one that was asked."""


MOST_TOKENS = 10**9
"""Of one request; a provider that tells of more is wrong."""


def tokens(told: object) -> int:
    """A number of tokens as a provider told it, from 0 to `MOST_TOKENS`; 0 for what is no number.

    Providers and proxies write numbers as text or with a fraction, and negative ones.
    """
    if isinstance(told, bool) or not isinstance(told, int | float | str):
        return 0
    try:
        number = float(told[:32]) if isinstance(told, str) else told
    except ValueError:
        return 0
    if isinstance(number, float) and not isfinite(number):
        return 0
    return int(min(max(number, 0), MOST_TOKENS))


ReplyPiece = TextPiece | ToolCall | Stopped | Usage


@dataclass(frozen=True, slots=True)
class ReplyRequest:
    """Everything a model needs to answer once."""

    system: str
    """The part of the prompt that is the same for all calls of a use case."""
    messages: tuple[Message, ...]
    tools: tuple[ToolSpec, ...] = ()
    choice: ToolChoice = Choice.AUTO
    context: str = ""
    """The rest of the prompt, from the first part on that is this call's own (caller, clock)."""
    max_tokens: int = 300
    temperature: float | None = None
    """0-1; `None` = the model's own."""
    top_p: float | None = None
    """0-1; `None` = the model's own."""

    def __post_init__(self) -> None:
        mend(self, "system", "context")
