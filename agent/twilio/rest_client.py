"""Twilio's REST API through Twilio's library, and access tokens for apps.

Rejected: the library's `AsyncTwilioHttpClient`. It has no time limit
(https://github.com/twilio/twilio-python/issues/925), keeps the last request, with number and text,
as an attribute, and uses deprecated aiohttp authentication. `TWILIO_API_URL` alone decides where
the API is; `TWILIO_REGION` and `TWILIO_EDGE` have no effect.

A request that must not be made twice is made once, and its failure is classified:

| failure | outcome | reason |
|---|---|---|
| no connection: name, port, TLS, time limit | certain: not done | no byte was written |
| any other failure or time limit | unknown | the request may have been carried out |
| status 4xx except 408 | certain: not done | it was read and refused |
| any other error status | unknown | it may have been carried out |

A connection is used once: the peer may close a kept connection while we write to it, and then the
outcome is unknown. Redirects are not followed, because they would take credentials elsewhere.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, TypeVar

import aiohttp
from twilio.base.exceptions import TwilioException, TwilioRestException, TwilioServiceException  # type: ignore[import-untyped] # ships no types
from twilio.http import AsyncHttpClient  # type: ignore[import-untyped] # the same
from twilio.http.response import Response  # type: ignore[import-untyped] # the same
from twilio.jwt.access_token import AccessToken  # type: ignore[import-untyped] # the same
from twilio.jwt.access_token.grants import VoiceGrant  # type: ignore[import-untyped] # the same
from twilio.rest import Client  # type: ignore[import-untyped] # the same

from agent.errors import (
    AgentError,
    DialError,
    DialFault,
    MessageError,
    MessageRefusal,
    MessageRefusedError,
)
from agent.twilio.auth_tokens import AuthTokens

CONNECT_SECONDS = 2.0
TOTAL_SECONDS = 5.0
"""Shorter than the limit of `agent.tools.idempotency`, so that the kind of a failure is known."""
RING_SECONDS = 30
LONGEST_SECONDS = 3600  # then Twilio ends an outbound call
_DIAL_SECONDS = 10.0
_NUMBERS = 1_000  # at most, of an account
_NOT_CONNECTED = aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.InvalidURL
_UNREADABLE = "Twilio's answer cannot be read; whether it rings is not known"

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class TwilioAccount:
    """Credentials of an account; an API key is preferred to the auth tokens."""

    sid: str = ""
    auth_tokens: AuthTokens = field(default_factory=AuthTokens, repr=False)
    key_sid: str = ""
    key_secret: str = field(default="", repr=False)
    api_url: str = "https://api.twilio.com"  # without a final slash

    @property
    def missing_variable(self) -> str:
        """The variable without which no request can be made; empty if none is missing."""
        if not self.sid:
            return "TWILIO_ACCOUNT_SID"
        return "" if self.key_sid or self.auth_tokens.known else "TWILIO_AUTH_TOKEN"

    async def credentials(self) -> AsyncGenerator[tuple[str, str], None]:
        """User and password: each is to be tried if those before are refused."""
        if self.key_sid:
            yield self.key_sid, self.key_secret
            return
        async with aclosing(self.auth_tokens.candidates()) as tokens:
            async for token in tokens:
                yield self.sid, token


class TwilioHttp(AsyncHttpClient):  # type: ignore[misc] # ships no types
    """The library's HTTP client on an aiohttp session, within its time limits.

    A request that is refused with 401 was not carried out; it is repeated with the next token, as
    while tokens are rotated it is not known which of them Twilio accepts.
    """

    def __init__(self, account: TwilioAccount, http: aiohttp.ClientSession) -> None:
        super().__init__(logging.getLogger(__name__), is_async=True)
        self._account = account
        self._http = http

    async def request(self, method: str, url: str, **given: Any) -> Response:
        """As the library calls it; its `auth`, `timeout` and `allow_redirects` are not used."""
        content = {"params": given["params"], "data": given["data"], "allow_redirects": False}
        response = Response(HTTPStatus.UNAUTHORIZED, "")
        async with aclosing(self._account.credentials()) as credentials:
            async for user, password in credentials:
                header = {"Authorization": aiohttp.encode_basic_auth(user, password)}
                headers = {**given["headers"], **header}
                async with self._http.request(method, url, headers=headers, **content) as answer:
                    response = Response(answer.status, await answer.text(), answer.headers)
                if response.status_code != HTTPStatus.UNAUTHORIZED:
                    break
        return response


def twilio_client(account: TwilioAccount, http: aiohttp.ClientSession) -> Client:
    """The library's client for an account with credentials."""
    client = Client("in", "TwilioHttp", account.sid, http_client=TwilioHttp(account, http))
    client.api.base_url = account.api_url
    return client


@asynccontextmanager
async def open_http() -> AsyncIterator[aiohttp.ClientSession]:
    """A session that uses each connection once; closed on leaving."""
    connector = aiohttp.TCPConnector(force_close=True)
    timeout = aiohttp.ClientTimeout(total=TOTAL_SECONDS, connect=CONNECT_SECONDS)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as http:
        yield http


@contextmanager
def translating_errors() -> Iterator[None]:
    """Translate errors of aiohttp to `MessageRefusedError` (nothing sent) or `MessageError`."""
    try:
        yield
    except _NOT_CONNECTED as error:
        raise MessageRefusedError(MessageRefusal.OTHER, type(error).__name__) from error
    except (aiohttp.ClientError, OSError) as error:  # a time-out is an OSError
        raise MessageError(type(error).__name__) from error


def is_certain_refusal(status: int) -> bool:
    """Whether a response with this status means that nothing was done."""
    return 400 <= status < 500 and status != 408


class LookUpError(AgentError):
    """The account could not be read: one line that names the variable, without a credential."""


async def look_up(account: TwilioAccount) -> tuple[str, dict[str, str]]:
    """The status of an account, and what each of its numbers calls; raises `LookUpError`."""
    try:
        async with open_http() as http:
            client = twilio_client(account, http)
            found = await client.api.v2010.accounts(account.sid).fetch_async()
            numbers = await client.incoming_phone_numbers.list_async(limit=_NUMBERS)
    except TwilioRestException as error:
        raise LookUpError(_refusal(account, error)) from error
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        fault = f"{account.api_url} cannot be reached: {type(error).__name__}"
        raise LookUpError(f"TWILIO_API_URL: {fault}; check it, and the network") from error
    except (TwilioException, ValueError, TypeError, AttributeError, KeyError) as error:
        fault = f"{account.api_url} is not Twilio's API; unset it"
        raise LookUpError(f"TWILIO_API_URL: {fault}") from error
    called = {
        str(it.phone_number): str(it.voice_application_sid or it.voice_url or "") for it in numbers
    }
    return str(found.status), called


def _refusal(account: TwilioAccount, error: Any) -> str:
    secret = "TWILIO_API_KEY_SECRET" if account.key_sid else "TWILIO_AUTH_TOKEN"
    answer = f"HTTP {error.status}, Twilio error {error.code}"
    if error.status == 401:
        return f"{secret}: {answer}: is not that of TWILIO_ACCOUNT_SID; copy both from the console"
    if error.status == 403:
        return f"{secret}: {answer}: may not read the account and its numbers"
    if error.status == 404:
        return f"TWILIO_ACCOUNT_SID: {answer}: there is no such account; copy it from the console"
    return f"{answer}; try again later"


class TwilioDialer:
    """`ports.Dialer` over Twilio's API.

    Twilio requests the TwiML after the greeting of a machine, and for a person after a few seconds
    of silence (https://www.twilio.com/docs/voice/answering-machine-detection). Rejected:
    asynchronous detection, where the agent talks into the machine's greeting.
    """

    def __init__(self, client: Any) -> None:
        self._calls = client.calls

    async def dial(self, to: str, caller_id: str, url: str, status_url: str) -> str:
        call = await _dial_answer(
            self._calls.create_async(
                to=to,
                from_=caller_id,
                url=url,
                method="POST",
                machine_detection="DetectMessageEnd",
                status_callback=status_url,
                status_callback_method="POST",
                timeout=RING_SECONDS,
                time_limit=LONGEST_SECONDS,
            )
        )
        if not call.sid:
            raise DialError(DialFault.UNREACHABLE, _UNREADABLE)
        return str(call.sid)

    async def status(self, call_sid: str) -> str:
        call = await _dial_answer(self._calls(call_sid).fetch_async())
        return str(call.status)


async def _dial_answer(request: Awaitable[_T]) -> _T:
    """The answer of the API; its errors without its texts, which may hold personal data."""
    try:
        async with asyncio.timeout(_DIAL_SECONDS):
            return await request
    except (TwilioRestException, TwilioServiceException) as error:
        answer = f"HTTP {error.status}, code {error.code}"
        if error.status >= 500 or error.status == 408:
            detail = f"Twilio failed: {answer}; whether it rings is not known"
            raise DialError(DialFault.UNREACHABLE, detail) from error
        raise DialError(DialFault.REFUSED, f"Twilio refused: {answer}") from error
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        detail = "Twilio gave no answer; whether it rings is not known"
        raise DialError(DialFault.UNREACHABLE, detail) from error
    except (TwilioException, ValueError, TypeError, AttributeError) as error:  # unexpected JSON
        raise DialError(DialFault.UNREACHABLE, _UNREADABLE) from error


@dataclass(frozen=True, slots=True)
class VoiceAccess:
    """Issues the access tokens with which an app may call: JWTs signed with an API key's secret.

    A token (https://www.twilio.com/docs/iam/access-tokens) cannot be revoked, so it lasts minutes.
    Its holder can read it, so it carries no trusted values.
    """

    account: TwilioAccount
    application_sid: str
    push_credential_sid: str  # for incoming calls; empty = outgoing calls only
    clock: Callable[[], float]  # epoch seconds
    seconds: int = 600

    def issue(self, identity: str) -> str:
        """A token for an identity, whose calls then come from `client:<identity>`.

        1-121 characters, valid for `caller_identity.is_client` after `client:`.
        """
        now = int(self.clock())
        token = AccessToken(
            self.account.sid,
            self.account.key_sid,
            self.account.key_secret,
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
        return str(token.to_jwt())
