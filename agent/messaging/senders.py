"""The senders of SMS and e-mail; each sends a message at most once.

Twilio answers when it has queued an SMS (https://www.twilio.com/docs/messaging/api/message-resource)
and reports the delivery to the status callback (`agent.http.action_webhook`). SendGrid answers 202
when it has accepted an e-mail; bounces are visible there only
(https://www.twilio.com/docs/sendgrid/api-reference/mail-send/mail-send). Rejected: the library
`sendgrid`, which is synchronous and hides whether a request was written before it failed.
"""

from __future__ import annotations

from http import HTTPStatus
from json import JSONDecodeError

import aiohttp
import structlog
from twilio.base.exceptions import (  # type: ignore[import-untyped] # ships no types
    TwilioRestException,
    TwilioServiceException,
)
from twilio.rest import Client  # type: ignore[import-untyped] # the same

from agent.errors import MessageError, MessageRefusal, MessageRefusedError, provider_kind
from agent.ports import Mail, TextMessage
from agent.twilio.rest_client import is_certain_refusal, translating_errors

log = structlog.get_logger(__name__)

URL = "https://api.sendgrid.com/v3/mail/send"
_REFUSALS = {
    21610: MessageRefusal.OPTED_OUT,  # the recipient has texted STOP
    21211: MessageRefusal.RECIPIENT,  # not a valid number
    21265: MessageRefusal.RECIPIENT,  # a short code
    21408: MessageRefusal.RECIPIENT,  # a region the account may not send to
    21612: MessageRefusal.RECIPIENT,  # no route from this sender to the recipient
    21614: MessageRefusal.RECIPIENT,  # a land line
}
"""By https://www.twilio.com/docs/api/errors; all other codes are not about the recipient."""


class TwilioMessages:
    """Sends SMS."""

    def __init__(self, client: Client, status_callback: str) -> None:
        self._client = client
        self._callback = {"status_callback": status_callback} if status_callback else {}

    async def send(self, message: TextMessage) -> str:
        """Queue a message; returns its SID. Raises what `ports.Messenger.text` raises."""
        try:
            with translating_errors():
                sent = await self._client.messages.create_async(
                    to=message.recipient, from_=message.sender, body=message.body, **self._callback
                )
        except (TwilioRestException, TwilioServiceException) as error:
            raise _translated(error.status, error.code) from error
        except JSONDecodeError as error:
            raise MessageError("the answer is not JSON") from error
        return str(sent.sid or "")


def _translated(status: int, code: int | None) -> MessageError:
    """The error of an answer, without Twilio's text, which contains the number."""
    kind = provider_kind(code)
    log.warning("sms.failed", status=status, code=kind)
    detail = f"HTTP {status}, Twilio error {kind}"
    if not is_certain_refusal(status):
        return MessageError(detail)
    is_busy = status == HTTPStatus.TOO_MANY_REQUESTS
    refusal = MessageRefusal.OTHER if is_busy else _REFUSALS.get(code or 0, MessageRefusal.OTHER)
    return MessageRefusedError(refusal, detail)


class SendGrid:
    """Sends e-mails from one address."""

    def __init__(self, http: aiohttp.ClientSession, api_key: str, sender: str) -> None:
        self._http = http
        self._headers = {"Authorization": f"Bearer {api_key}"}
        self._sender = sender

    async def send(self, mail: Mail) -> None:
        """Send an e-mail. Raises what `ports.Messenger.mail` raises."""
        recipient = {"email": mail.recipient, **({"name": mail.name} if mail.name else {})}
        body = {
            "personalizations": [{"to": [recipient]}],
            "from": {"email": self._sender},
            "subject": mail.subject,
            "content": [{"type": "text/html", "value": mail.html}],
        }
        with translating_errors():
            async with self._http.post(
                URL, json=body, headers=self._headers, allow_redirects=False
            ) as answer:
                status = answer.status
        if status in {HTTPStatus.OK, HTTPStatus.ACCEPTED}:
            return
        log.warning("email.failed", status=status)
        if is_certain_refusal(status):
            raise MessageRefusedError(MessageRefusal.OTHER, f"HTTP {status}")
        raise MessageError(f"HTTP {status}")
