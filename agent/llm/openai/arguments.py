"""What a server sends as the arguments of a call → the text of one JSON object.

The protocol has one JSON text in pieces. Servers and proxies also send an object in place of text,
`null` or `{}` before the arguments, JSON text inside a JSON string, an object in a list, the same
arguments again with each piece, or all of them so far. Each of these has one meaning, which is
given out. What has none stays as it came: the conversation asks the model again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

from agent.conversation.characters import whole, whole_json
from agent.conversation.toolruns import canonical

_DECODER = json.JSONDecoder()
_MOST_VALUES = 64
"""In the pieces of one call; more are no arguments."""
_DEEPEST_STRING = 4
"""How often JSON may be a string of JSON."""


def arguments_of(pieces: Sequence[object]) -> str:
    """The arguments as JSON text; `{}` if there are none."""
    texts = [piece if isinstance(piece, str) else _written(piece) for piece in pieces]
    text = whole_json("".join(texts)).strip()
    if not text:
        return "{}"
    if is_object(text):
        return text
    if (read := _one_object(text)) is not None:
        return _written(read)
    last = whole(texts[-1]).strip()
    if all(later.startswith(earlier) for earlier, later in pairwise(texts)) and is_object(last):
        return last
    return text


def is_object(text: str) -> bool:
    """Whether text is JSON of an object, as the arguments of a call must be."""
    return canonical(text) is not None


def _one_object(text: str) -> dict[str, Any] | None:
    """The object that several values stand for; None if they stand for none."""
    try:
        found = [each for value in _values(text) for each in _objects(value, _DEEPEST_STRING)]
    except (ValueError, RecursionError):
        return None
    last: dict[str, Any] = {}
    for each in found:
        if not last.items() <= each.items():
            return None
        last = each
    return last


def _values(text: str) -> Iterator[Any]:
    """JSON values that stand one after the other. Raises ValueError for anything else."""
    at = 0
    for _ in range(_MOST_VALUES):
        at += len(text[at:]) - len(text[at:].lstrip())
        if at == len(text):
            return
        value, at = _DECODER.raw_decode(text, at)
        yield value
    raise ValueError("too many values")


def _objects(value: Any, deepest: int) -> Iterator[dict[str, Any]]:
    """The objects in a value, also in text or in a list. Raises ValueError for anything else."""
    match value:
        case None | "" | "null" | []:
            return
        case dict():
            yield value
        case str() if deepest:
            for inner in _values(value):
                yield from _objects(inner, deepest - 1)
        case [inner] if deepest:
            yield from _objects(inner, deepest - 1)
        case _:
            raise ValueError("no object")


def _written(value: object) -> str:
    return json.dumps(value, ensure_ascii=False) if value is not None else ""
