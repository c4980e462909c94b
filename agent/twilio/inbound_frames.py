"""Frames that Twilio sends over the relay socket, parsed to events (`docs/reference/relay.md`).

`parse` tolerates unknown keys, `null` or `""` for an absent value, and numbers sent as text. An
unknown frame type or `info` name becomes an `IgnoredFrame`, because Twilio adds new ones. Both sets
of kinds are closed and hold no text of the sender, so they are safe as metric labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Literal, TypeVar, get_args

import msgspec
from msgspec import Meta, Raw

from agent.call.events import (
    CallerInterrupted,
    CallerPressed,
    CallerSpoke,
    Playback,
    PlaybackReported,
)
from agent.errors import RelayProtocolError

MAX_FRAME_BYTES = 64 * 1024
"""Of a frame in UTF-8. Real frames are below 2 KiB; Twilio publishes no limit."""


class FrameFault(StrEnum):
    """The kinds of `RelayProtocolError`."""

    TOO_LARGE = "too_large"
    NOT_JSON = "not_json"
    """Also JSON that is nested too deeply."""
    NO_TYPE = "no_type"
    """Not an object with a string `type`."""
    BAD_FIELD = "bad_field"
    """A field of a known type is missing or cannot be read."""


class IgnoredKind(StrEnum):
    """The kinds of `IgnoredFrame`."""

    UNKNOWN_TYPE = "unknown_type"
    UNUSED_INFO = "unused_info"
    """`roundTripDelayMs` or `configUpdated`."""
    UNKNOWN_INFO = "unknown_info"
    """An `info` frame whose name, or whose on/off value, is not known."""


@dataclass(frozen=True, slots=True)
class Setup:
    """The first frame of a connection; a resumed call may bring a second one.

    The voice webhook brought everything else. The form of an identifier is not checked, because
    other carriers speak the same protocol.
    """

    call_sid: str = ""
    account_sid: str = ""


@dataclass(frozen=True, slots=True)
class RelayError:
    """Twilio refused a frame of ours or reports a fault; the session goes on."""

    description: str = ""
    """May quote our frame, so it can hold personal data."""
    code: int | None = None


@dataclass(frozen=True, slots=True)
class IgnoredFrame:
    """A well-formed frame that this version does not use."""

    kind: IgnoredKind


Inbound = (
    Setup
    | CallerSpoke
    | CallerPressed
    | CallerInterrupted
    | PlaybackReported
    | RelayError
    | IgnoredFrame
)

_NULL = Raw(b"null")


class _Head(msgspec.Struct):
    type: str


class _Frame(msgspec.Struct, tag_field="type", rename="camel"):
    """JSON as it travels. A `Raw` field keeps its JSON text, because its form is not certain."""


class _SetupFrame(_Frame, tag="setup"):
    call_sid: str | None = None
    account_sid: str | None = None


class _PromptFrame(_Frame, tag="prompt"):
    voice_prompt: str
    lang: str | None = None
    last: bool | Literal["true", "false"] | None = True


class _DtmfFrame(_Frame, tag="dtmf"):
    digit: Annotated[str, Meta(pattern=r"\A[0-9*#]\Z")]


class _InterruptFrame(_Frame, tag="interrupt"):
    utterance_until_interrupt: str | None = None
    duration_until_interrupt_ms: Raw = _NULL


class _ErrorFrame(_Frame, tag="error"):
    description: str | None = None
    code: Raw = _NULL
    error_code: Raw = _NULL  # not documented; both names are in use


class _InfoFrame(_Frame, tag="info"):
    name: str
    value: Raw = _NULL


_AnyFrame = _SetupFrame | _PromptFrame | _DtmfFrame | _InterruptFrame | _ErrorFrame | _InfoFrame
_TYPES = frozenset(frame.__struct_config__.tag for frame in get_args(_AnyFrame))
_T = TypeVar("_T")

_HEAD = msgspec.json.Decoder(_Head)
_FRAME: msgspec.json.Decoder[_AnyFrame] = msgspec.json.Decoder(_AnyFrame)
_NUMBER: msgspec.json.Decoder[float | None] = msgspec.json.Decoder(float | None, strict=False)
_TEXT: msgspec.json.Decoder[str | None] = msgspec.json.Decoder(str | None)

_SPEAKING = {
    "agentSpeaking": {
        **dict.fromkeys(("on", "start"), Playback.AGENT_ON),
        **dict.fromkeys(("off", "stop"), Playback.AGENT_OFF),
    },
    "clientSpeaking": {
        **dict.fromkeys(("on", "start"), Playback.CALLER_ON),
        **dict.fromkeys(("off", "stop"), Playback.CALLER_OFF),
    },
}


def parse(data: str) -> Inbound:
    """Parse one text frame of the relay socket.

    Raises:
        RelayProtocolError: The frame cannot be read; `kind` is a `FrameFault`. The call can go on.
    """
    try:
        raw = data.encode()
    except UnicodeEncodeError as error:
        raise RelayProtocolError(FrameFault.NOT_JSON, error.reason) from error
    if len(raw) > MAX_FRAME_BYTES:
        raise RelayProtocolError(FrameFault.TOO_LARGE, f"{len(raw)} bytes")
    if _decode(_HEAD, raw, FrameFault.NO_TYPE).type not in _TYPES:
        return IgnoredFrame(IgnoredKind.UNKNOWN_TYPE)
    return _translate(_decode(_FRAME, raw, FrameFault.BAD_FIELD))


def _decode(decoder: msgspec.json.Decoder[_T], raw: bytes | Raw, fault: FrameFault) -> _T:
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError as error:
        raise RelayProtocolError(fault, str(error)) from error
    except (msgspec.DecodeError, RecursionError) as error:
        raise RelayProtocolError(FrameFault.NOT_JSON, str(error)) from error


def _translate(frame: _AnyFrame) -> Inbound:
    match frame:
        case _SetupFrame():
            return Setup(frame.call_sid or "", frame.account_sid or "")
        case _PromptFrame():
            is_final = frame.last not in (False, "false")
            return CallerSpoke(frame.voice_prompt, is_final=is_final, language=frame.lang or "")
        case _DtmfFrame():
            return CallerPressed(frame.digit)
        case _InterruptFrame():
            heard = frame.utterance_until_interrupt or ""
            return CallerInterrupted(heard, _whole(frame.duration_until_interrupt_ms))
        case _ErrorFrame():
            code = _whole(frame.code)
            return RelayError(
                frame.description or "", _whole(frame.error_code) if code is None else code
            )
        case _:  # an _InfoFrame; mypy reports here a type that was added and not handled
            return _info(frame)


def _info(frame: _InfoFrame) -> Inbound:
    match frame.name:
        case "agentSpeaking" | "clientSpeaking":
            report = _SPEAKING[frame.name].get(_text(frame.value))
            return PlaybackReported(report) if report else IgnoredFrame(IgnoredKind.UNKNOWN_INFO)
        case "tokensPlayed":
            return PlaybackReported(Playback.PLAYED, _text(frame.value))
        case "roundTripDelayMs" | "configUpdated":
            return IgnoredFrame(IgnoredKind.UNUSED_INFO)
        case _:
            return IgnoredFrame(IgnoredKind.UNKNOWN_INFO)


def _text(value: Raw) -> str:
    return _decode(_TEXT, value, FrameFault.BAD_FIELD) or ""


def _whole(value: Raw) -> int | None:
    """A number, or a number as text; None for anything else, which must not fail the call."""
    try:
        number = _NUMBER.decode(value)
    except msgspec.ValidationError:
        return None
    return int(number) if number is not None and 0 <= number < 2**53 else None
