"""Which numbers are texted: those that `SMS_NUMBERS` lists, by their beginnings.

Where nothing is listed, those of the country of our own number. Who calls chooses where a message
goes, and messages to some countries cost many times those at home. Every message of the service
goes this way, the one of a tool and the one to a caller who was turned away.

Numbers of North America and of much of the Caribbean have one code, `+1`. List area codes to tell
them apart.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import structlog

from agent.ports import Channel, Mail, MessageRefusedError, Messenger, Refusal, TextMessage

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
            raise MessageRefusedError(Refusal.RECIPIENT, "SMS_NUMBERS does not list the number")
        return await self._messenger.text(message)

    async def mail(self, mail: Mail) -> None:
        """See `ports.Messenger`."""
        await self._messenger.mail(mail)
