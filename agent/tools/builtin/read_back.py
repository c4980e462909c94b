"""What a caller has to confirm before it counts, such as an e-mail address that a model has heard.

A tool gives it to the model to be read back, and notes that in the partition of the call with the
position of the tool call among the facts. It is answered when the model has said something after
that position, and the caller has then used words or keys. Both positions come from the conversation
(`Standing`), so a model that reads back and confirms in one turn is refused, also in a call that
was resumed by another process. What the caller's words mean only the model knows.

E-mail addresses as they are said, and how they are read back.

A caller says "ada dot lovelace at g mail dot com", spells "a d a", says "underscore" and "double
l", and a recogniser writes all of that in many ways. `read_address` brings it to one form,
`spelled` tells it letter by letter, and what it tells is read as the same address again.

What is read is a guess until the caller has heard it: "seven" may be a word or a digit. So nothing
here tries to be clever. Words run together, signs and numbers are taken where they are said, and
what is then no plain address is refused. Rejected: leaving it to the model alone, which writes down
an address that looks likely; and the whole grammar of RFC 5321, of which quoted names and literal
hosts are, on the telephone, always mistakes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from agent.call.text import NUMBER_WORDS
from agent.tools.tool import CallContext

_NEVER = 1_000_000_000
"""Position of a note that has none: an older process wrote it."""
_KEPT_SECONDS = 24 * 60 * 60
"""As long as the other items of a call."""


class _Note(msgspec.Struct):
    position: int = _NEVER


async def give_to_read_back(call: CallContext, subject: str, content: str) -> None:
    """Note that this is given to the model to be read back; the first time counts.

    Args:
        call: In which the tool runs.
        subject: What kind of thing it is, from a closed list.
        content: The thing in its one form.
    """
    noted, position = await _position(call, subject, content), call.standing.position
    if noted is not None and noted <= position:
        return
    await call.store.put(
        {
            "pk": call.call_id,
            "sk": _key(subject, content),
            "position": position,
            "expireAt": int(call.clock()) + _KEPT_SECONDS,
        }
    )


async def is_answered(call: CallContext, subject: str, content: str) -> bool:
    """The caller has answered since this was given to be read back; arguments as above."""
    noted = await _position(call, subject, content)
    return noted is not None and noted < call.standing.answered


async def _position(call: CallContext, subject: str, content: str) -> int | None:
    item = await call.store.get(call.call_id, _key(subject, content))
    return None if item is None else msgspec.convert(item, _Note, strict=False).position


def _key(subject: str, content: str) -> str:
    return f"{subject}ReadBack::{content}"


_SIGNS = {
    "at": "@",
    "dot": ".",
    "period": ".",
    "point": ".",
    "underscore": "_",
    "dash": "-",
    "hyphen": "-",
    "minus": "-",
    "plus": "+",
}
_SAID = {"@": "at", ".": "dot", "_": "underscore", "-": "dash", "+": "plus"}
_TIMES = {"double": 2, "triple": 3}
_EXAMPLE = re.compile(r"\b([a-z]) (?:as in|like|for) \1[a-z]+\b")
"""As in "b as in boy"."""
_JOINED = (("at sign", "@"), ("under score", "_"), ("double u", "w"))
_GAPS = re.compile(r"[\s,;]+")
_LOCAL = r"[a-z0-9_+-]+(?:\.[a-z0-9_+-]+)*"
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_ADDRESS = re.compile(rf"(?=.{{3,254}}\Z)(?=[^@]{{1,64}}@){_LOCAL}@(?:{_LABEL}\.)+[a-z]{{2,63}}")


def read_address(said: str) -> str | None:
    """The address in what was said or written, in lower case; `None` if there is none.

    Args:
        said: The address alone, without a sentence around it.
    """
    words = _GAPS.sub(" ", said.casefold()).strip(" .?!")
    words = _EXAMPLE.sub(r"\1", words)
    for spoken, written in _JOINED:
        words = re.sub(rf"\b{spoken}\b", written, words)
    pieces = list(_written(words.split()))
    address = "".join(pieces)
    return address if _ADDRESS.fullmatch(address) and not _goes_on(pieces) else None


def spelled(address: str) -> str:
    """An address letter by letter: `a, d, a, at, x, dot, c, o, m`."""
    return ", ".join(_SAID.get(sign, sign) for sign in address)


def _goes_on(pieces: list[str]) -> bool:
    """Something follows the address: its last label is one word, or letters."""
    last = list[str]()
    for piece in reversed(pieces):
        last.append(piece.rpartition(".")[2])
        if "." in piece:
            break
    said = list(filter(None, last))
    return len(said) > 1 and any(len(piece) > 1 for piece in said)


def _written(words: list[str]) -> Iterator[str]:
    """What each word stands for; a word that stands for nothing else is itself."""
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
