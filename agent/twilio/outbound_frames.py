"""Frames that we send over the relay socket (`docs/reference/relay.md`).

Twilio answers an invalid frame with error 64107 and ends the call after ten of them in a row
(https://www.twilio.com/docs/api/errors/64107), so `render` raises `ValueError` instead of writing
one. Unpaired surrogates, which a model streams now and then, are left out.

Not written: `config`, `hints` and per-language settings. Their JSON is not documented, and a guess
would be an invalid frame.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import msgspec
from msgspec import UNSET, UnsetType

from agent.call.actions import Play, SendDigits, Speak, SwitchLanguage, TransportAction
from agent.call.text import LANGUAGE_TAG

MAX_LOOP = 1000
"""Of `play`; 0 stands for this many."""


class _Frame(msgspec.Struct, tag_field="type", rename="camel"):
    """JSON as it travels."""


class _TextFrame(_Frame, tag="text"):
    token: str
    last: bool
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
    transcription_language: str


class _EndFrame(_Frame, tag="end"):
    """The handoff data is text, never an object."""

    handoff_data: str | UnsetType = UNSET


_ENCODER = msgspec.json.Encoder()


def render(action: TransportAction) -> str:
    """Write one action as a text frame of the relay socket.

    Raises:
        ValueError: Twilio would refuse the frame; this is a programming error.
    """
    return _ENCODER.encode(_frame(action)).decode()


def _frame(action: TransportAction) -> _Frame:
    match action:
        case Speak():
            return _TextFrame(
                token=_characters(action.text),
                last=action.is_last,
                interruptible=_given(action.interruptible),
                preemptible=_given(action.preemptible),
            )
        case Play():
            return _PlayFrame(
                source=_source(action.source),
                loop=_loop(action.loop),
                preemptible=action.preemptible,
                interruptible=_given(action.interruptible),
            )
        case SendDigits():
            return _SendDigitsFrame(_digits(action.digits))
        case SwitchLanguage():
            tag = _tag(action.language)
            return _LanguageFrame(tts_language=tag, transcription_language=tag)
        case _:  # an EndCall; mypy reports here an action that was added and not handled
            return _EndFrame(_characters(action.handoff) or UNSET)


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
        raise ValueError(f"not a URL that Twilio can fetch: {source!r}")
    return source
