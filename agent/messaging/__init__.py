"""SMS by Twilio and e-mail by SendGrid: `open_messenger` returns `ports.Messenger` over both.

Twilio answers when it has queued an SMS (https://www.twilio.com/docs/messaging/api/message-resource)
and reports the delivery to the status callback (`agent.http.action_webhook`). SendGrid answers 202
when it has accepted an e-mail; bounces are visible there only
(https://www.twilio.com/docs/sendgrid/api-reference/mail-send/mail-send). Rejected: the library
`sendgrid`, which is synchronous and hides whether a request was written before it failed.

An SMS is sent only to numbers that begin with an entry of `SMS_NUMBERS`; if it is empty, only to
the country of our own number: messages to some countries cost many times the domestic price. North
America and much of the Caribbean share the code `+1`: list area codes to tell them apart.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from json import JSONDecodeError
from typing import Any

import aiohttp
import structlog
from twilio.base.exceptions import TwilioRestException, TwilioServiceException  # type: ignore[import-untyped] # ships no types

from agent.errors import MessageError, MessageRefusal, MessageRefusedError, provider_kind
from agent.ports import Channel, Mail, Messenger, TextMessage
from agent.twilio import rest_client

log = structlog.get_logger(__name__)

_COUNTRY_CODE = re.compile(
    r"\+(?:1|7|2[07]|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58]|[2-9][0-9]{2})"
)
"""One to three digits (https://www.itu.int/rec/T-REC-E.164)."""
REFERENCE = "message"
"""The parameter of the status callback that has `TextMessage.reference`."""
MAIL_URL = "https://api.sendgrid.com/v3/mail/send"
_REFUSALS = {
    21610: MessageRefusal.OPTED_OUT,  # the recipient has texted STOP
    21211: MessageRefusal.RECIPIENT,  # not a valid number
    21265: MessageRefusal.RECIPIENT,  # a short code
    21408: MessageRefusal.RECIPIENT,  # a region the account may not send to
    21612: MessageRefusal.RECIPIENT,  # no route from this sender to the recipient
    21614: MessageRefusal.RECIPIENT,  # a land line
}
"""By https://www.twilio.com/docs/api/errors; all other codes are not about the recipient."""


@dataclass(frozen=True, slots=True)
class MessengerOptions:
    """Credentials and addresses; a channel without credentials is not available."""

    account: rest_client.TwilioAccount = field(default_factory=rest_client.TwilioAccount)
    status_callback: str = ""  # absolute URL for Twilio's delivery reports; empty = none
    sendgrid_api_key: str = ""
    email_sender: str = ""

    @property
    def unconfigured(self) -> Mapping[Channel, str]:
        unconfigured: dict[Channel, str] = {}
        if variable := self.account.missing_variable:
            unconfigured["sms"] = variable
        if not self.sendgrid_api_key:
            unconfigured["email"] = "SENDGRID_API_KEY"
        return unconfigured


class CarrierMessenger:
    """`ports.Messenger` over Twilio and SendGrid; either may be missing."""

    def __init__(self, options: MessengerOptions, http: aiohttp.ClientSession) -> None:
        self.unconfigured = options.unconfigured
        self._options = options
        self._http = http
        self._client: Any = None
        if "sms" not in self.unconfigured:  # the library refuses to make a client
            self._client = rest_client.twilio_client(options.account, http)

    async def text(self, message: TextMessage) -> str:
        self._check("sms")
        callback = self._options.status_callback
        if callback and message.reference:
            callback += f"?{REFERENCE}={message.reference}"
        try:
            with rest_client.translating_errors():
                sent = await self._client.messages.create_async(
                    to=message.recipient,
                    from_=message.sender,
                    body=message.body,
                    **({"status_callback": callback} if callback else {}),
                )
        except (TwilioRestException, TwilioServiceException) as error:
            raise _translated(error.status, error.code) from error
        except JSONDecodeError as error:
            raise MessageError("the answer is not JSON") from error
        return str(sent.sid or "")

    async def mail(self, mail: Mail) -> None:
        self._check("email")
        recipient = {"email": mail.recipient, **({"name": mail.name} if mail.name else {})}
        body = {
            "personalizations": [{"to": [recipient]}],
            "from": {"email": self._options.email_sender},
            "subject": mail.subject,
            "content": [{"type": "text/html", "value": mail.html}],
        }
        headers = {"Authorization": f"Bearer {self._options.sendgrid_api_key}"}
        with rest_client.translating_errors():
            async with self._http.post(
                MAIL_URL, json=body, headers=headers, allow_redirects=False
            ) as answer:
                status = answer.status
        if status in {HTTPStatus.OK, HTTPStatus.ACCEPTED}:
            return
        log.warning("email.failed", status=status)
        if rest_client.is_certain_refusal(status):
            raise MessageRefusedError(MessageRefusal.OTHER, f"HTTP {status}")
        raise MessageError(f"HTTP {status}")

    def _check(self, channel: Channel) -> None:
        if variable := self.unconfigured.get(channel):
            raise MessageRefusedError(MessageRefusal.OTHER, f"{variable} is not set")


def _translated(status: int, code: int | None) -> MessageError:
    """The error of an answer, without Twilio's text, which contains the number."""
    kind = provider_kind(code)
    log.warning("sms.failed", status=status, code=kind)
    detail = f"HTTP {status}, Twilio error {kind}"
    if not rest_client.is_certain_refusal(status):
        return MessageError(detail)
    is_busy = status == HTTPStatus.TOO_MANY_REQUESTS
    refusal = MessageRefusal.OTHER if is_busy else _REFUSALS.get(code or 0, MessageRefusal.OTHER)
    return MessageRefusedError(refusal, detail)


@asynccontextmanager
async def open_messenger(options: MessengerOptions) -> AsyncIterator[Messenger]:
    """A messenger; its connections are closed on leaving."""
    async with rest_client.open_http() as http:
        yield CarrierMessenger(options, http)


def may_text(message: TextMessage, listed: tuple[str, ...]) -> bool:
    """Whether a number may get SMS: it begins as listed, or with the country of the sender."""
    country = _COUNTRY_CODE.match(message.sender)
    return message.recipient.startswith(listed or (country[0] if country else "+",))


class ListedMessenger:
    """A `ports.Messenger` that sends SMS to allowed numbers only, see `may_text`."""

    def __init__(self, messenger: Messenger, listed: tuple[str, ...]) -> None:
        self._messenger = messenger
        self._listed = listed

    @property
    def unconfigured(self) -> Mapping[Channel, str]:
        return self._messenger.unconfigured

    async def text(self, message: TextMessage) -> str:
        if not may_text(message, self._listed):
            log.warning("sms.recipient_refused")
            detail = "SMS_NUMBERS does not list the number"
            raise MessageRefusedError(MessageRefusal.RECIPIENT, detail)
        return await self._messenger.text(message)

    async def mail(self, mail: Mail) -> None:
        await self._messenger.mail(mail)
