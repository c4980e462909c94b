"""Resuming a call on a new connection, after a lost socket, a drain or a transfer.

Each new connection is an item in the call's partition, numbered from 1 and written only if absent.
The number is the *generation* of the facts: those of a later one are newer than all that an earlier
connection has written or may still be writing. A call gets `MOST_CONNECTIONS` in `WITHIN_SECONDS`,
as a fault may return with each; those after a failed transfer do not count. A second request for
what follows one relay session gets the same attempt, and its token joins the first
(`agent.store.call_state.call_item`). A failed transfer names no relay session: there a request
within `SAME_SECONDS` counts as the same one. `agent.call.resumption` decides what is said first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from agent.call.actions import Handoff, HangUp
from agent.call.history import ToolUsed
from agent.call.resumption import ResumeCause, Resumption
from agent.call.text import whole_number
from agent.errors import StoreError
from agent.ports import Item, Store
from agent.store.call_state.call_item import TOKEN_ATTRIBUTES
from agent.store.call_state.history_loader import (
    GENERATION,
    HistoryRepair,
    LoadedHistory,
    load_history,
)
from agent.tools import language_of, planned_end
from agent.usecases.validation import plain

MOST_CONNECTIONS = 3
WITHIN_SECONDS = 120.0
SAME_SECONDS = 5.0
_PREFIX = "resume::"
_MOST_RIVALS = 5
_LARGEST = 999_999


@dataclass(frozen=True, slots=True)
class ResumeAttempt:
    """One more connection of a call, numbered from 1; `token` was given out first for it."""

    number: int
    cause: ResumeCause
    token: Mapping[str, object] = field(default_factory=dict, compare=False)

    @property
    def attributes(self) -> dict[str, object]:
        """Attributes of the session item that describe the coming connection."""
        return {"resumeNumber": self.number, "resumeCause": self.cause, **self.token}


@dataclass(frozen=True, slots=True)
class RecoveredCall:
    """The state from which a call goes on; `first_sequence` is of its next facts."""

    resumption: Resumption | None = None
    first_sequence: int = 0
    repairs: Sequence[HistoryRepair] = ()

    @property
    def tools(self) -> set[str]:
        """The names of the tools that were used."""
        facts = self.resumption.facts if self.resumption else ()
        return {fact.call.name for fact in facts if isinstance(fact, ToolUsed)}


def latest_attempt(item: Mapping[str, object]) -> ResumeAttempt | None:
    """The attempt that a session item names; None before the first one."""
    match plain(item.get("resumeNumber")), item.get("resumeCause"):
        case int(number), str(cause) if number > 0 and cause in set(ResumeCause):
            return ResumeAttempt(number, ResumeCause(cause))
        case _:
            return None


async def begin_attempt(
    store: Store,
    call_sid: str,
    cause: ResumeCause,
    session_id: str,
    now: float,
    attributes: Mapping[str, object],
) -> ResumeAttempt | None:
    """Count a new connection of a call; None if it had too many lately.

    `session_id` is of the relay session that is over, empty if not known. The further `attributes`,
    `expireAt` and perhaps those of a token, are kept if this is the first request for it.
    """
    asked: Item = {
        "pk": call_sid,
        "cause": cause,
        "sessionId": session_id,
        "at": now,
        **attributes,
    }
    for _ in range(_MOST_RIVALS):
        earlier = await store.query(call_sid, _PREFIX)
        if same := [item for item in earlier if _are_same(item, asked)]:
            return ResumeAttempt(_number(same[0]), cause, _token(same[0]))
        counted = [_at(item) for item in earlier if item.get("cause") != ResumeCause.NOBODY]
        lately = sum(now - at < WITHIN_SECONDS for at in counted)
        if cause is not ResumeCause.NOBODY and lately >= MOST_CONNECTIONS:
            return None
        number = max(map(_number, earlier), default=0) + 1
        if await store.put({**asked, "sk": f"{_PREFIX}{number:06d}"}, only_if_absent=True):
            return ResumeAttempt(number, cause, _token(asked))
    raise StoreError("too many processes resume one call")


async def latest_number(store: Store, call_sid: str) -> int:
    """The number of the latest connection of a call; 0 = it had only the first one."""
    return max(map(_number, await store.query(call_sid, _PREFIX)), default=0)


async def recover(store: Store, item: Item, attempt: ResumeAttempt, now: float) -> RecoveredCall:
    """Read back the state of the call of this session item."""
    loaded = await load_history(store, str(item["pk"]))
    resumption = Resumption(
        facts=loaded.facts,
        cause=attempt.cause,
        is_caller_cut_off=loaded.is_caller_cut_off,
        elapsed_ms=max(0, int(now * 1000) - started_ms(item)),
        language=language_of(loaded.facts),
        end=_planned_end(loaded, attempt.cause),
    )
    first_sequence = max(loaded.next_sequence, attempt.number * GENERATION)
    return RecoveredCall(resumption, first_sequence, loaded.repairs)


def _planned_end(loaded: LoadedHistory, cause: ResumeCause) -> Handoff | HangUp | None:
    """A caller who had begun to speak takes an end back; a transfer that failed is none."""
    end = None if cause is ResumeCause.NOBODY else planned_end(loaded.facts)
    return None if isinstance(end, HangUp) and loaded.is_caller_cut_off else end


def started_ms(item: Item) -> int:
    """When the call began, in epoch milliseconds; 0 if the item does not say."""
    started = item.get("startedMs")
    return started if isinstance(started, int) else 0


def _are_same(item: Item, asked: Item) -> bool:
    """Whether two requests are for the same connection."""
    if asked["sessionId"]:
        return item.get("sessionId") == asked["sessionId"]
    after_transfer = item.get("cause") == asked["cause"] == ResumeCause.NOBODY
    is_recent = _at(asked) - _at(item) < SAME_SECONDS
    return after_transfer and not item.get("sessionId") and bool(_token(item)) and is_recent


def _number(item: Item) -> int:
    """Of an attempt, which a broken item has in its key as well."""
    return whole_number(str(item["sk"]).removeprefix(_PREFIX), _LARGEST) or 0


def _at(item: Item) -> float:
    at = item.get("at")
    return float(at) if isinstance(at, int | float) else 0.0


def _token(item: Item) -> dict[str, object]:
    return {name: item[name] for name in TOKEN_ATTRIBUTES if name in item}
