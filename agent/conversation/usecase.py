"""A use case, a caller's profile, and the brief of one call.

A `UseCase` is a record of the table after parsing and validation (seed section A8); a `Profile` is
what is known about a caller (A9). A `Brief` is what the conversation itself needs of them, so that
the core never sees a template, a voice or a model name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from agent.conversation.desk import Desk
from agent.conversation.httptool import HttpTool
from agent.conversation.messages import ToolSpec

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,255}")


def use_case_name(value: object) -> str:
    """The name of a use case; empty for whatever else a table holds there: names are logged."""
    return value if isinstance(value, str) and _NAME.fullmatch(value) else ""


@dataclass(frozen=True, slots=True)
class Profile:
    """What is known about a caller; every field but `caller` may be empty."""

    caller: str
    """E.164 number or `client:identity`."""
    first_name: str = ""
    last_name: str = ""
    email: str = ""
    use_case: str = ""
    """The use case this caller is routed to."""

    @property
    def is_named(self) -> bool:
        """Both names are known, so that the agent need not ask (seed section A6)."""
        return bool(self.first_name and self.last_name)


@dataclass(frozen=True, slots=True)
class KeyBinding:
    """What a key does (seed section A13); with no field set the model is told the key."""

    reply_text: str = ""
    function: str = ""
    """Name of a tool of the use case."""


@dataclass(frozen=True, slots=True)
class Phrases:
    """The sentences the agent says without asking a model; a record may have its own."""

    fillers: tuple[str, ...] = (
        "One moment, please.",
        "I am still on it.",
        "Thank you for waiting, it will not be long.",
    )
    apology: str = "I am sorry, I could not get an answer just now. Could you say that again?"
    trying_again: tuple[str, ...] = (
        "I am sorry, we have a technical problem. Please stay on the line, I am trying again.",
        "I am still trying. Thank you for your patience.",
    )
    lost_thread: str = "I am sorry, I lost my train of thought. What were you saying?"
    not_understood: str = "I am sorry, I did not quite get that. Could you put it another way?"
    blocked: str = "I am sorry, I cannot talk about that. Is there anything else I can do for you?"
    still_there: tuple[str, ...] = (
        "Are you still there?",
        "I am still here if you need anything.",
    )
    goodbye_idle: str = "I cannot hear you any more, so I will hang up now. Goodbye."
    goodbye: str = "Thank you for calling. Goodbye."
    goodbye_trouble: str = (
        "I am sorry, we have technical trouble. Please call again later. Goodbye."
    )
    transfer: str = "I will connect you with a person now."
    almost_over: str = "Just so you know, this call has to end in about a minute."
    goodbye_duration: str = "I am sorry, our time is up. Please call again. Goodbye."
    goodbye_spent: str = (
        "I am sorry, you have reached the limit of our service for today. "
        "Please call again tomorrow. Goodbye."
    )
    goodbye_stopping: str = "I am sorry, I have to end this call here. Please call again."
    resumed: str = "I am sorry, the line broke off for a moment."
    resumed_quiet: str = "I am still here, please go on."
    resumed_unheard: str = (
        "I am sorry, the line broke off while you were speaking. What were you saying?"
    )
    nobody_free: str = (
        "I am sorry, nobody is free to take your call just now. Can I help you with anything else?"
    )


@dataclass(frozen=True, slots=True)
class Limits:
    """Times and counts of a call; the defaults are practice section 23."""

    tool_rounds: int = 5
    filler_after_ms: int = 800
    filler_every_ms: int = 5_000
    filler_count: int = 3
    reply_filler_after_ms: int = 3_000
    """As `filler_after_ms`, while the model has not said its first word."""
    retry_after_ms: int = 5_000
    """Between the sentence that asks for patience and another attempt to get an answer."""
    trouble_ms: int = 30_000
    """How long we go on trying when no answer can be had and no person be reached."""
    flush_after_ms: int = 300
    hold_ms: int = 1_000
    """How long a caller is waited for who seems not to have finished."""
    hold_digits_ms: int = 2_000
    """The same for one who dictates a number, in groups with pauses between them."""
    idle_ms: tuple[int, ...] = (8_000, 10_000)
    """Silence before each re-prompt; after as much silence again the call ends."""
    digits_ms: int = 3_000
    goodbye_ms: int = 10_000
    """The longest wait for the last words to be played before the call is ended."""
    duration_ms: int = 30 * 60_000
    duration_warning_ms: int = 60_000
    closing_ms: int = 10_000
    characters_per_second: int = 15
    history_characters: int = 32_000
    """About 8,000 tokens: what a request may hold of the past."""
    compact_at_percent: int = 65
    """Of `history_characters`: when so much is not summarised, the older part of it is to be."""
    compact_after_turns: int = 20
    """When so many turns of the caller are not summarised, the older of them are to be."""
    turns_without_model: int = 100
    """As `compact_after_turns`, when there is no model that can do it; see `compaction`."""
    kept_turns: int = 4
    """The latest turns of the caller, which are in no summary."""
    summary_characters: int = 4_000
    """The longest summary; about 1,000 tokens."""


@dataclass(frozen=True, slots=True)
class Brief:
    """What the conversation knows before the first word."""

    greeting: str = ""
    """Played by the relay; empty = the model speaks first."""
    tools: Mapping[str, ToolSpec] = field(default_factory=dict)
    keypad: Mapping[str, KeyBinding] = field(default_factory=dict)
    phrases: Phrases = Phrases()
    limits: Limits = Limits()
    can_hand_off: bool = False
    """A person can be reached."""
    language: str = ""
    """What is spoken when the call begins, BCP 47."""


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """Which model answers, and how."""

    identifier: str = ""
    """Empty = the process's own `MODEL_IDENTIFIER`."""
    max_tokens: int = 300
    temperature: float | None = None
    top_p: float | None = None
    additional: str = ""
    """JSON object: Bedrock's `additionalModelRequestFields`; empty = none."""
    metadata: str = ""
    """JSON object of texts: Bedrock's `requestMetadata`, for its logs; empty = none."""
    guardrail: str = ""
    """Bedrock guardrail as `ID:VERSION`; empty = none."""
    latency: str = ""
    """Bedrock's `performanceConfig.latency`: `standard` or `optimized`; empty = unset."""
    service_tier: str = ""
    """Bedrock's `serviceTier.type`; empty = unset."""


@dataclass(frozen=True, slots=True)
class UseCase:
    """One agent: everything that makes it this one and not another."""

    name: str
    prompt: str
    """System prompt with placeholders, see `agent.conversation.prompt`."""
    context: str = ""
    """In a use case set up for one call: the rest of its filled prompt, see `ReplyRequest`."""
    title: str = ""
    description: str = ""
    greeting: str = ""
    """`<<FIRST_NAME>>` is not filled here; it is for callers we do not know."""
    greeting_known: str = ""
    """For callers with a name, `<<FIRST_NAME>>` and `<<LAST_NAME>>` filled; empty = `greeting`."""
    tools: tuple[ToolSpec, ...] = ()
    http_tools: tuple[HttpTool, ...] = ()
    """How those of the tools work that are configuration."""
    keypad: Mapping[str, KeyBinding] = field(default_factory=dict)
    relay: Mapping[str, str] = field(default_factory=dict)
    """Attributes of `<ConversationRelay>`, validated, values as they stand in the TwiML."""
    languages: tuple[Mapping[str, str], ...] = ()
    """Attributes of each `<Language>`, validated."""
    model: ModelSettings = ModelSettings()
    phrases: Phrases = Phrases()
    offline_script: str = ""
    """JSON text: the rules of the offline model for this use case."""
    desk: Desk | None = None
    """Where a person is reached; None = nowhere, the caller hears so."""
    voicemail: str = ""
    """What a machine is told that answers a call of ours; empty = a sentence for everybody."""
    backup_voice: Mapping[str, str] = field(default_factory=dict)
    """Attributes of `<ConversationRelay>` while the provider of the voice is down."""
    backup_transcription: Mapping[str, str] = field(default_factory=dict)
    """As `backup_voice`, while the provider of the recognition is down."""
    faults: tuple[str, ...] = ()
    """What of its record is wrong and was left out, one line each."""
