"""Sends events to buses of Amazon EventBridge, each with one `PutEvents` request.

https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEvents.html. The process needs
the permission `events:PutEvents` on the bus. EventBridge may deliver to its targets in another
order; `detail.id` lets them leave out what they have seen.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any, Self

import msgspec

from agent.aws_requests import AWS_FAULTS, AwsRequests
from agent.errors import provider_kind
from agent.events.webhooks import SEND_SECONDS, DeliveryError
from agent.http_client import ClientLimits
from agent.usecases.receivers import Receiver

SOURCE = "voice-agent"
_CONNECTIONS, _CONNECT_SECONDS = 16, 2.5
_HEADERS = {"Content-Type": "application/x-amz-json-1.1"}
_decode = msgspec.json.Decoder(dict[str, Any]).decode


class EventBusSender:
    """`EventSender` to event buses; connects when the first event is sent."""

    def __init__(self, region: str) -> None:
        self._region = region
        self._stack = AsyncExitStack()
        self._requests: AwsRequests | None = None
        self._opening = asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def send(self, receiver: Receiver, identifier: str, body: str) -> None:
        entry = {
            "EventBusName": receiver.event_bus,
            "Source": SOURCE,
            "DetailType": _decode(body)["type"],
            "Detail": body,
        }
        try:
            async with asyncio.timeout(SEND_SECONDS):
                status, answer = await self._put(msgspec.json.encode({"Entries": [entry]}))
        except TimeoutError as error:
            raise DeliveryError("the event bus did not answer in time") from error
        except AWS_FAULTS as error:
            raise DeliveryError(f"the event bus: {type(error).__name__}") from error
        refused = answer.get("__type", "") or next(
            (each.get("ErrorCode", "") for each in answer.get("Entries", [])), ""
        )
        if status != 200 or answer.get("FailedEntryCount"):
            code = provider_kind(str(refused).rpartition("#")[2])
            raise DeliveryError(f"the event bus refused: {code or status}")

    async def _put(self, body: bytes) -> tuple[int, dict[str, Any]]:
        answer = await (await self._open()).post("/", body, "AWSEvents.PutEvents")
        try:
            return answer.status, _decode(await answer.read())
        finally:
            answer.release()

    async def _open(self) -> AwsRequests:
        async with self._opening:
            if self._requests is None:
                limits = ClientLimits(_CONNECTIONS, _CONNECT_SECONDS, SEND_SECONDS)
                opening = AwsRequests.open(
                    "events", region=self._region, limits=limits, headers=_HEADERS
                )
                self._requests = await self._stack.enter_async_context(opening)
            return self._requests
