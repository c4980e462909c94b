"""The browser phone by Twilio: when it is served, what its page may reach, and its tokens."""

from __future__ import annotations

from pathlib import Path

import jwt
import pytest

from agent.http.api import TOKENS_OF_AN_IDENTITY
from agent.http.phone.phone_page import phone_routes
from agent.settings import SettingsError
from tests.http.test_pages import KEY, LOCAL, POLICY, basic, status
from tests.servers import serving, settings_for

ACCOUNT = {
    "TWILIO_ACCOUNT_SID": "AC0",
    "TWILIO_API_KEY_SID": "SK0",
    "TWILIO_API_KEY_SECRET": "a secret of 32 characters or more",
    "TWILIO_TWIML_APP_SID": "AP0",
    "TOKEN_API_KEYS": "a-secret-of-the-app",
}
HOSTS = "https://media.twiliocdn.com https://sdk.twilio.com"


@pytest.fixture
def sdk(tmp_path: Path) -> Path:
    path = tmp_path / "twilio.min.js"
    path.write_text("window.Twilio = {};")
    return path


async def test_page_may_reach_the_hosts_of_twilio_and_the_first_page_none(
    table: Path, sdk: Path
) -> None:
    """Those that Twilio documents for its SDK; the file comes from this service."""
    environment = {**LOCAL, **ACCOUNT, "PHONE_VOICE_SDK": str(sdk)}
    async with serving(settings_for(table, **environment)) as server:
        policies = list[str]()
        for path in ("/phone", "/phone/twilio", "/phone/twilio/assets/page.css"):
            async with server.twilio.http.get(server.url(path)) as answer:
                policies.append(answer.headers["Content-Security-Policy"])
        path = server.url("/phone/twilio/assets/voice-sdk.js")
        async with server.twilio.http.get(path) as answer:
            script = (answer.content_type, await answer.text())
        async with server.twilio.http.get(server.url("/phone/setup")) as answer:
            is_offered = (await answer.json())["dialsByTwilio"]

    twilio = "https://eventgw.twilio.com wss://voice-js.roaming.twilio.com"
    widened = POLICY.replace("connect-src 'self'", f"connect-src 'self' {twilio} {HOSTS}")
    assert policies == [POLICY, f"{widened}; media-src mediastream: {HOSTS}", POLICY]
    assert script == ("text/javascript", "window.Twilio = {};")
    assert is_offered is True


@pytest.mark.parametrize("missing", ["PHONE_VOICE_SDK", "TOKEN_API_KEYS"])
async def test_without_the_file_or_the_credentials_there_is_no_second_mode(
    table: Path, sdk: Path, missing: str
) -> None:
    environment = {**LOCAL, **ACCOUNT, "PHONE_VOICE_SDK": str(sdk), missing: ""}
    async with serving(settings_for(table, **environment)) as server:
        statuses = [
            await status(server, f"/phone/twilio{path}")
            for path in ("", "/token?identity=ada", "/assets/voice-sdk.js")
        ]
        async with server.twilio.http.get(server.url("/phone/setup")) as answer:
            is_offered = (await answer.json())["dialsByTwilio"]

    assert (statuses, is_offered) == ([404, 404, 404], False)


def test_a_file_that_cannot_be_read_is_an_error_of_the_settings(table: Path) -> None:
    settings = settings_for(table, **LOCAL, **ACCOUNT, PHONE_VOICE_SDK="/no/such/file.js")

    with pytest.raises(SettingsError, match=r"PHONE_VOICE_SDK: /no/such/file\.js: No such file"):
        phone_routes(settings)


async def test_page_gets_tokens_of_an_identity_within_its_rate(table: Path, sdk: Path) -> None:
    """As the app's own server does, and never for what is no identity."""
    environment = {**LOCAL, **ACCOUNT, "PHONE_VOICE_SDK": str(sdk)}
    async with serving(settings_for(table, **environment)) as server:
        path = server.url("/phone/twilio/token?identity=ada_1")
        async with server.twilio.http.get(path) as answer:
            given, headers = await answer.json(), answer.headers.copy()
        invalid = [
            await status(server, f"/phone/twilio/token{query}")
            for query in ("", "?identity=", "?identity=a%20b", "?identity=%2B15550100001/")
        ]
        limited = [
            await status(server, "/phone/twilio/token?identity=ada_1")
            for _ in range(TOKENS_OF_AN_IDENTITY)
        ]

    claims = jwt.decode(given["token"], options={"verify_signature": False})
    assert claims["grants"] == {
        "identity": "ada_1",
        "voice": {"outgoing": {"application_sid": "AP0"}},
    }
    assert (headers["Cache-Control"], headers["X-Frame-Options"]) == ("no-store", "DENY")
    assert invalid == [400] * 4
    assert limited == [200] * (TOKENS_OF_AN_IDENTITY - 1) + [429]


async def test_where_the_service_is_public_all_of_it_needs_the_key_of_the_phone(
    table: Path, sdk: Path
) -> None:
    environment = {**ACCOUNT, "PHONE_KEYS": KEY, "PHONE_VOICE_SDK": str(sdk)}
    paths = ("", "/token?identity=ada", "/assets/voice-sdk.js")
    async with serving(settings_for(table, **environment)) as server:
        statuses = [
            [await status(server, f"/phone/twilio{path}", **headers) for path in paths]
            for headers in ({}, basic("wrong"), basic(KEY))
        ]

    assert statuses == [[401] * 3, [401] * 3, [200] * 3]


async def test_a_page_of_another_name_gets_no_token(table: Path, sdk: Path) -> None:
    """A name elsewhere that resolves to this machine."""
    environment = {**LOCAL, **ACCOUNT, "PHONE_VOICE_SDK": str(sdk)}
    async with serving(settings_for(table, **environment)) as server:
        found = await status(server, "/phone/twilio/token?identity=ada", Host="evil.example.com")

    assert found == 403
