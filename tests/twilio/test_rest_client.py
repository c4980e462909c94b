"""Outbound calls over a stand-in for Twilio's API, and access tokens read back by the library."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import time

import aiohttp
import jwt
import pytest
from twilio.jwt import JwtDecodeError  # type: ignore[import-untyped] # ships no types
from twilio.jwt.access_token import AccessToken  # type: ignore[import-untyped] # the same

from agent.errors import DialError, DialFault, MessageError, MessageRefusedError
from agent.twilio.rest_client import (
    TwilioAccount,
    TwilioDialer,
    VoiceAccess,
    is_certain_refusal,
    open_http,
    translating_errors,
    twilio_client,
)
from tests.twilio_client.api import ACCOUNT, TwilioApi, twilio_api
from tests.virtual_time import run_virtually

ADA, OURS = "+15550100001", "+15550100000"
URL, STATUS_URL = "https://voice.example.com/twiml?dial=T", "https://voice.example.com/calls/status"


@pytest.fixture
async def api() -> AsyncIterator[TwilioApi]:
    async with twilio_api("SK1", "signing") as running:
        yield running


@asynccontextmanager
async def dialer(url: str) -> AsyncIterator[TwilioDialer]:
    account = TwilioAccount(ACCOUNT, "", "SK1", "signing", url)
    async with open_http() as http:
        yield TwilioDialer(twilio_client(account, http))


async def dial(api: TwilioApi) -> str:
    async with dialer(api.url) as asking:
        return await asking.dial(ADA, OURS, URL, STATUS_URL)


async def test_call_is_asked_for_with_all_that_matters(api: TwilioApi) -> None:
    """Who, from where, what is asked when it is known who answers, and two limits of time."""
    call_sid = await dial(api)

    assert call_sid == "CA" + "1".zfill(32)
    assert api.asked == [
        {
            "To": ADA,
            "From": OURS,
            "Url": URL,
            "Method": "POST",
            "MachineDetection": "DetectMessageEnd",
            "StatusCallback": STATUS_URL,
            "StatusCallbackMethod": "POST",
            "Timeout": "30",
            "TimeLimit": "3600",
        }
    ]


@pytest.mark.parametrize(
    ("refusal", "detail"),
    [
        ((400, 21211), "Twilio refused: HTTP 400, code 21211"),
        ((403, 21215), "Twilio refused: HTTP 403, code 21215"),
        ((429, 20429), "Twilio refused: HTTP 429, code 20429"),
    ],
)
async def test_refusal_is_told_by_its_code_and_asked_once(
    api: TwilioApi, refusal: tuple[int, int], detail: str
) -> None:
    """Without Twilio's sentence, which may hold the number; nobody is called by a second try."""
    api.refusal = refusal

    with pytest.raises(DialError) as caught:
        await dial(api)

    assert (caught.value.fault, caught.value.detail) == (DialFault.REFUSED, detail)
    assert len(api.asked) == 1


@pytest.mark.parametrize("status", [408, 500, 503])
async def test_failure_of_twilio_may_have_made_the_call(api: TwilioApi, status: int) -> None:
    """It is told so, and asked once."""
    api.refusal = (status, 20500)

    with pytest.raises(DialError) as caught:
        await dial(api)

    assert caught.value.fault is DialFault.UNREACHABLE
    assert "not known" in caught.value.detail
    assert len(api.asked) == 1


@pytest.mark.parametrize("body", [" ", "<html>", "[]", "null", "7", "{}", '{"sid": null}'])
async def test_answer_that_is_no_call_is_a_fault_and_not_a_crash(api: TwilioApi, body: str) -> None:
    """Whatever stands between Twilio and us."""
    api.body = body

    with pytest.raises(DialError) as caught:
        await dial(api)

    assert caught.value.fault is DialFault.UNREACHABLE


async def test_api_that_is_away_is_a_fault() -> None:
    """The port of a server that has gone."""
    async with twilio_api("SK1", "signing") as gone:
        pass

    with pytest.raises(DialError) as caught:
        await dial(gone)

    assert caught.value.fault is DialFault.UNREACHABLE
    assert caught.value.detail == "Twilio gave no answer; whether it rings is not known"


@pytest.mark.parametrize(
    ("error", "is_certain"),
    [
        (aiohttp.InvalidURL("x"), True),
        (aiohttp.ConnectionTimeoutError(), True),
        (aiohttp.ServerTimeoutError(), False),
        (aiohttp.ServerDisconnectedError(), False),
        (ConnectionResetError(), False),
        (TimeoutError(), False),
    ],
)
def test_only_a_connection_that_failed_is_a_certain_refusal(
    error: Exception, is_certain: bool
) -> None:
    with pytest.raises(MessageError) as caught, translating_errors():
        raise error

    assert isinstance(caught.value, MessageRefusedError) is is_certain


@pytest.mark.parametrize(
    ("status", "is_certain"), [(302, False), (400, True), (408, False), (429, True), (500, False)]
)
def test_status_tells_whether_nothing_was_done(status: int, is_certain: bool) -> None:
    assert is_certain_refusal(status) is is_certain


class SilentCalls:
    """Twilio's client, when nothing comes back."""

    @property
    def calls(self) -> SilentCalls:
        return self

    async def create_async(self, **_: object) -> None:
        await asyncio.sleep(24 * 3600)


def test_api_that_does_not_answer_is_not_waited_for_long() -> None:
    """Ten seconds."""

    async def main() -> tuple[DialFault, float]:
        began = asyncio.get_running_loop().time()
        with pytest.raises(DialError) as caught:
            await TwilioDialer(SilentCalls()).dial(ADA, OURS, URL, STATUS_URL)
        return caught.value.fault, asyncio.get_running_loop().time() - began

    assert run_virtually(main()) == (DialFault.UNREACHABLE, 10.0)


async def test_status_is_twilios_word(api: TwilioApi) -> None:
    """Looked up by the SID of the call."""
    api.statuses = ["ringing", "no-answer"]

    async with dialer(api.url) as asking:
        statuses = [await asking.status("CA7") for _ in range(2)]

    assert statuses == ["ringing", "no-answer"]
    assert api.looked_at == ["CA7", "CA7"]


SECRET = "a-signing-secret-of-at-least-32-bytes"
PUSH = "CR" + "3" * 32


def access(*, push: str = "", now: float | None = None) -> VoiceAccess:
    return VoiceAccess(
        "AC" + "0" * 32,
        "SK" + "1" * 32,
        SECRET,
        "AP" + "2" * 32,
        push,
        clock=time if now is None else lambda: now,
    )


@pytest.mark.parametrize(
    ("push", "voice"),
    [
        ("", {"outgoing": {"application_sid": "AP" + "2" * 32}}),
        (
            PUSH,
            {
                "incoming": {"allow": True},
                "outgoing": {"application_sid": "AP" + "2" * 32},
                "push_credential_sid": PUSH,
            },
        ),
    ],
)
def test_token_grants_what_is_configured_and_nothing_else(
    push: str, voice: dict[str, object]
) -> None:
    """Signed with the key's secret; without a push credential the app only calls."""
    now = int(time())

    text = access(push=push, now=now).issue("ada_1")
    token = AccessToken.from_jwt(text, SECRET)

    assert token.headers == {"alg": "HS256", "typ": "JWT", "cty": "twilio-fpa;v=1"}
    assert token.payload == {
        "jti": token.payload["jti"],
        "iss": "SK" + "1" * 32,
        "sub": "AC" + "0" * 32,
        "nbf": now,
        "exp": now + 600,
        "grants": {"identity": "ada_1", "voice": voice},
    }


def test_token_is_of_no_use_after_ten_minutes() -> None:
    """It begins a call and is then forgotten."""
    fresh, stale = access(now=time() - 590), access(now=time() - 601)

    assert AccessToken.from_jwt(fresh.issue("ada"), SECRET).payload["grants"]["identity"] == "ada"
    with pytest.raises(JwtDecodeError, match="expired"):
        AccessToken.from_jwt(stale.issue("ada"), SECRET)


def test_secret_is_in_neither_the_token_nor_the_text_of_the_object() -> None:
    """What is logged by accident tells nothing."""
    issuer = access()

    assert SECRET not in repr(issuer)
    assert SECRET not in str(jwt.decode(issuer.issue("ada"), options={"verify_signature": False}))
