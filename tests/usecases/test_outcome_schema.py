"""The declaration of what a call is to yield: fields, condition, and a model's answer."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.call.messages import ToolSpec
from agent.errors import UseCaseError
from agent.usecases.outcome_schema import (
    FieldValue,
    OutcomeSchema,
    Success,
    path_faults,
    read_outcome,
)

TOOLS = {"PlaceOrder"}
FIELDS: dict[str, Any] = {
    "placed": {"type": "yes/no", "description": "Placed.", "from": {"tool": "PlaceOrder"}},
    "total": {
        "type": "number",
        "description": "Dollars.",
        "from": {"tool": "PlaceOrder", "result": "/total"},
    },
    "wish": {"type": "enum", "choices": ["order", "question"], "description": "Wish."},
    "note": {"description": "A remark."},
    "glad": {"type": "yes/no", "description": "Glad."},
}


def schema(success: str = "", **fields: Any) -> OutcomeSchema:
    found = read_outcome({"fields": fields or FIELDS, "success": success}, "outcome", TOOLS)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("condition", "values", "wanted"),
    [
        ("", {}, Success.UNDECLARED),
        ("placed", {"placed": True}, Success.YES),
        ("placed", {"placed": False}, Success.NO),
        ("placed", {}, Success.UNKNOWN),
        ("not placed", {"placed": False}, Success.YES),
        ("placed and total >= 10", {"placed": True, "total": 10.0}, Success.YES),
        ("placed and total > 10", {"placed": True, "total": 10.0}, Success.NO),
        ("placed and total > 10", {"placed": False}, Success.NO),
        ("placed and total > 10", {"placed": True}, Success.UNKNOWN),
        ("placed or glad", {"glad": True}, Success.YES),
        ("placed or glad", {"placed": False}, Success.UNKNOWN),
        ("not (placed or glad)", {"placed": False, "glad": False}, Success.YES),
        ("wish == 'order' or total < -1.5", {"wish": "question", "total": -2.0}, Success.YES),
        ("wish != 'order'", {"wish": "order"}, Success.NO),
        ("glad == no and note == 'well'", {"glad": False, "note": "well"}, Success.YES),
    ],
)
def test_success_is_a_condition_over_known_values(
    condition: str, values: dict[str, FieldValue], wanted: Success
) -> None:
    assert schema(condition).judge(values) is wanted


def test_a_call_without_a_required_field_is_no_success() -> None:
    required = {**FIELDS, "note": {"description": "A remark.", "required": True}}

    judged = schema("placed", **required)

    assert judged.judge({"placed": True}) is Success.UNKNOWN
    assert judged.judge({"placed": True, "note": "well"}) is Success.YES
    assert judged.judge({"placed": False}) is Success.NO


@pytest.mark.parametrize(
    ("condition", "fault"),
    [
        ("placed and", "cannot be read: 'placed and'"),
        ("((((" * 200, "Expected `str` of length <= 500"),
        ("__import__('os')", "cannot be used: __import__('os')"),
        ("placed.real", "cannot be used: placed.real"),
        ("total", "total is no yes/no field; compare it with a value"),
        ("gone", "there is no field 'gone'"),
        ("gone > 1", "there is no field 'gone'"),
        ("wish == 'other'", "wish cannot be compared so: wish == 'other'"),
        ("wish < 'order'", "wish cannot be compared so: wish < 'order'"),
        ("total == '10'", "total cannot be compared so: total == '10'"),
        ("total == True", "total cannot be compared so: total == True"),
        ("total in (1, 2)", "total cannot be compared so: total in (1, 2)"),
        ("1 < total < 3", "cannot be used: 1 < total < 3"),
        ("total > total", "total cannot be compared so: total > total"),
        ("10", "cannot be used: 10"),
    ],
)
def test_a_condition_can_do_nothing_but_compare_fields(condition: str, fault: str) -> None:
    with pytest.raises(UseCaseError) as error:
        schema(condition)

    assert str(error.value).startswith("outcome.success: ")
    assert str(error.value).removeprefix("outcome.success: ") == fault


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"Placed": {"description": "x"}}, "outcome.fields.Placed: is not a name"),
        ({"and": {"description": "x"}}, "outcome.fields.and: is not a name"),
        ({"yes": {"description": "x"}}, "outcome.fields.yes: is not a name"),
        ({"a": {}}, "outcome.fields[...]: Object missing required field `description`"),
        ({"a": {"description": "x", "type": "enum"}}, "outcome.fields.a.choices: an enum has"),
        ({"a": {"description": "x", "choices": ["y"]}}, "outcome.fields.a.choices: an enum has"),
        (
            {"a": {"description": "x", "type": "enum", "choices": ["y", "y"]}},
            "outcome.fields.a.choices: one is listed twice",
        ),
        (
            {"a": {"description": "x", "from": {"tool": "Gone", "result": "/y"}}},
            "outcome.fields.a.from.tool: 'Gone' is not a tool of the use case",
        ),
        (
            {"a": {"description": "x", "from": {"tool": "PlaceOrder"}}},
            "outcome.fields.a.from: needs result or argument for this type",
        ),
        (
            {"a": {"description": "x", "from": {"tool": "PlaceOrder", "result": "total"}}},
            "outcome.fields[...].from.result: Expected `str` matching regex",
        ),
        (
            {"a": {"description": "x", "from": {"tool": "PlaceOrder", "result": "/a",
                                                 "argument": "/b"}}},
            "outcome.fields.a.from: has result and argument, one is enough",
        ),
        ({f"f{n}": {"description": "x"} for n in range(31)}, "outcome.fields: are more than 30"),
    ],
)  # fmt: skip
def test_a_wrong_declaration_is_named(fields: dict[str, Any], fault: str) -> None:
    with pytest.raises(UseCaseError) as error:
        schema(**fields)

    assert str(error.value).startswith(fault)


def test_a_model_is_asked_for_what_no_tool_knows() -> None:
    tool = schema().answer_tool()

    assert json.loads(tool.parameters) == {
        "type": "object",
        "properties": {
            "wish": {"type": "string", "description": "Wish.", "enum": ["order", "question"]},
            "note": {"type": "string", "description": "A remark.", "maxLength": 300},
            "glad": {"type": "boolean", "description": "Glad."},
        },
        "additionalProperties": False,
    }


def test_an_answer_may_leave_out_what_the_call_does_not_say() -> None:
    answer = schema().read_answer('{"wish": "order", "note": null, "glad": false}')

    assert answer == {"wish": "order", "glad": False}


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        ("{", "The arguments are not valid JSON."),
        ("[]", "The arguments must be a JSON object."),
        ('{"total": 5}', "There is no field 'total'."),
        ('{"wish": "beer"}', "wish must be one of order, question, or be left out."),
        ('{"glad": "yes"}', "glad must be true or false, or be left out."),
        ('{"glad": 1}', "glad must be true or false, or be left out."),
        ('{"note": ""}', "note must be a text of 1 to 300 characters, or be left out."),
        (f'{{"note": "{"x" * 301}"}}', "note must be a text of 1 to 300 characters, or be"),
    ],
)
def test_an_answer_that_does_not_fit_is_refused(answer: str, fault: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(fault)}"):
        schema().read_answer(answer)


@given(st.text(max_size=80))
def test_a_condition_is_read_or_refused_with_one_line(condition: str) -> None:
    try:
        told: str = schema(condition).judge({"placed": True, "total": 3.0})
    except UseCaseError as error:
        told = str(error)

    assert told in set(Success) or told.startswith("outcome")


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists, max_leaves=5))
def test_a_value_of_the_wrong_type_is_never_taken(value: object) -> None:
    """What a tool returned may be anything."""
    kinds = {"wish": str, "note": str, "glad": bool}

    for name, kind in kinds.items():
        taken = schema().fields[name].read(value)
        assert taken is None or type(taken) is kind
    number = schema().fields["total"].read(value)
    assert number is None or (type(number) is float and abs(number) <= 1e15)


def test_a_path_into_arguments_that_the_tool_has_not_is_named() -> None:
    parameters = '{"type": "object", "properties": {"size": {"type": "string"}}}'
    specs = {"PlaceOrder": ToolSpec("PlaceOrder", "x", parameters)}

    def field(path: str) -> dict[str, Any]:
        return {"description": "x", "from": {"tool": "PlaceOrder", "argument": path}}

    declared = schema(good=field("/size"), bad=field("/sise/0"), glad=FIELDS["glad"])

    assert list(path_faults(declared, specs)) == [
        "bad.from.argument: there is no argument 'sise'; there are: size"
    ]
    assert list(path_faults(declared, {})) == []
