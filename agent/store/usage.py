"""How much callers have used the service lately: their calls, and the tokens those have cost.

Items of the partition `usage::<caller>`, one for each call (`call::<CallSid>`) and one for what
each of its lines has cost (`tokens::<CallSid>::<ms>`; a call that is resumed has several). They
expire when they do not count any more, so whatever is there counts, for all processes that share
the table. Rejected: one item with two numbers. Two processes would write over each other, and a
day has no beginning at which to start anew.
"""

from __future__ import annotations

from dataclasses import dataclass

from agent.ports import Item, Store

CALL_SECONDS = 3600
TOKEN_SECONDS = 24 * 3600
TEXT_SECONDS = 3600
_CALL = "call::"
_TOKENS = "tokens::"


@dataclass(frozen=True, slots=True)
class Usage:
    """What a caller has used."""

    calls: int
    """Begun within `CALL_SECONDS`."""
    tokens: int
    """Of calls that ended within `TOKEN_SECONDS`."""


async def read(store: Store, caller: str, call_sid: str) -> Usage:
    """What a caller has used, without this call; one request.

    Args:
        store: The table.
        caller: Their identity, not empty.
        call_sid: The call that rings: Twilio may report it twice.

    Raises:
        StoreError: The table cannot be reached.
    """
    items = await store.query(_partition(caller))
    calls = [item["sk"] for item in items if str(item["sk"]).startswith(_CALL)]
    tokens = (item.get("tokens") for item in items)
    return Usage(
        calls=len(calls) - calls.count(f"{_CALL}{call_sid}"),
        tokens=sum(each for each in tokens if isinstance(each, int)),
    )


async def note_call(store: Store, caller: str, call_sid: str, now: float) -> None:
    """A call was taken; noting it again changes nothing. `now` is epoch seconds."""
    item: Item = {
        "pk": _partition(caller),
        "sk": f"{_CALL}{call_sid}",
        "expireAt": int(now) + CALL_SECONDS,
    }
    await store.put(item, only_if_absent=True)


async def note_tokens(store: Store, caller: str, call_sid: str, tokens: int, now: float) -> None:
    """A line of a call has cost so much. `now` is epoch seconds."""
    item: Item = {
        "pk": _partition(caller),
        "sk": f"{_TOKENS}{call_sid}::{int(now * 1000)}",
        "tokens": tokens,
        "expireAt": int(now) + TOKEN_SECONDS,
    }
    await store.put(item)


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
