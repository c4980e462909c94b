"""`POST /token`, API keys and rate limits; `POST /dial` is in `test_outbound_calls.py`."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from pytest_aiohttp import AiohttpClient
from structlog.testing import capture_logs
from twilio.jwt.access_token import AccessToken  # type: ignore[import-untyped] # ships no types

from agent.http import api
from agent.http.api import REFUSALS_OF_AN_ADDRESS, TOKENS_OF_AN_IDENTITY, ApiKeys, RateLimiter
from agent.http.middleware import TELEMETRY
from agent.observability import Telemetry
from agent.twilio.auth_tokens import AuthTokens
from agent.twilio.rest_client import TwilioAccount, VoiceAccess
from tests.fakes import Clock
from tests.servers import Server, serving, settings_for

SECRET = "a-signing-secret-of-at-least-32-bytes"
FIRST, SECOND = "first-secret-of-the-app", "second-secret-of-the-app"
ACCESS = {
    "TWILIO_ACCOUNT_SID": "AC" + "0" * 32,
    "TWILIO_API_KEY_SID": "SK" + "1" * 32,
    "TWILIO_API_KEY_SECRET": SECRET,
    "TWILIO_TWIML_APP_SID": "AP" + "2" * 32,
    "TOKEN_API_KEYS": f"{FIRST},{SECOND}",
}


@pytest.fixture
async def desk(table: Path) -> AsyncIterator[Server]:
    """A service that issues tokens."""
    async with serving(settings_for(table, **ACCESS)) as server:
        yield server


class Reply(NamedTuple):
    """An answer."""

    status: int
    headers: dict[str, str]
    body: Any


async def ask(
    server: Server,
    body: str | bytes = '{"identity": "ada"}',
    *,
    authorization: str | None = f"Bearer {FIRST}",
    content_type: str = "application/json",
) -> Reply:
    """The answer of `POST /token`."""
    headers = {"Content-Type": content_type}
    if authorization is not None:
        headers["Authorization"] = authorization
    url = server.url("/token")
    async with server.twilio.http.post(url, data=body, headers=headers) as response:
        return Reply(response.status, dict(response.headers), json.loads(await response.text()))


@pytest.mark.parametrize("secret", [FIRST, SECOND])
@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        ('{"identity": "ada_1"}', "application/json"),
        ('{"identity": "ada_1", "more": 1}', "application/json; charset=utf-8"),
        ("identity=ada_1", "application/x-www-form-urlencoded"),
    ],
)
async def test_token_is_issued_for_the_requested_identity(
    desk: Server, secret: str, body: str, content_type: str
) -> None:
    """With each key, from JSON or a form."""
    reply = await ask(desk, body, authorization=f"Bearer {secret}", content_type=content_type)

    issued = AccessToken.from_jwt(reply.body.pop("token"), SECRET)
    assert (reply.status, reply.body) == (200, {"identity": "ada_1", "expiresIn": 600})
    assert reply.headers["Cache-Control"] == "no-store"
    assert issued.payload["exp"] - issued.payload["nbf"] == 600
    assert issued.payload["grants"] == {
        "identity": "ada_1",
        "voice": {"outgoing": {"application_sid": "AP" + "2" * 32}},
    }
    assert await desk.metric("agent_access_tokens_total", outcome="issued") == 1


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        FIRST,
        f"Basic {FIRST}",
        f"Bearer {FIRST[:-1]}",
        f"Bearer {FIRST}x",
        f"Bearer {FIRST},{SECOND}",
        f"Bearer {FIRST.upper()}",
        "Bearer \xe9\xff",
        "Bearer " + "x" * 6_000,
    ],
)
async def test_request_without_a_valid_key_gets_401(
    desk: Server, authorization: str | None
) -> None:
    reply = await ask(desk, authorization=authorization)

    assert (reply.status, reply.body) == (401, {"error": "unauthorized"})
    assert reply.headers["WWW-Authenticate"] == "Bearer"
    assert await desk.metric("agent_access_tokens_total", outcome="unauthorized") == 1


async def test_token_route_is_closed_without_token_api_keys(table: Path) -> None:
    async with serving(settings_for(table, **{**ACCESS, "TOKEN_API_KEYS": ""})) as server:
        with capture_logs() as logs:
            replies = [await ask(server, authorization=one) for one in (None, "Bearer ")]

    assert {reply.status for reply in replies} == {404}
    assert [reply.body for reply in replies] == [{"error": "unavailable"}] * 2
    assert [entry["outcome"] for entry in logs] == ["unavailable"] * 2


_INVALID: list[object] = [
    *(None, 7, ["ada"], "", " ada", "ada\n", "client:ada", "+15550100001"),
    *("ada lovelace", "ad\xe4", "ada/../grace", "a" * 122),
]


@pytest.mark.parametrize(
    "body",
    [
        "",
        "{}",
        "[]",
        "null",
        *(json.dumps({"identity": identity}) for identity in _INVALID),
        b'{"identity": "\xff"}',
        "identity=ada",
        "[" * 60_000,
    ],
)
async def test_invalid_identity_is_refused(desk: Server, body: str | bytes) -> None:
    """The rule is that of callers with a profile."""
    reply = await ask(desk, body)

    assert (reply.status, reply.body) == (400, {"error": "invalid"})


FORM = "application/x-www-form-urlencoded"


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "multipart/form-data",
        "",
        *(f"{FORM}; charset={name}" for name in ("no", "utf-16", "base64")),
    ],
)
async def test_other_media_types_and_charsets_are_refused(desk: Server, content_type: str) -> None:
    reply = await ask(desk, "identity=ada", content_type=content_type)

    assert (reply.status, reply.body) == (400, {"error": "invalid"})


async def test_identity_may_have_121_characters(desk: Server) -> None:
    """Twilio's limit."""
    reply = await ask(desk, json.dumps({"identity": "a" * 121}))

    assert (reply.status, reply.body["identity"]) == (200, "a" * 121)


async def test_rate_limit_of_an_identity_does_not_affect_others(desk: Server) -> None:
    replies = [await ask(desk) for _ in range(TOKENS_OF_AN_IDENTITY + 1)]
    other = await ask(desk, '{"identity": "grace"}')

    assert [reply.status for reply in replies] == [200] * TOKENS_OF_AN_IDENTITY + [429]
    assert replies[-1].body == {"error": "limited"}
    assert 1 <= int(replies[-1].headers["Retry-After"]) <= 6
    assert other.status == 200


async def test_rate_limit_of_a_key_does_not_affect_others(aiohttp_client: AiohttpClient) -> None:
    account = TwilioAccount("AC0", AuthTokens(), "SK0", SECRET)
    access = VoiceAccess(account, "AP0", "", clock=lambda: 1_900_000_000.0)
    application = web.Application()
    application.add_routes(api.public_routes)
    application[TELEMETRY] = Telemetry()
    application[api.TOKENS] = api.TokenService(access, [FIRST, SECOND], lambda: 0.0)
    client = await aiohttp_client(application)

    async def status(secret: str, number: int) -> int:
        headers = {"Authorization": f"Bearer {secret}"}
        body = {"identity": f"user_{number}"}
        async with client.post("/token", json=body, headers=headers) as response:
            return response.status

    statuses = [await status(FIRST, number) for number in range(api.TOKENS_OF_A_KEY + 1)]
    other = await status(SECOND, 0)

    assert statuses == [200] * api.TOKENS_OF_A_KEY + [429]
    assert other == 200


async def test_wrong_keys_are_limited_by_address_and_right_ones_are_not(desk: Server) -> None:
    """The address may be that of a load balancer."""
    guesses = [
        await ask(desk, authorization=f"Bearer guess-{number}")
        for number in range(REFUSALS_OF_AN_ADDRESS + 1)
    ]
    right = await ask(desk)

    assert [guess.status for guess in guesses] == [401] * REFUSALS_OF_AN_ADDRESS + [429]
    assert "Retry-After" in guesses[-1].headers
    assert right.status == 200


async def test_there_are_no_cors_headers(desk: Server) -> None:
    headers = {"Origin": "https://shop.example.com", "Access-Control-Request-Method": "POST"}
    async with desk.twilio.http.options(desk.url("/token"), headers=headers) as response:
        before = response
    answered = await ask(desk)

    assert before.status == 405
    names = [*before.headers, *answered.headers]
    assert not [name for name in names if name.lower().startswith("access-control")]


async def test_identity_and_secrets_are_not_logged(desk: Server) -> None:
    with capture_logs() as logs:
        await ask(desk, '{"identity": "ada.lovelace@example.com"}')
        await ask(desk, '{"identity": "ada lovelace"}')
        await ask(desk, authorization="Bearer guessed-secret")

    text = str(logs)
    assert len(logs) == 2
    assert "lovelace" not in text and "guessed" not in text and FIRST not in text


def test_empty_key_is_a_value_error() -> None:
    for secrets in ([], [""], ["a-secret", ""], "a-secret"):
        with pytest.raises(ValueError, match="not empty"):
            ApiKeys(secrets)


def test_burst_is_admitted_and_then_one_by_one() -> None:
    clock = Clock(1_000.0)
    rates = RateLimiter(3, 60.0, clock)

    at_once = [rates.wait("ada") for _ in range(4)]
    clock.seconds += 19.0
    too_soon = rates.wait("ada")
    clock.seconds += 1.0
    later = [rates.wait("ada") for _ in range(2)]

    assert at_once == [0.0, 0.0, 0.0, 20.0]
    assert too_soon == pytest.approx(1.0)
    assert later == [0.0, 20.0]


def test_number_of_remembered_clients_is_bounded() -> None:
    rates = RateLimiter(1, 60.0, Clock(1_000.0), most=2)

    waits = [rates.wait(asker) for asker in ("ada", "grace", "edsger", "edsger", "ada")]

    assert waits == [0.0, 0.0, 0.0, 60.0, 0.0]


@given(
    count=st.integers(1, 20),
    seconds=st.floats(0.5, 3600),
    pauses=st.lists(st.floats(0, 100), max_size=60),
)
def test_any_period_admits_at_most_the_burst_and_the_rate(
    count: int, seconds: float, pauses: list[float]
) -> None:
    clock = Clock(1_000.0)
    rates = RateLimiter(count, seconds, clock)
    admitted = []
    for pause in pauses:
        clock.seconds += pause
        if not rates.wait("ada"):
            admitted.append(clock.seconds)

    for first, begin in enumerate(admitted):
        for last, end in enumerate(admitted[first:], start=first):
            assert last - first + 1 <= count + (end - begin) * count / seconds + 1e-3


def test_client_that_waits_as_long_as_told_is_admitted() -> None:
    clock = Clock(1_000.0)
    rates = RateLimiter(7, 60.0, clock)

    waits = []
    for _ in range(30):
        if wait := rates.wait("ada"):
            waits.append(wait)
            clock.seconds += wait
            assert rates.wait("ada") == 0.0

    assert len(waits) == 23
