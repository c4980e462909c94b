"""Variables of a call, and the request before it: `[variables]` and `[before_call]`.

A variable is a named value that differs from call to call and fills `<<NAME>>` of prompt and
greeting. Values come, the later ones first: from the response to `[before_call]`, from who has
asked for the call (`POST /dial`, `dial --var`, `talk --var`), from the default in `[variables]`.
All are data: `agent.usecases.prompt` puts them in as short quoted lines, in one pass.

`[before_call]` is declared like an HTTP tool without parameters and side effect, whose `result`
names variables. Twilio waits 15 s for the answer to its webhook
(https://www.twilio.com/docs/api/errors/11200), so `timeout` is 5 s at most.

Rejected: parameters of an app (`agent.twilio.twiml.app_parameters`), which the holder of a token
chooses freely and which never reach a model.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from agent.call.messages import SideEffect
from agent.errors import UseCaseError
from agent.usecases.http_tool import HttpTool, read_http_tools
from agent.usecases.prompt import GREETING_PLACEHOLDERS, PROMPT_PLACEHOLDERS
from agent.usecases.validation import convert, decoded

BEFORE_CALL = "before_call"
LONGEST_VALUE = 200
"""Characters; the rest is cut off."""
_MOST_VARIABLES = 30
_SECONDS, _MOST_SECONDS = 1.5, 5.0
_NAME = re.compile(r"[A-Z][A-Z_]{0,39}")


def read_variables(raw: object, field: str) -> dict[str, str]:
    """The declared variables with their defaults; raises `UseCaseError`."""
    given = convert(decoded(raw, field) or {}, dict[str, str], field)
    if len(given) > _MOST_VARIABLES:
        raise UseCaseError(f"{field}: are more than {_MOST_VARIABLES}")
    for name in given:
        if not _NAME.fullmatch(name):
            raise UseCaseError(f"{field}.{name}: is not a name: capital letters, underscores")
        if name in {*PROMPT_PLACEHOLDERS, *GREETING_PLACEHOLDERS}:
            raise UseCaseError(f"{field}.{name}: is filled by the service")
    return given


def read_before_call(raw: object, field: str, variables: Mapping[str, str]) -> HttpTool | None:
    """The request before a call; None if there is none. Raises `UseCaseError`."""
    if not (given := decoded(raw, field)):
        return None
    table = {
        "description": "Asked before the call.",
        "timeout": _SECONDS,
        **convert(given, dict[str, Any], field),
    }
    try:
        [tool] = read_http_tools({BEFORE_CALL: table}, "")
    except UseCaseError as error:
        raise UseCaseError(str(error).replace(f".{BEFORE_CALL}", field, 1)) from error
    if tool.parameters:
        raise UseCaseError(f"{field}.parameters: no model is there to fill them")
    if tool.spec.side_effect is not SideEffect.NONE:
        raise UseCaseError(f'{field}.side_effect: must be "none"')
    if tool.spec.collects is not None:
        raise UseCaseError(f"{field}.collects: no caller is there yet")
    if tool.timeout > _MOST_SECONDS:
        raise UseCaseError(f"{field}.timeout: {_MOST_SECONDS:g} seconds at most")
    if not tool.result:
        raise UseCaseError(f"{field}.result: is missing: the variables and where their values are")
    for name, _ in tool.result:
        if name not in variables:
            raise UseCaseError(f"{field}.result.{name}: is not in variables")
    return tool


def filled_variables(declared: Mapping[str, str], *given: Mapping[str, object]) -> dict[str, str]:
    """The value of each declared variable; of several that are given, the last one.

    A number counts as its text. Anything else that is no text is left out, and so is an empty text.
    """
    values = dict(declared)
    for each in given:
        for name in declared.keys() & each.keys():
            if text := _text(each[name]):
                values[name] = text
    return values


def _text(value: object) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case int() | float():
            return f"{value:.15g}"
        case str():
            return value.strip()[:LONGEST_VALUE]
        case _:
            return ""
