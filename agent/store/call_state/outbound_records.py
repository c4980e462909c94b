"""Calls that we make, as the table knows them: who was meant, and how often we have called.

- A dial is kept under the hash of a token before the carrier is asked, and the token is in the URL
  the carrier fetches when somebody answers. The first call that comes with it owns it: the same
  call may come again (the carrier repeats a webhook), another never. Rejected: to keep it under the
  SID of the call, which is known only when the carrier has answered; were that answer lost, a
  person would be greeted by the wrong agent.
- A limit is a number of places, each of them an item that expires. Who finds one free may call. So
  it holds for all processes that share the table, and for commands that end after one call.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass

from agent.ports import Item, Store

DIAL_SECONDS = 3600
"""How long a dial may wait in the carrier's queue and ring."""
_DIAL = "dial"
_CLAIM = "claim"
_TURNS = "dial::turns"


@dataclass(frozen=True, slots=True)
class OutboundCallRecord:
    """A call that we make."""

    to: str
    caller_id: str
    use_case: str


async def remember(store: Store, dial: OutboundCallRecord, now: float) -> str:
    """Keep a dial; the token that finds it again.

    Args:
        store: The table.
        dial: What is meant.
        now: Epoch seconds.
    """
    token = secrets.token_urlsafe(24)
    item: Item = {
        "pk": _partition(token),
        "sk": _DIAL,
        "to": dial.to,
        "callerId": dial.caller_id,
        "useCase": dial.use_case,
        "expireAt": int(now) + DIAL_SECONDS,
    }
    await store.put(item)
    return token


async def claim(
    store: Store, token: str, call_sid: str, to: str, now: float
) -> OutboundCallRecord | None:
    """What this call was made for; None if the token is not for it.

    Args:
        store: The table.
        token: Of the URL.
        call_sid: Not empty.
        to: The number that was called, as the carrier says.
        now: Epoch seconds.
    """
    partition = _partition(token)
    item = await store.get(partition, _DIAL)
    if item is None or item.get("to") != to:
        return None
    mark: Item = {
        "pk": partition,
        "sk": _CLAIM,
        "callSid": call_sid,
        "expireAt": int(now) + DIAL_SECONDS,
    }
    if not await store.put(mark, only_if_absent=True):
        owner = await store.get(partition, _CLAIM)
        if owner is None or owner.get("callSid") != call_sid:
            return None
    return OutboundCallRecord(to, str(item.get("callerId", "")), str(item.get("useCase", "")))


async def take_turn(store: Store, whom: str, count: int, seconds: int, now: float) -> bool:
    """Whether one more call may be made; it is counted then.

    Args:
        store: The table.
        whom: Whose limit it is.
        count: So many calls in any `seconds`.
        seconds: At least 1.
        now: Epoch seconds.
    """
    taken = {item["sk"] for item in await store.query(_TURNS, f"{whom}::")}
    for sk in (f"{whom}::{number:03}" for number in range(count)):
        place: Item = {"pk": _TURNS, "sk": sk, "expireAt": int(now) + seconds + 1}
        if sk not in taken and await store.put(place, only_if_absent=True):
            return True
    return False


def _partition(token: str) -> str:
    return f"dial::{hashlib.sha256(token.encode(errors='replace')).hexdigest()}"
