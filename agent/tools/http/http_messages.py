"""Fills the requests of declared tools, and reads the responses. Pure.

Arguments are untrusted and percent-encoded whole. In a path a value with a slash, a backslash or a
control character, or that is empty or only dots, is refused: servers decode slashes and read `..`
as the parent. An argument that was left out is left out of the query or body; an unknown fact of
the call, such as a withheld number, is a refusal: without it a look-up might return the orders of
all callers. In the body, a string that is one placeholder becomes the value with its type.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import quote, unquote

import msgspec

from agent.errors import ToolError
from agent.tools.json_schema import resolve_pointer
from agent.tools.tool import CallContext
from agent.usecases.http_tool import (
    CALL_FACTS,
    DIGITS,
    Argument,
    HttpTool,
    Placeholder,
    Template,
    UrlTemplate,
    read_template,
)

MOST_RESPONSE_BYTES = 64 * 1024
_DEEPEST = 32
_LONGEST_SENTENCE = 300
_BYTE_ORDER_MARK = "\ufeff"
_CHARSETS = {"", "utf-8", "utf8", "us-ascii", "ascii", "iso-8859-1", "latin-1", "windows-1252"}
_NOT_IN_PATHS = re.compile(r"[/\\\x00-\x1f\x7f-\x9f]")
_HALF = "This cannot be sent: it holds half a character."
_ABSENT = object()

Values = Mapping[str, Argument]


def facts_of(call: CallContext) -> dict[str, Argument]:
    """The known ones that a template may use."""
    facts = {
        "call.caller": call.caller,
        "call.called": call.to,
        "call.id": call.call_id,
        "call.use_case": call.use_case,
        DIGITS: call.digits,
    }
    return {name: value for name, value in facts.items() if value}


def fill_target(url: UrlTemplate, values: Values) -> str:
    """Path and query. Raises `ToolError` for an unusable value or an unknown fact of the call."""
    path = "/" + "/".join(_segment(template, values) for template in url.path)
    query = "&".join(
        f"{name}={_encoded(template, values)}"
        for name, template in url.query
        if _is_given(template, values)
    )
    return f"{path}?{query}" if query else path


def fill_body(tool: HttpTool, values: Values) -> str:
    """The body of a request as JSON text; empty = none. Raises like `fill_target`."""
    if not tool.body:
        return ""
    filled = _filled(msgspec.json.decode(tool.body), values)
    try:
        return msgspec.json.encode({} if filled is _ABSENT else filled).decode()
    except UnicodeEncodeError as error:
        raise ToolError(_HALF) from error


def _is_given(template: Template, values: Values) -> bool:
    missing = [name for name in _names(template) if name not in values]
    for name in missing:
        if name in CALL_FACTS:
            spoken = name.replace("call.", "the call's ")
            raise ToolError(f"This cannot be done: {spoken} is not known in this call.")
    return not missing


def _segment(template: Template, values: Values) -> str:
    _is_given(template, values)
    for name in _names(template):
        value = _text(values.get(name, ""))
        if not value.strip() or _NOT_IN_PATHS.search(value):
            spoken = name.replace("call.", "the call's ")
            raise ToolError(f"{spoken} cannot be used: it is empty or has a slash.")
    segment = _encoded(template, values)
    if unquote(segment).strip() in {".", ".."}:
        raise ToolError("This cannot be looked up: it consists of dots.")
    return segment


def _names(template: Template) -> list[str]:
    return [piece.name for piece in template if isinstance(piece, Placeholder)]


def _encoded(template: Template, values: Values) -> str:
    try:
        return _joined(template, values, partial(quote, safe=""))
    except UnicodeEncodeError as error:
        raise ToolError(_HALF) from error


def _joined(template: Template, values: Values, written: Callable[[str], str] = str) -> str:
    return "".join(
        piece if isinstance(piece, str) else written(_text(values[piece.name]))
        for piece in template
    )


def _text(value: Argument) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _filled(value: Any, values: Values) -> Any:
    match value:
        case str():
            return _filled_text(read_template(value), values)
        case dict():
            members = {name: _filled(inner, values) for name, inner in value.items()}
            return {name: inner for name, inner in members.items() if inner is not _ABSENT}
        case list():
            return [inner for each in value if (inner := _filled(each, values)) is not _ABSENT]
        case _:
            return value


def _filled_text(template: Template, values: Values) -> object:
    if not _is_given(template, values):
        return _ABSENT
    if len(template) == 1 and isinstance(template[0], Placeholder):
        return values[template[0].name]
    return _joined(template, values)


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """A response whose head was read; media type and charset are in lower case."""

    status: int
    media_type: str = ""
    charset: str = ""
    body: bytes = b""
    fault: str = ""
    """Why the body could not be read; empty = it was read."""


class UnreadableError(Exception):
    """The body cannot be given to a model; the text says why."""


def result_of(tool: HttpTool, response: HttpResponse) -> dict[str, object]:
    """What the model is told of an accepted request. Raises `UnreadableError`."""
    value = _value(response)
    if value is None:
        return {"message": "Done."}
    if tool.result:
        found = {name: resolve_pointer(value, pointer) for name, pointer in tool.result}
        return {name: each for name, each in found.items() if each is not None}
    return value if isinstance(value, dict) else {"result": value}


def refusal_of(tool: HttpTool, response: HttpResponse) -> ToolError:
    """The error for the model of a refused request: the status, and the declared reason."""
    text = f"{tool.spec.name} was refused with status {response.status}."
    reason: object = None
    if tool.error:
        with suppress(UnreadableError):
            reason = resolve_pointer(_value(response), tool.error)
    sentence = " ".join(reason.split())[:_LONGEST_SENTENCE] if isinstance(reason, str) else ""
    return ToolError(f"{text} The reason given is: {sentence}" if sentence else text)


def _value(response: HttpResponse) -> Any:
    if response.fault:
        raise UnreadableError(response.fault)
    if not response.body.strip():
        return None
    kind, text = response.media_type, _decoded(response)
    if not (kind in {"", "application/json"} or kind.endswith("+json")):
        return text
    try:
        value = msgspec.json.decode(text)
    except (ValueError, RecursionError) as error:
        raise UnreadableError("its answer is not valid JSON") from error
    if _is_deep(value):
        raise UnreadableError("its answer is nested too deeply")
    return value


def _decoded(response: HttpResponse) -> str:
    kind = response.media_type
    is_text = not kind or kind.startswith("text/") or kind.endswith(("json", "xml"))
    if not is_text or response.charset not in _CHARSETS:
        raise UnreadableError("its answer is not text")
    with suppress(UnicodeDecodeError):
        text = response.body.decode(response.charset or "utf-8")
        if "\x00" not in text:
            return text.removeprefix(_BYTE_ORDER_MARK)
    raise UnreadableError("its answer is not text")


def _is_deep(value: object) -> bool:
    level = [value]
    for _ in range(_DEEPEST):
        lists = [
            each.values() if isinstance(each, dict) else each
            for each in level
            if isinstance(each, dict | list)
        ]
        level = [inner for each in lists for inner in each]
    return bool(level)
