"""Requests to receivers, over a real socket."""

from __future__ import annotations

import json
from time import time

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from agent.events.outbox import body_of
from agent.events.webhooks import DeliveryError, WebhookSender
from agent.usecases.host_allowlist import Secret, SecretRule
from tests.events.sites import KEY, SECRET, a_site


async def test_a_request_is_signed_as_standard_webhooks(clock: float) -> None:
    body = body_of("evt_1", "call.ended", 1_700_000_000.25, {"call": "CA1", "seconds": 60})
    async with a_site() as (site, http):
        await WebhookSender(http.post, SECRET, lambda: clock).send(
            site.receiver(204), "evt_1", body
        )

    [(path, headers, text)] = site.got
    assert (path, text) == ("/204", body)
    assert json.loads(text) == {
        "id": "evt_1",
        "type": "call.ended",
        "timestamp": "2023-11-14T22:13:20.250Z",
        "data": {"call": "CA1", "seconds": 60},
    }
    assert headers["webhook-id"] == "evt_1"
    assert headers["Content-Type"] == "application/json"
    assert Webhook(KEY).verify(text, headers)["id"] == "evt_1"
    with pytest.raises(WebhookVerificationError):
        Webhook(KEY).verify(text.replace("60", "61"), headers)


@pytest.mark.parametrize(
    ("status", "is_final"), [(302, False), (404, False), (410, True), (500, False), (503, False)]
)
async def test_any_other_status_is_a_failure_and_a_redirect_is_not_followed(
    clock: float, status: int, *, is_final: bool
) -> None:
    async with a_site() as (site, http):
        sender = WebhookSender(http.post, SECRET, lambda: clock)

        with pytest.raises(DeliveryError, match=f"status {status}") as failed:
            await sender.send(site.receiver(status), "evt_1", "{}")

    assert failed.value.is_final is is_final
    assert [path for path, _, _ in site.got] == [f"/{status}"]


async def test_a_host_that_the_operator_does_not_list_is_sent_nothing(clock: float) -> None:
    async with a_site(listed="") as (site, http):
        sender = WebhookSender(http.post, SECRET, lambda: clock)

        with pytest.raises(DeliveryError, match="not listed"):
            await sender.send(site.receiver(200), "evt_1", "{}")

    assert site.got == []


@pytest.mark.parametrize(
    ("secrets", "fault"),
    [
        ({}, "may not be used"),
        ({"HOOK": Secret("", SECRET["HOOK"].rules)}, "must be set"),
        ({"HOOK": Secret("whsec_***", SECRET["HOOK"].rules)}, "must be set"),
        ({"HOOK": Secret(KEY, (SecretRule.read("HOOK@crm.example.com"),))}, "may not be used"),
    ],
)
async def test_nothing_is_sent_without_a_secret_that_may_be_used(
    clock: float, secrets: dict[str, Secret], fault: str
) -> None:
    async with a_site() as (site, http):
        sender = WebhookSender(http.post, secrets, lambda: clock)

        with pytest.raises(DeliveryError, match=fault) as failed:
            await sender.send(site.receiver(200), "evt_1", "{}")

    assert (site.got, KEY in str(failed.value)) == ([], False)


@pytest.fixture
def clock() -> float:
    """Now: a signature holds for five minutes."""
    return time()
