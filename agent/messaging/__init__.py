"""SMS by Twilio and e-mail by SendGrid: `open_messenger` returns `ports.Messenger` over both.

An SMS is sent only to numbers that begin with an entry of `SMS_NUMBERS`; if it is empty, only to
the country of our own number: messages to some countries cost many times the domestic price. North
America and much of the Caribbean share the code `+1`: list area codes to tell them apart.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import MappingProxyType

import aiohttp
import structlog

from agent.errors import MessageRefusal, MessageRefusedError
from agent.messaging.senders import SendGrid, TwilioMessages
from agent.ports import Channel, Mail, Messenger, TextMessage
from agent.twilio.rest_client import TwilioAccount, open_http, twilio_client

log = structlog.get_logger(__name__)

_COUNTRY_CODE = re.compile(
    r"\+(?:1|7|2[07]|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58]|[2-9][0-9]{2})"
)
"""One to three digits (https://www.itu.int/rec/T-REC-E.164)."""


@dataclass(frozen=True, slots=True)
class MessengerOptions:
    """Credentials and addresses; a channel without credentials is not available."""

    account: TwilioAccount = field(default_factory=TwilioAccount)
    status_callback: str = ""
    """Absolute URL for Twilio's delivery reports; empty = no reports."""
    sendgrid_api_key: str = ""
    email_sender: str = ""

    @property
    def unconfigured(self) -> Mapping[Channel, str]:
        unconfigured: dict[Channel, str] = {}
        if variable := self.account.missing_variable:
            unconfigured["sms"] = variable
        if not self.sendgrid_api_key:
            unconfigured["email"] = "SENDGRID_API_KEY"
        return MappingProxyType(unconfigured)


class CarrierMessenger:
    """`ports.Messenger` over Twilio and SendGrid; either may be missing."""

    def __init__(self, options: MessengerOptions, http: aiohttp.ClientSession) -> None:
        self.unconfigured = options.unconfigured
        self._texts: TwilioMessages | None = None
        if "sms" not in self.unconfigured:  # the library refuses to make a client
            client = twilio_client(options.account, http)
            self._texts = TwilioMessages(client, options.status_callback)
        self._mails = SendGrid(http, options.sendgrid_api_key, options.email_sender)

    async def text(self, message: TextMessage) -> str:
        if self._texts is None:
            raise self._refusal("sms")
        return await self._texts.send(message)

    async def mail(self, mail: Mail) -> None:
        if "email" in self.unconfigured:
            raise self._refusal("email")
        await self._mails.send(mail)

    def _refusal(self, channel: Channel) -> MessageRefusedError:
        detail = f"{self.unconfigured[channel]} is not set"
        return MessageRefusedError(MessageRefusal.OTHER, detail)


@asynccontextmanager
async def open_messenger(options: MessengerOptions) -> AsyncIterator[Messenger]:
    """A messenger; its connections are closed on leaving."""
    async with open_http() as http:
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
