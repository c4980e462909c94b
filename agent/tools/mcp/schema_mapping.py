"""What a stranger says of its tools, in a form every model family takes.

A schema comes from outside and goes into each request to a model. So it is rewritten with the
words on a list, not with those of a list left out: references are replaced by what they point at,
depth and size are bounded, unknown keywords are dropped. What is dropped makes a schema looser,
never wrong: the server checks its arguments itself. What cannot be said in these words (a
reference in a circle or to another document, an argument that is no object, a property whose name
a model family refuses) makes the tool unusable, and it is left out.

Rejected: a JSON-schema library, which checks a value against a schema. Nobody here needs that, and
its patterns would let a server keep our event loop busy.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import msgspec

_MOST_NODES = 400
_MOST_CHARS = 12_000
_DEEPEST = 8
_MOST_PROPERTIES = 64
_MOST_CHOICES = 100
_DESCRIPTION_CHARS = 1_000
_REMARK_CHARS = 300
_PATTERN_CHARS = 200
_READ_CHARS = 4_000
"""Of a text that is shortened; a server may send a megabyte."""
_WORDS = frozenset({
    "$ref", "properties", "additionalProperties", "required", "items", "type", "description",
    "const", "enum", "pattern", "format", "default",
})  # fmt: skip
"""The keywords that are read, beside numbers and alternatives."""
_PROPERTY = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_TYPES = frozenset({"string", "number", "integer", "boolean", "array", "object", "null"})
_NUMBERS = frozenset({
    "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf",
    "minLength", "maxLength", "minItems", "maxItems",
})  # fmt: skip
REST = "rest"
"""The field of arguments that a schema allows without naming them."""
_REST_KEY = "*"
"""In JSON; no property may have this name."""
_ALTERNATIVES = ("anyOf", "oneOf", "allOf")
_READ = _WORDS | _NUMBERS | frozenset(_ALTERNATIVES)


class SchemaError(ValueError):
    """A schema that cannot be given to a model; the text says why, in our own words."""


def description(*texts: str | None) -> str:
    """The first of these that is not blank, on one line and bounded."""
    plain = (" ".join((text or "")[:_READ_CHARS].split()) for text in texts)
    return _bounded(next(filter(None, plain), ""), _DESCRIPTION_CHARS)


def parameters(schema: Mapping[str, Any]) -> dict[str, Any]:
    """An object schema without references, as plain as it can be said.

    Raises:
        SchemaError: It cannot be said so.
    """
    plain = _Rewriting(schema).node(schema, 0)
    if not plain.keys() & {"type", "enum", *_ALTERNATIVES}:
        plain["type"] = "object"
    if plain.get("type") != "object" or any(word in plain for word in _ALTERNATIVES):
        raise SchemaError("its arguments are not plainly an object")
    plain.setdefault("properties", {})
    if len(json.dumps(plain)) > _MOST_CHARS:
        raise SchemaError("its schema is too long")
    return plain


def arguments(tool: str, schema: Mapping[str, Any]) -> tuple[type[msgspec.Struct], dict[str, str]]:
    """What the model's arguments are parsed into, and each field's property.

    Arguments that the schema allows without naming them are in the field `REST`. Only the outermost
    level is checked, as far as that lets a model's slip be made good or told early: all else is
    checked by the server.
    """
    properties = dict(enumerate(schema["properties"].items()))
    names = {f"argument_{number}": name for number, (name, _) in properties.items()}
    keys = {**names, REST: _REST_KEY}
    required = set(schema.get("required", ()))
    fields: list[Any] = [
        (f"argument_{number}", _kind(node))
        if name in required
        else (f"argument_{number}", _kind(node), msgspec.UNSET)
        for number, (name, node) in properties.items()
    ]
    if schema.get("additionalProperties"):
        fields.append((REST, dict[str, Any], msgspec.field(default_factory=dict)))
    made = msgspec.defstruct(tool, fields, rename=keys, kw_only=True, forbid_unknown_fields=True)
    return made, names


_KINDS: Mapping[str, Any] = {
    "string": str,
    "integer": int,
    "number": int | float,
    "boolean": bool,
    "array": list[Any],
    "object": dict[str, Any],
}


def _kind(node: Mapping[str, Any]) -> Any:
    return _KINDS.get(node.get("type", ""), Any)


class _Rewriting:
    """One schema on its way; counts what it has grown to."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._nodes = 0
        self._chars = 0

    def node(self, given: object, depth: int) -> dict[str, Any]:
        """One schema inside the whole."""
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
        words = _words(given)
        self._chars += len(repr(words))
        if self._chars > 2 * _MOST_CHARS:
            raise SchemaError("its schema is too long")
        plain = {**words, **self._parts(given, depth)}
        return _with_items(_without_null(plain))

    def _parts(self, given: Mapping[str, Any], depth: int) -> dict[str, Any]:
        parts: dict[str, Any] = {}
        if isinstance(properties := given.get("properties"), Mapping):
            _refuse_names(properties)
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
        for word in _ALTERNATIVES:
            if isinstance(nodes := given.get(word), list) and nodes:
                parts[word] = [self.node(node, depth + 1) for node in nodes]
        return parts

    def _target(self, reference: object) -> Mapping[str, Any]:
        """What a reference inside the same document points at."""
        if not isinstance(reference, str) or not reference.startswith("#"):
            raise SchemaError("its schema refers to another document")
        target: Any = self._root
        for step in reference.removeprefix("#").split("/", _MOST_NODES)[1:]:
            key = step.replace("~1", "/").replace("~0", "~")
            target = target.get(key) if isinstance(target, Mapping) else None
        if not isinstance(target, Mapping):
            raise SchemaError("its schema refers to what is not there")
        return target


def _read(node: Mapping[str, Any]) -> dict[str, Any]:
    """The keywords of a node that are read, however many it has."""
    return {key: node[key] for key in _READ if key in node}


def _refuse_names(properties: Mapping[str, Any]) -> None:
    if len(properties) > _MOST_PROPERTIES:
        raise SchemaError("its schema has too many properties")
    if not all(_PROPERTY.fullmatch(name) for name in properties):
        raise SchemaError("its schema has a property with an unusual name")


def _words(given: Mapping[str, Any]) -> dict[str, Any]:
    """The keywords of one node that stand for themselves."""
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
        words["description"] = _bounded(" ".join(remark[:_READ_CHARS].split()), _REMARK_CHARS)
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
    if not all(_is_scalar(each) for each in listed):
        return []
    return [each for each in listed if each is not None]


def _without_null(plain: dict[str, Any]) -> dict[str, Any]:
    """A value that may be null is one that may be left out (see `agent.tools.tool`)."""
    present = [node for node in plain.get("anyOf", ()) if node != {"type": "null"}]
    if len(present) == 1:
        del plain["anyOf"]
        return {**present[0], **plain}
    return plain


def _with_items(plain: dict[str, Any]) -> dict[str, Any]:
    """An array of anything says so: chat-completions servers refuse one without `items`."""
    return {"items": {}, **plain} if plain.get("type") == "array" else plain


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 2**53


def _is_scalar(value: object) -> bool:
    if isinstance(value, str):
        return len(value) <= _REMARK_CHARS
    return value is None or isinstance(value, bool) or _is_number(value)


def _bounded(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"
