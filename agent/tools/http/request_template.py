"""Arguments and facts of the call → a request.

What a model writes is untrusted (practice section 19). It is percent-encoded whole, so that a value
of the query is one value, and a segment of the path one segment. Encoding alone is not enough for a
path: servers and proxies decode slashes, take `..` for the parent and an empty segment for none. So
a value in a path that has a slash, a backslash, a control character, or is empty or dots alone, is
refused and the model is told why.

An argument that was left out is left out of the request: its pair of the query, its member of the
body. A fact of the call that is not known, as the number of a caller who withholds it, is a refusal
instead: without it, or with nothing in its place, a look-up might answer with everybody's orders.
In the body, a string that is one placeholder becomes the value with its type.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, unquote

import msgspec

from agent.errors import ToolError
from agent.tools.tool import CallContext
from agent.usecases.http_tool import (
    CALL_FACTS,
    Argument,
    HttpTool,
    Placeholder,
    Template,
    UrlTemplate,
    read_template,
)

Values = Mapping[str, Argument]
"""By the name of the placeholder."""

_NOT_IN_PATHS = re.compile(r"[/\\\x00-\x1f\x7f-\x9f]")
_HALF = "This cannot be sent: it holds half a character."
_ABSENT = object()


def facts_of(call: CallContext) -> dict[str, Argument]:
    """What a template may know of the call, as far as it is known."""
    facts = {
        "call.caller": call.caller,
        "call.called": call.to,
        "call.id": call.call_id,
        "call.use_case": call.use_case,
    }
    return {name: value for name, value in facts.items() if value}


def target(url: UrlTemplate, values: Values) -> str:
    """Path and query of a request.

    Raises:
        ToolError: A value cannot stand in its place, or a fact of the call is not known.
    """
    path = "/" + "/".join(_segment(template, values) for template in url.path)
    query = "&".join(
        f"{name}={_encoded(template, values)}"
        for name, template in url.query
        if _is_given(template, values)
    )
    return f"{path}?{query}" if query else path


def body(tool: HttpTool, values: Values) -> str:
    """The body of a request as JSON text; empty = none. Raises as `target`."""
    if not tool.body:
        return ""
    filled = _filled(msgspec.json.decode(tool.body), values)
    try:
        return msgspec.json.encode({} if filled is _ABSENT else filled).decode()
    except UnicodeEncodeError as error:
        raise ToolError(_HALF) from error


def _is_given(template: Template, values: Values) -> bool:
    missing = [piece for piece in _placeholders(template) if piece.name not in values]
    for placeholder in missing:
        if placeholder.name in CALL_FACTS:
            raise ToolError(f"This cannot be done: {_said(placeholder)} is not known in this call.")
    return not missing


def _segment(template: Template, values: Values) -> str:
    _is_given(template, values)
    for placeholder in _placeholders(template):
        value = _text(values.get(placeholder.name, ""))
        if not value.strip() or _NOT_IN_PATHS.search(value):
            raise ToolError(f"{_said(placeholder)} cannot be used: it is empty or has a slash.")
    segment = _encoded(template, values)
    if unquote(segment).strip() in {".", ".."}:
        raise ToolError("This cannot be looked up: it consists of dots.")
    return segment


def _said(placeholder: Placeholder) -> str:
    return placeholder.name.replace("call.", "the call's ")


def _placeholders(template: Template) -> list[Placeholder]:
    return [piece for piece in template if isinstance(piece, Placeholder)]


def _encoded(template: Template, values: Values) -> str:
    try:
        return "".join(
            piece if isinstance(piece, str) else quote(_text(values[piece.name]), safe="")
            for piece in template
        )
    except UnicodeEncodeError as error:
        raise ToolError(_HALF) from error


def _text(value: Argument) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _filled(value: Any, values: Values) -> Any:
    """A value of the body with its placeholders filled."""
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
    match template:
        case (Placeholder(name),):
            return values[name]
        case _:
            return "".join(
                piece if isinstance(piece, str) else _text(values[piece.name]) for piece in template
            )
