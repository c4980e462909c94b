"""What the table holds of a caller, across calls: to hand it out, or to delete it.

    +15550100001             profile, orders, bookings, and what tools store for a caller
    CallSid                  all of a call: session item, facts, record, listing, effects, tokens
    calls::+15550100001      which calls the number has made or received
    usage::+15550100001      places and tokens of the limits
    dial::turns, dial::…     outbound calls
    recordings::<digest>     links of recorded calls, which do not expire, in the index
    linked                   items elsewhere with the call's SID, whose partitions `linked` names

A partition is taken whole, so what a tool or a later version adds to it is covered. A call whose
number may be forged is deleted with the others, but not handed out: its words may be another
person's. What stays has a reason: a legal hold on the profile (`legalHold`, its reason as text), an
item that is still needed (`neededUntil`, epoch seconds: an order in the kitchen, a booked tour), a
call in progress, and what lies outside of the table and could not be deleted there.

What leads to something is deleted after it: a deletion that fails half-way can be begun again.
Rejected: a list of kinds of items, which the next kind would not be in.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from itertools import chain
from typing import NamedTuple

import structlog

from agent.errors import RecordingError
from agent.ports import Item, Key, Store
from agent.session.call_recording import CallRecordings, recordings_of
from agent.session.caller_limits import usage_partition
from agent.session.outbound import TURNS, dials_of, turns_of
from agent.store.call_state.call_item import CONNECTION, UNTRUSTED
from agent.store.call_state.call_list import LISTING, calls_partition
from agent.usecases import PROFILE
from agent.usecases.validation import plain, text_in

log = structlog.get_logger(__name__)

LONGEST_CALL_SECONDS = 4 * 3600
"""Twilio ends a call by then (https://www.twilio.com/docs/voice/twiml/dial#timelimit)."""
_AT_ONCE = 16

DeleteOutside = Callable[[Sequence[Item]], Awaitable[Sequence[str]]]
"""Deletes what a call has outside of the table, such as a recording at Twilio, named by its items;
returns a line for each that stays. It may be called again for the same call."""


class Kept(NamedTuple):
    """Something that stays, and why."""

    what: str
    reason: str


@dataclass(frozen=True, slots=True)
class PersonalData:
    """What the table holds of a caller."""

    caller: str
    """E.164 number, or `client:` and a name."""
    own: list[Item] = field(default_factory=list)
    """In the caller's partition."""
    calls: dict[str, list[Item]] = field(default_factory=dict)
    """All items of each call, by CallSid; perhaps none, if a call has expired."""
    counted: list[Item] = field(default_factory=list)
    """Of limits and of outbound calls."""
    leads: list[Item] = field(default_factory=list)
    """By which the calls are found."""

    @property
    def hold(self) -> str:
        """Why nothing may be deleted; empty = all may be."""
        [profile] = [item for item in self.own if item["sk"] == PROFILE] or [{}]
        return text_in(profile, "legalHold")

    def in_progress(self, now: float) -> list[str]:
        """The calls that may still go on: begun lately, and no end of theirs is listed."""
        return [sid for sid, items in self.calls.items() if may_go_on(items, now)]

    def forged(self) -> list[str]:
        """The calls whose number may be forged."""
        return [
            sid
            for sid, items in self.calls.items()
            if any(item["sk"] == CONNECTION and item.get(UNTRUSTED) for item in items)
        ]

    def as_export(self) -> dict[str, object]:
        """All of it as one value of JSON's types, without what a forged number has led to."""
        forged = self.forged()
        return {
            "caller": self.caller,
            "items": [*self.own, *self.counted],
            "calls": {sid: items for sid, items in self.calls.items() if sid not in forged},
            "left_out": [f"{sid}: its number may be forged" for sid in forged],
        }


NOT_REACHED = (
    "Not reached: log groups of CloudWatch, with LOG_PERSONAL_DATA the service's own; the log of"
    " model invocations of Bedrock; backups of the table; Twilio's own log of the call. See"
    " docs/operate/privacy.md for the commands."
)


class Deletion(NamedTuple):
    """What was deleted, by the kind of item, and what stays."""

    deleted: dict[str, int]
    kept: list[Kept]


async def find_personal_data(store: Store, caller: str) -> PersonalData:
    """Read all that the table holds of a caller. Raises `StoreError`.

    `caller` is an identity, see `agent.usecases.caller_identity.identify`, and not empty.
    """
    own, leads, usage, turns, dials, links = await asyncio.gather(
        store.query(caller),
        store.query(calls_partition(caller)),
        store.query(usage_partition(caller)),
        store.query(TURNS, f"{turns_of(caller)}::"),
        store.query_index(dials_of(caller)),
        store.query_index(recordings_of(caller)),
    )
    listed = (text_in(item, "callSid") for item in leads)
    recorded = (text_in(link, "pk") for link in links)  # they do not expire
    sids = dict.fromkeys(sid for sid in (*listed, *recorded) if sid)
    at_once = asyncio.Semaphore(_AT_ONCE)

    async def partition(pk: str) -> list[Item]:
        async with at_once:
            return await store.query(pk)

    found = await asyncio.gather(*map(partition, sids))
    calls = dict(zip(sids, found, strict=True))
    further = {text_in(dial, "pk") for dial in dials}
    elsewhere = await asyncio.gather(*map(partition, sorted(further)))
    linked = [item async for item in _linked(calls, partition)]
    counted = {_key(item): item for item in (*usage, *turns, *chain(*elsewhere), *linked)}
    return PersonalData(caller, own, calls, list(counted.values()), leads)


async def _linked(
    calls: dict[str, list[Item]], partition: Callable[[str], Awaitable[list[Item]]]
) -> AsyncIterator[Item]:
    """The items of these calls in partitions that are not theirs."""
    for sid, items in calls.items():
        names = {name for item in items for name in _names(item)}
        for name in sorted(names):
            for item in await partition(name):
                if item.get("callSid") == sid:
                    yield item


async def forget_caller(
    store: Store, recordings: CallRecordings, caller: str, now: float
) -> Deletion:
    """Delete all that may be deleted of a caller, also what Twilio has recorded of the calls.

    As `find_personal_data` and `delete_personal_data`; `now` is epoch seconds.
    """

    async def delete_recordings(call: Sequence[Item]) -> list[str]:
        try:
            for call_sid in {str(item["pk"]) for item in call}:
                await recordings.delete(call_sid)
        except RecordingError as error:
            return [f"its recording at Twilio was not deleted: {error}"]
        return []

    data = await find_personal_data(store, caller)
    return await delete_personal_data(store, data, now, delete_recordings)


async def delete_personal_data(
    store: Store,
    data: PersonalData,
    now: float,
    delete_outside: DeleteOutside | None = None,
) -> Deletion:
    """Delete what was found, but for what must stay. Raises `StoreError`; then begin again.

    It is logged with a digest of the caller's number. `now` is epoch seconds.
    """
    if data.hold:
        log.info("caller_data.deletion_refused", caller_digest=_digest(data.caller))
        return Deletion({}, [Kept("everything", f"legal hold: {data.hold}")])
    kept, going_on = list[Kept](), data.in_progress(now)
    kept += [Kept(f"call {sid}", "it is in progress, or was cut off") for sid in going_on]
    over = {sid: items for sid, items in data.calls.items() if sid not in going_on}
    if delete_outside is not None:
        for sid, items in list(over.items()):
            if left := await delete_outside(items):
                kept += [Kept(f"call {sid}", line) for line in left]
                del over[sid]
    found = (*data.own, *data.counted, *chain(*over.values()))
    needed = {_key(item): until for item in found if (until := _needed_until(item)) > now}
    kept += [Kept("::".join(key), f"needed until {_shown(at)}") for key, at in needed.items()]
    for item in data.counted:  # its call leads to it
        if _key(item) in needed:
            over.pop(text_in(item, "callSid"), None)
    staying = data.calls.keys() - over
    staying |= {sid for sid, items in over.items() if any(_key(it) in needed for it in items)}
    leads = [item for item in data.leads if text_in(item, "callSid") not in staying]
    counted = [item for item in data.counted if item.get("callSid") not in going_on]
    deleted: dict[str, int] = {}
    for group in (counted, list(chain(*over.values())), data.own, leads):
        items = [item for item in group if _key(item) not in needed]
        await _delete_all(store, map(_key, items))
        for item in items:
            kind = _kind(item, data.calls)
            deleted[kind] = deleted.get(kind, 0) + 1
    await store.scrub()
    digest, total = _digest(data.caller), sum(deleted.values())
    log.info("caller_data.deleted", caller_digest=digest, items=total, kept=len(kept))
    return Deletion(deleted, kept)


async def _delete_all(store: Store, keys: Iterable[Key]) -> None:
    at_once = asyncio.Semaphore(_AT_ONCE)

    async def delete(key: Key) -> None:
        async with at_once:
            await store.delete(*key)

    async with asyncio.TaskGroup() as group:
        for key in keys:
            group.create_task(delete(key), name="deletion")


def may_go_on(items: Sequence[Item], now: float) -> bool:
    """Whether the call of these items is in progress at `now`, as far as they tell."""
    by_key = {item["sk"]: item for item in items}
    began = plain(by_key.get(CONNECTION, {}).get("startedMs"))
    is_recent = isinstance(began, int) and began / 1000 > now - LONGEST_CALL_SECONDS
    return is_recent and not text_in(by_key.get(LISTING, {}), "reason")


def _needed_until(item: Item) -> float:
    until = plain(item.get("neededUntil"))
    return until if isinstance(until, int | float) else 0.0


def _names(item: Item) -> list[str]:
    names = plain(item.get("linked"))
    return [str(name) for name in names if name] if isinstance(names, list) else []


def _kind(item: Item, calls: Collection[str]) -> str:
    pk, sk = _key(item)
    return (
        f"call {sk.partition('::')[0]}"
        if pk in calls
        else (pk if "::" in pk else sk).split("::")[0]
    )


def _key(item: Item) -> Key:
    return str(item["pk"]), str(item["sk"])


def _shown(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="minutes")


def _digest(caller: str) -> str:
    return sha256(caller.encode()).hexdigest()[:16]
