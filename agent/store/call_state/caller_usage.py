"""How much callers have used the service lately: their calls, and the tokens those have cost.

Items of the partition `usage::<caller>`. They expire when they do not count any more, so what is
there counts, for all processes that share the table.

- A call takes one of as many numbered places (`call::<number>`) as the caller may have calls in an
  hour. A place is written only if it is free, so that of calls that ring at once no more are taken
  than there are places. A call begins to look at a place that its identifier chooses: mostly that
  one is free, and one request is enough.
- Each line has the tokens it has cost so far (`tokens::<CallSid>::<ms>`, the time it began); a call
  that is resumed has several lines.

Rejected: one item with two numbers. Two processes would write over each other, and a day has no
beginning at which to start anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from hashlib import sha256
from itertools import chain

from agent.ports import Item, Store

CALL_SECONDS = 3600
TOKEN_SECONDS = 24 * 3600
TEXT_SECONDS = 3600
_CALL = "call::"
_TOKENS = "tokens::"


async def take_place(store: Store, caller: str, call_sid: str, most: int, now: float) -> bool:
    """Have a call count as one of its caller's, if they may have one more; mostly one round trip.

    Asking again for the same call takes no second place: Twilio may report a call twice.

    Args:
        store: The table.
        caller: Their identity, not empty.
        call_sid: The call that rings.
        most: Calls within `CALL_SECONDS`; at least 1.
        now: Epoch seconds.

    Raises:
        StoreError: The table cannot be reached.
    """
    first = next(_places(caller, call_sid, most, now))
    items, is_first_free = await asyncio.gather(
        store.query(_partition(caller), _CALL), store.put(first, only_if_absent=True)
    )
    taken = {item["sk"]: item.get("callSid") for item in items}
    if is_first_free:
        return len(taken.keys() - {first["sk"]}) < most
    if call_sid in taken.values():
        return True
    if len(taken) >= most:
        return False
    places = _places(caller, call_sid, most, now)
    return await _take_one(store, (place for place in places if place["sk"] not in taken))


async def read_tokens(store: Store, caller: str, *, without: str = "") -> int:
    """What a caller's calls have cost within `TOKEN_SECONDS`, as far as it is written down.

    Args:
        store: The table.
        caller: Their identity, not empty.
        without: A line, as `line_of` names it, that does not count.

    Raises:
        StoreError: The table cannot be reached.
    """
    items = await store.query(_partition(caller), _TOKENS)
    tokens = (item.get("tokens") for item in items if item["sk"] != f"{_TOKENS}{without}")
    return sum(each for each in tokens if isinstance(each, int))


def line_of(call_sid: str, began: float) -> str:
    """Names a line of a call by when it began, in epoch seconds."""
    return f"{call_sid}::{int(began * 1000)}"


async def note_tokens(store: Store, caller: str, line: str, tokens: int, now: float) -> None:
    """A line of a call has cost so much so far. `now` is epoch seconds."""
    item: Item = {
        "pk": _partition(caller),
        "sk": f"{_TOKENS}{line}",
        "tokens": tokens,
        "sequence": tokens,
        "expireAt": int(now) + TOKEN_SECONDS,
    }
    await store.put_newer(item)


async def may_text(store: Store, number: str, now: float) -> bool:
    """Whether a busy caller may be texted: true once in `TEXT_SECONDS`, in all processes.

    Args:
        store: The table.
        number: The caller's, E.164.
        now: Epoch seconds.

    Raises:
        StoreError: The table cannot be reached.
    """
    mark: Item = {
        "pk": _partition(number),
        "sk": "busyText",
        "expireAt": int(now) + TEXT_SECONDS,
    }
    return await store.put(mark, only_if_absent=True)


def _partition(caller: str) -> str:
    return f"usage::{caller}"


def _places(caller: str, call_sid: str, most: int, now: float) -> Iterator[Item]:
    """The places of a caller, as items of this call, from the one that its identifier chooses."""
    chosen = int(sha256(call_sid.encode(errors="replace")).hexdigest(), 16) % most
    for number in chain(range(chosen, most), range(chosen)):
        yield {
            "pk": _partition(caller),
            "sk": f"{_CALL}{number:010}",
            "callSid": call_sid,
            "expireAt": int(now) + CALL_SECONDS,
        }


async def _take_one(store: Store, places: Iterable[Item]) -> bool:
    """The first that is free, or that a repetition of the same webhook has just taken."""
    for place in places:
        if await store.put(place, only_if_absent=True):
            return True
        owner = await store.get(str(place["pk"]), str(place["sk"]))
        if owner is not None and owner.get("callSid") == place["callSid"]:
            return True
    return False
