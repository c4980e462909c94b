"""Twilio's REST API by its own library, on our own HTTP.

The library's client is asynchronous if its HTTP client is. Its own one, `AsyncTwilioHttpClient`, is
not used: it waits for ever, as it hands aiohttp `timeout=None` and never looks at the limit it was
made with (twilio-python issue 925), keeps the last request, with number and words, as an attribute,
and logs in by what aiohttp has deprecated. So `TwilioHttp` implements the interface the library has
for this, over a session whose limits tell a connection that failed from an answer that was lost
(`agent.carrier.http`).

Where the API is reached is `TWILIO_API_URL` alone: what the library makes of `TWILIO_REGION` and
`TWILIO_EDGE` is overwritten with it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
from twilio.http import AsyncHttpClient  # type: ignore[import-untyped] # ships no types
from twilio.http.response import Response  # type: ignore[import-untyped] # the same
from twilio.rest import Client  # type: ignore[import-untyped] # the same


@dataclass(frozen=True, slots=True)
class TwilioAccount:
    """Whose name requests are made in; an API key comes before the account's own token."""

    sid: str = ""
    auth_token: str = ""
    key_sid: str = ""
    key_secret: str = ""
    api_url: str = "https://api.twilio.com"
    """Without a final slash."""

    @property
    def lacking(self) -> str:
        """The variable without which no request can be made; empty if all is there."""
        if not self.sid:
            return "TWILIO_ACCOUNT_SID"
        return "" if self.key_sid or self.auth_token else "TWILIO_AUTH_TOKEN"

    @property
    def credentials(self) -> tuple[str, str]:
        """User name and password."""
        if self.key_sid:
            return self.key_sid, self.key_secret
        return self.sid, self.auth_token


class TwilioHttp(AsyncHttpClient):  # type: ignore[misc] # ships no types
    """The library's requests on a session, within its limits."""

    def __init__(self, http: aiohttp.ClientSession) -> None:
        super().__init__(logging.getLogger(__name__), is_async=True)
        self._http = http

    async def request(  # noqa: PLR0913, PLR0917 (the library's signature)
        self,
        method: str,
        url: str,
        params: Mapping[str, Any] | None = None,
        data: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        auth: tuple[str, str] | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 (never given; the session has its limits)
        allow_redirects: bool = False,
    ) -> Response:
        """One request; raises what aiohttp raises."""
        login = {"Authorization": aiohttp.encode_basic_auth(*auth)} if auth else {}
        async with self._http.request(
            method, url, params=params, data=data, headers={**(headers or {}), **login},
            allow_redirects=False,
        ) as answer:  # fmt: skip
            return Response(answer.status, await answer.text(), answer.headers)


def twilio_client(account: TwilioAccount, http: aiohttp.ClientSession) -> Client:
    """The library's client for an account that lacks nothing."""
    user, password = account.credentials
    client = Client(user, password, account.sid, http_client=TwilioHttp(http))
    client.api.base_url = account.api_url
    return client
