"""Messages that are kept in place of being sent, for calls that are tried out."""

from __future__ import annotations

from collections.abc import Mapping

from agent.errors import MessageError, MessageRefusal, MessageRefusedError
from agent.ports import Channel, Mail, TextMessage


class MemoryMessenger:
    """`ports.Messenger` that keeps what is sent.

    `unconfigured` and `fault` make it fail, for tests.
    """

    def __init__(self, unconfigured: Mapping[Channel, str] | None = None) -> None:
        self.unconfigured: Mapping[Channel, str] = unconfigured or {}
        self.fault: MessageError | None = None
        """Raised for every message; None = none fails."""
        self.texts: list[TextMessage] = []
        self.mails: list[Mail] = []

    async def text(self, message: TextMessage) -> str:
        self._fail("sms")
        self.texts.append(message)
        return f"SM{len(self.texts)}"

    async def mail(self, mail: Mail) -> None:
        self._fail("email")
        self.mails.append(mail)

    def _fail(self, channel: Channel) -> None:
        if channel in self.unconfigured:
            raise MessageRefusedError(
                MessageRefusal.OTHER, f"{self.unconfigured[channel]} is not set"
            )
        if self.fault is not None:
            raise self.fault
