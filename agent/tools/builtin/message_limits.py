"""How many messages may be sent: by one call, to one number, to one address.

A message takes a place before it is sent: an item `message::<channel>::<place>` in the partition of
the call, and in that of the recipient's usage (`usage::<number>`), written only if absent. So two
processes cannot take one place. A message that is tried again keeps its place. A place is free
again after a day. One that was taken for a message that was then refused stays taken: who tries
addresses is limited, too.
"""

from __future__ import annotations

from collections.abc import Iterator

import structlog

from agent.errors import StoreError, ToolError
from agent.ports import Channel, Item
from agent.tools.idempotency import NOT_BEGUN
from agent.tools.tool import CallContext

log = structlog.get_logger(__name__)

PER_CALL = 2
"""Messages of one call by one channel."""
PER_DAY = 10
"""Messages to one number or address, and for one caller, by one channel in `_SECONDS`."""
TOO_MANY = (
    "Nothing was sent: no more messages of this kind can be sent {}. Say so, and tell the caller "
    "the details instead."
)
_SECONDS = 24 * 60 * 60


async def take_places(call: CallContext, channel: Channel, message: str, recipient: str) -> None:
    """Take all places that a message needs; nothing is sent if there is one too few.

    Args:
        call: That sends it.
        channel: By which.
        message: Tells it from other messages; the same again needs no further place.
        recipient: Number or address.

    Raises:
        ToolError: There is no place, or the table cannot be reached.
    """
    try:
        for partition, most, when in _allowances(call, recipient):
            if not await _take(call, partition, f"message::{channel}::", message, most):
                log.warning("message.limited", channel=channel, limit=when)
                raise ToolError(TOO_MANY.format(when))
    except StoreError as error:
        log.warning("message.not_counted", channel=channel, error=type(error).__name__)
        raise ToolError(NOT_BEGUN) from error


def _allowances(call: CallContext, recipient: str) -> Iterator[tuple[str, int, str]]:
    """Partition, number of places, and when there may be one again."""
    yield call.call_id, PER_CALL, "in this call"
    for whom in dict.fromkeys(filter(None, (call.caller, recipient.casefold()))):
        yield f"usage::{whom}", PER_DAY, "today"


async def _take(call: CallContext, partition: str, prefix: str, message: str, most: int) -> bool:
    items = await call.store.query(partition, prefix)
    if any(item.get("message") == message for item in items):
        return True
    taken = {item["sk"] for item in items}
    for place in (f"{prefix}{number:03d}" for number in range(most)):
        item: Item = {
            "pk": partition,
            "sk": place,
            "message": message,
            "expireAt": int(call.clock()) + _SECONDS,
        }
        if place not in taken and await call.store.put(item, only_if_absent=True):
            return True
    return False
