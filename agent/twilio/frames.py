"""Frames of the relay socket: JSON in, domain out, and back (relay reference section 2).

Inbound, `parse` tolerates what costs nothing to tolerate: unknown keys, `null` or `""` for a value
that is absent, a number given as text. A type or an `info` name that nobody told us about is
`Unheeded`, not an error, for the relay grows. What cannot be read raises `RelayProtocolError` with
a `FrameFault` as its kind; nothing else is ever raised, whatever is sent. Both lists of kinds are
closed, fit for a metric's label: no word of the sender gets into them.

Outbound, `render` makes every frame there is and none that the relay would refuse with 64107: ten
of those in a row end the call (section 4.6), so what the relay would refuse is a `ValueError` here.
Half a surrogate pair, which a model streams now and then, is no character and is left out.

Not made: `config`, `hints` and per-language settings in `language`. They exist since October 2026,
but their JSON was not seen (sections 2.13 and 8), and a guess would be such a refused frame.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeVar
from urllib.parse import urlsplit

import msgspec
from msgspec import UNSET, Raw, UnsetType

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
from agent.twilio import wire

MAX_FRAME_BYTES = 64 * 1024
"""Of an inbound frame in UTF-8. Real ones are well below 2 KiB; the relay publishes no limit."""

MAX_LOOP = 1000
"""Of `play`; what `0` stands for."""


class FrameFault(StrEnum):
    """The kinds of `RelayProtocolError`."""

    TOO_LARGE = "too_large"
    """More than `MAX_FRAME_BYTES`."""
    NOT_JSON = "not_json"
    """Not JSON text, or nested so deeply that it cannot be meant."""
    NO_TYPE = "no_type"
    """Not an object with a string `type`."""
    BAD_FIELD = "bad_field"
    """A field of a known type is missing or cannot be read."""


class Ignored(StrEnum):
    """The kinds of `Unheeded`."""

    UNKNOWN_TYPE = "unknown_type"
    UNKNOWN_INFO = "unknown_info"
    """An `info` whose name, or whose on/off, is not known."""


@dataclass(frozen=True, slots=True)
class Setup:
    """The first frame of a connection; a resumed call may bring another one.

    Texts are as the relay sent them, unchecked, and empty where it gave none. Nothing is assumed
    about the form of an identifier: other carriers speak the same protocol (section 7.4).
    """

    session_id: str = ""
    account_sid: str = ""
    call_sid: str = ""
    parent_call_sid: str = ""
    caller: str = ""
    """`from`: E.164, `client:identity`, `sip:...` or another channel."""
    called: str = ""
    """`to`."""
    forwarded_from: str = ""
    caller_name: str = ""
    call_type: str = ""
    direction: str = ""
    call_status: str = ""
    """Compare without regard to case."""
    parameters: Mapping[str, str] = field(default_factory=dict)
    """What the TwiML gave as `<Parameter>`."""


@dataclass(frozen=True, slots=True)
class RelayFault:
    """The relay refused a frame of ours or has trouble itself; the session goes on."""

    description: str = ""
    """Quotes what we sent, so it can hold personal values."""
    code: int | None = None


@dataclass(frozen=True, slots=True)
class RoundTrip:
    """How long the relay's last debugging probe took."""

    milliseconds: int


@dataclass(frozen=True, slots=True)
class ConfigUpdated:
    """A setting or a provider changed during the call; its form is not documented."""

    value: str
    """JSON text, as it came."""


@dataclass(frozen=True, slots=True)
class Unheeded:
    """A frame that is well-formed and means nothing to us."""

    kind: Ignored


Inbound = (
    Setup
    | CallerSpoke
    | CallerPressed
    | CallerInterrupted
    | PlaybackReported
    | RelayFault
    | RoundTrip
    | ConfigUpdated
    | Unheeded
)

_T = TypeVar("_T")

_HEAD = msgspec.json.Decoder(wire.Head)
_FRAME: msgspec.json.Decoder[wire.InboundFrame] = msgspec.json.Decoder(wire.InboundFrame)
_NUMBER: msgspec.json.Decoder[float | None] = msgspec.json.Decoder(float | None, strict=False)
_TEXT: msgspec.json.Decoder[str | None] = msgspec.json.Decoder(str | None)

_SPEAKING = {
    ("agentSpeaking", "on"): Playback.AGENT_ON,
    ("agentSpeaking", "start"): Playback.AGENT_ON,
    ("agentSpeaking", "off"): Playback.AGENT_OFF,
    ("agentSpeaking", "stop"): Playback.AGENT_OFF,
    ("clientSpeaking", "on"): Playback.CALLER_ON,
    ("clientSpeaking", "start"): Playback.CALLER_ON,
    ("clientSpeaking", "off"): Playback.CALLER_OFF,
    ("clientSpeaking", "stop"): Playback.CALLER_OFF,
}


def parse(data: str) -> Inbound:
    """Read one text frame of the relay.

    Raises:
        RelayProtocolError: it cannot be read; `kind` is a `FrameFault`. The call can go on.
    """
    raw = _utf8(data)
    if _decode(_HEAD, raw, FrameFault.NO_TYPE).type not in wire.INBOUND_TYPES:
        return Unheeded(Ignored.UNKNOWN_TYPE)
    return _translate(_decode(_FRAME, raw, FrameFault.BAD_FIELD))


def _utf8(data: str) -> bytes:
    try:
        raw = data.encode()
    except UnicodeEncodeError as error:
        raise RelayProtocolError(FrameFault.NOT_JSON, error.reason) from error
    if len(raw) > MAX_FRAME_BYTES:
        raise RelayProtocolError(FrameFault.TOO_LARGE, f"{len(raw)} bytes")
    return raw


def _decode(decoder: msgspec.json.Decoder[_T], raw: bytes | Raw, fault: FrameFault) -> _T:
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError as error:
        raise RelayProtocolError(fault, str(error)) from error
    except (msgspec.DecodeError, RecursionError) as error:
        raise RelayProtocolError(FrameFault.NOT_JSON, str(error)) from error


def _translate(frame: wire.InboundFrame) -> Inbound:
    match frame:
        case wire.SetupFrame():
            return _setup(frame)
        case wire.PromptFrame():
            is_final = frame.last not in (False, "false")
            return CallerSpoke(frame.voice_prompt, is_final=is_final, language=frame.lang or "")
        case wire.DtmfFrame():
            return CallerPressed(frame.digit)
        case wire.InterruptFrame():
            heard = frame.utterance_until_interrupt or ""
            return CallerInterrupted(heard, _whole(frame.duration_until_interrupt_ms))
        case wire.ErrorFrame():
            code = _whole(frame.code)
            return RelayFault(
                frame.description or "", _whole(frame.error_code) if code is None else code
            )
        case _:  # by now an Info; mypy complains here of any type added and forgotten
            return _info(frame)


def _setup(frame: wire.SetupFrame) -> Setup:
    return Setup(
        session_id=frame.session_id or "",
        account_sid=frame.account_sid or "",
        call_sid=frame.call_sid or "",
        parent_call_sid=frame.parent_call_sid or "",
        caller=frame.caller or "",
        called=frame.called or "",
        forwarded_from=frame.forwarded_from or "",
        caller_name=frame.caller_name or "",
        call_type=frame.call_type or "",
        direction=frame.direction or "",
        call_status=frame.call_status or "",
        parameters={name: text or "" for name, text in (frame.custom_parameters or {}).items()},
    )


def _info(frame: wire.InfoFrame) -> Inbound:
    match frame.name:
        case "agentSpeaking" | "clientSpeaking":
            report = _SPEAKING.get((frame.name, _text(frame.value)))
            return PlaybackReported(report) if report else Unheeded(Ignored.UNKNOWN_INFO)
        case "tokensPlayed":
            return PlaybackReported(Playback.PLAYED, _text(frame.value))
        case "roundTripDelayMs":
            return _round_trip(frame.value)
        case "configUpdated":
            return ConfigUpdated(bytes(frame.value).decode())
        case _:
            return Unheeded(Ignored.UNKNOWN_INFO)


def _round_trip(value: Raw) -> RoundTrip:
    milliseconds = _whole(value)
    if milliseconds is None:
        raise RelayProtocolError(FrameFault.BAD_FIELD, "roundTripDelayMs is not a number")
    return RoundTrip(milliseconds)


def _text(value: Raw) -> str:
    return _decode(_TEXT, value, FrameFault.BAD_FIELD) or ""


def _whole(value: Raw) -> int | None:
    """A number, or a number as text; None for anything else, for no call should suffer from it."""
    try:
        number = _NUMBER.decode(value)
    except msgspec.ValidationError:
        return None
    return int(number) if number is not None and 0 <= number < 2**53 else None


_ENCODER = msgspec.json.Encoder()


def render(action: TransportAction, *, language: str = "") -> str:
    """Write one action as a text frame of the relay.

    Args:
        action: What the line is to do.
        language: BCP 47 tag of a spoken text that is not in the session's language; of no effect
            on other actions.

    Raises:
        ValueError: the relay would refuse the frame; a programming error.
    """
    return _ENCODER.encode(_frame(action, language)).decode()


def _frame(action: TransportAction, language: str) -> wire.OutboundFrame:
    match action:
        case Speak():
            return wire.TextFrame(
                token=_characters(action.text),
                last=action.is_last,
                lang=_tag(language) if language else UNSET,
                interruptible=_given(action.interruptible),
                preemptible=_given(action.preemptible),
            )
        case Play():
            return wire.PlayFrame(
                source=_source(action.source),
                loop=_loop(action.loop),
                preemptible=action.preemptible,
                interruptible=_given(action.interruptible),
            )
        case SendDigits():
            return wire.SendDigitsFrame(_digits(action.digits))
        case SwitchLanguage():
            tag = _tag(action.language)
            return wire.LanguageFrame(tts_language=tag, transcription_language=tag)
        case _:  # by now an EndCall, likewise
            return wire.EndFrame(_characters(action.handoff) or UNSET)


def _given(flag: bool | None) -> bool | UnsetType:
    return UNSET if flag is None else flag


def _characters(text: str) -> str:
    return text.encode(errors="ignore").decode()


def _tag(language: str) -> str:
    if not LANGUAGE_TAG.fullmatch(language):
        raise ValueError(f"not a language tag: {language!r}")
    return language


def _digits(digits: str) -> str:
    if not re.fullmatch("[0-9*#w]+", digits):
        raise ValueError("digits to send are one or more of 0-9, *, # and w")
    return digits


def _loop(loop: int) -> int:
    if not 0 <= loop <= MAX_LOOP:
        raise ValueError(f"loop must be 0-{MAX_LOOP}, not {loop}")
    return loop


def _source(source: str) -> str:
    url = urlsplit(source)
    is_plain = source.isascii() and source.isprintable() and " " not in source
    if not (is_plain and url.scheme in {"http", "https"} and url.hostname):
        raise ValueError(f"not a URL the relay can fetch: {source!r}")
    return source
