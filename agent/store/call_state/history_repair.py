"""What is wrong with the facts that were kept of a call, and how it is made good.

Practice section 8: one bad fact would otherwise break every later request of the call. After
`mended`, the messages of a `History` of these facts are what every provider accepts, whatever was
kept:

- A position is an identity, so no fact is removed: what cannot be used becomes silence in its
  place.
- Identifiers of tool calls are nine of `[a-z0-9]` and unique; names of tools are of the set all
  model families take; arguments are a JSON object; a result belongs to its call and says something.

Each repair is told with its kind and position and nothing of what was said.

A tool run without a result was interrupted with the process that ran it. That is no fault to be
repaired in silence: whether an order was placed is known elsewhere, so such runs are told to the
caller of `agent.store.call_state.history_loader`, who may know the result or use `interrupted`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import structlog

from agent.call.history import (
    AgentSaid,
    CallerSaid,
    Fact,
    Note,
    SpeechSource,
    Summary,
    ToolUsed,
    is_turn_border,
)
from agent.call.messages import ToolResult
from agent.call.text import json_object
from agent.call.tool_calls import error_content, safe_name

log = structlog.get_logger(__name__)

SILENCE = AgentSaid("", SpeechSource.SERVICE)
"""Stands where a fact could not be written or read: nobody said anything."""
INTERRUPTED = (
    "The call was interrupted before the result was known; this may or may not have taken effect."
)
_CALL_ID = re.compile(r"[a-z0-9]{9}")
_STAND_IN = re.compile(r"old[0-9]{6}")


class RepairKind(StrEnum):
    """What was wrong."""

    MISSING = "missing"
    """From this position on one or more facts were never written."""
    UNREADABLE = "unreadable"
    """An item, or a part of it, is nothing we know."""
    UNKNOWN_BLOCK = "unknown_block"
    """A content block of a kind that calls do not have."""
    TAKEN = "taken"
    """Two facts claim one position; the later item stands."""
    BLANK = "blank"
    """Words or a result without a character."""
    ORPHAN = "orphan"
    """The result of a call that was not made, or had its result."""
    TOOL_NAME = "tool_name"
    CALL_ID = "call_id"
    """Not of the alphabet all providers take, or used before."""
    ARGUMENTS = "arguments"
    """No JSON object."""
    SUMMARY = "summary"
    """It reaches to no turn border, or less far than one before it."""
    INTERRUPTED = "interrupted"
    """A tool that ran when the process died was answered so."""


@dataclass(frozen=True, slots=True)
class HistoryRepair:
    """One thing that was made good."""

    kind: RepairKind
    position: int
    """Of the fact concerned; for what is no fact, of the next one."""


def mended(facts: Iterable[Fact]) -> tuple[list[Fact], list[HistoryRepair]]:
    """The same facts in a form every provider accepts, and what had to be changed."""
    whole: list[Fact] = []
    repairs: list[HistoryRepair] = []
    seen: set[str] = set()
    for position, fact in enumerate(facts):
        if isinstance(fact, ToolUsed):
            good, kinds = _mended_run(position, fact, seen)
            seen.add(good.call.id)
            whole.append(good)
        else:
            words, kinds = _mended_words(fact)
            whole.append(words)
        repairs += [HistoryRepair(kind, position) for kind in kinds]
    return whole, repairs + _drop_false_summaries(whole)


def interrupted(facts: Sequence[Fact], positions: Iterable[int]) -> list[Fact]:
    """The same facts, where tool runs without a result are answered as interrupted; each is logged.

    Args:
        facts: Of a call.
        positions: Of tool runs; those that have a result keep it.
    """
    answered = list(facts)
    for position in positions:
        used = answered[position]
        if isinstance(used, ToolUsed) and used.result is None:
            result = ToolResult(used.call.id, error_content(INTERRUPTED), is_error=True)
            answered[position] = replace(used, result=result)
            tell([HistoryRepair(RepairKind.INTERRUPTED, position)])
    return answered


def tell(repairs: Iterable[HistoryRepair]) -> None:
    """Log each repair."""
    for repair in repairs:
        log.warning("history.repaired", kind=repair.kind, position=repair.position)


def _drop_false_summaries(whole: list[Fact]) -> list[HistoryRepair]:
    """Silence each summary that a history would not take; what it was of is read as it was said."""
    begin, repairs = 0, list[HistoryRepair]()
    for position, fact in enumerate(whole):
        if not isinstance(fact, Summary):
            continue
        if begin <= fact.until < position and is_turn_border(whole, fact.until):
            begin = fact.until
        else:
            whole[position] = SILENCE
            repairs.append(HistoryRepair(RepairKind.SUMMARY, position))
    return repairs


def _mended_words(fact: CallerSaid | AgentSaid | Note | Summary) -> tuple[Fact, list[RepairKind]]:
    if isinstance(fact, CallerSaid | Summary) and not fact.text.strip():
        return SILENCE, [RepairKind.BLANK]
    return fact, []


def _mended_run(position: int, used: ToolUsed, seen: set[str]) -> tuple[ToolUsed, list[RepairKind]]:
    call, kinds = used.call, list[RepairKind]()
    if (name := safe_name(call.name)) != call.name:
        call = replace(call, name=name)
        kinds.append(RepairKind.TOOL_NAME)
    if (identifier := _identifier(position, call.id, seen)) != call.id:
        call = replace(call, id=identifier)
        kinds.append(RepairKind.CALL_ID)
    if json_object(call.arguments) is None:
        call = replace(call, arguments="{}")
        kinds.append(RepairKind.ARGUMENTS)
    if used.result is None:
        return ToolUsed(used.reply, call), kinds
    content = used.result.content
    if not content.strip():
        content = "{}"
        kinds.append(RepairKind.BLANK)
    if used.result.call_id not in {call.id, used.call.id}:
        kinds.append(RepairKind.ORPHAN)
    return ToolUsed(used.reply, call, ToolResult(call.id, content, used.result.is_error)), kinds


def _identifier(position: int, call_id: str, seen: set[str]) -> str:
    """The same one, or a stand-in that no other position has."""
    is_good = _CALL_ID.fullmatch(call_id) and not _STAND_IN.fullmatch(call_id)
    return call_id if is_good and call_id not in seen else f"old{position:06d}"
