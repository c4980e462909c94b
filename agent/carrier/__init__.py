"""Outside services that carry what is not said in a call: Twilio's REST API, and SendGrid.

`open_messenger` is `ports.Messenger` over those that are configured.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import MappingProxyType

import aiohttp

from agent.carrier.email import SendGrid
from agent.carrier.http import open_http
from agent.carrier.sms import TwilioMessages
from agent.carrier.twilio import TwilioAccount, twilio_client
from agent.ports import Channel, Mail, MessageRefusedError, Messenger, Refusal, TextMessage

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
            raise MessageRefusedError(Refusal.OTHER, f"{self.lacking['sms']} is not set")
        return await self._texts.send(message)

    async def mail(self, mail: Mail) -> None:
        """See `ports.Messenger`."""
        if self._mails is None:
            raise MessageRefusedError(Refusal.OTHER, f"{self.lacking['email']} is not set")
        await self._mails.send(mail)


@asynccontextmanager
async def open_messenger(options: MessengerOptions) -> AsyncIterator[Messenger]:
    """A messenger; on leaving, its connections are closed."""
    async with open_http() as http:
        yield CarrierMessenger(options, http)
