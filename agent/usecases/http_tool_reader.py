"""Tools that are configuration: what an author writes ↔ `HttpTool`.

A use case declares them in its `use-case.toml`, as `[http_tools.NAME]`: the file of the record is
where a newcomer looks for tools, and a tool belongs to the use case whose words it needs. Rejected:
a file of its own, which one would have to know of. The record keeps the same tables as JSON text in
`httpTools`, in the spelling of the file, so that there is one form to learn and one to read.

Whatever can be known without sending anything is checked here, and a fault is `NAME.field: fault`:
every placeholder is filled by something, the host is fixed, a tool that can be repeated is one that
the other side can be asked for twice. Whether the host is listed and the secrets are there depends
on the process, see `agent.tools.http`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Annotated, Any, Literal
from urllib.parse import unquote

import msgspec
from msgspec import Meta

from agent.call.messages import SideEffect, ToolSpec
from agent.errors import UseCaseError
from agent.usecases.host_allowlist import DEFAULT_PORTS, read_host
from agent.usecases.http_tool import (
    CALL_FACTS,
    HttpTool,
    Kind,
    Method,
    Parameter,
    Placeholder,
    Template,
    UrlTemplate,
    read_template,
    secrets_in,
)
from agent.usecases.validation import Faults, Refusing, convert, decoded

LONGEST_EFFECT_SECONDS = 5.0
"""Of a tool with effects: the ledger gives its attempt up a moment later."""
LONGEST_TEXT = 200
"""Characters of a text argument, unless the parameter says otherwise."""

_NAME = re.compile(r"[A-Za-z0-9_]{1,64}")
_PROPERTY = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_URL = re.compile(
    r"(?P<scheme>https?)://(?P<host>[A-Za-z0-9.-]+|\[[0-9a-fA-F:.]+\])(?::(?P<port>[0-9]{1,5}))?"
    r"(?:/(?P<path>[^?#]*))?(?:\?(?P<query>[^#]*))?"
)
_LITERAL = re.compile(r"(?:[A-Za-z0-9._~!$'()*+,;:@-]|%[0-9A-Fa-f]{2})*")
"""What may stand in a path or a query as it is: neither of `/?#&=`, which are its structure."""
_HEADER = re.compile(r"[A-Za-z0-9-]{1,64}")
_HEADER_VALUE = re.compile(r"[\x20-\x7e]*")
_OURS = frozenset(
    {
        "accept-encoding", "connection", "content-length", "content-type", "expect", "host",
        "idempotency-key", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade",
        "proxy-authorization", "proxy-connection",
    }
)  # fmt: skip
"""Headers that are the connection's own, or ours."""
_Bound = Annotated[int, Meta(ge=-(2**53), le=2**53)] | float
_Pointer = Annotated[str, Meta(pattern=r"^(/([^~]|~[01])*)?$")]


class _Strict(msgspec.Struct, forbid_unknown_fields=True):
    """A table in which every key must be known."""


class _Parameter(_Strict):
    description: Annotated[str, Meta(min_length=1)]
    type: Kind = "string"
    required: bool = True
    enum: list[str] = []
    minimum: _Bound | None = None
    maximum: _Bound | None = None
    min_length: Annotated[int, Meta(ge=0, le=10_000)] | None = None
    max_length: Annotated[int, Meta(ge=1, le=10_000)] | None = None


class _Tool(_Strict):
    description: Annotated[str, Meta(min_length=1)]
    url: str
    method: Method = "GET"
    parameters: dict[str, Any] = {}
    headers: dict[str, str] = {}
    body: dict[str, Any] | list[Any] | None = None
    result: dict[str, _Pointer] = {}
    error: _Pointer = ""
    side_effect: Literal["none", "idempotent", "once"] | None = None
    idempotency_key: bool = False
    filler: str = ""
    timeout: Annotated[float, Meta(ge=0.1, le=15)] = 5.0


def read_http_tools(raw: object, field: str, faults: Faults | None = None) -> tuple[HttpTool, ...]:
    """The tools of a record or of a file.

    Args:
        raw: Tables by name, or JSON text of them; nothing = no tools.
        field: What to call them in a fault.
        faults: Notes a tool that is wrong, which is left out; None = the first fault is raised.

    Raises:
        UseCaseError: They are no tables by name; or the first fault, `field.NAME.…: fault`.
    """
    faults = faults or Refusing()
    tables = convert(decoded(raw, field) or {}, dict[str, Any], field)
    return tuple(
        tool
        for name, table in tables.items()
        if (tool := faults.unless(partial(_read, name, table, f"{field}.{name}"), None))
    )


def _read(name: str, raw: object, field: str) -> HttpTool:
    if not _NAME.fullmatch(name):
        raise UseCaseError(f"{field}: is not a tool name: 1-64 letters, digits, underscores")
    table = convert(raw, _Tool, field)
    parameters = tuple(
        _parameter(each, given, f"{field}.parameters.{each}")
        for each, given in table.parameters.items()
    )
    tool = HttpTool(
        spec=ToolSpec(
            name=name,
            description=" ".join(table.description.split()),
            parameters=json.dumps(_schema(parameters), ensure_ascii=False),
            side_effect=SideEffect(table.side_effect or _usual(table.method)),
            filler=table.filler,
        ),
        method=table.method,
        url=_url(table.url, f"{field}.url"),
        parameters=parameters,
        headers=tuple(table.headers.items()),
        body="" if table.body is None else msgspec.json.encode(table.body).decode(),
        result=tuple(table.result.items()),
        error=table.error,
        timeout=table.timeout,
        has_key=table.idempotency_key,
    )
    _check_placeholders(tool, table.body, field)
    _check_headers(tool, field)
    _check_effect(tool, field)
    return tool


def _usual(method: Method) -> str:
    """The careful choice: whatever does not only look may not be repeated."""
    return "none" if method == "GET" else "once"


def _parameter(name: str, raw: object, field: str) -> Parameter:
    if not _PROPERTY.fullmatch(name):
        raise UseCaseError(f"{field}: is not a name: letters, digits, underscores")
    table = convert(raw, _Parameter, field)
    is_text, is_number = table.type == "string", table.type in {"integer", "number"}
    for key, fits in (
        ("enum", is_text),
        ("min_length", is_text),
        ("max_length", is_text),
        ("minimum", is_number),
        ("maximum", is_number),
    ):
        if getattr(table, key) not in (None, []) and not fits:
            raise UseCaseError(f"{field}.{key}: says nothing about a parameter of this type")
    if len(set(table.enum)) < len(table.enum):
        raise UseCaseError(f"{field}.enum: names a value twice")
    is_free = is_text and not table.enum
    return Parameter(
        name,
        table.description,
        table.type,
        table.required,
        tuple(table.enum),
        table.minimum,
        table.maximum,
        table.min_length,
        (table.max_length or LONGEST_TEXT) if is_free else table.max_length,
    )


def _schema(parameters: Iterable[Parameter]) -> dict[str, object]:
    """In the plainest words, see `agent.tools.tool`."""
    return {
        "type": "object",
        "properties": {each.name: dict(_property(each)) for each in parameters},
        "required": [each.name for each in parameters if each.is_required],
        "additionalProperties": False,
    }


def _property(parameter: Parameter) -> Iterator[tuple[str, object]]:
    yield "type", parameter.kind
    yield "description", parameter.description
    if parameter.choices:
        yield "enum", sorted(parameter.choices)
        return
    for key, value in (
        ("minimum", parameter.minimum),
        ("maximum", parameter.maximum),
        ("minLength", parameter.min_length),
        ("maxLength", parameter.max_length),
    ):
        if value is not None:
            yield key, value


def _url(text: str, field: str) -> UrlTemplate:
    found = _URL.fullmatch(text)
    if not found:
        raise UseCaseError(f"{field}: is not https://host/path, with the host written out")
    port = int(found["port"] or DEFAULT_PORTS[found["scheme"]])
    if not 1 <= port <= 65_535:
        raise UseCaseError(f"{field}: has no port that can be dialled")
    try:
        host = read_host(found["host"])
    except ValueError as error:
        raise UseCaseError(f"{field}: {found['host']} is not a host") from error
    path = tuple(_url_template(each, field) for each in (found["path"] or "").split("/"))
    if any(unquote(each) in {".", ".."} for each in (found["path"] or "").split("/")):
        raise UseCaseError(f"{field}: has a segment that leads elsewhere")
    query = [each.partition("=") for each in (found["query"] or "").split("&") if each]
    for name, _, _ in query:
        if not _LITERAL.fullmatch(name):
            raise UseCaseError(f"{field}: {name!r} cannot be a name of the query")
    pairs = tuple((name, _url_template(value, field)) for name, _, value in query)
    return UrlTemplate(found["scheme"], host, port, path, pairs)


def _url_template(text: str, field: str) -> Template:
    template = _template(text, field)
    for piece in template:
        if isinstance(piece, str) and not _LITERAL.fullmatch(piece):
            raise UseCaseError(f"{field}: {piece!r} must be percent-encoded")
    return template


def _template(text: str, field: str) -> Template:
    try:
        return read_template(text)
    except ValueError as error:
        raise UseCaseError(f"{field}: {error}") from error


def _check_placeholders(tool: HttpTool, body: object, field: str) -> None:
    """Each is filled by something, and one in the path always."""
    parameters = {each.name: each for each in tool.parameters}
    used: set[str] = set()
    for place, template in _templates(tool, body, field):
        for name in (piece.name for piece in template if isinstance(piece, Placeholder)):
            if name not in parameters and name not in CALL_FACTS:
                raise UseCaseError(f"{place}: {{{name}}}: there is no such parameter")
            used.add(name)
    for template in tool.url.path:
        for piece in template:
            parameter = parameters.get(piece.name) if isinstance(piece, Placeholder) else None
            if parameter and not parameter.is_required:
                raise UseCaseError(f"{field}.url: {{{parameter.name}}}: a path needs it always")
    for name in parameters.keys() - used:
        raise UseCaseError(f"{field}.parameters.{name}: is used nowhere")


def _templates(tool: HttpTool, body: object, field: str) -> Iterator[tuple[str, Template]]:
    for segment in tool.url.path:
        yield f"{field}.url", segment
    for _, value in tool.url.query:
        yield f"{field}.url", value
    for text in _texts(body):
        yield f"{field}.body", _template(text, f"{field}.body")


def _texts(value: object) -> Iterator[str]:
    match value:
        case str():
            yield value
        case Mapping():
            for inner in value.values():
                yield from _texts(inner)
        case list():
            for inner in value:
                yield from _texts(inner)
        case _:
            return


def _check_headers(tool: HttpTool, field: str) -> None:
    names = [name.lower() for name, _ in tool.headers]
    for name, value in tool.headers:
        place = f"{field}.headers.{name}"
        if not _HEADER.fullmatch(name) or names.count(name.lower()) > 1:
            raise UseCaseError(f"{place}: cannot be a header, or is there twice")
        if name.lower() in _OURS:
            raise UseCaseError(f"{place}: is set by the service")
        if not _HEADER_VALUE.fullmatch(value):
            raise UseCaseError(f"{place}: holds characters no header may have")
        for secret in secrets_in(value):
            if not _PROPERTY.fullmatch(secret):
                raise UseCaseError(f"{place}: {secret!r} is no name of a variable")


def _check_effect(tool: HttpTool, field: str) -> None:
    if tool.method == "GET" and tool.body:
        raise UseCaseError(f"{field}.body: a GET has none")
    effect = tool.spec.side_effect
    if effect is SideEffect.NONE and tool.has_key:
        raise UseCaseError(f"{field}.idempotency_key: is for a tool with a side effect")
    if (
        effect is SideEffect.IDEMPOTENT
        and tool.method not in {"PUT", "DELETE"}
        and not tool.has_key
    ):
        raise UseCaseError(
            f"{field}.side_effect: a {tool.method} can be repeated with idempotency_key = true only"
        )
    if effect is not SideEffect.NONE and tool.timeout > LONGEST_EFFECT_SECONDS:
        raise UseCaseError(
            f"{field}.timeout: {LONGEST_EFFECT_SECONDS:g} seconds at most with a side effect"
        )
