"""The API for the company's servers: `POST /token`; on the private port `/dial` and `/drain`.

All are authenticated by `Authorization: Bearer <API key>`; several keys are valid at once, so that
one can be rotated without a gap. `/drain` needs one only if `/dial` has keys: it costs nothing and
drops no call, and the port is private. Rejected: signed requests and tokens of an identity
provider, which need a library in each client and protect no better than a secret over TLS.

The identity is what the company's server says: an app that holds the key itself can take every
identity. Rates are limited for each key, each identity, and each address with wrong credentials; an
address with valid ones may be a load balancer. Forwarding headers are not read, because any client
can send them. There are no CORS headers: a page in a browser would contain the key.
"""

from __future__ import annotations

import hashlib
import hmac
import math
from collections.abc import Callable, Sequence
from typing import Annotated

import msgspec
import structlog
from aiohttp import web
from msgspec import Meta

from agent.errors import DialError, DialFault, StoreError
from agent.http.middleware import CALLS, OUTBOUND, TELEMETRY, form_of, json_of, media_type
from agent.twilio.rest_client import VoiceAccess
from agent.usecases.call_variables import LONGEST_VALUE
from agent.usecases.caller_identity import is_client

log = structlog.get_logger(__name__)

public_routes = web.RouteTableDef()
private_routes = web.RouteTableDef()

_MINUTE = 60.0
TOKENS_OF_A_KEY = 300
"""Requests at once, and again in each minute."""
TOKENS_OF_AN_IDENTITY = 10
REFUSALS_OF_AN_ADDRESS = 20
_NOT_STORED = {"Cache-Control": "no-store"}
_ASK_FOR_KEY = {"WWW-Authenticate": "Bearer"}

_DIAL_FORM = "needs JSON with to and useCase, perhaps from and variables (texts by name)"
_DIAL_STATUSES = {
    DialFault.UNCONFIGURED: 503,
    DialFault.NUMBER: 403,
    DialFault.CALLER_ID: 400,
    DialFault.USE_CASE: 404,
    DialFault.VARIABLE: 400,
    DialFault.LIMITED: 429,
    DialFault.REFUSED: 502,
    DialFault.UNREACHABLE: 502,
}


class ApiKeys:
    """The API keys of one route; `ValueError` if there is none, or one is empty."""

    def __init__(self, secrets: Sequence[str]) -> None:
        if isinstance(secrets, str) or not secrets or not all(secrets):
            raise ValueError("secrets must be a list of texts that are not empty")
        self._digests = tuple(_digest(secret) for secret in secrets)

    def holder(self, header: str | None) -> int | None:
        """The index of the key in a header, compared in the same time for every key; or None."""
        scheme, _, given = (header or "").partition(" ")
        digest = _digest(given.strip())
        found = [hmac.compare_digest(digest, known) for known in self._digests]
        return found.index(True) if scheme.lower() == "bearer" and any(found) else None


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode(errors="surrogateescape")).digest()


class RateLimiter:
    """At most `count` requests at once for each client, and one more every `seconds / count`.

    The generic cell rate algorithm (https://en.wikipedia.org/wiki/Generic_cell_rate_algorithm).
    Rejected: counting by clock minutes, which admits twice as many around a full minute.
    Of more than `most` clients, the one admitted longest ago is forgotten.
    """

    def __init__(
        self, count: int, seconds: float, clock: Callable[[], float], most: int = 10_000
    ) -> None:
        self._interval = seconds / count
        self._seconds = seconds
        self._clock = clock
        self._most = most
        self._paid_until: dict[str, float] = {}

    def wait(self, client: str) -> float:
        """0 if the request is admitted, and counted; otherwise the seconds until one would be."""
        now = self._clock()
        paid_until = max(self._paid_until.get(client, now), now) + self._interval
        too_soon = paid_until - now - self._seconds
        if too_soon > 1e-6:  # sums of fractions are not exact
            return too_soon
        self._paid_until.pop(client, None)
        self._paid_until[client] = paid_until
        if len(self._paid_until) > self._most:
            del self._paid_until[next(iter(self._paid_until))]
        return 0.0


class TokenService:
    """Issues access tokens within rate limits; `clock` is in seconds of any epoch."""

    def __init__(
        self, access: VoiceAccess, secrets: Sequence[str], clock: Callable[[], float]
    ) -> None:
        self.access = access
        self.keys = ApiKeys(secrets)
        self.by_key = RateLimiter(TOKENS_OF_A_KEY, _MINUTE, clock)
        self.by_identity = RateLimiter(TOKENS_OF_AN_IDENTITY, _MINUTE, clock)
        self.by_address = RateLimiter(REFUSALS_OF_AN_ADDRESS, _MINUTE, clock)


TOKENS: web.AppKey[TokenService | None] = web.AppKey("tokens")
"""None: `TOKEN_API_KEYS` is not set."""
DIAL_KEYS: web.AppKey[ApiKeys | None] = web.AppKey("dial_keys")
"""None: `DIAL_API_KEYS` is not set."""
ON_DRAIN: web.AppKey[Callable[[], object]] = web.AppKey("on_drain")
"""Called when the process is asked to drain. Returns at once."""


class _TokenRequest(msgspec.Struct):
    identity: str


@public_routes.post("/token")
async def issue_token(request: web.Request) -> web.Response:
    """Issue an access token for an identity."""
    tokens = request.app[TOKENS]
    if tokens is None:
        return _refuse_token(request, "unavailable", 404)
    key = tokens.keys.holder(request.headers.get("Authorization"))
    if key is None:
        if wait := tokens.by_address.wait(request.remote or ""):
            return _refuse_token(request, "limited", 429, wait)
        return _refuse_token(request, "unauthorized", 401)
    if wait := tokens.by_key.wait(str(key)):
        return _refuse_token(request, "limited", 429, wait)
    return answer_token(request, tokens, await _identity(request))


def answer_token(request: web.Request, tokens: TokenService, identity: str) -> web.Response:
    """A token for an identity, within its rate; 400 unless the identity can be one."""
    if not is_client(f"client:{identity}"):
        return _refuse_token(request, "invalid", 400)
    if wait := tokens.by_identity.wait(identity):
        return _refuse_token(request, "limited", 429, wait)
    request.app[TELEMETRY].count("agent_access_tokens_total", outcome="issued")
    token = tokens.access.issue(identity)
    body = {"token": token, "identity": identity, "expiresIn": tokens.access.seconds}
    return web.json_response(body, headers=_NOT_STORED)


async def _identity(request: web.Request) -> str:
    try:
        if media_type(request) == "application/json":
            found = await json_of(request, _TokenRequest)
            identity = found.identity if found else ""
        else:
            identity = (await form_of(request)).get("identity", "")
    except web.HTTPException:  # counted and logged where the body was refused
        return ""
    return identity


def _refuse_token(
    request: web.Request, outcome: str, status: int, wait: float = 0.0
) -> web.Response:
    request.app[TELEMETRY].count("agent_access_tokens_total", outcome=outcome)
    log.warning("token.refused", outcome=outcome, status=status)
    headers = _NOT_STORED | (_ASK_FOR_KEY if status == 401 else {})
    if wait:
        headers["Retry-After"] = str(math.ceil(wait))
    return web.json_response({"error": outcome}, status=status, headers=headers)


class _DialRequest(msgspec.Struct, rename={"use_case": "useCase", "caller_id": "from"}):
    to: str
    use_case: str
    caller_id: str = ""
    variables: dict[str, Annotated[str, Meta(max_length=LONGEST_VALUE)]] = {}


@private_routes.post("/dial")
async def dial(request: web.Request) -> web.Response:
    """Make an outbound call; answers 202 with its SID when Twilio has accepted it."""
    keys, calls = request.app[DIAL_KEYS], request.app[CALLS]
    if keys is None:
        return _refuse_dial(request, "unavailable", 503, "DIAL_API_KEYS is not set")
    if keys.holder(request.headers.get("Authorization")) is None:
        return _refuse_dial(request, "unauthorized", 401, "a secret of DIAL_API_KEYS is needed")
    if calls.is_full or calls.active_calls.is_draining:
        return _refuse_dial(request, "busy", 503, "no call can be taken now")
    wanted = await json_of(request, _DialRequest)
    if wanted is None:
        return _refuse_dial(request, "invalid", 400, _DIAL_FORM)
    try:
        call_sid = await request.app[OUTBOUND].dial(
            wanted.to, wanted.use_case, wanted.caller_id, wanted.variables
        )
    except DialError as error:
        return _refuse_dial(request, error.fault, _DIAL_STATUSES[error.fault], error.detail)
    except StoreError:
        return _refuse_dial(request, "store", 503, "the table cannot be reached")
    request.app[TELEMETRY].count("agent_outbound_calls_total", outcome="dialled")
    return web.json_response({"callSid": call_sid}, status=202)


def _refuse_dial(request: web.Request, reason: str, status: int, detail: str) -> web.Response:
    request.app[TELEMETRY].count("agent_outbound_calls_total", outcome="refused")
    log.warning("dial.refused", reason=reason, status=status)
    headers = _ASK_FOR_KEY if status == 401 else None
    return web.json_response({"error": reason, "detail": detail}, status=status, headers=headers)


@private_routes.post("/drain")
async def drain(request: web.Request) -> web.Response:
    """Begin to drain, for a balancer that tells nothing; the second time has no effect."""
    keys = request.app[DIAL_KEYS]
    if keys is not None and keys.holder(request.headers.get("Authorization")) is None:
        log.warning("drain.refused", status=401)
        return web.Response(status=401, text="unauthorized\n", headers=_ASK_FOR_KEY)
    request.app[ON_DRAIN]()
    return web.Response(status=202, text="Draining\n")
