"""Sends events to URLs, signed as Standard Webhooks (https://www.standardwebhooks.com).

The headers `webhook-id`, `webhook-timestamp` and `webhook-signature` let a receiver check who sent
a request, and leave out what it has seen. Any status but 2xx is a failure; a redirect is not
followed. 410 says that the receiver wants no more of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Protocol

from agent.errors import AgentError
from agent.usecases.host_allowlist import Secret
from agent.usecases.receivers import Receiver, signer_of

SEND_SECONDS = 10.0
_GONE = 410


class DeliveryError(AgentError):
    """An event was not delivered; the text has no personal data. `is_final`: no retry helps."""

    def __init__(self, reason: str, *, is_final: bool = False) -> None:
        super().__init__(reason)
        self.is_final = is_final


class EventSender(Protocol):
    """Sends one event to one receiver."""

    async def send(self, receiver: Receiver, identifier: str, body: str) -> None:
        """Returns when the receiver has it. Raises `DeliveryError`."""


class Post(Protocol):
    """What posts a body within limits; `agent.tools.OutboundHttp.post`."""

    async def __call__(
        self, url: str, headers: Mapping[str, str], body: str, seconds: float
    ) -> int:
        """The status. Raises `AgentError`."""


class WebhookSender:
    """`EventSender` to URLs."""

    def __init__(
        self,
        post: Post,
        secrets: Mapping[str, Secret],
        clock: Callable[[], float],
        seconds: float = SEND_SECONDS,
    ) -> None:
        self._post = post
        self._secrets = secrets
        self._clock = clock
        self._seconds = seconds

    async def send(self, receiver: Receiver, identifier: str, body: str) -> None:
        secret = self._secrets.get(receiver.secret, Secret(""))
        signer = signer_of(secret.value)
        if (fault := receiver.fault_of_secret(secret)) or signer is None:
            raise DeliveryError(fault)
        now = datetime.fromtimestamp(int(self._clock()), UTC)
        headers = {
            "Content-Type": "application/json",
            "webhook-id": identifier,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": signer.sign(identifier, now, body),
        }
        try:
            status = await self._post(receiver.url, headers, body, self._seconds)
        except AgentError as error:
            raise DeliveryError(str(error)) from error
        if not 200 <= status < 300:
            raise DeliveryError(f"status {status}", is_final=status == _GONE)
