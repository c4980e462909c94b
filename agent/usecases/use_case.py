"""A use case, a caller's profile, and the brief of one call.

A `UseCase` is a record of the table after parsing and validation (seed section A8); a `Profile` is
what is known about a caller (A9). A `Brief` is what the conversation itself needs of them, so that
the core never sees a template, a voice or a model name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from agent.call.config import KeyBinding, Phrases
from agent.call.messages import ToolSpec
from agent.usecases.http_tool import HttpTool
from agent.usecases.transfer_target import TransferTarget

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
    """System prompt with placeholders, see `agent.usecases.prompt`."""
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
    phrases: Phrases = field(default_factory=Phrases)
    offline_script: str = ""
    """JSON text: the rules of the offline model for this use case."""
    desk: TransferTarget | None = None
    """Where a person is reached; None = nowhere, the caller hears so."""
    voicemail: str = ""
    """What a machine is told that answers a call of ours; empty = a sentence for everybody."""
    backup_voice: Mapping[str, str] = field(default_factory=dict)
    """Attributes of `<ConversationRelay>` while the provider of the voice is down."""
    backup_transcription: Mapping[str, str] = field(default_factory=dict)
    """As `backup_voice`, while the provider of the recognition is down."""
    faults: tuple[str, ...] = ()
    """What of its record is wrong and was left out, one line each."""
