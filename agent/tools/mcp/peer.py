"""What servers and we say to each other, in words that belong to no library."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from agent.ports import AgentError


class AwayError(AgentError):
    """A server does not answer; the text says why, for operators, without anybody's words.

    If a tool was asked for, nobody knows whether it ran.
    """


@dataclass(frozen=True, slots=True)
class Listed:
    """A tool as its server lists it. All of it is hearsay."""

    name: str
    description: str
    schema: dict[str, Any]
    is_read_only: bool
    is_idempotent: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """What a tool of a server gave back."""

    value: object
    """Of JSON's types."""
    is_error: bool
    """The tool ran, and says that it failed."""
