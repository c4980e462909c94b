"""What servers and we say to each other, in words that belong to no library.

An answer is read for what can be used: a tool that cannot be read is left out with a remark, a
content block that is not known is named in the text. Nothing in an answer raises an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agent.errors import AgentError, ToolError

_SHOWN_CHARS = 100
_NOT_INCLUDED = "[{}, not included]"


class ServerUnavailableError(AgentError):
    """A server does not answer; the text says why, for operators, without anybody's words.

    If a tool was asked for, nobody knows whether it ran.
    """


class SessionOverError(ToolError):
    """The server has ended our session: the tool did not run, and a new session may run it."""


@dataclass(frozen=True, slots=True)
class ListedTool:
    """A tool as its server lists it. All of it is hearsay."""

    name: str
    description: str
    schema: dict[str, Any]
    is_read_only: bool
    is_idempotent: bool


@dataclass(frozen=True, slots=True)
class McpResult:
    """What a tool of a server gave back."""

    value: object
    """Of JSON's types."""
    is_error: bool
    """The tool ran, and says that it failed."""


def listed_of(raw: object) -> ListedTool | None:
    """A tool of a list; None if it has no name or no arguments that can be read."""
    match raw:
        case {"name": str(name), **rest} if name:
            schema = rest.get("inputSchema")
            hints = _mapping(rest.get("annotations"))
            texts = (rest.get("description"), rest.get("title"), hints.get("title"))
            if not isinstance(schema, dict | None):
                return None
            return ListedTool(
                name=name,
                description=next((each for each in texts if isinstance(each, str) and each), ""),
                schema={"type": "object"} if schema is None else schema,
                is_read_only=hints.get("readOnlyHint") is True,
                is_idempotent=hints.get("idempotentHint") is True,
            )
        case _:
            return None


def answer_of(raw: Mapping[str, Any]) -> McpResult:
    """The result of a call: its structured answer, otherwise its words."""
    is_error = raw.get("isError") is True
    structured = raw.get("structuredContent")
    if structured is not None and not is_error:
        return McpResult(structured, is_error=False)
    content = raw.get("content")
    blocks = content if isinstance(content, list) else [content]
    return McpResult("\n".join(filter(None, map(_words, blocks))), is_error=is_error)


def _words(block: object) -> str:
    """A content block as text; what a caller cannot hear is named, and not included."""
    match block:
        case None:
            return ""
        case str():
            return block
        case {"text": str(text)}:
            return text
        case {"resource": {"text": str(text)}}:
            return text
        case {"type": "image" | "audio" as kind, "mimeType": str(media)}:
            return _NOT_INCLUDED.format(f"{kind}: {media[:_SHOWN_CHARS]}")
        case {"type": "resource_link", "name": str(name)}:
            return _NOT_INCLUDED.format(f"link: {name[:_SHOWN_CHARS]}")
        case {"type": str(kind)}:
            return _NOT_INCLUDED.format(kind[:_SHOWN_CHARS])
        case _:
            return _NOT_INCLUDED.format("something unknown")


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
