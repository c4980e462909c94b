"""Redaction of a call that is over, in the table: its use case has `[redaction]`.

    pk   CallSid        state     due, begun, done
    sk   redaction      values    JSON text: what is replaced by what, while it is begun

All items of the call are covered, also those that a tool or a later version adds. It begins when
the outcome of the call is known. Events that wait to be delivered are left until they were; then
the values are dropped with the last write.

What is replaced by what is written first: a process that is killed half-way leaves it, and the next
one goes on with the same placeholders. Each item is written unless a newer one exists, and writing
it again changes nothing. The caller's number stays in keys, by which `forget` finds the call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Container, Iterable, Sequence
from typing import NamedTuple

import msgspec
import structlog

from agent.call.events import EndReason
from agent.call.history import CallerSaid, InputMode, ToolUsed
from agent.errors import StoreError
from agent.events.outbox import EventState, StoredEvent, stored_event
from agent.observability.recording.redacted_record import redacted_fact, redacted_record
from agent.observability.recording.serialization import RECORD
from agent.ports import Item, Store
from agent.session.due_work import due_item
from agent.session.personal_data import LONGEST_CALL_SECONDS, may_go_on
from agent.store.call_state.call_item import (
    CONNECTION,
    REDACTED,
    REDACTION,
    number_of,
    our_number,
    profile_item_of,
)
from agent.store.call_state.journal import CHAT, fact_attributes, fact_from_item
from agent.store.call_state.outcome_item import OUTCOME
from agent.usecases import PROFILE, UseCase
from agent.usecases.outcome_schema import Asked
from agent.usecases.redaction import Redactor
from agent.usecases.validation import plain, text_in

log = structlog.get_logger(__name__)

SETTLE_SECONDS = 90
"""After the end of a connection, more than its outcome takes."""
_LOOK_SECONDS, _LONGEST_WAIT_SECONDS = 60.0, 3600.0
_OUTCOME_SECONDS = 3600.0
"""An outcome that is pending for longer has lost its process."""
_EVENT_SECONDS = 25 * 3600.0
"""An event that waits for longer is given up as soon as a process sends it."""
_OWN = ("due::", "lane::", "told::", REDACTION)
_EVENT = "event::"
_LEFT = frozenset({
    "pk", "sk", "pk1", "sk1", "sequence", "expireAt", "callSid", "CallSid", "AccountSid",
    "useCase", "llmModel", "tools", "dtmfHandlers", "socketToken", "leading", "opened",
    "sessionId", "receiver", "eventId", "order", "kind", "state", "process", "linked", "effect",
    "owner", "recordingSid",
})  # fmt: skip
"""Attributes that hold no personal value, or by which something is found."""
_PLACES = ("FromCity", "FromZip", "CallerCity", "CallerZip")


class _Change(NamedTuple):
    item: Item
    attributes: Item
    """The new ones; none = the item is deleted."""


class CallRedaction:
    """Redacts the calls of any process; `clock` is in epoch seconds."""

    def __init__(self, store: Store, clock: Callable[[], float], kept_seconds: int) -> None:
        self._store = store
        self._clock = clock
        self._kept_seconds = kept_seconds

    async def note(self, call_sid: str, use_case: UseCase, reason: EndReason | None = None) -> None:
        """Have a call redacted some time after this connection; never raises.

        `reason`: why the connection has ended; None = it begins, and a killed process may never
        tell its end. Of the end of a transfer only Twilio knows.
        """
        if (options := use_case.redaction) is None:
            return
        goes_on = reason in {None, EndReason.TRANSFER}
        seconds = LONGEST_CALL_SECONDS if goes_on else SETTLE_SECONDS
        now = self._clock()
        until = int(now) + self._kept_seconds
        item: Item = {
            "pk": call_sid,
            "sk": REDACTION,
            "state": "due",
            "fields": list(options.fields),
            "languages": list(use_case.translations),
            "sequence": 0,
            "expireAt": until,
        }
        try:
            await self._store.put(item, only_if_absent=True)
            await self._store.put_newer(due_item(call_sid, REDACTION, now + seconds, now, until))
        except StoreError as error:
            log.error("redaction.not_planned", error=type(error).__name__)

    async def redact(self, call_sid: str) -> float | None:
        """Redact a call; `agent.session.due_work.Work`. Raises `StoreError`."""
        items, now = await self._store.query(call_sid), self._clock()
        by_key = {text_in(item, "sk"): item for item in items}
        own = by_key.get(REDACTION)
        if own is None or own.get("state") == REDACTED:
            return None
        if may_go_on(items, now) or _awaits_outcome(by_key.get(OUTCOME, {}), now):
            return _LOOK_SECONDS
        redactor = _redactor_of(own)
        known = redactor.state
        waiting = _waiting(items, now)
        left = {event.sk for event in waiting}
        changes = await asyncio.to_thread(redacted_items, items, redactor, left)
        if redactor.state != known or own.get("state") != "begun":
            values = msgspec.json.encode(redactor.state).decode()
            own = {**own, "state": "begun", "values": values, "sequence": _sequence(own) + 1}
            if not await self._store.put_newer(own):
                return _LOOK_SECONDS  # another process is at it
        await self._write(call_sid, changes)
        if CONNECTION in by_key and await self._store.get(call_sid, CONNECTION) is None:
            for written in (*(change.item for change in changes), own):  # it was deleted meanwhile
                await self._store.delete(call_sid, text_in(written, "sk"))
            return None
        if waiting:
            due_at = min(event.due_at for event in waiting)
            return min(max(_LOOK_SECONDS, due_at - now), _LONGEST_WAIT_SECONDS)
        done = {**own, "state": REDACTED, "atMs": int(now * 1000), "sequence": _sequence(own) + 1}
        del done["values"]
        if not await self._store.put_newer(done):
            return _LOOK_SECONDS
        log.info("call.redacted", items=len(changes))
        return None

    async def _write(self, call_sid: str, changes: Iterable[_Change]) -> None:
        """The session item is the last: without it the call was deleted meanwhile."""
        for item, attributes in sorted(changes, key=lambda it: it.item["sk"] == CONNECTION):
            sk = text_in(item, "sk")
            if not attributes:
                await self._store.delete(call_sid, sk)
            elif sk == CONNECTION and await self._store.get(call_sid, sk) is None:
                return
            elif "sequence" in item:
                newer = {"sequence": _sequence(item) + 1}
                await self._store.put_newer({**item, **attributes, **newer})
            else:
                until = {"expireAt": item["expireAt"]} if "expireAt" in item else {}
                await self._store.merge(call_sid, sk, {**attributes, **until})


def redacted_items(
    items: Sequence[Item], redactor: Redactor, left: Container[str] = ()
) -> list[_Change]:
    """What changes of the items of a call, but for those `left`, named by sort keys.

    Learns all values first, so that a name is found before the tool call that tells it. The chunks
    of a record are to be written in this order.
    """
    covered = [item for item in items if not text_in(item, "sk").startswith(_OWN)]
    _learn(covered, redactor)
    records = [item for item in covered if text_in(item, "sk").startswith(RECORD)]
    changes = [
        _Change(item, {"lines": lines} if lines else {})
        for item, lines in redacted_record(records, redactor)
        if lines != item.get("lines")
    ]
    for item in covered:
        sk = text_in(item, "sk")
        if sk.startswith(RECORD):
            continue
        new = _redacted(item, redactor)
        if sk not in left and (changed := {n: new[n] for n in new if new[n] != item.get(n)}):
            changes.append(_Change(item, changed))
    return changes


def _learn(items: Iterable[Item], redactor: Redactor) -> None:
    said = list[str]()
    for item in items:
        sk = text_in(item, "sk")
        fact = fact_from_item(item) if sk.startswith(CHAT) else None
        if sk == CONNECTION:
            own = {**profile_item_of(item)}
            keywords = {PROFILE, text_in(item, "useCase"), text_in(own, "useCase")}
            names = ("pk", "sk", "pk1", "sk1", "expireAt")
            redactor.learn_profile({n: own[n] for n in own if n not in names}, keywords)
            redactor.learn({"callerName": item.get("CallerName"), "phone": number_of(item)})
            redactor.learn({"address": [item.get(name) for name in _PLACES]})
            redactor.learn(item.get("variables"))
        elif isinstance(fact, CallerSaid) and fact.means is InputMode.KEYPAD:
            redactor.learn_keys(fact.text.replace(" ", ""))
        elif isinstance(fact, CallerSaid):
            said.append(fact.text)
        elif isinstance(fact, ToolUsed):
            redactor.learn(fact.call.arguments)
            redactor.learn(fact.result.content if fact.result else "")
        elif not sk.startswith(RECORD):
            redactor.learn({name: item[name] for name in item if name not in _LEFT})
    redactor.learn_pieces(said)


def _redacted(item: Item, redactor: Redactor) -> Item:
    fact = fact_from_item(item) if text_in(item, "sk").startswith(CHAT) else None
    if fact is not None:
        return fact_attributes(redacted_fact(fact, redactor))
    ours = our_number(item) if item["sk"] == CONNECTION else None
    names = (name for name in item if name not in _LEFT and item[name] != ours)
    return {name: redactor.value(item[name], name) for name in names}


def _redactor_of(own: Item) -> Redactor:
    languages, fields = plain(own.get("languages")), plain(own.get("fields"))
    state = msgspec.json.decode(text_in(own, "values") or "{}")
    return Redactor(
        languages if isinstance(languages, list) else (),
        fields if isinstance(fields, list) else (),
        state,
    )


def _waiting(items: Iterable[Item], now: float) -> list[StoredEvent]:
    """The events that are still to be delivered."""
    events = (stored_event(item) for item in items if text_in(item, "sk").startswith(_EVENT))
    waiting = [event for event in events if event.state is EventState.WAITING]
    return [event for event in waiting if event.since + _EVENT_SECONDS > now]


def _awaits_outcome(outcome: Item, now: float) -> bool:
    is_pending = outcome.get("asked") == Asked.PENDING
    return is_pending and _sequence(outcome) / 1000 > now - _OUTCOME_SECONDS


def _sequence(item: Item) -> int:
    found = plain(item.get("sequence"))
    return found if isinstance(found, int) else 0
