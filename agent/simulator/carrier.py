"""Twilio as a server sees it: signed webhooks, TwiML, and the relay socket.

Every URL is signed as Twilio knows it. One of the public origin is then mapped to `base`, because
behind a load balancer it differs from the local address; any other is asked where it says. No
redirect is followed: it shows as the status that came.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import aiohttp
from twilio.request_validator import RequestValidator  # type: ignore[import-untyped] # no stubs
from yarl import URL

from agent.simulator.simulated_call import Manner, TwilioCall
from agent.simulator.twiml_reader import RelayInvitation, TwimlAnswer, read_twiml

_WEBHOOK_SECONDS = 15
"""Twilio's own limit for a webhook (https://www.twilio.com/docs/usage/webhooks/webhooks-faq)."""


class CallRefusedError(Exception):
    """The voice webhook answered without a relay; `answer` says with what instead."""

    def __init__(self, answer: TwimlAnswer) -> None:
        super().__init__(f"{answer.status}, verbs {answer.verbs}")
        self.answer = answer


ACCOUNT = "AC" + "0" * 32


def call_fields(**fields: str) -> dict[str, str]:
    """Form fields of an inbound call with a fresh `CallSid`; keywords replace or add."""
    return {
        "CallSid": f"CA{secrets.token_hex(16)}",
        "AccountSid": ACCOUNT,
        "From": "+15550100001",
        "To": "+15550100000",
        "CallStatus": "ringing",
        "Direction": "inbound",
        "ApiVersion": "2010-04-01",
        **fields,
    }


@dataclass(frozen=True, slots=True)
class Twilio:
    """One Twilio account with a number whose voice URL is `{public_url}{path}`."""

    http: aiohttp.ClientSession
    base: str
    """Where the server listens, or what ends TLS before it; `http` must trust its certificate."""
    token: str
    """The Auth Token; signs everything. Empty = nothing is signed."""
    public_url: str = ""
    """The origin the server is known by; empty = `base`."""
    manner: Manner = field(default_factory=Manner)
    path: str = "/twiml"
    account: str = ACCOUNT
    """SID, of the calls of scenarios."""
    stays_on_server: bool = False
    """Another host that the TwiML names counts as one that cannot be reached."""

    @property
    def voice_url(self) -> str:
        return f"{(self.public_url or self.base).rstrip('/')}{self.path}"

    async def webhook(self, fields: Mapping[str, str]) -> RelayInvitation:
        """Report an incoming call; raises `CallRefusedError` unless a relay is asked for."""
        answer = await self.post(self.voice_url, fields)
        if answer.relay is None:
            raise CallRefusedError(answer)
        return answer.relay

    async def until_taken(self, caller: str, times: int = 60) -> RelayInvitation:
        """Call again, a second apart, while there is no line; then raises `CallRefusedError`."""
        for _ in range(times - 1):
            with suppress(CallRefusedError):
                return await self.webhook(call_fields(From=caller))
            await asyncio.sleep(1.0)
        return await self.webhook(call_fields(From=caller))

    async def post(
        self, url: str, fields: Mapping[str, str], *, signature: str | None = None
    ) -> TwimlAnswer:
        """Post a form to a public URL, signed unless another `signature` is given.

        Raises `aiohttp.ClientError`, and `TimeoutError` after 15 s.
        """
        headers = self._signed(url, fields) if signature is None else _header(signature)
        limit = aiohttp.ClientTimeout(total=_WEBHOOK_SECONDS)
        async with self.http.post(
            self._local(url), data=fields, headers=headers, timeout=limit, allow_redirects=False
        ) as response:
            return read_twiml(response.status, await response.text(), url, fields)

    def sign(self, url: str, fields: Mapping[str, str] | None = None) -> str:
        """The signature over a public URL and the fields of a form, if there is one."""
        signed: str = RequestValidator(self.token).compute_signature(url, fields or {})
        return signed

    async def handshake(self, url: str, *, signature: str | None) -> int:
        """Try to open the socket with this signature (None = no header) and hang up at once.

        Returns 101 if it was accepted, otherwise the status of the refusal.
        """
        headers = {} if signature is None else _header(signature)
        try:
            async with self.http.ws_connect(self._local(url), headers=headers):
                return 101
        except aiohttp.WSServerHandshakeError as refusal:
            return refusal.status

    @asynccontextmanager
    async def dial(
        self, relay: RelayInvitation, *, manner: Manner | None = None
    ) -> AsyncIterator[TwilioCall]:
        """Open the signed socket and nothing more: no `setup`, for tests of a wrong order.

        A call still open at the end hangs up.
        """
        url = self._local(relay.url)
        async with self.http.ws_connect(url, headers=self._signed(relay.url)) as socket:
            call = TwilioCall(self, relay, socket, manner or self.manner)
            try:
                yield call
            finally:
                await call.hang_up()

    @asynccontextmanager
    async def connect(
        self, relay: RelayInvitation, *, manner: Manner | None = None
    ) -> AsyncIterator[TwilioCall]:
        """Open the socket, send `setup`, begin the greeting."""
        async with self.dial(relay, manner=manner) as call:
            await call.set_up()
            yield call

    @asynccontextmanager
    async def call(
        self, *, manner: Manner | None = None, **fields: str
    ) -> AsyncIterator[TwilioCall]:
        """Ring the number and talk: webhook and `connect`."""
        relay = await self.webhook(call_fields(**fields))
        async with self.connect(relay, manner=manner) as call:
            yield call

    @classmethod
    @asynccontextmanager
    async def open(cls, base: str, token: str, public_url: str = "") -> AsyncIterator[Twilio]:
        """With connections of its own, as many as are needed."""
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(
            connector=connector, middlewares=[_follow_no_redirect]
        ) as http:
            yield cls(http, base, token, public_url)

    def _signed(self, url: str, fields: Mapping[str, str] | None = None) -> dict[str, str]:
        return _header(self.sign(url, fields)) if self.token else {}

    def _local(self, public: str) -> URL:
        """Where to ask for it: the same resource, byte for byte in path and query."""
        url, base = URL(public, encoded=True), URL(self.base)
        if url.scheme == "ws" and url.host not in {"localhost", "127.0.0.1"}:
            raise aiohttp.InvalidURL(public, "Twilio dials wss:// only (64102)")
        if url.authority != URL(self.public_url or self.base).authority:
            if self.stays_on_server:
                raise aiohttp.InvalidURL(public, "another server than the one that is called")
            return url
        is_socket, is_tls = url.scheme in {"ws", "wss"}, base.scheme == "https"
        scheme = ("wss" if is_tls else "ws") if is_socket else base.scheme
        return URL(f"{scheme}://{base.authority}{url.raw_path_qs}", encoded=True)


async def _follow_no_redirect(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Refuse a redirected handshake, which `ws_connect` would follow."""
    response = await handler(request)
    if "Upgrade" in request.headers and 300 <= response.status < 400:
        response.close()
        raise aiohttp.WSServerHandshakeError(
            response.request_info, (), status=response.status, message="a redirect"
        )
    return response


def _header(signature: str) -> dict[str, str]:
    return {"X-Twilio-Signature": signature}
