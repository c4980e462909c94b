"""The list of calls: an item for each call, which the index finds by the hour it began.

    pk   CallSid           pk1   calls::2026-11-28T20; calls::live while a connection is open
    sk   listing           sk1   2026-11-28T20:45:12.345::CallSid

    pk   calls::+15550100001     the calls of a number, also of one that may be forged
    sk   2026-11-28T20:45:12.345::CallSid

The listing is written when a connection of the call begins, and when it ends; the item of the
number when the call rings, so before anything that was said, and at the end. Hours are of UTC.
A table with a full-text index finds the calls with a text; in another one text is searched in the
facts of the calls that fit otherwise. Rejected: index keys on the session item, whose every change
would be written to the index too.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

import structlog

from agent.errors import StoreError
from agent.ports import Item, Store
from agent.store.call_state.call_item import CALL_SECONDS, identity_of, number_of, use_case_of
from agent.store.call_state.fact_words import fact_words, folded
from agent.store.call_state.journal import CHAT
from agent.usecases.validation import plain, text_in

log = structlog.get_logger(__name__)

LISTING = "listing"
_LIVE = "calls::live"
LONGEST_CALL = timedelta(hours=6)
"""What goes on for longer has lost its process, whatever its item says."""
DAY = timedelta(days=1)
_YEARS = range(1970, 3000)
_PERIOD = re.compile("([0-9]{1,4})([mhd])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}
_DAY_SECONDS = 24 * 3600
_HOURS_AT_ONCE = 6
_CALLS_AT_ONCE = 32
_ITEMS_AT_ONCE = 100  # of `Store.get_many`


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
    tools: tuple[str, ...] = ()
    """The tools it has used, known when a connection has ended."""
    outcome: str = ""
    """Empty = none is known."""
    process: str = ""
    """Where the operators' routes of its process are reached: `http://ADDRESS:PORT`, with
    `#NUMBER` for one of several workers; empty = there are none."""


@dataclass(frozen=True, slots=True)
class CallQuery:
    """Which calls are searched; an empty text means any."""

    since: datetime
    """Aware, as `until`; calls that began from then on."""
    until: datetime
    """The end of the time, not included."""
    last: int = 20
    """At most so many, the latest."""
    caller: str = ""
    use_case: str = ""
    outcome: str = ""
    tool: str = ""
    """One that was used."""
    reason: str = ""
    """Of the end."""
    text: str = ""
    """Words in a row, said by the caller or the agent or given to or by a tool, in any case."""

    def fits(self, call: ListedCall) -> bool:
        """Whether a call is one of them, apart from its text."""
        pairs = (
            (self.caller, call.caller), (self.use_case, call.use_case),
            (self.outcome, call.outcome), (self.reason, call.reason),
        )  # fmt: skip
        is_wanted = all(wanted in {"", found} for wanted, found in pairs)
        is_in_time = self.since <= call.began < self.until
        return is_wanted and is_in_time and (not self.tool or self.tool in call.tools)


def period_of(text: str) -> timedelta:
    """A period such as 30m, 2h, 7d; raises `ValueError`."""
    found = _PERIOD.fullmatch(text)
    if not found:
        raise ValueError("must be a number with m, h or d: 30m, 2h")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def day_of(text: str) -> date:
    """A day such as 2026-11-28, of the years 1970 to 2999; raises `ValueError`."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        day = date.min
    if day.year not in _YEARS:
        raise ValueError("must be a day: 2026-11-28")
    return day


def search_time(now: datetime, period: timedelta, day: date | None) -> tuple[datetime, datetime]:
    """The time that is searched, its end not included: a day of the zone of `now`, or a period."""
    if day is None:
        return now - period, now
    midnights = (datetime.combine(each, time(), now.tzinfo) for each in (day, day + DAY))
    return next(midnights), next(midnights)


def listing(
    item: Mapping[str, object],
    now: float,
    reason: str = "",
    *,
    tools: Sequence[str] = (),
    kept_seconds: int = CALL_SECONDS,
    process: str = "",
) -> Item:
    """The item of a call, for `Store.put_newer`.

    Args:
        item: The session item of a call that is set up.
        now: Epoch seconds.
        reason: Why a connection has ended; empty = none has.
        tools: The names of those it has used.
        kept_seconds: Until it expires.
        process: As of `ListedCall`.
    """
    call_sid, began_ms = str(item["pk"]), _whole(item, "startedMs")
    return {
        "pk": call_sid,
        "sk": LISTING,
        "pk1": _hour_key(_time(began_ms)) if reason else _LIVE,
        "sk1": _place(item),
        "beganMs": began_ms,
        "caller": identity_of(item),
        "useCase": use_case_of(item),
        "seconds": max(0, round(now - began_ms / 1000)) if reason else 0,
        "reason": reason,
        "process": process,
        **({"consent": item["consent"]} if "consent" in item else {}),
        "tools": list(tools),
        "sequence": int(now * 1000),
        "expireAt": int(now) + kept_seconds,
    }


def call_of_number(item: Mapping[str, object], now: float, kept_seconds: int) -> Item | None:
    """The item by which a number's call is found, from its session item; None if it is withheld.

    It expires `kept_seconds` after `now`, epoch seconds: no sooner than what it leads to.
    """
    if not (number := number_of(item)):
        return None
    key = {"pk": calls_partition(number), "sk": _place(item)}
    return {**key, "callSid": str(item["pk"]), "expireAt": int(now) + kept_seconds}


def calls_partition(number: str) -> str:
    """The partition with the calls of a number."""
    return f"calls::{number}"


async def search_calls(store: Store, query: CallQuery) -> list[ListedCall]:
    """The calls of the list that fit, the latest first. Raises `StoreError`."""
    found = list[ListedCall]()
    turns, wanted = asyncio.Semaphore(_CALLS_AT_ONCE), folded(query.text)
    with_text = await store.find_text(query.text) if query.text else None

    async def has_text(call: ListedCall) -> bool:
        if with_text is not None:
            return call.call_sid in with_text
        async with turns:
            return wanted in fact_words(await store.query(call.call_sid, CHAT))

    async for page in _pages(store, query, with_text):
        fitting = [call for call in map(listed, page) if query.fits(call)]
        if query.text:
            has = await asyncio.gather(*map(has_text, fitting))
            fitting = [call for call, is_found in zip(fitting, has, strict=True) if is_found]
        found += fitting
        if len(found) >= query.last:
            break
    return sorted(found, key=lambda it: it.began, reverse=True)[: query.last]


async def live_listings(store: Store, now: datetime) -> list[Item]:
    """The items of the calls that go on at `now` (aware), in the order in which they began."""
    first = (now - LONGEST_CALL).timestamp() * 1000
    return [it for it in await store.query_index(_LIVE) if _whole(it, "beganMs") > first]


def _pages(
    store: Store, query: CallQuery, with_text: Collection[str] | None
) -> AsyncIterator[list[Item]]:
    """The listings of all calls that may fit; the calls of a page began after those of the next."""
    if with_text is not None and len(with_text) <= _ITEMS_AT_ONCE:
        return _listings(store, with_text)
    return _of_caller(store, query) if query.caller else _by_hour(store, query)


async def _listings(store: Store, calls: Iterable[str]) -> AsyncIterator[list[Item]]:
    found = await store.get_many([(call_sid, LISTING) for call_sid in calls])
    yield [item for item in found if item is not None]


async def _by_hour(store: Store, query: CallQuery) -> AsyncIterator[list[Item]]:
    """The listings of live calls, then of some hours at a time, the latest first."""
    yield (await store.query_index(_LIVE))[::-1]
    hour = query.until.astimezone(UTC)
    first = query.since.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    while hour >= first:
        hours = [hour - timedelta(hours=each) for each in range(_HOURS_AT_ONCE)]
        keys = [_hour_key(each) for each in hours if each >= first]
        for items in await asyncio.gather(*map(store.query_index, keys)):
            yield items[::-1]
        hour -= timedelta(hours=_HOURS_AT_ONCE)


async def _of_caller(store: Store, query: CallQuery) -> AsyncIterator[list[Item]]:
    calls = (await store.query(calls_partition(query.caller)))[::-1]
    for number in range(0, len(calls), _ITEMS_AT_ONCE):
        some = calls[number : number + _ITEMS_AT_ONCE]
        async for page in _listings(store, [text_in(each, "callSid") for each in some]):
            yield [{**it, "caller": query.caller} if _is_redacted(it) else it for it in page]


def _is_redacted(item: Mapping[str, object]) -> bool:
    """Whether the caller's number is a placeholder: then it is known from what led to the call."""
    return text_in(item, "caller").startswith("[")


class CallList:
    """Writes the items of the calls of a process; a write that fails is only logged.

    Args:
        clock: Epoch seconds.
        days: Until a listing expires.
        longest_days: Until the last of a call expires; its number leads to it a day longer.
    """

    def __init__(
        self, store: Store, clock: Callable[[], float], days: int, longest_days: int
    ) -> None:
        self.process = ""
        """As of `ListedCall`, of the calls of this process."""
        self._store = store
        self._clock = clock
        self._kept_seconds = days * _DAY_SECONDS
        self._found_seconds = (max(days, longest_days) + 1) * _DAY_SECONDS

    async def note_number(self, item: Mapping[str, object]) -> None:
        """Make the call of this session item one that its number leads to."""
        try:
            if found := call_of_number(item, self._clock(), self._found_seconds):
                await self._store.put(found)
        except StoreError as error:
            log.warning("call.list_failed", error=type(error).__name__)

    async def note(
        self, item: Item, reason: str = "", tools: Iterable[str] = (), outcome: str = ""
    ) -> None:
        """List a call whose connection begins, or ends for this reason.

        `outcome`: what it has yielded by then, see `agent.usecases.outcome_schema.Success`.
        """
        kept, now, used = self._kept_seconds, self._clock(), sorted(tools)
        try:
            here = self.process
            listed = listing(item, now, reason, tools=used, kept_seconds=kept, process=here)
            await self._store.put_newer({**listed, "outcome": outcome})
        except StoreError as error:
            log.warning("call.list_failed", error=type(error).__name__)
        if reason:
            await self.note_number(item)


def listed(item: Mapping[str, object]) -> ListedCall:
    """The call of an item of the list."""
    tools = plain(item.get("tools"))
    return ListedCall(
        call_sid=text_in(item, "pk"),
        began=_time(_whole(item, "beganMs")),
        caller=text_in(item, "caller"),
        use_case=text_in(item, "useCase"),
        seconds=_whole(item, "seconds"),
        reason=text_in(item, "reason"),
        tools=tuple(map(str, tools)) if isinstance(tools, list) else (),
        outcome=text_in(item, "outcome"),
        process=text_in(item, "process"),
    )


def _place(item: Mapping[str, object]) -> str:
    """When a call began and its SID, in the order of time."""
    began = _time(_whole(item, "startedMs")).isoformat(timespec="milliseconds")
    return f"{began.removesuffix('+00:00')}::{item['pk']}"


def _hour_key(at: datetime) -> str:
    return f"calls::{at.astimezone(UTC):%Y-%m-%dT%H}"


def _time(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def _whole(item: Mapping[str, object], name: str) -> int:
    value = item.get(name)
    return value if isinstance(value, int) else 0
