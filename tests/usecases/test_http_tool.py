"""Tools that a use case declares: what a file may say, and what stands in the record."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest

from agent.call.config import KeyBinding
from agent.call.messages import SideEffect, ToolSpec
from agent.errors import UseCaseError
from agent.usecases.folders import load_record
from agent.usecases.http_tool import HttpTool, Parameter, Placeholder, UrlTemplate, read_http_tools
from agent.usecases.record import parse_use_case
from agent.usecases.seed import check

BOOK = ToolSpec("Book", "Books.", '{"type": "object"}')
TOOLS = {BOOK.name: BOOK}
USE_CASE = """
title = "Orders"
tools = ["Book"]

[http_tools.OrderStatus]
description = "Tells where an order is."
url = "https://api.example.com/orders/{number}?caller={call.caller}"
filler = "I am looking."
expects = { "order number" = "6 digits" }
timeout = 4
result = { state = "/status" }

[http_tools.OrderStatus.headers]
Authorization = "Bearer ${ORDERS_TOKEN}"

[http_tools.OrderStatus.parameters.number]
description = "The number."
type = "integer"
minimum = 1

[http_tools.Remind]
description = "Reminds the caller."
method = "POST"
url = "https://api.example.com/reminders"
idempotency_key = true
body = { to = "{call.caller}", text = "{text}" }
read_back = ["text"]
parameters.text = { description = "What of.", max_length = 80, required = false }

[keypad.1]
reply_text = "One moment."
function = "OrderStatus"
"""
STATUS = HttpTool(
    spec=ToolSpec(
        "OrderStatus",
        "Tells where an order is.",
        '{"type": "object", "properties": {"number": {"type": "integer", '
        '"description": "The number.", "minimum": 1}}, "required": ["number"], '
        '"additionalProperties": false}',
        SideEffect.NONE,
        "I am looking.",
        expects=(("order number", "6 digits"),),
    ),
    method="GET",
    url=UrlTemplate(
        "https",
        "api.example.com",
        443,
        (("orders",), (Placeholder("number"),)),
        (("caller", (Placeholder("call.caller"),)),),
    ),
    parameters=(Parameter("The number.", "integer", minimum=1, name="number"),),
    headers=(("Authorization", "Bearer ${ORDERS_TOKEN}"),),
    result=(("state", "/status"),),
    timeout=4,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A use case with two declared tools."""
    folder = tmp_path / "use-cases" / "orders"
    folder.mkdir(parents=True)
    (folder / "use-case.toml").write_text(USE_CASE, encoding="utf-8")
    (folder / "prompt.md").write_text("You sell.", encoding="utf-8")
    return folder


def test_declared_tool_is_a_tool_like_any_other(folder: Path) -> None:
    """For the model, for the conversation, and for a key."""
    use_case, warnings = parse_use_case(load_record(folder, TOOLS), TOOLS)

    assert warnings == ()
    assert [spec.name for spec in use_case.tools] == ["Book", "OrderStatus", "Remind"]
    assert use_case.http_tools[0] == STATUS
    assert use_case.tools[1] == STATUS.spec
    assert use_case.http_tools[1].spec.side_effect is SideEffect.ONCE
    assert use_case.http_tools[1].spec.needs_heard_confirmation
    assert use_case.http_tools[1].spec.read_back == ("text",)
    assert use_case.http_tools[1].is_repeatable
    assert use_case.keypad == {"1": KeyBinding("One moment.", "OrderStatus")}


def test_record_holds_the_declaration_as_the_file_has_it(folder: Path) -> None:
    """As text, because tables do not keep every number, or as a map; `tools` has the names."""
    record = load_record(folder, TOOLS)

    tables = json.loads(str(record["httpTools"]))
    assert list(tables) == ["OrderStatus", "Remind"]
    assert tables["OrderStatus"]["result"] == {"state": "/status"}
    assert json.loads(str(record["tools"]))[1:] == [
        {"toolSpec": {"name": "OrderStatus"}}, {"toolSpec": {"name": "Remind"}},
    ]  # fmt: skip
    assert parse_use_case({**record, "httpTools": tables}, TOOLS) == parse_use_case(record, TOOLS)


def test_declared_tool_that_is_not_offered_is_ignored(folder: Path) -> None:
    """`tools` of a record, or of one call, names the offered ones."""
    record = {**load_record(folder, TOOLS), "tools": "[]", "dtmfHandlers": "{}"}

    use_case, _ = parse_use_case(record, TOOLS)

    assert (use_case.tools, use_case.http_tools) == ((), ())


def test_tool_that_cannot_be_used_here_is_left_out_with_a_line(folder: Path) -> None:
    """The rest of the use case is used; the key has no handler."""
    use_case, warnings = parse_use_case(
        load_record(folder, TOOLS),
        TOOLS,
        unusable_reason=lambda tool: (
            "url: is not listed" if tool.spec.name == "OrderStatus" else ""
        ),
    )

    assert [spec.name for spec in use_case.tools] == ["Book", "Remind"]
    assert [tool.spec.name for tool in use_case.http_tools] == ["Remind"]
    assert use_case.keypad == {"1": KeyBinding()}
    assert warnings == (
        "orders.httpTools.OrderStatus.url: is not listed; left out",
        "orders.dtmfHandlers.1.replyFunction: OrderStatus is not implemented",
    )


def test_check_names_file_and_field_of_what_cannot_be_used(folder: Path) -> None:
    """With the present settings, one line for each tool."""
    reason = "headers.Authorization: ORDERS_TOKEN is not set"

    assert check(folder.parents[1], TOOLS, lambda _: reason) == [
        f"use-cases/orders/use-case.toml: http_tools.{name}.{reason}"
        for name in ("OrderStatus", "Remind")
    ]


NOT_A_URL = "is not https://host/path, with the host written out"


@pytest.mark.parametrize(
    ("before", "after", "error"),
    [
        ("OrderStatus", "Book", "Book: is the name of a built-in tool"),
        ("https:", "ftp:", f"OrderStatus.url: {NOT_A_URL}"),
        (
            'method = "POST"',
            'method = "TRACE"',
            "Remind.method: Invalid enum value 'TRACE', must be one of DELETE, GET, PATCH, POST,"
            " PUT",
        ),
        (
            "timeout = 4",
            "time_limit = 4",
            "OrderStatus: Object contains unknown field `time_limit`",
        ),
        (
            'type = "integer"',
            'type = "object"',
            "OrderStatus.parameters.number.type: Invalid enum value 'object', must be one of"
            " boolean, integer, number, string",
        ),
    ],
)
def test_error_of_a_declaration_stops_the_loading(
    folder: Path, before: str, after: str, error: str
) -> None:
    """One line with file and field."""
    path = folder / "use-case.toml"
    path.write_text(USE_CASE.replace(before, after), encoding="utf-8")

    with pytest.raises(UseCaseError) as caught:
        load_record(folder, TOOLS)

    assert str(caught.value) == f"{path}: http_tools.{error}"


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        *((raw, "httpTools") for raw in ("{", "[1]", '"x"', 3)),
        ({"A": 1}, "httpTools.A"),
        ({"A-B": {}}, "httpTools.A-B: is not a tool name"),
    ],
)
def test_attribute_that_is_no_table_of_tools_is_an_error(raw: object, field: str) -> None:
    """Not an empty list of tools; models accept no other names."""
    with pytest.raises(UseCaseError, match=f"^{field}"):
        read_http_tools(raw, "httpTools")
    assert read_http_tools("{}", "httpTools") == read_http_tools(None, "httpTools") == ()


TEXT = {"description": "A text."}
URL = "https://api.example.com/{a}?b={b}"
GOOD: dict[str, Any] = {"description": "Looks.", "url": URL}
PARAMETERS: dict[str, Any] = {"a": TEXT, "b": TEXT}
NO_SUCH = "there is no such parameter"
BAD_HEADER = "is not a header name, or is set twice"
NOT_A_NAME = "is not a name: letters, digits, underscores"
NEEDS_KEY = "can be repeated with idempotency_key = true only"


def with_parameter(name: str, /, **table: object) -> dict[str, object]:
    return {"parameters": {**PARAMETERS, name: table}}


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"description": ""}, "description: Expected `str` of length >= 1"),
        ({"parameters": {"a": TEXT}}, f"url: {{b}}: {NO_SUCH}"),
        (with_parameter("c", **TEXT), "parameters.c: is used nowhere"),
        ({"url": f"{URL}&{{b}}=1"}, "url: '{b}' cannot be a name of the query"),
        ({"url": f"{URL}&c={{call.token}}"}, f"url: {{call.token}}: {NO_SUCH}"),
        ({"url": URL.replace("?", "/é?")}, "url: 'é' must be percent-encoded"),
        ({"url": URL.replace("?", "/%2?")}, "url: '%2' must be percent-encoded"),
        ({"url": URL.replace("}?", "?")}, "url: a brace stands alone"),
        ({"url": f"{URL}#{{b}}"}, f"url: {NOT_A_URL}"),
        ({"url": f"{URL}&k=${{KEY}}"}, f"url: {{KEY}}: {NO_SUCH}"),
        ({"headers": {"X-A": "{a}\n"}}, "headers.X-A: holds characters no header may have"),
        ({"headers": {"X-A": "${A B}"}}, "headers.X-A: 'A B' is not the name of a variable"),
        ({"headers": {"X A": "1"}}, f"headers.X A: {BAD_HEADER}"),
        ({"headers": {"X-A": "1", "x-a": "2"}}, f"headers.X-A: {BAD_HEADER}"),
        ({"headers": {"Host": "evil.example"}}, "headers.Host: is set by the service"),
        ({"headers": {"te": "chunked"}}, "headers.te: is set by the service"),
        ({"body": {"x": 1}}, "body: a GET has none"),
        ({"body": "{a}"}, "body: Expected `object | array | null`, got `str`"),
        ({"method": "POST", "body": {"x": ["{c}"]}}, f"body: {{c}}: {NO_SUCH}"),
        ({"method": "POST", "body": {"x": "}"}}, "body: a brace stands alone"),
        (
            {"result": {"x": "status"}},
            "result[...]: Expected `str` matching regex '^(/([^~]|~[01])*)?$'",
        ),
        ({"timeout": 60}, "timeout: Expected `float` <= 15.0"),
        ({"method": "POST", "timeout": 8}, "timeout: 5 seconds at most with a side effect"),
        ({"read_back": ["c"]}, "read_back: 'c': there is no such parameter"),
        ({"idempotency_key": True}, "idempotency_key: is for a tool with a side effect"),
        ({"method": "POST", "side_effect": "idempotent"}, f"side_effect: a POST {NEEDS_KEY}"),
        ({"method": "PATCH", "side_effect": "idempotent"}, f"side_effect: a PATCH {NEEDS_KEY}"),
        (
            {"side_effect": "maybe"},
            "side_effect: Invalid enum value 'maybe', must be one of idempotent, none, once",
        ),
        (
            {"collects": {"min_digits": 5, "max_digits": 4}},
            "collects: min_digits is greater than max_digits",
        ),
        (
            {"collects": {"terminator": "*"}},
            "collects: terminator and clear_key are the same key",
        ),
        ({"collects": {}}, "collects: {call.digits} is used nowhere"),
        ({"url": f"{URL}&c={{call.digits}}"}, "url: {call.digits}: the tool has no collects"),
        (
            {"url": f"{URL}&c={{call.digits}}", "collects": {"sensitive": True}},
            "url: {call.digits}: sensitive digits go into the body",
        ),
        (with_parameter("a", **TEXT, required=False), "url: {a}: must be required in a path"),
        (with_parameter("b"), "parameters.b: Object missing required field `description`"),
        (with_parameter("b-c", **TEXT), f"parameters.b-c: {NOT_A_NAME}"),
        (with_parameter("call.id", **TEXT), f"parameters.call.id: {NOT_A_NAME}"),
        (
            with_parameter("b", **TEXT, minimum=1),
            "parameters.b.minimum: does not apply to this type",
        ),
        (
            with_parameter("b", **TEXT, type="number", enum=["1"]),
            "parameters.b.enum: does not apply to this type",
        ),
        (
            with_parameter("b", **TEXT, enum=["1", "1"]),
            "parameters.b.enum: names a value twice",
        ),
        (with_parameter("b", **TEXT, name="c"), "parameters.b.name: Expected `str` of length <= 0"),
    ],
)
def test_declaration_that_cannot_work_is_refused(changes: dict[str, object], error: str) -> None:
    """When it is read, and not during a call."""
    table = {**GOOD, "parameters": PARAMETERS, **changes}

    with pytest.raises(UseCaseError) as caught:
        read_http_tools({"T": table}, "http_tools")

    assert str(caught.value) == f"http_tools.T.{error}"


@pytest.mark.parametrize(
    ("method", "more", "effect"),
    [
        ("GET", {}, SideEffect.NONE),
        ("POST", {}, SideEffect.ONCE),
        ("DELETE", {}, SideEffect.ONCE),
        ("POST", {"side_effect": "none"}, SideEffect.NONE),
        ("PUT", {"side_effect": "idempotent"}, SideEffect.IDEMPOTENT),
        ("POST", {"side_effect": "idempotent", "idempotency_key": True}, SideEffect.IDEMPOTENT),
    ],
)
def test_a_method_other_than_get_is_done_once_by_default(
    method: str, more: dict[str, object], effect: SideEffect
) -> None:
    """It could have side effects."""
    table = {"description": "D.", "url": "https://a.example", "method": method, **more}
    (tool,) = read_http_tools({"T": table}, "")

    assert tool.spec.side_effect is effect


def test_schema_is_plain_json_schema() -> None:
    """All types of parameters, in the subset that every model family reads."""
    parameters = {
        "a": {**TEXT, "min_length": 1},
        "b": {**TEXT, "enum": ["y", "x"]},
        "c": {**TEXT, "type": "integer", "minimum": -1, "maximum": 5, "required": False},
        "d": {**TEXT, "type": "number", "maximum": 0.5},
        "e": {**TEXT, "type": "boolean"},
    }
    url = "https://a.example/?a={a}&b={b}&c={c}&d={d}&e={e}"
    (tool,) = read_http_tools(
        {"T": {"description": "D.", "url": url, "parameters": parameters}}, ""
    )

    schema = msgspec.json.decode(tool.spec.parameters)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema == {
        "type": "object",
        "properties": {
            "a": {"type": "string", "description": "A text.", "minLength": 1, "maxLength": 200},
            "b": {"type": "string", "description": "A text.", "enum": ["x", "y"]},
            "c": {"type": "integer", "description": "A text.", "minimum": -1, "maximum": 5},
            "d": {"type": "number", "description": "A text.", "maximum": 0.5},
            "e": {"type": "boolean", "description": "A text."},
        },
        "required": ["a", "b", "d", "e"],
        "additionalProperties": False,
    }
