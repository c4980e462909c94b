"""Twilio as the service sees it: signed webhooks, TwiML, and the relay socket.

Nothing of the service is imported. Every URL is signed as Twilio knows it and then mapped to
`base`, because behind a load balancer the public origin differs from the local address.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urljoin
from xml.etree import ElementTree as ET

import aiohttp
from twilio.request_validator import RequestValidator  # type: ignore[import-untyped]  # no stubs
from yarl import URL

from tests.twilio_client.call import Manner, TwilioCall

_WEBHOOK_SECONDS = 15
"""Twilio's own limit for a webhook (https://www.twilio.com/docs/usage/webhooks/webhooks-faq)."""


@dataclass(frozen=True, slots=True)
class Relay:
    """`<Connect><ConversationRelay>` as the service wrote it, with the call it was written for."""

    url: str  # exactly as in the TwiML: this string is signed
    attributes: Mapping[str, str]
    parameters: Mapping[str, str]
    action: str  # absolute; empty = the service set none
    fields: Mapping[str, str]  # of the voice webhook


@dataclass(frozen=True, slots=True)
class Answer:
    """What a webhook answered."""

    status: int
    xml: str
    verbs: tuple[str, ...]  # in order, e.g. `("Say", "Hangup")`
    relay: Relay | None


UNLIMITED_CALLERS = {
    "CALLER_CALLS_AT_ONCE": "0",
    "CALLER_CALLS_PER_HOUR": "0",
    "CALLER_TOKENS_PER_DAY": "0",
}
"""Environment of a service that one number may call as often as it likes."""


class CallRefusedError(Exception):
    """The voice webhook answered without a relay; `answer` says with what instead."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(f"{answer.status}, verbs {answer.verbs}")
        self.answer = answer


def call_fields(**fields: str) -> dict[str, str]:
    """Form fields of an inbound call with a fresh `CallSid`; keywords replace or add."""
    return {
        "CallSid": f"CA{secrets.token_hex(16)}",
        "AccountSid": "AC" + "0" * 32,
        "From": "+15550100001",
        "To": "+15550100000",
        "CallStatus": "ringing",
        "Direction": "inbound",
        "ApiVersion": "2010-04-01",
        **fields,
    }


@dataclass(frozen=True, slots=True)
class Twilio:
    """One Twilio account with a number whose voice URL is `{public_url}/twiml`."""

    http: aiohttp.ClientSession
    base: str
    """Where the service listens, or what ends TLS before it; `http` must trust its certificate."""
    token: str  # the Auth Token; signs everything
    public_url: str = ""  # the origin the service is known by; empty = `base`
    manner: Manner = field(default_factory=Manner)

    async def webhook(self, fields: Mapping[str, str]) -> Relay:
        """Report an incoming call; raises `CallRefusedError` unless a relay is asked for."""
        answer = await self.post(f"{self._origin}/twiml", fields)
        if answer.relay is None:
            raise CallRefusedError(answer)
        return answer.relay

    async def post(
        self, url: str, fields: Mapping[str, str], *, signature: str | None = None
    ) -> Answer:
        """Post a form to a public URL, signed unless another `signature` is given."""
        headers = {"X-Twilio-Signature": self.sign(url, fields) if signature is None else signature}
        limit = aiohttp.ClientTimeout(total=_WEBHOOK_SECONDS)
        async with self.http.post(
            self._local(url), data=fields, headers=headers, timeout=limit
        ) as response:
            return read_twiml(response.status, await response.text(), url, fields)

    def sign(self, url: str, fields: Mapping[str, str] | None = None) -> str:
        signed: str = RequestValidator(self.token).compute_signature(url, dict(fields or {}))
        return signed

    async def handshake(self, url: str, *, signature: str | None) -> int:
        """Try to open the socket with this signature (None = no header) and hang up at once.

        Returns 101 if it was accepted, otherwise the status of the refusal.
        """
        headers = {} if signature is None else {"X-Twilio-Signature": signature}
        try:
            async with self.http.ws_connect(self._local(url), headers=headers):
                return 101
        except aiohttp.WSServerHandshakeError as refusal:
            return refusal.status

    @asynccontextmanager
    async def dial(
        self, relay: Relay, *, manner: Manner | None = None
    ) -> AsyncIterator[TwilioCall]:
        """Open the signed socket and nothing more: no `setup`, for tests of a wrong order.

        A call still open at the end hangs up.
        """
        headers = {"X-Twilio-Signature": self.sign(relay.url)}
        async with self.http.ws_connect(self._local(relay.url), headers=headers) as socket:
            call = TwilioCall(self, relay, socket, manner or self.manner)
            try:
                yield call
            finally:
                await call.hang_up()

    @asynccontextmanager
    async def connect(
        self, relay: Relay, *, manner: Manner | None = None
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

    @property
    def _origin(self) -> str:
        return (self.public_url or self.base).rstrip("/")

    def _local(self, public: str) -> URL:
        """The same resource at `base`, byte for byte in path and query."""
        url, base = URL(public, encoded=True), URL(self.base)
        if url.scheme == "ws" and url.host not in {"localhost", "127.0.0.1"}:
            raise ValueError("Twilio dials wss:// only (64102)")
        is_socket, is_tls = url.scheme in {"ws", "wss"}, base.scheme == "https"
        scheme = ("wss" if is_tls else "ws") if is_socket else base.scheme
        return URL(f"{scheme}://{base.authority}{url.raw_path_qs}", encoded=True)


def read_twiml(status: int, xml: str, url: str, fields: Mapping[str, str]) -> Answer:
    """Read an answer the way Twilio does: TwiML that is no XML counts as no answer at all."""
    try:
        response = ET.fromstring(xml)  # noqa: S314 - the service under test wrote it
    except ET.ParseError:
        return Answer(status, xml, (), None)
    verbs = tuple(verb.tag for verb in response)
    connect = response.find("Connect")
    relay = None if connect is None else connect.find("ConversationRelay")
    if connect is None or relay is None:
        return Answer(status, xml, verbs, None)
    action = connect.get("action", "")
    found = Relay(
        url=relay.attrib["url"],
        attributes=dict(relay.attrib),
        parameters={item.attrib["name"]: item.attrib["value"] for item in relay.iter("Parameter")},
        action=urljoin(url, action) if action else "",
        fields=dict(fields),
    )
    return Answer(status, xml, verbs, found)
