"""The facts of a call as items; `history_loader` reads them.

The sort key is `chat::`, the epoch milliseconds of the call's start, and the position of the fact:
writing a fact again replaces it. `chat` is the fact as a Bedrock Converse message, as in the
predecessor's items, with the result of a tool under `chatResult`. The fact is read from `fact`,
which has what Converse cannot express. `sequence` says which of two writes is the later one.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

import msgspec

from agent.call.history import (
    KEYS_PRESSED,
    SUMMARY,
    AgentSaid,
    CallerBegan,
    CallerSaid,
    InputMode,
    Note,
    Recorded,
    Summary,
    ToolUsed,
)
from agent.call.messages import ToolResult
from agent.call.text import json_object
from agent.errors import UseCaseError
from agent.ports import Item
from agent.usecases.validation import convert_stored

CHAT = "chat::"
_DEEPEST = 20
"""Levels inside a message; DynamoDB allows 32 in an item."""
_SMALLEST, _GREATEST = 1e-100, 1e37
"""Numbers that every table stores exactly: DynamoDB has 38 digits and 125 powers of ten."""
MOST_FACTS = 1_000_000
"""The sort key has six digits."""
_KINDS: dict[str, type[Recorded]] = {
    "callerBegan": CallerBegan,
    "callerSaid": CallerSaid,
    "agentSaid": AgentSaid,
    "toolUsed": ToolUsed,
    "note": Note,
    "summary": Summary,
}
_NAMES = {kind: name for name, kind in _KINDS.items()}


def fact_item(
    call_sid: str, started_ms: int, position: int, fact: Recorded, sequence: int, expire_at: int
) -> Item:
    """The item of a fact; `position` is below `MOST_FACTS`, `expire_at` in epoch seconds.

    `started_ms`, in epoch milliseconds, is the same for all of the call, also after a resume.
    """
    item: Item = {
        "pk": call_sid,
        "sk": f"{CHAT}{started_ms:013d}{position:06d}",
        "chat": _message(fact),
        "position": position,
        "sequence": sequence,
        "fact": {"kind": _NAMES[type(fact)], **msgspec.to_builtins(fact)},
        "expireAt": expire_at,
    }
    if isinstance(fact, ToolUsed) and fact.result is not None:
        item["chatResult"] = _result_message(fact.result)
    return item


def fact_from_item(item: Mapping[str, object]) -> Recorded | None:
    """The fact of one of our items; None if it is unreadable."""
    match item.get("fact"):
        case {"kind": str(name)} as raw if name in _KINDS:
            with suppress(UseCaseError, ArithmeticError, RecursionError):
                return convert_stored(raw, _KINDS[name])
    return None


def _message(fact: Recorded) -> dict[str, object]:
    match fact:
        case CallerBegan():
            return _said("user", "")
        case CallerSaid(text, means):
            return _said("user", KEYS_PRESSED.format(text) if means is InputMode.KEYPAD else text)
        case Note(text):
            return _said("user", f"[{text}]")
        case Summary(text):
            return _said("user", SUMMARY.format(text))
        case AgentSaid(text):
            return _said("assistant", text)
        case ToolUsed(_, call):
            arguments = _storable(call.arguments) or {}
            tool_use = {"toolUseId": call.id, "name": call.name, "input": arguments}
            return {"role": "assistant", "content": [{"toolUse": tool_use}]}


def _said(role: str, text: str) -> dict[str, object]:
    """A message of one text; without content if it is blank, which Converse refuses."""
    return {"role": role, "content": [{"text": text}] if text.strip() else []}


def _result_message(result: ToolResult) -> dict[str, object]:
    value = _storable(result.content)
    content = {"text": result.content} if value is None else {"json": value}
    status = {"status": "error"} if result.is_error else {}
    tool_result = {"toolUseId": result.call_id, "content": [content], **status}
    return {"role": "user", "content": [{"toolResult": tool_result}]}


def _storable(text: str) -> dict[str, object] | None:
    """JSON text as an object that a table can store; otherwise None."""
    value = json_object(text)
    return value if value is not None and _fits(value, _DEEPEST) else None


def _fits(value: object, depth: int) -> bool:
    """Whether DynamoDB can store a value: its depth, names and numbers."""
    match value:
        case dict():
            return depth > 0 and all(name and _fits(v, depth - 1) for name, v in value.items())
        case list():
            return depth > 0 and all(_fits(inner, depth - 1) for inner in value)
        case int() | float():
            return value == 0 or _SMALLEST <= abs(value) <= _GREATEST
        case _:
            return True
