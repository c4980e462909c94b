"""The frames that a server may send on the relay socket (`docs/reference/relay.md`).

The types are closed: a key that is not documented, or a value of another type, is an error, as
Twilio drops such a frame with error 64107.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

_Language = Annotated[str, Meta(pattern="^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$")]
_Source = Annotated[str, Meta(pattern=r"^https?://[^/\s?#]+[^\s]*$")]
_Digits = Annotated[str, Meta(pattern="^[0-9w#*]+$")]
_Times = Annotated[int, Meta(ge=0, le=1000)]


class FrameError(Exception):
    """The frame would be dropped; says which rule it breaks, and none of its content."""


class TextFrame(Struct, tag="text", forbid_unknown_fields=True, frozen=True):
    """Text to speak; `last` closes the talk cycle."""

    token: str
    last: bool = False
    lang: _Language | UnsetType = UNSET
    interruptible: bool | UnsetType = UNSET
    preemptible: bool | UnsetType = UNSET


class PlayFrame(Struct, tag="play", forbid_unknown_fields=True, frozen=True):
    """An audio file; `loop` 0 = 1,000 times."""

    source: _Source
    loop: _Times = 1
    preemptible: bool | UnsetType = UNSET
    interruptible: bool | UnsetType = UNSET


class DigitsFrame(Struct, tag="sendDigits", forbid_unknown_fields=True, frozen=True):
    """Keys to press."""

    digits: _Digits


class LanguageFrame(Struct, tag="language", forbid_unknown_fields=True, frozen=True):
    """The language from here on; at least one of the two."""

    ttsLanguage: _Language | UnsetType = UNSET  # noqa: N815 (Twilio's name)
    transcriptionLanguage: _Language | UnsetType = UNSET  # noqa: N815 (Twilio's name)

    def __post_init__(self) -> None:
        if self.ttsLanguage is UNSET and self.transcriptionLanguage is UNSET:
            raise ValueError("names no language")


class EndFrame(Struct, tag="end", forbid_unknown_fields=True, frozen=True):
    """Ends the session."""

    handoffData: str | UnsetType = UNSET  # noqa: N815 (Twilio's name)


ServerFrame = TextFrame | PlayFrame | DigitsFrame | LanguageFrame | EndFrame
_DECODER = msgspec.json.Decoder(ServerFrame)


def read_frame(text: str) -> ServerFrame:
    """The frame; raises `FrameError`."""
    try:
        frame: ServerFrame = _DECODER.decode(text)
    except msgspec.ValidationError as error:
        raise FrameError(_rule(str(error))) from error
    except (msgspec.DecodeError, UnicodeEncodeError) as error:
        raise FrameError("not JSON") from error
    return frame


def _rule(message: str) -> str:
    """The broken rule without the value, which may be a caller's."""
    return message if "unknown field" not in message else "a field that is not documented"
