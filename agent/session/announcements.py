"""What the list of calls and the operator's systems are told of a call: its beginning and its end.

Each event is written once, with a mark of its own (`Outbox.tell`): items of the list are replaced
for each connection, and writes of them may overtake each other. `call.ended` is written by what
knows it first: the process of a call that ended for good, or the action webhook of Twilio, which
reaches another process if that one was killed. Only Twilio knows of the end of a transfer, and of
what became of a message that it had accepted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

import structlog

from agent.call.events import EndReason
from agent.errors import StoreError
from agent.ports import Item, Store
from agent.store.call_state import call_item
from agent.store.call_state.call_list import LISTING, CallList, listing
from agent.tools import IdempotencyStore
from agent.tools.builtin.messaging import event_of
from agent.tools.idempotency import EffectState, Result
from agent.usecases.call_events import (
    CallEndedEvent,
    CallEvent,
    CallStartedEvent,
    MessageFailedEvent,
    MessageSentEvent,
    Outbox,
    TransferEndedEvent,
    TransferFailedEvent,
    TransferStartedEvent,
)

log = structlog.get_logger(__name__)

_GOES_ON = frozenset({EndReason.TRANSFER, EndReason.ERROR_RELAY, EndReason.DRAIN})
"""Ends of a connection after which the call may go on."""
UNKNOWN_REASON = "unknown"
NOT_DELIVERED = "The text message could not be delivered."
_REFERENCE = re.compile(r"([\w-]{1,64})\.([0-9a-f]{64})")
"""A call, and the key of an effect of it."""


class CallAnnouncer:
    """Writes what is told of the calls of one process; no method raises. Days: of `CallList`."""

    def __init__(
        self,
        store: Store,
        outbox: Outbox,
        clock: Callable[[], float],
        *,
        days: int = 1,
        longest_days: int = 1,
    ) -> None:
        self.list = CallList(store, clock, days, longest_days)
        self._store = store
        self._outbox = outbox
        self._clock = clock

    async def began(self, item: Item) -> None:
        """A connection begins; `item` is the session item of a call that is set up."""
        await self._tell(_started(item))
        await self.list.note(item)

    async def ended(
        self, item: Item, reason: EndReason, tools: Iterable[str], success: str = ""
    ) -> None:
        """A connection has ended, on which these tools were used, or before it.

        `success`: of the outcome, as far as tools tell it; empty = the use case declares none.
        """
        ended = _ended(item, listing(item, self._clock(), reason))
        await self.list.note(item, reason, tools, success)
        await self._tell(_started(item))  # if the table had failed then
        if reason not in _GOES_ON:
            await self._tell(ended)

    async def is_over(self, call_sid: str, *, has_hung_up: bool) -> None:
        """Twilio says that a call is over; `has_hung_up`: the caller ended it, as far as it knows.

        The reason that its process has written is the better one.
        """
        if not self._outbox.wants(CallEndedEvent.kind):
            return
        item, listed = await self._read(call_sid)
        reason = EndReason.CALLER_HANGUP if has_hung_up else UNKNOWN_REASON
        if item and listed:  # else the caller has hung up before a connection
            known = str(listed.get("reason") or reason)
            await self._tell(_ended(item, listing(item, self._clock(), known)))

    async def transfer_began(self, call_sid: str, transfer: str, target: str, why: str) -> None:
        """Twilio is told to transfer a call; `transfer` distinguishes it, `why` are our words."""
        if self._outbox.wants(TransferStartedEvent.kind):
            call = _call_of((await self._read(call_sid))[0], call_sid)
            await self._tell(TransferStartedEvent(**call, target=target, reason=why), transfer)

    async def transfer_ended(self, call_sid: str, transfer: str, fault: str) -> None:
        """A transfer is over; `fault`: why it reached no person, empty = it did."""
        kind = TransferFailedEvent.kind if fault else TransferEndedEvent.kind
        if self._outbox.wants(kind):
            call = _call_of((await self._read(call_sid))[0], call_sid)
            reached, failed = TransferEndedEvent(**call), TransferFailedEvent(**call, reason=fault)
            await self._tell(failed if fault else reached, transfer)

    async def message_failed(self, reference: str, message: str, status: str, code: int) -> None:
        """Twilio says that a text message which it had accepted was not delivered.

        Waits for the process that sends it, and completes what a killed one has left: so
        `message.sent` comes first. A message that was told as failed is told once.

        Args:
            reference: `TextMessage.reference`, as its status callback has it.
            message: Twilio's id of it.
            status: `failed` or `undelivered`.
            code: Twilio's error code; 0 = none.
        """
        named = _REFERENCE.fullmatch(reference)
        kinds = MessageSentEvent.kind, MessageFailedEvent.kind
        if named is None or not any(map(self._outbox.wants, kinds)):
            return
        call_sid, key = named.groups()
        call = _call_of((await self._read(call_sid))[0], call_sid)
        result: Result = {"status": status, "sid": message, "message": NOT_DELIVERED}
        try:
            record = await IdempotencyStore(self._store, call_sid, self._clock).settled(
                key, result, lambda done: self._outbox.items(*event_of(call, key, done))
            )
        except StoreError as error:
            kind = MessageFailedEvent.kind
            log.error("event.write_failed", kind=kind, error=type(error).__name__)
            return
        if record is not None and record.state is EffectState.DONE:
            failed = MessageFailedEvent(
                **call,
                channel=record.effect,
                reason=status,
                message=message,
                error_code=code,
                recipient=str(record.plan.get("To", "")),
            )
            await self._tell(failed, [key])

    async def _read(self, call_sid: str) -> tuple[Item, Item]:
        """The session item of a call and its item of the list; empty if they are not there."""
        try:
            keys = [(call_sid, call_item.CONNECTION), (call_sid, LISTING)]
            item, listed = await self._store.get_many(keys)
        except StoreError as error:
            log.error("event.read_failed", error=type(error).__name__)
            return {}, {}
        return item or {}, listed or {}

    async def _tell(self, event: CallEvent, content: object = "") -> None:
        try:
            await self._outbox.tell(event, content)
        except StoreError as error:
            log.error("event.write_failed", kind=event.kind, error=type(error).__name__)


def _call_of(item: Item, call_sid: str) -> dict[str, str]:
    """What every event has."""
    caller, use_case = call_item.identity_of(item), call_item.use_case_of(item)
    return {"call": call_sid, "use_case": use_case, "caller": caller}


def _started(item: Item) -> CallStartedEvent:
    is_outbound = bool(call_item.outbound_use_case(item))
    return CallStartedEvent(
        **_call_of(item, str(item["pk"])),
        direction="outbound" if is_outbound else "inbound",
        number=call_item.our_number(item),
    )


def _ended(item: Item, listed: Item) -> CallEndedEvent:
    seconds, reason = listed["seconds"], str(listed["reason"])
    return CallEndedEvent(
        **_call_of(item, str(item["pk"])),
        seconds=seconds if isinstance(seconds, int) else 0,
        reason=reason,
    )
