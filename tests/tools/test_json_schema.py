"""Schemas: rewritten plainly, or refused."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from agent.tools.json_schema import SchemaError, one_line, plain_schema
from agent.tools.mcp.mcp_tools import arguments_of
from agent.tools.tool import REST


def about(node: object, **definitions: object) -> dict[str, Any]:
    """A schema of one property."""
    return {"type": "object", "properties": {"it": node}, "$defs": definitions}


def test_references_are_replaced_and_unknown_words_dropped() -> None:
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Search",
        "type": "object",
        "properties": {
            "size": {"$ref": "#/$defs/Size", "description": "Which\nsize."},
            "near": {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "null"}], "title": "N"},
            "tags": {"type": "array", "items": {"type": ["string", "null"]}, "x-own": 1},
            "unit": {"const": "kg"},
        },
        "required": ["size", "ghost"],
        "additionalProperties": False,
        "$defs": {"Size": {"enum": ["small", "large"], "description": "A size."}},
    }

    assert plain_schema(schema) == {
        "type": "object",
        "properties": {
            "size": {"type": "string", "enum": ["small", "large"], "description": "Which size."},
            "near": {"type": "integer", "minimum": 1},
            "tags": {"type": "array", "items": {"type": "string"}},
            "unit": {"type": "string", "enum": ["kg"]},
        },
        "required": ["size"],
    }


def test_tool_without_arguments_has_an_empty_schema() -> None:
    schema = {"$schema": "https://example.com/s"}
    for given in ({"type": "object"}, {}, {"description": ""}, schema):
        assert plain_schema(given) == {"type": "object", "properties": {}}


@pytest.mark.parametrize(
    "node",
    [
        {"type": "array"},
        {"type": "array", "items": True},
        {"type": "array", "items": [{"type": "string"}, {"type": "integer"}]},
        {"type": ["array", "null"]},
        {"anyOf": [{"type": "array"}, {"type": "null"}]},
        {"type": "array", "prefixItems": [{"type": "string"}]},
    ],
)
def test_array_of_anything_says_so(node: dict[str, Any]) -> None:
    inner = {"type": "object", "properties": {"of": node}}

    plain = plain_schema({"type": "object", "properties": {"a": node, "b": inner}})["properties"]

    assert plain["a"] == plain["b"]["properties"]["of"] == {"type": "array", "items": {}}


@pytest.mark.parametrize(
    ("schema", "more"),
    [
        ({"type": "object", "additionalProperties": True}, True),
        ({"additionalProperties": {}}, True),
        ({"type": "object", "additionalProperties": {"type": "string"}}, {"type": "string"}),
        (about({"type": "string"}) | {"additionalProperties": True}, True),
    ],
)
def test_arguments_without_a_name_are_allowed_where_the_schema_allows_them(
    schema: dict[str, Any], more: object
) -> None:
    plain = plain_schema(schema)

    assert plain["additionalProperties"] == more
    assert REST in arguments_of("any", plain).__struct_encode_fields__


@pytest.mark.parametrize("closed", [{}, {"additionalProperties": False}])
def test_arguments_without_a_name_are_a_slip_elsewhere(closed: dict[str, Any]) -> None:
    made = arguments_of("any", plain_schema({"type": "object", "properties": {}, **closed}))

    assert made.__struct_encode_fields__ == ()


def _nested(depth: int) -> dict[str, Any]:
    node: dict[str, Any] = {"type": "string"}
    for _ in range(depth):
        node = {"type": "array", "items": node}
    return node


def _laughs() -> dict[str, Any]:
    """Thirty references to thirty references to thirty: 27,000 nodes in a few lines."""
    levels: dict[str, Any] = {
        f"L{n}": {"anyOf": [{"$ref": f"#/$defs/L{n + 1}"}] * 30} for n in range(3)
    }
    return about({"$ref": "#/$defs/L0"}, **levels, L3={"type": "string"})


@pytest.mark.parametrize(
    ("schema", "fault"),
    [
        ({"type": "array"}, "not plainly an object"),
        ({"type": "string"}, "not plainly an object"),
        ({"type": "object", "oneOf": [{"type": "object"}]}, "not plainly an object"),
        (about({"$ref": "#/$defs/A"}, A={"$ref": "#/$defs/A"}), "circle"),
        (
            about(
                {"$ref": "#/$defs/A"},
                A={"type": "object", "properties": {"a": {"$ref": "#/$defs/A"}}},
            ),
            "circle",
        ),
        (about({"$ref": "https://example.com/schema"}), "another document"),
        (about({"$ref": "file:///etc/passwd"}), "another document"),
        (about({"$ref": 7}), "another document"),
        (about({"$ref": "#/$defs/none"}), "not there"),
        (about(_nested(30)), "deep"),
        (_laughs(), "large"),
        (about("text"), "part that is none"),
        (about(False), "part that is none"),
        ({"type": "object", "properties": {"a b": {}}}, "unusual name"),
        ({"type": "object", "properties": {"": {}}}, "unusual name"),
        ({"type": "object", "properties": {"x" * 65: {}}}, "unusual name"),
        ({"type": "object", "properties": {f"p{n}": {} for n in range(65)}}, "too many"),
        (
            {
                "type": "object",
                "properties": {f"p{n}": {"description": "x" * 400} for n in range(60)},
            },
            "too long",
        ),
    ],
)
def test_schema_that_cannot_be_made_safe_is_refused(schema: dict[str, Any], fault: str) -> None:
    with pytest.raises(SchemaError, match=fault):
        plain_schema(schema)


def test_words_of_the_wrong_kind_are_dropped() -> None:
    node = {
        "type": ["string", 7], "description": 7, "enum": {"a": 1}, "pattern": "x" * 500,
        "minimum": "3", "maximum": True, "maxLength": 10**40, "default": {"a": 1}, "items": "x",
        "format": None, "anyOf": "x", "properties": 7,
    }  # fmt: skip

    assert plain_schema(about(node))["properties"]["it"] == {"type": "string"}


def test_description_is_one_line_and_bounded() -> None:
    long = one_line("word " * 1_000, 1_000)

    assert one_line("Two\n  lines.", 1_000) == "Two lines."
    assert one_line(" \n", 1_000) == ""
    assert (len(long), long[-5:]) == (1_000, "word…")


def test_arguments_are_checked_on_the_outermost_level() -> None:
    schema = plain_schema({
        "type": "object",
        "properties": {
            "count": {"type": "integer"}, "in-depth": {"type": "object"},
            "class": {"type": "number"},
        },
        "required": ["count"],
    })  # fmt: skip

    made = arguments_of("shop__find", schema)
    given = msgspec.convert({"count": "3", "in-depth": {"a": [1]}}, made, strict=False)

    assert msgspec.to_builtins(given) == {"count": 3, "in-depth": {"a": [1]}}
    with pytest.raises(msgspec.ValidationError, match="count"):
        msgspec.convert({}, made)
    with pytest.raises(msgspec.ValidationError, match="unknown"):
        msgspec.convert({"count": 3, "colour": "red"}, made)
