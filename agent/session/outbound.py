"""Calls that we make: who may be called, how often, and what a call that was answered is for.

Nobody is called unless an operator has said so in `OUTBOUND_NUMBERS`; the list is empty by default.
What is asked for is checked here, whether it comes from a command or over HTTP, and refused in one
line. Numbers are E.164 with seven digits or more: emergency numbers have three or four after a
country code at most, and are no such numbers.

Limits are kept in the table (`agent.store.call_state.outbound_records`) and not in the process: a
command makes one call and ends. A number that was refused by Twilio has used its turn.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from urllib.parse import urlencode

import structlog

from agent.errors import DialError, DialFault, UseCaseError
from agent.ports import Dialer, Store
from agent.settings import Settings
from agent.store.call_state import outbound_records as dials
from agent.store.call_state.outbound_records import OutboundCallRecord
from agent.usecases.caller_identity import is_telephone_number
from agent.usecases.use_case import UseCase

log = structlog.get_logger(__name__)

CALLS_OF_A_NUMBER = (3, 3600)
"""So many calls to one number in so many seconds."""
CALLS_OF_ALL = (30, 60)
FINAL_STATUSES = frozenset({"completed", "busy", "no-answer", "failed", "canceled"})
_POLL_SECONDS = 2.0
_LONGEST_SECONDS = 3900.0
"""Ringing, and the longest call there is."""


class OutboundCalls:
    """Makes calls, and tells what they are for when they are answered."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        dialer: Dialer | None,
        use_case: Callable[[str], Awaitable[UseCase]],
        clock: Callable[[], float],
    ) -> None:
        """Begin with no call.

        Args:
            settings: Who may be called, and from which number.
            store: The table.
            dialer: None where there is no account to call with.
            use_case: Finds one by its name, or raises `UseCaseError`.
            clock: Epoch seconds.
        """
        self._settings = settings
        self._store = store
        self._dialer = dialer
        self._use_case = use_case
        self._clock = clock

    async def dial(self, to: str, use_case: str, caller_id: str = "") -> str:
        """Call a number; the SID of the call, which then rings.

        Args:
            to: E.164 number.
            use_case: Name of the agent that talks.
            caller_id: E.164 number of the account; empty = `OUTBOUND_FROM`.

        Raises:
            DialError: It may not be called, or Twilio does not.
            StoreError: The table cannot be reached.
        """
        dialer = self._ready()
        caller_id = caller_id or self._settings.outbound_from
        self._check_numbers(to, caller_id)
        try:
            await self._use_case(use_case)
        except UseCaseError as error:
            raise DialError(DialFault.USE_CASE, str(error)) from error
        await self._take_turns(to)
        token = await dials.remember(
            self._store, OutboundCallRecord(to, caller_id, use_case), self._clock()
        )
        origin = self._settings.origin
        call_sid = await dialer.dial(
            to, caller_id, f"{origin}/twiml?{urlencode({'dial': token})}", f"{origin}/calls/status"
        )
        log.info("outbound.dialled", call_sid=call_sid, use_case=use_case)
        return call_sid

    async def claim(self, token: str, webhook: Mapping[str, str]) -> OutboundCallRecord | None:
        """What a call is for that was answered; None if the token is not of this call.

        Args:
            token: Of the URL the webhook came to.
            webhook: Its fields, verified.

        Raises:
            StoreError: The table cannot be reached.
        """
        if not webhook.get("Direction", "").startswith("outbound"):
            return None
        call_sid, to = webhook.get("CallSid", ""), webhook.get("To", "")
        return await dials.claim(self._store, token, call_sid, to, self._clock())

    async def until_over(self, call_sid: str) -> str:
        """Wait for the end of a call; its last status, which may be none of the final ones.

        Raises:
            DialError: Twilio does not tell.
        """
        dialer = self._ready()
        status = await dialer.status(call_sid)
        try:
            async with asyncio.timeout(_LONGEST_SECONDS):
                while status not in FINAL_STATUSES:
                    await asyncio.sleep(_POLL_SECONDS)
                    status = await dialer.status(call_sid)
        except TimeoutError:
            log.warning("outbound.not_over", call_sid=call_sid)
        return status

    def _ready(self) -> Dialer:
        if self._dialer is None:
            detail = "TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN, or an API key, must be set"
            raise DialError(DialFault.UNCONFIGURED, detail)
        if not self._settings.is_public:
            raise DialError(
                DialFault.UNCONFIGURED, "WS_URL must be public, so that Twilio finds us"
            )
        return self._dialer

    def _check_numbers(self, to: str, caller_id: str) -> None:
        if not is_telephone_number(caller_id):
            detail = "the number to call from must be E.164, +15550100000; see OUTBOUND_FROM"
            raise DialError(DialFault.CALLER_ID, detail)
        if not is_telephone_number(to):
            raise DialError(DialFault.NUMBER, "the number to call must be E.164, +15550100000")
        if not to.startswith(self._settings.outbound_numbers):
            raise DialError(DialFault.NUMBER, "OUTBOUND_NUMBERS does not list the number")

    async def _take_turns(self, to: str) -> None:
        for whom, (count, seconds) in (
            (f"number::{to}", CALLS_OF_A_NUMBER),
            ("all", CALLS_OF_ALL),
        ):
            if not await dials.take_turn(self._store, whom, count, seconds, self._clock()):
                which = "to any number" if whom == "all" else "to the number"
                detail = f"no more than {count} calls {which} in {seconds} seconds"
                raise DialError(DialFault.LIMITED, detail)
