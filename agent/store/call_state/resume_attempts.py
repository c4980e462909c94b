"""How often a call was taken up again, and for what.

Each new line of a call is an entry of its own in the call's partition, numbered from 1 and written
only if absent: two processes that take a call up at once get two numbers. The number is the call's
*generation*: facts that are written under it are newer than all that any earlier line has written
or will write (`agent.store.call_state.history_loader`).

A call is given three new lines in two minutes. A fault that comes with every line would otherwise
keep a caller listening to apologies for ever. Lines after a person who was not to be had do not
count: the caller has asked for each of them.

Twilio may ask twice for what follows one relay session; the second time it is given the same entry.
An entry knows the token that was given out first for it, so that the token of the second answer can
join that (`agent.store.call_state.call_item`). What follows a person has no session that is
named: there a second request within moments is taken for the same one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from agent.call.resumption import ResumeCause
from agent.call.text import whole_number
from agent.errors import StoreError
from agent.ports import Item, Store
from agent.store.call_state.call_item import CALL_SECONDS, TOKEN_ATTRIBUTES
from agent.usecases.validation import plain

MOST_ENTRIES = 3
WITHIN_SECONDS = 120.0
SAME_SECONDS = 5.0
_PREFIX = "resume::"
_MOST_RIVALS = 5
_LARGEST = 999_999


@dataclass(frozen=True, slots=True)
class ResumeAttempt:
    """One more line of a call."""

    number: int
    """From 1; 0 is the first line of the call."""
    cause: ResumeCause
    token: Mapping[str, object] = field(default_factory=dict, compare=False)
    """What the session item is to know of its token, as given out first."""

    @property
    def attributes(self) -> dict[str, object]:
        """What the session item tells of the line that is to come."""
        return {"resumeNumber": self.number, "resumeCause": self.cause, **self.token}


def reentry_of(item: Mapping[str, object]) -> ResumeAttempt | None:
    """What a session item tells of its latest line; None if that is the first."""
    match plain(item.get("resumeNumber")), item.get("resumeCause"):
        case int(number), str(cause) if number > 0 and cause in set(ResumeCause):
            return ResumeAttempt(number, ResumeCause(cause))
        case _:
            return None


async def enter_again(
    store: Store,
    call_sid: str,
    cause: ResumeCause,
    session_id: str,
    now: float,
    token: Mapping[str, object] | None = None,
) -> ResumeAttempt | None:
    """One more line for a call; None if it has had too many lately.

    Args:
        store: The table.
        call_sid: The partition.
        cause: Why it needs one.
        session_id: Of the relay session that is over; empty = not known.
        now: Epoch seconds.
        token: `token_attributes` of the one that is given out for it, if it is the first.

    Raises:
        StoreError: The table cannot be reached.
    """
    asked = _Entry(0, cause, session_id, now, token or {})
    for _ in range(_MOST_RIVALS):
        earlier = [_read(item) for item in await store.query(call_sid, _PREFIX)]
        same = [one for one in earlier if _are_one(one, asked)]
        if same:
            return ResumeAttempt(same[0].number, cause, same[0].token)
        if _is_too_often(earlier, cause, now):
            return None
        number = max((one.number for one in earlier), default=0) + 1
        if await store.put(_item(call_sid, number, asked), only_if_absent=True):
            return ResumeAttempt(number, cause, asked.token)
    raise StoreError("too many processes take up one call")


@dataclass(frozen=True, slots=True)
class _Entry:
    number: int
    cause: str
    session_id: str
    at: float
    token: Mapping[str, object]


def _are_one(one: _Entry, asked: _Entry) -> bool:
    """The same line was asked for twice."""
    if asked.session_id:
        return one.session_id == asked.session_id
    is_after_a_person = one.cause == asked.cause == ResumeCause.NOBODY and not one.session_id
    return is_after_a_person and bool(one.token) and asked.at - one.at < SAME_SECONDS


def _is_too_often(earlier: list[_Entry], cause: ResumeCause, now: float) -> bool:
    if cause is ResumeCause.NOBODY:
        return False
    counted = [one for one in earlier if one.cause != ResumeCause.NOBODY]
    return sum(now - one.at < WITHIN_SECONDS for one in counted) >= MOST_ENTRIES


def _read(item: Item) -> _Entry:
    """An entry; one that is broken still has its number, which is in its key."""
    number = whole_number(str(item["sk"]).removeprefix(_PREFIX), _LARGEST) or 0
    at = item.get("at")
    seconds = float(at) if isinstance(at, int | float) else 0.0
    token = {name: item[name] for name in TOKEN_ATTRIBUTES if name in item}
    session_id = str(item.get("sessionId", ""))
    return _Entry(number, str(item.get("cause")), session_id, seconds, token)


def _item(call_sid: str, number: int, entry: _Entry) -> Item:
    return {
        "pk": call_sid,
        "sk": f"{_PREFIX}{number:06d}",
        "cause": entry.cause,
        "sessionId": entry.session_id,
        "at": entry.at,
        "expireAt": int(entry.at) + CALL_SECONDS,
        **entry.token,
    }
