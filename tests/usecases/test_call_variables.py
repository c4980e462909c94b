"""The declaration of variables and of the request before a call."""

from __future__ import annotations

from typing import Any

import pytest

from agent.errors import UseCaseError
from agent.usecases.call_variables import filled_variables, read_before_call, read_variables

REQUEST: dict[str, Any] = {
    "url": "https://crm.example.com/{call.caller}",
    "result": {"STATE": "/state"},
}
DECLARED = {"STATE": "new", "PLAN": ""}


def test_a_request_has_no_effect_and_a_short_time() -> None:
    tool = read_before_call(REQUEST, "before_call", DECLARED)

    assert tool is not None
    assert (tool.method, tool.timeout, tool.result) == ("GET", 1.5, (("STATE", "/state"),))
    assert read_before_call({}, "before_call", DECLARED) is None


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"url": "ftp://x"}, "before_call.url: "),
        ({"url": "https://crm.example.com/{name}"}, "before_call.url: {name}: there is no such"),
        ({"parameters": {"a": {"description": "x"}}}, "before_call.parameters.a: is used nowhere"),
        ({"method": "POST"}, 'before_call.side_effect: must be "none"'),
        ({"timeout": 6}, "before_call.timeout: 5 seconds at most"),
        ({"result": {}}, "before_call.result: is missing"),
        ({"result": {"OTHER": "/x"}}, "before_call.result.OTHER: is not in variables"),
        ({"nonsense": 1}, "before_call: Object contains unknown field `nonsense`"),
        ({"collects": {}}, "before_call.collects: "),
    ],
)
def test_a_wrong_request_is_named(change: dict[str, Any], fault: str) -> None:
    with pytest.raises(UseCaseError) as error:
        read_before_call({**REQUEST, **change}, "before_call", DECLARED)

    assert str(error.value).startswith(fault)


def test_a_post_that_only_looks_something_up_may_be_asked() -> None:
    post = {**REQUEST, "method": "POST", "side_effect": "none", "body": {"id": "{call.id}"}}

    tool = read_before_call(post, "before_call", DECLARED)

    assert tool is not None
    assert tool.method == "POST"


@pytest.mark.parametrize(
    ("variables", "fault"),
    [
        ({"state": ""}, "variables.state: is not a name: capital letters, underscores"),
        ({"USER_CONTEXT": ""}, "variables.USER_CONTEXT: is filled by the service"),
        ({"FIRST_NAME": ""}, "variables.FIRST_NAME: is filled by the service"),
        ({"A": 1}, "variables[...]: Expected `str`, got `int`"),
        ({"A" * 41: ""}, f"variables.{'A' * 41}: is not a name"),
        ({f"A{'B' * n}": "" for n in range(31)}, "variables: are more than 30"),
    ],
)
def test_a_wrong_variable_is_named(variables: dict[str, Any], fault: str) -> None:
    with pytest.raises(UseCaseError) as error:
        read_variables(variables, "variables")

    assert str(error.value).startswith(fault)


def test_of_several_values_the_last_one_counts_and_others_are_left_out() -> None:
    dialled = {"STATE": "gold", "PLAN": "basic", "UNDECLARED": "x"}
    answered = {"PLAN": 7, "STATE": ["deep"]}

    assert filled_variables(DECLARED) == {"STATE": "new", "PLAN": ""}
    assert filled_variables(DECLARED, dialled, answered) == {"STATE": "gold", "PLAN": "7"}
    assert filled_variables(DECLARED, {"STATE": True, "PLAN": "  "}) == {"STATE": "yes", "PLAN": ""}
    assert filled_variables(DECLARED, {"STATE": "x" * 900})["STATE"] == "x" * 200
