"""Twilio's status callbacks, both counted: the end of outbound calls, and the delivery of SMS.

An SMS that was not delivered is logged with Twilio's error code, so that operators see a blocked
sender. Number and text are neither logged nor stored.
"""

from __future__ import annotations

import structlog
from aiohttp import web

from agent.http.middleware import TELEMETRY, error_code, refuse, verified_form
from agent.session.outbound import FINAL_STATUSES

log = structlog.get_logger(__name__)

routes = web.RouteTableDef()

SMS_STATUS_PATH = "/messages/status"
_SMS_STATUSES = frozenset(
    {
        "accepted", "scheduled", "queued", "sending", "sent", "delivered", "undelivered", "failed",
        "canceled", "read", "partially_delivered",
    }
)  # fmt: skip
_UNDELIVERED = frozenset({"undelivered", "failed"})


@routes.post("/calls/status")
async def call_status(request: web.Request) -> web.Response:
    """Count how an outbound call ended."""
    fields = await verified_form(request)
    if isinstance(fields, str):
        return refuse(request, fields, 403)
    status = fields.get("CallStatus", "")
    outcome = status if status in FINAL_STATUSES else "other"
    request.app[TELEMETRY].count("agent_outbound_calls_total", outcome=outcome)
    log.info("outbound_call.ended", call_sid=fields.get("CallSid", "")[:64], status=outcome)
    return web.Response(status=204)


@routes.post(SMS_STATUS_PATH)
async def sms_status(request: web.Request) -> web.Response:
    """Count a change of state of an SMS."""
    fields = await verified_form(request)
    if isinstance(fields, str):
        log.warning("sms.status_refused", reason=fields)
        return web.Response(status=403, text=f"{fields}\n")
    status = fields.get("MessageStatus", "")
    if not status or not fields.get("MessageSid"):
        return web.Response(status=400, text="bad_request\n")
    known = status if status in _SMS_STATUSES else "other"
    request.app[TELEMETRY].count("agent_messages_total", channel="sms", status=known)
    if status in _UNDELIVERED:
        code = error_code(fields.get("ErrorCode", ""))
        log.warning("sms.delivery_failed", status=status, error_code=code)
    return web.Response(status=204)
