"""Requests to event buses and topics, to a server that answers as AWS does.

`test_event_buses_and_topics` sends to a simulated account; here is what that never answers.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from agent.events.aws_sender import AwsSender
from agent.events.outbox import body_of
from agent.events.webhooks import DeliveryError
from agent.usecases.receivers import Receiver

BUS = Receiver(event_bus="calls", name="bus")
TOPIC = Receiver(topic="arn:aws:sns:eu-west-1:123456789012:calls", name="topic")
BODY = body_of("evt_1", "order.placed", 1_700_000_000.0, {"call": "CA1"})
TAKEN = {"FailedEntryCount": 0, "Entries": [{"EventId": "11710aed"}]}


@asynccontextmanager
async def a_bus(
    monkeypatch: pytest.MonkeyPatch, status: int, answer: object
) -> AsyncIterator[list[tuple[dict[str, str], str]]]:
    """Gives the requests: headers and body. The answer is text, or what becomes JSON."""
    got = list[tuple[dict[str, str], str]]()
    text = answer if isinstance(answer, str) else json.dumps(answer)

    async def take(request: web.Request) -> web.Response:
        got.append((dict(request.headers), await request.text()))
        return web.Response(text=text, status=status)

    app = web.Application()
    app.router.add_post("/", take)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        for name, value in {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{runner.addresses[0][1]}",
            "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
            "AWS_SECRET_ACCESS_KEY": "none",
        }.items():
            monkeypatch.setenv(name, value)  # the SDK reads them
        yield got
    finally:
        await runner.cleanup()


async def test_an_event_is_put_on_its_bus(monkeypatch: pytest.MonkeyPatch) -> None:
    async with a_bus(monkeypatch, 200, TAKEN) as got, AwsSender("eu-central-1") as sender:
        await sender.send(BUS, "evt_1", BODY)

    [(headers, content)] = got
    assert headers["X-Amz-Target"] == "AWSEvents.PutEvents"
    assert "/eu-central-1/events/aws4_request" in headers["Authorization"]
    assert json.loads(content) == {
        "Entries": [
            {
                "EventBusName": "calls",
                "Source": "voice-agent",
                "DetailType": "order.placed",
                "Detail": BODY,
            }
        ]
    }


@pytest.mark.parametrize(
    ("receiver", "answer", "scope"),
    [
        (
            Receiver(event_bus="arn:aws:events:ap-south-1:123456789012:event-bus/calls"),
            TAKEN,
            "/ap-south-1/events/",
        ),
        (TOPIC, "<PublishResponse/>", "/eu-west-1/sns/"),
    ],
)
async def test_an_arn_says_in_which_region_is_asked(
    monkeypatch: pytest.MonkeyPatch, receiver: Receiver, answer: object, scope: str
) -> None:
    async with a_bus(monkeypatch, 200, answer) as got, AwsSender("eu-central-1") as sender:
        await sender.send(receiver, "evt_1", BODY)

    [(headers, _)] = got
    assert scope in headers["Authorization"]


def entries(code: str) -> dict[str, object]:
    return {"FailedEntryCount": 1, "Entries": [{"ErrorCode": code}]}


def error(code: str) -> str:
    return f"<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code></Error></ErrorResponse>"


@pytest.mark.parametrize(
    ("receiver", "status", "answer", "fault", "is_final"),
    [
        (BUS, 200, entries("InternalFailure"), "InternalFailure", False),
        (BUS, 200, entries("MalformedDetail"), "MalformedDetail", True),
        (BUS, 400, {"__type": "com.amazon#AccessDeniedException"}, "AccessDeniedException", False),
        (BUS, 400, {"__type": "ValidationException"}, "ValidationException", True),
        (BUS, 500, {}, "500", False),
        (TOPIC, 403, error("AuthorizationError"), "AuthorizationError", False),
        (TOPIC, 400, error("InvalidParameter"), "InvalidParameter", True),
        (TOPIC, 400, error("KMS.AccessDeniedException"), "KMS.AccessDeniedException", False),
        (TOPIC, 429, error("Throttled"), "Throttled", False),
        (TOPIC, 503, "<html>busy</html>", "503", False),
    ],
)
async def test_an_event_that_was_not_taken_is_a_failure(
    monkeypatch: pytest.MonkeyPatch,
    receiver: Receiver,
    status: int,
    answer: object,
    fault: str,
    *,
    is_final: bool,
) -> None:
    """It is tried again, unless the fault is the event's own."""
    async with a_bus(monkeypatch, status, answer), AwsSender("eu-central-1") as sender:
        with pytest.raises(DeliveryError, match=f"refused: {fault}$") as refused:
            await sender.send(receiver, "evt_1", BODY)

    assert refused.value.is_final is is_final


@pytest.mark.parametrize(("receiver", "place"), [(BUS, "the event bus"), (TOPIC, "the topic")])
async def test_what_cannot_be_reached_is_a_failure(
    monkeypatch: pytest.MonkeyPatch, receiver: Receiver, place: str
) -> None:
    async with a_bus(monkeypatch, 200, TAKEN):
        pass

    async with AwsSender("eu-central-1") as sender:
        with pytest.raises(DeliveryError, match=f"{place}: CannotConnectError"):
            await sender.send(receiver, "evt_1", BODY)
