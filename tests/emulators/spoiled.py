"""JSON values with one node put wrong, to show that a validator judges whatever it is given."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

BAD_NODES: tuple[object, ...] = (None, [], {}, "", 7, True, [None], {"text": None})


def spoiled(value: Any) -> Iterator[Any]:
    """The value with each of its nodes in turn replaced by each of `BAD_NODES`."""
    for bad in BAD_NODES:
        yield from _with(value, bad)


def _with(value: Any, bad: object) -> Iterator[Any]:
    yield bad
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from (value | {key: changed} for changed in _with(inner, bad))
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            yield from ([*value[:i], changed, *value[i + 1 :]] for changed in _with(inner, bad))
