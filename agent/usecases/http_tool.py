"""Tools that are configuration: one HTTP request, declared by a use case and not programmed.

A `use-case.toml` declares them as `[http_tools.NAME]`; the record holds the same tables as JSON
text in `httpTools`. Rejected: a file of their own, which an author has to find.

The place of a value decides what it can do. Arguments of the model and facts of the call fill path
segments, query values and body values, so host, number of segments and query names are what the
author wrote. Secrets of the process fill headers and nothing else: URLs are logged by others, and
bodies are echoed in responses. `{name}` is an argument, `{call.caller}` a fact; there is no escape
for a brace.

Everything that needs no request is checked here; an error is `NAME.field: error`. Hosts and secrets
depend on the process, see `agent.tools.http`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal
from urllib.parse import unquote

import msgspec
from msgspec import Meta

from agent.call.collector import Collector
from agent.call.messages import TOOL_NAME, SideEffect, ToolSpec
from agent.errors import UseCaseError
from agent.usecases.host_allowlist import DEFAULT_PORTS, read_host
from agent.usecases.tool_event import Pointer, ToolEvent
from agent.usecases.turn_options import Expectation
from agent.usecases.validation import RaisingErrors, RecordErrors, convert, decoded

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
Kind = Literal["string", "integer", "number", "boolean"]
Argument = str | int | float | bool

DIGITS = "call.digits"
CALL_FACTS = ("call.caller", "call.called", "call.id", "call.use_case", DIGITS)
"""What a template may use of the call; never from the model."""
_LONGEST_EFFECT_SECONDS = 5.0
"""Limit of a tool with side effects; the idempotency store gives up slightly later."""
_LONGEST_TEXT = 200  # characters of a text argument, unless the parameter says otherwise

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_SECRET = re.compile(r"\$\{([^{}]*)\}")
_PROPERTY = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_URL = re.compile(
    r"(?P<scheme>https?)://(?P<host>[A-Za-z0-9.-]+|\[[0-9a-fA-F:.]+\])(?::(?P<port>[0-9]{1,5}))?"
    r"(?:/(?P<path>[^?#]*))?(?:\?(?P<query>[^#]*))?"
)
_LITERAL = re.compile(r"(?:[A-Za-z0-9._~!$'()*+,;:@-]|%[0-9A-Fa-f]{2})*")
"""Literal text of a path segment, query name or query value: none of `/?#&=`."""
_HEADER = re.compile(r"[A-Za-z0-9-]{1,64}")
_HEADER_VALUE = re.compile(r"[\x20-\x7e]*")
_RESERVED_HEADERS = frozenset(
    {
        "accept-encoding", "connection", "content-length", "content-type", "expect", "host",
        "idempotency-key", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade",
        "proxy-authorization", "proxy-connection",
    }
)  # fmt: skip
"""Headers of the connection, or set by this service."""


@dataclass(frozen=True, slots=True)
class Placeholder:
    """A place for a value in a template."""

    name: str  # of a parameter, or one of `CALL_FACTS`


Template = tuple[str | Placeholder, ...]


@dataclass(frozen=True, slots=True)
class UrlTemplate:
    """The URL of a request."""

    scheme: str
    host: str
    port: int
    path: tuple[Template, ...]  # the segments after the first slash
    query: tuple[tuple[str, Template], ...] = ()

    @property
    def origin(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


_Bound = Annotated[int, Meta(ge=-(2**53), le=2**53)] | float
_RENAMED = {"kind": "type", "is_required": "required", "choices": "enum"}


class Parameter(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename=_RENAMED):
    """An argument that the model passes to the tool, as a file declares it."""

    description: Annotated[str, Meta(min_length=1)]
    kind: Kind = "string"
    is_required: bool = True
    choices: tuple[str, ...] = ()
    minimum: _Bound | None = None
    maximum: _Bound | None = None
    min_length: Annotated[int, Meta(ge=0, le=10_000)] | None = None
    max_length: Annotated[int, Meta(ge=1, le=10_000)] | None = None
    name: Annotated[str, Meta(max_length=0)] = ""  # set when it is read: its key in the file


@dataclass(frozen=True, slots=True)
class HttpTool:
    """One tool and its request."""

    spec: ToolSpec
    method: Method
    url: UrlTemplate
    parameters: tuple[Parameter, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()  # values may hold `${NAME}`, see `filled_header`
    body: str = ""  # JSON text whose strings are templates; empty = no body
    result: tuple[tuple[str, str], ...] = ()
    """Name and JSON pointer into the response; empty = all of the response."""
    error: str = ""
    """JSON pointer to the sentence that explains a refusal; empty = none is passed on."""
    timeout: float = 5.0  # seconds, including the retry
    has_key: bool = False  # sends `Idempotency-Key`, by which the server recognises a retry
    event: ToolEvent | None = None

    @property
    def is_repeatable(self) -> bool:
        return self.has_key or self.spec.side_effect is not SideEffect.ONCE


def read_template(text: str) -> Template:
    """Parse a text with `{placeholders}`; `ValueError` for an unpaired brace."""
    pieces: list[str | Placeholder] = []
    for number, piece in enumerate(_PLACEHOLDER.split(text)):
        if number % 2:
            pieces.append(Placeholder(piece))
        elif "{" in piece or "}" in piece:
            raise ValueError("a brace stands alone")
        elif piece:
            pieces.append(piece)
    return tuple(pieces)


def secrets_in(header: str) -> list[str]:
    """The names of the secrets in a header's value."""
    return _SECRET.findall(header)


def filled_header(header: str, secrets: Mapping[str, str]) -> str:
    """A header's value with its secrets filled in; `KeyError` if one is missing."""
    return _SECRET.sub(lambda found: secrets[found[1]], header)


class ToolTable(msgspec.Struct, forbid_unknown_fields=True):
    """A tool as a file declares it."""

    description: Annotated[str, Meta(min_length=1)]
    url: str
    method: Method = "GET"
    parameters: dict[str, Any] = {}
    headers: dict[str, str] = {}
    body: dict[str, Any] | list[Any] | None = None
    result: dict[str, Pointer] = {}
    error: Pointer = ""
    side_effect: Literal["none", "idempotent", "once"] | None = None
    idempotency_key: bool = False
    filler: str = ""
    expects: dict[str, Expectation] = {}
    timeout: Annotated[float, Meta(ge=0.1, le=15)] = 5.0
    collects: Collector | None = None
    read_back: tuple[str, ...] | None = None
    event: ToolEvent | None = None


def read_http_tools(
    raw: object,
    field: str,
    built_in: Container[str] = (),
    errors: RecordErrors | None = None,
) -> tuple[HttpTool, ...]:
    """The tools of a record or of a file: tables by name, or JSON text of them.

    `errors` collects those of tools that are left out; None = the first one is raised, as a
    `UseCaseError` of `field.NAME.…: error`. A declared tool must not have a name in `built_in`.
    """
    errors = errors or RaisingErrors()
    tables = convert(decoded(raw, field) or {}, dict[str, Any], field)
    return tuple(
        tool
        for name, table in tables.items()
        if (tool := errors.read_or(partial(_read, name, table, field, built_in), None))
    )


def _read(name: str, raw: object, tools_field: str, built_in: Container[str]) -> HttpTool:
    field = f"{tools_field}.{name}"
    if not TOOL_NAME.fullmatch(name):
        raise UseCaseError(f"{field}: is not a tool name: 1-64 letters, digits, underscores")
    table = convert(raw, ToolTable, field)
    parameters = tuple(
        _parameter(each, given, f"{field}.parameters.{each}")
        for each, given in table.parameters.items()
    )
    # Without a declaration, everything but a GET is taken to be unsafe to repeat.
    effect = table.side_effect or ("none" if table.method == "GET" else "once")
    tool = HttpTool(
        spec=ToolSpec(
            name=name,
            description=" ".join(table.description.split()),
            parameters=json.dumps(_schema(parameters), ensure_ascii=False),
            side_effect=SideEffect(effect),
            filler=table.filler,
            collects=table.collects,
            expects=tuple(table.expects.items()),
            needs_heard_confirmation=table.read_back is not None,
            read_back=table.read_back or (),
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
        event=table.event,
    )
    if table.event is not None:
        table.event.check(f"{field}.event", tool.spec.side_effect)
    _check_placeholders(tool, table.body, field)
    _check_headers(tool, field)
    _check_effect(tool, field)
    if name in built_in:
        raise UseCaseError(f"{field}: is the name of a built-in tool")
    return tool


def _parameter(name: str, raw: object, field: str) -> Parameter:
    if not _PROPERTY.fullmatch(name):
        raise UseCaseError(f"{field}: is not a name: letters, digits, underscores")
    read = convert(raw, Parameter, field)
    is_text, is_number = read.kind == "string", read.kind in {"integer", "number"}
    for key, value, applies in (
        ("enum", read.choices or None, is_text),
        ("min_length", read.min_length, is_text),
        ("max_length", read.max_length, is_text),
        ("minimum", read.minimum, is_number),
        ("maximum", read.maximum, is_number),
    ):
        if value is not None and not applies:
            raise UseCaseError(f"{field}.{key}: does not apply to this type")
    if len(set(read.choices)) < len(read.choices):
        raise UseCaseError(f"{field}.enum: names a value twice")
    longest = read.max_length or (_LONGEST_TEXT if is_text and not read.choices else None)
    return msgspec.structs.replace(read, name=name, max_length=longest)


def _schema(parameters: Iterable[Parameter]) -> dict[str, object]:
    return {
        "type": "object",
        "properties": {each.name: _property(each) for each in parameters},
        "required": [each.name for each in parameters if each.is_required],
        "additionalProperties": False,
    }


def _property(parameter: Parameter) -> dict[str, object]:
    schema: dict[str, object] = {"type": parameter.kind, "description": parameter.description}
    if parameter.choices:
        return {**schema, "enum": sorted(parameter.choices)}
    bounds = {
        "minimum": parameter.minimum,
        "maximum": parameter.maximum,
        "minLength": parameter.min_length,
        "maxLength": parameter.max_length,
    }
    return schema | {name: bound for name, bound in bounds.items() if bound is not None}


def _url(text: str, field: str) -> UrlTemplate:
    found = _URL.fullmatch(text)
    if not found:
        raise UseCaseError(f"{field}: is not https://host/path, with the host written out")
    port = int(found["port"] or DEFAULT_PORTS[found["scheme"]])
    if not 1 <= port <= 65_535:
        raise UseCaseError(f"{field}: has no valid port")
    try:
        host = read_host(found["host"])
    except ValueError as error:
        raise UseCaseError(f"{field}: {found['host']} is not a host") from error
    segments = (found["path"] or "").split("/")
    path = tuple(_url_template(each, field) for each in segments)
    if any(unquote(each) in {".", ".."} for each in segments):
        raise UseCaseError(f"{field}: has a segment that leads elsewhere")
    query = [each.partition("=") for each in (found["query"] or "").split("&") if each]
    for name in (each[0] for each in query if not _LITERAL.fullmatch(each[0])):
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
    """Each placeholder has a value, one in the path always, and each parameter is used."""
    parameters = {each.name: each for each in tool.parameters}
    used: set[str] = set()
    url = (*tool.url.path, *(value for _, value in tool.url.query))
    templates = [(f"{field}.url", template) for template in url]
    templates += [(f"{field}.body", _template(text, f"{field}.body")) for text in _texts(body)]
    for place, template in templates:
        for name in (piece.name for piece in template if isinstance(piece, Placeholder)):
            if name not in parameters and name not in CALL_FACTS:
                raise UseCaseError(f"{place}: {{{name}}}: there is no such parameter")
            used.add(name)
    _check_digits(tool, templates, field)
    for piece in (each for segment in tool.url.path for each in segment):
        parameter = parameters.get(piece.name) if isinstance(piece, Placeholder) else None
        if parameter and not parameter.is_required:
            raise UseCaseError(f"{field}.url: {{{parameter.name}}}: must be required in a path")
    for name in (each for each in tool.spec.read_back if each not in parameters):
        raise UseCaseError(f"{field}.read_back: {name!r}: there is no such parameter")
    for name in parameters.keys() - used:
        raise UseCaseError(f"{field}.parameters.{name}: is used nowhere")


def _check_digits(tool: HttpTool, templates: Iterable[tuple[str, Template]], field: str) -> None:
    """Collected digits are sent, sensitive ones in the body alone: URLs are logged by others."""
    collector, at = tool.spec.collects, Placeholder(DIGITS)
    places = [place for place, template in templates if at in template]
    if places and collector is None:
        raise UseCaseError(f"{places[0]}: {{{DIGITS}}}: the tool has no collects")
    if collector is not None and not places:
        raise UseCaseError(f"{field}.collects: {{{DIGITS}}} is used nowhere")
    if collector is not None and collector.is_sensitive and f"{field}.url" in places:
        raise UseCaseError(f"{field}.url: {{{DIGITS}}}: sensitive digits go into the body")


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list):
        for inner in value.values() if isinstance(value, Mapping) else value:
            yield from _texts(inner)


def _check_headers(tool: HttpTool, field: str) -> None:
    names = [name.lower() for name, _ in tool.headers]
    for name, value in tool.headers:
        place = f"{field}.headers.{name}"
        if not _HEADER.fullmatch(name) or names.count(name.lower()) > 1:
            raise UseCaseError(f"{place}: is not a header name, or is set twice")
        if name.lower() in _RESERVED_HEADERS:
            raise UseCaseError(f"{place}: is set by the service")
        if not _HEADER_VALUE.fullmatch(value):
            raise UseCaseError(f"{place}: holds characters no header may have")
        for secret in secrets_in(value):
            if not _PROPERTY.fullmatch(secret):
                raise UseCaseError(f"{place}: {secret!r} is not the name of a variable")


def _check_effect(tool: HttpTool, field: str) -> None:
    if tool.method == "GET" and tool.body:
        raise UseCaseError(f"{field}.body: a GET has none")
    effect = tool.spec.side_effect
    if effect is SideEffect.NONE and tool.has_key:
        raise UseCaseError(f"{field}.idempotency_key: is for a tool with a side effect")
    is_safe = tool.has_key or tool.method in {"PUT", "DELETE"}
    if effect is SideEffect.IDEMPOTENT and not is_safe:
        raise UseCaseError(
            f"{field}.side_effect: a {tool.method} can be repeated with idempotency_key = true only"
        )
    if effect is not SideEffect.NONE and tool.timeout > _LONGEST_EFFECT_SECONDS:
        raise UseCaseError(
            f"{field}.timeout: {_LONGEST_EFFECT_SECONDS:g} seconds at most with a side effect"
        )
