"""Tokens, added up and told by kind."""

from __future__ import annotations

from collections.abc import Iterable

from agent.conversation.messages import Usage

KINDS = ("input", "output", "cache_read", "cache_write")


def total(usages: Iterable[Usage]) -> Usage:
    """All of them together, as those of nobody in particular."""
    counted = list(usages)
    return Usage(*(sum(getattr(one, kind) for one in counted) for kind in KINDS))


def by_kind(usage: Usage) -> dict[str, int]:
    """How many of each kind."""
    return {kind: getattr(usage, kind) for kind in KINDS}
