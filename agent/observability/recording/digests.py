"""Digests of what a model is asked: enough to see that it is another thing, and nothing of it.

Messages have one each, so that the first that differs can be named. Prompts are compared before
they are filled: what they tell of the day, of the caller and of earlier orders is never the same.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from hashlib import sha256

import msgspec

from agent.call.messages import Message, ReplyRequest, ToolSpec

_DIGITS = 12
_MESSAGE_DIGITS = 8


def digests(messages: Sequence[Message]) -> list[str]:
    """One for each message of a request."""
    return [_digest(message)[:_MESSAGE_DIGITS] for message in messages]


def list_digest(each: Sequence[object]) -> str:
    """One for all of `digests`."""
    return _digest(each)[:_MESSAGE_DIGITS]


def prompt_digest(template: object) -> str:
    """Of a prompt, in JSON's types."""
    return _digest(template)


def tools_digest(tools: Sequence[ToolSpec]) -> str:
    """Of what a model is told of the tools."""
    return _digest([[spec.name, spec.description, spec.parameters] for spec in tools])


def asks_digest(template: object, request: ReplyRequest) -> str:
    """Of all of a request but its messages and its choice of a tool.

    Args:
        template: The prompt with which it was made, before it was filled.
        request: What a model is asked.
    """
    numbers = [request.max_tokens, request.temperature, request.top_p]
    return _digest([prompt_digest(template), tools_digest(request.tools), numbers])


def _digest(value: object) -> str:
    return sha256(encoded(value)).hexdigest()[:_DIGITS]


def encoded(value: object) -> bytes:
    """JSON; half a character is escaped, which only the slower of two ways can do."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        return json.dumps(msgspec.to_builtins(value), separators=(",", ":")).encode()
