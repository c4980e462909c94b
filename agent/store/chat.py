"""The facts of a call as items, and back (seed section A7.4).

The sort key is `chat::`, the epoch milliseconds of the call's start and the position of the fact,
so that order and identity depend on the position alone: two facts of one millisecond are two
items, and writing a fact again replaces it (D12).

`chat` is the fact as a Bedrock Converse message, as in the predecessor's items; the result of a
tool is in the same item as the call, under `chatResult`. What Converse cannot say (a note, who
spoke, that speech was cut) is in `fact`, from which the fact is read back exactly. Items of the
predecessor have only `chat`; what can be read of them is.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping

import msgspec

from agent.conversation.history import (
    KEYS_PRESSED,
    AgentSaid,
    CallerSaid,
    Fact,
    Means,
    Note,
    ToolUsed,
    Voice,
)
from agent.conversation.messages import ToolCall, ToolResult
from agent.ports import Item, Store, UseCaseError
from agent.store.session import CALL_SECONDS
from agent.store.validation import convert, plain

CHAT = "chat::"
_MOST_FACTS = 1_000_000
"""As many as six digits of the sort key can tell apart."""
_KINDS: dict[str, type[Fact]] = {
    "callerSaid": CallerSaid,
    "agentSaid": AgentSaid,
    "toolUsed": ToolUsed,
    "note": Note,
}
_NAMES = {kind: name for name, kind in _KINDS.items()}
_LOST = AgentSaid("", Voice.SERVICE)
"""Stands where a fact could not be written or read: nobody said anything."""


class StoreJournal:
    """`ports.Journal` of one call.

    Args:
        store: The table.
        call_sid: The partition.
        started_ms: Epoch milliseconds, the same for all of the call, also after a resume.
        now: Epoch seconds, for expiry.
    """

    def __init__(
        self, store: Store, call_sid: str, started_ms: int, now: Callable[[], float]
    ) -> None:
        self._store = store
        self._call_sid = call_sid
        self._started_ms = started_ms
        self._now = now

    async def write(self, position: int, fact: Fact) -> None:
        """See `ports.Journal`."""
        expire_at = int(self._now()) + CALL_SECONDS
        await self._store.put(
            fact_item(self._call_sid, self._started_ms, position, fact, expire_at)
        )


def fact_item(call_sid: str, started_ms: int, position: int, fact: Fact, expire_at: int) -> Item:
    """The item of a fact; `position` below a million."""
    item: Item = {
        "pk": call_sid,
        "sk": f"{CHAT}{started_ms:013d}{position:06d}",
        "chat": _message(fact),
        "position": position,
        "fact": {"kind": _NAMES[type(fact)], **msgspec.to_builtins(fact)},
        "expireAt": expire_at,
    }
    if isinstance(fact, ToolUsed) and fact.result is not None:
        item["chatResult"] = _result_message(fact.result)
    return item


def fact_from_item(item: Mapping[str, object]) -> Fact | None:
    """The fact of one of our items; `None` if it holds none that can be read."""
    match item.get("fact"):
        case {"kind": str(name)} as raw if name in _KINDS:
            try:
                return convert(raw, _KINDS[name])
            except UseCaseError:
                return None
        case _:
            return None


async def facts(store: Store, call_sid: str) -> list[Fact]:
    """What was kept of a call; the index in the list is the position of the fact.

    A fact that could not be written or read is replaced by silence, so that the others keep
    their positions.
    """
    return facts_from_items(await store.query(call_sid, CHAT))


def facts_from_items(items: Iterable[Mapping[str, object]]) -> list[Fact]:
    """The same, of items in the order of their sort keys."""
    found: list[Fact] = []
    for item in items:
        match plain(item.get("position")):
            case int(position) if 0 <= position < _MOST_FACTS:
                _place(found, position, fact_from_item(item) or _LOST)
            case _:
                _read_chat(item.get("chat"), found)
    return found


def _place(found: list[Fact], position: int, fact: Fact) -> None:
    found.extend([_LOST] * (position + 1 - len(found)))
    found[position] = fact


def _message(fact: Fact) -> dict[str, object]:
    match fact:
        case CallerSaid(text, means):
            return _said("user", KEYS_PRESSED.format(text) if means is Means.KEYPAD else text)
        case Note(text):
            return _said("user", f"[{text}]")
        case AgentSaid(text):
            return _said("assistant", text)
        case ToolUsed(_, call):
            tool_use = {
                "toolUseId": call.id,
                "name": call.name,
                "input": _object(call.arguments) or {},
            }
            return {"role": "assistant", "content": [{"toolUse": tool_use}]}


def _said(role: str, text: str) -> dict[str, object]:
    """A message of words; of none where nothing was heard, as Converse has no blank text."""
    return {"role": role, "content": [{"text": text}] if text.strip() else []}


def _result_message(result: ToolResult) -> dict[str, object]:
    value = _object(result.content)
    tool_result = {
        "toolUseId": result.call_id,
        "content": [{"text": result.content} if value is None else {"json": value}],
        **({"status": "error"} if result.is_error else {}),
    }
    return {"role": "user", "content": [{"toolResult": tool_result}]}


def _object(text: str) -> dict[str, object] | None:
    """JSON text as the map it is; `None` for anything else a model may have written."""
    try:
        return msgspec.json.decode(text, type=dict[str, object])
    except (msgspec.DecodeError, UnicodeError):
        return None


def _read_chat(chat: object, found: list[Fact]) -> None:
    """Add what one Converse message of the predecessor tells."""
    match chat:
        case {"role": "user" | "assistant" as role, "content": [*blocks]}:
            for block in blocks:
                _read_block(role, block, found)
        case _:
            pass


def _read_block(role: str, block: object, found: list[Fact]) -> None:
    match block:
        case {"text": str(text)}:
            found.append(CallerSaid(text) if role == "user" else AgentSaid(text))
        case {"toolUse": {"toolUseId": str(call_id), "name": str(name), **rest}}:
            call = ToolCall(call_id, name, json.dumps(plain(rest.get("input") or {})))
            found.append(ToolUsed(_reply_of(found), call))
        case {"toolResult": {"toolUseId": str(call_id), **rest}}:
            _complete(found, ToolResult(call_id, _content(rest), rest.get("status") == "error"))
        case _:
            pass


def _reply_of(found: list[Fact]) -> int:
    """Tool calls that stand together are of one reply; the next ones are of another."""
    replies = [fact.reply for fact in found if isinstance(fact, ToolUsed)]
    if not replies:
        return 0
    follows = isinstance(found[-1], ToolUsed) and found[-1].result is None
    return replies[-1] if follows else replies[-1] + 1


def _complete(found: list[Fact], result: ToolResult) -> None:
    for position, fact in enumerate(found):
        if isinstance(fact, ToolUsed) and fact.call.id == result.call_id and not fact.result:
            found[position] = ToolUsed(fact.reply, fact.call, result)


def _content(tool_result: Mapping[object, object]) -> str:
    """The first value of a tool result, as JSON text."""
    match tool_result.get("content"):
        case [{"json": value}, *_] | [{"text": value}, *_]:
            return json.dumps(plain(value))
        case _:
            return "{}"
