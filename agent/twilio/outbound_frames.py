"""Frames that we send over the relay socket (`docs/reference/relay.md`).

Twilio answers an invalid frame with error 64107 and ends the call after ten of them in a row
(https://www.twilio.com/docs/api/errors/64107), so `render` raises `ValueError` instead of writing
one. Unpaired surrogates, which a model streams now and then, are left out. Not written: `config`,
`hints` and per-language settings, whose JSON is not documented.
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
    pass


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
    handoff_data: str | UnsetType = UNSET  # text, never an object


_ENCODER = msgspec.json.Encoder()


def render(action: TransportAction) -> str:
    """Write one action as a text frame; `ValueError` if Twilio would refuse it."""
    return _ENCODER.encode(_frame(action)).decode()


def _frame(action: TransportAction) -> _Frame:
    match action:
        case Speak():
            return _TextFrame(
                _characters(action.text),
                action.is_last,
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
        case SwitchLanguage(language):
            if not LANGUAGE_TAG.fullmatch(language):
                raise ValueError(f"not a language tag: {language!r}")
            return _LanguageFrame(tts_language=language, transcription_language=language)
        case _:  # an EndCall; mypy reports here an action that was added and not handled
            return _EndFrame(_characters(action.handoff) or UNSET)


def _given(flag: bool | None) -> bool | UnsetType:
    return UNSET if flag is None else flag


def _characters(text: str) -> str:
    return text.encode(errors="ignore").decode()


def _source(source: str) -> str:
    url = urlsplit(source)
    is_plain = source.isascii() and source.isprintable() and " " not in source
    if not (is_plain and url.scheme in {"http", "https"} and url.hostname):
        raise ValueError(f"not a URL that Twilio can fetch: {source!r}")
    return source
