"""What a call is to yield: `outcome` of a record, `[outcome]` of a file; and its values.

Each field has a type. A field with `from` is known from the runs of a tool and is never asked of a
model; the others are asked of one after the call (`agent.session.outcome_queue`). A field whose
value is not known has no value: nothing is guessed, and no default takes its place.

`success` is a condition over the fields: names of yes/no fields, comparisons, `and`, `or`, `not`
and brackets. It is read by Python's own parser and evaluated here, node by node, so it can do
nothing else. A condition that depends on an unknown field is unknown.

Rejected: a library of expressions such as CEL, a dependency for one line of text; a table of nested
conditions, which is harder to read.
"""

from __future__ import annotations

import ast
import json
import math
import operator
import re
from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from keyword import iskeyword
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from agent.call.messages import ToolSpec
from agent.errors import UseCaseError
from agent.usecases.validation import convert, decoded

FieldKind = Literal["text", "number", "yes/no", "enum"]
FieldValue = str | float | bool

LONGEST_TEXT = 300
"""Characters of a text."""
_LARGEST_NUMBER = 1e15
_MOST_FIELDS = 30
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_YES_OR_NO = {"yes": True, "no": False}
_COMPARISONS: Mapping[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_OF_ANY_KIND = (ast.Eq, ast.NotEq)
_JSON_TYPES = {"text": "string", "enum": "string", "number": "number", "yes/no": "boolean"}
RECORD_TOOL = "record_outcome"

_Pointer = Annotated[str, Meta(pattern=r"^(/([^/~]|~[01])*)+$|^$")]
_Words = Annotated[str, Meta(min_length=1, max_length=300)]
_Choice = Annotated[str, Meta(min_length=1, max_length=60)]


class FieldSource(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The runs of a tool that a field is known from; `from` of a field.

    The last run counts that ended without an error. Without `result` and `argument` a yes/no field
    says whether there is one.
    """

    tool: str
    result: _Pointer = ""
    """JSON pointer into the result."""
    argument: _Pointer = ""
    """JSON pointer into the arguments."""
    where: _Pointer = ""
    """JSON pointer into the result: only runs count whose result has `true` there."""


class OutcomeField(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    rename={"kind": "type", "is_required": "required", "source": "from"},
):
    """One field, as a file declares it."""

    description: _Words
    kind: FieldKind = "text"
    choices: tuple[_Choice, ...] = ()
    """Of an enum."""
    is_required: bool = False
    """A call without this field is no success."""
    source: FieldSource | None = None
    """None = a model is asked after the call."""

    def read(self, value: object) -> FieldValue | None:
        """A value of JSON as one of this field; None if it is not of its type, or too long."""
        match value:
            case bool():
                return value if self.kind == "yes/no" else None
            case int() | float() if self.kind == "number":
                is_usable = math.isfinite(value) and abs(value) <= _LARGEST_NUMBER
                return float(value) if is_usable else None
            case str() if self.kind == "enum":
                return value if value in self.choices else None
            case str() if self.kind == "text":
                line = " ".join("".join(c if c.isprintable() else " " for c in value).split())
                return line if 0 < len(line) <= LONGEST_TEXT else None
            case _:
                return None


class OutcomeTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The table `[outcome]`."""

    fields: dict[str, OutcomeField] = {}
    success: Annotated[str, Meta(max_length=500)] = ""


class Success(StrEnum):
    """Whether a call has reached what its use case is for."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"
    UNDECLARED = "undeclared"
    """The use case has no condition."""


class Asked(StrEnum):
    """What came of asking a model for the fields that no tool knows."""

    NOT_NEEDED = "not_needed"
    OFFLINE = "offline"
    """There is no model to be asked."""
    PENDING = "pending"
    ANSWERED = "answered"
    REFUSED = "refused"
    """Its answer did not fit, also the second time."""
    FAILED = "failed"
    LIMITED = "limited"
    """A limit of the process is reached."""


@dataclass(frozen=True, slots=True)
class OutcomeSchema:
    """`[outcome]` of a use case, validated."""

    fields: Mapping[str, OutcomeField] = field(default_factory=dict)
    success: str = ""
    """Empty = success is not declared."""

    @property
    def asked_fields(self) -> dict[str, OutcomeField]:
        """Those that only a model can tell."""
        return {name: one for name, one in self.fields.items() if one.source is None}

    def judge(self, values: Mapping[str, FieldValue]) -> Success:
        """Whether a call with these known values is a success."""
        if not self.success:
            return Success.UNDECLARED
        holds = _holds(_parsed(self.success), values)
        if holds is False:
            return Success.NO
        lacks = any(one.is_required and name not in values for name, one in self.fields.items())
        return Success.UNKNOWN if holds is None or lacks else Success.YES

    def answer_tool(self) -> ToolSpec:
        """The tool that a model answers with."""
        asked = self.asked_fields
        schema = {
            "type": "object",
            "properties": {
                name: {
                    "type": _JSON_TYPES[one.kind],
                    "description": one.description,
                    **({"enum": list(one.choices)} if one.choices else {}),
                    **({"maxLength": LONGEST_TEXT} if one.kind == "text" else {}),
                }
                for name, one in asked.items()
            },
            "additionalProperties": False,
        }
        description = "Record what the call has yielded. Leave out what the call does not say."
        return ToolSpec(RECORD_TOOL, description, json.dumps(schema, ensure_ascii=False))

    def read_answer(self, arguments: str) -> dict[str, FieldValue]:
        """The values in the arguments of `answer_tool`; a null counts as left out.

        Raises `ValueError` with a sentence for the model if they do not fit.
        """
        asked = self.asked_fields
        try:
            given = msgspec.json.decode(arguments)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise ValueError("The arguments are not valid JSON.") from error
        if not isinstance(given, dict):
            raise ValueError("The arguments must be a JSON object.")  # noqa: TRY004 (of a model)
        if unknown := sorted(given.keys() - asked.keys()):
            raise ValueError(f"There is no field {unknown[0][:64]!r}.")
        answer = dict[str, FieldValue]()
        for name, value in given.items():
            if value is None:
                continue
            if (read := asked[name].read(value)) is None:
                raise ValueError(f"{name} must be {_wanted(asked[name])}, or be left out.")
            answer[name] = read
        return answer


@dataclass(frozen=True, slots=True)
class CallOutcome:
    """What a call has yielded, as far as it is known."""

    use_case: str
    end_reason: str
    values: Mapping[str, FieldValue] = field(default_factory=dict)
    unknown: tuple[str, ...] = ()
    """The fields without a value."""
    success: Success = Success.UNDECLARED
    is_contained: bool = True
    """The agent has led the call to its end: no person took over, and no fault ended it."""
    transfer: str = ""
    """Why a person took over, one of a closed list; empty = none did."""
    asked: Asked = Asked.NOT_NEEDED


def read_outcome(raw: object, place: str, tools: Container[str]) -> OutcomeSchema | None:
    """The schema of a record or of a file; None if there is none.

    Args:
        raw: The table, or JSON text of it.
        place: What the message of an error begins with.
        tools: The names that a field may be known from.

    Raises:
        UseCaseError: The first fault, `place.field: fault`.
    """
    if not (given := decoded(raw, place)):
        return None
    table = convert(given, OutcomeTable, place)
    if len(table.fields) > _MOST_FIELDS:
        raise UseCaseError(f"{place}.fields: are more than {_MOST_FIELDS}")
    for name, one in table.fields.items():
        _check_field(name, one, f"{place}.fields.{name}", tools)
    if table.success:
        try:
            _check_condition(_parsed(table.success), table.fields)
        except ValueError as error:
            raise UseCaseError(f"{place}.success: {error}") from error
    return OutcomeSchema(table.fields, table.success)


def path_faults(schema: OutcomeSchema, specs: Mapping[str, ToolSpec]) -> Iterator[str]:
    """The fields whose path begins with an argument that the tool has not, `name: fault`.

    Results have no schema, so a wrong path into one is not known before the first run.
    """
    for name, one in schema.fields.items():
        argument = one.source.argument if one.source else ""
        spec = specs.get(one.source.tool) if one.source else None
        properties = json.loads(spec.parameters or "{}").get("properties") if spec else None
        if argument and properties and (first := argument.split("/")[1]) not in properties:
            there = ", ".join(sorted(properties))
            yield f"{name}.from.argument: there is no argument {first!r}; there are: {there}"


def _check_field(name: str, one: OutcomeField, place: str, tools: Container[str]) -> None:
    if not _NAME.fullmatch(name) or iskeyword(name) or name in _YES_OR_NO:
        raise UseCaseError(f"{place}: is not a name: small letters, digits, underscores")
    if (one.kind == "enum") != bool(one.choices):
        raise UseCaseError(f"{place}.choices: an enum has choices, no other type has")
    if len(set(one.choices)) < len(one.choices):
        raise UseCaseError(f"{place}.choices: one is listed twice")
    if (source := one.source) is None:
        return
    if source.tool not in tools:
        raise UseCaseError(f"{place}.from.tool: {source.tool!r} is not a tool of the use case")
    if source.result and source.argument:
        raise UseCaseError(f"{place}.from: has result and argument, one is enough")
    if not (source.result or source.argument or one.kind == "yes/no"):
        raise UseCaseError(f"{place}.from: needs result or argument for this type")


def _wanted(one: OutcomeField) -> str:
    match one.kind:
        case "enum":
            return f"one of {', '.join(one.choices)}"
        case "number":
            return "a number"
        case "yes/no":
            return "true or false"
        case "text":
            return f"a text of 1 to {LONGEST_TEXT} characters"


def _parsed(condition: str) -> ast.expr:
    """The tree of a condition; `ValueError` if it is none."""
    try:
        return ast.parse(condition.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ValueError(f"cannot be read: {condition.strip()!r}") from error


def _check_condition(node: ast.expr, fields: Mapping[str, OutcomeField]) -> None:
    """Raise `ValueError` unless every part is one that `_holds` knows, over these fields."""
    match node:
        case ast.BoolOp(_, parts):
            for part in parts:
                _check_condition(part, fields)
        case ast.UnaryOp(ast.Not(), part):
            _check_condition(part, fields)
        case ast.Name(name):
            if _declared(name, fields).kind != "yes/no":
                raise ValueError(f"{name} is no yes/no field; compare it with a value")
        case ast.Compare(ast.Name(name), [operation], [right]):
            one, value = _declared(name, fields), _constant(right)
            is_known = type(operation) in _COMPARISONS
            is_fitting = isinstance(operation, _OF_ANY_KIND) or one.kind == "number"
            if not is_known or not is_fitting or one.read(value) is None:
                raise ValueError(f"{name} cannot be compared so: {ast.unparse(node)}")
        case _:
            raise ValueError(f"cannot be used: {ast.unparse(node)}")


def _holds(node: ast.expr, values: Mapping[str, FieldValue]) -> bool | None:
    """Kleene's logic of three values; None = it depends on a field that is not known."""
    match node:
        case ast.BoolOp(operation, parts):
            decides = isinstance(operation, ast.Or)
            found = [_holds(part, values) for part in parts]
            return decides if decides in found else None if None in found else not decides
        case ast.UnaryOp(ast.Not(), part):
            inner = _holds(part, values)
            return None if inner is None else not inner
        case ast.Compare(ast.Name(name), [operation], [right]) if name in values:
            return _COMPARISONS[type(operation)](values[name], _constant(right))
        case ast.Name(name) if name in values:
            return bool(values[name])
        case _:
            return None


def _declared(name: str, fields: Mapping[str, OutcomeField]) -> OutcomeField:
    if name not in fields:
        raise ValueError(f"there is no field {name!r}")
    return fields[name]


def _constant(node: ast.expr) -> object:
    match node:
        case ast.Constant(value):
            return value
        case ast.UnaryOp(ast.USub(), ast.Constant(int() | float() as value)):
            return -value
        case ast.Name(name):
            return _YES_OR_NO.get(name)
        case _:
            return None
