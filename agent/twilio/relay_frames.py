"""Frames of the relay socket (`docs/reference/relay.md`): Twilio's to events, actions to ours.

`parse` tolerates unknown keys, `null` or `""` for an absent value, and numbers sent as text. An
unknown frame type or `info` name becomes an `IgnoredFrame`, because Twilio adds new ones. Both sets
of kinds are closed and hold no text of the sender, so they are safe as metric labels.

Twilio answers an invalid frame with error 64107 and ends the call after ten of them in a row
(https://www.twilio.com/docs/api/errors/64107), so `render` raises `ValueError` instead of writing
one. Unpaired surrogates, which a model streams now and then, are left out. Not written: `config`,
`hints` and per-language settings, whose JSON is not documented.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Literal, TypeVar, get_args
from urllib.parse import urlsplit

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from agent.call.actions import Play, SendDigits, Speak, SwitchLanguage, TransportAction
from agent.call.events import (
    CallerInterrupted,
    CallerPressed,
    CallerSpoke,
    Playback,
    PlaybackReported,
)
from agent.call.text import LANGUAGE_TAG
from agent.errors import RelayProtocolError

MAX_FRAME_BYTES = 64 * 1024  # in UTF-8; real frames are below 2 KiB, no limit is published


FrameFault = Literal["too_large", "not_json", "no_type", "bad_field"]
"""The kinds of `RelayProtocolError`. `not_json` is also JSON that is nested too deeply, `no_type`
anything but an object with a string `type`, `bad_field` a missing or unreadable field."""
IgnoredKind = Literal["unknown_type", "unused_info", "unknown_info"]
"""Of an `IgnoredFrame`. `unused_info` is `roundTripDelayMs` or `configUpdated`; `unknown_info` an
`info` frame whose name, or whose on/off value, is not known."""


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

    description: str = ""  # may quote our frame, so it can hold personal data
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
    """Parse one text frame; raises `RelayProtocolError`, whose `kind` is a `FrameFault`."""
    try:
        raw = data.encode()
    except UnicodeEncodeError as error:
        raise RelayProtocolError("not_json", error.reason) from error
    if len(raw) > MAX_FRAME_BYTES:
        raise RelayProtocolError("too_large", f"{len(raw)} bytes")
    try:
        frame = _FRAME.decode(raw)
    except msgspec.MsgspecError:  # why, is only then looked for
        if _decode(_HEAD, raw, "no_type").type not in _TYPES:
            return IgnoredFrame("unknown_type")
        frame = _decode(_FRAME, raw, "bad_field")
    except RecursionError as error:
        raise RelayProtocolError("not_json", str(error)) from error
    return _translate(frame)


def _decode(decoder: msgspec.json.Decoder[_T], raw: bytes | Raw, fault: FrameFault) -> _T:
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError as error:
        raise RelayProtocolError(fault, str(error)) from error
    except (msgspec.DecodeError, RecursionError) as error:
        raise RelayProtocolError("not_json", str(error)) from error


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
            return PlaybackReported(report) if report else IgnoredFrame("unknown_info")
        case "tokensPlayed":
            return PlaybackReported(Playback.PLAYED, _text(frame.value))
        case "roundTripDelayMs" | "configUpdated":
            return IgnoredFrame("unused_info")
        case _:
            return IgnoredFrame("unknown_info")


def _text(value: Raw) -> str:
    return _decode(_TEXT, value, "bad_field") or ""


def _whole(value: Raw) -> int | None:
    """A number, or a number as text; None for anything else, which must not fail the call."""
    try:
        number = _NUMBER.decode(value)
    except msgspec.ValidationError:
        return None
    return int(number) if number is not None and 0 <= number < 2**53 else None


MAX_LOOP = 1000  # of `play`; 0 stands for this many


class _TextFrame(_Frame, tag="text"):
    token: str
    last: bool
    lang: str | UnsetType = UNSET
    interruptible: bool | UnsetType = UNSET
    preemptible: bool | UnsetType = UNSET


class _PlayFrame(_Frame, tag="play"):
    source: str
    loop: int
    preemptible: bool
    interruptible: bool | UnsetType = UNSET


class _SendDigitsFrame(_Frame, tag="sendDigits"):
    digits: str


class _LanguageFrame(_Frame, tag="language"):
    tts_language: str
    transcription_language: str | UnsetType = UNSET


class _EndFrame(_Frame, tag="end"):
    handoff_data: str | UnsetType = UNSET  # text, never an object


_ENCODER = msgspec.json.Encoder()


def render(action: TransportAction) -> bytes:
    """Write one action as a text frame in UTF-8; `ValueError` if Twilio would refuse it."""
    return _ENCODER.encode(_frame(action))


def _frame(action: TransportAction) -> _Frame:
    match action:
        case Speak():
            return _TextFrame(
                _characters(action.text),
                action.is_last,
                lang=_tag(action.language) if action.language else UNSET,
                interruptible=_given(action.interruptible),
                preemptible=_given(action.preemptible),
            )
        case Play():
            if not 0 <= action.loop <= MAX_LOOP:
                raise ValueError(f"loop must be 0-{MAX_LOOP}, not {action.loop}")
            return _PlayFrame(
                source=_source(action.source),
                loop=action.loop,
                preemptible=action.preemptible,
                interruptible=_given(action.interruptible),
            )
        case SendDigits(digits):
            if not re.fullmatch("[0-9*#w]+", digits):
                raise ValueError("digits to send are one or more of 0-9, *, # and w")
            return _SendDigitsFrame(digits)
        case SwitchLanguage(language, voice_only):
            tag = _tag(language)
            return _LanguageFrame(tag, UNSET if voice_only else tag)
        case _:  # an EndCall; mypy reports here an action that was added and not handled
            return _EndFrame(_characters(action.handoff) or UNSET)


def _tag(language: str) -> str:
    if not LANGUAGE_TAG.fullmatch(language):
        raise ValueError(f"not a language tag: {language!r}")
    return language


def _given(flag: bool | None) -> bool | UnsetType:
    return UNSET if flag is None else flag


def _characters(text: str) -> str:
    return text if text.isascii() else text.encode(errors="ignore").decode()


def _source(source: str) -> str:
    url = urlsplit(source)
    is_plain = source.isascii() and source.isprintable() and " " not in source
    if not (is_plain and url.scheme in {"http", "https"} and url.hostname):
        raise ValueError(f"not a URL that Twilio can fetch: {source!r}")
    return source
