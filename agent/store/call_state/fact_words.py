"""The texts of a call that a search looks in: all that its facts hold, in any case."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from agent.ports import Item


def fact_words(facts: Iterable[Item]) -> str:
    """All texts of the facts of a call as `folded`, a line for each."""
    return folded("\n".join(text for item in facts for text in _texts(item.get("fact"))))


def folded(text: str) -> str:
    """A text as it is compared: without case, and without what SQLite cannot compare."""
    return text.casefold().replace("\0", " ").encode(errors="replace").decode()


def _texts(value: object) -> Iterator[str]:
    """The texts in a value, also in JSON objects that are kept as text; of any depth."""
    waiting = [value]
    while waiting:
        match waiting.pop():
            case str(text):
                yield text
                waiting.append(_inner(text))
            case dict(fields):
                waiting += fields.values()
            case list(values):
                waiting += values
            case _:
                pass


def _inner(text: str) -> object:
    """The value of a JSON object as text, such as the arguments of a tool; None otherwise."""
    try:
        return json.loads(text) if text.startswith("{") else None
    except (ValueError, RecursionError):
        return None
