"""Outside services that carry what is not said in a call: Twilio's REST API, and SendGrid.

`open_messenger` is `ports.Messenger` over those that are configured.

Which numbers are texted: those that `SMS_NUMBERS` lists, by their beginnings.

Where nothing is listed, those of the country of our own number. Who calls chooses where a message
goes, and messages to some countries cost many times those at home. Every message of the service
goes this way, the one of a tool and the one to a caller who was turned away.

Numbers of North America and of much of the Caribbean have one code, `+1`. List area codes to tell
them apart.
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
from agent.messaging.sendgrid import SendGrid
from agent.messaging.sms import TwilioMessages
from agent.ports import Channel, Mail, Messenger, TextMessage
from agent.twilio.rest_client import TwilioAccount, open_http, twilio_client

__all__ = [
    "CarrierMessenger",
    "MessengerOptions",
    "TwilioAccount",
    "open_messenger",
]


@dataclass(frozen=True, slots=True)
class MessengerOptions:
    """What messages are sent with; a channel that is not configured is lacking."""

    account: TwilioAccount = field(default_factory=TwilioAccount)
    status_callback: str = ""
    """Absolute URL that Twilio tells of deliveries; empty = it need not."""
    sendgrid_api_key: str = ""
    email_sender: str = ""

    @property
    def lacking(self) -> Mapping[Channel, str]:
        """See `ports.Messenger`."""
        lacking: dict[Channel, str] = {}
        if variable := self.account.lacking:
            lacking["sms"] = variable
        if not self.sendgrid_api_key:
            lacking["email"] = "SENDGRID_API_KEY"
        return MappingProxyType(lacking)


class CarrierMessenger:
    """`ports.Messenger` over Twilio and SendGrid, either of which may be lacking."""

    def __init__(self, options: MessengerOptions, http: aiohttp.ClientSession) -> None:
        self.lacking = options.lacking
        account, key = options.account, options.sendgrid_api_key
        self._texts = (
            None
            if "sms" in self.lacking
            else TwilioMessages(twilio_client(account, http), options.status_callback)
        )
        self._mails = None if "email" in self.lacking else SendGrid(http, key, options.email_sender)

    async def text(self, message: TextMessage) -> str:
        """See `ports.Messenger`."""
        if self._texts is None:
            raise MessageRefusedError(MessageRefusal.OTHER, f"{self.lacking['sms']} is not set")
        return await self._texts.send(message)

    async def mail(self, mail: Mail) -> None:
        """See `ports.Messenger`."""
        if self._mails is None:
            raise MessageRefusedError(MessageRefusal.OTHER, f"{self.lacking['email']} is not set")
        await self._mails.send(mail)


@asynccontextmanager
async def open_messenger(options: MessengerOptions) -> AsyncIterator[Messenger]:
    """A messenger; on leaving, its connections are closed."""
    async with open_http() as http:
        yield CarrierMessenger(options, http)


log = structlog.get_logger(__name__)

_COUNTRY = re.compile(
    r"\+(?:1|7|2[07]|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58]|[2-9][0-9]{2})"
)
"""The country code of a number, of one to three digits (ITU-T E.164)."""


def may_text(message: TextMessage, listed: tuple[str, ...]) -> bool:
    """Whether a message may be sent to its recipient.

    Args:
        message: From a number of ours.
        listed: Beginnings of numbers; empty = all of the country of the sender.
    """
    country = _COUNTRY.match(message.sender)
    return message.recipient.startswith(listed or (country[0] if country else "+",))


class ListedMessenger:
    """A `ports.Messenger` that texts only numbers that may be texted.

    Args:
        messenger: Sends what may be sent.
        listed: See `may_text`.
    """

    def __init__(self, messenger: Messenger, listed: tuple[str, ...]) -> None:
        self._messenger = messenger
        self._listed = listed

    @property
    def lacking(self) -> Mapping[Channel, str]:
        """See `ports.Messenger`."""
        return self._messenger.lacking

    async def text(self, message: TextMessage) -> str:
        """See `ports.Messenger`."""
        if not may_text(message, self._listed):
            log.warning("sms.not_listed")
            raise MessageRefusedError(
                MessageRefusal.RECIPIENT, "SMS_NUMBERS does not list the number"
            )
        return await self._messenger.text(message)

    async def mail(self, mail: Mail) -> None:
        """See `ports.Messenger`."""
        await self._messenger.mail(mail)
