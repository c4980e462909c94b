"""`POST /dial` on the port for operators: have an agent call somebody.

For a company's own servers, with a secret (`agent.http.api_access`); the balancer does not
publish the
port. What may be called is decided by `agent.session.outbound`; every refusal is one line.
"""

from __future__ import annotations

import msgspec
import structlog
from aiohttp import web

from agent.errors import DialError, DialFault, StoreError
from agent.http.api_access import ApiKeys
from agent.http.middleware import CALLS, TELEMETRY
from agent.http.request_body import json_of
from agent.session.outbound import OutboundCalls

log = structlog.get_logger(__name__)

routes = web.RouteTableDef()

OUTBOUND = web.AppKey("outbound", OutboundCalls)
DIAL_KEYS: web.AppKey[ApiKeys | None] = web.AppKey("dial_keys")
"""None: nobody may ask."""

_STATUSES = {
    DialFault.UNCONFIGURED: 503,
    DialFault.NUMBER: 403,
    DialFault.CALLER_ID: 400,
    DialFault.USE_CASE: 404,
    DialFault.LIMITED: 429,
    DialFault.REFUSED: 502,
    DialFault.UNREACHABLE: 502,
}


class _Asked(msgspec.Struct, rename={"use_case": "useCase", "caller_id": "from"}):
    to: str
    use_case: str
    caller_id: str = ""


@routes.post("/dial")
async def dial(request: web.Request) -> web.Response:
    """Make a call; answers 202 with its SID when Twilio has taken it."""
    keys, calls = request.app[DIAL_KEYS], request.app[CALLS]
    if keys is None:
        return _refuse(request, "unavailable", 503, "DIAL_API_KEYS is not set")
    if keys.holder(request.headers.get("Authorization")) is None:
        return _refuse(request, "unauthorized", 401, "a secret of DIAL_API_KEYS is needed")
    if calls.is_full or calls.active_calls.is_draining:
        return _refuse(request, "busy", 503, "no call can be taken now")
    asked = await json_of(request, _Asked)
    if asked is None:
        return _refuse(request, "invalid", 400, "needs JSON with to and useCase, perhaps from")
    try:
        call_sid = await request.app[OUTBOUND].dial(asked.to, asked.use_case, asked.caller_id)
    except DialError as error:
        return _refuse(request, error.fault, _STATUSES[error.fault], error.detail)
    except StoreError:
        return _refuse(request, "store", 503, "the table cannot be reached")
    request.app[TELEMETRY].count("agent_outbound_calls_total", outcome="dialled")
    return web.json_response({"callSid": call_sid}, status=202)


def _refuse(request: web.Request, reason: str, status: int, detail: str) -> web.Response:
    request.app[TELEMETRY].count("agent_outbound_calls_total", outcome="refused")
    log.warning("dial.refused", reason=reason, status=status)
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None
    return web.json_response({"error": reason, "detail": detail}, status=status, headers=headers)
