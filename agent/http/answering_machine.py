"""What happens to a call that we made: who has answered it, and how it ended.

`POST /twiml?dial=…` of a call that we made is led by `agent.http.voice_webhook`; here is what is
said when
no person has answered. Twilio asks only when it knows (`agent.twilio.outbound_api`). An unknown
answer counts as a person, for hanging up on one is worse than talking to a machine (relay reference
section 6.3). `POST /calls/status` is told the end of each call, also of those nobody answered.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import structlog
from aiohttp import web

from agent.http.middleware import TELEMETRY, genuine_form, refuse
from agent.session.outbound import FINAL_STATUSES
from agent.twilio import twiml
from agent.usecases.use_case import UseCase

log = structlog.get_logger(__name__)

routes = web.RouteTableDef()

VOICEMAIL = "Hello. This is an automated message: we have tried to reach you by telephone. Goodbye."
_SPOKEN = re.compile("[a-z]{2}-[A-Z]{2}")
"""Languages as `<Say>` takes them; the relay knows others, too."""


def answerer(fields: Mapping[str, str]) -> str:
    """Who has answered: `human`, `machine`, `fax` or `unknown`."""
    kind = fields.get("AnsweredBy", "").partition("_")[0]
    return kind if kind in {"human", "machine", "fax"} else "unknown"


def message(use_case: UseCase) -> str:
    """The document for a machine that takes messages: one, then the end."""
    language = use_case.relay.get("language", "")
    return twiml.say_and_hang_up(
        use_case.voicemail or VOICEMAIL,
        language=language if _SPOKEN.fullmatch(language) else "",
    )


@routes.post("/calls/status")
async def ended(request: web.Request) -> web.Response:
    """Count how a call ended."""
    fields = await genuine_form(request)
    if isinstance(fields, str):
        return refuse(request, fields, 403)
    status = fields.get("CallStatus", "")
    outcome = status if status in FINAL_STATUSES else "other"
    request.app[TELEMETRY].count("agent_outbound_calls_total", outcome=outcome)
    log.info("outbound.ended", call_sid=fields.get("CallSid", "")[:64], status=outcome)
    return web.Response(status=204)
