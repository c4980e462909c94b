"""Twilio's REST API by its own library, on our own HTTP.

The library's client is asynchronous if its HTTP client is. Its own one, `AsyncTwilioHttpClient`, is
not used: it waits for ever, as it hands aiohttp `timeout=None` and never looks at the limit it was
made with (twilio-python issue 925), keeps the last request, with number and words, as an attribute,
and logs in by what aiohttp has deprecated. So `TwilioHttp` implements the interface the library has
for this, over a session whose limits tell a connection that failed from an answer that was lost
(`agent.twilio.rest_client`).

Where the API is reached is `TWILIO_API_URL` alone: what the library makes of `TWILIO_REGION` and
`TWILIO_EDGE` is overwritten with it.

How requests are made that must not be made twice, and what it means when one fails.

| what went wrong | was it sent? | because |
|---|---|---|
| no connection: name, port, TLS, or too slow | no, certain | no byte of the request was written |
| any other failure or time-out | not known | the request may have arrived and been obeyed |
| status 4xx, but 408 | no, certain | it was read and refused |
| any other status that is no success | not known | it may have been obeyed before it failed |

So a connection has its own limit, shorter than that of the whole, and is used once: a kept one may
be closed by the other side in the moment we write to it, and then nobody knows. Messages are rare;
a handshake for each costs less than one doubt. aiohttp repeats no POST by itself.

Redirects are not followed: they would carry credentials elsewhere.

Access tokens: with one, an app on a phone or in a browser may call as a named caller.

A token is a JWT signed with a secret of the account's API key, which the carrier checks when the
app connects (relay reference section 6.5). What it grants:

- to call the TwiML application, whose voice URL is our `/twiml`; the call then comes from
  `client:<identity>`, and Twilio vouches for the identity;
- to be called, where a push credential is configured; without one a phone would never ring.

It lasts minutes: it is needed to begin a call and not to go on with one, and cannot be taken back.
Trusted values are not put into it (`outgoing_application_params`): anybody who holds a token can
read it, and what is known about a caller stands in the table under the identity.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from twilio.http import AsyncHttpClient  # type: ignore[import-untyped] # ships no types
from twilio.http.response import Response  # type: ignore[import-untyped] # the same
from twilio.jwt.access_token import AccessToken  # type: ignore[import-untyped] # ships no types
from twilio.jwt.access_token.grants import (  # type: ignore[import-untyped] # the same
    VoiceGrant,
)
from twilio.rest import Client  # type: ignore[import-untyped] # the same

from agent.errors import MessageError, MessageRefusal, MessageRefusedError


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


CONNECT_SECONDS = 2.0
TOTAL_SECONDS = 5.0
"""Ends before the ledger gives up (`tools.idempotency`), so that it is known how it failed."""


@asynccontextmanager
async def open_http() -> AsyncIterator[aiohttp.ClientSession]:
    """A session for such requests; closed on leaving."""
    connector = aiohttp.TCPConnector(force_close=True)
    timeout = aiohttp.ClientTimeout(total=TOTAL_SECONDS, connect=CONNECT_SECONDS)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as http:
        yield http


@contextmanager
def telling_apart() -> Iterator[None]:
    """Translate what a request raises: `MessageRefusedError` if nothing was written."""
    try:
        yield
    except (
        aiohttp.ClientConnectorError,
        aiohttp.ConnectionTimeoutError,
        aiohttp.InvalidURL,
    ) as error:
        raise MessageRefusedError(MessageRefusal.OTHER, type(error).__name__) from error
    except (aiohttp.ClientError, OSError) as error:  # a time-out is an OSError
        raise MessageError(type(error).__name__) from error


def refused(status: int) -> bool:
    """An answer with this status means for certain that nothing was done."""
    return 400 <= status < 500 and status != 408


@dataclass(frozen=True, slots=True)
class VoiceAccess:
    """`ports.Access` of one Twilio account."""

    account_sid: str
    key_sid: str
    key_secret: str = field(repr=False)
    application_sid: str
    """The TwiML application an app calls."""
    push_credential_sid: str
    """Lets the app be called; empty = it only calls."""
    clock: Callable[[], float]
    """Epoch seconds."""
    seconds: int = 600

    def issue(self, identity: str) -> str:
        """See `ports.Access`."""
        now = int(self.clock())
        token = AccessToken(
            self.account_sid,
            self.key_sid,
            self.key_secret,
            identity=identity,
            nbf=now,
            valid_until=now + self.seconds,
        )
        token.add_grant(
            VoiceGrant(
                incoming_allow=bool(self.push_credential_sid),
                outgoing_application_sid=self.application_sid,
                push_credential_sid=self.push_credential_sid or None,
            )
        )
        text: str = token.to_jwt()
        return text
