"""Requests to event buses, to a server that answers as EventBridge does."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from agent.events.event_bridge import EventBusSender
from agent.events.outbox import body_of
from agent.events.webhooks import DeliveryError
from agent.usecases.receivers import Receiver

BUS = Receiver(event_bus="calls", name="bus")
BODY = body_of("evt_1", "order.placed", 1_700_000_000.0, {"call": "CA1"})
TAKEN = {"FailedEntryCount": 0, "Entries": [{"EventId": "11710aed"}]}


@asynccontextmanager
async def a_bus(
    monkeypatch: pytest.MonkeyPatch, status: int, answer: dict[str, Any]
) -> AsyncIterator[list[tuple[dict[str, str], Any]]]:
    """Gives the requests: headers and content."""
    got = list[tuple[dict[str, str], Any]]()

    async def take(request: web.Request) -> web.Response:
        got.append((dict(request.headers), json.loads(await request.text())))
        return web.json_response(answer, status=status)

    app = web.Application()
    app.router.add_post("/", take)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        for name, value in {
            "AWS_ENDPOINT_URL_EVENTBRIDGE": f"http://127.0.0.1:{runner.addresses[0][1]}",
            "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
            "AWS_SECRET_ACCESS_KEY": "none",
        }.items():
            monkeypatch.setenv(name, value)  # the SDK reads them
        yield got
    finally:
        await runner.cleanup()


async def test_an_event_is_put_on_its_bus(monkeypatch: pytest.MonkeyPatch) -> None:
    async with a_bus(monkeypatch, 200, TAKEN) as got, EventBusSender("eu-central-1") as sender:
        await sender.send(BUS, "evt_1", BODY)

    [(headers, content)] = got
    assert headers["X-Amz-Target"] == "AWSEvents.PutEvents"
    assert "/eu-central-1/events/aws4_request" in headers["Authorization"]
    assert content == {
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
    ("status", "answer", "fault"),
    [
        (
            200,
            {"FailedEntryCount": 1, "Entries": [{"ErrorCode": "InternalFailure"}]},
            "InternalFailure",
        ),
        (400, {"__type": "com.amazon#AccessDeniedException"}, "AccessDeniedException"),
        (500, {}, "500"),
    ],
)
async def test_an_event_that_the_bus_did_not_take_is_a_failure(
    monkeypatch: pytest.MonkeyPatch, status: int, answer: dict[str, Any], fault: str
) -> None:
    async with a_bus(monkeypatch, status, answer), EventBusSender("eu-central-1") as sender:
        with pytest.raises(DeliveryError, match=f"refused: {fault}"):
            await sender.send(BUS, "evt_1", BODY)


async def test_a_bus_that_cannot_be_reached_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    async with a_bus(monkeypatch, 200, TAKEN):
        pass

    async with EventBusSender("eu-central-1") as sender:
        with pytest.raises(DeliveryError, match="event bus: CannotConnectError"):
            await sender.send(BUS, "evt_1", BODY)
