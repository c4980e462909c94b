"""What a call has yielded, from its facts: what the runs of tools say, and why a person took over.

It is computed when a connection ends, from what its observer has seen, and again from the table
after the call or much later. Both give the same. Nothing is guessed:

- A yes/no field that says whether a tool has run is no only if no run is without a result or in
  doubt, such as one that was stopped.
- Any other field has a value only if a run counts whose result or arguments hold one of its type.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import msgspec

from agent.call.actions import Handoff
from agent.call.events import EndReason
from agent.call.history import Fact, ToolUsed
from agent.tools import planned_end
from agent.tools.idempotency import DOUBT
from agent.tools.json_schema import resolve_pointer
from agent.usecases import UseCase
from agent.usecases.outcome_schema import (
    LONGEST_TEXT,
    Asked,
    CallOutcome,
    FieldSource,
    FieldValue,
    OutcomeField,
    OutcomeSchema,
)

TRANSFER_REASONS = ("user-requested", "legal", "liability", "financial", "sensitive")
OTHER_REASON = "other"
_NUMBER = re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,15})?")
_FAULTS = {EndReason.ERROR_MODEL, EndReason.ERROR_RELAY, EndReason.DRAIN}


def known_outcome(use_case: UseCase, facts: Sequence[Fact], reason: EndReason) -> CallOutcome:
    """What is known without a model.

    Args:
        use_case: Of the call.
        facts: In order; only runs of tools, notes and the caller's words are looked at.
        reason: Why the connection has ended.
    """
    schema, transfer = use_case.outcome or OutcomeSchema(), ""
    if reason is EndReason.TRANSFER:
        transfer = _bounded_reason(planned_end(facts))
    runs = [fact for fact in facts if isinstance(fact, ToolUsed)]
    values = dict[str, FieldValue]()
    for name, one in schema.fields.items():
        if one.source and (value := _value(one, one.source, runs)) is not None:
            values[name] = value
    outcome = CallOutcome(
        use_case=use_case.name,
        end_reason=reason.value,
        is_contained=reason not in {EndReason.TRANSFER, *_FAULTS},
        transfer=transfer,
        asked=Asked.PENDING if schema.asked_fields else Asked.NOT_NEEDED,
    )
    return with_values(outcome, schema, values)


def with_values(
    outcome: CallOutcome, schema: OutcomeSchema, values: Mapping[str, FieldValue]
) -> CallOutcome:
    """The outcome with these values added, judged again."""
    known = {**outcome.values, **values}
    unknown = tuple(name for name in schema.fields if name not in known)
    return replace(outcome, values=known, unknown=unknown, success=schema.judge(known))


def _bounded_reason(end: object) -> str:
    """The model gives a reason in its own words: the first of the list that these hold."""
    words = end.reason.lower() if isinstance(end, Handoff) else ""
    return next((reason for reason in TRANSFER_REASONS if reason in words), OTHER_REASON)


def _value(one: OutcomeField, source: FieldSource, runs: Iterable[ToolUsed]) -> FieldValue | None:
    own = [run for run in runs if run.call.name == source.tool]
    counted = [run for run in own if _counts(run, source.where)]
    if not (source.result or source.argument):
        return True if counted else None if any(map(_is_in_doubt, own)) else False
    for run in reversed(counted):
        text = run.call.arguments if source.argument else run.result.content if run.result else ""
        found = resolve_pointer(_json(text), source.argument or source.result)
        if (value := one.read(_typed(one, found))) is not None:
            return value
    return None


def _typed(one: OutcomeField, found: object) -> object:
    """A text of a tool is cut, and a number may be one: a decimal fraction of JSON often is."""
    if isinstance(found, str) and one.kind == "number":
        return float(found) if _NUMBER.fullmatch(found.strip()) else None
    return found[:LONGEST_TEXT] if isinstance(found, str) else found


def _counts(run: ToolUsed, where: str) -> bool:
    if run.result is None or run.result.is_error:
        return False
    return not where or resolve_pointer(_json(run.result.content), where) is True


def _is_in_doubt(run: ToolUsed) -> bool:
    return run.result is None or (run.result.is_error and DOUBT in run.result.content)


def _json(text: str) -> object:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
