"""Calls that we make: one request to Twilio's API, and what has become of the call.

Answering machines are detected before the call is connected to anything (`DetectMessageEnd`, not
asynchronous). Twilio then asks for the TwiML only when it knows who has answered: at once for a
person, after its greeting for a machine. So a person is greeted by the relay, a machine hears one
message whole, and neither hears what is meant for the other. The price is that a person waits a
few seconds in silence. Rejected: asynchronous detection, where the relay talks into the greeting of
the machine and must be torn off by a second request when the answer is known.

A request is made once. When its answer is lost nobody knows whether it rings, and ringing twice is
worse than not at all: so it is not repeated, neither here nor by the client.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

import aiohttp
from twilio.base.exceptions import (  # type: ignore[import-untyped] # ships no types
    TwilioException,
    TwilioRestException,
    TwilioServiceException,
)

from agent.errors import DialError, DialFault

RING_SECONDS = 30
"""How long it rings; most machines answer before."""
LONGEST_SECONDS = 3600
"""After this the carrier ends the call, should we not have."""
_REQUEST_SECONDS = 10.0
_UNREADABLE = "Twilio's answer cannot be read; whether it rings is not known"

_T = TypeVar("_T")


class TwilioDialer:
    """`ports.Dialer` over Twilio's API."""

    def __init__(self, client: Any) -> None:
        self._calls = client.calls

    async def dial(self, to: str, caller_id: str, url: str, status_url: str) -> str:
        """See `ports.Dialer`."""
        call = await _answer(
            self._calls.create_async(
                to=to,
                from_=caller_id,
                url=url,
                method="POST",
                machine_detection="DetectMessageEnd",
                status_callback=status_url,
                status_callback_method="POST",
                timeout=RING_SECONDS,
                time_limit=LONGEST_SECONDS,
            )
        )
        if not call.sid:
            raise DialError(DialFault.UNREACHABLE, _UNREADABLE)
        return str(call.sid)

    async def status(self, call_sid: str) -> str:
        """See `ports.Dialer`."""
        call = await _answer(self._calls(call_sid).fetch_async())
        return str(call.status)


async def _answer(request: Awaitable[_T]) -> _T:
    """What the API answers; its errors as ours, without a word of theirs that may be personal."""
    try:
        async with asyncio.timeout(_REQUEST_SECONDS):
            return await request
    except (TwilioRestException, TwilioServiceException) as error:
        answer = f"HTTP {error.status}, code {error.code}"
        if error.status >= 500 or error.status == 408:
            detail = f"Twilio failed: {answer}; whether it rings is not known"
            raise DialError(DialFault.UNREACHABLE, detail) from error
        raise DialError(DialFault.REFUSED, f"Twilio refused: {answer}") from error
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        detail = "Twilio gave no answer; whether it rings is not known"
        raise DialError(DialFault.UNREACHABLE, detail) from error
    except (
        TwilioException,
        ValueError,
        TypeError,
        AttributeError,
    ) as error:  # other JSON than ours
        raise DialError(DialFault.UNREACHABLE, _UNREADABLE) from error
