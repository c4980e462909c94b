"""The facts of a call read back from its items, repaired so that the call can go on.

Our items give their fact and its position exactly (`agent.store.call_state.facts`). Items of the
predecessor
have only `chat`, a Converse message; each of its blocks that tells something becomes a fact, in the
order of the items. Whatever else is found costs itself and nothing more; see
`agent.store.call_state.history_repair`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from agent.call.history import AgentSaid, CallerBegan, CallerSaid, Fact, ToolUsed
from agent.call.messages import ToolCall, ToolResult
from agent.ports import Store
from agent.store.call_state.facts import CHAT, MOST_FACTS, fact_from_item
from agent.store.call_state.history_repair import SILENCE, HistoryRepair, RepairKind, mended, tell
from agent.usecases.validation import plain

GENERATION = 1_000_000_000
"""Sequences for each process that leads a call: more than the longest call can use."""
_LARGEST_GAP = 10_000
"""Facts; a position further on than that is no position."""


@dataclass(frozen=True, slots=True)
class LoadedHistory:
    """What was kept of a call."""

    facts: list[Fact]
    """The index in the list is the position of the fact."""
    repairs: list[HistoryRepair]
    open_calls: list[int]
    """Positions of tool runs whose result is not known: they ran when the process died."""
    is_caller_cut_off: bool
    """The caller had begun to speak, and the words never came."""
    next_sequence: int
    """Where the next process that leads this call begins to count: above all the earlier one has
    written or, as it may still be at it, will ever write. It is only seen to have been there if it
    has written anything: who resumes a call twice before that must add a generation himself."""


async def read_back(store: Store, call_sid: str) -> LoadedHistory:
    """What was kept of a call; each repair is logged.

    Raises:
        StoreError: The table cannot be reached.
    """
    found = read_items(await store.query(call_sid, CHAT))
    tell(found.repairs)
    return found


def read_items(items: Iterable[Mapping[str, object]]) -> LoadedHistory:
    """The same, of items in the order of their sort keys; logs nothing."""
    reading = _Reading()
    greatest = 0
    for item in items:
        reading.add(item)
        match _plain(item.get("sequence")):
            case int(sequence):
                greatest = max(greatest, sequence)
            case _:
                pass
    whole, repairs = mended(reading.facts)
    return LoadedHistory(
        facts=whole,
        repairs=sorted(reading.repairs + repairs, key=lambda repair: repair.position),
        open_calls=[
            position
            for position, fact in enumerate(whole)
            if isinstance(fact, ToolUsed) and fact.result is None
        ],
        is_caller_cut_off=reading.began_at == len(whole),
        next_sequence=(greatest // GENERATION + 1) * GENERATION,
    )


class _Reading:
    """Facts so far."""

    def __init__(self) -> None:
        self.facts: list[Fact] = []
        self.repairs: list[HistoryRepair] = []
        self.began_at: int | None = None
        """Where it was recorded last that the caller had begun to speak."""
        self._placed: set[int] = set()

    def add(self, item: Mapping[str, object]) -> None:
        """Add what an item tells."""
        match _plain(item.get("position")):
            case int(position) if 0 <= position < min(MOST_FACTS, len(self.facts) + _LARGEST_GAP):
                self._place(position, item)
            case int():
                self._repair(RepairKind.UNREADABLE)
            case _:
                self._add_message(item.get("chat"))

    def _place(self, position: int, item: Mapping[str, object]) -> None:
        fact = fact_from_item(item)
        if isinstance(fact, CallerBegan):  # a fact may still take its place
            self.began_at = position
            return
        if position > len(self.facts):
            self.repairs.append(HistoryRepair(RepairKind.MISSING, len(self.facts)))
        elif position < len(self.facts) and position in self._placed:
            self.repairs.append(HistoryRepair(RepairKind.TAKEN, position))
        self.facts.extend([SILENCE] * (position + 1 - len(self.facts)))
        if fact is None:
            self.repairs.append(HistoryRepair(RepairKind.UNREADABLE, position))
        self.facts[position] = fact or SILENCE
        self._placed.add(position)

    def _append(self, fact: Fact) -> None:
        self._placed.add(len(self.facts))
        self.facts.append(fact)

    def _repair(self, kind: RepairKind) -> None:
        self.repairs.append(HistoryRepair(kind, len(self.facts)))

    def _add_message(self, chat: object) -> None:
        """Add what one Converse message of the predecessor tells."""
        match chat:
            case {"role": "user" | "assistant" as role, "content": [*blocks]}:
                for block in blocks:
                    self._add_block(role, block)
            case _:
                self._repair(RepairKind.UNREADABLE)

    def _add_block(self, role: str, block: object) -> None:
        match block:
            case {"text": str(text)} if not text.strip():
                self._repair(RepairKind.BLANK)
            case {"text": str(text)}:
                self._append(CallerSaid(text) if role == "user" else AgentSaid(text))
            case {"toolUse": {"toolUseId": str(call_id), "name": str(name), **rest}}:
                call = ToolCall(call_id, name, self._json(rest.get("input") or {}))
                self._append(ToolUsed(self._next_reply(), call))
            case {"toolResult": {"toolUseId": str(call_id), **rest}}:
                is_error = rest.get("status") == "error"
                self._complete(ToolResult(call_id, self._content(rest), is_error))
            case _:
                self._repair(RepairKind.UNKNOWN_BLOCK)

    def _next_reply(self) -> int:
        """Tool calls that stand together are of one reply; the next ones are of another."""
        replies = [fact.reply for fact in self.facts if isinstance(fact, ToolUsed)]
        if not replies:
            return 0
        last = self.facts[-1]
        follows = isinstance(last, ToolUsed) and last.result is None
        return replies[-1] if follows else replies[-1] + 1

    def _complete(self, result: ToolResult) -> None:
        for position, fact in enumerate(self.facts):
            if isinstance(fact, ToolUsed) and fact.call.id == result.call_id and not fact.result:
                self.facts[position] = ToolUsed(fact.reply, fact.call, result)
                return
        self._repair(RepairKind.ORPHAN)

    def _content(self, tool_result: Mapping[object, object]) -> str:
        """The first value of a tool result, as JSON text."""
        match tool_result.get("content"):
            case [{"json": value}, *_] | [{"text": value}, *_]:
                return self._json(value)
            case _:
                return "{}"

    def _json(self, value: object) -> str:
        """A value of the table as JSON text; an empty object if it has none."""
        try:
            return json.dumps(plain(value), allow_nan=False)
        except (TypeError, ValueError, ArithmeticError, RecursionError):
            self._repair(RepairKind.UNREADABLE)
            return "{}"


def _plain(value: object) -> object:
    """A value in JSON's types; `None` for a number that is none."""
    try:
        return plain(value)
    except ArithmeticError:
        return None
