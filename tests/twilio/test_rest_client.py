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
from agent.ports import uncounted
from agent.simulator.virtual_time import run_virtually
from agent.twilio.auth_tokens import AuthTokens, SecretVersions
from agent.twilio.rest_client import (
    TwilioAccount,
    TwilioDialer,
    VoiceAccess,
    is_certain_refusal,
    open_http,
    translating_errors,
    twilio_client,
)
from tests.twilio_api import ACCOUNT, TwilioApi, twilio_api

ADA, OURS = "+15550100001", "+15550100000"
URL, STATUS_URL = "https://voice.example.com/twiml?dial=T", "https://voice.example.com/calls/status"


@pytest.fixture
async def api() -> AsyncIterator[TwilioApi]:
    async with twilio_api("SK1", "signing") as running:
        yield running


@asynccontextmanager
async def dialer(url: str) -> AsyncIterator[TwilioDialer]:
    account = TwilioAccount(ACCOUNT, AuthTokens(), "SK1", "signing", url)
    async with open_http() as http:
        yield TwilioDialer(twilio_client(account, http))


async def dial(api: TwilioApi) -> str:
    async with dialer(api.url) as asking:
        return await asking.dial(ADA, OURS, URL, STATUS_URL)


async def dial_error(api: TwilioApi) -> DialError:
    with pytest.raises(DialError) as caught:
        await dial(api)
    return caught.value


async def test_request_for_a_call_has_every_field(api: TwilioApi) -> None:
    call_sid = await dial(api)

    assert call_sid == "CA" + "1".zfill(32)
    detection = {"MachineDetection": "DetectMessageEnd", "Timeout": "30", "TimeLimit": "3600"}
    status = {"StatusCallback": STATUS_URL, "StatusCallbackMethod": "POST"}
    assert api.asked == [
        {"To": ADA, "From": OURS, "Url": URL, "Method": "POST", **detection, **status}
    ]


@pytest.mark.parametrize(
    ("refusal", "fault", "detail"),
    [
        ((400, 21211), DialFault.REFUSED, "Twilio refused: HTTP 400, code 21211"),
        ((403, 21215), DialFault.REFUSED, "Twilio refused: HTTP 403, code 21215"),
        ((429, 20429), DialFault.REFUSED, "Twilio refused: HTTP 429, code 20429"),
        *(
            (
                (status, 20500),
                DialFault.UNREACHABLE,
                f"Twilio failed: HTTP {status}, code 20500; whether it rings is not known",
            )
            for status in (408, 500, 503)
        ),
    ],
)
async def test_failed_call_is_an_error_with_the_code_and_not_repeated(
    api: TwilioApi, refusal: tuple[int, int], fault: DialFault, detail: str
) -> None:
    """Without Twilio's text, which may contain the number."""
    api.refusal = refusal

    error = await dial_error(api)

    assert (error.fault, error.detail) == (fault, detail)
    assert len(api.asked) == 1


@pytest.mark.parametrize("body", [" ", "<html>", "[]", "null", "7", "{}", '{"sid": null}'])
async def test_unreadable_answer_is_a_dial_error(api: TwilioApi, body: str) -> None:
    api.body = body

    assert (await dial_error(api)).fault is DialFault.UNREACHABLE


async def test_unreachable_api_is_a_dial_error() -> None:
    async with twilio_api("SK1", "signing") as gone:
        pass

    error = await dial_error(gone)

    assert error.fault is DialFault.UNREACHABLE
    assert error.detail == "Twilio gave no answer; whether it rings is not known"


@pytest.mark.parametrize(
    ("account", "missing", "credentials"),
    [
        (TwilioAccount(), "TWILIO_ACCOUNT_SID", []),
        (TwilioAccount(ACCOUNT), "TWILIO_AUTH_TOKEN", []),
        (TwilioAccount(ACCOUNT, AuthTokens(["a", "b"])), "", [(ACCOUNT, "a"), (ACCOUNT, "b")]),
        (TwilioAccount(ACCOUNT, AuthTokens(["a"]), "SK1", "key"), "", [("SK1", "key")]),
    ],
)
async def test_account_prefers_its_api_key_and_names_the_missing_variable(
    account: TwilioAccount, missing: str, credentials: list[tuple[str, str]]
) -> None:
    assert account.missing_variable == missing
    assert [each async for each in account.credentials()] == credentials


@pytest.mark.parametrize(
    ("known", "refused"),
    [(["old", "new"], 1), (["new", "old"], 0), (["older", "old"], 3)],
)
async def test_call_is_made_with_the_token_that_twilio_accepts(
    known: list[str], refused: int
) -> None:
    """While tokens are rotated; the new one may still have to be read. It is made once."""

    async def read() -> SecretVersions:
        return SecretVersions({"AWSCURRENT": "old", "AWSPENDING": "newer", "AWSPREVIOUS": "new"})

    async with twilio_api(ACCOUNT, "new") as api, open_http() as http:
        tokens = AuthTokens(known, read)
        keeping = asyncio.create_task(tokens.keep(uncounted), name="keep")
        account = TwilioAccount(ACCOUNT, tokens, api_url=api.url)
        call_sid = await TwilioDialer(twilio_client(account, http)).dial(ADA, OURS, URL, STATUS_URL)
        keeping.cancel()
        await asyncio.wait([keeping])

    assert (call_sid, len(api.asked), api.unauthorized) == ("CA" + "1".zfill(32), 1, refused)


async def test_call_is_refused_once_no_token_is_accepted() -> None:
    async with twilio_api(ACCOUNT, "new") as api, open_http() as http:
        account = TwilioAccount(ACCOUNT, AuthTokens(["older", "old"]), api_url=api.url)
        with pytest.raises(DialError) as caught:
            await TwilioDialer(twilio_client(account, http)).dial(ADA, OURS, URL, STATUS_URL)

    assert caught.value.detail == "Twilio refused: HTTP 401, code 20003"
    assert (api.asked, api.unauthorized) == ([], 2)


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


def test_status_tells_whether_nothing_was_done() -> None:
    known = {302: False, 400: True, 408: False, 429: True, 500: False}

    assert {status: is_certain_refusal(status) for status in known} == known


class SilentCalls:
    """A client that gets no answer."""

    @property
    def calls(self) -> SilentCalls:
        return self

    async def create_async(self, **_: object) -> None:
        await asyncio.sleep(24 * 3600)


def test_request_for_a_call_is_given_up_after_ten_seconds() -> None:
    async def main() -> tuple[DialFault, float]:
        began = asyncio.get_running_loop().time()
        with pytest.raises(DialError) as caught:
            await TwilioDialer(SilentCalls()).dial(ADA, OURS, URL, STATUS_URL)
        return caught.value.fault, asyncio.get_running_loop().time() - began

    assert run_virtually(main()) == (DialFault.UNREACHABLE, 10.0)


async def test_status_of_a_call_is_returned_as_twilio_names_it(api: TwilioApi) -> None:
    api.statuses = ["ringing", "no-answer"]

    async with dialer(api.url) as asking:
        statuses = [await asking.status("CA7") for _ in range(2)]

    assert statuses == ["ringing", "no-answer"]
    assert api.looked_at == ["CA7", "CA7"]


SECRET = "a-signing-secret-of-at-least-32-bytes"
PUSH = "CR" + "3" * 32


def access(*, push: str = "", now: float | None = None) -> VoiceAccess:
    account = TwilioAccount("AC" + "0" * 32, AuthTokens(), "SK" + "1" * 32, SECRET)
    clock = time if now is None else lambda: now
    return VoiceAccess(account, "AP" + "2" * 32, push, clock)


@pytest.mark.parametrize("push", ["", PUSH])
def test_token_grants_what_is_configured_and_nothing_else(push: str) -> None:
    now = int(time())

    token = AccessToken.from_jwt(access(push=push, now=now).issue("ada_1"), SECRET)

    outgoing = {"outgoing": {"application_sid": "AP" + "2" * 32}}
    incoming = {"incoming": {"allow": True}, "push_credential_sid": PUSH} if push else {}
    assert token.headers == {"alg": "HS256", "typ": "JWT", "cty": "twilio-fpa;v=1"}
    assert token.payload == {
        "jti": token.payload["jti"],
        "iss": "SK" + "1" * 32,
        "sub": "AC" + "0" * 32,
        "nbf": now,
        "exp": now + 600,
        "grants": {"identity": "ada_1", "voice": {**incoming, **outgoing}},
    }


def test_token_expires_after_ten_minutes() -> None:
    fresh, stale = access(now=time() - 590), access(now=time() - 601)

    assert AccessToken.from_jwt(fresh.issue("ada"), SECRET).payload["grants"]["identity"] == "ada"
    with pytest.raises(JwtDecodeError, match="expired"):
        AccessToken.from_jwt(stale.issue("ada"), SECRET)


def test_secret_is_in_neither_the_token_nor_the_text_of_the_object() -> None:
    issuer = access()

    assert SECRET not in repr(issuer)
    assert SECRET not in str(jwt.decode(issuer.issue("ada"), options={"verify_signature": False}))
