"""The item with what a call has yielded: `outcome` of its CallSid, kept as long as the call.

    pk   CallSid         fields    JSON text: the known values by the names of the fields
    sk   outcome         unknown   the names of the others

It is written when a connection ends, and again when a model was asked; the latest one counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

import msgspec

from agent.ports import Item, Store
from agent.store.call_state.call_item import CALL_SECONDS
from agent.usecases.outcome_schema import Asked, CallOutcome, FieldValue, Success
from agent.usecases.validation import text_in

OUTCOME = "outcome"


def outcome_item(call_sid: str, outcome: CallOutcome, now: float, expire_at: int = 0) -> Item:
    """The item of a call, for `Store.put_newer`.

    Args:
        call_sid: Of the call.
        outcome: What it has yielded.
        now: Epoch seconds.
        expire_at: Epoch seconds; 0 = `CALL_SECONDS` from now.
    """
    return {
        "pk": call_sid,
        "sk": OUTCOME,
        "useCase": outcome.use_case,
        "reason": outcome.end_reason,
        "success": outcome.success.value,
        "contained": outcome.is_contained,
        "transfer": outcome.transfer,
        "fields": msgspec.json.encode(outcome.values).decode(),
        "unknown": list(outcome.unknown),
        "asked": outcome.asked.value,
        "sequence": int(now * 1000),
        "expireAt": expire_at or int(now) + CALL_SECONDS,
    }


async def read_outcome_of(store: Store, call_sid: str) -> CallOutcome | None:
    """What a call has yielded; None if that is not known, or the item cannot be read."""
    item = await store.get(call_sid, OUTCOME)
    if item is None:
        return None
    unknown = item.get("unknown")
    try:
        return CallOutcome(
            use_case=text_in(item, "useCase"),
            end_reason=text_in(item, "reason"),
            values=msgspec.json.decode(text_in(item, "fields"), type=dict[str, FieldValue]),
            unknown=tuple(map(str, unknown)) if isinstance(unknown, list) else (),
            success=Success(text_in(item, "success")),
            is_contained=item.get("contained") is True,
            transfer=text_in(item, "transfer"),
            asked=Asked(text_in(item, "asked")),
        )
    except (ValueError, msgspec.MsgspecError):
        return None


def outcome_texts(outcome: CallOutcome) -> list[str]:
    """An outcome in parts: success, how the call ended, each field."""
    ended = f"transfer {outcome.transfer}" if outcome.transfer else f"end {outcome.end_reason}"
    fields = [f"{name} {_shown(value)}" for name, value in outcome.values.items()]
    return [f"success {outcome.success}", ended, *fields, *(f"{it} ?" for it in outcome.unknown)]


def _shown(value: FieldValue) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:g}"
        case _:
            return value


def outcome_form(outcome: CallOutcome) -> Mapping[str, object]:
    """An outcome as JSON shows it."""
    form = asdict(outcome)
    return {"contained" if name == "is_contained" else name: form[name] for name in form}
