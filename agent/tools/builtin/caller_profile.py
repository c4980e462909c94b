"""Tools that save facts about the caller: name, use case, e-mail address.

If the number is withheld, nothing is saved. A caller says an e-mail address as "ada dot lovelace at
g mail dot com", "a d a", "underscore", "double l", and speech recognition often distorts it. What
is read from that is a guess until the caller has heard it: the first call answers how to read it
back, the second is refused unless the caller has answered since. So `note_read_back` stores the
position of the tool call that gave it to the model. It counts as answered when the model has spoken
after that position and the caller has then used words or keys (`Standing`), also in another
process. Whether the answer was yes, only the model knows. Rejected: leaving the address to the
model alone, which writes down what looks likely; and quoted names and literal hosts of RFC 5321,
always mistakes here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated

import msgspec
from msgspec import Meta

from agent.call.messages import SideEffect
from agent.call.text import NAME_LENGTH, NUMBER_WORDS, name_in
from agent.errors import ToolError
from agent.tools.tool import CallContext, Tool, tool
from agent.usecases.caller_identity import is_email_address

_NO_NAME = (
    "Nothing was saved: that is no name. A name has only letters, spaces, apostrophes, hyphens and "
    f"full stops, and at most {NAME_LENGTH} characters. Ask the caller for the name alone."
)
_SPOKEN_ADDRESS = Meta(
    description="The address alone, as the caller says or spells it.", min_length=1, max_length=600
)
EMAIL = "email"
"""The subject of a read-back."""
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


@tool(
    "DefaultSaveFirstAndLastName",
    side_effect=SideEffect.IDEMPOTENT,
    rename={"first_name": "firstName", "last_name": "lastName"},
)
async def save_name(
    call: CallContext,
    first_name: Annotated[str, Meta(description="Given name.", min_length=1, max_length=80)],
    last_name: Annotated[str, Meta(description="Family name.", min_length=1, max_length=80)],
) -> dict[str, str]:
    """Store the caller's name in their profile.

    Use it as soon as the caller has said both names; spell back a name you are not sure of first.
    """
    if not (first_name.strip() and last_name.strip()):
        raise ToolError("Both names are needed. Ask the caller for the missing one.")
    first, last = name_in(first_name), name_in(last_name)
    if not (first and last):
        raise ToolError(_NO_NAME)
    attributes: dict[str, object] = {"firstName": first, "lastName": last}
    known = await call.store.get(_recognised(call), "profile") or {}
    if not known.get("useCase"):
        attributes["useCase"] = call.use_case
    await remember(call, attributes)
    return {"message": f'The name "{first} {last}" is saved.'}


@tool("DefaultSaveUseCase", side_effect=SideEffect.IDEMPOTENT, rename={"use_case": "useCase"})
async def save_use_case(
    call: CallContext,
    use_case: Annotated[str, Meta(description="Key of the use case.", min_length=1, max_length=80)],
) -> dict[str, str]:
    """Store which use case the caller has chosen; it answers when they ring again.

    Use it after the caller has clearly chosen one of the available use cases.
    """
    _recognised(call)
    offered = [str(item["pk"]) for item in await call.store.query_index("use-case")]
    chosen = [name for name in offered if name.casefold() == use_case.strip().casefold()]
    if not chosen:
        raise ToolError(f"There is no use case {use_case!r}. The keys are: {', '.join(offered)}.")
    await remember(call, {"useCase": chosen[0]})
    message = f"The choice {chosen[0]} is saved. Ask the caller to hang up and ring again."
    return {"message": message}


@tool("SaveEmailFunction", side_effect=SideEffect.IDEMPOTENT)
async def save_email(
    call: CallContext,
    email: Annotated[str, _SPOKEN_ADDRESS],
    confirmed: Annotated[
        bool, Meta(description="The caller has heard it letter by letter and said yes.")
    ] = False,
) -> dict[str, object]:
    """Store the caller's e-mail address in their profile, in two steps.

    First call it without confirmed and read back what it returns, letter by letter. Only after a
    clear yes to that call it again, with confirmed true.
    """
    _recognised(call)
    if (address := read_address(email)) is None:
        raise ToolError(
            "That is no e-mail address I can read. Ask the caller to spell it, with at and dot."
        )
    if not confirmed:
        await note_read_back(call, EMAIL, address)
        return {
            "saved": False,
            "email": address,
            "read_back": spell_out(address),
            "message": "It is not saved yet. Read it back letter by letter, ask whether it is "
            "right, and after a clear yes call this again with confirmed true.",
        }
    if not await is_answered(call, EMAIL, address):
        raise ToolError(
            "The caller has not heard this address yet, or has not answered. Call this without "
            "confirmed first, read back what it returns, and wait for the answer."
        )
    await remember(call, {"email": address})
    return {"saved": True, "email": address, "message": "The e-mail address is saved."}


def _recognised(call: CallContext) -> str:
    if not call.is_caller_known:
        raise ToolError(
            "The caller's number is withheld, so nothing can be saved for their next call. "
            "Say so kindly and go on without it."
        )
    return call.caller


async def remember(call: CallContext, attributes: dict[str, object]) -> None:
    """Add attributes to the caller's profile."""
    index = {"pk1": "profile", "sk1": call.caller}
    await call.store.merge(call.caller, "profile", {**attributes, **index})


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
    return None if item is None else msgspec.convert(item.get("position", _NEVER), int)


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


TOOLS: tuple[Tool, ...] = (save_name, save_use_case, save_email)
