"""Webhooks accept requests of the configured account only."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest
from aiohttp import web

from agent.http import PUBLIC_ROUTES
from agent.simulator.carrier import call_fields
from tests.servers import ACTION_URL, ORIGIN, Server, serving, settings_for

OURS, THEIRS = "AC" + "0" * 32, "AC" + "1" * 32
_FOR_OTHERS = {"/token"}
"""Asked by an app and not by Twilio; has secrets of its own."""
WEBHOOKS = sorted(
    route.path
    for route in PUBLIC_ROUTES
    if isinstance(route, web.RouteDef) and route.method == "POST" and route.path not in _FOR_OTHERS
)


@pytest.fixture
async def of_an_account(table: Path) -> AsyncIterator[Server]:
    """A service with an account SID."""
    async with serving(settings_for(table, TWILIO_ACCOUNT_SID=OURS)) as server:
        yield server


def fields_for(account: Mapping[str, str]) -> dict[str, str]:
    """Fields that every webhook accepts."""
    fields = call_fields(
        MessageSid="SM0", MessageStatus="sent", SessionStatus="failed", ErrorCode="64105"
    )
    del fields["AccountSid"]
    return {**fields, **account}


@pytest.mark.parametrize("path", WEBHOOKS)
@pytest.mark.parametrize(
    "account",
    [
        {"AccountSid": THEIRS},
        {"AccountSid": OURS.lower()},
        {"AccountSid": ""},
        {},
        {"accountsid": OURS},
    ],
    ids=["another", "written differently", "empty", "missing", "other name"],
)
async def test_every_webhook_refuses_another_account(
    of_an_account: Server, path: str, account: Mapping[str, str]
) -> None:
    """Two accounts may share an auth token."""
    fields = fields_for(account)

    answer = await of_an_account.twilio.post(f"{ORIGIN}{path}", fields)

    assert (answer.status, answer.xml) == (403, "account\n")
    assert await of_an_account.items(fields["CallSid"]) == []


@pytest.mark.parametrize("path", WEBHOOKS)
async def test_every_webhook_accepts_its_own_account(of_an_account: Server, path: str) -> None:
    answer = await of_an_account.twilio.post(f"{ORIGIN}{path}", fields_for({"AccountSid": OURS}))

    assert answer.status in {200, 204}


async def test_another_account_cannot_release_the_slot_of_a_call(of_an_account: Server) -> None:
    relay = await of_an_account.relay()
    over = {**relay.fields, "AccountSid": THEIRS, "CallStatus": "completed"}

    await of_an_account.twilio.post(ACTION_URL, over)

    assert await of_an_account.metric("agent_reserved_calls") == 1
