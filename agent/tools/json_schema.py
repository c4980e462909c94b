"""JSON schemas of tool arguments in a form that every model family takes.

References are replaced by their targets, "null" alternatives and titles are dropped, and only
listed keywords are kept. A schema of an MCP server is untrusted, so depth and size are bounded.
Dropping a keyword makes a schema looser, never wrong: the tool checks its arguments itself.
Rejected: a JSON-schema library, because the patterns of an untrusted schema could block the event
loop; and `jsonpointer`, because its wrapper is as long as `resolve_pointer`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

_MOST_NODES = 400
_MOST_CHARS = 12_000
_DEEPEST = 8
_MOST_PROPERTIES = 64
_MOST_CHOICES = 100
_DESCRIPTION_CHARS = 300
_PATTERN_CHARS = 200
_READ_CHARS = 4_000
_LONGEST_POINTER = 400
"""Steps; those beyond are read as one."""
_INDEX = re.compile(r"[0-9]{1,9}")
_PROPERTY = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_TYPES = frozenset({"string", "number", "integer", "boolean", "array", "object", "null"})
_NUMBERS = (
    "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf",
    "minLength", "maxLength", "minItems", "maxItems",
)  # fmt: skip
"""In a fixed order: the text of a schema is part of the prompt that providers cache."""
_ALTERNATIVES = ("anyOf", "oneOf", "allOf")
_KEYWORDS = (
    *_NUMBERS, *_ALTERNATIVES, "$ref", "properties", "additionalProperties", "required", "items",
    "type", "description", "const", "enum", "pattern", "format", "default",
)  # fmt: skip


class SchemaError(ValueError):
    """The text says why a schema cannot be given to a model, and quotes nothing from it."""


def plain_schema(schema: Mapping[str, Any], *, keeps_closed: bool = False) -> dict[str, Any]:
    """An object schema without references, of the listed keywords. Raises `SchemaError`.

    `keeps_closed` keeps `"additionalProperties": false`.
    """
    plain = _Rewriter(schema, keeps_closed=keeps_closed).node(schema, 0)
    if not plain.keys() & {"type", "enum", *_ALTERNATIVES}:
        plain["type"] = "object"
    if plain.get("type") != "object" or any(word in plain for word in _ALTERNATIVES):
        raise SchemaError("its arguments are not plainly an object")
    plain.setdefault("properties", {})
    if len(json.dumps(plain)) > _MOST_CHARS:
        raise SchemaError("its schema is too long")
    return plain


def resolve_pointer(value: Any, pointer: str) -> Any:
    """The value at a JSON pointer (RFC 6901); `None` if there is none."""
    for step in pointer.split("/", _LONGEST_POINTER)[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        match value:
            case dict():
                value = value.get(name)
            case list() if _INDEX.fullmatch(name) and int(name) < len(value):
                value = value[int(name)]
            case _:
                return None
    return value


def one_line(text: str, limit: int) -> str:
    """A text on one line of at most `limit` characters."""
    line = " ".join(text[:_READ_CHARS].split())
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


class _Rewriter:
    def __init__(self, root: Mapping[str, Any], *, keeps_closed: bool) -> None:
        self._root = root
        self._keeps_closed = keeps_closed
        self._nodes = 0
        self._chars = 0

    def node(self, given: object, depth: int) -> dict[str, Any]:
        self._nodes += 1
        if depth > _DEEPEST or self._nodes > _MOST_NODES:
            raise SchemaError("its schema is too deep, too large, or goes in a circle")
        if given is True:
            return {}
        if not isinstance(given, Mapping):
            raise SchemaError("its schema has a part that is none")
        if "$ref" in given:
            beside = {key: value for key, value in _read(given).items() if key != "$ref"}
            return self.node({**_read(self._target(given["$ref"])), **beside}, depth + 1)
        words = _scalar_keywords(given)
        self._chars += len(repr(words))
        if self._chars > 2 * _MOST_CHARS:
            raise SchemaError("its schema is too long")
        plain = {**words, **self._nested_keywords(given, depth)}
        return _with_items(_without_null(plain))

    def _nested_keywords(self, given: Mapping[str, Any], depth: int) -> dict[str, Any]:
        parts: dict[str, Any] = {}
        if isinstance(properties := given.get("properties"), Mapping):
            if len(properties) > _MOST_PROPERTIES:
                raise SchemaError("its schema has too many properties")
            if not all(map(_PROPERTY.fullmatch, properties)):
                raise SchemaError("its schema has a property with an unusual name")
            parts["properties"] = {
                name: self.node(node, depth + 1) for name, node in properties.items()
            }
            if isinstance(required := given.get("required"), list):
                wanted = {name for name in required if isinstance(name, str)}
                parts["required"] = [name for name in properties if name in wanted]
        if isinstance(given.get("items"), Mapping):
            parts["items"] = self.node(given["items"], depth + 1)
        more = given.get("additionalProperties")
        if more is True or isinstance(more, Mapping):
            parts["additionalProperties"] = self.node(more, depth + 1) or True
        elif more is False and self._keeps_closed:
            parts["additionalProperties"] = False
        for word in _ALTERNATIVES:
            if isinstance(nodes := given.get(word), list) and nodes:
                parts[word] = [self.node(node, depth + 1) for node in nodes]
        return parts

    def _target(self, reference: object) -> Mapping[str, Any]:
        if not isinstance(reference, str) or not reference.startswith("#"):
            raise SchemaError("its schema refers to another document")
        target = resolve_pointer(self._root, reference.removeprefix("#"))
        if not isinstance(target, Mapping):
            raise SchemaError("its schema refers to what is not there")
        return target


def _read(node: Mapping[str, Any]) -> dict[str, Any]:
    return {key: node[key] for key in _KEYWORDS if key in node}


def _scalar_keywords(given: Mapping[str, Any]) -> dict[str, Any]:
    words = {key: given[key] for key in _NUMBERS if _is_number(given.get(key))}
    kind = given.get("type")
    if isinstance(kind, str) and kind in _TYPES:
        words["type"] = kind
    elif isinstance(kind, list):
        words["anyOf"] = [
            _with_items({"type": each}) for each in kind[: len(_TYPES)] if isinstance(each, str)
        ]
    elif "properties" in given or "additionalProperties" in given:
        words["type"] = "object"
    if isinstance(remark := given.get("description"), str) and remark.strip():
        words["description"] = one_line(remark, _DESCRIPTION_CHARS)
    if choices := _choices(given):
        words["enum"] = choices
        if all(isinstance(each, str) for each in choices):
            words["type"] = "string"
    for key, limit in (("pattern", _PATTERN_CHARS), ("format", 40)):
        if isinstance(text := given.get(key), str) and len(text) <= limit:
            words[key] = text
    default = given.get("default")
    if _is_scalar(default) and default not in (None, ""):
        words["default"] = default
    return words


def _choices(given: Mapping[str, Any]) -> list[Any]:
    listed = [given["const"]] if "const" in given else given.get("enum")
    if not isinstance(listed, list) or len(listed) > _MOST_CHOICES:
        return []
    if not all(map(_is_scalar, listed)):
        return []
    return [each for each in listed if each is not None]


def _without_null(plain: dict[str, Any]) -> dict[str, Any]:
    """Write a value that may be null as one that may be left out."""
    present = [node for node in plain.get("anyOf", ()) if node != {"type": "null"}]
    if len(present) != 1:
        return plain
    del plain["anyOf"]
    return {**present[0], **plain}


def _with_items(plain: dict[str, Any]) -> dict[str, Any]:
    """Chat-completions servers refuse an array schema without `items`."""
    return {"items": {}, **plain} if plain.get("type") == "array" else plain


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 2**53


def _is_scalar(value: object) -> bool:
    if isinstance(value, str):
        return len(value) <= _DESCRIPTION_CHARS
    return value is None or isinstance(value, bool) or _is_number(value)
