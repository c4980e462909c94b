"""A use case and a caller's profile, as the service uses them.

A profile never stops a call: a value that is missing or unusable is read as empty, because it would
be spoken and sent to the model.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

import msgspec
from msgspec import Meta

from agent.call.config import KeyBinding, OpeningTerms, Phrases
from agent.call.messages import ToolSpec
from agent.call.spoken_address import is_email_address
from agent.call.text import name_in
from agent.ports import Item, Store
from agent.usecases.http_tool import HttpTool
from agent.usecases.model_times import NO_TIMES, ModelTimes
from agent.usecases.outcome_schema import OutcomeSchema
from agent.usecases.redaction import RedactionOptions
from agent.usecases.spending import NO_SPENDING_LIMITS, SpendingLimits
from agent.usecases.transfer_target import TransferTarget
from agent.usecases.turn_options import TurnOptions
from agent.usecases.validation import text_in

PROFILE = "profile"  # sort key

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,255}")


def use_case_name(value: object) -> str:
    """The name of a use case; empty for any other value of a table, since names are logged."""
    return value if isinstance(value, str) and _NAME.fullmatch(value) else ""


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """The model of a use case and its options."""

    identifier: str = ""  # empty = `MODEL_IDENTIFIER` of the process
    max_tokens: int = 300
    temperature: float | None = None
    top_p: float | None = None
    additional: str = ""  # JSON object: Bedrock's `additionalModelRequestFields`; empty = none
    metadata: str = ""  # JSON object of texts: Bedrock's `requestMetadata`, for its logs
    guardrail: str = ""  # Bedrock guardrail as `ID:VERSION`; empty = none
    latency: str = ""  # Bedrock's `performanceConfig.latency`; empty = unset
    service_tier: str = ""  # Bedrock's `serviceTier.type`; empty = unset
    times: ModelTimes = NO_TIMES


class AudioFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An audio file that the agent may play."""

    url: Annotated[str, Meta(pattern=r"^https://[!-.0-?A-~]+/[!-~]*$", max_length=2_048)]
    seconds: Annotated[int, Meta(ge=1, le=600)]


@dataclass(frozen=True, slots=True)
class UseCase:
    """The configuration of one agent."""

    name: str
    prompt: str  # system prompt with placeholders, see `agent.usecases.prompt`
    context: str = ""  # only in one call: the rest of its filled prompt, see `ReplyRequest`
    title: str = ""
    description: str = ""
    greeting: str = ""  # for callers without a name; only variables are filled
    greeting_known: str = ""
    """For callers with a name, `<<FIRST_NAME>>` and `<<LAST_NAME>>` filled; empty = `greeting`."""
    tools: tuple[ToolSpec, ...] = ()
    http_tools: tuple[HttpTool, ...] = ()
    keypad: Mapping[str, KeyBinding] = field(default_factory=dict)
    relay: Mapping[str, str] = field(default_factory=dict)  # attributes, as in the TwiML
    languages: tuple[Mapping[str, str], ...] = ()  # attributes of each `<Language>`, validated
    model: ModelSettings = ModelSettings()
    translations: Mapping[str, Phrases] = field(default_factory=lambda: {"en-US": Phrases()})
    """The sentences in each of its languages, by its tag; a call begins in the first one."""
    turn_taking: TurnOptions = field(default_factory=TurnOptions)
    spending: SpendingLimits = NO_SPENDING_LIMITS
    opening: OpeningTerms = field(default_factory=OpeningTerms)
    """What comes before the greeting, by the tags of `translations`."""
    outcome: OutcomeSchema | None = None  # what a call is to yield
    variables: Mapping[str, str] = field(default_factory=dict)  # by name, with the default
    before_call: HttpTool | None = None  # fills variables before the call is answered
    offline_script: str = ""  # JSON text: the rules of the offline model for this use case
    redaction: RedactionOptions | None = None  # after the call
    audio: Mapping[str, AudioFile] = field(default_factory=dict)  # by name
    transfer_target: TransferTarget | None = None
    voicemail: str = ""  # for an answering machine on an outbound call; empty = the default
    backup_voice: Mapping[str, str] = field(default_factory=dict)
    """Attributes of `<ConversationRelay>` while the text-to-speech provider is down."""
    backup_transcription: Mapping[str, str] = field(default_factory=dict)
    errors: tuple[str, ...] = ()  # what is wrong in its record and was left out, one line each

    @property
    def phrases(self) -> Phrases:
        """The sentences in the language that a call begins in."""
        return next(iter(self.translations.values()))


@dataclass(frozen=True, slots=True)
class Profile:
    """What is known about a caller; every field but `caller` may be empty."""

    caller: str  # E.164 number or `client:identity`
    first_name: str = ""
    last_name: str = ""
    email: str = ""
    use_case: str = ""


async def profile(store: Store, caller: str) -> Profile | None:
    """The caller's profile; None if there is none."""
    item = await store.get(caller, PROFILE) if caller else None
    return profile_from_item(item) if item else None


def profile_from_item(item: Mapping[str, object]) -> Profile:
    """A profile; a value that is missing or unusable is empty."""
    email = text_in(item, "email").strip()
    return Profile(
        caller=text_in(item, "pk"),
        first_name=name_in(text_in(item, "firstName")),
        last_name=name_in(text_in(item, "lastName")),
        email=email if is_email_address(email) else "",
        use_case=use_case_name(item.get("useCase")),
    )


def profile_item(profile: Profile) -> Item:
    """The item of a profile, without empty values, so that merging it erases nothing."""
    item = {
        "pk": profile.caller,
        "sk": PROFILE,
        "pk1": PROFILE,
        "sk1": profile.caller,
        "firstName": profile.first_name,
        "lastName": profile.last_name,
        "email": profile.email,
        "useCase": profile.use_case,
    }
    return {name: value for name, value in item.items() if value}
