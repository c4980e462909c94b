"""Text messages by Twilio (`POST …/Messages.json`).

Twilio answers when it has queued a message; what becomes of it later is told to the status callback
(`agent.http.sms_status`). A recipient who has texted STOP is refused with error 21610: Twilio keeps
that list, and answers STOP, START and HELP by itself.
"""

from __future__ import annotations

from http import HTTPStatus
from json import JSONDecodeError

import structlog
from twilio.base.exceptions import (  # type: ignore[import-untyped] # ships no types
    TwilioRestException,
    TwilioServiceException,
)
from twilio.rest import Client  # type: ignore[import-untyped] # the same

from agent.errors import MessageError, MessageRefusal, MessageRefusedError, provider_kind
from agent.ports import TextMessage
from agent.twilio.rest_client import refused, telling_apart

log = structlog.get_logger(__name__)

_REFUSALS = {
    21610: MessageRefusal.OPTED_OUT,
    21211: MessageRefusal.RECIPIENT,  # no valid number
    21265: MessageRefusal.RECIPIENT,  # a short code
    21408: MessageRefusal.RECIPIENT,  # a region the account may not send to
    21612: MessageRefusal.RECIPIENT,  # no way from this sender to it
    21614: MessageRefusal.RECIPIENT,  # a land line
}
"""By Twilio's error code; all others are no fault of the recipient's."""


class TwilioMessages:
    """Sends text messages; each at most once."""

    def __init__(self, client: Client, status_callback: str) -> None:
        self._client = client
        self._callback = {"status_callback": status_callback} if status_callback else {}

    async def send(self, message: TextMessage) -> str:
        """Have a message queued; its SID. Errors as of `ports.Messenger`."""
        try:
            with telling_apart():
                sent = await self._client.messages.create_async(
                    to=message.recipient,
                    from_=message.sender,
                    body=message.body,
                    **self._callback,
                )
        except (TwilioRestException, TwilioServiceException) as error:
            raise _translated(error.status, error.code) from error
        except JSONDecodeError as error:
            raise MessageError("the answer is no JSON") from error
        return str(sent.sid or "")


def _translated(status: int, code: int | None) -> MessageError:
    """What an answer with an error means; without Twilio's words, which have the number in them."""
    kind = provider_kind(code)
    log.warning("sms.failed", status=status, code=kind)
    detail = f"HTTP {status}, Twilio error {kind}"
    if not refused(status):
        return MessageError(detail)
    is_busy = status == HTTPStatus.TOO_MANY_REQUESTS
    refusal = MessageRefusal.OTHER if is_busy else _REFUSALS.get(code or 0, MessageRefusal.OTHER)
    return MessageRefusedError(refusal, detail)
