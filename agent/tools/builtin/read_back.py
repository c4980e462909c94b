"""Reads e-mail addresses as callers say them, and requires that they were read back.

A caller says "ada dot lovelace at g mail dot com", "a d a", "underscore", "double l". The address
read from that is a guess until the caller has heard it, so `note_read_back` stores the position of
the tool call that gave it to the model. It counts as answered when the model has spoken after that
position and the caller has then used words or keys (`Standing`), also in another process. Whether
the answer was yes, only the model knows. Rejected: leaving the address to the model alone, which
writes down what looks likely; and quoted names and literal hosts of RFC 5321, always mistakes here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from agent.call.text import NUMBER_WORDS
from agent.tools.tool import CallContext
from agent.usecases.caller_identity import is_email_address

_NEVER = 1_000_000_000
"""Position of a note without one, written by an older version."""
_KEPT_SECONDS = 24 * 60 * 60

_SIGNS = {
    "at": "@", "dot": ".", "period": ".", "point": ".", "underscore": "_",
    "dash": "-", "hyphen": "-", "minus": "-", "plus": "+",
}  # fmt: skip
_SAID = {"@": "at", ".": "dot", "_": "underscore", "-": "dash", "+": "plus"}
_TIMES = {"double": 2, "triple": 3}
_EXAMPLE = re.compile(r"\b([a-z]) (?:as in|like|for) \1[a-z]+\b")
_JOINED = (("at sign", "@"), ("under score", "_"), ("double u", "w"))
_GAPS = re.compile(r"[\s,;]+")
_SPEAKABLE = re.compile(r"[a-z0-9_+-]+(?:\.[a-z0-9_+-]+)*@[a-z0-9.-]+")
"""Addresses without the signs that are not said on the telephone."""


class _Note(msgspec.Struct):
    position: int = _NEVER


async def note_read_back(call: CallContext, subject: str, content: str) -> None:
    """Store that content, in its one form, was given to be read back; the first time counts."""
    noted, position = await _position(call, subject, content), call.standing.position
    if noted is not None and noted <= position:
        return
    expires, key = int(call.clock()) + _KEPT_SECONDS, _key(subject, content)
    await call.store.put({"pk": call.call_id, "sk": key, "position": position, "expireAt": expires})


async def is_answered(call: CallContext, subject: str, content: str) -> bool:
    """Whether the caller has answered since `note_read_back` with the same arguments."""
    noted = await _position(call, subject, content)
    return noted is not None and noted < call.standing.answered


async def _position(call: CallContext, subject: str, content: str) -> int | None:
    item = await call.store.get(call.call_id, _key(subject, content))
    return None if item is None else msgspec.convert(item, _Note, strict=False).position


def _key(subject: str, content: str) -> str:
    return f"{subject}ReadBack::{content}"


def read_address(text: str) -> str | None:
    """The address in lower case; `None` if `text` is anything but one address."""
    words = _EXAMPLE.sub(r"\1", _GAPS.sub(" ", text.casefold()).strip(" .?!"))
    for spoken, written in _JOINED:
        words = re.sub(rf"\b{spoken}\b", written, words)
    pieces = list(_written(words.split()))
    address = "".join(pieces)
    is_address = _SPEAKABLE.fullmatch(address) is not None and is_email_address(address)
    return address if is_address and not _goes_on(pieces) else None


def spell_out(address: str) -> str:
    """An address letter by letter: `a, d, a, at, x, dot, c, o, m`."""
    return ", ".join(_SAID.get(sign, sign) for sign in address)


def _goes_on(pieces: list[str]) -> bool:
    """Whether other words follow the address: its last label must be one word, or letters."""
    last = list[str]()
    for piece in reversed(pieces):
        last.append(piece.rpartition(".")[2])
        if "." in piece:
            break
    labels = list(filter(None, last))
    return len(labels) > 1 and any(len(piece) > 1 for piece in labels)


def _written(words: list[str]) -> Iterator[str]:
    times, ten = 1, 0
    for word in words:
        number = NUMBER_WORDS.get(word)
        if ten and (number is None or not 0 < number < 10 or times > 1):
            yield str(ten)
            ten = 0
        if word in _TIMES:
            times = _TIMES[word]
        elif number is not None and number >= 20:
            ten = number
        else:
            sign = _SIGNS.get(word, word) if number is None else str(ten + number)
            yield sign * times if len(sign) == 1 else sign
            times, ten = 1, 0
    if ten:
        yield str(ten)
