"""The history loader: facts of a call read from its items and repaired, so that the call can go on.

One bad fact would break every later model request: the messages of a `History` of these facts are
valid for every provider, whatever was stored. The position is the identity of a fact, so no fact is
removed: what is unusable becomes silence. Each content block of a predecessor's item becomes a
fact. A tool call without a result is not repaired: `agent.call.resumption` handles it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import structlog

from agent.call.history import (
    AgentSaid,
    CallerBegan,
    CallerSaid,
    Fact,
    SpeechSource,
    Summary,
    ToolUsed,
    is_turn_border,
)
from agent.call.messages import ToolCall, ToolResult
from agent.call.text import json_object
from agent.call.tool_calls import safe_name
from agent.ports import Store
from agent.store.call_state.journal import CHAT, MOST_POSITIONS, fact_from_item
from agent.usecases.validation import plain

log = structlog.get_logger(__name__)

GENERATION = 1_000_000_000
"""Sequences for each connection of a call: more than the longest call can use."""
SILENCE = AgentSaid("", SpeechSource.SERVICE)
"""Takes the place of a fact that could not be written or read."""
_LARGEST_GAP = 10_000
"""Facts; a position further ahead than that counts as unreadable."""
_CALL_ID = re.compile(r"[a-z0-9]{9}")
_STAND_IN = re.compile(r"old[0-9]{6}")


RepairKind = Literal[
    "missing",  # one or more facts from this position on were never written
    "unreadable",  # an item, or a part of it, has an unknown form
    "unknown_block",
    "taken",  # two items have one position; the later item counts
    "blank",
    "orphan",  # a result belongs to no tool call, or to one that has a result
    "tool_name",
    "call_id",  # it has characters that some provider refuses, or occurs twice
    "arguments",
    "summary",  # it does not end at a turn border, or ends before an earlier one
]


@dataclass(frozen=True, slots=True)
class HistoryRepair:
    """One repair; its position is of the fact concerned, or of the next one if there is none."""

    kind: RepairKind
    position: int


@dataclass(frozen=True, slots=True)
class LoadedHistory:
    """The facts of a call; the index in the list is the position of the fact."""

    facts: list[Fact]
    repairs: list[HistoryRepair]
    is_caller_cut_off: bool
    """The caller had begun to speak, and the words were never recorded."""
    next_sequence: int
    """Above all that any connection which wrote a fact has written or will write."""


async def load_history(store: Store, call_sid: str) -> LoadedHistory:
    """Load the facts of a call; logs each repair."""
    loaded = read_items(await store.query(call_sid, CHAT))
    for repair in loaded.repairs:
        log.warning("history.repaired", kind=repair.kind, position=repair.position)
    return loaded


def read_items(items: Iterable[Mapping[str, object]]) -> LoadedHistory:
    """The facts of items, which are in the order of their sort keys; logs nothing."""
    reader = _ItemReader()
    greatest = 0
    for item in items:
        reader.add(item)
        if isinstance(sequence := _plain(item.get("sequence")), int):
            greatest = max(greatest, sequence)
    whole, repairs = _repaired(reader.facts)
    return LoadedHistory(
        facts=whole,
        repairs=sorted(reader.repairs + repairs, key=lambda repair: repair.position),
        is_caller_cut_off=reader.began_at == len(whole),
        next_sequence=(greatest // GENERATION + 1) * GENERATION,
    )


class _ItemReader:
    def __init__(self) -> None:
        self.facts: list[Fact] = []
        self.repairs: list[HistoryRepair] = []
        self.began_at: int | None = None
        self._placed: set[int] = set()

    def add(self, item: Mapping[str, object]) -> None:
        match _plain(item.get("position")):
            case int(position) if (
                0 <= position < min(MOST_POSITIONS, len(self.facts) + _LARGEST_GAP)
            ):
                self._place(position, item)
            case int():
                self._repair("unreadable")
            case _:
                self._add_message(item.get("chat"))

    def _place(self, position: int, item: Mapping[str, object]) -> None:
        fact = fact_from_item(item)
        if isinstance(fact, CallerBegan):  # a fact may still take its place
            self.began_at = position
            return
        if position > len(self.facts):
            self.repairs.append(HistoryRepair("missing", len(self.facts)))
        elif position < len(self.facts) and position in self._placed:
            self.repairs.append(HistoryRepair("taken", position))
        self.facts.extend([SILENCE] * (position + 1 - len(self.facts)))
        if fact is None:
            self.repairs.append(HistoryRepair("unreadable", position))
        self.facts[position] = fact or SILENCE
        self._placed.add(position)

    def _append(self, fact: Fact) -> None:
        self._placed.add(len(self.facts))
        self.facts.append(fact)

    def _repair(self, kind: RepairKind) -> None:
        self.repairs.append(HistoryRepair(kind, len(self.facts)))

    def _add_message(self, chat: object) -> None:
        match chat:
            case {"role": "user" | "assistant" as role, "content": [*blocks]}:
                for block in blocks:
                    self._add_block(role, block)
            case _:
                self._repair("unreadable")

    def _add_block(self, role: str, block: object) -> None:
        match block:
            case {"text": str(text)} if not text.strip():
                self._repair("blank")
            case {"text": str(text)}:
                self._append(CallerSaid(text) if role == "user" else AgentSaid(text))
            case {"toolUse": {"toolUseId": str(call_id), "name": str(name), **rest}}:
                call = ToolCall(call_id, name, self._json(rest.get("input") or {}))
                self._append(ToolUsed(self._next_reply(), call))
            case {"toolResult": {"toolUseId": str(call_id), **rest}}:
                is_error = rest.get("status") == "error"
                self._complete(ToolResult(call_id, self._content(rest), is_error))
            case _:
                self._repair("unknown_block")

    def _next_reply(self) -> int:
        """The id of the reply: tool calls without results between them belong to one reply."""
        replies = [fact.reply for fact in self.facts if isinstance(fact, ToolUsed)]
        match self.facts[-1:]:
            case [ToolUsed(reply, _, None)]:
                return reply
            case _:
                return replies[-1] + 1 if replies else 0

    def _complete(self, result: ToolResult) -> None:
        for position, fact in enumerate(self.facts):
            if isinstance(fact, ToolUsed) and fact.call.id == result.call_id and not fact.result:
                self.facts[position] = ToolUsed(fact.reply, fact.call, result)
                return
        self._repair("orphan")

    def _content(self, tool_result: Mapping[object, object]) -> str:
        match tool_result.get("content"):
            case [{"json": value}, *_] | [{"text": value}, *_]:
                return self._json(value)
            case _:
                return "{}"

    def _json(self, value: object) -> str:
        """A value of the table as JSON text; an empty object if that is impossible."""
        try:
            return json.dumps(plain(value), allow_nan=False)
        except (TypeError, ValueError, ArithmeticError, RecursionError):
            self._repair("unreadable")
            return "{}"


def _plain(value: object) -> object:
    """A value in JSON's types; None for a number that is not finite."""
    try:
        return plain(value)
    except ArithmeticError:
        return None


def _repaired(facts: Iterable[Fact]) -> tuple[list[Fact], list[HistoryRepair]]:
    whole: list[Fact] = []
    repairs: list[HistoryRepair] = []
    seen: set[str] = set()
    for position, fact in enumerate(facts):
        if isinstance(fact, ToolUsed):
            good, kinds = _repaired_tool_call(position, fact, seen)
            seen.add(good.call.id)
            whole.append(good)
            repairs += [HistoryRepair(kind, position) for kind in kinds]
        elif isinstance(fact, CallerSaid | Summary) and not fact.text.strip():
            whole.append(SILENCE)
            repairs.append(HistoryRepair("blank", position))
        else:
            whole.append(fact)
    return whole, repairs + _silence_false_summaries(whole)


def _silence_false_summaries(whole: list[Fact]) -> list[HistoryRepair]:
    """Silence each summary that `History` would refuse; the facts it covered are used instead."""
    begin, repairs = 0, list[HistoryRepair]()
    for position, fact in enumerate(whole):
        if not isinstance(fact, Summary):
            continue
        if begin <= fact.until < position and is_turn_border(whole, fact.until):
            begin = fact.until
        else:
            whole[position] = SILENCE
            repairs.append(HistoryRepair("summary", position))
    return repairs


def _repaired_tool_call(
    position: int, used: ToolUsed, seen: set[str]
) -> tuple[ToolUsed, list[RepairKind]]:
    call, kinds = used.call, list[RepairKind]()
    if (name := safe_name(call.name)) != call.name:
        call = replace(call, name=name)
        kinds.append("tool_name")
    stand_in = f"old{position:06d}"
    is_good = _CALL_ID.fullmatch(call.id) and not _STAND_IN.fullmatch(call.id)
    if call.id != stand_in and (call.id in seen or not is_good):
        call = replace(call, id=stand_in)
        kinds.append("call_id")
    if json_object(call.arguments) is None:
        call = replace(call, arguments="{}")
        kinds.append("arguments")
    if used.result is None:
        return ToolUsed(used.reply, call), kinds
    content = used.result.content
    if not content.strip():
        content = "{}"
        kinds.append("blank")
    if used.result.call_id not in {call.id, used.call.id}:
        kinds.append("orphan")
    return ToolUsed(used.reply, call, ToolResult(call.id, content, used.result.is_error)), kinds
