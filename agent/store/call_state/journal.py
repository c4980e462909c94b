"""The facts of a call as items, and the journal: their way to the table, in a lane for each call.

The sort key is `chat::`, the epoch milliseconds of the call's start, and the position of the fact:
writing a fact again replaces it. `chat` is the fact as a Bedrock Converse message, as in the
predecessor's items, with the result of a tool under `chatResult`. The fact is read from `fact`,
which has what Converse cannot express. Each recording has a greater `sequence` than all before it
in the call and is written by `Store.put_newer`: a late or repeated write undoes nothing. A resumed
call begins a new generation of sequences (`agent.session.resume`). SQLite may take up to 40 ms more
for a fact that nothing waits for, after the times below.

The write outlives the call. Rejected: a write task in each session, which would lose facts that
wait when the call ends.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial
from itertools import count as count_from

import msgspec

from agent.call.history import (
    KEYS_PRESSED,
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
from agent.ports import Count, Item, Store, uncounted
from agent.store.call_state.call_item import CALL_SECONDS
from agent.store.write_behind import Chance, QueueLane, WriteBehindQueue
from agent.usecases.validation import convert_stored

CHAT = "chat::"
_DEEPEST = 20
"""Levels inside a message; DynamoDB allows 32 in an item."""
_SMALLEST, _GREATEST = 1e-100, 1e37
"""Numbers that every table stores exactly: DynamoDB has 38 digits and 125 powers of ten."""
MOST_POSITIONS = 1_000_000
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
MOST_FACTS = 100_000
"""Some 100 MB of spoken sentences; facts of the call that has waited longest are dropped first."""
SPEECH_SECONDS = 1.5
"""Between two writes of speech that grows piece by piece: most replies are whole by then, and what
was sent last is heard seconds later. The end of speech is written early."""
FIRST_SPEECH_SECONDS = 0.05
"""Until the first of them; no write competes with the model."""
EARLY_SECONDS = 0.01
"""The same for all other facts, whole speech too, which take along what waits: the caller's words
must not be lost with the process."""
OLDEST_SECONDS = 3600.0


def fact_item(
    call_sid: str, started_ms: int, position: int, fact: Recorded, sequence: int, expire_at: int
) -> Item:
    """The item of a fact; `position` is below `MOST_POSITIONS`, `expire_at` in epoch seconds.

    `started_ms`, in epoch milliseconds, is the same for all of the call, also after a resume.
    """
    return {
        "pk": call_sid,
        "sk": f"{CHAT}{started_ms:013d}{position:06d}",
        "position": position,
        "sequence": sequence,
        **fact_attributes(fact),
        "expireAt": expire_at,
    }


def fact_attributes(fact: Recorded) -> Item:
    """The attributes of an item that tell the fact."""
    told: Item = {
        "chat": _message(fact),
        "fact": {"kind": _NAMES[type(fact)], **msgspec.to_builtins(fact)},
    }
    if isinstance(fact, ToolUsed) and fact.result is not None:
        told["chatResult"] = _result_message(fact.result)
    return told


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
        case Summary():
            return _said("user", fact.block)
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


class CallJournal:
    """`ports.Journal` of one call; made by `Journals.open`."""

    def __init__(
        self, lane: QueueLane[int, tuple[Recorded, int]], first_sequence: int, tools: set[str]
    ) -> None:
        self._lane = lane
        self._sequences = count_from(first_sequence)
        self._growing = -1
        self._due = 0.0
        self._tools = tools

    @property
    def unwritten(self) -> int:
        return len(self._lane)

    def record(self, position: int, fact: Recorded, *, is_growing: bool = False) -> None:
        if isinstance(fact, ToolUsed):
            self._tools.add(fact.call.name)
        now = asyncio.get_running_loop().time()
        due = self._speech_due(position, now) if is_growing else now + EARLY_SECONDS
        self._lane.add(position, (fact, next(self._sequences)), due=due)

    def _speech_due(self, position: int, now: float) -> float:
        if position != self._growing:
            self._growing, self._due = position, now + FIRST_SPEECH_SECONDS
        elif self._due <= now:
            self._due = max(self._due + SPEECH_SECONDS, now + FIRST_SPEECH_SECONDS)
        return self._due

    async def flush(self, seconds: float) -> int:
        return await self._lane.flush(seconds)


class Journals:
    """All journals of a process; made by `open_journals`. `clock` is in epoch seconds."""

    def __init__(
        self,
        store: Store,
        clock: Callable[[], float],
        queue: WriteBehindQueue,
        kept_seconds: int = CALL_SECONDS,
    ) -> None:
        self._store = store
        self._clock = clock
        self._queue = queue
        self._kept_seconds = kept_seconds

    def open(
        self,
        call_sid: str,
        started_ms: int,
        first_sequence: int = 0,
        tools: set[str] | None = None,
    ) -> CallJournal:
        """The journal of one call; see `LoadedHistory.next_sequence` for that of a resumed one.

        To `tools` are added the names of those that are used.
        """
        lane = QueueLane(self._queue, partial(self._put, call_sid, started_ms))
        return CallJournal(lane, first_sequence, set() if tools is None else tools)

    async def _put(
        self,
        call_sid: str,
        started_ms: int,
        position: int,
        recorded: tuple[Recorded, int],
        may_wait: bool,
    ) -> None:
        fact, sequence = recorded
        expire_at = int(self._clock()) + self._kept_seconds
        item = fact_item(call_sid, started_ms, position, fact, sequence, expire_at)
        await self._store.put_newer(item, may_wait=may_wait)


@asynccontextmanager
async def open_journals(
    store: Store,
    clock: Callable[[], float],
    count: Count = uncounted,
    chance: Chance = random.uniform,
    kept_seconds: int = CALL_SECONDS,
) -> AsyncIterator[Journals]:
    """The journals of this process; on leaving, what waits is written, or lost and counted.

    A fact expires `kept_seconds` after it was written last.
    """
    queue = WriteBehindQueue(
        name="journal",
        most=MOST_FACTS,
        on_waiting=lambda facts: count("agent_journal_facts_waiting", facts),
        on_lost=lambda facts, why: count("agent_journal_facts_lost_total", facts, reason=why),
        on_delayed=lambda calls: count("agent_journal_calls_delayed", calls),
        oldest_seconds=OLDEST_SECONDS,
        chance=chance,
    )
    try:
        yield Journals(store, clock, queue, kept_seconds)
    finally:
        await queue.close()
