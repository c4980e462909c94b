"""The JSON objects of the relay socket as structs, field by field as they travel (section 2).

A field that the relay may leave out or send as `null` has that written into its type here and is
made definite in `frames`. Keys that are not listed are skipped unread. A field of type `Raw` keeps
its JSON text, because its form is not certain.
"""

from __future__ import annotations

from typing import Annotated, Literal, get_args

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

NULL = Raw(b"null")


class Frame(msgspec.Struct, tag_field="type", rename="camel"):
    """What all frames share."""


class Head(msgspec.Struct):
    """What every frame has."""

    type: str


class SetupFrame(Frame, tag="setup"):
    """Section 2.1, in: once per connection. The domain's names for `from` and `to`."""

    session_id: str | None = None
    account_sid: str | None = None
    call_sid: str | None = None
    parent_call_sid: str | None = None
    caller: str | None = msgspec.field(default=None, name="from")
    called: str | None = msgspec.field(default=None, name="to")
    forwarded_from: str | None = None
    caller_name: str | None = None
    call_type: str | None = None
    direction: str | None = None
    call_status: str | None = None
    custom_parameters: dict[str, str | None] | None = None


class PromptFrame(Frame, tag="prompt"):
    """Section 2.2, in: the caller's words; without `last` they are final."""

    voice_prompt: str
    lang: str | None = None
    last: bool | Literal["true", "false"] | None = True


class DtmfFrame(Frame, tag="dtmf"):
    """Section 2.3, in: one key."""

    digit: Annotated[str, Meta(pattern=r"\A[0-9*#]\Z")]


class InterruptFrame(Frame, tag="interrupt"):
    """Section 2.4, in: the caller broke in."""

    utterance_until_interrupt: str | None = None
    duration_until_interrupt_ms: Raw = NULL


class ErrorFrame(Frame, tag="error"):
    """Section 2.5, in: where the code stands is not documented, so both spellings in use count."""

    description: str | None = None
    code: Raw = NULL
    error_code: Raw = NULL


class InfoFrame(Frame, tag="info"):
    """Section 2.7, in: only what was subscribed to. What the value is depends on the name."""

    name: str
    value: Raw = NULL


InboundFrame = SetupFrame | PromptFrame | DtmfFrame | InterruptFrame | ErrorFrame | InfoFrame
INBOUND_TYPES = frozenset(frame.__struct_config__.tag for frame in get_args(InboundFrame))


class TextFrame(Frame, tag="text"):
    """Section 2.8, out: a piece of speech."""

    token: str
    last: bool
    lang: str | UnsetType = UNSET
    interruptible: bool | UnsetType = UNSET
    preemptible: bool | UnsetType = UNSET


class PlayFrame(Frame, tag="play"):
    """Section 2.9, out: an audio file."""

    source: str
    loop: int
    preemptible: bool
    interruptible: bool | UnsetType = UNSET


class SendDigitsFrame(Frame, tag="sendDigits"):
    """Section 2.10, out: keypad tones."""

    digits: str


class LanguageFrame(Frame, tag="language"):
    """Section 2.11, out: one language to speak and to hear from here on."""

    tts_language: str
    transcription_language: str


class EndFrame(Frame, tag="end"):
    """Section 2.12, out: give the call back; the data is text, never an object."""

    handoff_data: str | UnsetType = UNSET


OutboundFrame = TextFrame | PlayFrame | SendDigitsFrame | LanguageFrame | EndFrame
