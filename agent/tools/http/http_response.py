"""What came back → what the model is told.

The other side may answer anything: it is data, bounded, and never an instruction. JSON is cut to
the members that were asked for, text is told as text; what is neither, too long, too deep or cut
off is told as such. After a request that has done something, that is no fault: the deed is done.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import msgspec

from agent.errors import ToolError
from agent.usecases.http_tool import HttpTool

LARGEST_ANSWER_BYTES = 64 * 1024
_DEEPEST = 32
_LONGEST_SENTENCE = 300
_BYTE_ORDER_MARK = "\ufeff"
_CHARSETS = {"", "utf-8", "utf8", "us-ascii", "ascii", "iso-8859-1", "latin-1", "windows-1252"}


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """An answer whose head was read."""

    status: int
    media_type: str = ""
    """In lower case, without parameters."""
    charset: str = ""
    """In lower case; empty = not said."""
    body: bytes = b""
    fault: str = ""
    """Why the body could not be read; empty = it could."""


class UnreadableError(Exception):
    """The body is nothing a model could read; the text says why."""


def told(tool: HttpTool, answer: HttpResponse) -> dict[str, object]:
    """What the model is told of a request that was accepted.

    Raises:
        UnreadableError: There is a body, and it cannot be told.
    """
    value = _value(answer)
    if value is None:
        return {"message": "Done."}
    if tool.result:
        found = {name: _at(value, pointer) for name, pointer in tool.result}
        return {name: each for name, each in found.items() if each is not None}
    return value if isinstance(value, dict) else {"result": value}


def refusal(tool: HttpTool, answer: HttpResponse) -> ToolError:
    """What the model is told of a request that was not accepted: status, and perhaps why."""
    said = f"{tool.spec.name} was refused with status {answer.status}."
    sentence = _sentence(tool, answer)
    return ToolError(f"{said} The reason given is: {sentence}" if sentence else said)


def _sentence(tool: HttpTool, answer: HttpResponse) -> str:
    if not tool.error:
        return ""
    try:
        found = _at(_value(answer), tool.error)
    except UnreadableError:
        return ""
    return " ".join(found.split())[:_LONGEST_SENTENCE] if isinstance(found, str) else ""


def _value(answer: HttpResponse) -> Any:
    """The body as a value of JSON's types; `None` if there is none."""
    if answer.fault:
        raise UnreadableError(answer.fault)
    if not answer.body.strip():
        return None
    text = _text(answer)
    if not (answer.media_type in {"", "application/json"} or answer.media_type.endswith("+json")):
        return text
    try:
        value = msgspec.json.decode(text)
    except (ValueError, RecursionError) as error:
        raise UnreadableError("its answer is not valid JSON") from error
    if _is_deep(value):
        raise UnreadableError("its answer is nested too deeply")
    return value


def _text(answer: HttpResponse) -> str:
    kind = answer.media_type
    is_text = not kind or kind.startswith("text/") or kind.endswith(("json", "xml"))
    if not is_text or answer.charset not in _CHARSETS:
        raise UnreadableError("its answer is not text")
    try:
        text = answer.body.decode(answer.charset or "utf-8")
    except UnicodeDecodeError as error:
        raise UnreadableError("its answer is not text") from error
    if "\x00" in text:
        raise UnreadableError("its answer is not text")
    return text.removeprefix(_BYTE_ORDER_MARK)


def _is_deep(value: object) -> bool:
    level: list[object] = [value]
    for _ in range(_DEEPEST):
        level = [inner for each in level for inner in _inner(each)]
        if not level:
            return False
    return True


def _inner(value: object) -> Iterable[object]:
    match value:
        case dict():
            return value.values()
        case list():
            return value
        case _:
            return ()


def _at(value: Any, pointer: str) -> Any:
    """What a JSON pointer (RFC 6901) leads to; `None` if it leads nowhere."""
    for token in pointer.split("/")[1:]:
        name = token.replace("~1", "/").replace("~0", "~")
        match value:
            case dict():
                value = value.get(name)
            case list() if name.isascii() and name.isdecimal() and int(name) < len(value):
                value = value[int(name)]
            case _:
                return None
    return value
