"""What became of text messages: Twilio's status callback.

Twilio reports each change of state of a message that was sent with our callback URL. It is counted,
and a message that did not arrive is logged with Twilio's error code, so that operators see a sender
that is blocked. Neither number nor text is logged, and nothing is stored: the call is over by then,
and nobody is told.
"""

from __future__ import annotations

import structlog
from aiohttp import web

from agent.http.middleware import TELEMETRY, error_code, genuine_form

log = structlog.get_logger(__name__)

routes = web.RouteTableDef()

STATUS_PATH = "/messages/status"
_STATUSES = frozenset(
    {
        "accepted", "scheduled", "queued", "sending", "sent", "delivered", "undelivered", "failed",
        "canceled", "read", "partially_delivered",
    }
)  # fmt: skip
_LOST = frozenset({"undelivered", "failed"})


@routes.post(STATUS_PATH)
async def report(request: web.Request) -> web.Response:
    """Take note of what has become of a message."""
    fields = await genuine_form(request)
    if isinstance(fields, str):
        log.warning("message.report_refused", reason=fields)
        return web.Response(status=403, text=f"{fields}\n")
    status = fields.get("MessageStatus", "")
    if not status or not fields.get("MessageSid"):
        return web.Response(status=400, text="bad_request\n")
    known = status if status in _STATUSES else "other"
    request.app[TELEMETRY].count("agent_messages_total", channel="sms", status=known)
    if status in _LOST:
        code = error_code(fields.get("ErrorCode", ""))
        log.warning("message.lost", status=status, error_code=code)
    return web.Response(status=204)
