"""The list of calls: an item for each call, which the index finds by the hour it began.

    pk   CallSid         pk1   calls::2026-11-28T20, or calls::live while a connection is open
    sk   listing         sk1   2026-11-28T20:45:12.345::CallSid

It is written when a connection of the call begins, and when it ends. Hours are of UTC.
Rejected: index keys on the session item, whose every change would be written to the index too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from agent.ports import Item, Store
from agent.store.call_state.call_item import CALL_SECONDS, identity_of, use_case_of
from agent.usecases.validation import text_in

LISTING = "listing"
_LIVE = "calls::live"
LONGEST_CALL = timedelta(hours=6)
"""What goes on for longer has lost its process, whatever its item says."""


@dataclass(frozen=True, slots=True)
class ListedCall:
    """One call."""

    call_sid: str
    began: datetime
    """Aware, of UTC."""
    caller: str
    """Empty = withheld."""
    use_case: str
    seconds: int = 0
    reason: str = ""
    """Why its latest connection ended; empty = the call goes on, or its process was killed."""
    process: str = ""
    """Where the operators' routes of its process are reached: `http://ADDRESS:PORT`, with
    `#NUMBER` for one of several workers; empty = there are none."""


def listing(item: Mapping[str, object], now: float, reason: str = "", process: str = "") -> Item:
    """The item of a call, for `Store.put_newer`.

    Args:
        item: The session item of a call that is set up.
        now: Epoch seconds.
        reason: Why a connection has ended; empty = none has.
        process: As of `ListedCall`.
    """
    call_sid, began_ms = str(item["pk"]), _whole(item, "startedMs")
    began = _time(began_ms).isoformat(timespec="milliseconds").removesuffix("+00:00")
    return {
        "pk": call_sid,
        "sk": LISTING,
        "pk1": _hour_key(_time(began_ms)) if reason else _LIVE,
        "sk1": f"{began}::{call_sid}",
        "beganMs": began_ms,
        "caller": identity_of(item),
        "useCase": use_case_of(item),
        "seconds": max(0, round(now - began_ms / 1000)) if reason else 0,
        "reason": reason,
        **({"consent": item["consent"]} if "consent" in item else {}),
        "process": process,
        "sequence": int(now * 1000),
        "expireAt": int(now) + CALL_SECONDS,
    }


async def latest_calls(
    store: Store, now: datetime, since: timedelta, last: int, caller: str = ""
) -> list[ListedCall]:
    """The latest calls that began in this time before `now` (aware), the latest first."""
    earliest, hour, found = now - since, now, list[ListedCall]()
    live = map(listed, await store.query_index(_LIVE))
    going_on = [it for it in live if it.began >= earliest and caller in {"", it.caller}]
    while len(found) < last and hour > earliest - timedelta(hours=1):
        calls = map(listed, reversed(await store.query_index(_hour_key(hour))))
        found += [it for it in calls if it.began >= earliest and caller in {"", it.caller}]
        hour -= timedelta(hours=1)
    return sorted([*going_on, *found], key=lambda it: it.began, reverse=True)[:last]


async def live_calls(store: Store, now: datetime) -> list[ListedCall]:
    """The calls that go on at `now` (aware), in the order in which they began."""
    calls = map(listed, await store.query_index(_LIVE))
    return [it for it in calls if it.began > now - LONGEST_CALL]


def listed(item: Mapping[str, object]) -> ListedCall:
    """The call of an item of the list."""
    return ListedCall(
        call_sid=text_in(item, "pk"),
        began=_time(_whole(item, "beganMs")),
        caller=text_in(item, "caller"),
        use_case=text_in(item, "useCase"),
        seconds=_whole(item, "seconds"),
        reason=text_in(item, "reason"),
        process=text_in(item, "process"),
    )


def _hour_key(at: datetime) -> str:
    return f"calls::{at.astimezone(UTC):%Y-%m-%dT%H}"


def _time(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def _whole(item: Mapping[str, object], name: str) -> int:
    value = item.get(name)
    return value if isinstance(value, int) else 0
