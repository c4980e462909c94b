"""Outbound calls: which numbers may be called, how often, and for what a call was made.

Only numbers that begin as `OUTBOUND_NUMBERS` says are called: E.164 with seven digits or more, so
no emergency number. Before Twilio is asked, the call is recorded under the hash of a token; the
first call that comes with the token owns it, and may come again. Rejected: recording it under its
CallSid, which is lost if Twilio's answer is. The index finds the record by the number. Limits are
items in the table that expire, so they hold for all processes; a number that Twilio refused has
used its turn.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from urllib.parse import urlencode

import structlog

from agent.errors import DialError, DialFault, UseCaseError
from agent.ports import Dialer, Item, Store
from agent.settings import Settings
from agent.store.call_state.call_item import variables_of
from agent.usecases import UseCase
from agent.usecases.call_variables import filled_variables
from agent.usecases.caller_identity import is_telephone_number

log = structlog.get_logger(__name__)

CALLS_OF_A_NUMBER, CALLS_OF_ALL = (3, 3600), (30, 60)
"""Number of calls, and within how many seconds."""
DIAL_SECONDS = 3600  # how long a call may wait in Twilio's queue and ring
FINAL_STATUSES = frozenset({"completed", "busy", "no-answer", "failed", "canceled"})
_POLL_SECONDS = 2.0
_LONGEST_SECONDS = 3900.0  # the longest ringing and the longest call together
_DIAL = "dial"
_CLAIM = "claim"
TURNS = "dial::turns"
"""The partition with the calls lately made, by number."""


@dataclass(frozen=True, slots=True)
class OutboundCallRecord:
    """An outbound call."""

    to: str
    caller_id: str
    use_case: str
    variables: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class OutboundCalls:
    """Makes calls, and recognises them when they are answered."""

    settings: Settings
    store: Store
    dialer: Dialer | None  # None without a Twilio account
    use_case: Callable[[str], Awaitable[UseCase]]  # by its name; raises UseCaseError
    clock: Callable[[], float]

    async def dial(
        self,
        to: str,
        use_case: str,
        caller_id: str = "",
        variables: Mapping[str, str] = MappingProxyType({}),
    ) -> str:
        """Call a number; returns the CallSid when it rings, or raises `DialError`.

        Numbers are E.164; an empty `caller_id` is `OUTBOUND_FROM`. `variables` are those of the use
        case that have another value than the default in this call.
        """
        dialer = self._ready()
        caller_id = caller_id or self.settings.outbound_from
        self._check_numbers(to, caller_id)
        try:
            declared = (await self.use_case(use_case)).variables
        except UseCaseError as error:
            raise DialError(DialFault.USE_CASE, str(error)) from error
        if unknown := sorted(variables.keys() - declared.keys()):
            detail = f"{use_case} has no variable {unknown[0][:64]!r}"
            raise DialError(DialFault.VARIABLE, detail)
        await self._take_turns(to)
        record = OutboundCallRecord(to, caller_id, use_case, filled_variables(declared, variables))
        token = await record_call(self.store, record, self.clock())
        origin = self.settings.origin
        answer_url = f"{origin}/twiml?{urlencode({'dial': token})}"
        call_sid = await dialer.dial(to, caller_id, answer_url, f"{origin}/calls/status")
        log.info("outbound_call.dialled", call_sid=call_sid, use_case=use_case)
        return call_sid

    async def claim(self, token: str, webhook: Mapping[str, str]) -> OutboundCallRecord | None:
        """The record of a call that was answered; None if the token is not of this call."""
        if not webhook.get("Direction", "").startswith("outbound"):
            return None
        call_sid, to = webhook.get("CallSid", ""), webhook.get("To", "")
        partition = _partition(token)
        item = await self.store.get(partition, _DIAL)
        if item is None or item.get("to") != to:
            return None
        mark: Item = {
            "pk": partition,
            "sk": _CLAIM,
            "callSid": call_sid,
            "expireAt": int(self.clock()) + DIAL_SECONDS,
        }
        if not await self.store.put(mark, only_if_absent=True):
            owner = await self.store.get(partition, _CLAIM)
            if owner is None or owner.get("callSid") != call_sid:
                return None
        caller_id, use_case = str(item.get("callerId", "")), str(item.get("useCase", ""))
        return OutboundCallRecord(to, caller_id, use_case, variables_of(item))

    async def until_over(self, call_sid: str) -> str:
        """Wait for the end of a call; returns its last status, which may not be a final one."""
        dialer = self._ready()
        status = await dialer.status(call_sid)
        try:
            async with asyncio.timeout(_LONGEST_SECONDS):
                while status not in FINAL_STATUSES:
                    await asyncio.sleep(_POLL_SECONDS)
                    status = await dialer.status(call_sid)
        except TimeoutError:
            log.warning("outbound_call.wait_timed_out", call_sid=call_sid)
        return status

    def _ready(self) -> Dialer:
        if self.dialer is None:
            detail = "TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN, or an API key, must be set"
            raise DialError(DialFault.UNCONFIGURED, detail)
        if not self.settings.is_public:
            detail = "WS_URL must be public, so that Twilio finds us"
            raise DialError(DialFault.UNCONFIGURED, detail)
        return self.dialer

    def _check_numbers(self, to: str, caller_id: str) -> None:
        if not is_telephone_number(caller_id):
            detail = "the number to call from must be E.164, +15550100000; see OUTBOUND_FROM"
            raise DialError(DialFault.CALLER_ID, detail)
        if not is_telephone_number(to):
            raise DialError(DialFault.NUMBER, "the number to call must be E.164, +15550100000")
        if not to.startswith(self.settings.outbound_numbers):
            raise DialError(DialFault.NUMBER, "OUTBOUND_NUMBERS does not list the number")

    async def _take_turns(self, to: str) -> None:
        for whom, which, (count, seconds) in (
            (turns_of(to), "to the number", CALLS_OF_A_NUMBER),
            ("all", "to any number", CALLS_OF_ALL),
        ):
            if not await take_turn(self.store, whom, count, seconds, self.clock()):
                detail = f"no more than {count} calls {which} in {seconds} seconds"
                raise DialError(DialFault.LIMITED, detail)


async def record_call(store: Store, dial: OutboundCallRecord, now: float) -> str:
    """Record an outbound call; returns its token."""
    token = secrets.token_urlsafe(24)
    item: Item = {
        "pk": _partition(token),
        "sk": _DIAL,
        "pk1": dials_of(dial.to),
        "sk1": str(int(now)),
        "to": dial.to,
        "callerId": dial.caller_id,
        "useCase": dial.use_case,
        "variables": dict(dial.variables),
        "expireAt": int(now) + DIAL_SECONDS,
    }
    await store.put(item)
    return token


async def take_turn(store: Store, limit: str, count: int, seconds: int, now: float) -> bool:
    """Count one more of `count` calls within any `seconds`; false if the limit is reached."""
    taken = {item["sk"] for item in await store.query(TURNS, f"{limit}::")}
    for sk in (f"{limit}::{number:03}" for number in range(count)):
        place: Item = {"pk": TURNS, "sk": sk, "expireAt": int(now) + seconds + 1}
        if sk not in taken and await store.put(place, only_if_absent=True):
            return True
    return False


def turns_of(number: str) -> str:
    """The limit of calls to a number: the beginning of its sort keys in `TURNS`."""
    return f"number::{number}"


def dials_of(number: str) -> str:
    """The key of the index that has the outbound calls to a number."""
    return f"dial::{number}"


def _partition(token: str) -> str:
    return f"dial::{hashlib.sha256(token.encode(errors='replace')).hexdigest()}"
