"""`POST /token`: the company's server fetches an access token for one of its users.

It knows who its user is, we do not: so the identity is what it says, and it proves itself with a
secret (`agent.http.api_access`). An app that holds the secret itself may ask, too; then every
user of it can take every identity, which only suits a demonstration.

Limits are for each secret, for each identity, and for each address that gives wrong credentials. An
address with right ones is not limited: it may be that of a server with many users, or of a balancer
in front of us. Forwarding headers are not looked at, because anybody can write them.

There are no CORS headers: a page that could ask from a browser would hold the secret.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec
import structlog
from aiohttp import web

from agent.http.api_access import ApiKeys, RateLimiter
from agent.http.request_body import TELEMETRY, form_of, json_of, media_type
from agent.ports import Access
from agent.usecases.caller_identity import is_client

log = structlog.get_logger(__name__)

routes = web.RouteTableDef()

_MINUTE = 60.0
TOKENS_OF_A_KEY = 300
"""In a minute, and at once."""
TOKENS_OF_AN_IDENTITY = 10
REFUSALS_OF_AN_ADDRESS = 20


@dataclass(frozen=True, slots=True)
class TokenService:
    """Who gets access tokens, and how many."""

    access: Access
    keys: ApiKeys
    by_key: RateLimiter
    by_identity: RateLimiter
    by_address: RateLimiter
    """Of requests with wrong credentials."""


TOKEN_DESK: web.AppKey[TokenService | None] = web.AppKey("token_desk")
"""None: nobody gets any, because nobody has a secret to ask with."""


def open_desk(access: Access, secrets: Sequence[str], clock: Callable[[], float]) -> TokenService:
    """A desk with its limits."""
    return TokenService(
        access,
        ApiKeys(secrets),
        by_key=RateLimiter(TOKENS_OF_A_KEY, _MINUTE, clock),
        by_identity=RateLimiter(TOKENS_OF_AN_IDENTITY, _MINUTE, clock),
        by_address=RateLimiter(REFUSALS_OF_AN_ADDRESS, _MINUTE, clock),
    )


class _Asked(msgspec.Struct):
    identity: str


@routes.post("/token")
async def issue(request: web.Request) -> web.Response:
    """Give a token for an identity."""
    desk = request.app[TOKEN_DESK]
    if desk is None:
        return _refuse(request, "unavailable", 503)
    key = desk.keys.holder(request.headers.get("Authorization"))
    if key is None:
        if wait := desk.by_address.wait(request.remote or ""):
            return _refuse(request, "limited", 429, {"Retry-After": _whole(wait)})
        return _refuse(request, "unauthorized", 401, {"WWW-Authenticate": "Bearer"})
    if wait := desk.by_key.wait(str(key)):
        return _refuse(request, "limited", 429, {"Retry-After": _whole(wait)})
    identity = await _identity(request)
    if not identity:
        return _refuse(request, "invalid", 400)
    if wait := desk.by_identity.wait(identity):
        return _refuse(request, "limited", 429, {"Retry-After": _whole(wait)})
    request.app[TELEMETRY].count("agent_access_tokens_total", outcome="issued")
    token = desk.access.issue(identity)
    return _json({"token": token, "identity": identity, "expiresIn": desk.access.seconds})


async def _identity(request: web.Request) -> str:
    """The identity that is asked for, from JSON or a form; empty if it is none."""
    try:
        if media_type(request) == "application/json":
            found = await json_of(request, _Asked)
            asked = found.identity if found else ""
        else:
            asked = (await form_of(request)).get("identity", "")
    except web.HTTPException:  # counted and logged where the body was refused
        return ""
    return asked if is_client(f"client:{asked}") else ""


def _refuse(
    request: web.Request, outcome: str, status: int, headers: dict[str, str] | None = None
) -> web.Response:
    request.app[TELEMETRY].count("agent_access_tokens_total", outcome=outcome)
    log.warning("token.refused", outcome=outcome, status=status)
    return _json({"error": outcome}, status, headers)


def _json(
    body: dict[str, object], status: int = 200, headers: dict[str, str] | None = None
) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(body),
        status=status,
        content_type="application/json",
        headers={"Cache-Control": "no-store", **(headers or {})},
    )


def _whole(seconds: float) -> str:
    return str(math.ceil(seconds))
