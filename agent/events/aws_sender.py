"""Sends events to buses of Amazon EventBridge and topics of Amazon SNS, each with one request.

- EventBridge: `PutEvents`, for which the process needs `events:PutEvents` on the bus. A rule may
  deliver in another order; `detail.id` lets its targets leave out what they have seen.
  https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEvents.html
- SNS: `Publish`, which needs `sns:Publish` on the topic. A FIFO topic gets the call as its group,
  which keeps the order of the call, and the id of the event, by which it leaves out one that comes
  again within five minutes. https://docs.aws.amazon.com/sns/latest/api/API_Publish.html

An ARN says in which region it is asked. What the service says of the event itself is final; what
can be put right (a permission, a missing bus, a quota) is tried again.
"""

from __future__ import annotations

import asyncio
import re
from contextlib import AsyncExitStack
from typing import Any, NamedTuple, Self
from urllib.parse import urlencode

import msgspec

from agent.aws_requests import AWS_FAULTS, AwsRequests
from agent.errors import provider_kind
from agent.events.webhooks import SEND_SECONDS, DeliveryError
from agent.http_client import ClientLimits
from agent.usecases.receivers import Receiver

SOURCE = "voice-agent"
_CONNECTIONS, _CONNECT_SECONDS = 16, 2.5
_CONTENT_TYPES = {
    "events": "application/x-amz-json-1.1",
    "sns": "application/x-www-form-urlencoded; charset=utf-8",
}
"""By the SDK's name of a service."""
_FINAL = frozenset(
    {
        "InvalidArgument", "InvalidParameter", "InvalidParameterValue", "MalformedDetail",
        "ParameterValueInvalid", "ValidationError", "ValidationException",
    }
)  # fmt: skip
"""Errors of an event that is the same at every attempt, as one that is too long."""
_CODE = re.compile(rb"<Code>\s*([A-Za-z.]+)\s*</Code>")
_decode = msgspec.json.Decoder(dict[str, Any]).decode


class _Asked(NamedTuple):
    """A request."""

    service: str
    region: str
    body: bytes
    target: str = ""


class AwsSender:
    """`EventSender` to event buses and topics; connects to a region when it is first needed."""

    def __init__(self, region: str) -> None:
        self._region = region
        self._stack = AsyncExitStack()
        self._requests = dict[tuple[str, str], AwsRequests]()
        self._opening = asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def send(self, receiver: Receiver, identifier: str, body: str) -> None:
        place, refusal_of, asked = "the event bus", _refusal_of_bus, self._entry(receiver, body)
        if receiver.topic:
            place, refusal_of = "the topic", _refusal_of_topic
            asked = _message(receiver.topic, identifier, body)
        try:
            async with asyncio.timeout(SEND_SECONDS):
                code = refusal_of(*await self._ask(asked))
        except TimeoutError as error:
            raise DeliveryError(f"{place} did not answer in time") from error
        except AWS_FAULTS as error:
            raise DeliveryError(f"{place}: {type(error).__name__}") from error
        if code:
            raise DeliveryError(f"{place} refused: {provider_kind(code)}", is_final=code in _FINAL)

    def _entry(self, receiver: Receiver, body: str) -> _Asked:
        entry = {
            "EventBusName": receiver.event_bus,
            "Source": SOURCE,
            "DetailType": _decode(body)["type"],
            "Detail": body,
        }
        content = msgspec.json.encode({"Entries": [entry]})
        region = _region_of(receiver.event_bus) or self._region
        return _Asked("events", region, content, "AWSEvents.PutEvents")

    async def _ask(self, asked: _Asked) -> tuple[int, bytes]:
        requests = await self._open(asked.service, asked.region)
        answer = await requests.post("/", asked.body, asked.target)
        try:
            return answer.status, await answer.read()
        finally:
            answer.release()

    async def _open(self, service: str, region: str) -> AwsRequests:
        async with self._opening:
            if (service, region) not in self._requests:
                limits = ClientLimits(_CONNECTIONS, _CONNECT_SECONDS, SEND_SECONDS)
                headers = {"Content-Type": _CONTENT_TYPES[service]}
                opening = AwsRequests.open(service, region=region, limits=limits, headers=headers)
                opened = await self._stack.enter_async_context(opening)
                self._requests[service, region] = opened
            return self._requests[service, region]


def _region_of(arn: str) -> str:
    return arn.split(":")[3] if arn.startswith("arn:") else ""


def _message(topic: str, identifier: str, body: str) -> _Asked:
    payload = _decode(body)
    fields = {
        "Action": "Publish",
        "Version": "2010-03-31",
        "TopicArn": topic,
        "Message": body,
    }
    attributes = {"id": identifier, "type": payload["type"]}
    for number, (name, value) in enumerate(attributes.items(), 1):
        entry = f"MessageAttributes.entry.{number}"
        fields |= {f"{entry}.Name": name, f"{entry}.Value.DataType": "String"}
        fields[f"{entry}.Value.StringValue"] = value
    if topic.endswith(".fifo"):
        call = payload["data"].get("call", identifier)
        fields |= {"MessageGroupId": call, "MessageDeduplicationId": identifier}
    return _Asked("sns", _region_of(topic), urlencode(fields).encode())


def _refusal_of_bus(status: int, answer: bytes) -> str:
    """The code of an error; empty = the bus has the event."""
    content = _decode(answer)
    if status == 200 and not content.get("FailedEntryCount"):
        return ""
    codes = (each.get("ErrorCode", "") for each in content.get("Entries", []))
    code = content.get("__type") or next(codes, "")
    return str(code).rpartition("#")[2] or str(status)


def _refusal_of_topic(status: int, answer: bytes) -> str:
    """The code of an error; empty = the topic has the event."""
    found = _CODE.search(answer)
    return "" if status == 200 else found[1].decode() if found else str(status)
