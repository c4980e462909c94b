"""Calls of the AWS CLI, compared with botocore's data, from which the CLI is made."""

from __future__ import annotations

import re
from functools import cache
from itertools import pairwise
from typing import Any

import jmespath  # type: ignore[import-untyped] # ships no types
from botocore import xform_name  # type: ignore[import-untyped] # likewise
from botocore.session import get_session  # type: ignore[import-untyped] # likewise

_GLOBAL = {"--output", "--query", "--region"}


@cache
def _operations(service: str) -> dict[str, Any]:
    """By the names they have in the CLI."""
    model = get_session().get_service_model(service)
    return {xform_name(name, "-"): model.operation_model(name) for name in model.operation_names}


def faults_of(service: str, name: str, words: list[str], *, has_values: bool = True) -> list[str]:
    """What is wrong with a call: unknown names, required options and values of an enumeration.

    Raises `jmespath.exceptions.JMESPathError` for a query that cannot be read. Without values,
    `words` are options alone, of which some may lack.
    """
    operation = _operations(service).get(name)
    if operation is None:
        return [f"{service} has no {name}"]
    shape = operation.input_shape
    members = {f"--{xform_name(each, '-')}": each for each in shape.members}
    members |= {f"--no-{option[2:]}": each for option, each in members.items()}
    given = [word for word in words if re.match(r"--[a-z]", word)]
    faults = [f"{service} {name} has no {each}" for each in {*given} - members.keys() - _GLOBAL]
    if not has_values:
        return faults
    lacks = {*shape.required_members} - {members.get(each) for each in given}
    faults += [f"{service} {name} needs {each}" for each in lacks]
    for option, value in pairwise(words):
        if option == "--query":
            jmespath.compile(value)
        elif option in members:
            one_of = getattr(shape.members[members[option]], "enum", ())
            if one_of and value not in one_of:
                faults.append(f"{service} {name} {option} is none of {one_of}: {value}")
    return faults
